#include "engine/curl/trust_store.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <unistd.h>

namespace postrider {

namespace {
constexpr const char* kSystemBundle = "/etc/ssl/certs/ca-certificates.crt";  // Debian's ca-certificates
}

void FreeTrustStore::operator()(x509_store_st* store) const {
  X509_STORE_free(store);
}

Result<TrustStore> load_trust_store(const std::string& ca_file) {
  TrustStore store(X509_STORE_new());
  if (!store) {
    return fail(Errc::unavailable, "SERVICE_UNAVAILABLE", "OpenSSL cannot make a trust store",
                "free some memory");
  }
  if (!ca_file.empty()) {
    if (X509_STORE_load_file(store.get(), ca_file.c_str()) != 1) {
      ERR_clear_error();
      return fail(Errc::invalid, "INVALID_REQUEST", "no certificate authority can be read from " + ca_file,
                  "name a readable PEM file with at least one CA certificate");
    }
    return store;
  }
  const bool loaded = ::access(kSystemBundle, R_OK) == 0
                          ? X509_STORE_load_file(store.get(), kSystemBundle) == 1
                          : X509_STORE_set_default_paths(store.get()) == 1;
  if (!loaded) {
    ERR_clear_error();
    return fail(Errc::invalid, "INVALID_REQUEST", "the system's certificate authorities cannot be read",
                "install the package ca-certificates, or name a CA file");
  }
  return store;
}

}  // namespace postrider
