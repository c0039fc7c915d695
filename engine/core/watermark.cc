#include "engine/core/watermark.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

// Going on would commit past an event that nobody has settled.
[[noreturn]] void broken(const char* what, Offset offset) {
  std::fprintf(stderr, "watermark: offset %lld %s\n", static_cast<long long>(offset), what);
  std::abort();
}

}  // namespace

void Watermark::received(Offset offset) {
  if (offset < received_) broken("was received after a higher one", offset);
  window_.push_back({offset, false});
  received_ = offset + 1;
  ++unsettled_;
}

void Watermark::settled(Offset offset) {
  if (offset < next_to_commit()) return;
  const auto slot = std::lower_bound(window_.begin(), window_.end(), offset,
                                     [](const Slot& one, Offset wanted) { return one.offset < wanted; });
  if (slot == window_.end() || slot->offset != offset) broken("is settled but was never received", offset);
  if (slot->settled) return;
  slot->settled = true;
  --unsettled_;
  while (!window_.empty() && window_.front().settled) window_.pop_front();
}

std::string Watermark::bitmap(std::size_t chars_max) const {
  if (window_.size() == unsettled_) return {};  // nothing is settled above
  const Offset base = next_to_commit();
  const std::size_t bits_max = chars_max / 4 * 3 * 8;
  const auto bits = static_cast<std::size_t>(
      std::min(received_ - base, static_cast<Offset>(std::min<std::size_t>(bits_max, 1u << 30))));
  // All ones, gaps among them; then the unsettled ones are cleared.
  std::string bytes((bits + 7) / 8, '\xff');
  const auto clear = [&bytes](std::size_t bit) {
    bytes[bit / 8] = static_cast<char>(static_cast<unsigned char>(bytes[bit / 8]) & ~(1u << (bit % 8)));
  };
  for (std::size_t bit = bits; bit < bytes.size() * 8; ++bit) clear(bit);
  for (const Slot& slot : window_) {
    const auto bit = static_cast<std::size_t>(slot.offset - base);
    if (bit >= bits) break;
    if (!slot.settled) clear(bit);
  }
  while (!bytes.empty() && bytes.back() == '\0') bytes.pop_back();
  return base64_encode(bytes);
}

SettledAbove::SettledAbove(Offset committed, std::string_view metadata)
    : base_(committed), bits_(base64_decode(metadata).value_or(std::string())) {}

bool SettledAbove::contains(Offset offset) const {
  if (offset < base_) return false;
  const auto bit = static_cast<std::uint64_t>(offset - base_);
  if (bit / 8 >= bits_.size()) return false;
  return (static_cast<unsigned char>(bits_[bit / 8]) >> (bit % 8) & 1) != 0;
}

bool SettledAbove::empty() const {
  return bits_.find_first_not_of('\0') == std::string::npos;
}

}  // namespace postrider
