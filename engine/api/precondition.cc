#include "engine/api/precondition.h"

#include <charconv>

namespace postrider {
namespace {

constexpr std::size_t kTagsMax = 32;

tl::unexpected<Error> unreadable() {
  return fail(Errc::invalid, "INVALID_REQUEST", "If-Match or If-None-Match cannot be read here",
              "write If-Match: with the ETag of a GET, quotes included, or If-None-Match: *");
}

std::string_view without_blanks(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// A tag that is none of ours is no revision that there is.
std::uint64_t revision_of(std::string_view tag) {
  std::uint64_t revision = 0;
  const auto [end, error] = std::from_chars(tag.data(), tag.data() + tag.size(), revision);
  return error == std::errc() && end == tag.data() + tag.size() ? revision : 0;
}

Result<std::vector<std::uint64_t>> revisions_of(std::string_view list) {
  std::vector<std::uint64_t> revisions;
  while (!list.empty()) {
    const auto comma = list.find(',');
    auto tag = without_blanks(list.substr(0, comma));
    const bool weak = tag.starts_with("W/");
    if (weak) tag.remove_prefix(2);
    if (tag.size() < 2 || tag.front() != '"' || tag.back() != '"' || revisions.size() == kTagsMax)
      return unreadable();
    tag = tag.substr(1, tag.size() - 2);
    if (tag.find('"') != std::string_view::npos) return unreadable();
    revisions.push_back(weak ? 0 : revision_of(tag));
    list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  }
  if (revisions.empty()) return unreadable();
  return revisions;
}

}  // namespace

Result<Precondition> precondition_of(const Call& call) {
  Precondition precondition;
  if (const auto* none = find_header(call.request.headers, "if-none-match")) {
    if (without_blanks(*none) != "*") return unreadable();
    precondition.absent = true;
  }
  const auto* match = find_header(call.request.headers, "if-match");
  if (!match) return precondition;
  precondition.any = without_blanks(*match) == "*";
  if (precondition.any) return precondition;
  auto revisions = revisions_of(*match);
  if (!revisions) return fail(revisions.error());
  precondition.revisions = std::move(*revisions);
  return precondition;
}

ApiResponse tagged(ApiResponse response, std::uint64_t revision) {
  response.headers.push_back({"ETag", '"' + std::to_string(revision) + '"'});
  return response;
}

}  // namespace postrider
