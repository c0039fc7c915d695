#include "engine/rocks/rocks_store.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#include <rocksdb/write_buffer_manager.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <system_error>
#include <tuple>
#include <vector>

#include "engine/rocks/expiry_filter.h"
#include "engine/rocks/first_part.h"
#include "engine/rocks/rocks_options.h"
#include "engine/rocks/rocks_status.h"
#include "engine/rocks/small_file.h"

namespace postrider::rocks {
namespace {

// DIR/postrider.view: "postrider-view <format> <environment>\n", twice, so that one damaged byte leaves it
// ours. STORED: raise the format when an older version must not read a view any more; it is then rebuilt.
constexpr std::string_view kMarkFile = "/postrider.view";
constexpr std::string_view kMarkStart = "postrider-view ";
constexpr std::string_view kFormat = "3 ";
constexpr std::chrono::seconds kReopenEvery{1};
constexpr std::uintmax_t kRoomToReopen = std::uintmax_t{16} << 20;
constexpr std::size_t kWorthSorting = 100;
// A journal's newest rows that a look may sort, or copy where filters say that it is not among them; and how
// often they are written out for that.
constexpr std::uint64_t kSortedAtOnce = 2'000, kCopiedAtOnce = 20'000;
constexpr std::chrono::milliseconds kPutToOrderEvery{250};
constexpr std::string_view kLogKey = "log";  // in the default column family

rocksdb::Slice slice(std::string_view bytes) {
  return {bytes.data(), bytes.size()};
}
std::string_view view(const rocksdb::Slice& bytes) {
  return {bytes.data(), bytes.size()};
}

// A reopening found no room in the end: the next write tries again.
tl::unexpected<Error> closed() {
  return failure(rocksdb::Status::NoSpace("closed after a failed write"), "read the view");
}

tl::unexpected<Error> not_ours(const std::string& directory) {
  return fail(Errc::denied, "DATA_NOT_OURS", directory + " holds files, but no view of ours",
              "name an empty directory as data");
}

// Nothing there but perhaps a mark that was never finished.
bool is_empty(const std::string& directory) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
    if (entry.path().string() != directory + std::string(kMarkFile) + ".new") return false;
  }
  return !failed;
}

std::string mark_line(const Environment& environment) {
  return std::string(kMarkStart).append(kFormat).append(environment.str()).append("\n");
}

bool is_ours(std::string_view mark) {
  return mark.starts_with(kMarkStart) || mark.substr(mark.size() / 2).starts_with(kMarkStart);
}

// The memtable finds the place of a key from that of the one before: neighbours cost half of what strangers
// do. The changes of one key keep their order. Journals sort nothing yet.
std::vector<const StoreBatch::Op*> in_key_order(const StoreBatch& batch) {
  std::vector<const StoreBatch::Op*> ops;
  ops.reserve(batch.ops.size());
  for (const StoreBatch::Op& op : batch.ops) ops.push_back(&op);
  if (ops.size() < kWorthSorting) return ops;
  const auto journals = std::stable_partition(
      ops.begin(), ops.end(), [](const StoreBatch::Op* op) { return !is_journal(op->family); });
  std::stable_sort(ops.begin(), journals, [](const StoreBatch::Op* left, const StoreBatch::Op* right) {
    return std::tie(left->family, left->key) < std::tie(right->family, right->key);
  });
  return ops;
}

// Judges the mark, or makes it in an empty directory.
Result<void> check_mark(const std::string& directory, const Environment& environment) {
  const std::string file = directory + std::string(kMarkFile);
  const Result<std::optional<std::string>> mark = read_small_file(file);
  if (!mark) return fail(mark.error());
  if (!*mark) {
    if (!is_empty(directory)) return not_ours(directory);
    const std::string line = mark_line(environment);
    return write_small_file(file, line + line);
  }
  if (!is_ours(**mark)) return not_ours(directory);
  std::string_view found = std::string_view(**mark).substr(0, (*mark)->size() / 2);
  if ((*mark)->substr(found.size()) != found || !found.ends_with('\n')) {
    return fail(Errc::corrupt, "DATA_CORRUPT", "the mark of the view in " + directory + " is damaged",
                "the view is rebuilt from the log; if it happens again, check the disk");
  }
  found.remove_prefix(kMarkStart.size());
  found.remove_suffix(1);
  const std::string_view theirs = found.substr(found.find(' ') + 1);
  if (theirs != environment.str()) {
    return fail(Errc::denied, "DATA_OTHER_ENVIRONMENT",
                "the view in " + directory + " belongs to environment " + std::string(theirs) + ", not to " +
                    environment.str(),
                "name another directory as data, or set the environment that this one belongs to");
  }
  if (!found.starts_with(kFormat)) {
    return fail(Errc::corrupt, "DATA_OTHER_FORMAT",
                "the view in " + directory + " was written by another version", "it is rebuilt from the log");
  }
  return {};
}

}  // namespace

struct RocksStore::Database {
  std::atomic<std::int64_t> log_time_ms{0};  // until it is set nothing expires
  ExpiryFilter expiry{log_time_ms};
  std::shared_ptr<rocksdb::Cache> cache;
  std::vector<rocksdb::ColumnFamilyHandle*> families;  // the default one first
  std::unique_ptr<rocksdb::DB> db;
  RocksStoreOptions options;
  rocksdb::Status failure;  // of the write after which it takes no more
  std::chrono::steady_clock::time_point reopen_at;

  enum class IfMissing { create, refuse };
  rocksdb::Status open(IfMissing missing);
  void close();
  rocksdb::Status reopen();
  rocksdb::Status write(const StoreBatch& batch, bool sync);
  Result<void> mended_write(const StoreBatch& batch, bool sync);  // opened anew before, after a failure
  void put_to_order(Family family, std::uint64_t rows_max);
  std::array<std::chrono::steady_clock::time_point, kFamilyCount> ordered_at{};

  rocksdb::ColumnFamilyHandle* of(Family family) const {
    return families[static_cast<std::size_t>(family) + 1];
  }
  bool hides(Family family, std::string_view value) const {
    return has_ttl(family) && expired(value, log_time_ms.load(std::memory_order_relaxed));
  }

  ~Database() { close(); }
};

rocksdb::Status RocksStore::Database::open(IfMissing missing) {
  rocksdb::DB* opened = nullptr;
  auto how = database_options(options, cache);
  how.create_if_missing = missing == IfMissing::create;
  const rocksdb::Status status =
      rocksdb::DB::Open(how, options.directory, family_options(options, cache, expiry), &families, &opened);
  db.reset(opened);
  // A file that another one names is gone, or is named wrongly; or all of it is gone while it was in use.
  const bool damaged = status.IsPathNotFound() || status.IsNotFound() ||
                       (missing == IfMissing::refuse && status.IsInvalidArgument());
  return damaged ? rocksdb::Status::Corruption(status.ToString()) : status;
}

void RocksStore::Database::close() {
  if (!db) return;
  for (rocksdb::ColumnFamilyHandle* family : families) db->DestroyColumnFamilyHandle(family);
  families.clear();
  db->Close();  // compactions end before the filter goes
  db.reset();
}

// After a failed write RocksDB takes no more. Its own Resume() flushes through the log file that failed, and
// one with assertions (Debian's) may end the process over it: opened anew, it reads that file up to its last
// whole batch. Until there is room the old one goes on serving reads.
rocksdb::Status RocksStore::Database::reopen() {
  const auto now = options.steady_now();
  if (now < reopen_at) return failure;
  reopen_at = now + kReopenEvery;
  std::error_code failed;
  if (std::filesystem::space(options.directory, failed).available < kRoomToReopen && !failed)
    return rocksdb::Status::NoSpace("waiting for room");
  close();
  return open(IfMissing::refuse);
}

rocksdb::Status RocksStore::Database::write(const StoreBatch& batch, bool sync) {
  rocksdb::WriteBatch changes;
  for (const StoreBatch::Op* each : in_key_order(batch)) {
    const StoreBatch::Op& op = *each;
    const rocksdb::Status added =
        op.value ? changes.Put(of(op.family), op.key, *op.value) : changes.Delete(of(op.family), op.key);
    if (!added.ok()) return added;
  }
  rocksdb::WriteOptions how;
  how.sync = sync;
  return db->Write(how, &changes);
}

// Newest rows of a journal that are many are written out, so that the next look finds them sorted: whoever
// asks again and again has no more sorted than what was written in between, and makes four files a second at
// most.
void RocksStore::Database::put_to_order(Family family, std::uint64_t rows_max) {
  std::uint64_t rows = 0;
  if (!db->GetIntProperty(of(family), rocksdb::DB::Properties::kNumEntriesActiveMemTable, &rows)) return;
  if (rows < rows_max) return;
  const auto now = options.steady_now();
  auto& before = ordered_at[static_cast<std::size_t>(family)];
  if (now - before < kPutToOrderEvery) return;
  before = now;
  rocksdb::FlushOptions how;
  how.wait = false;
  how.allow_write_stall = true;      // of the next write, should two more be under way: a few thousand rows
  (void)db->Flush(how, of(family));  // a disk that takes none fails the next write
}

Result<void> RocksStore::Database::mended_write(const StoreBatch& batch, bool sync) {
  if (!failure.ok()) failure = reopen();
  if (failure.ok()) failure = write(batch, sync);
  if (!failure.ok()) return rocks::failure(failure, "write to the view");
  return {};
}

Result<std::unique_ptr<RocksStore>> RocksStore::open(const RocksStoreOptions& options) {
  if (Result<void> made = make_directory(options.directory); !made) return fail(made.error());
  if (Result<void> good = check_mark(options.directory, options.environment); !good)
    return fail(good.error());

  RocksStoreOptions bounded = options;
  bounded.memory_bytes = std::max<std::size_t>(options.memory_bytes, std::size_t{8} << 20);
  auto database = std::make_unique<Database>();
  database->cache = rocksdb::NewLRUCache(bounded.memory_bytes);
  database->options = bounded;
  const rocksdb::Status status = database->open(Database::IfMissing::create);
  if (!status.ok()) return failure(status, "open the view in " + options.directory);
  return std::unique_ptr<RocksStore>(new RocksStore(std::move(database)));
}

// What a thread of its own writes meanwhile. Waits for it when it goes.
struct RocksStore::Behind {
  std::future<rocksdb::Status> status;
};

RocksStore::RocksStore(std::unique_ptr<Database> database)
    : database_(std::move(database)), behind_(std::make_unique<Behind>()) {}
RocksStore::~RocksStore() = default;

Result<void> RocksStore::belongs_to(const LogIdentity& log) {
  std::string kept;
  const rocksdb::Status status = database_->db->Get({}, slice(kLogKey), &kept);
  if (status.IsNotFound()) {
    rocksdb::WriteOptions synced;
    synced.sync = true;
    const rocksdb::Status written = database_->db->Put(synced, slice(kLogKey), log.str());
    if (!written.ok()) return failure(written, "write to the view");
    return {};
  }
  if (!status.ok()) return failure(status, "read the view");
  if (kept == log.str()) return {};
  return fail(Errc::corrupt, "DATA_OTHER_LOG", "the view belongs to log " + kept + ", not to " + log.str(),
              "it is rebuilt from the log; or set the log that the data directory was used with");
}

Result<std::optional<std::string>> RocksStore::get(Family family, std::string_view key) {
  if (auto done = settle(); !done) return fail(done.error());
  if (!database_->db) return closed();
  rocksdb::PinnableSlice value;
  const rocksdb::Status status =
      database_->db->Get(rocksdb::ReadOptions(), database_->of(family), slice(key), &value);
  if (status.IsNotFound()) return std::nullopt;
  if (!status.ok()) return failure(status, "read the view");
  if (database_->hides(family, view(value))) return std::nullopt;
  return value.ToString();
}

Result<void> RocksStore::write(const StoreBatch& batch, bool sync) {
  if (auto done = settle(); !done) return done;
  return database_->mended_write(batch, sync);
}

Result<void> RocksStore::write_behind(StoreBatch batch) {
  const Result<void> before = settle();
  owed_.push_back(std::move(batch));
  if (!before) return before;
  try {
    behind_->status = std::async(std::launch::async, [&database = *database_, &first = owed_.front()] {
      return database.write(first, false);
    });
  } catch (const std::system_error&) {
    return settle();  // no thread to be had
  }
  return {};
}

// What was written behind stands, or its error is told.
Result<void> RocksStore::settle() {
  if (behind_->status.valid()) {
    database_->failure = behind_->status.get();
    if (database_->failure.ok()) owed_.pop_front();
  }
  for (; !owed_.empty(); owed_.pop_front()) {
    if (auto done = database_->mended_write(owed_.front(), false); !done) return done;
  }
  return {};
}

Result<void> RocksStore::scan(Family family, std::string_view from, std::string_view to,
                              const std::function<bool(std::string_view key, std::string_view value)>& each) {
  if (!to.empty() && to <= from) return {};
  if (auto done = settle(); !done) return done;
  if (!database_->db) return closed();
  const rocksdb::Slice upper = slice(to);
  rocksdb::ReadOptions options;
  // Bounded, so that it does not wade through tombstones beyond the range.
  if (!to.empty()) options.iterate_upper_bound = &upper;
  options.total_order_seek = !is_journal(family) || !is_one_part(from, to);
  bool found = false;
  {
    const std::unique_ptr<rocksdb::Iterator> row(database_->db->NewIterator(options, database_->of(family)));
    for (row->Seek(slice(from)); row->Valid(); row->Next()) {
      found = true;
      const std::string_view value = view(row->value());
      if (database_->hides(family, value)) continue;
      if (!each(view(row->key()), value)) break;
    }
    if (!row->status().ok()) return failure(row->status(), "read the view");
  }
  if (is_journal(family)) database_->put_to_order(family, found ? kSortedAtOnce : kCopiedAtOnce);
  return {};
}

Result<void> RocksStore::erase_range(Family family, std::string_view from, std::string_view to) {
  if (auto done = settle(); !done) return done;
  if (!database_->db) return closed();
  rocksdb::ColumnFamilyHandle* const handle = database_->of(family);
  std::string end(to);
  if (to.empty()) {
    const std::unique_ptr<rocksdb::Iterator> row(database_->db->NewIterator({}, handle));
    row->SeekToLast();
    if (!row->status().ok()) return failure(row->status(), "read the view");
    if (!row->Valid()) return {};
    end = row->key().ToString();
    end.push_back('\0');  // the last key too
  }
  if (end <= from) return {};
  rocksdb::WriteBatch changes;
  rocksdb::Status status = changes.DeleteRange(handle, slice(from), end);
  if (status.ok()) status = database_->db->Write(rocksdb::WriteOptions(), &changes);
  if (status.ok() && has_ttl(family)) {
    // Whole time buckets go at once: files inside the range need no compaction to leave.
    const rocksdb::Slice begin = slice(from), limit(end);
    status = rocksdb::DeleteFilesInRange(database_->db.get(), handle, &begin, &limit, false);
  }
  if (!status.ok()) return failure(status, "erase from the view");
  return {};
}

void RocksStore::set_log_time(LogTime now) {
  database_->log_time_ms.store(to_ms(now), std::memory_order_relaxed);
}

Result<void> RocksStore::compact(Family family) {
  if (auto done = settle(); !done) return done;
  if (!database_->db) return closed();
  rocksdb::CompactRangeOptions options;
  options.bottommost_level_compaction = rocksdb::BottommostLevelCompaction::kForceOptimized;
  const rocksdb::Status status =
      database_->db->CompactRange(options, database_->of(family), nullptr, nullptr);
  if (!status.ok()) return failure(status, "compact the view");
  return {};
}

std::size_t RocksStore::memory_bytes() const {
  return database_->cache->GetUsage();
}

Result<void> wipe(const std::string& directory) {
  std::error_code failed;
  if (!std::filesystem::exists(directory, failed) || is_empty(directory)) return {};
  const std::string mark = directory + std::string(kMarkFile);
  const Result<std::optional<std::string>> found = read_small_file(mark);
  if (!found) return fail(found.error());
  if (!*found || !is_ours(**found)) return not_ours(directory);
  const rocksdb::Status status = rocksdb::DestroyDB(directory, rocksdb::Options());
  if (!status.ok()) return failure(status, "remove the view in " + directory);
  // The mark goes last: an interrupted wipe can be done again.
  ::unlink(mark.c_str());
  ::rmdir(directory.c_str());  // stays when somebody put a file of theirs there
  return {};
}

}  // namespace postrider::rocks
