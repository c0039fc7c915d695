#include "engine/daemon/key_services.h"

#include <functional>
#include <utility>

#include "engine/core/key_place.h"
#include "engine/crypto/file_key_service.h"
#include "engine/crypto/private_file.h"
#include "engine/pkcs11/token_key_service.h"
#include "engine/vault/vault_key_service.h"

namespace postrider {
namespace {

constexpr crypto::PrivateFileKind kCredential{"KEY_CREDENTIAL", "credential of the key service",
                                              "write the key service's token, or its PIN, into that file "
                                              "(mode 0600), or name another in keys.credential"};

// One line of printable characters: it goes into a header, or to a token as it is.
Result<Secret> line_of(const Secret& text) {
  std::string_view line = text.reveal();
  while (line.ends_with('\n') || line.ends_with('\r') || line.ends_with(' ')) line.remove_suffix(1);
  bool good = !line.empty();
  for (const char c : line)
    good &= static_cast<unsigned char>(c) > 0x20 && static_cast<unsigned char>(c) < 0x7f;
  if (good) return Secret(std::string(line));
  return fail(Errc::unavailable, "KEY_CREDENTIAL_INVALID",
              "the credential of the key service is not one line of text",
              std::string(kCredential.if_missing));
}

Result<Secret> read_credential(const std::string& path) {
  auto text = crypto::read_private_file(path, kCredential);
  if (text) return line_of(*text);
  Error error = std::move(text.error());
  error.errc = Errc::unavailable;  // whoever mends the file mends the service
  return fail(std::move(error));
}

std::function<Result<Secret>()> credential_of(const KeyServiceConfig& config) {
  if (config.credential.starts_with("file:"))
    return [path = config.credential.substr(5)] { return read_credential(path); };
  // Shared, since functions are copied and secrets are not.
  const auto value = std::make_shared<const Secret>(config.credential_value.clone());
  return [value] { return line_of(*value); };
}

}  // namespace

Result<std::unique_ptr<KeyService>> open_key_service(const KeyServiceConfig& config, bool development) {
  auto place = parse_key_place(config.service);
  if (!place) return fail(place.error());
  if (auto fit = check_key_place(*place, development); !fit) {
    Error error = fit.error();
    error.message = "the key service " + error.message;
    return fail(std::move(error));
  }
  if (place->kind == KeyPlace::Kind::file) return crypto::open_file_key_service(place->path);
  if (config.credential.empty())
    return fail(Errc::invalid, "KEY_CREDENTIAL_MISSING",
                "that key service wants a credential, and none is named",
                std::string(kCredential.if_missing));
  if (place->kind == KeyPlace::Kind::vault)
    return open_vault_key_service(
        {.place = *std::move(place), .token = credential_of(config), .ca_file = config.ca_file});
  return open_token_key_service({.uri = place->text, .pin = credential_of(config)});
}

Result<OpenedKeyServices> open_key_services(const Config& config) {
  OpenedKeyServices opened;
  opened.owned.reserve(1 + config.tenant_keys.size() + config.former_keys.size());
  auto common = open_key_service(config.keys, config.development());
  if (!common) return fail(common.error());
  opened.owned.push_back(*std::move(common));
  opened.services = std::make_unique<crypto::KeyServices>(*opened.owned.front());
  for (const auto& [tenant, own] : config.tenant_keys) {
    auto service = open_key_service(own, config.development());
    if (!service) return fail(service.error());
    opened.owned.push_back(*std::move(service));
    opened.services->add_own(TenantId(tenant), *opened.owned.back());
  }
  for (const auto& [name, former] : config.former_keys) {
    auto service = open_key_service(former, config.development());
    if (!service) return fail(service.error());
    opened.owned.push_back(*std::move(service));
    opened.services->add_former(*opened.owned.back());
  }
  return opened;
}

}  // namespace postrider
