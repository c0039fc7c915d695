// The judge: what stands on the log.
#include <algorithm>
#include <utility>

#include "engine/core/registry.h"
#include "engine/core/url.h"
#include "engine/wire/codec.h"
#include "tests/simulation/oracle.h"

namespace postrider::simulation {
namespace {

constexpr std::int64_t kLookedAtFor = 8'000;

// Whose next attempt would come after its lifetime is given up at once.
std::int64_t last_delay_ms(const DeadLetter& letter, std::uint32_t attempts) {
  if (letter.reason != DeadReason::expired || attempts == 0) return 0;
  return kRetryDelays[std::min<std::size_t>(attempts, kRetryDelays.size()) - 1].count() * 6 / 5;
}

}  // namespace

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
  const auto& kind = by_webhook_[fact.delivery.webhook_id];
  // The index keeps first positions: one that was delivered though it was a repeat does not prolong the
  // window.
  const bool outlived = std::any_of(kind.begin(), kind.end(), [&](const Position& one) {
    return one.partition == position.partition && one.offset < position.offset &&
           seen.appended - event(one)->appended >= repeat_window;
  });
  if (outlived) return;
  for (const Position& first : kind) {
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
    seen.twice |= !seen.numbers.insert(fact->number).second;
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
      if (offset >= kafka_.part(Topic::events, lost->partition).begin)
        broken("event " + at(position) + " is called lost at its source, where it is");
      EventSeen* seen = event(position);
      if (seen == nullptr || seen->settled_at > 0) continue;  // told again, since its commit was lost
      if (!lost_at_source.contains(position))
        broken("event " + at(position) + " is lost, and nobody took it");
      seen->lost = true;
    }
  }
}

void Oracle::see_parked(const Kafka::Slot& slot) {
  const Record& record = slot.record;
  if (record.key == kOwnerKey) {
    epochs_[record.partition] = record.offset;
    whole_[record.partition] = {};  // what was said before is of another assignment
    auto mark = wire::decode_parked(kEnvironment, record.value.value_or(""));
    if (!mark || !std::holds_alternative<OwnerMark>(*mark)) broken("an owner mark is unreadable");
    named_[record.partition] = std::get<OwnerMark>(*mark).committed;
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
      if (age < lifetime.count() - last_delay_ms(*letter, seen.charged))
        broken("delivery " + letter->delivery.id.str() + " expired before its time");
      break;
    case DeadReason::target_denied:
      if (!names_lie) broken("an address was refused that no name server gave");
      break;
    default:
      break;
  }
}

}  // namespace postrider::simulation
