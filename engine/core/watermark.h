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
  explicit Watermark(Offset next = 0) : received_(next) {}

  void received(Offset offset);  // rising; a lower one than the last is a broken invariant
  void settled(Offset offset);   // received before; twice is harmless
  Offset next_to_commit() const { return window_.empty() ? received_ : window_.front().offset; }
  std::size_t unsettled() const { return unsettled_; }
  // The lowest unsettled offset; next_to_commit() when all is settled.
  Offset lowest_unsettled() const { return next_to_commit(); }

  // Settled offsets above the watermark as a bitmap from next_to_commit(), base64, at most `chars_max`
  // characters (what does not fit is left out). It makes repeats after a crash rare; safety never needs it.
  std::string bitmap(std::size_t chars_max) const;

 private:
  struct Slot {
    Offset offset;
    bool settled;
  };
  // Received offsets from the lowest unsettled one on, so that the front is never settled. Gaps take no room:
  // after retention cut the source, one may span millions.
  std::deque<Slot> window_;
  Offset received_;  // one above the highest received
  std::size_t unsettled_ = 0;
};

// Reads such a bitmap, as of a commit of `committed`.
class SettledAbove {
 public:
  SettledAbove() = default;
  SettledAbove(Offset committed, std::string_view metadata);  // what cannot be read counts as empty
  // False below the commit too: what is asked is whether a re-read event may be skipped.
  bool contains(Offset offset) const;
  bool empty() const;

 private:
  Offset base_ = 0;
  std::string bits_;
};

}  // namespace postrider
