#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/flow/active.h"
#include "engine/flow/appender.h"
#include "engine/flow/challenges.h"
#include "engine/flow/commands.h"
#include "engine/flow/context.h"
#include "engine/flow/dispatch.h"
#include "engine/flow/firsts.h"
#include "engine/flow/intake.h"
#include "engine/flow/ownership.h"
#include "engine/flow/parking.h"
#include "engine/flow/registry_view.h"
#include "engine/flow/requests.h"
#include "engine/flow/schemas.h"
#include "engine/flow/settle.h"
#include "engine/flow/view.h"

namespace postrider::flow {

// One shard: everything between `events` and a settled offset, as a single-threaded state machine over ports.
// Whoever runs it calls step() when a port has something or next_wake() has come; nothing in it blocks,
// sleeps or reads a clock but through its ports, so that several whole shards run inside one simulation.
class Shard : public LogListener, public TransportListener, public ResolverListener {
 public:
  Shard(Ports ports, ShardConfig config);

  void start();
  void step();
  // Steady time at which step() has something to do though no port says so.
  SteadyTime next_wake();

  // Graceful end: takes nothing more, brings home what is in flight, commits, lets go.
  void drain();
  bool drained() const { return draining_ && ownership_.empty() && !commands_.owes_answers(); }
  // The view cannot be trusted any more: drain, wipe it, and begin again with a new shard.
  bool view_damaged() const { return view_.damaged(); }

  // Called once, when the registry was read and the group is joined.
  std::function<void()> on_joined = [] {};
  // Calls and answers on the shard's thread.
  Service& service() { return commands_; }
  const RegistryView& registry() const { return registry_; }

  void on_assigned(std::span<const Assignment> assigned) override;
  void on_revoked(std::span<const Partition> revoked, bool lost) override;
  void on_event(Record record) override;
  void on_events_lost(Partition partition, Offset first, Offset next) override;
  void on_tail(Record record) override;
  void on_appended(std::uint64_t token, const Appended& appended) override;
  void on_committed(Partition partition, Offset offset, SteadyTime sent_at, bool acknowledged) override;
  void on_end(Topic topic, Partition partition, Offset end, SteadyTime asked_at) override;
  void on_fetched(std::uint64_t token, Result<Record> record) override;
  void on_log_error(const Error& error) override;
  void on_outcome(std::uint64_t token, Outcome outcome) override;
  bool may_still_send(std::uint64_t token) override {
    return challenges_.is_ours(token) ? challenges_.may_still_send(token) : dispatch_.may_still_send(token);
  }
  void on_resolved(std::uint64_t token, Result<Resolved> resolved) override;

 private:
  void connect_parts();
  void join_when_ready();
  void apply_pressure(SteadyTime now);
  void park_what_began(OwnedPartition& partition);
  std::vector<std::shared_ptr<ActiveEvent>> head_of(
      const OwnedPartition& partition, std::size_t most,
      const std::function<bool(const ActiveEvent&)>& wanted) const;
  void tell(SteadyTime now);
  Readiness readiness();
  std::size_t bytes() const;

  Context context_;
  ActiveTable active_;
  View view_;
  Appender appender_;
  RegistryView registry_;
  Ownership ownership_;
  Settle settle_;
  Dispatch dispatch_;
  Firsts firsts_;
  Challenges challenges_;
  Schemas schemas_;
  Intake intake_;
  Parking parking_;
  Requests requests_;
  Commands commands_;

  bool key_asked_ = false;
  bool key_ready_ = false;
  bool joined_ = false;
  bool assigned_once_ = false;
  bool held_ = false;
  bool crowded_ = false;  // memory or time is short: nothing that can wait is begun
  bool draining_ = false;
  SteadyTime next_pressure_{};
  SteadyTime flushed_at_{};
  SteadyTime next_tell_{};
  SteadyTime started_at_{};
  std::optional<SteadyTime> fresh_at_;
  std::optional<Error> log_error_;
  SteadyTime log_error_at_{};
};

}  // namespace postrider::flow
