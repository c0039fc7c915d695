#include "engine/operations/settled_offsets.h"

#include <algorithm>
#include <set>
#include <utility>

#include "engine/core/watermark.h"
#include "engine/operations/reconcile.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

// Above the offset to commit so many are named as settled, if they are: what an owner's bitmap may hold.
constexpr Offset kNamedAbove = 20'000;
constexpr std::size_t kMetadataCharsMax = 3500;

// From what the mark vouches for on: the lowest event that the facts do not account for, and what they do
// account for above it.
Result<void> find_open(Desk& desk, Partition partition, const LogClient::Extent& events,
                       const std::function<void(std::uint64_t, std::uint64_t)>& progress,
                       SettledOffset& settled) {
  settled.commit = settled.named;
  // What retention has taken meanwhile is told by the next owner, by a fact and an alert.
  if (settled.named < events.begin) return {};
  ReconcileRequest request;
  request.partition = partition;
  request.from = settled.named;
  request.untold_too = true;  // of which no fact speaks has not settled
  request.committed = [](Partition) -> Result<std::optional<Offset>> { return std::nullopt; };
  std::set<Offset> open;
  ReconcileWatch watch;
  watch.progress = progress;
  watch.in_progress = [&open](Position position) {
    if (open.empty() || position.offset < *open.begin() + kNamedAbove) open.insert(position.offset);
  };
  const std::atomic<bool> stop{false};
  if (const auto totals = reconcile(desk, request, watch, stop); !totals) return fail(totals.error());
  if (open.empty()) {
    settled.commit = std::max(settled.named, events.end);
    return {};
  }
  settled.commit = *open.begin();
  Watermark watermark(settled.commit);
  for (Offset offset = settled.commit; offset < std::min(events.end, settled.commit + kNamedAbove);
       ++offset) {
    watermark.received(offset);
    if (!open.contains(offset)) watermark.settled(offset);
  }
  settled.metadata = watermark.bitmap(kMetadataCharsMax);
  return {};
}

}  // namespace

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

namespace {

// The record at that offset, or the next below it that is there, looked for in growing steps. nullopt: none.
Result<std::optional<Record>> record_at_or_below(Desk& desk, Partition partition, Offset offset,
                                                 Offset begin) {
  for (Offset below = 0; offset - below >= begin; below = below == 0 ? 1 : below * 2) {
    auto record = desk.log.fetch(Topic::events, partition, offset - below);
    if (record) return std::optional(*std::move(record));
    if (record.error().errc != Errc::not_found) return fail(record.error());
  }
  return std::nullopt;
}

}  // namespace

Result<Offset> accepted_offset(Desk& desk, Partition partition, const std::optional<OwnerMark>& mark,
                               std::optional<Offset> group, const LogClient::Extent& events) {
  if (!group || *group > events.end) return events.begin;
  if (!mark || !mark->read) return *group;
  const auto other = holds_other_events(desk, partition, *mark, events);
  if (!other) return fail(other.error());
  if (*other) return events.begin;
  // Shorter than what was read: what lies below the commit is of this topic only if it was appended before.
  const Offset last = *group - 1;
  if (last >= mark->read->offset) return *group;
  const auto record = record_at_or_below(desk, partition, last, events.begin);
  if (!record) return fail(record.error());
  return *record && to_ms((*record)->appended) > mark->read->appended ? events.begin : *group;
}

Result<bool> holds_other_events(Desk& desk, Partition partition, const OwnerMark& mark,
                                const LogClient::Extent& events) {
  if (!mark.read || mark.read->offset < events.begin || mark.read->offset >= events.end) return false;
  const auto record = record_at_or_below(desk, partition, mark.read->offset, events.begin);
  if (!record) return fail(record.error());
  if (!*record) return false;
  // Below: a transaction's marker stands there now, or retention came between, which left nothing below.
  const std::int64_t appended = to_ms((*record)->appended);
  return (*record)->offset == mark.read->offset ? appended != mark.read->appended
                                                : appended > mark.read->appended;
}

Result<void> check_source(Desk& desk, Partition partition, const OwnerMark& mark,
                          const LogClient::Extent& events) {
  const std::string where = " in partition " + std::to_string(partition);
  const auto refuse = [&](std::string why) {
    return fail(Errc::conflict, "SOURCE_REPLACED", std::move(why),
                "find out what became of the topic; then run, with the same --log and --environment: "
                "postrider-ops topics accept-source --partition " +
                    std::to_string(partition) + " --yes");
  };
  const Offset seen = std::max(mark.committed.value_or(0), mark.events_end);
  if (seen > events.end)
    return refuse("the mark names offset " + std::to_string(seen) + ", and `events` ends at " +
                  std::to_string(events.end) + where);
  const auto other = holds_other_events(desk, partition, mark, events);
  if (!other) return fail(other.error());
  if (*other)
    return refuse("`events` holds another record at offset " + std::to_string(mark.read->offset) + where +
                  " than the one that its owner read there");
  return {};
}

Result<SettledOffset> settled_offset(Desk& desk, Partition partition, std::optional<Offset> group,
                                     const std::function<void(std::uint64_t, std::uint64_t)>& progress) {
  const auto mark = newest_mark(desk, partition);
  if (!mark) return fail(mark.error());
  const auto events = desk.log.extent(Topic::events, partition);
  if (!events) return fail(events.error());
  SettledOffset settled;
  if (!*mark || !(*mark)->committed) return settled;
  settled.named = *(*mark)->committed;
  if (auto same = check_source(desk, partition, **mark, *events); !same) return fail(same.error());
  settled.finding = SettledOffset::Finding::nothing_lost;
  if (group && *group >= settled.named) return settled;
  settled.finding = SettledOffset::Finding::lost;
  if (auto done = find_open(desk, partition, *events, progress, settled); !done) return fail(done.error());
  return settled;
}

}  // namespace postrider
