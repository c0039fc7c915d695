#include "engine/core/key_place.h"

#include <algorithm>

#include "engine/core/address_policy.h"
#include "engine/core/url.h"

namespace postrider {
namespace {

tl::unexpected<Error> refused(std::string what, std::string right) {
  return fail(Errc::invalid, "INVALID_KEY_SERVICE", std::move(what), std::move(right));
}

tl::unexpected<Error> no_vault_key(const char* what) {
  return refused(what,
                 "write \"vault:https://HOST:PORT/MOUNT/KEY\", as in "
                 "vault:https://vault.internal:8200/transit/postrider");
}

bool is_path_part(std::string_view part) {
  return !part.empty() && part.front() != '.' && std::all_of(part.begin(), part.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.';
  });
}

// "transit", or deeper: "kv/team-a/transit".
bool is_mount(std::string_view mount) {
  while (true) {
    const auto slash = mount.find('/');
    if (!is_path_part(mount.substr(0, slash))) return false;
    if (slash == std::string_view::npos) return true;
    mount.remove_prefix(slash + 1);
  }
}

bool is_loopback(const std::string& host) {
  if (host == "localhost" || host == "::1") return true;
  const auto ip = parse_ip(host);
  return ip && !ip->v6 && ip->bytes[0] == 127;
}

Result<KeyPlace> parse_vault(std::string_view address, KeyPlace place) {
  const auto url = parse_url(address);
  if (!url) return refused("names no Vault: " + url.error().message, url.error().suggestion);
  if (!url->query.empty()) return no_vault_key("names a Vault with a query");
  const auto slash = url->path.rfind('/');
  if (slash == 0 || slash == std::string::npos) return no_vault_key("names a Vault without mount and key");
  place.kind = KeyPlace::Kind::vault;
  place.mount = url->path.substr(1, slash - 1);
  place.key = url->path.substr(slash + 1);
  if (!is_mount(place.mount) || !is_path_part(place.key)) return no_vault_key("names no key of a Vault");
  const std::string host = url->host_is_ipv6 ? "[" + url->host + "]" : url->host;
  place.origin = url->scheme + "://" + host + ":" + std::to_string(url->port);
  place.plain_http = url->scheme == "http";
  place.loopback = is_loopback(url->host);
  return place;
}

}  // namespace

Result<KeyPlace> parse_key_place(std::string_view text) {
  KeyPlace place;
  place.text = text;
  if (text.starts_with("file:") && text.size() > 5) {
    place.kind = KeyPlace::Kind::file;
    place.path = text.substr(5);
    return place;
  }
  if (text.starts_with("vault:")) return parse_vault(text.substr(6), std::move(place));
  if (text.starts_with("pkcs11:") && text.size() > 7) {
    place.kind = KeyPlace::Kind::pkcs11;
    return place;
  }
  return refused("names no key service",
                 "write \"file:PATH\", \"vault:https://HOST:PORT/MOUNT/KEY\" or "
                 "\"pkcs11:token=…;object=…?module-path=…\"");
}

Result<void> check_key_place(const KeyPlace& place, bool development) {
  if (!place.plain_http || (place.loopback && development)) return {};
  return refused("would be spoken to in plain text, token and keys included",
                 "write vault:https://…; plain http is for a loopback address in development");
}

}  // namespace postrider
