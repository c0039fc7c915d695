#include "engine/rocks/rocks_options.h"

#include <rocksdb/cache.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/table_properties_collectors.h>
#include <rocksdb/write_buffer_manager.h>

#include <algorithm>

#include "engine/rocks/first_part.h"

namespace postrider::rocks {
namespace {

// Families whose rows come and go as a queue's: their tombstones are what a seek wades through (640 ms a
// million).
bool is_queue(Family family) {
  return family == Family::due || family == Family::parked || family == Family::held ||
         family == Family::claims;
}

// Smaller in memory than other families, since what lies there is sorted by whoever looks for a row; as much
// is merged at once.
void make_journal(rocksdb::ColumnFamilyOptions& family, rocksdb::BlockBasedTableOptions table) {
  family.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
  family.write_buffer_size /= 2;
  family.level0_file_num_compaction_trigger *= 2;
  family.level0_slowdown_writes_trigger *= 2;
  family.level0_stop_writes_trigger *= 2;
  family.prefix_extractor = std::make_shared<FirstPart>();
  family.memtable_whole_key_filtering = false;
  table.whole_key_filtering = false;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
}

rocksdb::BlockBasedTableOptions table_options(const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  // Inside the cache, so that memory stays within its limit however large the view grows.
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.block_size = 8 * 1024;
  table.format_version = 5;
  return table;
}

rocksdb::ColumnFamilyOptions one_family(const RocksStoreOptions& options,
                                        const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::ColumnFamilyOptions family;
  family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table_options(cache)));
  family.write_buffer_size = std::clamp<std::size_t>(options.memory_bytes / 8, 1 << 20, 32 << 20);
  family.arena_block_size = 128 * 1024;  // eight write buffers exist even when idle
  family.max_write_buffer_number = 3;
  // A key that is not there is asked for often: each record that is restored asks whether it is known.
  family.memtable_whole_key_filtering = true;
  family.memtable_prefix_bloom_size_ratio = 0.02;
  family.target_file_size_base = 32 << 20;
  family.max_bytes_for_level_base = 128 << 20;
  family.level_compaction_dynamic_level_bytes = true;
  // Much is written, little is read, and most of it is soon gone: what is flushed is neither compressed nor
  // merged at once: a restored million took 8 s with this, and 11 to 13 without.
  family.level0_file_num_compaction_trigger = 16;
  family.level0_slowdown_writes_trigger = 48;
  family.level0_stop_writes_trigger = 64;
  family.compression_per_level = {rocksdb::kNoCompression, rocksdb::kLZ4Compression};
  return family;
}

}  // namespace

std::string name_of(Family family) {
  constexpr const char* kNames[kFamilyCount] = {"meta",   "parked",  "due",   "held",
                                                "claims", "history", "index", "repeats"};
  return kNames[static_cast<std::size_t>(family)];
}

rocksdb::DBOptions database_options(const RocksStoreOptions& options,
                                    const std::shared_ptr<rocksdb::Cache>& cache) {
  rocksdb::DBOptions database;
  database.create_if_missing = true;
  database.create_missing_column_families = true;
  database.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(options.memory_bytes / 2, cache);
  // A torn tail is cut at the last whole batch; the caller then compares its positions with the log.
  database.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  database.track_and_verify_wals_in_manifest = true;
  database.max_total_wal_size = 128 << 20;
  database.max_background_jobs = 2;
  database.allow_concurrent_memtable_write = false;  // one thread writes, and journals take no more
  database.max_open_files = -1;                      // periodic compaction needs it
  database.bytes_per_sync = 1 << 20;
  database.wal_bytes_per_sync = 1 << 20;
  // No LOG file of its own: an append to it after one that a full disk refused fails an assertion. What
  // matters comes back as a status, and is logged by us.
  database.info_log = std::make_shared<rocksdb::Logger>(rocksdb::InfoLogLevel::NUM_INFO_LOG_LEVELS);
  database.stats_dump_period_sec = 0;
  database.stats_persist_period_sec = 0;
  return database;
}

std::vector<rocksdb::ColumnFamilyDescriptor> family_options(const RocksStoreOptions& options,
                                                            const std::shared_ptr<rocksdb::Cache>& cache,
                                                            const rocksdb::CompactionFilter& expiry) {
  std::vector<rocksdb::ColumnFamilyDescriptor> all;
  all.emplace_back(rocksdb::kDefaultColumnFamilyName, one_family(options, cache));
  for (int i = 0; i < kFamilyCount; ++i) {
    const Family family = static_cast<Family>(i);
    rocksdb::ColumnFamilyOptions chosen = one_family(options, cache);
    if (is_queue(family)) {
      // A file with 2,048 tombstones among 4,096 entries, or half of it tombstones, is compacted soon.
      chosen.table_properties_collector_factories.push_back(
          rocksdb::NewCompactOnDeletionCollectorFactory(4096, 2048, 0.5));
    }
    if (is_journal(family)) make_journal(chosen, table_options(cache));
    if (family == Family::claims)
      chosen.compression = rocksdb::kNoCompression;  // sealed: it would not shrink
    if (has_ttl(family)) {
      chosen.compaction_filter = &expiry;
      chosen.periodic_compaction_seconds = static_cast<std::uint64_t>(std::max<std::int64_t>(
          60, std::chrono::duration_cast<std::chrono::seconds>(options.expiry_sweep).count()));
    }
    all.emplace_back(name_of(family), std::move(chosen));
  }
  return all;
}

}  // namespace postrider::rocks
