#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/result.h"
#include "engine/embedded/record_format.h"
#include "engine/ports/log_client.h"

namespace rocksdb {
class DB;
class Status;
class WriteBatch;
}  // namespace rocksdb

namespace postrider::embedded {

// The RocksDB under the log, and where each partition begins and ends. Reads from any thread; one writer
// (LogWriter) gives offsets and moves ends, one cleaner (Cleaner) moves begins and removes.
class Storage {
 public:
  struct Options {
    std::string directory;     // RocksDB's own
    Partition partitions = 1;  // of `events`, `parked` and `attempts`; the other topics have one
  };
  // Only an unfinished tail of the write-ahead log is tolerated. Everything else that is there is read and
  // checked: RocksDB's checksums, ours, no offset missing. Errc::corrupt names what is damaged.
  static Result<std::unique_ptr<Storage>> open(const Options& options, bool create);
  // Flushes, so that a clean stop leaves no write-ahead log to be judged.
  ~Storage();

  Partition partitions(Topic topic) const;
  bool has(Place place) const { return place.partition >= 0 && place.partition < partitions(place.topic); }
  // What was acknowledged. Precondition of these: has(place).
  Offset begin(Place place) const { return state(place).begin.load(std::memory_order_acquire); }
  Offset end(Place place) const { return state(place).end.load(std::memory_order_acquire); }
  LogClient::Extent extent(Place place) const { return {begin(place), end(place)}; }
  std::uint64_t appended_since_cleaning(Place place) const { return state(place).appended.load(); }
  void set_appended_since_cleaning(Place place, std::uint64_t count) { state(place).appended.store(count); }

  LogTime newest() const { return newest_; }  // append time, as found by open()
  std::uint64_t sequence() const;             // RocksDB's, of the last write
  std::optional<std::string> identity() const { return identity_; }

  // Seals and opens bodies of `events`; borrowed. Set before there is a reader or a writer.
  void set_cipher(RecordCipher* cipher) { cipher_ = cipher; }
  RecordCipher* cipher_for(Topic topic) const { return topic == Topic::events ? cipher_ : nullptr; }

  // Records in [from, to) in order, as far as they are there, until `each` returns false. Topics without
  // compaction are dense: a hole in them above begin() is Errc::corrupt.
  Result<void> scan(Place place, Offset from, Offset to, const std::function<bool(Record)>& each) const;
  // The same, newest first, bodies unread (no cipher is asked). `each` gets the offset.
  Result<void> scan_back(Place place, const std::function<bool(Offset, const RecordView&)>& each) const;
  Result<Record> get(Place place, Offset offset) const;  // not_found
  Result<Offset> offset_at(Place place, LogTime time) const;

  struct Commit {
    Offset offset = 0;
    std::string metadata;
  };
  Result<std::optional<Commit>> committed(Partition partition) const;

  // Writes and syncs. Not ok: it may or may not be there after reopen(), and nothing else is taken before.
  rocksdb::Status write(rocksdb::WriteBatch& batch);
  // Closes RocksDB and opens it again after a failed write (DB::Resume() of 7.8 does not get over a
  // write-ahead log that failed). The ends are then those that reached the disk: a write that failed may have
  // landed. Until it succeeds reads answer Errc::unavailable. Fails while a reader is inside; the writer's
  // thread tries again.
  Result<void> reopen();
  // After a synced write of records below `end`.
  void publish_end(Place place, Offset end);
  // Removes all below `begin`, durably. For the cleaner.
  rocksdb::Status move_begin(Place place, Offset begin);
  rocksdb::Status remove(Place place, const std::vector<Offset>& offsets);
  // Rewrites that partition's files, so that what was removed is no longer readable in them.
  rocksdb::Status purge(Place place);

 private:
  struct State {
    std::atomic<Offset> begin{0}, end{0};
    std::atomic<std::uint64_t> appended{0};
  };
  explicit Storage(Options options);
  Result<void> open_database(bool create);
  Result<void> load_ends(rocksdb::DB& database);
  Result<void> verify(rocksdb::DB& database);
  // Shared with the readers that are inside; nullptr: closed at present.
  std::shared_ptr<rocksdb::DB> database() const;
  std::size_t index(Place place) const;
  State& state(Place place) { return states_[index(place)]; }
  const State& state(Place place) const { return states_[index(place)]; }
  std::vector<Place> places() const;

  const Options options_;
  std::vector<State> states_;
  mutable std::mutex database_mutex_;
  std::shared_ptr<rocksdb::DB> database_;
  RecordCipher* cipher_ = nullptr;
  LogTime newest_{};
  std::optional<std::string> identity_;
};

// Kept by key rather than by time: what may have holes.
bool is_compacted(Topic topic);

// "IO error: No space left on device" and the like as an Error of ours.
Error error_of(const rocksdb::Status& status, std::string_view doing);

}  // namespace postrider::embedded
