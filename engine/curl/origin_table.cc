#include "engine/curl/origin_table.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace postrider {

namespace {

// How far to look for an idle handle that has the URL set already, at some 5 ns each; another one costs a
// parse and an allocation.
constexpr std::size_t kHandlesLookedAt = 64;
constexpr Millis kReclaimEvery{100};

int on_socket(CURL*, curl_socket_t socket, int what, void* lane_pointer, void*) {
  auto* lane = static_cast<Lane*>(lane_pointer);
  if (what == CURL_POLL_REMOVE) {
    lane->poller->rest(socket);
    return 0;
  }
  const std::uint32_t events =
      ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
  // A refusal of the kernel (out of memory) leaves the transfer to its timeout: -1 would end the whole multi.
  lane->poller->watch(socket, events, lane);
  return 0;
}

int on_timer(CURLM*, long timeout_ms, void* lane_pointer) {
  auto* lane = static_cast<Lane*>(lane_pointer);
  if (timeout_ms < 0) {
    lane->deadline.reset();
  } else {
    lane->deadline = std::chrono::steady_clock::now() + Millis(timeout_ms);
  }
  return 0;
}

}  // namespace

std::unique_ptr<Transfer> OriginTable::acquire(const std::shared_ptr<const Destination>& to) {
  Origin* origin = find_or_make(to->url);
  if (origin == nullptr) return nullptr;
  std::unique_ptr<Transfer> transfer;
  if (!origin->idle.empty()) {
    transfer = take_idle(*origin, to);
  } else if (idle_handles_ >= limits_.idle_handles_max && !stocked_.empty()) {
    transfer = take_from_longest_idle();
  } else {
    transfer = std::make_unique<Transfer>(context_);
    if (transfer->easy() == nullptr) return nullptr;
  }
  transfer->origin = origin;
  transfer->lane = origin->lane;
  begin_in(*origin->lane);
  if (origin->active++ == 0) {
    resting_.erase(origin->resting);
    unstock(*origin);
  }
  return transfer;
}

// One that has the URL set already, if there is one.
std::unique_ptr<Transfer> OriginTable::take_idle(Origin& origin,
                                                 const std::shared_ptr<const Destination>& to) {
  const std::size_t looked_at = std::min(origin.idle.size(), kHandlesLookedAt);
  const auto last = origin.idle.rbegin() + static_cast<std::ptrdiff_t>(looked_at);
  const auto found = std::find_if(origin.idle.rbegin(), last, [&](const auto& t) { return t->has_url(to); });
  if (found != last) std::swap(*found, origin.idle.back());
  std::unique_ptr<Transfer> transfer = std::move(origin.idle.back());
  origin.idle.pop_back();
  --idle_handles_;
  return transfer;
}

std::unique_ptr<Transfer> OriginTable::take_from_longest_idle() {
  Origin& origin = *stocked_.back();
  std::unique_ptr<Transfer> transfer = std::move(origin.idle.back());
  origin.idle.pop_back();
  --idle_handles_;
  if (origin.idle.empty()) unstock(origin);
  return transfer;
}

void OriginTable::unstock(Origin& origin) {
  if (!std::exchange(origin.is_stocked, false)) return;
  stocked_.erase(origin.stocked);
}

void OriginTable::release(std::unique_ptr<Transfer> transfer) {
  Origin* origin = transfer->origin;
  transfer->release();
  end_in(*origin->lane);
  origin->idle.push_back(std::move(transfer));
  ++idle_handles_;
  if (--origin->active == 0) {
    resting_.push_front(origin);
    origin->resting = resting_.begin();
    stocked_.push_front(origin);
    origin->stocked = stocked_.begin();
    origin->is_stocked = true;
  }
  if (resting_.size() > limits_.idle_origins_max) evict_longest_idle();
  if (idle_handles_ <= limits_.idle_handles_max) return;
  if (!stocked_.empty()) {
    take_from_longest_idle().reset();
  } else {
    origin->idle.pop_back();
    --idle_handles_;
  }
}

Origin* OriginTable::find_or_make(const Url& url) {
  key_.assign(url.scheme).append("://").append(url.host).append(1, ':').append(std::to_string(url.port));
  const auto found = origins_.find(key_);
  if (found != origins_.end()) return found->second.get();
  Lane* lane = lane_with_room();
  if (lane == nullptr) return nullptr;
  auto origin = std::make_unique<Origin>();
  origin->key = key_;
  origin->lane = lane;
  ++lane->hosts;
  resting_.push_front(origin.get());
  origin->resting = resting_.begin();
  return origins_.emplace(key_, std::move(origin)).first->second.get();
}

// Its pooled connections stay in the lane until they are too old: a few idle sockets, counted in MAXCONNECTS.
void OriginTable::evict_longest_idle() {
  Origin* origin = resting_.back();
  resting_.pop_back();
  unstock(*origin);
  idle_handles_ -= origin->idle.size();
  --origin->lane->hosts;
  const std::string key = origin->key;
  origins_.erase(key);
}

Lane* OriginTable::lane_with_room() {
  for (const auto& lane : lanes_) {
    if (lane->hosts < limits_.hosts_per_lane) return lane.get();
  }
  auto lane = make_lane();
  if (!lane) return nullptr;
  lanes_.push_back(std::move(lane));
  if (kept_.set_multis(lanes_.size())) {
    for (const auto& each : lanes_) limit_connections(*each);
  } else {
    limit_connections(*lanes_.back());
  }
  return lanes_.back().get();
}

std::unique_ptr<Lane> OriginTable::make_lane() {
  auto lane = std::make_unique<Lane>();
  lane->poller = context_.poller;
  return open_multi(*lane) ? std::move(lane) : nullptr;
}

bool OriginTable::open_multi(Lane& lane) {
  lane.multi.reset(curl_multi_init());
  CURLM* multi = lane.multi.get();
  if (multi == nullptr) return false;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, &lane);
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, &lane);
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  return true;
}

// --- how many connections are kept -----------------------------------------------------------------------

void OriginTable::limit_connections(Lane& lane) {
  curl_multi_setopt(lane.multi.get(), CURLMOPT_MAXCONNECTS, static_cast<long>(kept_.limit(lane.kept)));
}

void OriginTable::begin_in(Lane& lane) {
  const PollTime now = std::chrono::steady_clock::now();
  if (kept_.begin(lane.kept, now)) limit_connections(lane);
  if (kept_.lacks(lane.kept)) reclaim_from_idle(now);
}

void OriginTable::end_in(Lane& lane) {
  if (kept_.end(lane.kept, std::chrono::steady_clock::now())) limit_connections(lane);
}

// What is wanted now, others may have taken for a burst that is long over: libcurl would close their
// connections only when one of their requests ends. A new multi closes them at once.
void OriginTable::reclaim_from_idle(PollTime now) {
  if (now < next_reclaim_) return;
  next_reclaim_ = now + kReclaimEvery;
  for (const auto& lane : lanes_) {
    const KeptConnections::Share& share = lane->kept;
    if (share.extra == 0 || share.under_way > 0 || now < share.since + KeptConnections::kLookBack) continue;
    CURLM* const before = lane->multi.release();
    if (!open_multi(*lane)) {
      lane->multi.reset(before);
      continue;
    }
    curl_multi_cleanup(before);
    lane->deadline.reset();
    kept_.give_back(lane->kept);
    limit_connections(*lane);
  }
}

}  // namespace postrider
