#include "engine/crypto/random_bytes.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "engine/crypto/openssl_handles.h"

namespace postrider::crypto {

RandomBytes::~RandomBytes() {
  OPENSSL_cleanse(pool_.data(), pool_.size());
}

void RandomBytes::refill() {
  must(RAND_priv_bytes(pool_.data(), static_cast<int>(pool_.size())) == 1, "RAND_priv_bytes");
  used_ = 0;
}

void RandomBytes::fill(std::span<unsigned char> out) {
  while (!out.empty()) {
    if (used_ == pool_.size()) refill();
    const std::size_t count = std::min(out.size(), pool_.size() - used_);
    std::memcpy(out.data(), pool_.data() + used_, count);
    OPENSSL_cleanse(pool_.data() + used_, count);
    used_ += count;
    out = out.subspan(count);
  }
}

Secret RandomBytes::secret(std::size_t bytes) {
  std::string text(bytes, '\0');
  fill({reinterpret_cast<unsigned char*>(text.data()), text.size()});
  Secret made(std::move(text));
  OPENSSL_cleanse(text.data(), text.size());  // a short string's bytes stay behind when it is moved
  return made;
}

std::uint64_t SystemRandom::next() {
  std::array<unsigned char, sizeof(std::uint64_t)> raw{};
  bytes_.fill(raw);
  std::uint64_t value = 0;
  std::memcpy(&value, raw.data(), raw.size());
  return value;
}

}  // namespace postrider::crypto
