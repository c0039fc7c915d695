#pragma once
#include <cstdint>

namespace postrider {

// Uniform 64-bit values. In production from the system's generator: ids are made of them.
class Random {
 public:
  virtual ~Random() = default;
  virtual std::uint64_t next() = 0;
};

}  // namespace postrider
