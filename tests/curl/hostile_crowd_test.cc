// Two thousand hostile receivers at once, each another address, and some healthy ones among them: every
// attempt ends by its deadline and with its own code, memory stays below a bound, the healthy are answered
// throughout, and afterwards no descriptor is left.
#include "tests/curl/hostile_crowd.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/curl/client.h"

namespace postrider::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kHostile = 2'000, kHealthy = 20, kOfADearKind = 4;
// Only the deadline ends those that drip or are silent. Roomy, for a busy machine: a status must come first.
constexpr Millis kDeadline{8'000}, kNeverReached{30'000};
constexpr Millis kLate{5'000};  // how far behind it an outcome may come where 2,000 end at once
// In all, the crowd's own side included: 2,000 handles with their buffers, a third of them with TLS.
// Measured: 150 MiB; a header line without end takes libcurl's own 100 KiB before it is given up.
constexpr std::size_t kResidentBytesMax = 128 * 1024 * kHostile;
// Of CPU time; measured: 0.1 s, and without an end of its turn half a second and more.
constexpr Millis kPollMax{250};
constexpr std::size_t kDescriptors = 3 * (kHostile + kHealthy);

// What a receiver of this kind leads to. `ends_at_deadline`: nothing else ends it.
struct Kind {
  const char* name;
  Script script;
  std::int32_t status;
  AttemptError error;
  bool ends_at_deadline = false;
  bool is_dear = false;    // to play: a few of them will do
  bool long_body = false;  // the greatest there is: no buffer of the kernel takes it whole
};

const std::string kEnough(16'000, 'x');

// A deflated row of zeros that grows 158 fold: one literal, then copies of 258 bytes from one byte back (RFC
// 1951 §3.2.6, 13 bits each).
std::string gzip_bomb(std::size_t bytes) {
  std::string bomb("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);
  std::uint32_t held = 0;
  int bits = 0;
  const auto put = [&](std::uint32_t value, int count, bool high_bit_first) {
    for (int i = 0; i < count; ++i) {
      held |= ((value >> (high_bit_first ? count - 1 - i : i)) & 1U) << bits;
      if (++bits < 8) continue;
      bomb += static_cast<char>(held);
      held = 0;
      bits = 0;
    }
  };
  put(0b011, 3, false);       // the last block, fixed codes
  put(0b0011'0000, 8, true);  // a zero
  while (bomb.size() < bytes) {
    put(0b1100'0101, 8, true);  // 258 bytes
    put(0, 5, true);            // from one byte back
  }
  return bomb;
}

std::vector<Kind> plain_kinds() {
  using Reads = Script::Reads;
  const std::string ok = "HTTP/1.1 200 OK\r\n", chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const std::string bomb = gzip_bomb(60'000);
  const std::string bomb_head =
      ok + "Content-Encoding: gzip\r\nContent-Length: " + std::to_string(bomb.size()) + "\r\n\r\n";
  return {
      {"HeadersWithoutEnd",
       {.answer = ok, .piece = "a: b\r\nretry-after: 1\r\n"},
       0,
       AttemptError::headers_too_large},
      {"HeaderLineWithoutEnd", {.answer = ok + "x: ", .piece = kEnough}, 0, AttemptError::headers_too_large},
      {"StatusLineWithoutEnd",
       {.answer = "HTTP/1.1 200 ", .piece = kEnough},
       0,
       AttemptError::headers_too_large},
      {"InformationalWithoutEnd",
       {.piece = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"},
       0,
       AttemptError::headers_too_large},
      {"InformationalNowAndThen",
       {.piece = "HTTP/1.1 102 Processing\r\n\r\n", .piece_every_ticks = 6},
       0,
       AttemptError::timeout,
       true},
      {"BodyWithoutEnd", {.answer = ok + "\r\n", .piece = kEnough}, 200, AttemptError::body_too_large},
      {"ChunksWithoutEnd",
       {.answer = chunked, .piece = "9\r\nxxxxxxxxx\r\n"},
       200,
       AttemptError::body_too_large},
      {"ChunkExtensionWithoutEnd",
       {.answer = chunked + "1;", .piece = kEnough},
       200,
       AttemptError::body_broken,
       false,
       true},
      {"TrailersWithoutEnd",
       {.answer = chunked + "0\r\n", .piece = "x-more: and more\r\n"},
       200,
       AttemptError::body_too_large},
      {"Bomb", {.answer = bomb_head + bomb, .keeps = true}, 200, AttemptError::none},
      {"Silence", {}, 0, AttemptError::timeout, true},
      {"DrippingHead",
       {.answer = ok + "x: ", .piece = "y", .piece_every_ticks = 2},
       0,
       AttemptError::timeout,
       true},
      {"DrippingBody",
       {.answer = ok + "Content-Length: 9999\r\n\r\n", .piece = "y", .piece_every_ticks = 2},
       200,
       AttemptError::body_broken,
       true},
      {"DrippingAnswer",
       {.drips_output = true, .answer = ok + "x: " + kEnough},
       0,
       AttemptError::timeout,
       true},
      {"ReadsAByteASecond", {.reads = Reads::a_byte_a_second}, 0, AttemptError::timeout, true, false, true},
      {"ReadsNothing", {.reads = Reads::never}, 0, AttemptError::timeout, true, false, true},
      {"AnswersBeforeItReads",
       {.waits = false, .answer = ok + "\r\n", .reads = Reads::never},
       200,
       AttemptError::body_broken,
       true,
       true},
      {"ClosesAtOnce", {.waits = false, .closes = true}, 0, AttemptError::reset},
      {"ClosesUnderTheRequest", {.closes = true}, 0, AttemptError::reset},
      {"ClosesInTheHead", {.answer = ok + "x: ", .closes = true}, 0, AttemptError::malformed},
      {"ClosesInTheBody",
       {.answer = ok + "Content-Length: 9\r\n\r\nno", .closes = true},
       200,
       AttemptError::body_broken,
       false,
       true},
      {"ResetsUnderTheRequest", {.resets = true}, 0, AttemptError::reset},
  };
}

// Spoken to over TLS: `tls` holds a certificate for the names that are asked for, `stranger` for another.
std::vector<Kind> tls_kinds(SSL_CTX* tls, SSL_CTX* stranger) {
  const auto raw = [](std::string answer) { return Script{.raw = true, .answer = std::move(answer)}; };
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  Script half_a_record = raw(std::string("\x16\x03\x03\x40\x00", 5));
  half_a_record.piece = "x";
  half_a_record.piece_every_ticks = 1;
  Script warnings = raw("");
  warnings.piece = std::string("\x15\x03\x03\x00\x02\x01\x70", 7);
  Script cut_short = raw(std::string("\x16\x03\x03\x00\x50\x02\x00", 7));
  cut_short.closes = true;
  return {
      {"TlsSilence", {.raw = true}, 0, AttemptError::timeout, true},
      {"TlsDrippingHandshake", {.tls = tls, .drips_output = true}, 0, AttemptError::timeout, true},
      {"TlsHalfARecord", half_a_record, 0, AttemptError::timeout, true},
      {"TlsIsPlainHttp", raw("HTTP/1.1 400 Bad Request\r\n\r\n"), 0, AttemptError::tls},
      {"TlsRecordTooLong", raw(std::string("\x16\x03\x03\xff\xff", 5) + kEnough), 0, AttemptError::tls},
      {"TlsGarbageInARecord", raw(std::string("\x16\x03\x03\x00\x08garbage!", 13)), 0, AttemptError::tls},
      {"TlsWarningsWithoutEnd", warnings, 0, AttemptError::tls},
      {"TlsClosesInTheHandshake", cut_short, 0, AttemptError::tls},
      {"TlsOfAnother", {.tls = stranger}, 0, AttemptError::tls},
      {"TlsThenSilence", {.tls = tls}, 0, AttemptError::timeout, true},
      {"TlsTicketsWithoutEnd", {.tls = tls, .sends_tickets = true}, 0, AttemptError::reset, false, true},
      {"TlsHeadersWithoutEnd",
       {.tls = tls, .answer = ok, .piece = "a: b\r\n"},
       0,
       AttemptError::headers_too_large},
      {"TlsBodyWithoutEnd",
       {.tls = tls, .answer = ok + "\r\n", .piece = kEnough},
       200,
       AttemptError::body_too_large},
      {"TlsClosesInTheBody",
       {.tls = tls, .answer = ok + "Content-Length: 9\r\n\r\nhello", .closes = true},
       200,
       AttemptError::body_broken},
  };
}

std::size_t resident_bytes() {
  std::size_t whole = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> whole >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

bool raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur >= kDescriptors;
}

// One receiver: an address and a port of its own.
std::string address_of(std::size_t index) {
  return "127.9." + std::to_string(index / 250) + "." + std::to_string(index % 250 + 1);
}

class Crowd {
 public:
  void add(std::vector<Kind> kinds, bool secure) {
    for (Kind& kind : kinds) {
      const std::uint16_t port = crowd_.add(kind.script);
      played_.push_back({std::move(kind), port, secure});
    }
  }
  void start() {
    std::vector<std::size_t> many;
    for (std::size_t i = 0; i < played_.size(); ++i) {
      if (played_[i].kind.is_dear) {
        roster_.insert(roster_.end(), kOfADearKind, i);
      } else {
        many.push_back(i);
      }
    }
    while (roster_.size() < kHostile) roster_.push_back(many[roster_.size() % many.size()]);
    crowd_.start();
  }

  const Kind& kind_of(std::size_t index) const { return played_[roster_[index]].kind; }
  HttpRequest request(std::size_t index) const {
    const Played& played = played_[roster_[index]];
    const std::string address = address_of(index);
    const std::string host = played.secure ? "r" + std::to_string(index) + ".receiver.test" : address;
    HttpRequest request = request_to(
        (played.secure ? "https://" : "http://") + host + ":" + std::to_string(played.port) + "/hook",
        {address});
    request.body = played.kind.long_body ? long_body_ : short_body_;
    request.timeout = played.kind.ends_at_deadline ? kDeadline : kNeverReached;
    return request;
  }
  HostileCrowd& crowd() { return crowd_; }

 private:
  struct Played {
    Kind kind;
    std::uint16_t port;
    bool secure;
  };
  const std::shared_ptr<const std::string> short_body_ = std::make_shared<const std::string>(1024, 'x');
  const std::shared_ptr<const std::string> long_body_ = std::make_shared<const std::string>(256 * 1024, 'x');
  HostileCrowd crowd_;
  std::vector<Played> played_;
  std::vector<std::size_t> roster_;  // whom each receiver plays
};

// Asks each healthy receiver again as soon as it has answered, a little later, and keeps the longest silence.
class Healthy {
 public:
  Healthy(Client& client, std::uint16_t port) : client_(client), port_(port) {}

  void begin() {
    for (std::size_t i = 0; i < kHealthy; ++i) ask(i);
    last_answer_ = Clock::now();
  }
  bool take(std::uint64_t token, const Outcome& outcome) {
    const auto found = asked_.find(token);
    if (found == asked_.end()) return false;
    EXPECT_EQ(outcome.status, 204) << code_of(outcome.error);
    resting_.push_back(found->second);
    asked_.erase(found);
    ++answers_;
    longest_silence_ = std::max(longest_silence_, Clock::now() - last_answer_);
    last_answer_ = Clock::now();
    return true;
  }
  void ask_again() {
    for (const std::size_t index : std::exchange(resting_, {})) ask(index);
  }
  std::size_t under_way() const { return asked_.size(); }
  std::size_t answers() const { return answers_; }
  Clock::duration longest_silence() const { return longest_silence_; }

 private:
  void ask(std::size_t index) {
    const std::string address = address_of(kHostile + index);
    HttpRequest request = request_to("http://" + address + ":" + std::to_string(port_) + "/hook", {address});
    request.timeout = kNeverReached;
    asked_[client_.send(std::move(request))] = index;
  }
  Client& client_;
  std::uint16_t port_;
  std::map<std::uint64_t, std::size_t> asked_;
  std::vector<std::size_t> resting_;
  std::size_t answers_ = 0;
  Clock::time_point last_answer_;
  Clock::duration longest_silence_{0};
};

void meet_the_crowd() {
  const auto tls = trusted_authority().server("DNS:*.receiver.test");
  const auto stranger = trusted_authority().server("DNS:other.test");
  Crowd crowd;
  crowd.add(plain_kinds(), false);
  crowd.add(tls_kinds(tls.get(), stranger.get()), true);
  crowd.start();
  HostileCrowd well_behaved;
  const std::uint16_t healthy_port = well_behaved.add({.answer = "HTTP/1.1 204 OK\r\n\r\n", .keeps = true});
  well_behaved.start();
  Client client;
  Healthy healthy(client, healthy_port);
  const std::size_t resident_before = resident_bytes();
  std::size_t resident_most = resident_before;
  std::map<std::uint64_t, std::size_t> index_of;
  std::size_t ended = 0;
  std::map<std::string, std::size_t> wrong;
  client.then = [&](std::uint64_t token, const Outcome& outcome) {
    if (healthy.take(token, outcome)) return;
    ++ended;
    const Kind& kind = crowd.kind_of(index_of.at(token));
    const auto lasted = Millis(outcome.phases.total);
    if (outcome.status != kind.status || outcome.error != kind.error) {
      ++wrong[std::string(kind.name) + ": " + std::to_string(outcome.status) + " " +
              std::string(code_of(outcome.error))];
    } else if (kind.ends_at_deadline && (lasted < kDeadline - Millis(50) || lasted > kDeadline + kLate)) {
      ++wrong[std::string(kind.name) + ": after " + std::to_string(lasted.count()) + " ms"];
    }
  };
  for (std::size_t i = 0; i < kHostile; ++i) index_of[client.send(crowd.request(i))] = i;
  healthy.begin();
  auto next_look = Clock::now();
  client.run_until(
      [&] {
        if (Clock::now() >= next_look) {
          resident_most = std::max(resident_most, resident_bytes());
          if (ended < kHostile) healthy.ask_again();
          next_look = Clock::now() + Millis(50);
        }
        return ended == kHostile && healthy.under_way() == 0;
      },
      std::chrono::seconds(45));
  for (const auto& [what, count] : wrong) ADD_FAILURE() << what << ", " << count << " times";
  EXPECT_GE(crowd.crowd().connections(), kHostile) << "each is a receiver of its own";
  EXPECT_GE(healthy.answers(), 10 * kHealthy);
  EXPECT_LT(healthy.longest_silence(), kDeadline) << "they waited for the hanging ones";
  EXPECT_LT(resident_most - resident_before, kResidentBytesMax);
  EXPECT_EQ(client.transport->in_flight(), 0U);
  EXPECT_LT(client.longest_poll, kPollMax) << "the shard has other work too";
  testing::Test::RecordProperty("grew_mib", static_cast<int>((resident_most - resident_before) >> 20));
  testing::Test::RecordProperty("longest_poll_ms", static_cast<int>(client.longest_poll.count()));
}

TEST(HostileCrowd, OfTwoThousandIsHeldToDeadlinesAndMemoryWhileTheHealthyAreAnswered) {
  ASSERT_TRUE(raise_descriptor_limit())
      << "needs " << kDescriptors << " open files: raise the hard limit (ulimit -Hn)";
  const std::size_t before = open_descriptors();
  meet_the_crowd();
  EXPECT_EQ(open_descriptors(), before) << "descriptors have leaked";
}

// A receiver writes them faster than OpenSSL reads them, and OpenSSL would read on and on in one call.
TEST(HostileCrowd, ThatSendsTicketsInBulkDoesNotHoldTheThread) {
  const auto tls = trusted_authority().server("DNS:*.receiver.test");
  HostileCrowd crowd;
  const auto port = crowd.add({.tls = tls.get(), .sends_tickets = true, .ahead_bytes = 4 << 20});
  crowd.start();
  Client client;
  const auto token = client.send(request_to("https://r1.receiver.test:" + std::to_string(port) + "/hook"));
  client.run_until([&] { return !client.outcomes.empty(); });
  EXPECT_EQ(client.outcomes.at(token).status, 0);
  EXPECT_LT(client.longest_poll, Millis(50));
}

}  // namespace
}  // namespace postrider::test
