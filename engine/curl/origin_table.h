#pragma once
#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/url.h"
#include "engine/curl/connection.h"
#include "engine/curl/poller.h"
#include "engine/curl/transfer.h"

// The transfers that rest, with their connections, by origin (scheme, host and port), and which curl multi
// opens connections to which origin: one serves at most `hosts_per_lane`; all share one Poller. Connections
// stay where the traffic is: of all that rest the one that has rested longest goes first. Owned by the
// transport, its thread.
namespace postrider {

struct Origin {
  std::string key;
  Lane* lane = nullptr;
  std::size_t active = 0;                       // transfers on their way
  std::optional<IpAddress> preferred;           // of several addresses: the one that answered last
  std::vector<std::unique_ptr<Transfer>> idle;  // the latest last
};

struct OriginLimits {
  std::size_t hosts_per_lane = 8;
  std::size_t connections_max = 8192;  // busy and idle
  std::size_t handles_max = 2048;      // idle, without a connection; about 9 KB each
  Millis idle_max{90'000};
};

class OriginTable {
 public:
  OriginTable(ConnectionContext& context, AnswerLimits answer_limits, OriginLimits limits)
      : context_(context), answer_limits_(answer_limits), limits_(limits) {}

  // One for that URL, its origin's count of active transfers raised; its connection stands, and may carry the
  // request, if there is one that may. nullptr: out of memory.
  std::unique_ptr<Transfer> acquire(const std::shared_ptr<const Destination>& to, PollTime now);
  void release(std::unique_ptr<Transfer> transfer, PollTime now);
  // One that rests has closed its connection, or must.
  void close(Transfer& resting);
  // Those that have rested too long. When the next one will have.
  std::optional<PollTime> drop_old(PollTime now);
  // Before a connection is opened; and where.
  void make_room();
  Lane* lane_for(const Origin& origin);

  std::vector<std::unique_ptr<Lane>>& lanes() { return lanes_; }

 private:
  Origin* find_or_make(const Url& url);
  Lane* lane_with_room();
  std::unique_ptr<Transfer> take_idle(Origin& origin, const Destination& to, PollTime now);
  std::unique_ptr<Transfer> take(Origin& origin, std::size_t index);
  void drop(Transfer& resting);

  ConnectionContext& context_;
  AnswerLimits answer_limits_;
  OriginLimits limits_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // outlive the transfers
  std::list<Transfer*> resting_, bare_;       // with a connection, without; the longest first
  std::unordered_map<std::string, std::unique_ptr<Origin>> origins_;
  std::string key_;  // scratch, kept for its capacity
};

}  // namespace postrider
