#pragma once
#include <functional>

#include "engine/daemon/mailbox.h"
#include "engine/flow/shard.h"

namespace postrider {

// Runs one shard on the calling thread until it has drained: sleeps until a port, the mailbox or a signal has
// something, or the shard's next wake has come.
class Loop {
 public:
  Loop(flow::Shard& shard, flow::Ports& ports, Mailbox& mailbox)
      : shard_(shard), ports_(ports), mailbox_(mailbox) {}

  enum class End { asked, view_damaged };
  // `signals`: a signalfd. The first SIGTERM or SIGINT drains, for at most `drain_max`; a second ends at
  // once. `on_signal` is told of each. A damaged view drains as well.
  End run(int signals, Millis drain_max, const std::function<void(int signal)>& on_signal);

 private:
  void sleep(int signals);
  flow::Shard& shard_;
  flow::Ports& ports_;
  Mailbox& mailbox_;
};

}  // namespace postrider
