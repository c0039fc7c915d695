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
// libcurl reads and tells nobody of: session tickets, a proxy's answer.
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
        idle_max(options.connection_idle_max),
        poller(std::move(the_poller)),
        trust(std::move(the_trust)),
        own(options.own ? std::move(options.own) : own_addresses),
        context{.guard = ConnectGuard(std::move(options.policy)),
                .trust = trust.get(),
                .connection_lifetime_max = options.connection_lifetime_max,
                .poller = poller.get(),
                .proxy = options.proxy,
                .proxy_text = options.proxy ? format_egress_proxy(*options.proxy) : std::string()},
        origins(context,
                {.header_bytes_max = options.response_header_bytes_max,
                 .body_bytes_max = options.response_body_bytes_max},
                {.hosts_per_lane = std::max<std::size_t>(1, options.hosts_per_multi),
                 .connections_max = options.connections_kept_max,
                 .handles_max = options.idle_handles_max,
                 .idle_max = options.connection_idle_max}) {}

  void start_what_waits();
  bool may_start_another() const { return !waiting.empty() && active.size() < connections_max; }
  void start(Waiting&& waiting);
  void open(Transfer& transfer, PollTime now);
  void launched(Transfer& transfer);
  void talk(Transfer& transfer, PollTime now);
  void act(Lane& lane, curl_socket_t socket, int events);
  void collect(Lane& lane);
  void opened(Transfer& transfer, CURLcode code);
  void take_lost();
  void on_ready(const Poller::Ready& one);
  void on_ready(Transfer& transfer, std::uint32_t events);
  void end(Transfer& transfer);
  void finish(Transfer& transfer, Outcome outcome);
  void tell(std::uint64_t token, Outcome outcome);
  void run_timers();
  void run_multi_timers(PollTime now);
  void run_deadlines(PollTime now);
  void run_news();

  void look_at_own(PollTime now);

  const std::size_t connections_max;
  const Millis idle_max;
  std::unique_ptr<Poller> poller;
  TrustStore trust;
  std::function<std::vector<IpAddress>()> own;
  PollTime own_looked_at_again{};
  ConnectionContext context;
  TransportListener* listener = nullptr;  // while poll() or start() runs
  OriginTable origins;
  std::vector<std::unique_ptr<Transfer>> active;  // being opened, or talking
  std::optional<PollTime> next_deadline;          // of those that talk; or earlier
  std::deque<Waiting> waiting;                    // beyond connections_max
  std::vector<Lane*> with_news;                   // lanes in which connections were begun
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

// Everything sent since the last time is started together: what has a connection is said at once, and libcurl
// passes over each lane once for all that need one. A pass may end requests, which makes room for others:
// again.
void CurlTransport::Impl::start_what_waits() {
  const PollTime turn_ends = steady_now() + kTurnMax;
  do {
    while (may_start_another()) {
      Waiting next = std::move(waiting.front());
      waiting.pop_front();
      start(std::move(next));
      if (steady_now() >= turn_ends) break;
    }
    run_news();
  } while (may_start_another() && steady_now() < turn_ends);
}

void CurlTransport::Impl::look_at_own(PollTime now) {
  if (now < own_looked_at_again) return;
  own_looked_at_again = now + kOwnEvery;
  if (context.guard.take_own(own())) ++context.guard_generation;
}

void CurlTransport::Impl::start(Waiting&& next) {
  const PollTime now = steady_now();
  look_at_own(now);
  auto owned = origins.acquire(next.request.to, now);
  if (!owned) return tell(next.token, failed(AttemptError::connect));
  Transfer& transfer = *owned;
  transfer.active_index = active.size();
  active.push_back(std::move(owned));
  const AttemptError refusal = transfer.accept(std::move(next.request), next.token, next.queued, now);
  if (refusal != AttemptError::none) {
    transfer.let_go();
    return finish(transfer, failed(refusal));
  }
  if (transfer.connection().stands()) return talk(transfer, now);
  open(transfer, now);
}

void CurlTransport::Impl::open(Transfer& transfer, PollTime now) {
  origins.make_room();
  if (!transfer.open(*origins.lane_for(*transfer.origin), transfer.origin->preferred, now)) {
    return end(transfer);
  }
  launched(transfer);
}

void CurlTransport::Impl::launched(Transfer& transfer) {
  Lane& lane = *transfer.connection().lane();
  if (std::exchange(lane.has_news, true)) return;
  with_news.push_back(&lane);
}

void CurlTransport::Impl::talk(Transfer& transfer, PollTime now) {
  if (listener != nullptr && !listener->may_still_send(transfer.token())) {
    transfer.withhold();
    return end(transfer);
  }
  if (!transfer.talk(now)) return end(transfer);
  if (next_deadline && *next_deadline <= transfer.deadline()) return;
  next_deadline = transfer.deadline();
  poller->arm(*next_deadline);
}

void CurlTransport::Impl::run_news() {
  while (!with_news.empty()) {
    for (Lane* lane : std::exchange(with_news, {})) {
      lane->has_news = false;
      act(*lane, CURL_SOCKET_TIMEOUT, 0);
    }
  }
}

// --- in --------------------------------------------------------------------------------------------------

void CurlTransport::Impl::act(Lane& lane, curl_socket_t socket, int events) {
  int running = 0;
  // libcurl sets the timer anew after a timeout, but says nothing when none is left.
  if (socket == CURL_SOCKET_TIMEOUT) lane.deadline.reset();
  curl_multi_socket_action(lane.multi.get(), socket, events, &running);
  collect(lane);
  if (lane.deadline) poller->arm(*lane.deadline);
  take_lost();
}

void CurlTransport::Impl::collect(Lane& lane) {
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(lane.multi.get(), &left)) {
    if (message->msg != CURLMSG_DONE) continue;
    const CURLcode code = message->data.result;
    SocketOwner* owner = nullptr;
    curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &owner);
    opened(*static_cast<Transfer*>(owner), code);
  }
}

void CurlTransport::Impl::opened(Transfer& transfer, CURLcode code) {
  const PollTime now = steady_now();
  if (code == CURLE_OK && transfer.connection().opened()) return talk(transfer, now);
  if (transfer.open_next(code, now)) return launched(transfer);
  end(transfer);
}

void CurlTransport::Impl::take_lost() {
  while (!context.lost.empty()) {
    auto& transfer = static_cast<Transfer&>(context.lost.back()->owner());
    context.lost.pop_back();
    if (!transfer.is_talking()) continue;  // it rests: seen when it is taken
    transfer.lose();
    end(transfer);
  }
}

void CurlTransport::Impl::on_ready(const Poller::Ready& one) {
  if (poller->owner(one.socket) != one.owner) return;
  auto* owner = static_cast<SocketOwner*>(one.owner);
  auto* transfer = owner->is_multi ? nullptr : static_cast<Transfer*>(owner);
  if ((transfer == nullptr || transfer->connection().may_flood()) &&
      poller->floods(one.socket, kAnswerWireBytesMax)) {
    ::shutdown(one.socket, SHUT_RDWR);
  }
  if (transfer != nullptr) return on_ready(*transfer, one.events);
  act(*static_cast<Lane*>(owner), one.socket, select_bits(one.events));
}

void CurlTransport::Impl::on_ready(Transfer& transfer, std::uint32_t events) {
  if (!transfer.is_talking()) {
    if (!transfer.connection().is_still_good()) origins.close(transfer);
    return;
  }
  if (!transfer.on_ready(events)) end(transfer);
}

void CurlTransport::Impl::end(Transfer& transfer) {
  Outcome outcome = transfer.conclude(steady_now());
  transfer.origin->preferred = outcome.status != 0 ? transfer.connection().pin() : std::nullopt;
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
  const PollTime now = steady_now();
  origins.release(std::move(owned), now);
  poller->arm(now + idle_max);
}

void CurlTransport::Impl::tell(std::uint64_t token, Outcome outcome) {
  if (finished.empty() && !polling) poller->ring();
  finished.push_back({token, std::move(outcome)});
}

void CurlTransport::cancel_all() {
  Impl& impl = *impl_;
  const PollTime now = steady_now();
  for (const auto& next : impl.waiting) impl.tell(next.token, failed(AttemptError::ambiguous));
  impl.waiting.clear();
  while (!impl.active.empty()) {
    Transfer& transfer = *impl.active.back();
    impl.finish(transfer, transfer.cut_off(now));
  }
}

std::size_t CurlTransport::poll(TransportListener& listener) {
  Impl& impl = *impl_;
  impl.polling = true;
  impl.listener = &listener;
  const PollTime turn_ends = steady_now() + kTurnMax;
  do {
    const bool timer_went_off = impl.poller->wait(impl.ready);
    for (const Poller::Ready& one : impl.ready) impl.on_ready(one);
    if (timer_went_off) impl.run_timers();
  } while (impl.ready.size() == Poller::kReadyMax && steady_now() < turn_ends);
  impl.start_what_waits();
  impl.delivering.clear();
  impl.delivering.swap(impl.finished);
  for (Impl::Finished& one : impl.delivering) listener.on_outcome(one.token, std::move(one.outcome));
  impl.start_what_waits();  // what the listener sent
  impl.polling = false;
  impl.listener = nullptr;
  // What is left over, and what ended at once of it all: for the next poll().
  if (!impl.finished.empty() || impl.may_start_another()) impl.poller->ring();
  return impl.delivering.size();
}

void CurlTransport::start(TransportListener& listener) {
  impl_->listener = &listener;
  impl_->start_what_waits();
  impl_->listener = nullptr;
  if (impl_->may_start_another()) impl_->poller->ring();
}

void CurlTransport::Impl::run_timers() {
  const PollTime now = steady_now();
  run_multi_timers(now);
  run_deadlines(now);
  if (const auto next = origins.drop_old(now)) poller->arm(*next);
}

// Begins behind the lane where the last turn ended.
void CurlTransport::Impl::run_multi_timers(PollTime now) {
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

// All of them are looked at, but only when the earliest of a while ago is due: nearly always it has ended by
// then, and the next is fifteen seconds ahead.
void CurlTransport::Impl::run_deadlines(PollTime now) {
  if (next_deadline && *next_deadline <= now) {
    next_deadline.reset();
    for (std::size_t i = active.size(); i-- > 0;) {
      Transfer& transfer = *active[i];
      if (!transfer.is_talking()) continue;
      if (transfer.deadline() > now) {
        next_deadline = std::min(next_deadline.value_or(transfer.deadline()), transfer.deadline());
        continue;
      }
      transfer.time_out();
      end(transfer);
    }
  }
  if (next_deadline) poller->arm(*next_deadline);
}

}  // namespace postrider
