#pragma once
#include <memory>
#include <string>

#include "engine/core/result.h"

struct x509_store_st;  // X509_STORE

// The certificate authorities that receivers are verified against, read once: libcurl would parse the CA
// directory again for each new connection (49 ms of CPU with Debian's defaults; so it takes about 1 ms).
namespace postrider {

struct FreeTrustStore {
  void operator()(x509_store_st* store) const;
};
using TrustStore = std::unique_ptr<x509_store_st, FreeTrustStore>;

// `ca_file`: PEM, used instead of the system's authorities; empty: the system's. OpenSSL locks the store
// itself: connections of several threads may share it.
Result<TrustStore> load_trust_store(const std::string& ca_file);

}  // namespace postrider
