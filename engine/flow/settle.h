#pragma once
#include <absl/functional/any_invocable.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/slab.h"
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
  std::int32_t queue_ms = 0;
  std::optional<std::int64_t> rate_limit_remaining;  // as the answer tells it
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
                const AttemptMade& made, LogTime now);
  // Without an attempt: due when there is a chance.
  void park(ActiveDelivery& delivery, LogTime due);
  void bury(ActiveDelivery& delivery, DeadReason reason);
  void cancel(ActiveDelivery& delivery, CancelReason reason);

  // Records of `events` that make no delivery.
  // `event`: what was decoded of it, if it was; `detail`: for people, without any of its values.
  void set_aside(OwnedPartition& partition, const Record& record, DeadReason reason,
                 const Event* event = nullptr, std::string detail = {});
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
  // One fact, appended under a fresh stamp until it is acknowledged.
  struct Step {
    Topic topic = Topic::attempts;
    std::string key;
    absl::AnyInvocable<std::string(Stamp)> encode;  // empty: not now (no key yet), try again later
    absl::AnyInvocable<void()> acknowledged;        // may be null
  };
  // An attempt's fact as its bytes: what stands on the log is what stands in the history.
  struct Attempt {
    DeliveryId id;
    Stamp stamp;
    std::string record;
    bool said = false;  // under that stamp
  };
  // What is written of one delivery, or of records that make none, in this order: the attempt, the steps, the
  // last word on `parked`.
  struct Chain {
    Partition partition = 0;
    std::uint64_t generation = 0;
    std::uint64_t serial = 0;  // of the delivery; 0: none
    std::optional<Attempt> attempt;
    bool attempt_stands = false;
    std::vector<Step> steps;
    std::size_t steps_stand = 0;
    std::unique_ptr<ParkedState> parking;  // the last word; null: the end
    bool last_word_stands = false;
    std::function<void(OwnedPartition&)> done;  // without a delivery
    // A dead letter that the log refuses as too large is written without most of its payload.
    std::function<void()> shrink;
    bool dropped = false;  // the partition went away; an answer is still to come
    bool asked = false;    // an append is under way
  };

  void start(OwnedPartition& partition, Chain chain);
  void advance(std::uint64_t id);
  bool write_next(std::uint64_t id, Chain& chain, OwnedPartition& partition);
  void write_attempt(std::uint64_t id, Chain& chain, OwnedPartition& partition);
  bool write_step(std::uint64_t id, Chain& chain, OwnedPartition& partition);
  static void take_over_foreign(OwnedPartition& partition, ActiveDelivery& delivery);
  void write_last_word(std::uint64_t id, Chain& chain, OwnedPartition& partition);
  Appender::Answer answer_of(std::uint64_t id);
  void answered(std::uint64_t id, const Appended& appended);
  void stands(Chain& chain, const Appended& appended);
  void finish(std::uint64_t id, Chain& chain, OwnedPartition& partition);
  void end_chain(std::uint64_t id);

  void tell_attempt(const ActiveDelivery& delivery, const Outcome& outcome, const Verdict& verdict,
                    const AttemptMade& made, LogTime now);
  Step cancel_step(CancelledFact cancelled);
  template <class Fact>
  Step fact_step(std::string key, Fact fact);  // on `attempts`
  void add_parking(Chain& chain, const ActiveDelivery& delivery, LogTime due);
  void add_dead_letter(Chain& chain, const ActiveDelivery& delivery, DeadReason reason);
  Chain begin_recording(ActiveDelivery& delivery);
  void claim(ActiveDelivery& delivery);
  void ended(OwnedPartition& partition, ActiveDelivery& delivery);
  bool has_row(const ActiveDelivery& delivery);
  void parked(OwnedPartition& partition, ActiveDelivery& delivery, const ParkedState& state);
  void release(OwnedPartition& partition, ActiveDelivery& delivery);
  SealContext seal_context(const TenantId& tenant, const Target* target, std::string purpose) const;

  Context& context_;
  Appender& appender_;
  Ownership& ownership_;
  View& view_;
  ActiveTable& active_;
  Slab<Chain> chains_;
  absl::flat_hash_map<Partition, std::size_t> chains_of_;
  std::vector<std::uint64_t> waiting_;
  SteadyTime next_try_{};
  struct Batch {
    std::uint64_t generation = 0;
    NoMatchFact no_match;
    RepeatFact repeats;
  };
  std::map<Partition, Batch> batches_;
  AttemptFact fact_;  // filled anew for each attempt: its strings keep their memory
};

}  // namespace postrider::flow
