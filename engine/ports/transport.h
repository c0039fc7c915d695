#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/core/address_policy.h"
#include "engine/core/event.h"
#include "engine/core/header_lines.h"
#include "engine/core/outcome.h"
#include "engine/core/url.h"

namespace postrider {

// Where requests go: one value for all of an endpoint's, until its URL or addresses change. Immutable.
struct Destination {
  Url url;
  // Vetted by the caller; tried in order until one connects, within the timeout. The transport judges again
  // what it dials and what it reuses.
  std::vector<IpAddress> addresses;
};

struct HttpRequest {
  std::shared_ptr<const Destination> to;              // never null
  Headers headers;                                    // of this request alone; they go first
  std::shared_ptr<const HeaderLines> shared_headers;  // of all requests of an event; null: none
  std::shared_ptr<const std::string> body;            // shared: one body, many endpoints
  Millis timeout{15000};                              // in all, body included
};

class TransportListener {
 public:
  virtual ~TransportListener() = default;
  virtual void on_outcome(std::uint64_t token, Outcome outcome) = 0;
  // Asked when the connection stands and the first byte is about to leave, perhaps long after send(): false
  // ends it with the outcome `ambiguous`, and nothing was sent.
  virtual bool may_still_send(std::uint64_t) { return true; }
};

// Sends one HTTP POST per call, concurrently. Not thread-safe: the shard's thread. Never blocks.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual void send(HttpRequest request, std::uint64_t token) = 0;  // on_outcome follows, exactly once
  virtual void cancel_all() = 0;  // outcomes `ambiguous` follow from the next poll()
  virtual std::size_t poll(TransportListener& listener) = 0;
  // Starts what was sent since the last poll(): at once, not when the next one comes.
  virtual void start(TransportListener& listener) = 0;
  virtual int wake_fd() const = 0;  // readable when poll() has something to do; -1: none
};

}  // namespace postrider
