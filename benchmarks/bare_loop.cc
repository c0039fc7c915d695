// The least that signed deliveries can cost over libcurl: what the engine is compared with. One thread, one
// epoll, one multi (or, over many hosts, several: libcurl's cost grows with the hosts of a multi); every easy
// handle belongs to one address for ever, with its URL, its options and its header list set once; a delivery
// changes only bytes in place (id, time, signature) and keeps its socket's registration. The HMAC is keyed
// beforehand. It knows no log, no retry, no guard; it counts 2xx.
//
//   bench_bare_loop --count N [--warm-up N] [--concurrency N] [--in-flight N] [--urls-per-multi N]
//                   [--ca FILE] URL…
//   → {"warm":4000}, then waits for a line on stdin or its end: who measures the receiver looks at it now
//   → {"deliveries":80000,"seconds":2.1,"cpu_seconds":1.4,"failed":0}
#include <curl/curl.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kBodyBytes = 1024;
constexpr std::string_view kIdHeader = "webhook-id: msg_0000000000000000000000";
constexpr std::string_view kTimeHeader = "webhook-timestamp: 0000000000";
constexpr std::string_view kSignatureHeader =
    "webhook-signature: v1,00000000000000000000000000000000000000000000";

struct Loop;

// One address's pre-keyed HMAC.
class Mac {
 public:
  explicit Mac(std::string_view key) {
    static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
    context_ = EVP_MAC_CTX_new(algorithm);
    std::array<char, 7> digest{"SHA256"};
    const std::array<OSSL_PARAM, 2> params{
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), 0),
        OSSL_PARAM_construct_end()};
    EVP_MAC_init(context_, reinterpret_cast<const unsigned char*>(key.data()), key.size(), params.data());
  }
  void sign(std::string_view prefix, std::string_view body, std::array<unsigned char, 32>& code) {
    EVP_MAC_init(context_, nullptr, 0, nullptr);
    EVP_MAC_update(context_, reinterpret_cast<const unsigned char*>(prefix.data()), prefix.size());
    EVP_MAC_update(context_, reinterpret_cast<const unsigned char*>(body.data()), body.size());
    std::size_t written = 0;
    EVP_MAC_final(context_, code.data(), &written, code.size());
  }

 private:
  EVP_MAC_CTX* context_ = nullptr;
};

// A multi of its own on the common epoll.
struct Lane {
  Loop* loop = nullptr;
  CURLM* multi = curl_multi_init();
  std::chrono::steady_clock::time_point deadline;
  bool has_deadline = false;
};

struct Slot {
  Loop* loop = nullptr;
  Lane* lane = nullptr;
  CURL* easy = nullptr;
  Mac* mac = nullptr;
  std::string id{kIdHeader}, time{kTimeHeader}, signature{kSignatureHeader};
  std::deque<std::string> rest;
  std::deque<curl_slist> list;
};

struct Loop {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  std::deque<Lane> lanes;
  std::vector<std::uint32_t> registered, wanted;  // by socket
  std::vector<Lane*> lane_of;                     // by socket
  std::deque<Slot*> idle;                         // the one that has rested longest comes next

  std::string body = "{\"padding\":\"" + std::string(kBodyBytes - 14, 'x') + "\"}";
  std::uint64_t started = 0, wanted_in_all = 0, delivered = 0, failed = 0;
  std::int64_t now_seconds = 0;
};

int on_socket(CURL*, curl_socket_t socket, int what, void* self, void*) {
  auto& lane = *static_cast<Lane*>(self);
  Loop& loop = *lane.loop;
  const auto index = static_cast<std::size_t>(socket);
  if (index >= loop.wanted.size()) {
    loop.wanted.resize(index + 64);
    loop.registered.resize(index + 64);
    loop.lane_of.resize(index + 64);
  }
  loop.lane_of[index] = &lane;
  // A connection at rest stays registered: it is used again at once.
  loop.wanted[index] = what == CURL_POLL_REMOVE
                           ? 0u
                           : ((what & CURL_POLL_IN) != 0 ? static_cast<std::uint32_t>(EPOLLIN) : 0u) |
                                 ((what & CURL_POLL_OUT) != 0 ? static_cast<std::uint32_t>(EPOLLOUT) : 0u);
  if (loop.wanted[index] == 0 || loop.wanted[index] == loop.registered[index]) return 0;
  epoll_event event{};
  event.events = loop.wanted[index];
  event.data.fd = socket;
  epoll_ctl(loop.epoll, loop.registered[index] == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, socket, &event);
  loop.registered[index] = loop.wanted[index];
  return 0;
}

int on_close(void* self, curl_socket_t socket) {
  auto& loop = *static_cast<Loop*>(self);
  const auto index = static_cast<std::size_t>(socket);
  if (index < loop.registered.size()) loop.registered[index] = loop.wanted[index] = 0;
  return close(socket);
}

int on_timer(CURLM*, long milliseconds, void* self) {
  auto& lane = *static_cast<Lane*>(self);
  lane.has_deadline = milliseconds >= 0;
  lane.deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::max(0l, milliseconds));
  return 0;
}

std::size_t swallow(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

void add_header(Slot& slot, std::string& text) {
  slot.list.push_back({text.data(), nullptr});
  if (slot.list.size() > 1) slot.list[slot.list.size() - 2].next = &slot.list.back();
}

void prepare(Slot& slot, Loop& loop, Lane& lane, const std::string& url, const std::string& ca, Mac& mac) {
  slot.loop = &loop;
  slot.lane = &lane;
  slot.mac = &mac;
  slot.easy = curl_easy_init();
  slot.rest = {"Content-Type: application/json",
               "ce-specversion: 1.0",
               "ce-id: 1b1f3c6e-6a0f-4d8b-9f57-3a1f0c6e2d11-1",
               "ce-source: /benchmark",
               "ce-type: order.created",
               "ce-sentat: 1760000000000000",
               "User-Agent: Postrider/0.1",
               "Expect:"};
  for (std::string* text : {&slot.id, &slot.time, &slot.signature}) add_header(slot, *text);
  for (std::string& text : slot.rest) add_header(slot, text);
  CURL* easy = slot.easy;
  curl_easy_setopt(easy, CURLOPT_PRIVATE, &slot);
  curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
  curl_easy_setopt(easy, CURLOPT_POST, 1L);
  curl_easy_setopt(easy, CURLOPT_PROXY, "");
  curl_easy_setopt(easy, CURLOPT_POSTFIELDS, loop.body.c_str());
  curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(loop.body.size()));
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, &slot.list.front());
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &swallow);
  curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, 15000L);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, &on_close);
  curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, &loop);
  if (!ca.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, ca.c_str());
}

// Writes id, time and signature into the headers, in place.
void stamp(Slot& slot) {
  Loop& loop = *slot.loop;
  char* id = slot.id.data() + slot.id.size() - 22;
  std::snprintf(id, 23, "%022llx", static_cast<unsigned long long>(loop.started));
  char* time = slot.time.data() + slot.time.size() - 10;
  std::snprintf(time, 11, "%010lld", static_cast<long long>(loop.now_seconds));
  std::string prefix;
  prefix.reserve(48);
  prefix.append(id - 4, 26).append(1, '.').append(time, 10).append(1, '.');
  std::array<unsigned char, 32> code{};
  slot.mac->sign(prefix, loop.body, code);
  EVP_EncodeBlock(reinterpret_cast<unsigned char*>(slot.signature.data() + slot.signature.size() - 44),
                  code.data(), 32);
}

void start_next(Loop& loop) {
  if (loop.started == loop.wanted_in_all || loop.idle.empty()) return;
  Slot& slot = *loop.idle.front();
  loop.idle.pop_front();
  ++loop.started;
  stamp(slot);
  curl_multi_add_handle(slot.lane->multi, slot.easy);
}

void collect(Lane& lane) {
  Loop& loop = *lane.loop;
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(lane.multi, &left)) {
    CURL* easy = message->easy_handle;
    const CURLcode result = message->data.result;
    long status = 0;
    Slot* slot = nullptr;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &slot);
    curl_multi_remove_handle(lane.multi, easy);
    ++(result == CURLE_OK && status / 100 == 2 ? loop.delivered : loop.failed);
    loop.idle.push_back(slot);
    start_next(loop);
  }
}

int wait_ms(const Loop& loop) {
  const auto now = std::chrono::steady_clock::now();
  std::int64_t wait = 1000;
  for (const Lane& lane : loop.lanes) {
    if (!lane.has_deadline) continue;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(lane.deadline - now).count();
    wait = std::clamp<std::int64_t>(left, 0, wait);
  }
  return static_cast<int>(wait);
}

void serve(Loop& loop, const epoll_event& event) {
  const auto index = static_cast<std::size_t>(event.data.fd);
  if (loop.wanted[index] == 0) {
    epoll_ctl(loop.epoll, EPOLL_CTL_DEL, event.data.fd, nullptr);
    loop.registered[index] = 0;
    return;
  }
  int running = 0;
  const int bits = ((event.events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_IN : 0) |
                   ((event.events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0);
  curl_multi_socket_action(loop.lane_of[index]->multi, event.data.fd, bits, &running);
}

void run_timers(Loop& loop) {
  const auto now = std::chrono::steady_clock::now();
  int running = 0;
  for (Lane& lane : loop.lanes) {
    if (!lane.has_deadline || lane.deadline > now) continue;
    lane.has_deadline = false;
    curl_multi_socket_action(lane.multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect(lane);
  }
}

void run(Loop& loop) {
  std::array<epoll_event, 256> events{};
  while (loop.delivered + loop.failed < loop.wanted_in_all) {
    const int count = epoll_wait(loop.epoll, events.data(), static_cast<int>(events.size()), wait_ms(loop));
    loop.now_seconds =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    for (int i = 0; i < count; ++i) serve(loop, events[static_cast<std::size_t>(i)]);
    for (Lane& lane : loop.lanes) collect(lane);
    run_timers(loop);
  }
}

void deliver(Loop& loop, std::uint64_t count, std::size_t in_flight) {
  loop.started = loop.delivered = loop.failed = 0;
  loop.wanted_in_all = count;
  for (std::size_t i = 0; i < in_flight; ++i) start_next(loop);
  run(loop);
}

double cpu_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto of = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return of(used.ru_utime) + of(used.ru_stime);
}

}  // namespace

int main(int count, char** words) {
  std::uint64_t deliveries = 10'000;
  std::uint64_t warm_up = 0;
  std::size_t concurrency = 4;
  std::size_t in_flight = 0;
  std::size_t urls_per_multi = 0;
  std::string ca;
  std::vector<std::string> urls;
  CLI::App app("The least that signed deliveries can cost over libcurl.");
  app.add_option("--count", deliveries);
  app.add_option("--warm-up", warm_up);
  app.add_option("--concurrency", concurrency, "deliveries on their way at once, per URL")
      ->check(CLI::PositiveNumber);
  app.add_option("--in-flight", in_flight,
                 "deliveries on their way in all; 0: as many as --concurrency lets");
  app.add_option("--urls-per-multi", urls_per_multi, "0: one multi for all");
  app.add_option("--ca", ca);
  app.add_option("urls", urls)->required();
  CLI11_PARSE(app, count, words);

  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  curl_global_init(CURL_GLOBAL_DEFAULT);
  Loop loop;
  if (urls_per_multi == 0) urls_per_multi = urls.size();
  if (in_flight == 0) in_flight = urls.size() * concurrency;
  for (std::size_t first = 0; first < urls.size(); first += urls_per_multi) {
    Lane& lane = loop.lanes.emplace_back();
    lane.loop = &loop;
    curl_multi_setopt(lane.multi, CURLMOPT_SOCKETFUNCTION, &on_socket);
    curl_multi_setopt(lane.multi, CURLMOPT_SOCKETDATA, &lane);
    curl_multi_setopt(lane.multi, CURLMOPT_TIMERFUNCTION, &on_timer);
    curl_multi_setopt(lane.multi, CURLMOPT_TIMERDATA, &lane);
    curl_multi_setopt(lane.multi, CURLMOPT_MAXCONNECTS, static_cast<long>(urls_per_multi * concurrency * 2));
  }
  std::deque<Mac> macs;
  std::deque<Slot> slots;
  for (const std::string& url : urls) macs.emplace_back("key of " + url + std::string(16, 'k'));
  for (std::size_t i = 0; i < urls.size() * concurrency; ++i) {
    const std::size_t url = i % urls.size();
    Slot& slot = slots.emplace_back();
    prepare(slot, loop, loop.lanes[url / urls_per_multi], urls[url], ca, macs[url]);
    loop.idle.push_back(&slot);
  }
  loop.now_seconds =
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  deliver(loop, warm_up, in_flight);
  std::printf("{\"warm\":%llu}\n", static_cast<unsigned long long>(loop.delivered));
  std::fflush(stdout);
  for (int read = 0; read != '\n' && read != EOF;) read = std::getchar();
  const auto begin = std::chrono::steady_clock::now();
  const double cpu = cpu_seconds();
  deliver(loop, deliveries, in_flight);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  std::printf("{\"deliveries\":%llu,\"seconds\":%.3f,\"cpu_seconds\":%.3f,\"failed\":%llu}\n",
              static_cast<unsigned long long>(loop.delivered), seconds, cpu_seconds() - cpu,
              static_cast<unsigned long long>(loop.failed));
  return loop.failed == 0 ? 0 : 1;
}
