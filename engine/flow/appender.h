#pragma once
#include <absl/container/flat_hash_map.h>

#include <deque>
#include <functional>

#include "engine/flow/context.h"

namespace postrider::flow {

// Appends to the log and hands the answer to whoever asked. Waits in order while the log takes no more. Owned
// by the shard; its thread.
class Appender {
 public:
  using Answer = std::function<void(const Appended&)>;

  explicit Appender(Context& context) : context_(context) {}

  void append(NewRecord record, Answer answer);
  void on_appended(std::uint64_t token, const Appended& appended);
  // Sends what waited, as far as the log takes it.
  void pump();
  std::size_t unacknowledged() const { return answers_.size(); }
  std::size_t waiting_bytes() const { return waiting_bytes_; }

 private:
  struct Waiting {
    NewRecord record;
    std::uint64_t token;
  };
  Context& context_;
  std::uint64_t last_token_ = 0;
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  absl::flat_hash_map<std::uint64_t, Answer> answers_;
};

}  // namespace postrider::flow
