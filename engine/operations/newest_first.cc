#include "engine/operations/newest_first.h"

namespace postrider {
namespace {

// Seven bits a byte, the low ones first; the highest says that more follow.
void put_number(std::string& bytes, std::uint64_t number) {
  for (; number >= 0x80; number >>= 7) bytes += static_cast<char>(number | 0x80);
  bytes += static_cast<char>(number);
}

std::optional<std::uint64_t> take_number(std::string_view& bytes) {
  std::uint64_t number = 0;
  for (unsigned shift = 0; shift < 63 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    number |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return number;
  }
  return std::nullopt;
}

}  // namespace

std::string format_place(const LogPlace& place) {
  std::string bytes;
  for (const auto& [source, offset] : place) {
    put_number(bytes, static_cast<std::uint64_t>(source.first));
    put_number(bytes, static_cast<std::uint64_t>(source.second));
    put_number(bytes, static_cast<std::uint64_t>(offset));
  }
  return bytes;
}

std::optional<LogPlace> parse_place(std::string_view bytes) {
  LogPlace place;
  while (!bytes.empty()) {
    const auto topic = take_number(bytes), partition = take_number(bytes), offset = take_number(bytes);
    if (!topic || !partition || !offset) return std::nullopt;
    if (*topic >= kTopicCount || *partition > INT32_MAX || *offset > INT64_MAX) return std::nullopt;
    place[{static_cast<Topic>(*topic), static_cast<Partition>(*partition)}] = static_cast<Offset>(*offset);
  }
  return place;
}

}  // namespace postrider
