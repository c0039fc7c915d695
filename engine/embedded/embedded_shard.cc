#include "engine/embedded/embedded_shard.h"

#include <algorithm>
#include <utility>

#include "engine/core/partitioner.h"

namespace postrider::embedded {
namespace {

constexpr std::size_t kRecordOverheadBytes = 128;
constexpr Millis kRetryReadAfter{1000};

Error no_such_partition(Place place) {
  return {Errc::not_found, "NO_SUCH_PARTITION", "the embedded log has no partition " + describe(place),
          "ask for one that is there"};
}

template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

std::size_t bytes_of(const NewRecord& record) {
  std::size_t bytes = record.key.size() + (record.value ? record.value->size() : 0) + kRecordOverheadBytes;
  for (const Header& header : record.headers) bytes += header.name.size() + header.value.size() + 16;
  return bytes;
}

Appended refused(Error error) {
  Appended answer;
  answer.status = Appended::Status::refused;
  answer.error = std::move(error);
  return answer;
}

Result<Partition> place_of(const Storage& storage, const Limits& limits, const NewRecord& record) {
  if (const std::size_t bytes = bytes_of(record); bytes > limits.record_bytes_max)
    return fail(Errc::invalid, "RECORD_TOO_LARGE",
                "a record of " + std::to_string(bytes) + " bytes is above the log's limit of " +
                    std::to_string(limits.record_bytes_max),
                "make it smaller");
  const Partition partition =
      record.partition.value_or(murmur2_partition(record.key, storage.partitions(record.topic)));
  if (storage.has({record.topic, partition})) return partition;
  return fail(Errc::invalid, "NO_SUCH_PARTITION",
              "the embedded log has no partition " + describe({record.topic, partition}),
              "append to one of its " + std::to_string(storage.partitions(record.topic)));
}

EmbeddedShard::EmbeddedShard(Storage& storage, LogWriter& writer, Limits limits, AppendClock::Steady steady,
                             std::size_t share)
    : storage_(storage),
      writer_(writer),
      limits_(limits),
      share_(share),
      steady_(std::move(steady)),
      inbox_(std::make_shared<Inbox>()) {
  writer_.watch(inbox_);
}

EmbeddedShard::~EmbeddedShard() {
  writer_.unwatch(inbox_.get());
  writer_.ask(LogWriter::Leave{inbox_});
}

std::size_t EmbeddedShard::poll(LogListener& listener, std::size_t max_records) {
  std::size_t calls = 0;
  for (Inbox::Answer& answer : inbox_->take()) calls += deliver(listener, answer);
  calls += answer_fetches(listener);
  const std::size_t of_tails = read_some(listener, tails_, held_ ? max_records : (max_records + 1) / 2);
  calls += of_tails;
  if (!held_) calls += read_some(listener, events_, max_records - std::min(of_tails, max_records));
  if (more_to_read()) inbox_->wake();
  return calls;
}

std::size_t EmbeddedShard::deliver(LogListener& listener, Inbox::Answer& answer) {
  std::visit(Overloaded{
                 [&](Inbox::AppendAnswer& it) {
                   unacknowledged_bytes_ -= it.bytes;
                   listener.on_appended(it.token, it.appended);
                 },
                 [&](Inbox::CommitAnswer& it) {
                   listener.on_committed(it.partition, it.offset, it.sent_at, it.acknowledged);
                 },
                 [&](Inbox::EndAnswer& it) { listener.on_end(it.topic, it.partition, it.end, it.asked_at); },
                 [&](Inbox::AssignedNotice& it) { listener.on_assigned(it.assigned); },
                 [&](Inbox::RevokedNotice& it) {
                   for (const Partition each : it.revoked) events_.erase({Topic::events, each});
                   listener.on_revoked(it.revoked, it.lost);
                 },
                 [&](Inbox::ErrorNotice& it) { listener.on_log_error(it.error); },
             },
             answer);
  return 1;
}

std::size_t EmbeddedShard::answer_fetches(LogListener& listener) {
  // A callback may ask for more: those wait for the next poll.
  const std::vector<Fetch> fetches = std::exchange(fetches_, {});
  for (const Fetch& each : fetches)
    listener.on_fetched(each.token,
                        storage_.get({Topic::events, each.position.partition}, each.position.offset));
  if (!fetches_.empty()) inbox_->wake();
  return fetches.size();
}

// Round and round, so that no partition waits for another to run dry.
std::size_t EmbeddedShard::read_some(LogListener& listener, Readers& readers, std::size_t max_records) {
  std::vector<Place> places;
  for (const auto& [place, reader] : readers)
    if (!reader.failed && reader.next < storage_.end(place)) places.push_back(place);
  if (places.empty() || max_records == 0) return 0;
  std::rotate(places.begin(), places.begin() + static_cast<std::ptrdiff_t>(turn_++ % places.size()),
              places.end());
  const std::size_t share = std::max<std::size_t>(1, max_records / places.size());
  std::size_t handed_over = 0;
  for (const Place place : places) {
    if (handed_over >= max_records) break;
    handed_over += read_one(listener, readers, place, std::min(share, max_records - handed_over));
  }
  return handed_over;
}

std::size_t EmbeddedShard::read_one(LogListener& listener, Readers& readers, Place place,
                                    std::size_t max_records) {
  Reader* reader = &readers[place];
  const std::uint64_t generation = reader->generation;
  const bool is_event = &readers == &events_;
  if (reader->retry_at > steady_()) return 0;
  if (is_event && reader->next < storage_.begin(place)) {
    stop_reading(listener, *reader,
                 {Errc::not_found, "OFFSET_OUT_OF_RANGE",
                  describe(place) + " begins at " + std::to_string(storage_.begin(place)) + ", above " +
                      std::to_string(reader->next),
                  "begin at an offset that is there"});
    return 0;
  }
  // Gathered first: a callback may end this reader, or start it elsewhere.
  std::vector<Record> records;
  const Offset end = storage_.end(place);
  const auto read = storage_.scan(place, reader->next, end, [&](Record record) {
    records.push_back(std::move(record));
    return records.size() < max_records;
  });
  std::size_t handed_over = 0;
  for (Record& record : records) {
    reader = same_reader(readers, place, generation);
    if (!reader || (is_event && held_)) return handed_over;
    reader->next = record.offset + 1;
    ++handed_over;
    is_event ? listener.on_event(std::move(record)) : listener.on_tail(std::move(record));
  }
  reader = same_reader(readers, place, generation);
  if (reader && !read) stop_reading(listener, *reader, read.error());
  // Compaction may have left nothing between the last record and the end.
  if (reader && read && handed_over < max_records) reader->next = std::max(reader->next, end);
  return handed_over;
}

// Not now (a key service that is down): once more in a second, by a poll() that comes anyhow. Anything else:
// never, for what cannot be read must not be passed over.
void EmbeddedShard::stop_reading(LogListener& listener, Reader& reader, const Error& error) {
  if (error.retryable())
    reader.retry_at = steady_() + kRetryReadAfter;
  else
    reader.failed = true;
  listener.on_log_error(error);
}

EmbeddedShard::Reader* EmbeddedShard::same_reader(Readers& readers, Place place, std::uint64_t generation) {
  const auto found = readers.find(place);
  return found != readers.end() && found->second.generation == generation ? &found->second : nullptr;
}

bool EmbeddedShard::more_to_read() const {
  const SteadyTime now = steady_();
  const auto any = [&](const Readers& readers) {
    return std::any_of(readers.begin(), readers.end(), [&](const auto& each) {
      return !each.second.failed && each.second.retry_at <= now &&
             each.second.next < storage_.end(each.first);
    });
  };
  return any(tails_) || (!held_ && any(events_));
}

void EmbeddedShard::join() {
  writer_.ask(LogWriter::Join{inbox_, share_});
}

void EmbeddedShard::start_reader(Readers& readers, Place place, Offset from) {
  if (!storage_.has(place)) {
    inbox_->put(Inbox::ErrorNotice{no_such_partition(place)});
    return;
  }
  Reader& reader = readers[place] = Reader{};
  reader.next = from;
  reader.generation = ++generations_;
  inbox_->wake();
}

std::optional<Offset> EmbeddedShard::position(Partition partition) const {
  const auto found = events_.find({Topic::events, partition});
  return found == events_.end() ? std::nullopt : std::optional(found->second.next);
}

void EmbeddedShard::begin(Partition partition, Offset from) {
  const Place place{Topic::events, partition};
  start_reader(events_, place, from);
  if (storage_.has(place) && from > storage_.end(place)) {
    events_[place].failed = true;
    inbox_->put(Inbox::ErrorNotice{{Errc::not_found, "OFFSET_OUT_OF_RANGE",
                                    describe(place) + " ends at " + std::to_string(storage_.end(place)) +
                                        ", below " + std::to_string(from),
                                    "begin at an offset that is there"}});
  }
}

void EmbeddedShard::hold(bool held) {
  held_ = held;
  if (!held) inbox_->wake();
}

void EmbeddedShard::release(std::span<const Partition> partitions) {
  for (const Partition each : partitions) events_.erase({Topic::events, each});
  writer_.ask(LogWriter::Release{inbox_, {partitions.begin(), partitions.end()}});
}

// One record may always go, however large, so that a limit never stops everything.
bool EmbeddedShard::can_append(std::size_t bytes) const {
  if (!writer_.healthy()) return false;
  return unacknowledged_bytes_ == 0 || unacknowledged_bytes_ + bytes <= limits_.unacknowledged_bytes_max;
}

void EmbeddedShard::append(NewRecord record, std::uint64_t token) {
  const std::size_t bytes = bytes_of(record);
  unacknowledged_bytes_ += bytes;
  const auto partition = place_of(storage_, limits_, record);
  if (!partition) {
    inbox_->answered(token, bytes, refused(partition.error()));
    return;
  }
  writer_.ask(LogWriter::Append{std::move(record), *partition, inbox_, token, bytes});
}

void EmbeddedShard::commit(Partition partition, Offset next, std::string metadata) {
  writer_.ask(LogWriter::Commit{partition, next, std::move(metadata), inbox_, steady_()});
}

void EmbeddedShard::tail(Topic topic, Partition partition, Offset from) {
  const Place place{topic, partition};
  if (storage_.has(place)) from = std::clamp(from, storage_.begin(place), storage_.end(place));
  start_reader(tails_, place, from);
}

void EmbeddedShard::untail(Topic topic, Partition partition) {
  tails_.erase({topic, partition});
}

void EmbeddedShard::ask_end(Topic topic, Partition partition) {
  const Place place{topic, partition};
  const SteadyTime asked_at = steady_();  // before the look
  if (storage_.has(place))
    inbox_->put(Inbox::EndAnswer{topic, partition, storage_.end(place), asked_at});
  else
    inbox_->put(Inbox::ErrorNotice{no_such_partition(place)});
}

void EmbeddedShard::fetch(Position position, std::uint64_t token) {
  fetches_.push_back({position, token});
  inbox_->wake();
}

// The lock on the directory is the lease: it ends with the process.
Millis EmbeddedShard::session_timeout() const {
  return std::chrono::hours(24 * 365);
}

}  // namespace postrider::embedded
