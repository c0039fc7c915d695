#include "tests/simulation/oracle.h"

#include <algorithm>
#include <utility>

#include "engine/core/bytes.h"
#include "engine/core/registry.h"
#include "engine/core/url.h"
#include "engine/wire/codec.h"

namespace postrider::simulation {
namespace {

// A fault may show some time after it: a session's length and a message's.
constexpr std::int64_t kExcusesFor = 60'000;
constexpr std::int64_t kLookedAtFor = 8'000;
constexpr std::int64_t kConnectsWithinS = 4;  // Hosts::connect_ms_max, and roundings

std::string at(Position position) {
  return std::to_string(position.partition) + "@" + std::to_string(position.offset);
}

}  // namespace

void Oracle::broken(const std::string& what) const {
  throw Violation(what);
}

void Oracle::excuse(const std::string& what) {
  time_.note([&] { return "fault: " + what; });
  faultless = false;
  excuses_.push_back(time_.now);
}

const Publication* Oracle::publication(Position position) const {
  const auto log = events_.find(position.partition);
  if (log == events_.end() || position.offset < 0 ||
      static_cast<std::size_t>(position.offset) >= log->second.size()) {
    return nullptr;
  }
  return &publications[log->second[static_cast<std::size_t>(position.offset)].tag - 1];
}

Oracle::EventSeen* Oracle::event(Position position) {
  auto& log = events_[position.partition];
  return position.offset >= 0 && static_cast<std::size_t>(position.offset) < log.size()
             ? &log[static_cast<std::size_t>(position.offset)]
             : nullptr;
}

const Oracle::Life* Oracle::life_of(const Incarnation& incarnation) const {
  const auto at = lives_.find(incarnation);
  return at == lives_.end() ? nullptr : &at->second;
}

bool Oracle::matches(const Change& change, const Publication& published) const {
  if (!change.exists) return false;
  return published.target ? true : matches_type(change.types, published.type);
}

// The command that was in force when the event was published, and all that were asked for until it settled,
// say that the endpoint takes it.
bool Oracle::must(const EndpointHistory& endpoint, const EventSeen& event, const Publication& published,
                  std::int64_t until, int& life) const {
  if (endpoint.uncertain || endpoint.tenant != published.tenant) return false;
  const Change* in_force = nullptr;
  std::size_t index = 0;
  for (std::size_t i = 0; i < endpoint.changes.size(); ++i) {
    const Change& change = endpoint.changes[i];
    if (change.answered && *change.answered <= event.landed) in_force = &change, index = i;
  }
  if (in_force == nullptr || !matches(*in_force, published)) return false;
  life = in_force->life;
  for (std::size_t i = index + 1; i < endpoint.changes.size(); ++i) {
    const Change& change = endpoint.changes[i];
    if (change.asked > until) break;
    if (change.life != life || !matches(change, published)) return false;
  }
  return true;
}

Oracle::DeliverySeen& Oracle::delivery(const DeliveryRef& ref) {
  const Publication* published = publication(ref.position);
  if (published == nullptr) broken("a fact names position " + at(ref.position) + ", where nothing is");
  const DeliveryId expected =
      delivery_id(kIdentity, ref.position, published->webhook, ref.target.incarnation, published->job);
  if (ref.id != expected)
    broken("delivery " + ref.id.str() + " is not that of its position " + at(ref.position));
  if (ref.tenant != published->tenant)
    broken("delivery " + ref.id.str() + " is of another tenant than its event");
  if (const Life* life = life_of(ref.target.incarnation);
      life && life->endpoint->tenant != published->tenant) {
    broken("an event of " + published->tenant.str() + " is delivered to an endpoint of another tenant");
  }
  if (published->target && published->target->incarnation != ref.target.incarnation) {
    broken("a replay of " + published->target->endpoint.str() + " is delivered to a namesake");
  }
  auto [found, added] = deliveries_.try_emplace(ref.id.str());
  if (added) {
    found->second.id = ref.id.str();
    found->second.position = ref.position;
    found->second.incarnation = ref.target.incarnation;
    event(ref.position)->deliveries.insert(ref.id.str());
  }
  return found->second;
}

// --- what stands on the log

void Oracle::on_visible(const Kafka::Slot& slot) {
  const Record& record = slot.record;
  see_seal(slot);
  switch (record.topic) {
    case Topic::events: {
      auto& log = events_[record.partition];
      if (static_cast<Offset>(log.size()) != record.offset) broken("the simulation itself: a gap in events");
      EventSeen seen;
      seen.tag = slot.tag;
      seen.appended = record.appended;
      seen.landed = to_ms(record.appended) - Timeline::kBorn;
      log.push_back(std::move(seen));
      const Publication& published = publications[slot.tag - 1];
      if (!published.bad) by_webhook_[published.webhook].push_back({record.partition, record.offset});
      break;
    }
    case Topic::endpoints:
      see_def(record);
      break;
    case Topic::keys:
      if (auto key = wire::decode_key(kEnvironment, record.value.value_or("")))
        keys_seen_.insert(key->key_id);
      break;
    case Topic::attempts:
      see_attempts(slot);
      break;
    case Topic::parked:
      see_parked(slot);
      break;
    case Topic::dead_letters:
      see_dead_letter(record);
      break;
    default:
      break;
  }
}

// Nothing is sealed under a key whose record is not acknowledged (DESIGN §5).
void Oracle::see_seal(const Kafka::Slot& slot) {
  if (!slot.record.value) return;
  const std::string& bytes = *slot.record.value;
  for (std::size_t found = bytes.find("sealed:key_"); found != std::string::npos;
       found = bytes.find("sealed:key_", found + 1)) {
    const std::size_t end = bytes.find(':', found + 7);
    const std::string key = bytes.substr(found + 7, end - found - 7);
    if (!keys_seen_.contains(key))
      broken("a value is sealed under " + key + ", whose record is not on the log");
  }
}

void Oracle::see_def(const Record& record) {
  auto fact = wire::decode_registry(kEnvironment, record.value.value_or(""));
  if (!fact || !std::holds_alternative<EndpointDef>(*fact)) return;
  const EndpointDef& def = std::get<EndpointDef>(*fact);
  time_.note([&] {
    return "endpoints 0@" + std::to_string(record.offset) + " " + record.key + " revision " +
           std::to_string(def.revision) + (def.deleted ? ", deleted" : " at " + def.url) +
           (wire::is_restated(record.headers) ? ", restated" : "");
  });
  if (lives_.contains(def.incarnation) || def.deleted) return;
  const auto known = endpoints.find({def.tenant, def.id});
  const auto url = parse_url(def.url);
  if (known == endpoints.end() || !url) return;
  for (const Change& change : known->second.changes) {
    if (change.host == url->host) lives_[def.incarnation] = {&known->second, change.life, def.incarnation};
  }
}

void Oracle::on_repeat_index(const Process& process, const std::vector<RepeatIndexGauge>& index) {
  for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
    const bool whole = std::any_of(index.begin(), index.end(), [&](const RepeatIndexGauge& one) {
      return one.partition == partition && one.complete;
    });
    Whole& known = whole_[partition];
    if (whole && known.process != process.number) known = {process.number, time_.now};
    if (!whole && known.process == process.number) known = {};
  }
}

// Published after the index was whole, it must not be delivered when an earlier one of its kind was.
void Oracle::judge_repeat(const Kafka::Slot& slot, const AttemptFact& fact) {
  const Position position = fact.delivery.position;
  const EventSeen& seen = *event(position);
  const Whole& whole = whole_[position.partition];
  if (slot.late || slot.origin != whole.process || whole.since >= seen.landed) return;
  // It waits for what stands at the first position for a while only.
  if (payloads_may_be_lost || time_.now - seen.landed > kLookedAtFor) return;
  const Publication& published = *publication(position);
  if (published.target) return;  // sealed: without its key it cannot be compared
  for (const Position& first : by_webhook_[fact.delivery.webhook_id]) {
    if (first.partition != position.partition || first.offset >= position.offset) continue;
    const EventSeen& earlier = *event(first);
    if (publication(first)->target || earlier.delivered_at == 0 || earlier.delivered_at >= seen.landed)
      continue;
    if (seen.appended - earlier.appended >= repeat_window) continue;
    broken("event " + at(position) + " is delivered, a repeat of " + at(first) + ", by process " +
           std::to_string(slot.origin) + ", whose index of first positions is whole since " +
           std::to_string(time_.now - whole.since) + " ms");
  }
}

void Oracle::see_attempts(const Kafka::Slot& slot) {
  auto decoded = wire::decode_attempts(kEnvironment, slot.record.value.value_or(""));
  if (!decoded) broken("a record of attempts is unreadable");
  if (auto* fact = std::get_if<AttemptFact>(&*decoded)) {
    DeliverySeen& seen = delivery(fact->delivery);
    if (!seen.attempts.insert(fact->stamp).second) return;  // landed twice
    seen.charged = std::max(seen.charged, fact->number);
    if (seen.attempts.size() == 1) judge_repeat(slot, *fact);
    if (fact->verdict == Verdict::Kind::success) {
      seen.success = true;
      EventSeen& delivered = *event(fact->delivery.position);
      if (delivered.delivered_at == 0 && !slot.late) delivered.delivered_at = time_.now;
      const Life* life = life_of(seen.incarnation);
      if (life && !life->endpoint->uncertain) {
        const auto arrived = arrived_.find({fact->delivery.webhook_id, life->number});
        if (arrived == arrived_.end() || arrived->second.accepted.empty()) {
          broken("delivery " + fact->delivery.id.str() +
                 " is called delivered, yet its receiver accepted nothing");
        }
      }
    }
  } else if (auto* cancelled = std::get_if<CancelledFact>(&*decoded)) {
    DeliverySeen& seen = delivery(cancelled->delivery);
    seen.cancelled = true;
    const Life* life = life_of(seen.incarnation);
    const bool deleted = life == nullptr || life->endpoint->uncertain ||
                         std::any_of(life->endpoint->changes.begin(), life->endpoint->changes.end(),
                                     [&](const auto& c) { return !c.exists || c.life > life->number; });
    if (!deleted || cancelled->reason == CancelReason::tenant_erased) {
      broken("delivery " + cancelled->delivery.id.str() + " was cancelled (" +
             std::string(reason_of(cancelled->reason)) + "), though nobody deleted its endpoint");
    }
  } else if (auto* none = std::get_if<NoMatchFact>(&*decoded)) {
    for (const auto& [first, last] : none->offsets) {
      for (Offset offset = first; offset <= last; ++offset) {
        EventSeen* seen = event({none->partition, offset});
        if (seen == nullptr)
          broken("a no-match fact names " + at({none->partition, offset}) + ", where nothing is");
        seen->no_match = true;
      }
    }
  } else if (auto* repeats = std::get_if<RepeatFact>(&*decoded)) {
    for (const auto& one : repeats->repeats) {
      const Position position{repeats->partition, one.offset}, first{repeats->partition, one.first};
      const Publication *repeat = publication(position), *original = publication(first);
      if (repeat == nullptr || original == nullptr || one.first >= one.offset) {
        broken("event " + at(position) + " is called a repeat of " + at(first));
      }
      const bool same = repeat->tenant == original->tenant && repeat->source == original->source &&
                        repeat->id == original->id && repeat->target == original->target &&
                        repeat->job == original->job && !original->bad;
      if (!same) broken("event " + at(position) + " is called a repeat of another: " + at(first));
      if (event(position)->appended - event(first)->appended >= repeat_window) {
        broken("event " + at(position) + " is called a repeat of one that is too old");
      }
      event(position)->repeat = true;
      event(position)->repeat_of = one.first;
    }
  } else if (auto* aside = std::get_if<SetAsideFact>(&*decoded)) {
    const Publication* published = publication(aside->position);
    if (published == nullptr || !published->bad)
      broken("event " + at(aside->position) + " is set aside, yet it is a good one");
    event(aside->position)->set_aside = true;
  } else if (auto* lost = std::get_if<SourceLostFact>(&*decoded)) {
    for (Offset offset = lost->first; offset <= lost->last; ++offset) {
      const Position position{lost->partition, offset};
      if (!lost_at_source.contains(position))
        broken("event " + at(position) + " is called lost at its source, where it is");
      if (EventSeen* seen = event(position)) seen->lost = true;
    }
  }
}

void Oracle::see_parked(const Kafka::Slot& slot) {
  const Record& record = slot.record;
  if (record.key == kOwnerKey) {
    epochs_[record.partition] = record.offset;
    whole_[record.partition] = {};  // what was said before is of another assignment
    time_.note([&] {
      return "parked " + at({record.partition, record.offset}) + " mark of process " +
             std::to_string(slot.origin);
    });
    return;
  }
  time_.note([&] {
    return "parked " + at({record.partition, record.offset}) +
           (record.value ? " state of " : " tombstone of ") + record.key + " by process " +
           std::to_string(slot.origin) + (slot.late ? ", late" : "");
  });
  if (!record.value) {
    if (auto seen = deliveries_.find(record.key); seen != deliveries_.end()) {
      const DeliverySeen& one = seen->second;
      const auto stamp = wire::read_stamp(record.headers);
      const bool own = stamp && stamp->epoch == epochs_[record.partition] && !slot.late;
      if (own && one.parked && one.parked->epoch == stamp->epoch && !one.success && !one.dead &&
          !one.cancelled) {
        broken("delivery " + record.key + " is taken off parked, yet nothing says how it ended");
      }
      seen->second.parked.reset();
      seen->second.taken_off_by_owner = own;
    }
    return;
  }
  auto decoded = wire::decode_parked(kEnvironment, *record.value);
  if (!decoded || !std::holds_alternative<ParkedState>(*decoded)) broken("a record of parked is unreadable");
  const ParkedState& state = std::get<ParkedState>(*decoded);
  DeliverySeen& seen = delivery(state.delivery);
  if (state.attempts > seen.charged) {
    broken("delivery " + record.key + " is parked after " + std::to_string(state.attempts) +
           " attempts, of which the log tells " + std::to_string(seen.charged));
  }
  seen.parked = Parked{record.offset, state.due - Timeline::kBorn, state.stamp.epoch, slot.late};
}

void Oracle::see_dead_letter(const Record& record) {
  auto decoded = wire::decode_dead_letter(kEnvironment, record.value.value_or(""));
  if (!decoded) broken("a dead letter is unreadable");
  const auto* letter = std::get_if<DeadLetter>(&*decoded);
  if (letter == nullptr) return;
  if (category_of(letter->reason) == Category::bad_event) {
    const Publication* published = publication(letter->delivery.position);
    if (published == nullptr || !published->bad) broken("a good event has a dead letter as a bad one");
    event(letter->delivery.position)->dead_letter = true;
    return;
  }
  DeliverySeen& seen = delivery(letter->delivery);
  seen.dead = true;
  const std::int64_t age = letter->dead_at - letter->appended;
  switch (letter->reason) {
    case DeadReason::payload_lost:
      if (!payloads_may_be_lost && !lost_at_source.contains(letter->delivery.position)) {
        broken("delivery " + letter->delivery.id.str() + " died of a lost payload, which is at its position");
      }
      break;
    case DeadReason::expired:
    case DeadReason::endpoint_disabled:
      if (age < lifetime.count())
        broken("delivery " + letter->delivery.id.str() + " expired before its time");
      break;
    case DeadReason::target_denied:
      if (!names_lie) broken("an address was refused that no name server gave");
      break;
    default:
      break;
  }
}

// --- commits

// Empty: every delivery that the event owed stands on the log as delivered, parked, dead or cancelled.
std::string Oracle::unaccounted(Position position, std::int64_t until, bool at_the_end) {
  EventSeen* seen = event(position);
  if (seen == nullptr) return {};
  if (seen->lost || seen->repeat || lost_at_source.contains(position)) return {};
  const Publication& published = publications[seen->tag - 1];
  if (published.bad)
    return seen->set_aside && seen->dead_letter ? "" : "bad event " + at(position) + " is not set aside";
  bool any = seen->no_match || !seen->deliveries.empty();
  for (const auto& [name, endpoint] : endpoints) {
    int life = 0;
    if (published.target && published.target->endpoint != endpoint.id) continue;
    if (!must(endpoint, *seen, published, until, life)) continue;
    // A process that had not read the registry may have tried to create it anew: that was ignored, and its
    // incarnation never lived.
    const Life* known = nullptr;
    DeliveryId id;
    for (const auto& [incarnation, one] : lives_) {
      if (one.endpoint != &endpoint || one.number != life) continue;
      if (known != nullptr && deliveries_.contains(id.str())) break;
      known = &one;
      id = delivery_id(kIdentity, position, published.webhook, incarnation, published.job);
    }
    if (known == nullptr) continue;
    if (published.target && published.target->incarnation != known->incarnation) continue;
    const auto found = deliveries_.find(id.str());
    const std::string which = "event " + at(position) + " (" + published.id + ") to " +
                              endpoint.tenant.str() + "/" + endpoint.id.str() + ": " + id.str();
    if (found == deliveries_.end()) return which + " is nowhere";
    const DeliverySeen& one = found->second;
    const bool ended = one.success || one.dead || one.cancelled;
    if (!ended && !one.parked) return which + " has neither ended nor is it parked";
    if (at_the_end && !ended) return which + " is still parked";
    any = true;
  }
  if (!any && !published.target) return "event " + at(position) + " was passed over: no fact speaks of it";
  return {};
}

void Oracle::on_commit(const Process& process, Partition partition, Offset from, Offset to,
                       SteadyTime sent_at) {
  ++commits_;
  leased_at_[{partition, {process.number, process.life}}] = to_ms(sent_at);
  Offset& own = committed_by_[{partition, {process.number, process.life}}];
  if (to < own) broken("partition " + std::to_string(partition) + " was committed backwards");
  own = to;
  for (Offset offset = from; offset < to; ++offset) {
    EventSeen* seen = event({partition, offset});
    if (seen == nullptr) broken("partition " + std::to_string(partition) + " was committed beyond its end");
    if (seen->settled_at == 0) seen->settled_at = time_.now;
    if (auto what = unaccounted({partition, offset}, time_.now, false); !what.empty()) {
      broken("the commit of " + at({partition, to}) + " by process " + std::to_string(process.number) + ": " +
             what);
    }
  }
}

// --- arrivals

void Oracle::on_in_flight(const Process&, const std::string& host, int count) {
  const auto name = hosts_.find(host);
  if (name == hosts_.end()) return;
  const EndpointHistory& endpoint = endpoints.at(name->second);
  std::uint32_t most = 0;
  for (const Change& change : endpoint.changes) {
    if (change.host == host) most = std::max(most, change.concurrency);
  }
  if (most > 0 && static_cast<std::uint32_t>(count) > most) {
    broken(std::to_string(count) + " attempts at once at " + host + ", which takes " + std::to_string(most));
  }
}

void Oracle::judge_time(const Arrival& arrival, std::int64_t seconds) const {
  const std::int64_t off = arrival.sender_wall_ms / 1000 - seconds;
  // Stopped between signing and sending, it goes on while its lease holds.
  const std::int64_t most = time_.now - arrival.from->stopped_at < 2 * kSessionMs ? 15 : kConnectsWithinS;
  if ((off < 0 || off > most) && time_.now - arrival.from->clock_jumped_at > 1000 * kConnectsWithinS) {
    broken("an attempt at " + arrival.host + " is stamped " + std::to_string(off) + " s before it was sent");
  }
}

void Oracle::judge_signature(const Arrival& arrival, const EndpointHistory& endpoint,
                             const std::string& prefix) const {
  if (endpoint.uncertain) return;
  // Those of the last command in force, and of all that may be.
  std::set<std::string> good;
  for (std::size_t i = 0; i < endpoint.changes.size(); ++i) {
    const Change& change = endpoint.changes[i];
    if (change.answered && *change.answered <= time_.now) good.clear();
    for (const std::string& key : change.keys) {
      good.insert("v1," + base64_encode(SimKeys::sign(key, prefix, *arrival.request.body)));
    }
  }
  std::string all = arrival.header("webhook-signature");
  if (all.empty()) broken("an attempt at " + arrival.host + " is not signed");
  while (!all.empty()) {
    const std::size_t end = std::min(all.find(' '), all.size());
    if (!good.contains(all.substr(0, end))) {
      broken("an attempt at " + arrival.host + " is signed with a secret that is not in force");
    }
    all.erase(0, std::min(end + 1, all.size()));
  }
}

void Oracle::on_arrival(const Arrival& arrival) {
  ++arrivals_;
  time_.note([&] {
    return arrival.host + " hears of " + arrival.header("webhook-id") + " from process " +
           std::to_string(arrival.from->number) + ", stamped " +
           std::to_string(std::stoll("0" + arrival.header("webhook-timestamp")) - Timeline::kBorn / 1000) +
           " s";
  });
  const auto name = hosts_.find(arrival.host);
  if (name == hosts_.end()) broken("something arrived at " + arrival.host + ", which nobody declared");
  const EndpointHistory& endpoint = endpoints.at(name->second);
  const WebhookId webhook(arrival.header("webhook-id"));
  const std::string stamp = arrival.header("webhook-timestamp");
  judge_time(arrival, std::stoll(stamp.empty() ? "0" : stamp));
  judge_signature(arrival, endpoint, webhook.str() + "." + stamp + ".");

  int life = 0;
  bool host_in_force = endpoint.uncertain;
  for (std::size_t i = 0; i < endpoint.changes.size(); ++i) {
    const Change& change = endpoint.changes[i];
    if (change.host == arrival.host && change.exists) life = change.life, host_in_force = true;
    if (change.host != arrival.host && change.answered && *change.answered <= time_.now &&
        !endpoint.uncertain) {
      host_in_force = false;
    }
  }
  if (!host_in_force) broken("an attempt at " + arrival.host + ", which is no URL of its endpoint any more");

  // Which deliveries can this be?
  bool one_may = false, a_partition_is_ours = false;
  DeliverySeen* only = nullptr;
  int candidates = 0;
  for (const Position& position : by_webhook_[webhook]) {
    EventSeen& seen = *event(position);
    const Publication& published = publications[seen.tag - 1];
    if (published.tenant != endpoint.tenant) continue;
    const Process* owner = group_.owner(position.partition);
    const auto lease = leased_at_.find({position.partition, {arrival.from->number, arrival.from->life}});
    const bool holds = lease != leased_at_.end() && time_.now <= lease->second + kSessionMs * 8 / 10;
    a_partition_is_ours |= holds && (owner == nullptr || owner == arrival.from);
    // A command that was asked for by now says that the endpoint takes it, and none answered before it was
    // published says the contrary.
    bool may = false;
    for (const Change& change : endpoint.changes) {
      if (change.answered && *change.answered <= seen.landed) may = false;
      if (change.life == life && matches(change, published)) may = true;
    }
    if (published.target) {
      const Life* known = life_of(published.target->incarnation);
      may = known != nullptr && known->endpoint == &endpoint && (known->number == life || endpoint.uncertain);
    }
    one_may |= may || endpoint.uncertain;
    ++candidates;
    for (const std::string& id : seen.deliveries) {
      DeliverySeen& one = deliveries_.at(id);
      const Life* known = life_of(one.incarnation);
      if (known && known->endpoint == &endpoint && known->number == life) only = &one;
    }
  }
  if (candidates == 0)
    broken("something arrived at " + arrival.host + " that nobody published for its tenant");
  if (!one_may)
    broken("an event arrived at " + arrival.host + ", which had not subscribed to it when it was published");
  if (!a_partition_is_ours) {
    broken("process " + std::to_string(arrival.from->number) + " sends to " + arrival.host +
           " though its lease has run out, or another owns the partition");
  }
  if (only != nullptr && candidates == 1 && only->parked && !only->parked->late && !endpoint.uncertain) {
    const Parked& parked = *only->parked;
    const auto epoch = epochs_.find(only->position.partition);
    if (epoch != epochs_.end() && parked.epoch == epoch->second && parked.due > time_.now) {
      broken("an attempt at " + arrival.host + " is " + std::to_string(parked.due - time_.now) +
             " ms early: " + only->id);
    }
  }
  // What has settled comes back only from where it was parked.
  if (only != nullptr && candidates == 1 && !only->parked && only->taken_off_by_owner &&
      !endpoint.uncertain && event(only->position)->settled_at > 0) {
    broken("an attempt at " + arrival.host + " of " + only->id + ", which has settled and is not parked");
  }
  Arrived& arrived = arrived_[{webhook, life}];
  ++arrived.count;
  if (!arrival.answered_2xx) return;
  arrived.accepted.push_back(time_.now);
  const int excess = static_cast<int>(arrived.accepted.size()) - candidates;
  if (excess <= 0) return;
  // Each event may be accepted once. Of two published under one id, the fault may lie behind the first's
  // acceptance and show only when both have been accepted again: it is looked for from as many back as there
  // are events.
  ++repeats_;
  const std::int64_t before = arrived.accepted[static_cast<std::size_t>(excess) - 1];
  const bool excused = std::any_of(excuses_.begin(), excuses_.end(), [&](std::int64_t when) {
    return when >= before - kExcusesFor && when <= time_.now;
  });
  if (!excused) {
    broken("webhook " + webhook.str() + " of " + std::to_string(candidates) + " events was accepted by " +
           arrival.host + " " + std::to_string(arrived.accepted.size()) + " times without a fault since " +
           std::to_string(time_.now - before) + " ms ago");
  }
}

// --- the end

std::optional<std::string> Oracle::owed() {
  std::size_t landed = 0;
  for (const auto& [partition, log] : events_) landed += log.size();
  if (landed < publications.size()) return "an event is still on its way to the log";
  for (auto& [partition, log] : events_) {
    const auto committed = group_.commits.find(partition);
    const Offset done = committed == group_.commits.end() ? 0 : committed->second.offset;
    if (done < static_cast<Offset>(log.size())) {
      return "partition " + std::to_string(partition) + " is committed up to " + std::to_string(done) +
             " of " + std::to_string(log.size());
    }
    for (Offset offset = 0; offset < static_cast<Offset>(log.size()); ++offset) {
      const EventSeen& seen = log[static_cast<std::size_t>(offset)];
      if (auto what = unaccounted({partition, offset}, seen.settled_at, true); !what.empty()) return what;
      if (seen.repeat && seen.deliveries.empty() && event({partition, seen.repeat_of})->deliveries.empty()) {
        return "event " + at({partition, offset}) + " is called a repeat of " +
               at({partition, seen.repeat_of}) + ", of which nobody was sent anything";
      }
    }
  }
  for (const auto& [id, seen] : deliveries_) {
    if (seen.parked) return "delivery " + id + " is still parked";
  }
  return std::nullopt;
}

std::map<std::string, Offset> Oracle::parked_now(Partition partition) const {
  std::map<std::string, Offset> standing;
  for (const auto& [id, seen] : deliveries_) {
    if (seen.parked && seen.position.partition == partition) standing[id] = seen.parked->at;
  }
  return standing;
}

Oracle::Counts Oracle::counts() const {
  Counts all;
  for (const auto& [partition, log] : events_) all.events += log.size();
  for (const auto& [id, seen] : deliveries_) {
    ++all.deliveries;
    all.dead += seen.dead;
    all.cancelled += seen.cancelled;
  }
  all.arrivals = arrivals_;
  all.repeats = repeats_;
  all.commits = commits_;
  return all;
}

}  // namespace postrider::simulation
