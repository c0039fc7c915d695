#pragma once
#include <openssl/ssl.h>

#include <memory>
#include <string>
#include <vector>

// A certificate authority made for one test run, and servers' certificates that it signs.
namespace postrider::test {

struct FreeSslContext {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
using ServerTls = std::unique_ptr<SSL_CTX, FreeSslContext>;

class Authority {
 public:
  Authority();
  ~Authority();
  Authority(const Authority&) = delete;
  Authority& operator=(const Authority&) = delete;

  const std::string& pem_file() const { return pem_file_; }
  // A TLS server's context with a certificate for these names ("DNS:localhost", "IP:127.0.0.1"), valid from
  // `not_before_seconds` to `not_after_seconds`, both from now.
  ServerTls server(const std::string& alternative_names, long not_before_seconds = -3600,
                   long not_after_seconds = 3600) const;

 private:
  EVP_PKEY* key_;
  X509* certificate_;
  std::string pem_file_;
};

// The one that the tests' clients trust.
const Authority& trusted_authority();

}  // namespace postrider::test
