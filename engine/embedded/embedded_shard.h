#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "engine/embedded/inbox.h"
#include "engine/embedded/log_writer.h"
#include "engine/embedded/storage.h"
#include "engine/ports/log.h"

namespace postrider::embedded {

struct Limits {
  std::size_t record_bytes_max = 0;
  std::size_t unacknowledged_bytes_max = 0;
};

// A shard's hold on the embedded log: its thread's alone. Reads come straight from RocksDB inside poll():
// nothing is prefetched, so hold() has nothing to bound.
class EmbeddedShard : public Log {
 public:
  // Borrows both. `share`: of the partitions, by number.
  EmbeddedShard(Storage& storage, LogWriter& writer, Limits limits, AppendClock::Steady steady,
                std::size_t share);
  // Leaves the group. What is unacknowledged still lands, and nobody is told.
  ~EmbeddedShard() override;

  std::size_t poll(LogListener& listener, std::size_t max_records) override;
  int wake_fd() const override { return inbox_->descriptor(); }
  void join() override;
  void begin(Partition partition, Offset from) override;
  std::optional<Offset> position(Partition partition) const override;
  void hold(bool held) override;
  void release(std::span<const Partition> partitions) override;
  bool can_append(std::size_t bytes) const override;
  void append(NewRecord record, std::uint64_t token) override;
  void commit(Partition partition, Offset next, std::string metadata) override;
  void tail(Topic topic, Partition partition, Offset from) override;
  void untail(Topic topic, Partition partition) override;
  void ask_end(Topic topic, Partition partition) override;
  void fetch(Position position, std::uint64_t token) override;
  Partition partitions() const override { return storage_.partitions(Topic::events); }
  Millis session_timeout() const override;

 private:
  struct Fetch {
    Position position;
    std::uint64_t token;
  };
  // Where a reader stands. A failed one reads no more: what cannot be read must not be skipped.
  struct Reader {
    Offset next = 0;
    std::uint64_t generation = 0;  // a reader that was replaced inside a callback is another one
    bool failed = false;
    SteadyTime retry_at{};
  };
  using Readers = std::map<Place, Reader>;

  std::size_t deliver(LogListener& listener, Inbox::Answer& answer);
  std::size_t answer_fetches(LogListener& listener);
  std::size_t read_some(LogListener& listener, Readers& readers, std::size_t max_records);
  std::size_t read_one(LogListener& listener, Readers& readers, Place place, std::size_t max_records);
  void start_reader(Readers& readers, Place place, Offset from);
  void stop_reading(LogListener& listener, Reader& reader, const Error& error);
  bool more_to_read() const;
  Reader* same_reader(Readers& readers, Place place, std::uint64_t generation);

  Storage& storage_;
  LogWriter& writer_;
  const Limits limits_;
  const std::size_t share_;
  const AppendClock::Steady steady_;
  // Shared with the requests that are under way.
  const std::shared_ptr<Inbox> inbox_;
  std::size_t unacknowledged_bytes_ = 0;
  bool held_ = false;
  Readers events_, tails_;
  std::size_t turn_ = 0;  // which reader is first in the next poll
  std::uint64_t generations_ = 0;
  std::vector<Fetch> fetches_;
};

std::size_t bytes_of(const NewRecord& record);
// The partition that a record goes to; Errc::invalid: there is none such, or it is too large.
Result<Partition> place_of(const Storage& storage, const Limits& limits, const NewRecord& record);
Appended refused(Error error);

}  // namespace postrider::embedded
