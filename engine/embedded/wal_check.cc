#include "engine/embedded/wal_check.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <vector>

#include "engine/embedded/crc32c.h"

namespace postrider::embedded {
namespace {

constexpr std::size_t kBlock = 32 * 1024, kHeader = 7;
constexpr int kWhole = 1, kFirst = 2, kLast = 4;
constexpr int kCompressionType =
    9;  // a record that names the compression; ours has none, but it is no damage

std::uint32_t little_endian(std::string_view bytes) {
  std::uint32_t number = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[i]);
  return number;
}

struct Fragment {
  int type = 0;
  std::size_t size = 0;  // header included
};

// The sound fragment that begins at `at`; nullopt: there is none.
std::optional<Fragment> fragment_at(std::string_view bytes, std::size_t at) {
  const std::size_t block_end = std::min(bytes.size(), (at / kBlock + 1) * kBlock);
  if (at + kHeader > block_end) return std::nullopt;
  const int type = static_cast<unsigned char>(bytes[at + 6]);
  const std::size_t length = little_endian(bytes.substr(at + 4, 2));
  const bool known = (type >= kWhole && type <= kLast) || type == kCompressionType;
  if (!known || at + kHeader + length > block_end) return std::nullopt;
  const std::uint32_t crc = crc32c(bytes.substr(at + 6, 1 + length));
  const std::uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
  if (masked != little_endian(bytes.substr(at, 4))) return std::nullopt;
  return Fragment{type, kHeader + length};
}

// Whether a record of its own (whole, or its first part) begins soundly at or after `from`.
bool a_record_begins_after(std::string_view bytes, std::size_t from) {
  for (std::size_t at = from; at + kHeader <= bytes.size(); ++at) {
    const auto fragment = fragment_at(bytes, at);
    if (fragment && (fragment->type == kWhole || fragment->type == kFirst)) return true;
  }
  return false;
}

bool all_zero(std::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

tl::unexpected<Error> damaged(const std::string& file, std::uint64_t at) {
  return fail(Errc::corrupt, "LOG_DAMAGED",
              file + " is damaged at byte " + std::to_string(at) +
                  ", before its end: what was acknowledged cannot be read",
              "restore the log's directory from a backup, and have the disk checked");
}

}  // namespace

WalVerdict check_wal(std::string_view bytes) {
  bool inside = false;  // of a record of several fragments
  std::size_t record_begin = 0;
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t left_in_block = kBlock - at % kBlock;
    if (left_in_block < kHeader) {  // filler
      at += left_in_block;
      continue;
    }
    const auto fragment = fragment_at(bytes, at);
    if (!fragment) {
      if (all_zero(bytes.substr(at))) return {WalVerdict::Kind::unfinished_tail, at};
      const bool more = a_record_begins_after(bytes, at + 1);
      return {more ? WalVerdict::Kind::damaged : WalVerdict::Kind::unfinished_tail, at};
    }
    const bool continues = fragment->type > kFirst && fragment->type <= kLast;
    if (continues != inside) return {WalVerdict::Kind::damaged, at};
    if (fragment->type == kFirst) record_begin = at;
    inside = fragment->type == kFirst || (inside && fragment->type != kLast);
    at += fragment->size;
  }
  if (inside) return {WalVerdict::Kind::unfinished_tail, record_begin};
  return {};
}

Result<void> check_wals(const std::string& directory) {
  std::error_code failed;
  for (const auto& entry : std::filesystem::directory_iterator(directory, failed)) {
    const bool is_manifest = entry.path().filename().string().starts_with("MANIFEST-");
    if (entry.path().extension() != ".log" && !is_manifest) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    if (file.bad() || !file.is_open())
      return fail(Errc::unavailable, "LOG_UNREADABLE", "cannot read " + entry.path().string(),
                  "check the file's owner and the disk");
    const WalVerdict verdict = check_wal(bytes);
    if (verdict.kind == WalVerdict::Kind::damaged) return damaged(entry.path().string(), verdict.at);
  }
  if (failed)
    return fail(Errc::unavailable, "LOG_UNREADABLE", "cannot list " + directory + ": " + failed.message(),
                "check the directory's owner and the disk");
  return {};
}

}  // namespace postrider::embedded
