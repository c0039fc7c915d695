#pragma once
#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <utility>

#include "engine/curl/poller.h"

namespace postrider {

// How many connections each curl multi may keep: CURLMOPT_MAXCONNECTS, which counts busy ones too, so that
// over it each request that ends closes a connection, and the next one opens it again. Half of all is dealt
// out evenly; out of the other half a multi takes as many as it has requests under way at once, and gives
// them back when it has needed far fewer for a while. A value; the transport's thread.
class KeptConnections {
 public:
  // Of one multi.
  struct Share {
    std::size_t extra = 0;      // beyond the even part
    std::size_t under_way = 0;  // requests
    std::size_t peak = 0;       // of these, since
    PollTime since{};
  };
  static constexpr std::chrono::seconds kLookBack{10};

  KeptConnections(std::size_t all, std::size_t even_most) : all_(all), even_most_(even_most) {}

  // There are now so many multis. True: every limit has changed. By powers of two, so that not each new one
  // changes all.
  bool set_multis(std::size_t count) {
    const std::size_t even =
        std::clamp<std::size_t>(all_ / 2 / std::bit_ceil(count), std::size_t{1}, even_most_);
    return std::exchange(even_, even) != even;
  }
  std::size_t limit(const Share& share) const { return even_ + share.extra; }

  // A request begins or ends. True: its limit has changed.
  bool begin(Share& share, PollTime now) {
    share.peak = std::max(share.peak, ++share.under_way);
    const bool changed = look_back(share, now);
    return (share.under_way > limit(share) && take(share)) || changed;
  }
  bool end(Share& share, PollTime now) {
    --share.under_way;
    return look_back(share, now);
  }
  // Whether it wanted more than was left.
  bool lacks(const Share& share) const { return share.under_way > limit(share) && taken_ >= all_ / 2; }
  // Its connections were closed: what it had taken is free for others.
  void give_back(Share& share) { taken_ -= std::exchange(share.extra, 0); }

 private:
  bool take(Share& share) {
    const std::size_t left = all_ / 2 - std::min(taken_, all_ / 2);
    const std::size_t wanted = std::bit_ceil(share.under_way) - limit(share);
    const std::size_t more = std::min(wanted, left);
    share.extra += more;
    taken_ += more;
    return more > 0;
  }
  bool look_back(Share& share, PollTime now) {
    if (now < share.since + kLookBack) return false;
    const std::size_t needed = std::bit_ceil(std::max<std::size_t>(share.peak, 1)) * 2;
    const std::size_t kept = needed > even_ ? std::min(share.extra, needed - even_) : 0;
    taken_ -= share.extra - kept;
    const bool changed = std::exchange(share.extra, kept) != kept;
    share.peak = share.under_way;
    share.since = now;
    return changed;
  }

  std::size_t all_, even_most_, even_ = 0;
  std::size_t taken_ = 0;  // the sum of what is extra
};

}  // namespace postrider
