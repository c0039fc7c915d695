#include "engine/core/egress_proxy.h"

#include "engine/core/url.h"

namespace postrider {

// What stands in the text may be a password: none of it is repeated.
Result<EgressProxy> parse_egress_proxy(std::string_view text) {
  const auto url = parse_url(text);
  const auto address = url ? parse_ip(url->host) : std::nullopt;
  if (url && address) {
    const EgressProxy proxy{*address, url->port};
    if (const std::string right = format_egress_proxy(proxy); text == right || text == right + "/")
      return proxy;
  }
  return fail(Errc::invalid, "INVALID_PROXY", "names no proxy by its address and port",
              "write \"http://10.0.0.5:3128\": an address, not a name; a proxy that is spoken to without TLS "
              "and without a password");
}

std::string format_egress_proxy(const EgressProxy& proxy) {
  const std::string ip = format_ip(proxy.address);
  return "http://" + (proxy.address.v6 ? "[" + ip + "]" : ip) + ":" + std::to_string(proxy.port);
}

}  // namespace postrider
