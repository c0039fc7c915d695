#include "engine/curl/curl_transport.h"

#include <curl/curl.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <deque>
#include <utility>
#include <vector>

#include "engine/curl/origin_table.h"
#include "engine/curl/poller.h"
#include "engine/curl/transfer.h"
#include "engine/curl/trust_store.h"

namespace postrider {

namespace {

// How long each part of a poll() goes on while there is more to do: the shard has other work too, a lease
// among it, and a thousand TLS handshakes are two seconds. What is left over is the next poll()'s.
constexpr Millis kTurnMax{20};
// On the wire, for one request: far above the caps of an answer and a TLS handshake together. It ends what
// libcurl reads and tells no callback of: chunk extensions, session tickets, a line without end.
constexpr std::uint64_t kAnswerWireBytesMax = 512 * 1024;
// Interfaces come and go; a look costs some 20 µs.
constexpr Millis kOwnEvery{1'000};

PollTime steady_now() {
  return std::chrono::steady_clock::now();
}

void ignore_sigpipe() {
  struct sigaction current {};
  if (sigaction(SIGPIPE, nullptr, &current) == 0 && current.sa_handler == SIG_DFL)
    std::signal(SIGPIPE, SIG_IGN);
}

// An error or a hang-up is for libcurl to find when it reads or writes: told of an error alone, it would not
// read what arrived before.
int select_bits(std::uint32_t events) {
  constexpr std::uint32_t kBroken = EPOLLERR | EPOLLHUP;
  return ((events & (EPOLLIN | kBroken)) != 0 ? CURL_CSELECT_IN : 0) |
         ((events & (EPOLLOUT | kBroken)) != 0 ? CURL_CSELECT_OUT : 0);
}

Outcome failed(AttemptError why) {
  Outcome outcome;
  outcome.error = why;
  return outcome;
}

Error cannot_start(std::string message) {
  return Error{Errc::unavailable, "SERVICE_UNAVAILABLE", std::move(message),
               "check the installed libcurl4 package and the free memory"};
}

}  // namespace

struct CurlTransport::Impl {
  struct Waiting {
    HttpRequest request;
    std::uint64_t token;
    PollTime queued;
  };
  struct Finished {
    std::uint64_t token;
    Outcome outcome;
  };

  Impl(Options options, std::unique_ptr<Poller> the_poller, TrustStore the_trust)
      : connections_max(std::max<std::size_t>(1, options.connections_max)),
        poller(std::move(the_poller)),
        trust(std::move(the_trust)),
        own(options.own ? std::move(options.own) : own_addresses),
        context{ConnectGuard(std::move(options.policy)),
                1,
                {options.response_header_bytes_max, options.response_body_bytes_max},
                trust.get(),
                options.connection_idle_max,
                options.connection_lifetime_max,
                options.headers_in_one_piece && RequestHead::is_copied_whole(),
                poller.get(),
                nullptr,
                0,
                options.proxy,
                options.proxy ? format_egress_proxy(*options.proxy) : std::string()},
        origins(context, {std::max<std::size_t>(1, options.hosts_per_multi), options.idle_handles_max, 16384,
                          options.connections_kept_max}) {}
  ~Impl();

  void start_what_waits();
  bool may_start_another() const { return !waiting.empty() && active.size() < connections_max; }
  void start(Waiting&& waiting);
  void launch(Transfer& transfer);
  void act(Lane& lane, curl_socket_t socket, int events);
  void collect(Lane& lane);
  void ended(Transfer& transfer, CURLcode code);
  void finish(Transfer& transfer, Outcome outcome);
  void tell(std::uint64_t token, Outcome outcome);
  void run_timers();
  void run_news();

  void look_at_own(PollTime now);

  const std::size_t connections_max;
  std::unique_ptr<Poller> poller;
  TrustStore trust;
  std::function<std::vector<IpAddress>()> own;
  PollTime own_looked_at_again{};
  TransferContext context;
  OriginTable origins;
  std::vector<std::unique_ptr<Transfer>> active;  // added to a multi, or about to be again
  std::vector<Transfer*> again;                   // to be launched at their next address
  std::deque<Waiting> waiting;                    // beyond connections_max
  std::vector<Lane*> with_news;                   // lanes to which requests were added
  std::vector<Finished> finished, delivering;
  std::vector<Poller::Ready> ready;
  std::size_t next_lane = 0;  // whose timer is looked at first
  bool polling = false;       // poll() will take care of what is sent or ends now: no bell needed
};

// --- life ------------------------------------------------------------------------------------------------

Result<std::unique_ptr<CurlTransport>> CurlTransport::create(Options options) {
  static const CURLcode global = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (global != CURLE_OK) return fail(cannot_start("libcurl cannot start"));
  ignore_sigpipe();
  auto trust = load_trust_store(options.ca_file);
  if (!trust) return fail(trust.error());
  auto poller = Poller::open();
  if (!poller) return fail(poller.error());
  auto impl = std::make_unique<Impl>(std::move(options), std::move(*poller), std::move(*trust));
  return std::unique_ptr<CurlTransport>(new CurlTransport(std::move(impl)));
}

CurlTransport::CurlTransport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CurlTransport::~CurlTransport() = default;

CurlTransport::Impl::~Impl() {
  for (const auto& transfer : active) curl_multi_remove_handle(transfer->lane->multi.get(), transfer->easy());
}

int CurlTransport::wake_fd() const {
  return impl_->poller->fd();
}
std::size_t CurlTransport::in_flight() const {
  return impl_->active.size() + impl_->waiting.size();
}
std::size_t CurlTransport::open_sockets() const {
  return impl_->context.open_sockets;
}

void CurlTransport::set_policy(AddressPolicy policy) {
  impl_->context.guard = ConnectGuard(std::move(policy));
  impl_->own_looked_at_again = {};
  ++impl_->context.guard_generation;
}

// --- out -------------------------------------------------------------------------------------------------

void CurlTransport::send(HttpRequest request, std::uint64_t token) {
  impl_->waiting.push_back({std::move(request), token, steady_now()});
  if (!impl_->polling) impl_->poller->ring();
}

// Everything sent since the last time goes to libcurl together: one pass over each lane instead of one a
// request. A pass may end requests, which makes room for others or sends them to their next address: again.
void CurlTransport::Impl::start_what_waits() {
  const PollTime turn_ends = steady_now() + kTurnMax;
  do {
    for (Transfer* transfer : std::exchange(again, {})) launch(*transfer);
    while (may_start_another()) {
      Waiting next = std::move(waiting.front());
      waiting.pop_front();
      start(std::move(next));
      if (steady_now() >= turn_ends) break;
    }
    run_news();
  } while ((!again.empty() || may_start_another()) && steady_now() < turn_ends);
}

void CurlTransport::Impl::look_at_own(PollTime now) {
  if (now < own_looked_at_again) return;
  own_looked_at_again = now + kOwnEvery;
  if (context.guard.take_own(own())) ++context.guard_generation;
}

void CurlTransport::Impl::start(Waiting&& next) {
  auto owned = origins.acquire(next.request.to);
  if (!owned) return tell(next.token, failed(AttemptError::connect));
  Transfer& transfer = *owned;
  transfer.active_index = active.size();
  active.push_back(std::move(owned));
  const PollTime now = steady_now();
  look_at_own(now);
  const AttemptError refused = transfer.accept(std::move(next.request), next.token, next.queued, now);
  if (refused != AttemptError::none) return finish(transfer, failed(refused));
  if (!transfer.aim_first(transfer.origin->preferred, now)) {
    return finish(transfer, failed(AttemptError::timeout));
  }
  launch(transfer);
}

void CurlTransport::Impl::launch(Transfer& transfer) {
  Lane& lane = *transfer.lane;
  if (curl_multi_add_handle(lane.multi.get(), transfer.easy()) != CURLM_OK) {
    return finish(transfer, failed(AttemptError::connect));
  }
  if (std::exchange(lane.has_news, true)) return;
  with_news.push_back(&lane);
}

void CurlTransport::Impl::run_news() {
  for (Lane* lane : with_news) {
    lane->has_news = false;
    act(*lane, CURL_SOCKET_TIMEOUT, 0);
  }
  with_news.clear();
}

// --- in --------------------------------------------------------------------------------------------------

void CurlTransport::Impl::act(Lane& lane, curl_socket_t socket, int events) {
  int running = 0;
  // libcurl sets the timer anew after a timeout, but says nothing when none is left.
  if (socket == CURL_SOCKET_TIMEOUT) lane.deadline.reset();
  curl_multi_socket_action(lane.multi.get(), socket, events, &running);
  collect(lane);
  if (lane.deadline) poller->arm(*lane.deadline);
}

void CurlTransport::Impl::collect(Lane& lane) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(lane.multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    // Both are gone once the handle is removed.
    const CURLcode code = message->data.result;
    CURL* easy = message->easy_handle;
    Transfer* transfer = nullptr;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
    curl_multi_remove_handle(lane.multi.get(), easy);
    ended(*transfer, code);
  }
}

void CurlTransport::Impl::ended(Transfer& transfer, CURLcode code) {
  const PollTime now = steady_now();
  if (transfer.aim_next(code, now)) {
    again.push_back(&transfer);
    return;
  }
  Outcome outcome = transfer.conclude(code, now);
  transfer.origin->preferred = outcome.status != 0 ? transfer.connected_to() : std::nullopt;
  finish(transfer, std::move(outcome));
}

void CurlTransport::Impl::finish(Transfer& transfer, Outcome outcome) {
  tell(transfer.token(), std::move(outcome));
  std::unique_ptr<Transfer> owned = std::move(active[transfer.active_index]);
  if (owned->active_index + 1 != active.size()) {
    active[owned->active_index] = std::move(active.back());
    active[owned->active_index]->active_index = owned->active_index;
  }
  active.pop_back();
  origins.release(std::move(owned));
}

void CurlTransport::Impl::tell(std::uint64_t token, Outcome outcome) {
  if (finished.empty() && !polling) poller->ring();
  finished.push_back({token, std::move(outcome)});
}

void CurlTransport::cancel_all() {
  Impl& impl = *impl_;
  // What libcurl has ended already has its own outcome.
  for (const auto& lane : impl.origins.lanes()) impl.collect(*lane);
  const PollTime now = steady_now();
  for (const auto& next : impl.waiting) impl.tell(next.token, failed(AttemptError::ambiguous));
  impl.waiting.clear();
  impl.again.clear();
  while (!impl.active.empty()) {
    Transfer& transfer = *impl.active.back();
    Outcome outcome = transfer.cut_off(now);
    curl_multi_remove_handle(transfer.lane->multi.get(), transfer.easy());
    impl.finish(transfer, std::move(outcome));
  }
}

std::size_t CurlTransport::poll(TransportListener& listener) {
  Impl& impl = *impl_;
  impl.polling = true;
  impl.context.listener = &listener;
  const PollTime turn_ends = steady_now() + kTurnMax;
  do {
    const bool timer_went_off = impl.poller->wait(impl.ready);
    for (const Poller::Ready& one : impl.ready) {
      if (impl.poller->floods(one.socket, kAnswerWireBytesMax)) ::shutdown(one.socket, SHUT_RDWR);
      impl.act(*static_cast<Lane*>(one.owner), one.socket, select_bits(one.events));
    }
    if (timer_went_off) impl.run_timers();
  } while (impl.ready.size() == Poller::kReadyMax && steady_now() < turn_ends);
  impl.start_what_waits();
  impl.delivering.clear();
  impl.delivering.swap(impl.finished);
  for (Impl::Finished& one : impl.delivering) listener.on_outcome(one.token, std::move(one.outcome));
  impl.start_what_waits();  // what the listener sent
  impl.polling = false;
  impl.context.listener = nullptr;
  // What is left over, and what ended at once of it all: for the next poll().
  if (!impl.finished.empty() || !impl.again.empty() || impl.may_start_another()) impl.poller->ring();
  return impl.delivering.size();
}

void CurlTransport::start(TransportListener& listener) {
  impl_->context.listener = &listener;
  impl_->start_what_waits();
  impl_->context.listener = nullptr;
  if (!impl_->again.empty() || impl_->may_start_another()) impl_->poller->ring();
}

// Begins behind the lane where the last turn ended.
void CurlTransport::Impl::run_timers() {
  const PollTime now = steady_now();
  const auto& lanes = origins.lanes();
  bool turn_over = false;
  for (std::size_t i = 0, first = next_lane; i < lanes.size(); ++i) {
    Lane& lane = *lanes[(first + i) % lanes.size()];
    if (lane.deadline && *lane.deadline <= now && !turn_over) {
      act(lane, CURL_SOCKET_TIMEOUT, 0);
      next_lane = (first + i + 1) % lanes.size();
      turn_over = steady_now() >= now + kTurnMax;
    } else if (lane.deadline) {
      poller->arm(*lane.deadline);
    }
  }
}

}  // namespace postrider
