#pragma once
#include <cstdint>
#include <string>

#include "engine/core/ids.h"
#include "engine/ports/clock.h"
#include "engine/ports/log_client.h"
#include "engine/ports/random.h"

namespace postrider {

// What an operator's jobs work with: the log, and nothing that a running engine owns. So the same jobs serve
// the HTTP API (on a worker thread: they block) and postrider-ops while every daemon is down. Borrows all of
// it. As thread-safe as its parts: use one Desk, with a Random of its own, per thread.
struct Desk {
  LogClient& log;
  Environment environment;
  Random& random;
  const Clock& clock;

  std::int64_t now_ms() const { return to_ms(clock.wall()); }  // for people: marks and audit facts
};

// Who asked: stands in marks and audit facts.
struct Actor {
  std::string name;  // "alice", "admin"
  std::string
      token_id;  // first digits of the token's hash, or an issuer's "oidc_…"; empty: straight on the log
  std::string correlation_id;  // of the request; empty: none
};

}  // namespace postrider
