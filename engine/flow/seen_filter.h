#pragma once
#include <absl/hash/hash.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace postrider::flow {

// Tells for sure what was never added, in 4 MiB however much was. By the formula it takes one key in 6,000
// for another beside a million, one in four beside ten million. Not thread-safe.
class SeenFilter {
 public:
  // False: that key was never added before.
  bool add(std::string_view key) {
    const std::uint64_t hash = absl::Hash<std::string_view>{}(key);
    bool seen = true;
    for (int i = 0; i < kProbes; ++i) {
      // Two halves make all probes (Kirsch, Mitzenmacher).
      const std::uint64_t bit = (hash + static_cast<std::uint64_t>(i) * (hash >> 32 | 1)) % kBits;
      std::uint64_t& word = words_[bit / 64];
      const std::uint64_t mask = std::uint64_t{1} << (bit % 64);
      seen = seen && (word & mask) != 0;
      word |= mask;
    }
    return seen;
  }

 private:
  static constexpr int kProbes = 4;
  static constexpr std::size_t kBits = std::size_t{1} << 25;
  std::vector<std::uint64_t> words_ = std::vector<std::uint64_t>(kBits / 64);
};

}  // namespace postrider::flow
