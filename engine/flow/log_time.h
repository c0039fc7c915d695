#pragma once
#include "engine/core/time.h"

namespace postrider::flow {

// The log's time on this host: the append time of our newest acknowledged record plus the boot time since.
// The append happened after we asked for it and before we learned of it, so the log's time lies between two
// bounds, whatever this host's wall clock says (DESIGN §6). What is planned counts from the later one and is
// compared with the earlier one: nothing is sent early, however long an acknowledgement takes.
class LogTimeEstimate {
 public:
  void acknowledged(LogTime appended, SteadyTime asked_at, SteadyTime learned_at) {
    appended_ = appended;
    asked_at_ = asked_at;
    learned_at_ = learned_at;
    known_ = true;
  }
  bool known() const { return known_; }
  LogTime at(SteadyTime now) const { return appended_ + (now - learned_at_); }       // not before
  LogTime latest_at(SteadyTime now) const { return appended_ + (now - asked_at_); }  // not after
  SteadyTime learned_at() const { return learned_at_; }
  // The steady instant at which at() will be `time`.
  SteadyTime steady_at(LogTime time) const { return learned_at_ + (time - appended_); }

 private:
  LogTime appended_{};
  SteadyTime asked_at_{}, learned_at_{};
  bool known_ = false;
};

}  // namespace postrider::flow
