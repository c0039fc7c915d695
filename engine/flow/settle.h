#pragma once
#include <absl/container/inlined_vector.h>

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "engine/flow/active.h"
#include "engine/flow/appender.h"
#include "engine/flow/ownership.h"
#include "engine/flow/view.h"

namespace postrider::flow {

// What the facts of an endpoint's attempts have in common; never changed, replaced when the endpoint is.
struct Sender {
  std::string url;  // without query
  std::vector<std::string> secret_ids;
  std::uint32_t attempts_max = 0;
};

// What an attempt's fact needs beside its outcome.
struct AttemptMade {
  std::int64_t signed_at = 0;  // unix seconds
  std::shared_ptr<const Sender> by;
  std::shared_ptr<const ActiveEvent::Body> body;  // null: nothing was sent
  Offset registry_version = 0;
  std::int32_t queue_ms = 0;
};

// Writes down what became of a delivery, each fact acknowledged before the next is produced: the attempt;
// then the dead letter or the cancellation; then the `parked` record. A crash in between repeats a step; the
// other order could lose a delivery (DESIGN §2 step 8). When the last one stands, the view follows and the
// event may settle. Owned by the shard.
class Settle {
 public:
  Settle(Context& context, Appender& appender, Ownership& ownership, View& view, ActiveTable& active);

  // After an attempt. The delivery is ours no more once this returns (its stage is `recording`).
  void conclude(ActiveDelivery& delivery, const Outcome& outcome, const Verdict& verdict,
                const AttemptMade& made);
  // Without an attempt: due when there is a chance.
  void park(ActiveDelivery& delivery, LogTime due);
  void bury(ActiveDelivery& delivery, DeadReason reason);
  void cancel(ActiveDelivery& delivery, CancelReason reason);

  // Records of `events` that make no delivery.
  void set_aside(OwnedPartition& partition, const Record& record, DeadReason reason);
  void no_match(OwnedPartition& partition, Offset offset, Offset registry_version);
  void repeat(OwnedPartition& partition, RepeatFact::Repeat repeat);
  void cancelled(OwnedPartition& partition, const CancelledFact& fact);
  // Appends what was gathered of no matches and repeats.
  void flush_batches();

  // Tries again what had to wait: a lease, a key, a full log.
  void tick(SteadyTime now);
  void drop(const OwnedPartition& partition);
  bool busy(Partition partition) const {
    return chains_of_.contains(partition) && chains_of_.at(partition) > 0;
  }
  std::size_t chains() const { return chains_.size(); }

 private:
  // Produces one fact under a fresh stamp. False: not now (no key yet), try again later.
  using Step = std::function<bool(OwnedPartition&, Appender::Answer)>;
  struct Chain {
    Partition partition = 0;
    std::uint64_t generation = 0;
    absl::InlinedVector<std::shared_ptr<Step>, 3> steps;  // shared with the call under way
    std::size_t taken = 0;                                // steps that are acknowledged
    std::function<void(OwnedPartition&)> done;
    // A dead letter that the log refuses as too large is written without most of its payload.
    std::function<void()> shrink;
    void add(Step step) { steps.push_back(std::make_shared<Step>(std::move(step))); }
  };
  struct Told {
    AttemptFact fact;
    std::uint32_t attempts_max = 0;
    std::string error_code, traceparent;
    std::optional<std::int64_t> rate_limit_remaining;
    std::optional<DeadReason> dead;
  };

  void start(OwnedPartition& partition, Chain chain);
  void advance(std::uint64_t id);
  void answered(std::uint64_t id, const Appended& appended);
  void end_chain(std::uint64_t id);

  Step attempt_step(const ActiveDelivery& delivery, const Outcome& outcome, const Verdict& verdict,
                    const AttemptMade& made, LogTime now, LogTime next);
  Step append_step(Topic topic, std::string key, std::function<std::string(Stamp)> encode,
                   std::function<void()> acknowledged);
  Step cancel_step(CancelledFact cancelled);
  void add_end(Chain& chain, ActiveDelivery& delivery);
  void add_parking(Chain& chain, ActiveDelivery& delivery, LogTime due);
  void add_dead_letter(Chain& chain, ActiveDelivery& delivery, DeadReason reason);
  void begin_recording(ActiveDelivery& delivery);
  void claim(ActiveDelivery& delivery);
  void ended(OwnedPartition& partition, std::uint64_t serial);
  void parked(OwnedPartition& partition, std::uint64_t serial, const ParkedState& state);
  void release(OwnedPartition& partition, ActiveDelivery& delivery);
  SealContext seal_context(const DeliveryRef& ref, std::string purpose, bool with_endpoint) const;

  Context& context_;
  Appender& appender_;
  Ownership& ownership_;
  View& view_;
  ActiveTable& active_;
  std::uint64_t last_chain_ = 0;
  absl::flat_hash_map<std::uint64_t, std::unique_ptr<Chain>> chains_;
  absl::flat_hash_map<Partition, std::size_t> chains_of_;
  std::vector<std::uint64_t> waiting_;
  SteadyTime next_try_{};
  struct Batch {
    std::uint64_t generation = 0;
    NoMatchFact no_match;
    RepeatFact repeats;
  };
  std::map<Partition, Batch> batches_;
};

}  // namespace postrider::flow
