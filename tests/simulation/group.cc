// The consumer group: who owns what, commits, sessions.
#include <algorithm>
#include <utility>

#include "tests/simulation/kafka.h"

namespace postrider::simulation {
namespace {

constexpr std::int64_t kReleasesWithin = 5000;  // the adapter lets go by itself

}  // namespace

Group::Group(Timeline& time, Draw& draw, Kafka& kafka)
    : partitions_(kafka.partitions), time_(time), draw_(draw), kafka_(kafka) {}

void Group::join(Process& process) {
  Member& member = members_[process.number];
  const bool back =
      member.joined && member.life != process.life;  // static membership: the same member, restarted
  member.process = &process;
  member.life = process.life;
  member.seen = time_.now;
  member.joined = true;
  member.expired = false;
  member.known = ++member.generation;
  if (!back) return;
  std::vector<Partition> same;
  for (auto& [partition, owned] : owned_) {
    if (owned.owner == process.number) {
      owned.revoking = owned.told = false;
      owned.number = 0;  // until it is told
      same.push_back(partition);
    }
  }
  if (!same.empty())
    time_.after(draw_.between(5, 50), [this, number = process.number, life = process.life, same] {
      Member& again = members_[number];
      std::vector<Partition> still;
      for (Partition partition : same) {
        const Owned& owned = owned_[partition];
        if (owned.owner == number && owned.number == 0) still.push_back(partition);
      }
      if (again.joined && again.life == life) assign(again, still);
    });
}

void Group::tell_revoked(Member& member, std::vector<Partition> partitions, bool lost) {
  if (!member.process->alive || member.process->life != member.life) {
    for (Partition partition : partitions) owned_[partition] = Owned{};
    return;
  }
  std::erase_if(partitions, [&](Partition partition) {  // it never heard of these
    Owned& owned = owned_[partition];
    const bool unheard = !lost && owned.owner == member.process->number && owned.number == 0;
    if (unheard) owned = Owned{};
    return unheard;
  });
  if (partitions.empty()) return;
  member.process->inbox.push_back([&member, generation = member.generation,
                                   partitions = std::move(partitions), lost](LogListener& listener) {
    member.known = generation;
    listener.on_revoked(partitions, lost);
  });
}

void Group::assign(Member& member, const std::vector<Partition>& partitions) {
  if (!member.process->alive || member.process->life != member.life) return;  // it gets them when it is back
  std::vector<Assignment> assigned;
  for (Partition partition : partitions) {
    Assignment one;
    one.partition = partition;
    if (auto at = commits.find(partition); at != commits.end()) {
      one.committed = at->second.offset;
      one.metadata = at->second.metadata;
    }
    const Kafka::Part& events = kafka_.part(Topic::events, partition);
    const Kafka::Part& parked = kafka_.part(Topic::parked, partition);
    one.events_begin = events.begin;
    one.events_end = events.high;
    one.parked_begin = parked.begin;
    one.parked_end = parked.high;
    on_assigned(*member.process, one);
    owned_[partition].told = false;
    owned_[partition].number = ++assignments_;
    assigned.push_back(one);
    time_.note([&] {
      return "partition " + std::to_string(partition) + " goes to process " +
             std::to_string(member.process->number);
    });
  }
  if (assigned.empty()) return;
  for (Partition partition : partitions) {
    if (!owned_once_.insert(partition).second) on_excuse("a takeover");
  }
  member.process->inbox.push_back(
      [this, assigned = std::move(assigned), number = assignments_](auto& listener) {
        for (const Assignment& one : assigned)
          owned_[one.partition].told |= owned_[one.partition].number <= number;
        listener.on_assigned(assigned);
      });
}

void Group::release(Process& process, std::span<const Partition> partitions) {
  for (Partition partition : partitions) {
    Owned& owned = owned_[partition];
    if (owned.owner == process.number && owned.revoking && members_[process.number].life == process.life) {
      owned = Owned{};
    }
  }
}

const Process* Group::owner(Partition partition) const {
  const auto at = owned_.find(partition);
  if (at == owned_.end() || at->second.owner < 0) return nullptr;
  return members_.at(at->second.owner).process;
}

std::size_t Group::joined() const {
  return static_cast<std::size_t>(std::count_if(members_.begin(), members_.end(),
                                                [](const auto& member) { return member.second.joined; }));
}

void Group::commit(Process& process, Partition partition, Offset next, std::string metadata) {
  const std::uint64_t life = process.life;
  const SteadyTime sent_at = time_.steady();
  const bool reached = std::max(process.cut_until, process.unheard_until) <= time_.now;
  const std::uint64_t generation = members_[process.number].known;
  const Owned& owned = owned_[partition];
  const std::uint64_t assignment = owned.told ? owned.number : 0;
  // One request at a time: none overtakes another.
  std::int64_t& last = members_[process.number].last_commit_at;
  last = std::max(last, time_.now + draw_.between(1, 8));
  time_.after(last - time_.now, [this, &process, life, generation, assignment, partition, next,
                                 metadata = std::move(metadata), sent_at, reached] {
    Member& member = members_[process.number];
    const bool ours = reached && member.joined && member.life == life && member.generation == generation &&
                      owned_[partition].owner == process.number && owned_[partition].number == assignment;
    bool acknowledged = ours;
    time_.note([&] {
      return "process " + std::to_string(process.number) + " commits " + std::to_string(partition) + "@" +
             std::to_string(next) + " [" + metadata + "]" + (ours ? "" : ", refused");
    });
    if (ours) {
      const Offset from = commits.contains(partition) ? commits[partition].offset : 0;
      on_commit(process, partition, from, next, sent_at);
      commits[partition] = {next, metadata};
      if (draw_.chance(kafka_.faults.commit_fails)) {
        acknowledged = false;
        on_excuse("a commit's answer was lost");
      }
    }
    if (process.life != life) return;
    process.inbox.push_back([partition, next, sent_at, acknowledged](LogListener& listener) {
      listener.on_committed(partition, next, sent_at, acknowledged);
    });
  });
}

void Group::expire(Member& member) {
  time_.note([&] { return "process " + std::to_string(member.process->number) + " is out of the group"; });
  on_excuse("a session expired");
  for (auto& [partition, owned] : owned_) {
    if (owned.owner == member.process->number) owned = Owned{};
  }
  member.joined = false;
  ++member.generation;
  member.expired = member.process->alive && member.process->life == member.life;
}

void Group::tick() {
  for (auto& [number, member] : members_) {
    Process& process = *member.process;
    const bool here =
        process.alive && process.life == member.life && !process.stopped && process.cut_until <= time_.now;
    if (here) member.seen = time_.now;
    if (member.joined && time_.now - member.seen > kSessionMs) expire(member);
    if (member.expired && here) {
      std::vector<Partition> all;
      for (Partition partition = 0; partition < partitions_; ++partition) all.push_back(partition);
      tell_revoked(member, all, true);
      member.expired = false;
      member.joined = true;  // the adapter opens a new consumer
    }
  }
  std::vector<Member*> joined;
  for (auto& [number, member] : members_) {
    if (member.joined) joined.push_back(&member);
  }
  if (joined.empty()) return;
  std::map<int, std::vector<Partition>> fresh;
  const bool waits = eager && is_revoking();
  for (Partition partition = 0; partition < partitions_; ++partition) {
    Owned& owned = owned_[partition];
    const int wanted = joined[(static_cast<std::size_t>(partition) + turn_) % joined.size()]->process->number;
    if (owned.revoking && time_.now - owned.revoked_at > kReleasesWithin) owned = Owned{};
    if (owned.owner >= 0 && owned.owner != wanted && !owned.revoking) {
      owned.revoking = true;
      owned.revoked_at = time_.now;
      tell_revoked(members_[owned.owner], {partition}, false);
    }
    if (owned.owner < 0 && !waits) {
      owned.owner = wanted;
      fresh[wanted].push_back(partition);
    }
  }
  for (auto& [number, partitions] : fresh) assign(members_[number], partitions);
}

void Group::rebalance() {
  ++turn_;
  if (eager) revoke_all();
}

void Group::revoke_all() {
  std::map<int, std::vector<Partition>> all;
  for (auto& [partition, owned] : owned_) {
    if (owned.owner < 0 || owned.revoking) continue;
    owned.revoking = true;
    owned.revoked_at = time_.now;
    all[owned.owner].push_back(partition);
  }
  for (auto& [number, partitions] : all) tell_revoked(members_[number], std::move(partitions), false);
}

bool Group::is_revoking() const {
  return std::any_of(owned_.begin(), owned_.end(), [&](const auto& one) {
    return one.second.revoking && time_.now - one.second.revoked_at <= kReleasesWithin;
  });
}

void Group::grown(Partition to) {
  partitions_ = std::max(partitions_, to);
  if (eager) revoke_all();
}

void Group::lose(Partition partition, std::optional<Offset> left) {
  time_.note([&] {
    return "the group's offset of partition " + std::to_string(partition) + " is " +
           (left ? std::to_string(*left) + " again" : "lost");
  });
  if (left)
    commits[partition] = {*left, ""};
  else
    commits.erase(partition);
}

}  // namespace postrider::simulation
