#include "engine/embedded/storage.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <filesystem>

#include "engine/embedded/wal_check.h"

namespace postrider::embedded {
namespace {

std::string_view view_of(const rocksdb::Slice& slice) {
  return {slice.data(), slice.size()};
}

bool has_compression(rocksdb::CompressionType type) {
  const auto supported = rocksdb::GetSupportedCompressions();
  return std::find(supported.begin(), supported.end(), type) != supported.end();
}

rocksdb::Options rocksdb_options(bool create) {
  rocksdb::Options options;
  options.create_if_missing = create;
  options.error_if_exists = create;
  options.paranoid_checks = true;
  options.force_consistency_checks = true;
  options.track_and_verify_wals_in_manifest = true;
  // check_wals() has judged the write-ahead logs before: what it let pass is at most an unfinished tail,
  // which this mode (and not kTolerateCorruptedTailRecords) accepts in all its forms, half-written blocks
  // included.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.recycle_log_file_num = 0;  // check_wal() relies on it
  options.write_buffer_size = 64 << 20;
  options.max_total_wal_size = 256 << 20;
  options.max_background_jobs = 2;
  options.bytes_per_sync = 1 << 20;
  // No LOG file of its own: an append to it after one that a full disk refused fails an assertion.
  options.info_log = std::make_shared<rocksdb::Logger>(rocksdb::InfoLogLevel::NUM_INFO_LOG_LEVELS);
  options.compression =
      has_compression(rocksdb::kLZ4Compression) ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = rocksdb::NewLRUCache(32 << 20);
  table.cache_index_and_filter_blocks = true;
  table.format_version = 5;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

rocksdb::ReadOptions read_options() {
  rocksdb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

rocksdb::WriteOptions synced() {
  rocksdb::WriteOptions options;
  options.sync = true;
  return options;
}

tl::unexpected<Error> damaged(std::string what) {
  return fail(Errc::corrupt, "LOG_DAMAGED", std::move(what),
              "restore the log's directory from a backup, and have the disk checked");
}

// RocksDB blames the MANIFEST for a table whose footer it cannot read: looks which table is bad, for the
// message.
std::string damaged_table_in(const std::string& directory) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
    if (entry.path().extension() != ".sst") continue;
    const std::string path = entry.path().string();
    if (!rocksdb::VerifySstFileChecksum(rocksdb::Options(), rocksdb::EnvOptions(), path).ok())
      return " (damaged: " + path + ")";
  }
  return "";
}

tl::unexpected<Error> closed() {
  return fail(Errc::unavailable, "LOG_UNAVAILABLE",
              "the embedded log is being opened again after a failed write",
              "check the disk of the log's directory");
}

// One iterator over one partition's records.
struct Cursor {
  Cursor(std::shared_ptr<rocksdb::DB> of, Place place)
      : database(std::move(of)),
        upper_bytes(records_end(place)),
        lower_bytes(records_begin(place)),
        upper(upper_bytes),
        lower(lower_bytes) {
    if (!database) return;
    rocksdb::ReadOptions options = read_options();
    options.iterate_upper_bound = &upper;
    options.iterate_lower_bound = &lower;
    iterator.reset(database->NewIterator(options));
  }
  explicit operator bool() const { return iterator != nullptr; }
  std::shared_ptr<rocksdb::DB> database;  // outlives the iterator
  std::string upper_bytes, lower_bytes;
  rocksdb::Slice upper, lower;
  std::unique_ptr<rocksdb::Iterator> iterator;
};

}  // namespace

bool is_compacted(Topic topic) {
  return topic == Topic::endpoints || topic == Topic::health || topic == Topic::keys ||
         topic == Topic::parked;
}

Error error_of(const rocksdb::Status& status, std::string_view doing) {
  const std::string message =
      "the embedded log failed while " + std::string(doing) + ": " + status.ToString();
  if (status.IsCorruption())
    return {Errc::corrupt, "LOG_DAMAGED", message,
            "restore the log's directory from a backup, and have the disk checked"};
  if (status.IsNoSpace())
    return {Errc::unavailable, "LOG_DISK_FULL", message, "make room on the disk of the log's directory"};
  return {Errc::unavailable, "LOG_UNAVAILABLE", message, "check the disk of the log's directory"};
}

Storage::Storage(Options options)
    : options_(std::move(options)), states_(static_cast<std::size_t>(options_.partitions) * 3 + 7) {}

Result<std::unique_ptr<Storage>> Storage::open(const Options& options, bool create) {
  std::unique_ptr<Storage> storage(new Storage(options));
  if (auto opened = storage->open_database(create); !opened) return fail(std::move(opened.error()));
  if (auto sound = storage->verify(*storage->database()); !sound) return fail(std::move(sound.error()));
  return storage;
}

Result<void> Storage::open_database(bool create) {
  if (!create) {
    if (auto sound = check_wals(options_.directory); !sound) return sound;
  }
  rocksdb::DB* raw = nullptr;
  const rocksdb::Status opened = rocksdb::DB::Open(rocksdb_options(create), options_.directory, &raw);
  std::shared_ptr<rocksdb::DB> database(raw);
  if (!opened.ok()) {
    // A file that is missing or unreadable is damage too: nothing but a full or failing disk is "try again".
    Error error = error_of(opened, "opening " + options_.directory);
    if (!opened.IsNoSpace() && !create) {
      error.errc = Errc::corrupt;
      error.code = "LOG_DAMAGED";
      error.message += damaged_table_in(options_.directory);
    }
    return fail(std::move(error));
  }
  if (auto loaded = load_ends(*database); !loaded) return loaded;
  const std::scoped_lock lock(database_mutex_);
  database_ = std::move(database);
  return {};
}

Result<void> Storage::reopen() {
  std::shared_ptr<rocksdb::DB> old;
  {
    const std::scoped_lock lock(database_mutex_);
    if (database_.use_count() > 1) return closed();
    old = std::move(database_);
  }
  old.reset();
  return open_database(false);
}

Storage::~Storage() {
  if (!database_) return;
  database_->Flush({});
  database_->Close();
}

std::shared_ptr<rocksdb::DB> Storage::database() const {
  const std::scoped_lock lock(database_mutex_);
  return database_;
}

Partition Storage::partitions(Topic topic) const {
  return topic == Topic::events || topic == Topic::parked || topic == Topic::attempts ? options_.partitions
                                                                                      : 1;
}

std::size_t Storage::index(Place place) const {
  const auto at = static_cast<std::size_t>(place.partition),
             n = static_cast<std::size_t>(options_.partitions);
  switch (place.topic) {
    case Topic::events:
      return at;
    case Topic::parked:
      return n + at;
    case Topic::attempts:
      return 2 * n + at;
    case Topic::endpoints:
      return 3 * n;
    case Topic::health:
      return 3 * n + 1;
    case Topic::keys:
      return 3 * n + 2;
    case Topic::dead_letters:
      return 3 * n + 3;
    case Topic::audit:
      return 3 * n + 4;
    case Topic::requests:
      return 3 * n + 5;
    case Topic::replays:
      return 3 * n + 6;
  }
  std::abort();
}

std::vector<Place> Storage::places() const {
  std::vector<Place> all;
  for (std::uint8_t number = 1; number <= kStoredTopics; ++number) {
    const Topic topic = *topic_of(number);
    for (Partition p = 0; p < partitions(topic); ++p) all.push_back({topic, p});
  }
  return all;
}

Result<void> Storage::load_ends(rocksdb::DB& database) {
  const auto number = [&](std::string_view key) -> Result<std::optional<std::int64_t>> {
    std::string bytes;
    const auto status = database.Get(read_options(), rocksdb::Slice(key.data(), key.size()), &bytes);
    if (status.IsNotFound()) return std::optional<std::int64_t>();
    if (!status.ok()) return fail(error_of(status, "reading its ends"));
    const auto value = decode_number(bytes);
    if (!value) return damaged("a number of the embedded log is not eight bytes long");
    return value;
  };
  for (const Place place : places()) {
    const auto begin = number(begin_key(place));
    if (!begin) return fail(begin.error());
    const auto end = number(end_key(place));
    if (!end) return fail(end.error());
    state(place).begin = begin->value_or(0);
    state(place).end = end->value_or(0);
  }
  const auto clock = number(kClockKey);
  if (!clock) return fail(clock.error());
  newest_ = from_ms<LogTime>(clock->value_or(0));
  std::string identity;
  const auto status = database.Get(read_options(), std::string(kIdentityRow), &identity);
  if (status.ok()) identity_ = std::move(identity);
  return {};
}

// Reads every record once. Sequential, without filling the cache: the price of never serving a damaged log.
Result<void> Storage::verify(rocksdb::DB& database) {
  rocksdb::ReadOptions options = read_options();
  options.fill_cache = false;
  options.readahead_size = 4 << 20;
  const std::unique_ptr<rocksdb::Iterator> iterator(database.NewIterator(options));
  std::vector<Offset> next(states_.size());
  for (const Place place : places()) next[index(place)] = begin(place);
  const auto missing = [](Place place, Offset offset) {
    return damaged("record " + std::to_string(offset) + " of " + describe(place) + " is missing");
  };
  for (iterator->Seek(std::string(kAllRecordsBegin)); iterator->Valid(); iterator->Next()) {
    const std::string_view key = view_of(iterator->key());
    if (key >= kAllRecordsEnd) break;
    const auto at = parse_record_key(key);
    if (!at || !has(at->place)) return damaged("the embedded log holds a record that is none of its own");
    const auto record = read_record(key, view_of(iterator->value()));
    if (!record) return fail(record.error());
    Offset& expected = next[index(at->place)];
    if (at->offset < expected || at->offset >= end(at->place))
      return damaged("record " + std::to_string(at->offset) + " of " + describe(at->place) +
                     " is out of place");
    if (!is_compacted(at->place.topic) && at->offset != expected) return missing(at->place, expected);
    if (record->appended > newest_)
      return damaged("record " + std::to_string(at->offset) + " of " + describe(at->place) +
                     " is newer than the log's clock");
    expected = at->offset + 1;
    if (is_compacted(at->place.topic)) ++state(at->place).appended;
  }
  if (!iterator->status().ok()) return fail(error_of(iterator->status(), "reading it through"));
  for (const Place place : places())
    if (!is_compacted(place.topic) && next[index(place)] != end(place))
      return missing(place, next[index(place)]);
  return {};
}

std::uint64_t Storage::sequence() const {
  const auto open = database();
  return open ? open->GetLatestSequenceNumber() : 0;
}

Result<void> Storage::scan(Place place, Offset from, Offset to,
                           const std::function<bool(Record)>& each) const {
  Offset expected = std::max(from, begin(place));
  to = std::min(to, end(place));  // before the iterator's snapshot, which then holds all of them
  Cursor cursor(database(), place);
  if (!cursor) return closed();
  for (cursor.iterator->Seek(record_key(place, expected)); cursor.iterator->Valid();
       cursor.iterator->Next()) {
    const auto at = parse_record_key(view_of(cursor.iterator->key()));
    if (at && at->offset >= to) return {};
    auto record = decode_record(view_of(cursor.iterator->key()), view_of(cursor.iterator->value()),
                                cipher_for(place.topic));
    if (!record) return fail(std::move(record.error()));
    // Retention may have passed by since begin() was read.
    if (!is_compacted(place.topic) && record->offset != expected && expected >= begin(place))
      return damaged("record " + std::to_string(expected) + " of " + describe(place) + " is missing");
    expected = record->offset + 1;
    if (!each(std::move(*record))) return {};
  }
  if (!cursor.iterator->status().ok())
    return fail(error_of(cursor.iterator->status(), "reading " + describe(place)));
  if (!is_compacted(place.topic) && expected < to && expected >= begin(place))
    return damaged("record " + std::to_string(expected) + " of " + describe(place) + " is missing");
  return {};
}

Result<void> Storage::scan_back(Place place,
                                const std::function<bool(Offset, const RecordView&)>& each) const {
  Cursor cursor(database(), place);
  if (!cursor) return closed();
  for (cursor.iterator->SeekToLast(); cursor.iterator->Valid(); cursor.iterator->Prev()) {
    const std::string_view key = view_of(cursor.iterator->key());
    const auto record = read_record(key, view_of(cursor.iterator->value()));
    if (!record) return fail(record.error());
    const Offset offset = parse_record_key(key)->offset;
    if (offset >= end(place)) continue;  // written, not acknowledged yet
    if (!each(offset, *record)) return {};
  }
  if (!cursor.iterator->status().ok())
    return fail(error_of(cursor.iterator->status(), "reading " + describe(place)));
  return {};
}

Result<Record> Storage::get(Place place, Offset offset) const {
  const auto none = [&] {
    return fail(Errc::not_found, "RECORD_NOT_FOUND",
                "the log holds no record " + std::to_string(offset) + " of " + describe(place),
                "it was never written, or retention or compaction took it");
  };
  if (!has(place) || offset < begin(place) || offset >= end(place)) return none();
  const std::string key = record_key(place, offset);
  const auto open = database();
  if (!open) return closed();
  rocksdb::PinnableSlice value;
  const auto status = open->Get(read_options(), open->DefaultColumnFamily(), key, &value);
  if (status.IsNotFound()) {
    if (is_compacted(place.topic) || offset < begin(place)) return none();
    return damaged("record " + std::to_string(offset) + " of " + describe(place) + " is missing");
  }
  if (!status.ok()) return fail(error_of(status, "reading " + describe(place)));
  return decode_record(key, view_of(value), cipher_for(place.topic));
}

// Append times never fall, so that the place can be searched by halves, holes or not.
Result<Offset> Storage::offset_at(Place place, LogTime time) const {
  const Offset last = end(place);
  Cursor cursor(database(), place);
  if (!cursor) return closed();
  Offset low = begin(place), high = last;
  while (low < high) {
    const Offset middle = low + (high - low) / 2;
    cursor.iterator->Seek(record_key(place, middle));
    if (!cursor.iterator->Valid()) {
      if (!cursor.iterator->status().ok())
        return fail(error_of(cursor.iterator->status(), "reading " + describe(place)));
      high = middle;
      continue;
    }
    const std::string_view key = view_of(cursor.iterator->key());
    const auto record = read_record(key, view_of(cursor.iterator->value()));
    if (!record) return fail(record.error());
    if (record->appended >= time)
      high = middle;
    else
      low = parse_record_key(key)->offset + 1;
  }
  // `low` may be a hole: the record is the next one that is there.
  cursor.iterator->Seek(record_key(place, low));
  if (!cursor.iterator->Valid()) return last;
  return std::min(parse_record_key(view_of(cursor.iterator->key()))->offset, last);
}

Result<std::optional<Storage::Commit>> Storage::committed(Partition partition) const {
  const auto open = database();
  if (!open) return closed();
  std::string bytes;
  const auto status = open->Get(read_options(), commit_key(partition), &bytes);
  if (status.IsNotFound()) return std::optional<Commit>();
  if (!status.ok()) return fail(error_of(status, "reading a commit"));
  const auto offset = decode_number(std::string_view(bytes).substr(0, 8));
  if (!offset) return damaged("the commit of events/" + std::to_string(partition) + " is damaged");
  return std::optional<Commit>(Commit{*offset, bytes.substr(8)});
}

rocksdb::Status Storage::write(rocksdb::WriteBatch& batch) {
  const auto open = database();
  return open ? open->Write(synced(), &batch) : rocksdb::Status::IOError("closed after a failed write");
}

void Storage::publish_end(Place place, Offset end) {
  State& of = state(place);
  of.appended += static_cast<std::uint64_t>(end - of.end.load(std::memory_order_relaxed));
  of.end.store(end, std::memory_order_release);
}

rocksdb::Status Storage::move_begin(Place place, Offset begin) {
  const std::string from = records_begin(place), to = record_key(place, begin);
  rocksdb::WriteBatch batch;
  batch.DeleteRange(from, to);
  batch.Put(begin_key(place), encode_number(begin));
  // Readers first: what they still find below is theirs to use, what is gone is not missed.
  const Offset before = this->begin(place);
  state(place).begin.store(begin, std::memory_order_release);
  const auto status = write(batch);
  if (!status.ok()) {
    state(place).begin.store(before, std::memory_order_release);
    return status;
  }
  const auto open = database();
  if (!open) return status;
  const rocksdb::Slice low(from), high(to);
  return rocksdb::DeleteFilesInRange(open.get(), open->DefaultColumnFamily(), &low, &high, false);
}

rocksdb::Status Storage::remove(Place place, const std::vector<Offset>& offsets) {
  constexpr std::size_t kAtOnce = 1000;
  for (std::size_t at = 0; at < offsets.size(); at += kAtOnce) {
    rocksdb::WriteBatch batch;
    for (std::size_t i = at; i < std::min(offsets.size(), at + kAtOnce); ++i)
      batch.Delete(record_key(place, offsets[i]));
    if (const auto status = write(batch); !status.ok()) return status;
  }
  return rocksdb::Status::OK();
}

rocksdb::Status Storage::purge(Place place) {
  const std::string from = records_begin(place), to = records_end(place);
  const rocksdb::Slice low(from), high(to);
  const auto open = database();
  if (!open) return rocksdb::Status::IOError("closed after a failed write");
  if (const auto status = open->Flush({}); !status.ok()) return status;
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  return open->CompactRange(options, &low, &high);
}

}  // namespace postrider::embedded
