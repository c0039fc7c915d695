#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/fact.h"
#include "engine/operations/desk.h"

// Dead letters as the log has them: letters and marks of the topic, folded by delivery id (open, replayed or
// resolved; the last mark counts). A success of the same delivery, which a takeover can bring about, closes
// an open one as well.
//
// Bounded memory: letters are streamed, and well under 100 bytes are kept of each (dead_letter_reader.h).
// Successes are looked for in `attempts` around each letter's death, and in no more than kAttemptsScannedMax
// records a job: beyond that a letter counts as what its marks say (`successes_checked` is false), at worst a
// replay of what was delivered, under the same webhook-id.
namespace postrider {

struct DeadLetterFilter {
  TenantId tenant;      // empty: any
  EndpointId endpoint;  // empty: any
  std::string type;     // a pattern, "order.*"; empty: any
  std::optional<DeadReason> reason;
  std::optional<DeadLetterState> state;
  std::int64_t since = 0, until = 0;  // of death, unix ms, [since, until); 0: unbounded
  std::vector<DeliveryId> ids;        // empty: any

  bool empty() const;      // selects everything
  bool mixes_ids() const;  // names ids, and something else too
  // All of it but the state.
  bool matches(const DeadLetter& letter) const;
};

struct DeadLetterView {
  DeadLetter letter;  // listings leave the sealed payload out
  DeadLetterState state = DeadLetterState::open;
  std::optional<DeadLetterMark> mark;  // the last one
  Position place;                      // of the letter in `dead-letters`
  bool delivered_after_all = false;    // why it is resolved without a mark
};

// Where a letter stands in the list: by death, then by place on the log.
struct DeadLetterRank {
  std::int64_t dead_at = 0;
  Position place;
  auto operator<=>(const DeadLetterRank&) const = default;
};
DeadLetterRank rank_of(const DeadLetterView& view);

struct DeadLetterList {
  std::vector<DeadLetterView> letters;  // newest first
  bool truncated = false;               // there are more
  bool successes_checked = true;
};
inline constexpr std::size_t kDeadLettersListed = 100, kDeadLettersListedMax = 1000;
inline constexpr std::uint64_t kAttemptsScannedMax = 2'000'000;

// The newest `limit` that match, without payloads; of those that stand behind `after`.
Result<DeadLetterList> list_dead_letters(Desk& desk, const DeadLetterFilter& filter,
                                         std::size_t limit = kDeadLettersListed,
                                         const std::optional<DeadLetterRank>& after = {});

// Errc::not_found: no such letter, or no longer; or it is not `within` that tenant (empty: any), which is
// looked for and told in the same way.
Result<DeadLetterView> show_dead_letter(Desk& desk, const DeliveryId& id, const TenantId& within = {});

struct DeadLetterSummary {
  struct Line {
    TenantId tenant;
    EndpointId endpoint;
    DeadReason reason = DeadReason::attempts_exhausted;
    std::uint64_t open = 0, replayed = 0, resolved = 0;
    std::int64_t first = 0, last = 0;  // times of death, unix ms
  };
  std::vector<Line> lines;  // by tenant, endpoint, reason
  std::uint64_t open = 0, replayed = 0, resolved = 0;
  bool successes_checked = true;
};
Result<DeadLetterSummary> summarize_dead_letters(Desk& desk, const DeadLetterFilter& filter);

// Marks it resolved, with an audit fact. Errc::conflict: it is closed already.
Result<DeadLetterView> resolve_dead_letter(Desk& desk, const DeliveryId& id, const std::string& why,
                                           const Actor& actor, const TenantId& within = {});

// Writes a mark and returns once the log has it.
Result<void> append_mark(Desk& desk, DeadLetterMark mark);

}  // namespace postrider
