#include "engine/api/cursor.h"

#include <algorithm>
#include <array>
#include <vector>

#include "engine/core/bytes.h"

namespace postrider {
namespace {

constexpr std::size_t kSealBytes = 8;

// RFC 4648 §5 without padding: it stands in a URL as it is.
std::string url_safe(std::string text) {
  while (text.ends_with('=')) text.pop_back();
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

std::optional<std::string> from_url_safe(std::string text) {
  if (text.find_first_of("+/=") != std::string::npos) return std::nullopt;
  std::replace(text.begin(), text.end(), '-', '+');
  std::replace(text.begin(), text.end(), '_', '/');
  text.append((4 - text.size() % 4) % 4, '=');
  return base64_decode(text);
}

std::optional<std::string> given_of(const Call& call) {
  const auto found = call.query.find("cursor");
  return found == call.query.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace

Error invalid_cursor() {
  return {Errc::invalid, "INVALID_CURSOR", "the cursor is not one of this list with these filters",
          "give `next_cursor` of the page before as it is, with the same filters; without a cursor the list "
          "begins anew"};
}

Cursor::Cursor(const Call& call) : given_(given_of(call)) {
  const auto add = [this](std::string_view text) {
    list_.append(std::to_string(text.size())).append(":").append(text);
  };
  add(call.request.path);
  add(call.grant.tenant.str());
  for (const auto& [name, value] : call.query) {
    if (name == "cursor" || name == "limit") continue;
    add(name);
    add(value);
  }
}

std::string Cursor::seal_of(std::string_view place) const {
  const std::array<std::string_view, 2> parts = {list_, place};
  return std::string(hash128(parts).view().substr(0, kSealBytes));
}

std::string Cursor::next(std::string_view place) const {
  return url_safe(base64_encode(seal_of(place) + std::string(place)));
}

Result<std::optional<std::string>> Cursor::place() const {
  if (!given_) return std::optional<std::string>();
  const auto bytes = from_url_safe(*given_);
  if (!bytes || bytes->size() < kSealBytes) return fail(invalid_cursor());
  auto place = bytes->substr(kSealBytes);
  if (bytes->substr(0, kSealBytes) != seal_of(place) || next(place) != *given_) return fail(invalid_cursor());
  return std::optional(std::move(place));
}

Result<LogPlace> walk_from(const Call& call) {
  const auto given = Cursor(call).place();
  if (!given) return fail(given.error());
  if (!*given) return LogPlace();
  auto place = parse_place(**given);
  if (!place || place->empty()) return fail(invalid_cursor());
  return *std::move(place);
}

}  // namespace postrider
