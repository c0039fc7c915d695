#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "engine/core/result.h"

// Tells an unfinished tail of RocksDB's write-ahead log from damage. RocksDB itself cannot: a bad length
// makes it take the rest of a file for a tail, and drop acknowledged records in silence (log_reader.cc,
// kBadRecordLen).
//
// Ours are written and synced one at a time. So at most one record can be unfinished, and it is the last: if
// any later record begins soundly, the bad one was synced once and is damaged now. Format, from RocksDB's
// log_format.h: blocks of 32 KiB; masked CRC-32C(4, little-endian, of type and payload) length(2) type(1)
// payload; type 1 whole, 2 first, 3 middle, 4 last part. Logs are not recycled here.
namespace postrider::embedded {

struct WalVerdict {
  enum class Kind { sound, unfinished_tail, damaged } kind = Kind::sound;
  std::uint64_t at = 0;  // first bad byte
};
WalVerdict check_wal(std::string_view bytes);

// Every write-ahead log (*.log) of that RocksDB directory, and its MANIFEST, which has the same format and
// the same weakness. Errc::corrupt names file and byte.
Result<void> check_wals(const std::string& directory);

}  // namespace postrider::embedded
