#include <algorithm>
#include <array>
#include <filesystem>

#include "engine/config/keys.h"
#include "engine/core/key_place.h"

// What no key can judge alone: what two keys must not say together, and what an environment forbids.
namespace postrider::config {
namespace {

Result<void> refuse(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_CONFIGURATION", std::move(message), std::move(suggestion));
}

// " (line 4)", or nothing for a default.
std::string place_of(const Config& config, const std::string& key) {
  const auto found = config.sources.find(key);
  return found == config.sources.end() ? "" : " (" + found->second + ")";
}

std::filesystem::path resolved(const std::string& path) {
  std::error_code ignored;
  auto whole = std::filesystem::weakly_canonical(std::filesystem::absolute(path, ignored), ignored);
  return whole.has_filename() ? whole : whole.parent_path();
}

bool lies_within(const std::filesystem::path& inner, const std::filesystem::path& outer) {
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

std::string property(const Config& config, std::string_view name) {
  for (const auto& entry : config.kafka) {
    if (entry.name != name) continue;
    std::string text(entry.value.reveal());
    std::transform(text.begin(), text.end(), text.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return text;
  }
  return {};
}

Result<void> check_directories(Config& config) {
  const auto data = resolved(config.data);
  if (config.log.kind == LogPlace::Kind::embedded) {
    const auto log = resolved(config.log.directory);
    if (lies_within(log, data) || lies_within(data, log))
      return refuse(
          "log" + place_of(config, "log") + ": the log's directory and `data` lie within each other",
          "give the embedded log a directory beside `data`: the view can be deleted, the log must not");
    if (config.production())
      config.warnings.push_back(
          "the embedded log serves one machine and has no replication: a lost disk is lost events");
  }
  if (!config.keys.file().empty() && lies_within(resolved(config.keys.file()), data))
    return refuse(
        "keys.service" + place_of(config, "keys.service") + ": the key file lies within `data`",
        "keep it elsewhere: the view can be deleted, and without the key file every secret is gone");
  return {};
}

Result<void> check_key_service(const Config& config, const KeyServiceConfig& service,
                               const std::string& table) {
  const auto where = table + ".service" + place_of(config, table + ".service");
  const auto place = parse_key_place(service.service);
  if (!place) return refuse(where + " " + place.error().message, place.error().suggestion);
  if (auto fit = check_key_place(*place, config.development()); !fit)
    return refuse(where + " " + fit.error().message, fit.error().suggestion);
  if (place->kind != KeyPlace::Kind::file && service.credential.empty())
    return refuse(where + ": that key service wants a credential, and there is none",
                  "set " + table + ".credential = \"file:PATH\": Vault's token, or the PKCS#11 token's PIN");
  return {};
}

Result<void> check_key_services(const Config& config) {
  if (auto done = check_key_service(config, config.keys, "keys"); !done) return done;
  for (const auto& [tenant, service] : config.tenant_keys)
    if (auto done = check_key_service(config, service, "keys.tenants." + tenant); !done) return done;
  for (const auto& [name, service] : config.former_keys)
    if (auto done = check_key_service(config, service, "keys.former." + name); !done) return done;
  return {};
}

Result<void> check_kafka(Config& config) {
  if (config.log.kind != LogPlace::Kind::kafka) {
    if (!config.kafka.empty()) config.warnings.push_back("[kafka] is not used: the log is embedded");
    return {};
  }
  const auto protocol = property(config, "security.protocol");
  const bool tls = protocol == "ssl" || protocol == "sasl_ssl";
  const auto verify = property(config, "enable.ssl.certificate.verification");
  const bool unverified = verify == "false" || verify == "f" || verify == "0" ||
                          property(config, "ssl.endpoint.identification.algorithm") == "none";
  if (config.production() && !tls)
    return refuse("kafka.security.protocol" + place_of(config, "kafka.security.protocol") +
                      ": Kafka would be spoken in plain text, and this is production",
                  "set [kafka] security.protocol = \"SSL\" or \"SASL_SSL\"");
  if (config.production() && unverified)
    return refuse(
        "[kafka] the brokers' certificates would not be verified, and this is production",
        "leave enable.ssl.certificate.verification and ssl.endpoint.identification.algorithm alone");
  if (!config.development() && !tls) config.warnings.push_back("Kafka is spoken in plain text");
  return {};
}

Result<void> check_listener(const Config& config) {
  const bool tls = !config.tls.cert.empty();
  if (tls != !config.tls.key.empty())
    return refuse(std::string("[tls] has a ") + (tls ? "cert and no key" : "key and no cert"),
                  "give both tls.cert and tls.key, or neither");
  if (!tls && !config.listen.loopback())
    return refuse("listen" + place_of(config, "listen") + ": " + format_listen_address(config.listen) +
                      " is not loopback, and tokens would cross the network in plain text",
                  "give [tls] cert and key, or listen on 127.0.0.1");
  if (!tls && config.production())
    return refuse("[tls] is empty: the HTTP API would be plain, and this is production",
                  "give [tls] cert and key; api.probes serves health and metrics in plain HTTP on loopback");
  if (!tls && !config.tls.client_ca.empty())
    return refuse(
        "tls.client_ca" + place_of(config, "tls.client_ca") + " is set, and [tls] has no cert and key",
        "give tls.cert and tls.key too");
  if (config.api.probes && !config.api.probes->loopback())
    return refuse("api.probes" + place_of(config, "api.probes") + ": " +
                      format_listen_address(*config.api.probes) + " is not loopback",
                  "write 127.0.0.1:PORT: it is plain HTTP and asks for no token");
  return {};
}

Result<void> check_oidc(Config& config) {
  auto& oidc = config.oidc;
  if (oidc.issuer.empty()) return {};
  const bool https = oidc.issuer.starts_with("https://") && oidc.issuer.size() > 8;
  const bool loopback =
      oidc.issuer.starts_with("http://127.0.0.1:") || oidc.issuer.starts_with("http://localhost:");
  if (!https && !(loopback && config.development()))
    return refuse("oidc.issuer" + place_of(config, "oidc.issuer") + ": " + oidc.issuer + " is not https",
                  "write https://…; plain http is for a loopback address in development");
  if (oidc.audience.empty())
    return refuse("oidc.audience is not set: tokens that the issuer made for others would be taken",
                  "set it to what your issuer writes into `aud` of tokens for Postrider");
  if (oidc.role_words.empty())
    return refuse("oidc.roles is empty: the issuer's tokens would open nothing",
                  "write what values of " + oidc.roles_claim + " mean, as in [\"platform-team=admin\"]");
  for (const auto& word : oidc.role_words)
    if (auto added = add_role(word, oidc.roles); !added) return added;
  return {};
}

void warn_of_wide_ranges(Config& config) {
  if (!config.production()) return;
  for (const auto& range : config.guard.allow)
    if (range.prefix_bits < 8 || AddressPolicy().refusal(range.base) == "loopback")
      config.warnings.push_back("guard.allow lets customers' URLs reach " + format_ip(range.base) + "/" +
                                std::to_string(range.prefix_bits));
}

}  // namespace

bool is_secret_property(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kNames = {"ssl.key.pem", "ssl_key",
                                                             "sasl.oauthbearer.config", "ssl.keystore.pem"};
  return name.find("password") != std::string_view::npos || name.find("secret") != std::string_view::npos ||
         std::find(kNames.begin(), kNames.end(), name) != kNames.end();
}

std::string_view reserved_property(std::string_view name) {
  if (name == "bootstrap.servers" || name == "metadata.broker.list") return "write the brokers in `log`";
  static constexpr std::array<std::string_view, 13> kOurs = {"group.id",
                                                             "group.instance.id",
                                                             "enable.auto.commit",
                                                             "auto.commit.enable",
                                                             "enable.auto.offset.store",
                                                             "auto.offset.reset",
                                                             "partition.assignment.strategy",
                                                             "acks",
                                                             "request.required.acks",
                                                             "transactional.id",
                                                             "partitioner",
                                                             "enable.idempotence",
                                                             "enable.partition.eof"};
  if (std::find(kOurs.begin(), kOurs.end(), name) != kOurs.end())
    return "leave it out: what is promised about deliveries rests on the engine's own setting";
  return {};
}

Result<void> check_rules(Config& config) {
  if (auto done = check_directories(config); !done) return done;
  if (auto done = check_key_services(config); !done) return done;
  if (auto done = check_kafka(config); !done) return done;
  if (auto done = check_listener(config); !done) return done;
  if (auto done = check_oidc(config); !done) return done;
  warn_of_wide_ranges(config);
  return {};
}

}  // namespace postrider::config
