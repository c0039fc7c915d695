// The API's reader of requests: however the bytes are cut, it reads the same requests.
#include <string>
#include <vector>

#include "engine/api/http_parser.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

constexpr std::size_t kBodyMax = 4096;

// All requests of a connection as one text, and how it ended.
std::string read(std::string_view bytes, std::size_t piece, std::string_view whole) {
  RequestParser parser({});
  std::string seen;
  std::size_t at = 0;
  while (true) {
    using State = RequestParser::State;
    if (parser.state() == State::head_done) {
      parser.begin_body(kBodyMax);
      continue;
    }
    if (parser.state() == State::failed) {
      const auto& failure = parser.failure();
      if (failure.status < 400 || failure.status > 599 || failure.code.empty() || failure.message.empty())
        broken("a request is refused without status, code or message", whole);
      return seen + "failed " + std::to_string(failure.status) + failure.code;
    }
    if (parser.state() == State::done) {
      const auto request = parser.take();
      if (request.body.size() > kBodyMax) broken("a body beyond what is allowed", whole);
      seen += request.method + " " + request.path + "?" + request.query + "\n";
      for (const auto& header : request.headers) {
        if (header.value.find_first_of(std::string_view("\r\n\0", 3)) != std::string::npos)
          broken("a header's value holds a line end or NUL", whole);
        seen += header.name + ":" + header.value + "\n";
      }
      seen += request.body + "\n";
      continue;
    }
    if (at >= bytes.size()) break;
    const auto taken = parser.feed(bytes.substr(at, piece));
    at += taken;
    if (taken == 0 && (parser.state() == State::head || parser.state() == State::body))
      broken("the reader takes nothing and asks for nothing", whole);
  }
  return seen + (parser.idle() ? "idle" : "in the middle");
}

}  // namespace

void http(std::string_view bytes) {
  const auto whole = read(bytes, bytes.size() + 1, bytes);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}})
    if (read(bytes, piece, bytes) != whole) broken("what is read depends on how the bytes were cut", bytes);
}

}  // namespace postrider::fuzz
