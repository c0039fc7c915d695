#pragma once
#include "engine/core/time.h"

namespace postrider::flow {

// The log's time on this host: the append time of our newest acknowledged record plus the boot time since we
// learned of it. It lags the log by the acknowledgement's way and never runs ahead, so nothing is sent early,
// whatever this host's wall clock says (DESIGN §6).
class LogTimeEstimate {
 public:
  void acknowledged(LogTime appended, SteadyTime learned_at) {
    appended_ = appended;
    learned_at_ = learned_at;
    known_ = true;
  }
  bool known() const { return known_; }
  LogTime at(SteadyTime now) const { return appended_ + (now - learned_at_); }
  SteadyTime learned_at() const { return learned_at_; }
  // The steady instant at which the log's time will be `time`.
  SteadyTime steady_at(LogTime time) const { return learned_at_ + (time - appended_); }

 private:
  LogTime appended_{};
  SteadyTime learned_at_{};
  bool known_ = false;
};

}  // namespace postrider::flow
