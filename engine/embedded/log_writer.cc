#include "engine/embedded/log_writer.h"

#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <chrono>
#include <utility>

namespace postrider::embedded {
namespace {

constexpr std::size_t kBatchBytesMax = 8 << 20;
constexpr Millis kRecoverEvery{1000};

}  // namespace

// What goes into one synced write, and whom to answer then.
struct LogWriter::Batch {
  struct Written {
    Append request;
    Appended appended;
  };
  rocksdb::WriteBatch bytes;
  std::vector<Written> appends;
  std::vector<Commit> commits;
  std::map<Place, Offset> ends;  // after it
  LogTime newest{};
  bool empty() const { return appends.empty() && commits.empty(); }
};

LogWriter::LogWriter(Storage& storage, LogDirectory& directory, AppendClock& clock, Options options)
    : storage_(storage),
      directory_(directory),
      clock_(clock),
      options_(std::move(options)),
      committed_(static_cast<std::size_t>(storage.partitions(Topic::events))) {
  for (auto& each : committed_) each.store(-1);
  std::vector<std::vector<Partition>> shares(options_.shares);
  for (Partition p = 0; p < storage.partitions(Topic::events); ++p)
    shares[static_cast<std::size_t>(p) % shares.size()].push_back(p);
  groups_.reserve(shares.size());
  for (auto& share : shares) {
    groups_.emplace_back(std::move(share), options_.release_within,
                         [this](Partition partition) { return assignment_of(partition); });
  }
}

Group& LogWriter::group_of(Partition partition) {
  return groups_[static_cast<std::size_t>(partition) % groups_.size()];
}

std::optional<SteadyTime> LogWriter::group_deadline() const {
  std::optional<SteadyTime> first;
  for (const Group& group : groups_) {
    if (const auto at = group.deadline(); at && (!first || *at < *first)) first = at;
  }
  return first;
}

Result<void> LogWriter::start() {
  for (Partition p = 0; p < storage_.partitions(Topic::events); ++p) {
    auto commit = storage_.committed(p);
    if (!commit) return fail(std::move(commit.error()));
    if (!*commit) continue;
    committed_[static_cast<std::size_t>(p)] = (*commit)->offset;
    commits_[p] = std::move(**commit);
  }
  thread_ = std::thread([this] { run(); });
  return {};
}

LogWriter::~LogWriter() {
  {
    const std::scoped_lock lock(mutex_);
    stopping_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void LogWriter::ask(Request request) {
  bool first;
  {
    const std::scoped_lock lock(mutex_);
    first = requests_.empty();
    requests_.push_back(std::move(request));
  }
  if (first) arrived_.notify_one();
}

void LogWriter::watch(const std::shared_ptr<Inbox>& inbox) {
  const std::scoped_lock lock(watchers_mutex_);
  watchers_.push_back(inbox);
}

void LogWriter::unwatch(const Inbox* inbox) {
  const std::scoped_lock lock(watchers_mutex_);
  std::erase_if(watchers_, [&](const auto& each) { return each.get() == inbox; });
}

void LogWriter::report(const Error& error) {
  const std::scoped_lock lock(watchers_mutex_);
  for (const auto& each : watchers_) each->put(Inbox::ErrorNotice{error});
}

void LogWriter::wake_watchers() {
  const std::scoped_lock lock(watchers_mutex_);
  for (const auto& each : watchers_) each->wake();
}

std::optional<Offset> LogWriter::committed(Partition partition) const {
  const Offset offset = committed_[static_cast<std::size_t>(partition)].load(std::memory_order_acquire);
  return offset < 0 ? std::nullopt : std::optional(offset);
}

void LogWriter::run() {
  std::vector<Request> requests;
  while (wait_for_requests(requests)) {
    if (!healthy() && recover()) wake_watchers();
    serve(requests);
    requests.clear();
    for (Group& group : groups_) group.tick(options_.steady());
  }
}

// False: there is nothing left to do, for ever.
bool LogWriter::wait_for_requests(std::vector<Request>& requests) {
  std::unique_lock lock(mutex_);
  const auto ready = [&] { return stopping_ || !requests_.empty(); };
  if (!healthy()) {
    arrived_.wait_for(lock, kRecoverEvery, ready);
  } else if (const auto deadline = group_deadline()) {
    arrived_.wait_for(lock, std::max(Millis(1), *deadline - options_.steady()), ready);
  } else {
    arrived_.wait(lock, ready);
  }
  std::swap(requests, requests_);
  return !stopping_ || !requests.empty();
}

void LogWriter::serve(std::vector<Request>& requests) {
  Batch batch;
  for (Request& request : requests) {
    if (auto* append = std::get_if<Append>(&request)) {
      add(batch, *append);
    } else if (auto* commit = std::get_if<Commit>(&request)) {
      add(batch, *commit);
    } else {
      // Whoever takes over must find the commits made before.
      flush(batch);
      serve_group(request);
    }
    if (batch.bytes.GetDataSize() >= kBatchBytesMax) flush(batch);
  }
  flush(batch);
}

void LogWriter::serve_group(Request& request) {
  if (auto* join = std::get_if<Join>(&request))
    groups_[join->share % groups_.size()].join(std::move(join->member), options_.steady());
  // A member is in one group: to the others it is a stranger.
  if (auto* release = std::get_if<Release>(&request))
    for (Group& group : groups_) group.release(release->member, release->partitions);
  if (auto* leave = std::get_if<Leave>(&request))
    for (Group& group : groups_) group.leave(leave->member);
}

void LogWriter::add(Batch& batch, Append& append) {
  const Place place{append.record.topic, append.partition};
  auto [end, fresh] = batch.ends.try_emplace(place, 0);
  if (fresh) end->second = storage_.end(place);
  const std::string key = record_key(place, end->second);
  batch.newest = clock_.now();
  Appended appended{Appended::Status::acknowledged, place.partition, end->second, batch.newest, {}};
  auto value = encode_record(key, append.record, batch.newest, storage_.cipher_for(place.topic));
  if (!value) {
    // Not written, so it may be tried again: sealing needs a key that may come.
    appended.status = Appended::Status::unknown;
    appended.error = std::move(value.error());
    append.sink->answered(append.token, append.bytes, std::move(appended));
    return;
  }
  batch.bytes.Put(key, *value);
  ++end->second;
  batch.appends.push_back({std::move(append), std::move(appended)});
}

void LogWriter::add(Batch& batch, Commit& commit) {
  if (!group_of(commit.partition).owns(commit.sender.get(), commit.partition)) {
    commit.sender->put(Inbox::CommitAnswer{commit.partition, commit.next, commit.sent_at, false});
    return;
  }
  batch.bytes.Put(commit_key(commit.partition), encode_number(commit.next) + commit.metadata);
  batch.commits.push_back(std::move(commit));
}

void LogWriter::flush(Batch& batch) {
  if (batch.empty()) {
    batch = Batch();
    return;
  }
  if (!batch.appends.empty()) {
    for (const auto& [place, end] : batch.ends) batch.bytes.Put(end_key(place), encode_number(end));
    batch.bytes.Put(rocksdb::Slice(kClockKey.data(), kClockKey.size()), encode_number(to_ms(batch.newest)));
  }
  if (!healthy()) {
    give_up(batch,
            {Errc::unavailable, "LOG_UNAVAILABLE", "the embedded log's disk takes no writes at present",
             "check the disk of the log's directory"});
  } else if (const auto status = storage_.write(batch.bytes); !status.ok()) {
    healthy_.store(false, std::memory_order_release);
    recover_at_ = options_.steady() + kRecoverEvery;
    const Error error = error_of(status, "writing");
    report(error);
    give_up(batch, error);
  } else {
    directory_.note_acknowledged(storage_.sequence());
    answer(batch);
  }
  batch = Batch();
}

void LogWriter::answer(Batch& batch) {
  for (const auto& [place, end] : batch.ends) storage_.publish_end(place, end);
  for (Commit& commit : batch.commits) {
    committed_[static_cast<std::size_t>(commit.partition)].store(commit.next, std::memory_order_release);
    commit.sender->put(Inbox::CommitAnswer{commit.partition, commit.next, commit.sent_at, true});
    commits_[commit.partition] = {commit.next, std::move(commit.metadata)};
  }
  for (auto& [request, appended] : batch.appends)
    request.sink->answered(request.token, request.bytes, std::move(appended));
  if (!batch.appends.empty()) wake_watchers();
}

// The bytes may have reached the disk all the same: unknown. recover() then finds them, or gives their
// offsets again.
void LogWriter::give_up(Batch& batch, const Error& error) {
  for (auto& [request, appended] : batch.appends) {
    appended.status = Appended::Status::unknown;
    appended.error = error;
    request.sink->answered(request.token, request.bytes, std::move(appended));
  }
  for (const Commit& commit : batch.commits)
    commit.sender->put(Inbox::CommitAnswer{commit.partition, commit.next, commit.sent_at, false});
}

// At most once a second, however many requests come. A write of the clock shows whether the disk takes writes
// again.
bool LogWriter::recover() {
  const SteadyTime now = options_.steady();
  if (now < recover_at_) return false;
  recover_at_ = now + kRecoverEvery;
  if (const auto opened = storage_.reopen(); !opened) {
    if (opened.error().errc == Errc::corrupt) report(opened.error());
    return false;
  }
  const auto acknowledged = directory_.acknowledged();
  if (!acknowledged || storage_.sequence() < acknowledged->value_or(0)) {
    report({Errc::corrupt, "LOG_DAMAGED", "the embedded log lost acknowledged records when its disk failed",
            "stop the daemon, and restore the log's directory from a backup"});
    return false;
  }
  rocksdb::WriteBatch probe;
  probe.Put(rocksdb::Slice(kClockKey.data(), kClockKey.size()), encode_number(to_ms(clock_.now())));
  if (!storage_.write(probe).ok()) return false;
  healthy_.store(true, std::memory_order_release);
  return true;
}

Assignment LogWriter::assignment_of(Partition partition) const {
  Assignment found;
  found.partition = partition;
  if (const auto commit = commits_.find(partition); commit != commits_.end()) {
    found.committed = commit->second.offset;
    found.metadata = commit->second.metadata;
  }
  const auto events = storage_.extent({Topic::events, partition});
  const auto parked = storage_.extent({Topic::parked, partition});
  found.events_begin = events.begin;
  found.events_end = events.end;
  found.parked_begin = parked.begin;
  found.parked_end = parked.end;
  return found;
}

}  // namespace postrider::embedded
