#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/address_policy.h"
#include "engine/core/egress_proxy.h"
#include "engine/core/ids.h"
#include "engine/core/result.h"
#include "engine/core/retry_policy.h"
#include "engine/core/scope.h"
#include "engine/core/secret.h"
#include "engine/core/time.h"

// What the operator decides: read once at start from a TOML file and POSTRIDER_… variables, validated whole,
// and never changed again. Each key is declared once, in keys.cc, with its reader, its printer and its
// sentence; the fields here hold the defaults. Anything unknown, misspelt or out of range is refused by name
// and line, because a setting that is silently ignored is found only when it is needed.
namespace postrider {

// Where the log lies: "kafka://host:port,host:port" or "embedded:DIR".
struct LogPlace {
  enum class Kind { none, kafka, embedded };
  Kind kind = Kind::none;
  std::string brokers;    // kafka: "host:port,host:port"
  std::string directory;  // embedded
};
Result<LogPlace> parse_log_place(std::string_view text);
std::string format_log_place(const LogPlace& place);

// An address to listen on: an IP literal or "localhost", and a port. Port 0: any free one.
struct ListenAddress {
  std::string host = "127.0.0.1";  // an IPv6 literal without brackets
  std::uint16_t port = 8080;
  bool loopback() const;
};
Result<ListenAddress> parse_listen_address(std::string_view text);  // "127.0.0.1:8080", "[::1]:0"
std::string format_listen_address(const ListenAddress& address);

// A librdkafka property, its reference resolved.
struct KafkaProperty {
  std::string name;  // "sasl.password"
  Secret value;
  std::string reference;  // "env:NAME" or "file:PATH" as configured; empty: given literally
  bool secret = false;    // never printed
};

// The service that wraps the tenants' keys, and what it wants to see of us.
struct KeyServiceConfig {
  std::string service;      // see core/key_place.h
  std::string credential;   // "env:NAME" or "file:PATH": a Vault's token, a PKCS#11 token's PIN
  Secret credential_value;  // of env:NAME; a file is read whenever it is needed
  std::string ca_file;      // of a Vault's private authority; empty: the system's
  // PATH of a file service; empty: it is another.
  std::string file() const { return service.starts_with("file:") ? service.substr(5) : std::string(); }
};

struct Config {
  Environment environment;  // required
  LogPlace log;             // required
  std::string data;         // required: holds view/, which may be deleted while the daemon is stopped
  ListenAddress listen;
  std::uint32_t shards = 1;  // of this process: threads, each with partitions of its own
  bool tenant_from_key = false;
  std::string log_level = "info";

  KeyServiceConfig keys;  // its service is required
  // [keys.tenants.TENANT]: key services that tenants brought. [keys.former.NAME]: those that wrapped before,
  // and only open until `postrider-ops keys rewrap` is done.
  std::map<std::string, KeyServiceConfig> tenant_keys, former_keys;
  struct {
    Millis rotate_after{0};  // keys.rotate_after: a tenant's key of that age gets a successor; 0: never
  } rotation;
  struct {
    std::vector<IpRange> allow;
    std::vector<PortRange> ports;  // beside 443 and 8443
    std::optional<EgressProxy> proxy;
    std::uint32_t endpoints_per_host = 100;  // of one tenant; 0: any number
    std::uint32_t endpoints_per_tenant = 10'000;
    bool challenge_tenants = false;
  } guard;
  std::vector<KafkaProperty> kafka;  // by name
  struct {
    std::string cert, key;  // PEM files
    std::string client_ca;  // PEM file: clients of the API need a certificate of its authorities
  } tls;
  struct {
    std::string issuer;  // empty: there is none, and only tokens of ours are taken
    std::string audience, ca_file;
    std::string roles_claim = "roles";
    std::map<std::string, Scopes> roles;  // of a value of that claim
    std::vector<std::string> role_words;  // as configured: "VALUE=ROLE"
    std::string tenant_claim;
    Millis keys_kept = std::chrono::hours(1);
  } oidc;
  struct {
    std::uint32_t partitions = 4;  // of `events`, when the embedded log is first made
  } embedded;
  struct {
    std::uint64_t memory_bytes = 256ull << 20;
    std::uint64_t endpoint_queue_bytes = 32ull << 20;
    std::uint32_t window = 24000;
  } limits;
  struct {
    Millis timeout = std::chrono::seconds(15);
    Millis lifetime_max = kLifetimeMax;
    bool retry_client_errors = false;
    Millis repeat_window = std::chrono::hours(24);
    std::string ca_file;  // empty: the system's
  } delivery;
  struct {
    Millis ttl = std::chrono::hours(24 * 30);
  } history;
  struct {
    RetryPolicy standard;  // key `retry.default`: of endpoints that name none
  } retry;
  struct {
    Millis timeout = std::chrono::seconds(10);
  } drain;
  struct {
    std::optional<ListenAddress> probes;  // loopback: /healthz, /readyz and /metrics in plain HTTP
    std::uint32_t connections = 4096;
    Millis request_timeout = std::chrono::seconds(30);
    Millis idle_timeout = std::chrono::seconds(120);
    std::uint32_t tenant_token_rate = 100, platform_token_rate = 0, address_rate = 100;  // a second; 0: any
    std::uint32_t failed_authentications = 30;                                           // a minute; 0: any
  } api;

  // Variables that an env:NAME refers to: they hold secrets.
  std::vector<std::string> secret_variables;
  // Where each value came from: "line 4", "POSTRIDER_LISTEN". A key that is not here has its default.
  std::map<std::string, std::string> sources;
  // Sentences for the log: allowed, but worth a look.
  std::vector<std::string> warnings;

  bool development() const { return environment.str() == "development"; }
  bool production() const { return environment.str() == "production"; }
};

// The process's variables, by name.
using Variables = std::map<std::string, std::string>;
Variables variables_of(const char* const* environment_block);  // `environ`

// `file` empty: variables only. Errc::invalid with code INVALID_CONFIGURATION; the message names the key and
// the line or variable, never a value that may be secret. Files that values refer to (file:PATH) are read
// here; the key file and those of [tls] are looked at (KEY_FILE_MISSING, KEY_FILE_PERMISSIONS, …).
Result<Config> load(const std::string& file, const Variables& variables);

// The effective configuration as TOML, secrets absent, each value with its source.
std::string print(const Config& config);

// .env.example: every variable with its sentence and default.
std::string env_example();

}  // namespace postrider
