#include "engine/embedded/embedded_log.h"

#include <rocksdb/write_batch.h>
#include <sys/random.h>
#include <time.h>

#include <utility>

#include "engine/core/registry.h"
#include "engine/embedded/append_clock.h"
#include "engine/embedded/cleaner.h"
#include "engine/embedded/embedded_client.h"
#include "engine/embedded/embedded_shard.h"
#include "engine/embedded/log_directory.h"
#include "engine/embedded/log_writer.h"
#include "engine/embedded/storage.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

using namespace embedded;

std::int64_t milliseconds(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return time.tv_sec * 1000 + time.tv_nsec / 1'000'000;
}

Result<LogIdentity> random_identity() {
  std::uint64_t bits[2];
  if (::getrandom(bits, sizeof bits, 0) != static_cast<ssize_t>(sizeof bits))
    return fail(Errc::unavailable, "NO_RANDOMNESS", "the system gave no random bytes", "try again");
  return LogIdentity(random_id("log_", bits[0], bits[1]));
}

tl::unexpected<Error> damaged(std::string what) {
  return fail(Errc::corrupt, "LOG_DAMAGED", std::move(what),
              "restore the log's directory from a backup, and have the disk checked");
}

// The row that identifies the RocksDB, and the registry's first record, in one write.
Result<void> write_identity(Storage& storage, const About& about, LogTime now) {
  const Place place{Topic::endpoints, 0};
  NewRecord record;
  record.topic = place.topic;
  record.partition = place.partition;
  record.key = std::string(kIdentityKey);
  record.value = wire::encode(about.environment, IdentityFact{about.identity, about.environment, {}});
  const auto value = encode_record(record_key(place, 0), record, now, nullptr);
  if (!value) return fail(value.error());
  rocksdb::WriteBatch batch;
  batch.Put(record_key(place, 0), *value);
  batch.Put(end_key(place), encode_number(1));
  batch.Put(std::string(kClockKey), encode_number(to_ms(now)));
  batch.Put(std::string(kIdentityRow), about.identity.str());
  if (const auto status = storage.write(batch); !status.ok())
    return fail(error_of(status, "writing its identity"));
  storage.publish_end(place, 1);
  return {};
}

struct Opened {
  std::unique_ptr<Storage> storage;
  About about;
};

// In this order: `about` says "creating" before there is a RocksDB and "ready" when it is whole. A crash in
// between leaves what is wiped and made again: nothing in it was acknowledged.
Result<Opened> create(LogDirectory& directory, const EmbeddedLog::Options& options, WallTime wall) {
  auto identity = random_identity();
  if (!identity) return fail(std::move(identity.error()));
  About about{kFormatVersion, options.environment, *identity, options.partitions, false};
  if (auto wiped = directory.wipe_database(); !wiped) return fail(wiped.error());
  if (auto written = directory.write_about(about); !written) return fail(written.error());
  auto storage = Storage::open({directory.database(), about.partitions}, true);
  if (!storage) return fail(std::move(storage.error()));
  if (auto written = write_identity(**storage, about, from_ms<LogTime>(to_ms(wall))); !written)
    return fail(written.error());
  about.ready = true;
  if (auto written = directory.write_about(about); !written) return fail(written.error());
  return Opened{std::move(*storage), about};
}

Result<Opened> reopen(LogDirectory& directory, About about) {
  const auto acknowledged = directory.acknowledged();
  if (!acknowledged) return fail(acknowledged.error());
  auto storage = Storage::open({directory.database(), about.partitions}, false);
  if (!storage) return fail(std::move(storage.error()));
  if ((*storage)->identity() != about.identity.str())
    return damaged("the files in " + directory.database() + " are of another log than " + directory.path() +
                   "/about says");
  if (*acknowledged && (*storage)->sequence() < **acknowledged)
    return fail(Errc::corrupt, "LOG_DAMAGED",
                "the embedded log " + directory.path() + " ends before its last acknowledged record",
                "restore the directory from a backup; to go on without the lost records, remove " +
                    directory.path() + "/acknowledged");
  return Opened{std::move(*storage), std::move(about)};
}

Result<Opened> open_or_create(LogDirectory& directory, const EmbeddedLog::Options& options, WallTime wall) {
  auto about = directory.read_about();
  if (!about) return fail(std::move(about.error()));
  if (!*about) return create(directory, options, wall);
  if ((*about)->environment != options.environment)
    return fail(Errc::denied, "ENVIRONMENT_MISMATCH",
                "the embedded log " + directory.path() + " belongs to environment \"" +
                    (*about)->environment.str() + "\", not \"" + options.environment.str() + "\"",
                "give each environment a directory of its own");
  if (!(*about)->ready) return create(directory, options, wall);
  return reopen(directory, std::move(**about));
}

}  // namespace

// In the order in which they need each other: destroyed from the last to the first.
struct EmbeddedLog::Parts {
  Options options;
  std::unique_ptr<LogDirectory> directory;
  About about;
  std::unique_ptr<Storage> storage;
  std::unique_ptr<AppendClock> clock;
  std::unique_ptr<LogWriter> writer;
  std::unique_ptr<Cleaner> cleaner;
  Limits limits() const { return {options.record_bytes_max, options.unacknowledged_bytes_max}; }
};

std::array<Millis, kTopicCount> EmbeddedLog::default_retention() {
  std::array<Millis, kTopicCount> all{};
  const auto set = [&](Topic topic, Millis span) { all[static_cast<std::size_t>(topic)] = span; };
  set(Topic::events, std::chrono::hours(96 + 24));
  set(Topic::attempts, std::chrono::hours(24 * 30));
  set(Topic::dead_letters, std::chrono::hours(24 * 7));
  set(Topic::audit, std::chrono::hours(24 * 365));
  set(Topic::requests, std::chrono::hours(25));
  set(Topic::replays, std::chrono::hours(24 * 30));
  return all;
}

std::array<Millis, kTopicCount> EmbeddedLog::default_compaction_lag() {
  std::array<Millis, kTopicCount> all{};
  all[static_cast<std::size_t>(Topic::parked)] = std::chrono::minutes(10);
  all[static_cast<std::size_t>(Topic::health)] = std::chrono::minutes(10);
  all[static_cast<std::size_t>(Topic::endpoints)] =
      default_retention()[static_cast<std::size_t>(Topic::attempts)];
  return all;
}

EmbeddedLog::EmbeddedLog(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}
EmbeddedLog::~EmbeddedLog() = default;

Result<std::unique_ptr<EmbeddedLog>> EmbeddedLog::open(Options options) {
  if (!options.wall) options.wall = [] { return from_ms<WallTime>(milliseconds(CLOCK_REALTIME)); };
  if (!options.steady) options.steady = [] { return from_ms<SteadyTime>(milliseconds(CLOCK_BOOTTIME)); };
  if (options.partitions < 1 || options.shares < 1)
    return fail(Errc::invalid, "INVALID_PARTITIONS",
                "a log needs at least one partition, and a share of them", "give 1 or more");
  auto directory = LogDirectory::lock(options.directory);
  if (!directory) return fail(std::move(directory.error()));
  const WallTime wall = options.wall();
  auto opened = open_or_create(**directory, options, wall);
  if (!opened) return fail(std::move(opened.error()));

  auto parts = std::make_unique<Parts>();
  parts->directory = std::move(*directory);
  parts->about = std::move(opened->about);
  parts->storage = std::move(opened->storage);
  parts->storage->set_cipher(options.cipher);
  parts->clock = std::make_unique<AppendClock>(wall, parts->storage->newest(), options.steady);
  parts->writer =
      std::make_unique<LogWriter>(*parts->storage, *parts->directory, *parts->clock,
                                  LogWriter::Options{options.shares, options.release_within, options.steady});
  if (auto started = parts->writer->start(); !started) return fail(std::move(started.error()));
  parts->cleaner = std::make_unique<Cleaner>(
      *parts->storage, *parts->writer, *parts->clock,
      Cleaner::Options{options.environment, options.retention, options.compaction_lag,
                       options.tombstone_retention, options.cleaning_every, options.steady});
  parts->cleaner->start();
  parts->options = std::move(options);
  return std::unique_ptr<EmbeddedLog>(new EmbeddedLog(std::move(parts)));
}

LogIdentity EmbeddedLog::identity() const {
  return parts_->about.identity;
}

Partition EmbeddedLog::partitions() const {
  return parts_->about.partitions;
}

std::optional<Offset> EmbeddedLog::committed(Partition partition) const {
  return parts_->writer->committed(partition);
}

void EmbeddedLog::use_cipher(RecordCipher& cipher) {
  parts_->storage->set_cipher(&cipher);
}

std::unique_ptr<Log> EmbeddedLog::shard(std::size_t share) {
  return std::make_unique<EmbeddedShard>(*parts_->storage, *parts_->writer, parts_->limits(),
                                         parts_->options.steady, share);
}

std::unique_ptr<LogClient> EmbeddedLog::client() {
  return std::make_unique<EmbeddedClient>(*parts_->storage, *parts_->writer, parts_->limits());
}

Result<void> EmbeddedLog::clean() {
  return parts_->cleaner->clean();
}

}  // namespace postrider
