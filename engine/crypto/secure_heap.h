#pragma once

namespace postrider::crypto {

// What this process could be given.
struct SecureHeap {
  bool there = false;   // keys and Secrets lie in memory of their own, which no core holds
  bool locked = false;  // and which is never swapped out
};

// Gives libcrypto a heap for keys: between guard pages, locked, left out of cores, overwritten when freed.
// HMAC keys, private keys and Secret's bytes lie there from then on. Once, before the first secret is read.
// Sized by the limit of locked memory: 16 MiB, or the 8 that are usual.
SecureHeap make_secure_heap();

}  // namespace postrider::crypto
