#pragma once
#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/core/result.h"

namespace postrider {

// The certificates of a server: read when it starts, and again when their files have changed, so that one
// that is renewed is in force without a restart. A connection keeps what it began with. The server's thread.
class ServerTls {
 public:
  struct Files {
    std::string cert, key;  // PEM
    std::string client_ca;  // PEM: who signs the clients' certificates; empty: clients need none
  };
  // TLS 1.2 with forward secrecy, or 1.3. INVALID_CONFIGURATION names the file that is unusable.
  static Result<std::unique_ptr<ServerTls>> open(Files files);
  ~ServerTls();
  ServerTls(const ServerTls&) = delete;
  ServerTls& operator=(const ServerTls&) = delete;

  // For one connection; the caller's.
  SSL* session() const;
  // Reads the files again if they have changed, and did not change since the last call: a renewal writes them
  // one after the other. nullopt: nothing was read. An error: what was in force stays so.
  std::optional<Result<void>> look_again();

 private:
  struct Free {
    void operator()(SSL_CTX* context) const;
  };
  using Context = std::unique_ptr<SSL_CTX, Free>;
  using Stamps = std::array<std::array<std::int64_t, 4>, 3>;  // of each file: when, which, how long

  ServerTls(Files files, Context context, const Stamps& stamps);
  static Result<Context> read(const Files& files);
  static Stamps stamps_of(const Files& files);

  const Files files_;
  Context context_;
  Stamps read_, seen_;
};

}  // namespace postrider
