#include "engine/operations/reconcile.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "engine/operations/delivery_digest.h"
#include "engine/operations/fact_reader.h"
#include "engine/operations/registry_history.h"
#include "engine/operations/settled_offsets.h"
#include "engine/wire/cloud_event.h"

namespace postrider {
namespace {

using Extent = LogClient::Extent;

constexpr std::size_t kRepeatsChecked = 1'000'000;

Hash128 key_of(const Event& event) {
  return repeat_key(event.tenant, event.source, event.id,
                    event.target ? format_target(*event.target) : std::string(), event.replay_job);
}

tl::unexpected<Error> stopped() {
  return fail(Errc::unavailable, "STOPPED", "it was stopped before it was done", "run it again");
}

// Judges one event after the other.
class Judge {
 public:
  Judge(const ReconcileRequest& request, const ReconcileWatch& watch, const RegistryHistory& registry,
        std::int64_t letters_since)
      : request_(request),
        watch_(watch),
        registry_(registry),
        identity_(registry.identity()),
        letters_since_(letters_since) {}

  ReconcileTotals totals;

  void look_at(const Record& record, Offset committed, const EventAccount& account) {
    // Whose it is the engine may take from the key; what it refused is set aside, and told by a fact.
    auto decoded = wire::decode_kafka(record.key, record.headers, record.value.value_or(""), true);
    if (!request_.tenant.empty() && (!decoded || decoded->event.tenant != request_.tenant)) return;
    record_ = &record;
    event_ = decoded ? &decoded->event : nullptr;
    webhook_.reset();
    settled_ = record.offset < committed;
    in_progress_ = false;
    ++totals.events;
    judge(account);
    if (in_progress_ && watch_.in_progress) watch_.in_progress({record.partition, record.offset});
  }

  struct Repeat {
    Offset first = 0, offset = 0;
    Hash128 key;
  };
  std::vector<Repeat> take_repeats() { return std::exchange(repeats_, {}); }

  void tell(const Position& position, const Event* event, EndpointId endpoint, DeliveryId delivery, Gap gap) {
    ++totals.unaccounted;
    if (!watch_.unaccounted) return;
    watch_.unaccounted({position, event ? event->tenant : TenantId(), event ? event->id : std::string(),
                        std::move(endpoint), std::move(delivery), gap});
  }

 private:
  void judge(const EventAccount& account) {
    if (account.set_aside) {
      ++totals.set_aside;
      if (!account.bad_letter && account.aside_at >= letters_since_) owed(Gap::aside_without_letter);
    } else if (account.repeat) {
      // It may have been routed before a lost index knew again what it repeats: what it owes the other owes.
      judge_repeat(account);
      for (const DeliveryAccount& delivery : account.deliveries) count(delivery);
    } else if (account.deliveries.empty() && !account.no_match) {
      owed(Gap::no_fact);
    } else {
      if (account.deliveries.empty()) ++totals.no_match;
      judge_deliveries(account);
    }
  }

  void judge_repeat(const EventAccount& account) {
    ++totals.repeats;
    if (account.first >= record_->offset)
      owed(Gap::repeat_of_later);
    else if (event_ == nullptr || repeats_.size() >= kRepeatsChecked)
      ++totals.repeats_unchecked;
    else
      repeats_.push_back({account.first, record_->offset, key_of(*event_)});
  }

  void judge_deliveries(const EventAccount& account) {
    const EventAccount::Routing routing = choose_routing(account);
    route(routing);
    std::uint64_t known = account.deliveries.size();
    for (std::size_t i = 0; i < owed_.size(); ++i) {
      if (account.knows(owed_[i])) continue;
      ++known;
      owed(account.no_match ? Gap::matched_after_all : Gap::no_fact, targets_[i]->endpoint,
           id_of(*targets_[i]));
    }
    for (; known < routing.fan_out; ++known) owed(Gap::fewer_than_fan_out);
    for (const DeliveryAccount& delivery : account.deliveries) judge_delivery(routing, delivery);
  }

  // What that routing owed: into targets_, and owed_ by digest.
  void route(const EventAccount::Routing& routing) {
    owed_.clear();
    targets_.clear();
    if (event_ == nullptr || routing.registry_version == 0) return;
    registry_.route(*event_, routing.registry_version, targets_);
    for (const Target* target : targets_) owed_.push_back(hash_of(*target));
  }

  // The last one; but which that was the facts do not always say: where it is not complete and another is,
  // it is the other.
  EventAccount::Routing choose_routing(const EventAccount& account) {
    const EventAccount::Routing last = account.last_routing();
    if (!settled_ || account.routings.size() < 2 || is_complete(account, last)) return last;
    for (const auto& routing : account.routings)
      if (is_complete(account, routing)) return routing;
    return last;
  }

  bool is_complete(const EventAccount& account, const EventAccount::Routing& routing) {
    route(routing);
    const auto stands = [&](const DeliveryAccount& one) {
      return one.delivered || one.cancelled || one.dead || one.parked || is_void(routing, one);
    };
    return routing.fan_out <= account.deliveries.size() &&
           std::all_of(owed_.begin(), owed_.end(), [&](const auto& id) { return account.knows(id); }) &&
           std::all_of(account.deliveries.begin(), account.deliveries.end(), stands);
  }

  // Of another routing, before a crash or after it, and not of this one.
  bool is_void(const EventAccount::Routing& routing, const DeliveryAccount& delivery) const {
    return settled_ && delivery.registry_version != routing.registry_version &&
           std::find(owed_.begin(), owed_.end(), delivery.delivery) == owed_.end();
  }

  void judge_delivery(const EventAccount::Routing& routing, const DeliveryAccount& delivery) {
    if (count(delivery) || is_void(routing, delivery)) return;
    const auto [endpoint, id] = name_of(delivery.delivery);
    owed(delivery.gave_up_at > 0 ? Gap::no_dead_letter : Gap::not_parked, endpoint, id);
  }

  // False: it has neither ended nor is it parked.
  bool count(const DeliveryAccount& delivery) {
    const bool letter_removed = settled_ && delivery.gave_up_at > 0 && delivery.gave_up_at < letters_since_;
    if (delivery.delivered) return ++totals.delivered;
    if (delivery.cancelled) return ++totals.cancelled;
    if (delivery.dead) return ++totals.dead;
    if (delivery.parked) return ++totals.parked;
    return letter_removed && ++totals.dead;
  }

  // While its event has not settled that is no loss.
  void owed(Gap gap, const EndpointId& endpoint = {}, const DeliveryId& delivery = {}) {
    // A delivery that expired unattempted is told of by its dead letter alone.
    const bool letter_removed =
        gap == Gap::no_fact && !delivery.empty() && to_ms(record_->appended) < letters_since_;
    if (!settled_) {
      ++totals.in_progress;
      in_progress_ = true;
    } else if (letter_removed) {
      ++totals.beyond_evidence;
    } else {
      tell({record_->partition, record_->offset}, event_, endpoint, delivery, gap);
    }
  }

  Hash128 hash_of(const Target& target) {
    if (!webhook_) webhook_ = webhook_id(event_->tenant, event_->source, event_->id);
    return delivery_hash(identity_, {record_->partition, record_->offset}, *webhook_, target.incarnation,
                         event_->replay_job);
  }
  DeliveryId id_of(const Target& target) { return delivery_id_of(record_->partition, hash_of(target)); }

  // A row holds a digest: the delivery is found among those that the event may ever have made.
  std::pair<EndpointId, DeliveryId> name_of(const Hash128& digest) {
    if (event_ == nullptr) return {};
    for (const Target* target : registry_.ever(event_->tenant))
      if (hash_of(*target) == digest) return {target->endpoint, id_of(*target)};
    return {};
  }

  const ReconcileRequest& request_;
  const ReconcileWatch& watch_;
  const RegistryHistory& registry_;
  const LogIdentity identity_;
  const std::int64_t letters_since_;
  std::vector<Repeat> repeats_;
  std::vector<const Target*> targets_;
  std::vector<Hash128> owed_;  // digests of what the event was last routed to
  // Of the event that is looked at.
  const Record* record_ = nullptr;
  const Event* event_ = nullptr;  // nullptr: undecodable
  std::optional<WebhookId> webhook_;
  bool settled_ = false, in_progress_ = false;
};

class Reconcile {
 public:
  Reconcile(Desk& desk, const ReconcileRequest& request, const ReconcileWatch& watch,
            const std::atomic<bool>& stop)
      : desk_(desk), request_(request), watch_(watch), stop_(stop), rows_(by_event) {}

  Result<ReconcileTotals> run() {
    if (auto done = find_spans(); !done) return fail(done.error());
    // What lies below is on the log by now: so it is asked before the log is read.
    for (const auto& [partition, span] : spans_) {
      const auto committed = request_.committed(partition);
      if (!committed) return fail(committed.error());
      committed_[partition] = committed->value_or(-1);
      if (request_.untold_too) continue;  // it asks because the group's are lost
      // A group that has lost its offsets knows less than who had committed them.
      const auto mark = newest_mark(desk_, partition);
      if (!mark) return fail(mark.error());
      if (*mark) committed_[partition] = std::max(committed_[partition], (*mark)->committed.value_or(-1));
    }
    RegistryHistory registry;
    if (auto done = read_registry(registry); !done) return fail(done.error());
    std::int64_t since = request_.since;
    if (since == 0) since = oldest_;
    FactReader facts(
        desk_, spans_, since, [this](std::uint64_t records) { progress(records); }, stop_);
    all_ += facts.records();
    if (auto done = facts.read(rows_); !done) return fail(done.error());
    if (stop_) return stopped();
    if (auto done = rows_.sort(); !done) return fail(done.error());
    Judge judge(request_, watch_, registry, facts.letters_since());
    for (const auto& [partition, span] : spans_) {
      if (auto done = judge_partition(partition, span, judge); !done) return fail(done.error());
      if (auto done = check_repeats(partition, judge); !done) return fail(done.error());
      if (stop_) return stopped();
    }
    judge.totals.lost_at_source = facts.lost_at_source();
    return judge.totals;
  }

 private:
  void progress(std::uint64_t records) {
    done_ += records;
    if (watch_.progress && records > 0) watch_.progress(done_, std::max(done_, all_));
  }

  // --- the span

  Result<void> find_spans() {
    const auto partitions = desk_.log.partitions(Topic::events);
    if (!partitions) return fail(partitions.error());
    for (Partition partition = 0; partition < *partitions; ++partition) {
      if (request_.partition && *request_.partition != partition) continue;
      auto span = desk_.log.extent(Topic::events, partition);
      if (!span) return fail(span.error());
      if (request_.since > 0) {
        for (const Topic topic : {Topic::events, Topic::attempts})
          if (auto held = still_holds(topic, partition, request_.since); !held) return held;
        const auto from = desk_.log.offset_at(Topic::events, partition, from_ms<LogTime>(request_.since));
        if (!from) return fail(from.error());
        span->begin = std::max(span->begin, *from);
      } else if (!request_.untold_too) {
        const auto from = oldest_told(partition, *span);
        if (!from) return fail(from.error());
        span->begin = std::max(span->begin, *from);
      }
      if (request_.until > 0) {
        const auto to = desk_.log.offset_at(Topic::events, partition, from_ms<LogTime>(request_.until));
        if (!to) return fail(to.error());
        span->end = std::min(span->end, *to);
      }
      span->begin = std::max(span->begin, request_.from);
      span->end = std::max(span->begin, span->end);
      spans_[partition] = *span;
      all_ += static_cast<std::uint64_t>(span->end - span->begin);
      if (request_.since == 0)
        if (auto first = find_oldest(partition, *span); !first) return first;
    }
    return {};
  }

  // The first event whose facts cannot have been removed: `events` may be kept for longer than `attempts`.
  Result<Offset> oldest_told(Partition partition, const Extent& span) {
    const auto facts = desk_.log.extent(Topic::attempts, partition);
    if (!facts) return fail(facts.error());
    if (facts->begin == 0) return span.begin;
    Offset from = span.end;
    Result<void> found;
    auto done =
        desk_.log.scan(Topic::attempts, partition, facts->begin, facts->end, [&](const Record& record) {
          const auto at = desk_.log.offset_at(Topic::events, partition, record.appended + Millis(1));
          if (at) from = *at;
          if (!at) found = fail(at.error());
          return false;
        });
    if (!done) return fail(done.error());
    if (!found) return fail(found.error());
    return from;
  }

  // When the first event of the span was appended: facts are no older.
  Result<void> find_oldest(Partition partition, const Extent& span) {
    return desk_.log.scan(Topic::events, partition, span.begin, span.end, [this](const Record& record) {
      const auto at = to_ms(record.appended);
      oldest_ = oldest_ == 0 ? at : std::min(oldest_, at);
      return false;
    });
  }

  Result<void> still_holds(Topic topic, Partition partition, std::int64_t since) {
    const auto extent = desk_.log.extent(topic, partition);
    if (!extent) return fail(extent.error());
    if (extent->begin == 0) return {};  // nothing was ever removed
    if (request_.kept_for.count() > 0 && since >= desk_.now_ms() - request_.kept_for.count()) return {};
    std::int64_t oldest = desk_.now_ms();  // all of it was removed
    auto done = desk_.log.scan(topic, partition, extent->begin, extent->end, [&](const Record& record) {
      oldest = to_ms(record.appended);
      return false;
    });
    if (!done || oldest <= since) return done;
    return fail(Errc::not_found, "BEYOND_RETENTION",
                "`" + std::string(name_of(topic)) + "` of partition " + std::to_string(partition) +
                    " begins at " + rfc3339(oldest) + ": what was before has been removed",
                "ask for a span that begins later, or leave --since out");
  }

  // --- reading

  Result<void> read_registry(RegistryHistory& registry) {
    const auto extent = desk_.log.extent(Topic::endpoints, 0);
    if (!extent) return fail(extent.error());
    return desk_.log.scan(Topic::endpoints, 0, extent->begin, extent->end, [&](const Record& record) {
      registry.apply(desk_.environment, record);
      return !stop_;
    });
  }

  // Rows and events are both in order of offset.
  Result<void> judge_partition(Partition partition, const Extent& span, Judge& judge) {
    EventAccount account;
    Result<void> wrong;
    std::uint64_t records = 0;
    auto done = desk_.log.scan(Topic::events, partition, span.begin, span.end, [&](const Record& record) {
      account.clear();
      wrong = collect(partition, record.offset, account);
      if (wrong) judge.look_at(record, committed_[partition], account);
      if (++records % FactReader::kTellEvery == 0) progress(FactReader::kTellEvery);
      return wrong && !stop_;
    });
    progress(records % FactReader::kTellEvery);
    if (!done) return done;
    if (!wrong) return wrong;
    account.clear();
    return collect(partition, span.end, account);  // what is left of this partition
  }

  // The rows of that offset; those below it belong to events that are no more.
  Result<void> collect(Partition partition, Offset offset, EventAccount& account) {
    for (const FactRow* row = rows_.front();
         row != nullptr &&
         (row->partition < partition || (row->partition == partition && row->offset <= offset));
         row = rows_.front()) {
      if (row->partition == partition && row->offset == offset) account.apply(*row);
      if (auto done = rows_.pop(); !done) return done;
    }
    return {};
  }

  // Each against the event that it is said to repeat, in one more pass over their span.
  Result<void> check_repeats(Partition partition, Judge& judge) {
    auto repeats = judge.take_repeats();
    if (repeats.empty()) return {};
    std::sort(repeats.begin(), repeats.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    auto next = repeats.begin();
    auto done = desk_.log.scan(
        Topic::events, partition, repeats.front().first, repeats.back().first + 1, [&](const Record& record) {
          for (; next != repeats.end() && next->first < record.offset; ++next)
            ++judge.totals.repeats_unchecked;
          if (next == repeats.end() || next->first != record.offset) return next != repeats.end();
          const auto first = wire::decode_kafka(record.key, record.headers, record.value.value_or(""), true);
          for (; next != repeats.end() && next->first == record.offset; ++next) {
            if (!first || key_of(first->event) != next->key)
              judge.tell({partition, next->offset}, nullptr, {}, {}, Gap::repeat_of_another);
          }
          return !stop_.load();
        });
    judge.totals.repeats_unchecked += static_cast<std::uint64_t>(repeats.end() - next);
    return done;
  }

  Desk& desk_;
  const ReconcileRequest& request_;
  const ReconcileWatch& watch_;
  const std::atomic<bool>& stop_;
  FactSorter rows_;
  std::map<Partition, Extent> spans_;
  std::map<Partition, Offset> committed_;
  std::int64_t oldest_ = 0;
  std::uint64_t done_ = 0, all_ = 0;
};

}  // namespace

Result<ReconcileTotals> reconcile(Desk& desk, const ReconcileRequest& request, const ReconcileWatch& watch,
                                  const std::atomic<bool>& stop) {
  return Reconcile(desk, request, watch, stop).run();
}

}  // namespace postrider
