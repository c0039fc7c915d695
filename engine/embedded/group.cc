#include "engine/embedded/group.h"

#include <utility>

namespace postrider::embedded {

Group::Group(std::vector<Partition> partitions, Millis patience, AssignmentOf assignment_of)
    : partitions_(std::move(partitions)), patience_(patience), assignment_of_(std::move(assignment_of)) {}

void Group::join(Member member, SteadyTime now) {
  if (member == owner_ || member == next_) return;
  const bool asked = next_ != nullptr;
  next_ = std::move(member);
  if (owned_.empty()) return hand_over();
  if (asked) return;  // the owner knows already; only its heir changed
  owner_->put(Inbox::RevokedNotice{{owned_.begin(), owned_.end()}, false});
  revoked_at_ = now;
}

void Group::release(const Member& member, std::span<const Partition> partitions) {
  if (member != owner_) return;
  for (const Partition partition : partitions) owned_.erase(partition);
  if (owned_.empty()) hand_over();
}

void Group::leave(const Member& member) {
  if (member == next_) next_.reset();
  if (member != owner_) return;
  owned_.clear();
  hand_over();
}

void Group::tick(SteadyTime now) {
  if (!next_ || !owner_ || now < revoked_at_ + patience_) return;
  owner_->put(Inbox::RevokedNotice{{owned_.begin(), owned_.end()}, true});
  owned_.clear();
  hand_over();
}

std::optional<SteadyTime> Group::deadline() const {
  if (!next_ || !owner_) return std::nullopt;
  return revoked_at_ + patience_;
}

bool Group::owns(const Inbox* member, Partition partition) const {
  return member == owner_.get() && owned_.contains(partition);
}

void Group::hand_over() {
  owner_ = std::exchange(next_, nullptr);
  if (!owner_) return;
  std::vector<Assignment> assigned;
  assigned.reserve(partitions_.size());
  for (const Partition partition : partitions_) {
    owned_.insert(partition);
    assigned.push_back(assignment_of_(partition));
  }
  owner_->put(Inbox::AssignedNotice{std::move(assigned)});
}

}  // namespace postrider::embedded
