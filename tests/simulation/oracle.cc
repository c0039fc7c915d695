#include "tests/simulation/oracle.h"

#include <algorithm>
#include <utility>

#include "engine/core/registry.h"

namespace postrider::simulation {

std::string at(Position position) {
  return std::to_string(position.partition) + "@" + std::to_string(position.offset);
}

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
    if (change.refused) continue;
    if (change.answered && *change.answered <= event.landed) in_force = &change, index = i;
  }
  if (in_force == nullptr || !matches(*in_force, published)) return false;
  life = in_force->life;
  for (std::size_t i = index + 1; i < endpoint.changes.size(); ++i) {
    const Change& change = endpoint.changes[i];
    if (change.asked > until) break;
    if (change.refused) continue;
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

// --- commits

// Empty: every delivery that the event owed stands on the log as delivered, parked, dead or cancelled.
std::string Oracle::unaccounted(Position position, std::int64_t until, bool at_the_end) {
  EventSeen* seen = event(position);
  if (seen == nullptr) return {};
  if (seen->lost || seen->repeat) return {};
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
  if (refused_.contains(partition)) {
    broken("process " + std::to_string(process.number) + " took partition " + std::to_string(partition) +
           " though the group has lost what an owner mark names");
  }
  committed_[partition] = std::max(committed_[partition], to);
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

// --- the group's offsets

void Oracle::on_assigned(const Process& process, const Assignment& assignment) {
  const Partition partition = assignment.partition;
  committed_by_.erase({partition, {process.number, process.life}});
  const std::optional<Offset>& named = named_[partition];
  if (named && assignment.committed.value_or(-1) < *named) {
    refused_.insert(partition);
    return;
  }
  refused_.erase(partition);
  // Lost since the newest mark: a minute's worth that nobody can tell of is read again.
  const Offset from = assignment.committed.value_or(0);
  if (from < committed_[partition]) excuse("offsets were lost that no mark names");
  for (Offset offset = from; offset < committed_[partition]; ++offset)
    event({partition, offset})->again = true;
}

void Oracle::on_complaint(const Process& process, const std::string& complaint) {
  const bool lost = complaint.find("offsets rebuild") != std::string::npos;
  const bool replaced = complaint.find("accept-source") != std::string::npos;
  const bool right = lost && !refused_.empty();
  if ((lost || replaced) && !right)
    broken("process " + std::to_string(process.number) + " refuses for no reason: " + complaint);
}

void Oracle::on_rebuilt(Partition partition, Offset to) {
  refused_.erase(partition);
  for (Offset offset = 0; offset < to; ++offset) {
    EventSeen& seen = *event({partition, offset});
    if (seen.settled_at == 0) seen.settled_at = time_.now;
    if (auto what = unaccounted({partition, offset}, time_.now, false); !what.empty())
      broken("the rebuilt commit of " + at({partition, to}) + ": " + what);
  }
}

// --- the end

std::optional<std::string> Oracle::owed() {
  std::size_t landed = 0;
  for (const auto& [partition, log] : events_) landed += log.size();
  if (landed < publications.size()) return "an event is still on its way to the log";
  for (const auto& [partition, named] : named_) {
    if (named && !group_.commits.contains(partition))
      return "the group's offset of partition " + std::to_string(partition) + " is lost";
  }
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

std::vector<std::string> Oracle::numbered_twice() const {
  constexpr std::size_t kSome = 5;
  std::set<std::string> ids;
  for (const auto& [id, seen] : deliveries_)
    if (seen.twice && seen.success) ids.insert(id);
  std::vector<std::string> some(ids.begin(), ids.end());
  if (some.size() > kSome) some.resize(kSome);
  return some;
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
