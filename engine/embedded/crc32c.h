#pragma once
#include <cstdint>
#include <string_view>

namespace postrider::embedded {

// CRC-32C (Castagnoli, RFC 3720 appendix B.4): of our records, and of RocksDB's write-ahead log. `before` is
// the CRC of the bytes that precede these.
std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0);

}  // namespace postrider::embedded
