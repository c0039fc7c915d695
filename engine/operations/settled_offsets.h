#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "engine/core/fact.h"
#include "engine/operations/desk.h"

// What a consumer group shall have committed, told from the log alone: for a partition that stopped at its
// takeover with OFFSETS_LOST (DESIGN §3, owner mark). Reads only; whoever asks commits.
namespace postrider {

struct SettledOffset {
  enum class Finding {
    no_mark,       // the newest owner mark names no offset, or there is none: nothing can be missed
    nothing_lost,  // the group is not behind what the mark names
    lost,
  } finding = Finding::no_mark;
  Offset named = 0;      // by the newest owner mark
  Offset commit = 0;     // lost: the lowest event that the facts do not account for
  std::string metadata;  // lost: what has settled above it, as an owner's commit says it
};

// The newest owner mark of a partition. nullopt: it never had an owner.
Result<std::optional<OwnerMark>> newest_mark(Desk& desk, Partition partition);

// Whether another record stands where the mark's owner read its newest event: the topic was made again, and
// has grown. False where that record is gone.
Result<bool> holds_other_events(Desk& desk, Partition partition, const OwnerMark& mark,
                                const LogClient::Extent& events);
// SOURCE_REPLACED (conflict): that, or it ends below what the mark has seen.
Result<void> check_source(Desk& desk, Partition partition, const OwnerMark& mark,
                          const LogClient::Extent& events);

// Where the group shall begin once `events`, as it is now, is accepted: at what it has committed, or at the
// beginning of the topic, should that be above the end, missing, or of another topic than this. `mark`: the
// newest one. Events below the answer are passed over.
Result<Offset> accepted_offset(Desk& desk, Partition partition, const std::optional<OwnerMark>& mark,
                               std::optional<Offset> group, const LogClient::Extent& events);

// `group`: what it has committed, nullopt: nothing. `progress` may be empty. Errors: also
// those of check_source().
Result<SettledOffset> settled_offset(
    Desk& desk, Partition partition, std::optional<Offset> group,
    const std::function<void(std::uint64_t done, std::uint64_t all)>& progress);

}  // namespace postrider
