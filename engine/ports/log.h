#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/event.h"
#include "engine/core/ids.h"
#include "engine/core/result.h"
#include "engine/core/time.h"

// The log as one shard sees it: Kafka or embedded (DESIGN §3, §8).
namespace postrider {

enum class Topic : std::uint8_t {
  events,
  endpoints,
  health,
  keys,
  parked,
  attempts,
  dead_letters,
  audit,
  requests,
  replays,
};
inline constexpr int kTopicCount = 10;
// "events", "dead-letters", …; the full name is "<environment>.postrider.<name>".
std::string_view name_of(Topic topic);
std::string full_name(const Environment& environment, Topic topic);

struct Record {
  Topic topic = Topic::events;
  Partition partition = 0;
  Offset offset = 0;
  LogTime appended{};
  std::string key;
  std::optional<std::string> value;  // nullopt: a tombstone
  Headers headers;
};

struct NewRecord {
  Topic topic = Topic::events;
  std::optional<Partition> partition;  // nullopt: by key, murmur2_random
  std::string key;
  std::optional<std::string> value;
  Headers headers;
};

// What became of an append. `unknown`: it may or may not be on the log, and may still land: append it again
// under the next sequence. `refused`: never, as it is (too large).
struct Appended {
  enum class Status { acknowledged, unknown, refused } status = Status::acknowledged;
  Partition partition = 0;
  Offset offset = 0;
  LogTime appended{};
  Error error;  // unknown and refused
};

// One partition handed to this instance, with what its owner must know (DESIGN §3, owner mark).
struct Assignment {
  Partition partition = 0;
  std::optional<Offset> committed;  // the group's, nullopt: none
  std::string metadata;             // of that commit
  Offset events_begin = 0, events_end = 0;
  Offset parked_begin = 0, parked_end = 0;
};

// Receives what poll() finds, on the thread that called poll(). Calls of the Log from inside are allowed.
class LogListener {
 public:
  virtual ~LogListener() = default;
  virtual void on_assigned(std::span<const Assignment> assigned) = 0;
  // Drain, commit, then release(). After `lost` nothing may be committed. poll() goes on delivering
  // acknowledgements meanwhile. Not released within 5 s: the adapter releases by itself.
  virtual void on_revoked(std::span<const Partition> revoked, bool lost) = 0;
  virtual void on_event(Record record) = 0;  // of `events`, from a begun partition
  // What stood from `first` up to `next` is gone (retention) before it was handed out; reading goes on at
  // `next`. In its order among on_event.
  virtual void on_events_lost(Partition partition, Offset first, Offset next) = 0;
  virtual void on_tail(Record record) = 0;  // of a tail()
  virtual void on_appended(std::uint64_t token, const Appended& appended) = 0;
  // `sent_at`: when the commit left; the lease counts from it.
  virtual void on_committed(Partition partition, Offset offset, SteadyTime sent_at, bool acknowledged) = 0;
  // Answers ask_end(): every record acknowledged before `asked_at` lies below `end`.
  virtual void on_end(Topic topic, Partition partition, Offset end, SteadyTime asked_at) = 0;
  // Answers fetch(): not_found when retention or compaction took it.
  virtual void on_fetched(std::uint64_t token, Result<Record> record) = 0;
  // Connectivity and fatal errors, for /readyz and the log; the adapter goes on trying.
  virtual void on_log_error(const Error& error) = 0;
};

// One shard's hold on the log. Not thread-safe: all calls on the shard's thread. Every call but poll() only
// asks; answers come from poll(). Bounded: can_append() is false while too much is unacknowledged.
class Log {
 public:
  virtual ~Log() = default;

  // Hands over at most about `max_records` records, and every answer that has arrived. Never blocks. Returns
  // how many calls it made.
  virtual std::size_t poll(LogListener& listener, std::size_t max_records) = 0;
  // Readable when poll() has something; -1 where there is none (simulation).
  virtual int wake_fd() const = 0;

  // Joins the group: on_assigned follows.
  virtual void join() = 0;
  // Starts handing out records of `events` from `from` on. After on_assigned, when restored.
  virtual void begin(Partition partition, Offset from) = 0;
  // Of `events`: the next offset that poll() will hand out, once it has passed what is no record (Kafka's
  // control records). nullopt: not begun, or being led back to what is there.
  virtual std::optional<Offset> position(Partition partition) const = 0;
  // Back-pressure for all partitions: while held, poll() hands out no record of `events` (tails and answers
  // go on), and what is prefetched stays bounded.
  virtual void hold(bool held) = 0;
  // Ends on_revoked: the partitions may go to another instance.
  virtual void release(std::span<const Partition> partitions) = 0;

  virtual bool can_append(std::size_t bytes) const = 0;
  virtual void append(NewRecord record, std::uint64_t token) = 0;
  // Commits of a partition take effect in the order of the calls.
  virtual void commit(Partition partition, Offset next, std::string metadata) = 0;

  // Follows one partition of another topic from `from` (clamped to what is there), until untail().
  virtual void tail(Topic topic, Partition partition, Offset from) = 0;
  virtual void untail(Topic topic, Partition partition) = 0;
  virtual void ask_end(Topic topic, Partition partition) = 0;
  // One record of `events` by position.
  virtual void fetch(Position position, std::uint64_t token) = 0;

  virtual Partition partitions() const = 0;    // of `events`, as of the last metadata
  virtual Millis session_timeout() const = 0;  // the lease is 0.8 of it; embedded: practically for ever
};

}  // namespace postrider
