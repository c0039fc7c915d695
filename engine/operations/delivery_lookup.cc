#include "engine/operations/delivery_lookup.h"

#include <map>
#include <vector>

#include "engine/core/registry.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

constexpr std::size_t kPositionsMax = 100;

template <class... Each>
struct Visitor : Each... {
  using Each::operator()...;
};
template <class... Each>
Visitor(Each...) -> Visitor<Each...>;

std::string place(Position position) {
  return "partition " + std::to_string(position.partition) + ", offset " + std::to_string(position.offset);
}

class Lookup {
 public:
  Lookup(Desk& desk, const std::string& id, std::int64_t since, const TenantId& within)
      : desk_(desk), id_(id), since_(since), within_(within), own_partition_(partition_of(id)) {}

  Result<DeliveryLookup> run() {
    for (const auto topic : {Topic::attempts, Topic::parked, Topic::dead_letters})
      if (auto done = read(topic); !done) return fail(done.error());
    DeliveryLookup answer;
    for (auto& [id, delivery] : found_)
      if (delivery.ref()) answer.deliveries.push_back(std::move(delivery));
    if (found_.size() >= kDeliveriesFoundMax)
      answer.explanations.push_back("there are more than " + std::to_string(kDeliveriesFoundMax) +
                                    " deliveries; these are some of them");
    if (answer.deliveries.empty() && !own_partition_)
      if (auto done = explain(answer); !done) return fail(done.error());
    if (!answer.deliveries.empty() || !answer.explanations.empty()) return answer;
    return fail(Errc::not_found, "NOT_FOUND", "nothing on the log speaks of " + id_,
                "check the id and the environment; attempts are kept for 30 days, dead letters for 7");
  }

 private:
  Result<void> read(Topic topic) {
    const auto partitions = desk_.log.partitions(topic);
    if (!partitions) return fail(partitions.error());
    for (Partition partition = 0; partition < *partitions; ++partition) {
      // Dead letters lie by tenant; all else of a delivery lies in its source partition.
      if (own_partition_ && topic != Topic::dead_letters && partition != *own_partition_) continue;
      auto done = scan(topic, partition, since_, [&](const Record& record) {
        if (own_partition_ && topic != Topic::dead_letters && record.key != id_) return;
        take(topic, record);
      });
      if (!done) return done;
    }
    return {};
  }

  template <class Each>
  Result<void> scan(Topic topic, Partition partition, std::int64_t since, Each each) {
    auto extent = desk_.log.extent(topic, partition);
    if (!extent) return fail(extent.error());
    // `parked` is compacted: an old state may be the one that counts.
    if (since > 0 && topic != Topic::parked) {
      auto from = desk_.log.offset_at(topic, partition, from_ms<LogTime>(since));
      if (!from) return fail(from.error());
      extent->begin = std::max(extent->begin, *from);
    }
    return desk_.log.scan(topic, partition, extent->begin, extent->end, [&](const Record& record) {
      each(record);
      return true;
    });
  }

  void take(Topic topic, const Record& record) {
    if (topic == Topic::parked) return take_parked(record);
    if (!record.value) return;
    if (topic == Topic::dead_letters) {
      const auto fact = wire::decode_dead_letter(desk_.environment, *record.value);
      if (const auto* letter = fact ? std::get_if<DeadLetter>(&*fact) : nullptr)
        apply(letter->delivery, *letter);
      return;
    }
    const auto fact = wire::decode_attempts(desk_.environment, *record.value);
    if (!fact) return;
    std::visit(Visitor{[this](const AttemptFact& attempt) { apply(attempt.delivery, attempt); },
                       [this](const CancelledFact& cancelled) { apply(cancelled.delivery, cancelled); },
                       [](const auto&) {}},
               *fact);
  }

  void take_parked(const Record& record) {
    if (!record.value) {
      const auto known = found_.find(DeliveryId(record.key));
      const auto stamp = wire::read_stamp(record.headers);
      if (known != found_.end() && stamp) known->second.unparked(*stamp);
      return;
    }
    const auto fact = wire::decode_parked(desk_.environment, *record.value);
    if (const auto* state = fact ? std::get_if<ParkedState>(&*fact) : nullptr) apply(state->delivery, *state);
  }

  bool is_within(const TenantId& tenant) const { return within_.empty() || within_ == tenant; }

  template <class Fact>
  void apply(const DeliveryRef& ref, const Fact& fact) {
    if (!is_within(ref.tenant)) return;
    if (ref.id.str() != id_ && ref.webhook_id.str() != id_ && ref.event_id != id_) return;
    const auto known = found_.find(ref.id);
    if (known != found_.end())
      known->second.apply(fact);
    else if (found_.size() < kDeliveriesFoundMax)
      found_[ref.id].apply(fact);
  }

  // The event is there and has no delivery: the facts of its partition tell why.
  Result<void> explain(DeliveryLookup& answer) {
    const auto partitions = desk_.log.partitions(Topic::events);
    if (!partitions) return fail(partitions.error());
    for (Partition partition = 0; partition < *partitions; ++partition) {
      auto events = find_events(partition);
      if (!events) return fail(events.error());
      if (events->empty()) continue;
      if (auto done = explain(partition, *events, answer); !done) return done;
    }
    return {};
  }

  struct Found {
    TenantId tenant;
    std::string type;
    LogTime appended{};
    std::string why;
  };
  using Events = std::map<Offset, Found>;

  Result<Events> find_events(Partition partition) {
    Events events;
    auto done = scan(Topic::events, partition, since_, [&](const Record& record) {
      if (!record.value || events.size() >= kPositionsMax) return;
      auto decoded = wire::decode_kafka(record.key, record.headers, *record.value, true);
      if (!decoded) return;
      const auto& event = decoded->event;
      if (!is_within(event.tenant)) return;
      if (event.id != id_ && webhook_id(event.tenant, event.source, event.id).str() != id_) return;
      events[record.offset] = {event.tenant, event.type, record.appended, {}};
    });
    if (!done) return fail(done.error());
    return events;
  }

  Result<void> explain(Partition partition, Events& events, DeliveryLookup& answer) {
    const auto since = to_ms(events.begin()->second.appended);
    auto done = scan(Topic::attempts, partition, since, [&](const Record& record) {
      if (!record.value) return;
      const auto fact = wire::decode_attempts(desk_.environment, *record.value);
      if (fact) std::visit([&](const auto& each) { note(each, partition, events); }, *fact);
    });
    if (!done) return done;
    for (const auto& [offset, event] : events) {
      answer.pending = answer.pending || event.why.empty();
      answer.explanations.push_back(
          "event " + id_ + " of tenant " + event.tenant.str() + ", type " + event.type + " (" +
          place({partition, offset}) + ", " + rfc3339(to_ms(event.appended)) + ") " +
          (event.why.empty() ? "has not been routed yet, or its deliveries have had no attempt so far"
                             : event.why));
    }
    return {};
  }

  void note(const NoMatchFact& fact, Partition partition, Events& events) const {
    if (fact.partition != partition) return;
    for (const auto& [first, last] : fact.offsets)
      for (auto at = events.lower_bound(first); at != events.end() && at->first <= last; ++at)
        at->second.why = "matched no endpoint: none of that tenant subscribed to that type";
  }
  void note(const RepeatFact& fact, Partition partition, Events& events) const {
    if (fact.partition != partition) return;
    for (const auto& repeat : fact.repeats)
      if (const auto at = events.find(repeat.offset); at != events.end())
        at->second.why = "is a repeat of the event at " + place({partition, repeat.first}) +
                         " and was not delivered again";
  }
  void note(const SetAsideFact& fact, Partition partition, Events& events) const {
    if (fact.position.partition != partition) return;
    if (const auto at = events.find(fact.position.offset); at != events.end())
      at->second.why = "was set aside as a dead letter: " + std::string(reason_of(fact.reason));
  }
  void note(const auto&, Partition, Events&) const {}

  Desk& desk_;
  const std::string& id_;
  const std::int64_t since_;
  const TenantId& within_;
  const std::optional<Partition> own_partition_;  // of a delivery id
  std::map<DeliveryId, Delivery> found_;
};

}  // namespace

Result<DeliveryLookup> look_up_deliveries(Desk& desk, const std::string& id, std::int64_t since,
                                          const TenantId& within) {
  if (id.empty() || id.size() > 1024)
    return fail(Errc::invalid, "INVALID_REQUEST", "the id is empty or too long",
                "give a delivery id, a webhook-id or an event id");
  return Lookup(desk, id, since, within).run();
}

}  // namespace postrider
