#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <map>

#include "engine/operations/desk.h"
#include "engine/operations/fact_rows.h"

namespace postrider {

// Reads what the log says of a span of `events` into rows: `parked` first, then `attempts` and
// `dead-letters`, so that whatever leaves `parked` meanwhile is found with its end. Of `parked` only states
// that still stand, after which no tombstone came.
class FactReader {
 public:
  using Progress = std::function<void(std::uint64_t records)>;  // since it was last called
  static constexpr std::uint64_t kTellEvery = 20'000;
  FactReader(Desk& desk, std::map<Partition, LogClient::Extent> spans, std::int64_t since_ms,
             Progress progress, const std::atomic<bool>& stop);

  std::uint64_t records() const;  // to be read, about
  Result<void> read(FactSorter& rows);
  // Dead letters of before may have been removed, unix ms; 0: none ever was.
  std::int64_t letters_since() const { return letters_since_; }
  // Offsets that retention took before they were read.
  std::uint64_t lost_at_source() const { return lost_; }

 private:
  using Take = std::function<Result<void>(const Record&)>;
  Result<void> scan(Topic topic, Partition partition, LogClient::Extent extent, const Take& take);
  Result<void> read_parked(FactSorter& rows);
  Result<void> take_word(const Record& record, FactSorter& words);
  Result<void> take_attempts(const Record& record, FactSorter& rows);
  Result<void> read_letters(Partition partition, FactSorter& rows);
  Result<void> take_letter(const Record& record, FactSorter& rows);
  Result<void> add(FactSorter& rows, const FactRow& row);  // if it is of the span
  Result<void> add_range(FactSorter& rows, FactRow row, Offset first, Offset last);
  // From `since` on: facts of an event are younger than it.
  Result<LogClient::Extent> extent_of(Topic topic, Partition partition, bool since) const;

  Desk& desk_;
  const std::map<Partition, LogClient::Extent> spans_;  // of `events`, by partition
  const std::int64_t since_ms_;
  const Progress progress_;
  const std::atomic<bool>& stop_;
  std::int64_t letters_since_ = 0;
  std::map<Partition, Offset> lost_until_;
  std::uint64_t lost_ = 0;
};

}  // namespace postrider
