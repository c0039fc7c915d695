#pragma once
#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <memory>

// libcrypto's handles as unique_ptrs, for this room's .cc files only.
namespace postrider::crypto {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* handle) const {
    Free(handle);
  }
};
using CipherHandle = std::unique_ptr<EVP_CIPHER, Freed<EVP_CIPHER_free>>;
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>>;
using MacHandle = std::unique_ptr<EVP_MAC, Freed<EVP_MAC_free>>;
using MacContext = std::unique_ptr<EVP_MAC_CTX, Freed<EVP_MAC_CTX_free>>;
using KeyHandle = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;

// For calls that fail only when memory or the provider is gone: there is nothing safe left to do then.
inline void must(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "postrider: libcrypto failed: %s\n", what);
  std::abort();
}

}  // namespace postrider::crypto
