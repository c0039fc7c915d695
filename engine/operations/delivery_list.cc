#include "engine/operations/delivery_list.h"

#include <set>
#include <unordered_map>
#include <unordered_set>
#include <variant>

#include "engine/core/registry.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

struct Tombstone {
  std::string delivery;
};
using DeliveryFact = std::variant<AttemptFact, CancelledFact, DeadLetter, ParkedState, Tombstone>;

const std::string& delivery_of(const DeliveryFact& fact) {
  if (const auto* gone = std::get_if<Tombstone>(&fact)) return gone->delivery;
  return std::visit(
      [](const auto& each) -> const std::string& {
        if constexpr (requires { each.delivery.id; })
          return each.delivery.id.str();
        else
          return each.delivery;
      },
      fact);
}

// Which topics tell of deliveries in that state. What is parked has a record of its own on `parked`, whether
// or not it was tried; what was given up without an attempt stands on `dead-letters` alone.
std::vector<Topic> topics_of(const DeliveryFilter& filter) {
  if (filter.state == DeliveryState::parked) return {Topic::parked};
  if (filter.state == DeliveryState::delivered || filter.state == DeliveryState::cancelled)
    return {Topic::attempts};
  if (filter.state == DeliveryState::dead) return {Topic::attempts, Topic::dead_letters};
  return {Topic::attempts, Topic::parked, Topic::dead_letters};
}

class Listing {
 public:
  Listing(Desk& desk, const DeliveryFilter& filter, const LogPlace& from, std::size_t limit,
          const Patience& patience)
      : desk_(desk),
        filter_(filter),
        from_(from),
        limit_(limit),
        patience_(patience),
        walk_(desk,
              {.since = filter.since,
               .until = filter.until,
               .partition = {},
               .records_max = kDeliveryRecordsMax,
               .patience = patience},
              [this](const Record& record) { return read(record); }) {}

  Result<DeliveryPage> run() {
    if (auto done = walk_.begin(topics_of(filter_), from_); !done) return fail(done.error());
    while (rows_.size() < limit_) {
      auto found = walk_.next();
      if (!found) return fail(found.error());
      if (!*found) break;
      std::visit([&](auto& fact) { take(fact, (*found)->appended); }, (*found)->item);
    }
    DeliveryPage page;
    if (walk_.more()) page.next = walk_.place();
    page.looked_back_to = to_ms(walk_.reached());
    if (auto done = look_for_later_facts(page); !done) return fail(done.error());
    page.rows.reserve(rows_.size());
    for (auto& row : rows_)
      if (!moved_on_.contains(row.delivery.ref()->id.str())) page.rows.push_back(std::move(row));
    return page;
  }

 private:
  std::optional<DeliveryFact> read(const Record& record) const {
    if (record.topic == Topic::parked) return read_parked(record);
    if (!record.value) return std::nullopt;
    if (record.topic == Topic::dead_letters) {
      auto fact = wire::decode_dead_letter(desk_.environment, *record.value);
      auto* letter = fact ? std::get_if<DeadLetter>(&*fact) : nullptr;
      // A bad event never was a delivery.
      if (!letter || category_of(letter->reason) == Category::bad_event) return std::nullopt;
      if (!filter_.matches(letter->delivery)) return std::nullopt;
      letter->sealed_payload.clear();
      return std::move(*letter);
    }
    auto fact = wire::decode_attempts(desk_.environment, *record.value);
    if (!fact) return std::nullopt;
    if (auto* attempt = std::get_if<AttemptFact>(&*fact); attempt && filter_.matches(attempt->delivery))
      return std::move(*attempt);
    if (auto* cancelled = std::get_if<CancelledFact>(&*fact);
        cancelled && filter_.matches(cancelled->delivery))
      return std::move(*cancelled);
    return std::nullopt;
  }

  std::optional<DeliveryFact> read_parked(const Record& record) const {
    if (record.key == kOwnerKey) return std::nullopt;
    if (!record.value) {
      // An end stands on another topic, and before its tombstone. Where that topic is not read, the tombstone
      // tells that nothing is parked any more.
      if (filter_.state == DeliveryState::parked) return Tombstone{record.key};
      return std::nullopt;
    }
    auto fact = wire::decode_parked(desk_.environment, *record.value);
    auto* state = fact ? std::get_if<ParkedState>(&*fact) : nullptr;
    if (!state || !filter_.matches(state->delivery)) return std::nullopt;
    return std::move(*state);
  }

  void take(const Tombstone& gone, LogTime) { seen_.try_emplace(gone.delivery, kNoRow); }

  template <class Fact>
  void take(const Fact& fact, LogTime appended) {
    const auto [known, fresh] = seen_.try_emplace(fact.delivery.id.str(), kNoRow);
    if (fresh) {
      Delivery delivery;
      delivery.apply(fact);
      if (filter_.state && *filter_.state != delivery.state()) return;
      known->second = rows_.size();
      rows_.push_back({.delivery = std::move(delivery), .changed_at = to_ms(appended)});
    } else if (known->second != kNoRow) {
      rows_[known->second].delivery.apply(fact);
    }
    if (known->second != kNoRow) note(rows_[known->second], fact);
  }

  static void note(DeliveryRow& row, const AttemptFact& fact) {
    if (row.attempts == 0) row.last_status = fact.status, row.last_error = fact.error;
    row.attempts = std::max(row.attempts, fact.number);
  }
  template <class State>
  requires requires(const State& state) { state.last_status; }
  static void note(DeliveryRow& row, const State& fact) {
    if (row.attempts == 0) row.last_status = fact.last_status, row.last_error = fact.last_error;
    row.attempts = std::max(row.attempts, fact.attempts);
  }
  static void note(DeliveryRow&, const CancelledFact&) {}

  // A page that does not begin at the end of the log: what is parked on it, or was given up by an attempt,
  // may have gone on since, and stands nearer to the end then.
  Result<void> look_for_later_facts(DeliveryPage& page) {
    std::map<Partition, std::unordered_set<std::string>> parked;
    std::unordered_set<std::string> dead;
    for (const auto& row : rows_) {
      const auto state = row.delivery.state();
      const auto& id = row.delivery.ref()->id.str();
      if (state == DeliveryState::parked) parked[row.delivery.ref()->position.partition].insert(id);
      if (state == DeliveryState::dead && !row.delivery.dead_reason()) dead.insert(id);
    }
    for (const auto& [source, from] : walk_.started_at()) {
      if (source.first == Topic::parked && parked.contains(source.second)) {
        if (auto done = look_at_parked(source.second, from, parked[source.second], page); !done) return done;
      } else if (source.first == Topic::dead_letters && !dead.empty()) {
        if (auto done = look_at_letters(source.second, from, dead); !done) return done;
      }
    }
    return {};
  }

  // The first page sees what came while it was read, too: that is newer than the list, and changes nothing.
  Result<std::optional<Offset>> end_of(Topic topic, Partition partition, Offset from) {
    if (filter_.until == 0 && from_.empty()) return std::optional<Offset>();
    const auto extent = desk_.log.extent(topic, partition);
    if (!extent) return fail(extent.error());
    return extent->end > from ? std::optional(extent->end) : std::nullopt;
  }

  Result<void> look_at_parked(Partition partition, Offset from, const std::unordered_set<std::string>& ids,
                              DeliveryPage& page) {
    const auto end = end_of(Topic::parked, partition, from);
    if (!end) return fail(end.error());
    if (!*end) return {};
    return desk_.log.scan(Topic::parked, partition, from, **end, [&](const Record& record) {
      if (ids.contains(record.key)) moved_on_.insert(record.key);
      if (++later_ <= kLaterRecordsMax && !patience_.stopped()) return true;
      return page.later_facts_checked = false;
    });
  }

  // A dead letter follows the attempt that gave up within moments.
  Result<void> look_at_letters(Partition partition, Offset from, const std::unordered_set<std::string>& ids) {
    constexpr Offset kLettersLater = 1'000;
    const auto end = end_of(Topic::dead_letters, partition, from);
    if (!end) return fail(end.error());
    if (!*end) return {};
    return desk_.log.scan(Topic::dead_letters, partition, from, std::min(**end, from + kLettersLater),
                          [&](const Record& record) {
                            if (const auto fact = read(record); fact && ids.contains(delivery_of(*fact)))
                              moved_on_.insert(delivery_of(*fact));
                            return true;
                          });
  }

  static constexpr std::size_t kNoRow = static_cast<std::size_t>(-1);
  Desk& desk_;
  const DeliveryFilter& filter_;
  const LogPlace& from_;
  const std::size_t limit_;
  const Patience patience_;
  NewestFirst<DeliveryFact> walk_;
  std::vector<DeliveryRow> rows_;
  std::unordered_map<std::string, std::size_t> seen_;  // by delivery id: its row
  std::unordered_set<std::string> moved_on_;
  std::uint64_t later_ = 0;
};

}  // namespace

bool DeliveryFilter::matches(const DeliveryRef& delivery) const {
  return (tenant.empty() || tenant == delivery.tenant) &&
         (endpoint.empty() || endpoint == delivery.target.endpoint) &&
         (type.empty() || matches_type(type, delivery.event_type)) &&
         (event_id.empty() || event_id == delivery.event_id) &&
         (webhook_id.empty() || webhook_id == delivery.webhook_id.str()) &&
         (replay_job.empty() || replay_job == delivery.replay_job);
}

Result<DeliveryPage> list_deliveries(Desk& desk, const DeliveryFilter& filter, const LogPlace& from,
                                     std::size_t limit, const Patience& patience) {
  return Listing(desk, filter, from, limit, patience).run();
}

Result<AttemptPage> list_attempts(Desk& desk, const DeliveryId& id, const TenantId& within,
                                  const LogPlace& from, std::size_t limit, const Patience& patience) {
  const auto partition = partition_of(id.str());
  if (!partition) return fail(Errc::invalid, "INVALID_REQUEST", "that is no delivery id", "write \"dlv_…\"");
  NewestFirst<AttemptFact> walk(desk,
                                {.since = 0,
                                 .until = 0,
                                 .partition = partition,
                                 .records_max = kAttemptRecordsMax,
                                 .patience = patience},
                                [&](const Record& record) -> std::optional<AttemptFact> {
                                  if (record.key != id.str() || !record.value) return std::nullopt;
                                  auto fact = wire::decode_attempts(desk.environment, *record.value);
                                  auto* attempt = fact ? std::get_if<AttemptFact>(&*fact) : nullptr;
                                  if (!attempt || (!within.empty() && attempt->delivery.tenant != within))
                                    return std::nullopt;
                                  return std::move(*attempt);
                                });
  if (auto done = walk.begin({Topic::attempts}, from); !done) return fail(done.error());
  AttemptPage page;
  std::set<Stamp> seen;  // a late landing is the same fact again
  while (page.attempts.size() < limit) {
    auto found = walk.next();
    if (!found) return fail(found.error());
    if (!*found) break;
    if (seen.insert((*found)->item.stamp).second) page.attempts.push_back(std::move((*found)->item));
  }
  if (walk.more()) page.next = walk.place();
  return page;
}

}  // namespace postrider
