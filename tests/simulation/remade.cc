// The last that happens in some runs: `events` is deleted and made again, shorter, as long or longer, with
// and without the group's offsets. By then all has settled, and the oracle has judged; what comes after has a
// judge of its own, since positions mean other events now.
#include <algorithm>
#include <utility>

#include "engine/core/ids.h"
#include "engine/operations/settled_offsets.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "tests/simulation/log_client.h"
#include "tests/simulation/node.h"

namespace postrider::simulation {
namespace {

constexpr std::int64_t kTakenOverWithin = 30'000;
constexpr std::int64_t kParkedEndWithin = 600'000;

// What was published where, and who shall hear of it.
class Judge {
 public:
  Judge(Timeline& time, Oracle& oracle) : time_(time), oracle_(oracle) {}

  std::set<Partition> refused;
  std::map<Partition, Offset> committed;

  // That partition's topic is not made again after all: what was published there is owed.
  void stays(Partition partition) {
    for (auto& [webhook, one] : events_)
      if (one.partition == partition) one.old = false;
  }
  // Of a delivery that was parked when its topic went: heard of, or dead.
  bool is_done(const DeliveryRef& ref, const std::string& host) const {
    const auto one = events_.find(ref.webhook_id);
    return ended_.contains(ref.id.str()) || (one != events_.end() && !one->second.owed.contains(host));
  }

  // `old`: of the topic that goes; it may be lost with it.
  NewRecord publish(Draw& draw, const std::vector<std::string>& types, int tenants, Partition partition,
                    bool old) {
    Event event;
    event.tenant = TenantId("t" + std::to_string(draw.between(1, tenants)));
    event.source = "/shop";
    event.type = draw.pick(types);
    event.id = (old ? "old" : "new") + std::to_string(++published_);
    event.datacontenttype = "application/json";
    event.data = "{\"id\":\"" + event.id + "\"}";
    One one{event.id, partition, old, {}, {}};
    for (const auto& [name, endpoint] : oracle_.endpoints) {
      const Change* last = endpoint.last();
      if (last == nullptr || endpoint.tenant != event.tenant) continue;
      const bool takes = last->exists && matches_type(last->types, event.type);
      if (takes || endpoint.uncertain)
        for (const Change& change : endpoint.changes) one.may.insert(change.host);
      if (takes && !endpoint.uncertain) one.owed.insert(last->host);
    }
    events_.emplace(webhook_id(event.tenant, event.source, event.id), std::move(one));
    wire::KafkaMessage message = wire::encode_kafka(event);
    return {.topic = Topic::events,
            .partition = partition,
            .key = std::move(message.key),
            .value = std::move(message.value),
            .headers = std::move(message.headers)};
  }

  void on_arrival(const Arrival& arrival) {
    const WebhookId webhook(arrival.header("webhook-id"));
    time_.note([&] { return arrival.host + " hears of " + webhook.str(); });
    const auto found = events_.find(webhook);
    if (found == events_.end())
      throw Violation("what had settled in a topic of old was sent to " + arrival.host + " again");
    One& one = found->second;
    if (arrival.request.body->find("\"" + one.id + "\"") == std::string::npos)
      throw Violation("an attempt at " + arrival.host + " carries another event than its webhook id, of " +
                      one.id + ", says: " + *arrival.request.body);
    if (!one.may.contains(arrival.host))
      throw Violation(one.id + " arrives at " + arrival.host + ", which its tenant did not subscribe to it");
    if (!one.old && refused.contains(one.partition))
      throw Violation("an event of a topic that was made again arrived before it was accepted");
    if (arrival.answered_2xx) one.owed.erase(arrival.host);
  }

  void on_commit(Partition partition, Offset to) {
    if (refused.contains(partition))
      throw Violation("partition " + std::to_string(partition) +
                      ", which was made again, was committed before it was accepted");
    committed[partition] = to;
  }

  // What died of age or of its receiver is owed no more.
  void on_visible(const Kafka::Slot& slot) {
    if (slot.record.topic != Topic::dead_letters) return;
    const auto fact = wire::decode_dead_letter(kEnvironment, slot.record.value.value_or(""));
    const auto* letter = fact ? std::get_if<DeadLetter>(&*fact) : nullptr;
    if (letter == nullptr) return;
    const DeliveryRef& of = letter->delivery;
    const auto one = events_.find(webhook_id(of.tenant, letter->event_source, of.event_id));
    ended_.insert(of.id.str());
    if (one == events_.end()) return;
    if (!one->second.old && letter->reason != DeadReason::expired &&
        letter->reason != DeadReason::attempts_exhausted)
      throw Violation("event " + of.event_id +
                      " of a topic that was made again is dead: " + std::string(reason_of(letter->reason)));
    if (const Change* last = oracle_.endpoints.at({of.tenant, of.target.endpoint}).last())
      one->second.owed.erase(last->host);
  }

  // Of the new topics. nullopt: nothing.
  std::optional<std::string> owed() const {
    for (const auto& [webhook, one] : events_)
      if (!one.old && !one.owed.empty())
        return "event " + one.id + " of partition " + std::to_string(one.partition) + ", " +
               std::to_string(one.owed.size()) + " of its endpoints have not heard of it";
    return std::nullopt;
  }

 private:
  struct One {
    std::string id;
    Partition partition = 0;
    bool old = false;
    std::set<std::string> owed, may;  // hosts
  };
  Timeline& time_;
  Oracle& oracle_;
  std::map<WebhookId, One> events_;
  std::set<std::string> ended_;  // deliveries
  int published_ = 0;
};

// What the newest owner mark can tell of: that fewer events are there than were seen, or others.
bool is_told_by(const OwnerMark& mark, Offset events) {
  return mark.events_end > events || (mark.read && mark.read->offset < events);
}

}  // namespace

// What stands last on `parked`, of all partitions.
std::vector<ParkedState> Run::parked_states() {
  std::map<std::string, ParkedState> last;
  for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
    for (const Kafka::Slot& slot : kafka_.part(Topic::parked, partition).slots) {
      if (slot.gone || slot.record.key == kOwnerKey) continue;
      last.erase(slot.record.key);
      auto fact = slot.record.value ? wire::decode_parked(kEnvironment, *slot.record.value)
                                    : fail(Errc::not_found, "", "", "");
      if (fact && std::holds_alternative<ParkedState>(*fact))
        last.emplace(slot.record.key, std::get<ParkedState>(*std::move(fact)));
    }
  }
  std::vector<ParkedState> states;
  for (auto& [id, state] : last) states.push_back(std::move(state));
  return states;
}

void Run::make_topics_again() {
  auto judge = std::make_shared<Judge>(time_, oracle_);
  held_down_ = true;  // the operator of before looks no more
  kafka_.on_visible = [judge](const Kafka::Slot& slot) { judge->on_visible(slot); };
  group_.on_assigned = [](const Process&, const Assignment&) {};
  group_.on_commit = [judge](const Process&, Partition partition, Offset, Offset to, SteadyTime) {
    judge->on_commit(partition, to);
  };
  hosts_.on_arrival = [judge](const Arrival& arrival) { judge->on_arrival(arrival); };
  hosts_.on_in_flight = [](const Process&, const std::string&, int) {};
  Node& node = *nodes_.front();
  node.observer->on_gauges = [](const ShardGauges&) {};
  const auto restart = [&] {
    if (node.process.alive) kill(node, false);
    if (draw_.chance(0.3)) node.store.wipe();
    go(time_.now + kGroupEmptyAfter);
    start(node);
    node.observer->on_gauges = [](const ShardGauges&) {};
  };

  // Some events more of the old one, under way, parked or done when it goes.
  const bool parks = draw_.chance(0.5);
  for (auto& [host, receiver] : hosts_.receivers)
    if (parks) receiver.mood = Receiver::Mood::fails;
  for (Partition partition = 0; partition < kafka_.partitions; ++partition)
    for (auto more = draw_.between(0, 3); more > 0; --more)
      kafka_.produce(judge->publish(draw_, types_, scenario_.tenants, partition, true), 0);
  go(time_.now + (draw_.chance(0.5) ? 70'000 : draw_.between(0, 1500)));
  kill(node, false);
  calm_moods();
  go(time_.now + 3000);  // what it had sent is there, or lost

  SimLogClient client(kafka_);
  SimClock clock(time_);
  Draw unused(1);
  Desk desk{client, kEnvironment, unused, clock};
  std::map<Partition, std::optional<OwnerMark>> marks;
  for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
    const auto mark = newest_mark(desk, partition);
    if (!mark) throw Violation("the owner mark cannot be read: " + mark.error().message);
    marks[partition] = *mark;
    // What no mark tells of cannot be seen: not this one, then.
    if (!*mark || !(*mark)->read || draw_.chance(0.2)) {
      judge->stays(partition);
      continue;
    }
    Kafka::Part& events = kafka_.part(Topic::events, partition);
    const Offset was = events.end();
    events = Kafka::Part{};
    const bool longer = draw_.chance(0.4);
    const Offset now = longer ? was + draw_.between(0, 8) : draw_.between(0, was);
    if (draw_.chance(0.5)) group_.commits.erase(partition);
    if (is_told_by(**mark, now)) judge->refused.insert(partition);
    time_.note([&] {
      return "`events` of " + std::to_string(partition) + " is made again: " + std::to_string(now) +
             " events where " + std::to_string(was) + " were; the group has " +
             (group_.commits.contains(partition) ? std::to_string(group_.commits[partition].offset)
                                                 : std::string("nothing"));
    });
    for (Offset offset = 0; offset < now; ++offset)
      kafka_.produce(judge->publish(draw_, types_, scenario_.tenants, partition, false), 0);
  }
  const auto parked = parked_states();
  restart();
  go(time_.now + kTakenOverWithin);
  std::string complaints;
  node.shard->service().readiness([&](Result<Readiness> ready) {
    if (!ready) return;
    for (const std::string& complaint : ready->complaints) complaints += complaint + "\n";
  });
  for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
    const std::string verb = "topics accept-source --partition " + std::to_string(partition) + " ";
    const bool refused = complaints.find(verb) != std::string::npos;
    if (refused != judge->refused.contains(partition))
      throw Violation(
          "partition " + std::to_string(partition) + ", " +
          (refused ? "the same as ever, is refused: " : "which was made again, is not refused: ") +
          complaints);
    const auto group = group_.commits.find(partition);
    const auto settled = settled_offset(
        desk, partition, group == group_.commits.end() ? std::nullopt : std::optional(group->second.offset),
        {});
    if (refused && marks[partition]->committed && settled)
      throw Violation("offsets rebuild goes on with a topic that was made again");
  }

  // The operator accepts them; the code is the command's.
  kill(node, false);
  go(time_.now + kGroupEmptyAfter);
  for (const Partition partition : std::exchange(judge->refused, {})) {
    const auto events = client.extent(Topic::events, partition);
    const auto group = group_.commits.find(partition);
    const auto from = accepted_offset(
        desk, partition, marks[partition],
        group == group_.commits.end() ? std::nullopt : std::optional(group->second.offset), *events);
    if (!from) throw Violation("accept-source refuses: " + from.error().message);
    group_.commits[partition] = {*from, ""};
    OwnerMark mark;
    mark.log = kIdentity;
    mark.instance = "postrider-ops";
    kafka_.produce({.topic = Topic::parked,
                    .partition = partition,
                    .key = std::string(kOwnerKey),
                    .value = wire::encode(kEnvironment, mark),
                    .headers = {}},
                   0);
    time_.note([&] { return "operator: accepts " + at({partition, *from}); });
  }
  go(time_.now + 1000);
  restart();
  for (Partition partition = 0; partition < kafka_.partitions; ++partition)
    kafka_.produce(judge->publish(draw_, types_, scenario_.tenants, partition, false), 0);
  const auto settled = [&] {
    for (Partition partition = 0; partition < kafka_.partitions; ++partition)
      if (judge->committed[partition] < kafka_.part(Topic::events, partition).high) return false;
    return !judge->owed();
  };
  const auto undone = [&] {
    return std::find_if(parked.begin(), parked.end(), [&](const ParkedState& state) {
      const DeliveryRef& ref = state.delivery;
      const EndpointHistory& endpoint = oracle_.endpoints.at({ref.tenant, ref.target.endpoint});
      return endpoint.last() != nullptr && !endpoint.uncertain && !judge->is_done(ref, endpoint.last()->host);
    });
  };
  go(time_.now + 1000);  // what was published is there to be seen
  go(time_.now + kParkedEndWithin, [&] { return settled() && undone() == parked.end(); });
  if (undone() != parked.end())
    throw Violation("parked when its topic went, and neither arrived nor dead: " +
                    undone()->delivery.id.str());
  if (const auto owed = judge->owed()) throw Violation("of a topic that was made again: " + *owed);
  if (!settled()) throw Violation("a topic that was made again is not committed to its end");
}

}  // namespace postrider::simulation
