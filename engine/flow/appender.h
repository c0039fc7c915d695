#pragma once
#include <absl/functional/any_invocable.h>

#include <deque>
#include <functional>
#include <optional>

#include "engine/core/slab.h"
#include "engine/flow/context.h"

namespace postrider::flow {

// Appends to the log and hands the answer to whoever asked. Waits in order while the log takes no more. Owned
// by the shard; its thread.
class Appender {
 public:
  using Answer = absl::AnyInvocable<void(const Appended&)>;  // called once

  // A partition under one assignment: what waits for room in the log leaves only while that may still act.
  struct Owner {
    Partition partition = 0;
    std::uint64_t generation = 0;
  };

  explicit Appender(Context& context) : context_(context) {}

  // What waited and may not leave any more is answered `unknown`, and was not sent.
  void append(NewRecord record, Answer answer, std::optional<Owner> owner = std::nullopt);
  void on_appended(std::uint64_t token, const Appended& appended);
  // Sends what waited, as far as the log takes it.
  void pump();
  std::size_t unacknowledged() const { return answers_.size(); }
  std::size_t waiting_bytes() const { return waiting_bytes_; }
  // Since when the log has acknowledged nothing though it is asked; nullopt: it does, or nobody asks any
  // more.
  std::optional<SteadyTime> stalled_since(SteadyTime now) const;

  // Hook of the shard: the lease holds, and the assignment is still that one.
  std::function<bool(const Owner&)> may_append = [](const Owner&) { return true; };

 private:
  struct Waiting {
    NewRecord record;
    std::uint64_t token;
    std::optional<Owner> owner;
  };
  struct Asked {
    Answer answer;
    SteadyTime at;  // when the log was given it
  };
  Context& context_;
  std::deque<Waiting> waiting_;
  std::size_t waiting_bytes_ = 0;
  Slab<Asked> answers_;
  std::optional<SteadyTime> stalled_since_;
  SteadyTime asked_at_{};
};

}  // namespace postrider::flow
