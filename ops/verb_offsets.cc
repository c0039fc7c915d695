// offsets rebuild: what a partition that stopped at its takeover with OFFSETS_LOST waits for
// (engine/flow/ownership.cc). It changes where an owner begins, so it asks for --yes.
#include "engine/kafka/group_offsets.h"
#include "engine/operations/audit.h"
#include "engine/operations/settled_offsets.h"
#include "ops/json_fields.h"
#include "ops/progress.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

void tell(const Session& session, Partition partition, Offset committed, bool changed,
          const std::string& sentence) {
  if (session.out().json())
    session.out().object({{"partition", partition}, {"committed", committed}, {"changed", changed}});
  else
    session.out().line("Partition " + std::to_string(partition) + ": " + sentence);
}

// Whether it was changed.
Result<bool> rebuild(Session& session, Desk& desk, const KafkaConfig& config, Partition partition) {
  const auto before = group_offset(config, partition);
  if (!before) return fail(before.error());
  Progress progress("records", session.out().json());
  const auto settled =
      settled_offset(desk, partition, *before,
                     [&progress](std::uint64_t done, std::uint64_t all) { progress.at(done, all); });
  if (!settled) return fail(settled.error());
  using Finding = SettledOffset::Finding;
  if (settled->finding == Finding::no_mark) {
    tell(session, partition, before->value_or(-1), false,
         "its newest owner mark names no committed offset: nothing is lost, it begins where the group's "
         "offset is, or at the beginning.");
    return false;
  }
  if (settled->finding == Finding::nothing_lost) {
    tell(session, partition, before->value_or(-1), false,
         "the group has committed " + std::to_string(before->value_or(-1)) + ", the mark names " +
             std::to_string(settled->named) + ": nothing is lost.");
    return false;
  }
  auto fact = audit_of(session.actor(), "rebuild_offsets", "events/" + std::to_string(partition));
  fact.outcome = "committing " + std::to_string(settled->commit);
  if (auto done = append_audit(desk, std::move(fact)); !done) return fail(done.error());
  if (auto done = set_group_offset(config, partition, settled->commit, settled->metadata); !done)
    return fail(done.error());
  tell(session, partition, settled->commit, true,
       "the group has committed " + std::to_string(settled->commit) + ".");
  return true;
}

}  // namespace

Result<int> offsets_rebuild(Session& session) {
  if (!names_kafka(session.line()) && session.line().log.starts_with("embedded:"))
    return wrong_use("an embedded log keeps its offsets among its records: none can be lost alone",
                     "if it lacks some, put back a whole copy of its directory");
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  if (auto yes = session.needs_yes("this commits, for the consumer group, what the newest owner mark and the "
                                   "facts after it show to have settled");
      !yes)
    return fail(yes.error());
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  const auto partitions = (*desk)->log.partitions(Topic::events);
  if (!partitions) return fail(partitions.error());
  const Partition one = session.line().partition;
  if (one >= *partitions)
    return wrong_use("there is no partition " + std::to_string(one),
                     "`events` has " + std::to_string(*partitions) + ", counted from 0");
  bool changed = false;
  for (Partition partition = std::max(one, 0); partition < (one < 0 ? *partitions : one + 1); ++partition) {
    const auto done = rebuild(session, **desk, *config, partition);
    if (!done) return fail(done.error());
    changed |= *done;
  }
  if (changed && !session.out().json())
    session.out().line("Start the daemons (again): they look at a partition when they take it over.");
  return kDone;
}

}  // namespace postrider::ops
