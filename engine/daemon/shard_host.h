#pragma once
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "engine/config/config.h"
#include "engine/core/result.h"
#include "engine/crypto/unwrapped_keys.h"
#include "engine/daemon/assembly.h"
#include "engine/daemon/mailbox.h"
#include "engine/flow/shard.h"
#include "engine/rocks/data_dir.h"
#include "engine/telemetry/telemetry.h"

namespace postrider {

// One shard, with everything that is its own: its hold on the log, its view, its connections, its keys. Every
// shard of a process is a member of the group by itself, as another process would be: they share no state and
// no lock, a partition goes from one to the other as it goes between machines, and what is proved of several
// instances holds for them.
//
// Opened and destroyed by main; run() is the shard's thread. What the process has once (`Shared`) is borrowed
// and outlives it.
class ShardHost {
 public:
  struct Shared {
    const Config& config;
    const rocks::DataDir& data;
    OpenedLog& log;
    crypto::UnwrappedKeys& keys;
    const Clock& clock;
    telemetry::Telemetry& telemetry;
  };
  // `number`: 0 to config.shards - 1.
  static Result<std::unique_ptr<ShardHost>> open(const Shared& shared, std::size_t number);
  ~ShardHost();

  // Until it has drained (loop.h).
  void run(int signals, const std::function<void(int signal)>& on_signal);
  void ask_to_end();  // any thread
  bool view_damaged() const;
  const std::string& view_directory() const;

  flow::Shard& shard();  // on the shard's thread, and before it runs
  Mailbox& mailbox();    // any thread

 private:
  struct Parts;
  explicit ShardHost(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace postrider
