#include "engine/curl/origin_table.h"

#include <algorithm>
#include <utility>

namespace postrider {

namespace {

// libcurl looks a connection up among all of its multi, whenever it carries bytes of TLS.
constexpr std::size_t kHandlesOfALane = 64;

int on_socket(CURL*, curl_socket_t socket, int what, void* lane_pointer, void*) {
  auto* lane = static_cast<Lane*>(lane_pointer);
  if (what == CURL_POLL_REMOVE) {
    lane->poller->rest(socket);
    return 0;
  }
  const std::uint32_t events =
      ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0U) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0U);
  // A refusal of the kernel (out of memory) leaves the transfer to its timeout: -1 would end the whole multi.
  lane->poller->watch(socket, events, static_cast<SocketOwner*>(lane));
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

std::unique_ptr<Lane> make_lane(Poller* poller) {
  auto lane = std::make_unique<Lane>();
  lane->poller = poller;
  lane->multi.reset(curl_multi_init());
  CURLM* multi = lane->multi.get();
  if (multi == nullptr) return nullptr;
  curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
  curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, lane.get());
  curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &on_timer);
  curl_multi_setopt(multi, CURLMOPT_TIMERDATA, lane.get());
  curl_multi_setopt(multi, CURLMOPT_PIPELINING, static_cast<long>(CURLPIPE_NOTHING));
  return lane;
}

}  // namespace

std::unique_ptr<Transfer> OriginTable::acquire(const std::shared_ptr<const Destination>& to, PollTime now) {
  Origin* origin = find_or_make(to->url);
  if (origin == nullptr) return nullptr;
  std::unique_ptr<Transfer> transfer = take_idle(*origin, *to, now);
  if (!transfer) {
    transfer = std::make_unique<Transfer>(context_, answer_limits_);
    if (!transfer->connection().is_made()) return nullptr;
  }
  transfer->origin = origin;
  ++origin->active;
  return transfer;
}

// The one that rested last whose connection may carry it; else one that has none.
std::unique_ptr<Transfer> OriginTable::take_idle(Origin& origin, const Destination& to, PollTime now) {
  for (std::size_t i = origin.idle.size(); i-- > 0;) {
    Connection& connection = origin.idle[i]->connection();
    if (!connection.stands()) continue;
    if (connection.may_carry(to, now)) return take(origin, i);
    close(*origin.idle[i]);
  }
  return origin.idle.empty() ? nullptr : take(origin, origin.idle.size() - 1);
}

std::unique_ptr<Transfer> OriginTable::take(Origin& origin, std::size_t index) {
  std::unique_ptr<Transfer> transfer = std::move(origin.idle[index]);
  origin.idle.erase(origin.idle.begin() + static_cast<std::ptrdiff_t>(index));
  std::list<Transfer*>& from = transfer->is_bare ? bare_ : resting_;
  transfer->place.splice(transfer->place.begin(), from, transfer->place_in_list);
  return transfer;
}

void OriginTable::release(std::unique_ptr<Transfer> transfer, PollTime now) {
  Transfer& one = *transfer;
  Origin& origin = *one.origin;
  --origin.active;
  one.rested = now;
  one.is_bare = !one.connection().stands();
  if (one.is_bare) one.connection().close();
  std::list<Transfer*>& list = one.is_bare ? bare_ : resting_;
  one.place_in_list = one.place.begin();
  list.splice(list.end(), one.place);
  origin.idle.push_back(std::move(transfer));
  while (bare_.size() > limits_.handles_max) drop(*bare_.front());
  while (context_.open_sockets > limits_.connections_max && !resting_.empty()) drop(*resting_.front());
}

void OriginTable::make_room() {
  while (context_.open_sockets >= limits_.connections_max && !resting_.empty()) drop(*resting_.front());
}

void OriginTable::close(Transfer& resting) {
  resting.connection().close();
  resting.rested = std::chrono::steady_clock::now();
  if (std::exchange(resting.is_bare, true)) return;
  bare_.splice(bare_.end(), resting_, resting.place_in_list);
}

std::optional<PollTime> OriginTable::drop_old(PollTime now) {
  std::optional<PollTime> next;
  for (std::list<Transfer*>* list : {&resting_, &bare_}) {
    while (!list->empty() && now - list->front()->rested >= limits_.idle_max) drop(*list->front());
    if (list->empty()) continue;
    const PollTime ends = list->front()->rested + limits_.idle_max;
    next = next ? std::min(*next, ends) : ends;
  }
  return next;
}

void OriginTable::drop(Transfer& resting) {
  Origin& origin = *resting.origin;
  const auto found = std::find_if(origin.idle.begin(), origin.idle.end(),
                                  [&](const auto& one) { return one.get() == &resting; });
  take(origin, static_cast<std::size_t>(found - origin.idle.begin())).reset();
  if (origin.active > 0 || !origin.idle.empty()) return;
  --origin.lane->hosts;
  const std::string key = origin.key;
  origins_.erase(key);
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
  return origins_.emplace(key_, std::move(origin)).first->second.get();
}

Lane* OriginTable::lane_for(const Origin& origin) {
  if (origin.lane->handles < kHandlesOfALane) return origin.lane;
  Lane* const other = lane_with_room();
  return other != nullptr ? other : origin.lane;
}

Lane* OriginTable::lane_with_room() {
  for (const auto& lane : lanes_) {
    if (lane->hosts < limits_.hosts_per_lane && lane->handles < kHandlesOfALane) return lane.get();
  }
  auto lane = make_lane(context_.poller);
  if (!lane) return nullptr;
  lanes_.push_back(std::move(lane));
  return lanes_.back().get();
}

}  // namespace postrider
