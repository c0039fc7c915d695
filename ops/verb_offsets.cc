// offsets rebuild: what a partition that stopped at its takeover with OFFSETS_LOST waits for
// (engine/flow/ownership.cc). It changes where an owner begins, so it asks for --yes.
#include <set>

#include "engine/core/watermark.h"
#include "engine/kafka/group_offsets.h"
#include "engine/operations/audit.h"
#include "engine/operations/reconcile.h"
#include "engine/wire/codec.h"
#include "ops/json_fields.h"
#include "ops/progress.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

// Above the offset to commit so many are named as settled, if they are: what an owner's bitmap may hold.
constexpr Offset kNamedAbove = 20'000;
constexpr std::size_t kMetadataCharsMax = 3500;

// The newest owner mark of a partition; nullopt: it never had an owner.
Result<std::optional<OwnerMark>> newest_mark(Desk& desk, Partition partition) {
  auto extent = desk.log.extent(Topic::parked, partition);
  if (!extent) return fail(extent.error());
  std::optional<OwnerMark> newest;
  std::optional<Error> wrong;
  auto scanned =
      desk.log.scan(Topic::parked, partition, extent->begin, extent->end, [&](const Record& record) {
        if (record.key != kOwnerKey || !record.value) return true;
        auto fact = wire::decode_parked(desk.environment, *record.value);
        if (!fact)
          wrong = fact.error();
        else if (auto* mark = std::get_if<OwnerMark>(&*fact))
          newest = std::move(*mark);
        return !wrong;
      });
  if (!scanned) return fail(scanned.error());
  if (wrong) return fail(*std::move(wrong));
  return newest;
}

struct Settled {
  Offset commit = 0;
  std::string metadata;  // what has settled above it
};

// From `floor` on, which the owner mark vouches for: the lowest event that the facts do not account for, and
// what they do account for above it.
Result<Settled> settled_from(Session& session, Desk& desk, Partition partition, Offset floor,
                             const LogClient::Extent& events) {
  // What retention has taken meanwhile is told by the next owner, by a fact and an alert.
  if (floor < events.begin) return Settled{floor, {}};
  ReconcileRequest request;
  request.partition = partition;
  request.from = floor;
  request.committed = [](Partition) -> Result<std::optional<Offset>> { return std::nullopt; };
  std::set<Offset> open;
  ReconcileWatch watch;
  watch.in_progress = [&open](Position position) {
    if (open.empty() || position.offset < *open.begin() + kNamedAbove) open.insert(position.offset);
  };
  Progress progress("records", session.out().json());
  watch.progress = [&progress](std::uint64_t done, std::uint64_t all) { progress.at(done, all); };
  const std::atomic<bool> stop{false};
  if (const auto totals = reconcile(desk, request, watch, stop); !totals) return fail(totals.error());
  if (open.empty()) return Settled{std::max(floor, events.end), {}};
  const Offset first = *open.begin();
  Watermark watermark(first);
  for (Offset offset = first; offset < std::min(events.end, first + kNamedAbove); ++offset) {
    watermark.received(offset);
    if (!open.contains(offset)) watermark.settled(offset);
  }
  return Settled{first, watermark.bitmap(kMetadataCharsMax)};
}

void tell(const Session& session, Partition partition, Offset committed, bool changed,
          const std::string& sentence) {
  if (session.out().json())
    session.out().object({{"partition", partition}, {"committed", committed}, {"changed", changed}});
  else
    session.out().line("Partition " + std::to_string(partition) + ": " + sentence);
}

// Whether it was changed.
Result<bool> rebuild(Session& session, Desk& desk, const KafkaConfig& config, Partition partition) {
  const std::string name = "partition " + std::to_string(partition);
  auto mark = newest_mark(desk, partition);
  if (!mark) return fail(mark.error());
  const auto events = desk.log.extent(Topic::events, partition);
  if (!events) return fail(events.error());
  const auto before = group_offset(config, partition);
  if (!before) return fail(before.error());
  if (!*mark || !(*mark)->committed) {
    tell(session, partition, before->value_or(-1), false,
         "its newest owner mark names no committed offset: nothing is lost, it begins where the group's "
         "offset is, or at the beginning.");
    return false;
  }
  const Offset floor = *(*mark)->committed;
  const Offset seen = std::max(floor, (*mark)->events_end);
  if (seen > events->end)
    return fail(Errc::conflict, "SOURCE_REPLACED",
                "the mark names offset " + std::to_string(seen) + ", and `events` ends at " +
                    std::to_string(events->end) + " in " + name,
                "find out what became of the topic; then see `postrider-ops topics accept-source`");
  if (*before && **before >= floor) {
    tell(session, partition, **before, false,
         "the group has committed " + std::to_string(**before) + ", the mark names " + std::to_string(floor) +
             ": nothing is lost.");
    return false;
  }
  const auto settled = settled_from(session, desk, partition, floor, *events);
  if (!settled) return fail(settled.error());
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
