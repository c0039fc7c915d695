#include "engine/curl/cares_resolver.h"

#include <ares.h>
#include <netinet/in.h>

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/curl/answer_cache.h"
#include "engine/curl/connect_guard.h"
#include "engine/curl/poller.h"

namespace postrider {

namespace {

constexpr std::size_t kHostBytesMax = 253;  // RFC 1035 §2.3.4, as text
// A quarter of resolve()'s time for a server's first chance and, doubled by c-ares, half for its second.
constexpr int kFirstTryShare = 4;
constexpr int kTries = 2;

PollTime steady_now() {
  return std::chrono::steady_clock::now();
}

Error not_found(const std::string& host) {
  return Error{Errc::not_found, "DNS_NOT_FOUND", "there is no address for the name " + host,
               "check the spelling and the name's DNS records"};
}

Error no_answer(const std::string& host, const std::string& why) {
  return Error{Errc::unavailable, "DNS_FAILED", "the name " + host + " cannot be resolved: " + why,
               "check that the DNS servers of /etc/resolv.conf can be reached"};
}

Error too_many(const std::string& host) {
  return Error{Errc::overloaded, "DNS_OVERLOADED", "too many names are being resolved to take " + host,
               "try again in some seconds"};
}

// The addresses in c-ares's order (RFC 6724), and the lowest TTL on the way to them. /etc/hosts: TTL 0.
Resolved read(const ares_addrinfo& found) {
  Resolved resolved;
  int ttl_seconds = INT32_MAX;
  for (const auto* alias = found.cnames; alias != nullptr; alias = alias->next) {
    ttl_seconds = std::min(ttl_seconds, alias->ttl);
  }
  for (const auto* node = found.nodes; node != nullptr; node = node->ai_next) {
    const auto address = address_of(*node->ai_addr);
    if (!address) continue;
    ttl_seconds = std::min(ttl_seconds, node->ai_ttl);
    const auto& known = resolved.addresses;
    if (std::find(known.begin(), known.end(), *address) == known.end())
      resolved.addresses.push_back(*address);
  }
  resolved.ttl = Millis(std::int64_t{1000} * std::max(ttl_seconds, 0));
  return resolved;
}

}  // namespace

struct CaresResolver::Impl {
  // A name being asked for. It lives until c-ares calls back, even when nobody waits any more.
  struct Lookup {
    struct Waiter {
      std::uint64_t token;
      PollTime deadline;
    };
    Impl* impl;
    std::string host;
    std::vector<Waiter> waiters;
  };
  struct Answer {
    std::uint64_t token;
    Result<Resolved> result;
  };

  Impl(Options the_options, std::unique_ptr<Poller> the_poller)
      : options(std::move(the_options)), poller(std::move(the_poller)), cache(options.names_cached_max) {}
  ~Impl() {
    if (channel != nullptr) ares_destroy(channel);  // calls back with ARES_EDESTRUCTION
  }

  int open_channel();
  Millis first_try() const { return std::max(Millis(1), options.timeout / kFirstTryShare); }
  void begin(const std::string& host, std::uint64_t token, PollTime now);
  void answer(std::uint64_t token, Result<Resolved> result);
  void give_up_waiting(PollTime now);
  void arm();
  static void on_socket(void* self, ares_socket_t socket, int readable, int writable);
  static void on_answer(void* lookup, int status, int timeouts, ares_addrinfo* found);

  const Options options;
  std::unique_ptr<Poller> poller;
  AnswerCache cache;
  std::unordered_map<std::string, std::unique_ptr<Lookup>> lookups;
  PollTime next_deadline = PollTime::max();  // of a waiter; may be early
  std::vector<Answer> answers, delivering;
  std::vector<Poller::Ready> ready;
  ares_channel channel = nullptr;  // its end calls back into all of the above: ~Impl ends it first
};

Result<std::unique_ptr<CaresResolver>> CaresResolver::create() {
  return create(Options{});
}

Result<std::unique_ptr<CaresResolver>> CaresResolver::create(Options options) {
  static const int library = ares_library_init(ARES_LIB_INIT_ALL);
  auto poller = Poller::open();
  if (!poller) return fail(poller.error());
  auto impl = std::make_unique<Impl>(std::move(options), std::move(*poller));
  const int status = library != ARES_SUCCESS ? library : impl->open_channel();
  if (status != ARES_SUCCESS) {
    return fail(Errc::unavailable, "SERVICE_UNAVAILABLE",
                std::string("c-ares cannot start: ") + ares_strerror(status),
                "check /etc/resolv.conf and the configured DNS servers");
  }
  return std::unique_ptr<CaresResolver>(new CaresResolver(std::move(impl)));
}

CaresResolver::CaresResolver(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CaresResolver::~CaresResolver() = default;
int CaresResolver::wake_fd() const {
  return impl_->poller->fd();
}

int CaresResolver::Impl::open_channel() {
  ares_options wish{};
  char lookup_order[] = "fb";  // /etc/hosts, then DNS
  wish.flags = ARES_FLAG_NOALIASES | ARES_FLAG_NOSEARCH;
  wish.timeout = static_cast<int>(first_try().count());
  wish.tries = kTries;
  wish.lookups = lookup_order;
  wish.domains = nullptr;
  wish.ndomains = 0;  // no search list: "api" must not become "api.corp.example"
  wish.sock_state_cb = &Impl::on_socket;
  wish.sock_state_cb_data = this;
  const int status = ares_init_options(&channel, &wish,
                                       ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
                                           ARES_OPT_LOOKUPS | ARES_OPT_DOMAINS | ARES_OPT_SOCK_STATE_CB);
  if (status != ARES_SUCCESS) {
    channel = nullptr;
    return status;
  }
  return options.servers.empty() ? ARES_SUCCESS
                                 : ares_set_servers_ports_csv(channel, options.servers.c_str());
}

void CaresResolver::Impl::on_socket(void* self, ares_socket_t socket, int readable, int writable) {
  auto& impl = *static_cast<Impl*>(self);
  const std::uint32_t events = (readable != 0 ? EPOLLIN : 0U) | (writable != 0 ? EPOLLOUT : 0U);
  if (events == 0) {
    impl.poller->forget(socket);  // c-ares is about to close it
  } else {
    impl.poller->watch(socket, events, nullptr);
  }
}

void CaresResolver::resolve(const std::string& host, std::uint64_t token) {
  Impl& impl = *impl_;
  const PollTime now = steady_now();
  if (const auto literal = parse_ip(host)) return impl.answer(token, Resolved{{*literal}, kAnswerTtlMax});
  if (host.empty() || host.size() > kHostBytesMax || host.find('\0') != std::string::npos) {
    return impl.answer(token, fail(not_found(host.substr(0, kHostBytesMax))));
  }
  if (const auto* known = impl.cache.find(host, now)) return impl.answer(token, *known);
  impl.begin(host, token, now);
}

void CaresResolver::Impl::begin(const std::string& host, std::uint64_t token, PollTime now) {
  const PollTime deadline = now + options.timeout;
  next_deadline = std::min(next_deadline, deadline);
  const auto found = lookups.find(host);
  if (found != lookups.end()) {
    found->second->waiters.push_back({token, deadline});
    return poller->arm(next_deadline);
  }
  if (lookups.size() >= options.lookups_max) return answer(token, fail(too_many(host)));
  auto owned = std::make_unique<Lookup>(Lookup{this, host, {{token, deadline}}});
  Lookup* lookup = owned.get();
  lookups.emplace(host, std::move(owned));
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  ares_getaddrinfo(channel, lookup->host.c_str(), nullptr, &hints, &Impl::on_answer,
                   lookup);        // may call back now
  poller->arm(now + first_try());  // not arm(): c-ares would look through all its queries
}

void CaresResolver::Impl::on_answer(void* lookup_pointer, int status, int, ares_addrinfo* found) {
  auto& lookup = *static_cast<Lookup*>(lookup_pointer);
  Impl& impl = *lookup.impl;
  Result<Resolved> result = fail(not_found(lookup.host));
  if (status == ARES_SUCCESS && found != nullptr) {
    Resolved resolved = read(*found);
    if (!resolved.addresses.empty()) result = std::move(resolved);
  } else if (status != ARES_ENOTFOUND && status != ARES_ENODATA && status != ARES_EBADNAME) {
    result = fail(no_answer(lookup.host, ares_strerror(status)));
  }
  if (found != nullptr) ares_freeaddrinfo(found);
  if (status == ARES_EDESTRUCTION) return;  // the resolver ends, and frees the lookups itself
  impl.cache.put(lookup.host, result, steady_now());
  if (result) result->ttl = std::clamp(result->ttl, kAnswerTtlMin, kAnswerTtlMax);
  for (const auto& waiter : lookup.waiters) impl.answer(waiter.token, result);
  const std::string host = lookup.host;
  impl.lookups.erase(host);
}

void CaresResolver::Impl::answer(std::uint64_t token, Result<Resolved> result) {
  if (answers.empty()) poller->ring();
  answers.push_back({token, std::move(result)});
}

std::size_t CaresResolver::poll(ResolverListener& listener) {
  Impl& impl = *impl_;
  const bool timer_went_off = impl.poller->wait(impl.ready);
  for (const Poller::Ready& one : impl.ready) {
    const bool writable = (one.events & EPOLLOUT) != 0;
    const bool readable = (one.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0;  // errors are read
    ares_process_fd(impl.channel, readable ? one.socket : ARES_SOCKET_BAD,
                    writable ? one.socket : ARES_SOCKET_BAD);
  }
  if (timer_went_off) ares_process_fd(impl.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  impl.give_up_waiting(steady_now());
  impl.arm();
  impl.delivering.clear();
  impl.delivering.swap(impl.answers);
  for (Impl::Answer& one : impl.delivering) listener.on_resolved(one.token, std::move(one.result));
  return impl.delivering.size();
}

void CaresResolver::Impl::give_up_waiting(PollTime now) {
  if (now < next_deadline) return;
  next_deadline = PollTime::max();
  for (const auto& [host, lookup] : lookups) {
    auto& waiters = lookup->waiters;
    const auto late = std::stable_partition(waiters.begin(), waiters.end(),
                                            [now](const auto& waiter) { return waiter.deadline > now; });
    for (auto waiter = late; waiter != waiters.end(); ++waiter) {
      answer(waiter->token, fail(no_answer(host, "no server answered in time")));
    }
    waiters.erase(late, waiters.end());
    if (!waiters.empty()) next_deadline = std::min(next_deadline, waiters.front().deadline);
  }
}

void CaresResolver::Impl::arm() {
  if (next_deadline != PollTime::max()) poller->arm(next_deadline);
  timeval left{};
  if (ares_timeout(channel, nullptr, &left) == nullptr) return;
  poller->arm(steady_now() + std::chrono::seconds(left.tv_sec) + std::chrono::microseconds(left.tv_usec));
}

}  // namespace postrider
