#pragma once
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

#include "engine/core/ids.h"

namespace postrider {

// Which offsets of one partition are settled, and so what may be committed: the next offset to commit is the
// lowest received offset that is not settled. Offsets arrive in rising order, with gaps (compaction, control
// records). A value; a partition of a shard owns one.
class Watermark {
 public:
  explicit Watermark(Offset next = 0) : base_(next), received_(next) {}

  void received(Offset offset);  // rising; a lower one than the last is a broken invariant
  void settled(Offset offset);   // received before; twice is harmless
  Offset next_to_commit() const { return base_; }
  std::size_t unsettled() const { return unsettled_; }
  // The lowest unsettled offset; next_to_commit() when all is settled.
  Offset lowest_unsettled() const { return base_; }

  // Settled offsets above the watermark as a bitmap from next_to_commit(), base64, at most `chars_max`
  // characters (what does not fit is left out). It makes repeats after a crash rare; safety never needs it.
  std::string bitmap(std::size_t chars_max) const;

 private:
  void advance();
  Offset base_;      // everything below is settled
  Offset received_;  // one above the highest received
  std::deque<char> done_;  // done_[i]: offset base_ + i is settled (a gap counts as settled)
  std::size_t unsettled_ = 0;
};

// Reads such a bitmap, as of a commit of `committed`.
class SettledAbove {
 public:
  SettledAbove() = default;
  SettledAbove(Offset committed, std::string_view metadata);  // what cannot be read counts as empty
  bool contains(Offset offset) const;

 private:
  Offset base_ = 0;
  std::string bits_;
};

}  // namespace postrider
