#include "engine/crypto/secure_heap.h"

#include <openssl/crypto.h>
#include <sys/resource.h>

namespace postrider::crypto {
namespace {

constexpr std::size_t kLarge = std::size_t{16} << 20;
constexpr std::size_t kUsual = std::size_t{8} << 20;
constexpr std::size_t kLeastBlock = 32;  // of a signing secret

}  // namespace

SecureHeap make_secure_heap() {
  rlimit locked{};
  if (getrlimit(RLIMIT_MEMLOCK, &locked) == 0) {
    locked.rlim_cur = locked.rlim_max;
    setrlimit(RLIMIT_MEMLOCK, &locked);
  }
  // 1: made and locked; 2: made, but the system did not lock it.
  const int made = CRYPTO_secure_malloc_init(locked.rlim_cur >= kLarge ? kLarge : kUsual, kLeastBlock);
  return {made > 0, made == 1};
}

}  // namespace postrider::crypto
