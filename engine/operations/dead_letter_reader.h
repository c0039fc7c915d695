#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "engine/core/bytes.h"
#include "engine/operations/dead_letters.h"

namespace postrider {

// Reads `dead-letters` twice: first for what became of each letter (marks may lie in another partition, once
// the topic has grown), then for the letters themselves, so that their payloads are never held. Between the
// two, `attempts` is asked for successes. One use: prepare(), then for_each().
class DeadLetterReader {
 public:
  DeadLetterReader(Desk& desk, DeadLetterFilter filter);

  // What a replay leaves out: letters of its own deliveries, which came of it, and those that stand at or
  // behind `ends` (of a partition that it does not name: none), which came later.
  struct Bounds {
    ReplayJobId job;
    std::map<Partition, Offset> ends;
  };
  void leave_out(Bounds bounds) { bounds_ = std::move(bounds); }

  Result<void> prepare();
  // Every letter that matches the filter, state included: once per delivery, by partition and offset. `each`
  // answers false to end it. It may use the log.
  Result<void> for_each(bool with_payload, const std::function<Result<bool>(DeadLetterView)>& each);

  bool successes_checked() const { return successes_checked_; }
  // Letters that `job` has marked replayed.
  bool replayed_by(const DeliveryId& id, const ReplayJobId& job) const;
  std::uint64_t replayed_by(const ReplayJobId& job) const;
  std::uint64_t open_letters() const { return candidates_.size() - delivered_.size(); }
  // The last mark of a view's letter, read again.
  Result<DeadLetterMark> fetch_mark(const DeliveryId& id) const;
  bool has_mark(const DeliveryId& id) const;

 private:
  struct Mark {
    DeadLetterState state = DeadLetterState::open;
    Position place;
    std::uint64_t job = 0;  // hash of the job's id
  };
  struct HashOf {
    std::size_t operator()(const Hash128& hash) const;
  };
  using Ids = std::unordered_set<Hash128, HashOf>;

  bool wanted(const DeadLetter& letter, const Record& record) const;
  Result<LogClient::Extent> span_of(Partition partition);
  Result<void> read_marks(Partition partition);
  void note(const Record& record);
  Result<void> look_for_successes();
  Result<void> scan_attempts(Partition partition, std::int64_t from_ms, std::int64_t to_ms);
  Result<void> read_letters(Partition partition, bool with_payload,
                            const std::function<Result<bool>(DeadLetterView)>& each, bool& go_on);
  std::optional<DeadLetterView> view_of(const Record& record, bool with_payload);

  Desk& desk_;
  const DeadLetterFilter filter_;
  Bounds bounds_;
  std::unordered_set<std::string> ids_;
  std::map<Partition, LogClient::Extent> spans_;  // what both passes read: the same
  std::unordered_map<Hash128, Mark, HashOf> marks_;
  Ids candidates_;  // letters that match, and have no mark that closes them
  Ids delivered_;   // candidates with a success
  Ids seen_;        // letters handed out
  // Spans of time in which a success of a candidate may stand, by source partition, in units of kBucket.
  std::map<Partition, std::set<std::int64_t>> buckets_;
  std::uint64_t scanned_ = 0;
  bool successes_checked_ = true;
};

}  // namespace postrider
