#include "engine/core/target_check.h"

#include <algorithm>
#include <string>
#include <string_view>

namespace postrider {
namespace {

Error denied(std::string message, std::string suggestion) {
  return Error{Errc::invalid, "TARGET_DENIED", std::move(message), std::move(suggestion)};
}

Error refused_port(const Url& url) {
  return denied("port " + std::to_string(url.port) + " is not one that requests are sent to",
                "use 443 or 8443, or let the operator add the port under [guard] ports");
}

Error told(const Url& url, std::string_view why) {
  if (why == "port") return refused_port(url);
  if (why == "plain_http") {
    return denied(url.host + " is not a loopback address that is allowed: plain http is refused there",
                  "use https");
  }
  return denied(url.host + " leads to an address that is refused: " + std::string(why),
                "use a public https address, or let the operator allow its range under [guard] allow");
}

// Of a URL as it is stored, which Url::without_query() wrote.
std::string_view host_of(std::string_view url) {
  url.remove_prefix(std::min(url.find("://") + 3, url.size()));
  if (url.starts_with('[')) return url.substr(1, std::min(url.find(']'), url.size()) - 1);
  return url.substr(0, url.find_first_of(":/"));
}

}  // namespace

std::optional<Error> too_many_at_host(const Url& url, const std::vector<const Endpoint*>& others,
                                      std::uint32_t most) {
  const auto there = std::count_if(others.begin(), others.end(), [&url](const Endpoint* other) {
    return host_of(other->def.url) == url.host;
  });
  if (most == 0 || there < static_cast<std::ptrdiff_t>(most)) return std::nullopt;
  return Error{Errc::invalid, "TOO_MANY_ENDPOINTS",
               "the tenant has " + std::to_string(there) + " endpoints at " + url.host + " already",
               "give one endpoint several types instead, or let the operator raise guard.endpoints_per_host"};
}

std::optional<Error> too_many_of_tenant(std::size_t others, std::uint32_t most) {
  if (most == 0 || others < most) return std::nullopt;
  return Error{
      Errc::invalid, "TOO_MANY_ENDPOINTS", "the tenant has " + std::to_string(others) + " endpoints already",
      "delete some, or let the operator raise the tenant's endpoints_max, or guard.endpoints_per_tenant"};
}

std::optional<Error> too_many_names_of_tenant(std::size_t names, std::uint32_t endpoints_max) {
  constexpr std::size_t kNamesMax = 10'000;
  if (names < std::max<std::size_t>(kNamesMax, std::size_t{2} * endpoints_max)) return std::nullopt;
  return Error{Errc::invalid, "TOO_MANY_ENDPOINTS",
               "the tenant has named " + std::to_string(names) + " endpoints, most of which it has deleted",
               "declare the endpoint under the id of a deleted one"};
}

bool is_exempt(const AddressPolicy& policy, const std::vector<IpAddress>& addresses) {
  return policy.rules().development && !addresses.empty() &&
         std::all_of(addresses.begin(), addresses.end(),
                     [&policy](const IpAddress& address) { return policy.is_allowed(address); });
}

std::optional<Error> target_refusal(const AddressPolicy& policy, const Url& url,
                                    const std::vector<IpAddress>& addresses) {
  for (const IpAddress& address : addresses) {
    if (const auto why = policy.refusal(address, url.port, url.scheme == "http")) return told(url, *why);
  }
  if (addresses.empty() && !policy.admits_port(url.port) && url.scheme != "http") return refused_port(url);
  return std::nullopt;
}

}  // namespace postrider
