// A customer's headers on their way into a request.
#include <string>
#include <vector>

#include "engine/core/customer_headers.h"
#include "engine/curl/request_head.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

std::string_view take(std::string_view& rest) {
  if (rest.empty()) return {};
  const std::size_t length = static_cast<unsigned char>(rest.front());
  rest.remove_prefix(1);
  const std::string_view taken = rest.substr(0, length);
  rest.remove_prefix(taken.size());
  return taken;
}

Headers read(std::string_view bytes) {
  Headers headers;
  while (!bytes.empty()) {
    std::string name(take(bytes));
    headers.push_back({std::move(name), std::string(take(bytes))});
  }
  return headers;
}

// The lines between what is the URL's and what frames the body.
std::vector<std::string> lines(std::string_view head, std::size_t first) {
  std::vector<std::string> result;
  head.remove_prefix(first);
  for (auto end = head.find("\r\n"); end != std::string_view::npos; end = head.find("\r\n")) {
    result.emplace_back(head.substr(0, end));
    head.remove_prefix(end + 2);
  }
  result.resize(result.size() - 2);  // Content-Length, and the empty line
  return result;
}

bool is_clean(std::string_view line) {
  for (const char c : line) {
    if (c == '\r' || c == '\n' || c == '\0') return false;
  }
  return true;
}

}  // namespace

void headers(std::string_view bytes) {
  const Headers given = read(bytes);
  RequestHead head;
  head.set_url(Url{"https", "receiver.example", 443, "/", "", false});
  const std::size_t first = head.text().size();
  const bool goes_out = head.build(given, nullptr, 0);
  if (!goes_out && head.text().size() != first) broken("something of a refused head stands", bytes);
  const HeaderLines shared(given);
  if (shared.may_be_sent() != goes_out)
    broken("headers of an event and of a request are judged otherwise", bytes);
  const auto judged = check_customer_headers(given);
  if (!judged && (judged.error().message.empty() || judged.error().suggestion.empty()))
    broken("a refusal without message or suggestion", bytes);
  if (judged && !goes_out) broken("what may be declared may not be sent", bytes);
  if (!goes_out) return;
  const auto out = lines(head.text(), first);
  if (out.size() != given.size()) broken("other headers go out than were given", bytes);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const Header& header = given[i];
    if (!is_clean(out[i])) broken("a line end goes out", bytes);
    if (out[i] != header.name + ": " + header.value) broken("another line goes out", bytes);
    if (out[i].find(':') != header.name.size()) broken("the name ends elsewhere", bytes);
  }
}

}  // namespace postrider::fuzz
