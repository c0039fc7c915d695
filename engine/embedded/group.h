#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include "engine/core/ids.h"
#include "engine/core/time.h"
#include "engine/embedded/inbox.h"

namespace postrider::embedded {

// Who owns one shard's share of the partitions: at most one member, all of them, and the newest to join gets
// them. The former is asked to release them, and loses them after `patience`. A value without locks: the
// writer's thread owns one per shard, so that a commit and a release have an order.
class Group {
 public:
  using Member = std::shared_ptr<Inbox>;
  // Asked at the moment of the hand-over, when every commit made before stands.
  using AssignmentOf = std::function<Assignment(Partition)>;

  Group(std::vector<Partition> partitions, Millis patience, AssignmentOf assignment_of);

  void join(Member member, SteadyTime now);
  void release(const Member& member, std::span<const Partition> partitions);
  // Its shard is gone.
  void leave(const Member& member);
  // Takes the partitions from a member that did not release them in time.
  void tick(SteadyTime now);
  // When tick() has something to do.
  std::optional<SteadyTime> deadline() const;

  // The epoch's check: only an owner's commit is made.
  bool owns(const Inbox* member, Partition partition) const;

 private:
  void hand_over();

  const std::vector<Partition> partitions_;  // may be none
  const Millis patience_;
  const AssignmentOf assignment_of_;
  Member owner_, next_;
  std::set<Partition> owned_;  // by owner_
  SteadyTime revoked_at_{};
};

}  // namespace postrider::embedded
