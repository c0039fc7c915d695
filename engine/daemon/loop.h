#pragma once
#include <functional>
#include <optional>

#include "engine/daemon/mailbox.h"
#include "engine/flow/shard.h"

namespace postrider {

// Runs one shard on the calling thread until it has drained: sleeps until a port, the mailbox or a signal has
// something, or the shard's next wake has come. A damaged view drains as well.
class Loop {
 public:
  // A drain takes at most `drain_max`.
  Loop(flow::Shard& shard, flow::Ports& ports, Mailbox& mailbox, Millis drain_max)
      : shard_(shard), ports_(ports), mailbox_(mailbox), drain_max_(drain_max) {}

  // `signals`: a signalfd, or -1. The first SIGTERM or SIGINT drains; a second ends at once. `on_signal` is
  // told of each.
  void run(int signals, const std::function<void(int signal)>& on_signal);
  // Drain, as after a signal; a second time: end at once. Any thread.
  void ask_to_end();

 private:
  void drain();
  void take_end_request();
  void sleep(int signals);
  flow::Shard& shard_;
  flow::Ports& ports_;
  Mailbox& mailbox_;
  const Millis drain_max_;
  std::optional<SteadyTime> give_up_at_;
  bool asked_ = false, ends_at_once_ = false;
};

}  // namespace postrider
