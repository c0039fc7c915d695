#pragma once
#include <curl/curl.h>

#include <cstddef>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/core/url.h"
#include "engine/curl/kept_connections.h"
#include "engine/curl/poller.h"
#include "engine/curl/transfer.h"

// Which curl multi serves which origin (scheme, host and port), and the idle handles kept for each. libcurl's
// cost a request grows with the connections of a multi (at 5,000 hosts it is tenfold), so each multi, a
// `Lane` here, gets at most `hosts_per_lane` hosts; all lanes share one Poller. Owned by the transport, its
// thread.
namespace postrider {

struct FreeMulti {
  void operator()(CURLM* multi) const { curl_multi_cleanup(multi); }
};

// One curl multi: its connections, and when libcurl wants to be called.
struct Lane {
  Poller* poller = nullptr;
  std::optional<PollTime> deadline;
  std::size_t hosts = 0;
  KeptConnections::Share kept;
  bool has_news = false;                    // a request was added since libcurl was last called
  std::unique_ptr<CURLM, FreeMulti> multi;  // last: its end calls back
};

struct Origin {
  std::string key;
  Lane* lane = nullptr;
  std::size_t active = 0;              // transfers on their way
  std::optional<IpAddress> preferred;  // connected last: its pooled connections are found only under it
  std::vector<std::unique_ptr<Transfer>> idle;
  // Its places when active is 0: among the resting origins, and among those of them that have idle handles.
  std::list<Origin*>::iterator resting, stocked;
  bool is_stocked = false;
};

struct OriginLimits {
  std::size_t hosts_per_lane = 8;
  std::size_t idle_handles_max = 2048;  // about 9 KB each
  std::size_t idle_origins_max = 16384;
  std::size_t connections_kept_max = 8192;
};

class OriginTable {
 public:
  OriginTable(TransferContext& context, OriginLimits limits)
      : context_(context),
        limits_(limits),
        kept_(limits.connections_kept_max, kKeptOfAHost * limits.hosts_per_lane) {}

  // A handle for that URL, its origin's count of active transfers raised; nullptr: out of memory.
  std::unique_ptr<Transfer> acquire(const std::shared_ptr<const Destination>& to);
  void release(std::unique_ptr<Transfer> transfer);

  std::vector<std::unique_ptr<Lane>>& lanes() { return lanes_; }

 private:
  static constexpr std::size_t kKeptOfAHost = 8;  // without asking for more
  Origin* find_or_make(const Url& url);
  Lane* lane_with_room();
  std::unique_ptr<Lane> make_lane();
  bool open_multi(Lane& lane);
  void begin_in(Lane& lane);
  void end_in(Lane& lane);
  void reclaim_from_idle(PollTime now);
  void limit_connections(Lane& lane);
  std::unique_ptr<Transfer> take_idle(Origin& origin, const std::shared_ptr<const Destination>& to);
  std::unique_ptr<Transfer> take_from_longest_idle();
  void unstock(Origin& origin);
  void evict_longest_idle();

  TransferContext& context_;
  OriginLimits limits_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::unordered_map<std::string, std::unique_ptr<Origin>> origins_;
  // Origins without active transfers, the longest idle last. One keeps its lane, where its connections are,
  // longer than its handles, which serve any origin.
  std::list<Origin*> resting_, stocked_;
  std::size_t idle_handles_ = 0;
  KeptConnections kept_;
  PollTime next_reclaim_{};
  std::string key_;  // scratch, kept for its capacity
};

}  // namespace postrider
