#pragma once
#include <atomic>
#include <memory>
#include <string>

#include "engine/core/result.h"
#include "engine/oidc/key_set.h"

namespace postrider::oidc {

// Asks an issuer for its keys over https: its discovery document, and the set of keys that this names. Blocks
// for seconds at most; one thread, but stop() any.
class Issuer {
 public:
  struct Options {
    std::string url;          // "https://idp.example.com/realms/ops"
    std::string ca_file;      // PEM; empty: the system's authorities
    bool plain_http = false;  // http at loopback is taken: development
  };
  explicit Issuer(Options options) : options_(std::move(options)) {}

  // OIDC_UNAVAILABLE says what did not come.
  Result<std::shared_ptr<const KeySet>> keys();
  // What is under way ends soon, and nothing begins.
  void stop() { stopping_ = true; }

 private:
  Result<std::string> get(const std::string& url);
  bool may_ask(const std::string& url) const;

  const Options options_;
  std::atomic<bool> stopping_{false};
};

}  // namespace postrider::oidc
