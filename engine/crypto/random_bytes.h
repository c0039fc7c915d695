#pragma once
#include <array>
#include <cstddef>
#include <span>
#include <string>

#include "engine/core/secret.h"
#include "engine/ports/random.h"

namespace postrider::crypto {

// Random bytes of libcrypto's private generator, fetched a kilobyte at a time: one call of it costs more than
// the sixty bytes a sealed value needs. What was handed out is cleansed here. Not thread-safe: each owner has
// one. A generator that fails aborts: no key and no id may be made without it.
class RandomBytes {
 public:
  RandomBytes() = default;
  RandomBytes(const RandomBytes&) = delete;
  RandomBytes& operator=(const RandomBytes&) = delete;
  ~RandomBytes();

  void fill(std::span<unsigned char> out);
  Secret secret(std::size_t bytes);

 private:
  void refill();
  std::array<unsigned char, 1024> pool_{};
  std::size_t used_ = sizeof(pool_);
};

// ports/random.h from the same generator. Not thread-safe: one a shard.
class SystemRandom final : public Random {
 public:
  std::uint64_t next() override;

 private:
  RandomBytes bytes_;
};

}  // namespace postrider::crypto
