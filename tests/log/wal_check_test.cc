#include "engine/embedded/wal_check.h"

#include <gtest/gtest.h>

#include "engine/embedded/crc32c.h"

namespace postrider::embedded {
namespace {

using Kind = WalVerdict::Kind;
constexpr std::size_t kBlock = 32 * 1024;

std::string fragment(char type, const std::string& payload) {
  const std::uint32_t crc = crc32c(std::string(1, type) + payload);
  const std::uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  std::string out;
  for (int i = 0; i < 4; ++i) out.push_back(static_cast<char>(masked >> (8 * i)));
  out.push_back(static_cast<char>(payload.size() & 0xff));
  out.push_back(static_cast<char>(payload.size() >> 8));
  return out + type + payload;
}

// As RocksDB's log_writer.cc lays records out.
void append_record(std::string& log, const std::string& record) {
  std::size_t at = 0;
  bool first = true;
  do {
    std::size_t left = kBlock - log.size() % kBlock;
    if (left < 7) {
      log.append(left, '\0');
      left = kBlock;
    }
    const std::size_t size = std::min(left - 7, record.size() - at);
    const bool last = at + size == record.size();
    log += fragment(first ? (last ? 1 : 2) : (last ? 4 : 3), record.substr(at, size));
    at += size;
    first = false;
  } while (at < record.size());
}

struct Sample {
  std::string bytes;
  std::size_t last_begins = 0;
};
Sample sample() {
  Sample log;
  append_record(log.bytes, "short");
  append_record(log.bytes, std::string(80'000, 'x'));
  append_record(log.bytes, "");
  log.last_begins = log.bytes.size();
  append_record(log.bytes, std::string(50'000, 'y'));
  return log;
}

TEST(WalCheck, ASoundLogPasses) {
  EXPECT_EQ(check_wal(sample().bytes).kind, Kind::sound);
  EXPECT_EQ(check_wal("").kind, Kind::sound);
}

TEST(WalCheck, ALogCutAnywhereInItsLastRecordHasAnUnfinishedTail) {
  const Sample log = sample();
  for (std::size_t size = log.last_begins + 1; size < log.bytes.size(); size += 97)
    ASSERT_EQ(check_wal(log.bytes.substr(0, size)).kind, Kind::unfinished_tail) << size;
}

TEST(WalCheck, AnyByteFlippedBeforeTheLastRecordIsDamageAndNamed) {
  const Sample log = sample();
  for (std::size_t at = 0; at < log.last_begins; at += at < 64 ? 1 : 911) {
    std::string broken = log.bytes;
    broken[at] = static_cast<char>(broken[at] ^ 0x40);
    const WalVerdict verdict = check_wal(broken);
    // The filler at a block's end carries nothing.
    if (verdict.kind == Kind::sound) continue;
    ASSERT_EQ(verdict.kind, Kind::damaged) << at;
    ASSERT_LE(verdict.at, at);
  }
}

// RocksDB takes this one for an unfinished tail, and drops what follows.
TEST(WalCheck, ALengthThatPointsBeyondTheEndIsDamageWhenRecordsFollow) {
  std::string log;
  append_record(log, "one");
  append_record(log, "two");
  log[5] = '\x7f';
  EXPECT_EQ(check_wal(log).kind, Kind::damaged);
}

TEST(WalCheck, BlocksOfTheLastRecordMayReachTheDiskInAnyOrder) {
  Sample log = sample();
  const std::size_t first_block_end = (log.last_begins / kBlock + 1) * kBlock;
  std::fill(log.bytes.begin() + static_cast<std::ptrdiff_t>(log.last_begins),
            log.bytes.begin() + static_cast<std::ptrdiff_t>(first_block_end), '\0');
  EXPECT_EQ(check_wal(log.bytes).kind, Kind::unfinished_tail);
}

TEST(WalCheck, ZerosAndGarbageAtTheEndAreAnUnfinishedTail) {
  EXPECT_EQ(check_wal(sample().bytes + std::string(10'000, '\0')).kind, Kind::unfinished_tail);
  EXPECT_EQ(check_wal(sample().bytes + std::string(300, '\x5a')).kind, Kind::unfinished_tail);
}

}  // namespace
}  // namespace postrider::embedded
