#pragma once
#include <rocksdb/db.h>

#include <string>
#include <vector>

#include "engine/rocks/rocks_store.h"

namespace postrider::rocks {

// The column family's name. STORED: it is never changed.
std::string name_of(Family family);

// A family that takes rows at every step and is seldom asked for one: its newest rows lie unsorted in memory,
// and a look into them sorts them first (see scan()). benchmarks/README.md says what that saves.
constexpr bool is_journal(Family family) {
  return family == Family::history || family == Family::index;
}

rocksdb::DBOptions database_options(const RocksStoreOptions& options,
                                    const std::shared_ptr<rocksdb::Cache>& cache);
// The default family, then ours in the order of Family. `expiry` outlives the database.
std::vector<rocksdb::ColumnFamilyDescriptor> family_options(const RocksStoreOptions& options,
                                                            const std::shared_ptr<rocksdb::Cache>& cache,
                                                            const rocksdb::CompactionFilter& expiry);

}  // namespace postrider::rocks
