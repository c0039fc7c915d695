#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "engine/embedded/append_clock.h"
#include "engine/embedded/group.h"
#include "engine/embedded/log_directory.h"
#include "engine/embedded/storage.h"

namespace postrider::embedded {

// The only thread that writes to the log. Whatever has been asked for while the last write was being synced
// goes into the next one together (group commit), and is answered when that is synced. Requests are served in
// the order in which they came, so that a commit stands before or after a release, never beside it.
class LogWriter {
 public:
  struct Append {
    NewRecord record;
    Partition partition = 0;  // of it, decided
    std::shared_ptr<AppendSink> sink;
    std::uint64_t token = 0;
    std::size_t bytes = 0;
  };
  struct Commit {
    Partition partition = 0;
    Offset next = 0;
    std::string metadata;
    std::shared_ptr<Inbox> sender;
    SteadyTime sent_at{};
  };
  struct Join {
    std::shared_ptr<Inbox> member;
    std::size_t share = 0;  // which shard's share of the partitions it wants
  };
  struct Release {
    std::shared_ptr<Inbox> member;
    std::vector<Partition> partitions;
  };
  struct Leave {
    std::shared_ptr<Inbox> member;
  };
  using Request = std::variant<Append, Commit, Join, Release, Leave>;

  struct Options {
    // Into how many shares the partitions are split, each for one shard: by number.
    std::size_t shares = 1;
    Millis release_within{5000};
    AppendClock::Steady steady;
  };
  // All are borrowed and outlive it. Reads the commits; its thread starts with start().
  LogWriter(Storage& storage, LogDirectory& directory, AppendClock& clock, Options options);
  // Serves what was asked, then ends.
  ~LogWriter();

  Result<void> start();

  // From any thread.
  void ask(Request request);
  // False after a failed write, until the disk takes writes again: nothing should be appended meanwhile.
  bool healthy() const { return healthy_.load(std::memory_order_acquire); }
  // Who is told of new records and of errors.
  void watch(const std::shared_ptr<Inbox>& inbox);
  void unwatch(const Inbox* inbox);
  void report(const Error& error);
  // The group's, as far as it is durable; nullopt: none.
  std::optional<Offset> committed(Partition partition) const;

 private:
  struct Batch;
  void run();
  bool wait_for_requests(std::vector<Request>& requests);
  void serve(std::vector<Request>& requests);
  void add(Batch& batch, Append& append);
  void add(Batch& batch, Commit& commit);
  void flush(Batch& batch);
  void answer(Batch& batch);
  void give_up(Batch& batch, const Error& error);
  bool recover();
  void wake_watchers();
  void serve_group(Request& request);
  std::optional<SteadyTime> group_deadline() const;
  Group& group_of(Partition partition);
  Assignment assignment_of(Partition partition) const;

  Storage& storage_;
  LogDirectory& directory_;
  AppendClock& clock_;
  const Options options_;
  std::vector<Group> groups_;                     // one a share
  std::map<Partition, Storage::Commit> commits_;  // of the writer's thread
  std::vector<std::atomic<Offset>> committed_;    // the same for others; -1: none
  SteadyTime recover_at_{};                       // of the writer's thread, while not healthy

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Request> requests_;
  bool stopping_ = false;
  std::atomic<bool> healthy_{true};

  std::mutex watchers_mutex_;
  std::vector<std::shared_ptr<Inbox>> watchers_;

  std::thread thread_;
};

}  // namespace postrider::embedded
