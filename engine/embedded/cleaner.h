#pragma once
#include <array>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "engine/embedded/append_clock.h"
#include "engine/embedded/log_writer.h"
#include "engine/embedded/storage.h"

namespace postrider::embedded {

// Removes what may go, on a thread of its own. Retention, of the topics kept by time: the old end, but of
// `events` nothing that a watermark or a parked delivery still needs. Compaction, of the others: of each key
// the newest record that is older than the topic's lag stays, and so does everything younger; a tombstone
// goes a while after. The last record of all stays, as Kafka's active segment does: who reads to the end gets
// there.
class Cleaner {
 public:
  struct Options {
    Environment environment;
    std::array<Millis, kTopicCount> retention, compaction_lag;
    Millis tombstone_retention{};
    Millis every{};  // 0: only by clean()
    AppendClock::Steady steady;
  };
  // All are borrowed and outlive it.
  Cleaner(Storage& storage, LogWriter& writer, AppendClock& clock, Options options);
  ~Cleaner();

  void start();
  // One round of everything, on the caller's thread.
  Result<void> clean();

 private:
  // What a pass over a compacted partition found, to tell when the next is worth while.
  struct Passed {
    std::uint64_t kept = 0;     // records that stayed
    std::uint64_t waiting = 0;  // too young, or a tombstone that must stay for a while
    SteadyTime at{};
  };
  void run();
  Result<void> round(bool all);
  Result<void> expire(Place place);
  bool is_worth_while(Place place) const;
  Result<void> compact(Place place);
  Result<Offset> needed_from(Partition partition) const;
  Result<std::optional<Offset>> lowest_parked(Partition partition) const;

  Storage& storage_;
  LogWriter& writer_;
  AppendClock& clock_;
  const Options options_;

  std::mutex round_mutex_;  // one round at a time
  std::map<Place, Passed> passed_;

  std::mutex mutex_;
  std::condition_variable stop_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace postrider::embedded
