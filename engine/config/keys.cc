#include "engine/config/keys.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <numeric>

#include "engine/core/key_place.h"

namespace postrider::config {
namespace {

Read wrong(std::string what, std::string right) {
  return tl::unexpected<Refusal>(Refusal{std::move(what), std::move(right)});
}

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const auto comma = text.find(',');
    if (auto part = trimmed(text.substr(0, comma)); !part.empty()) parts.push_back(std::move(part));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return parts;
}

std::string toml_list(const std::vector<std::string>& parts) {
  std::string out = "[";
  for (const auto& part : parts) out += (out.size() > 1 ? ", " : "") + quoted(part);
  return out + "]";
}

// Readers by type. Each takes the field as a generic lambda, so that one serves reading and printing.

template <class Field, class Parse, class Format>
Key parsed_key(std::string_view name, std::string_view help, Field field, Parse parse, Format format) {
  return {name, help, false,
          [field, parse](Config& config, const Value& value) -> Read {
            if (value.kind != Value::Kind::text) return wrong("is not a string", "put it in quotes");
            auto result = parse(value.text);
            if (!result) return wrong(result.error().message, result.error().suggestion);
            field(config) = std::move(*result);
            return {};
          },
          [field, format](const Config& config) { return format(field(config)); }};
}

template <class Field>
Key text_key(std::string_view name, std::string_view help, Field field) {
  return parsed_key(
      name, help, field, [](const std::string& text) { return Result<std::string>(text); },
      [](const std::string& text) { return text.empty() ? std::string() : quoted(text); });
}

template <class Field>
Key boolean_key(std::string_view name, std::string_view help, Field field) {
  return {name, help, false,
          [field](Config& config, const Value& value) -> Read {
            const bool yes = value.kind == Value::Kind::boolean ? value.boolean
                                                                : value.from_variable && value.text == "true";
            const bool no = value.kind == Value::Kind::boolean ? !value.boolean
                                                               : value.from_variable && value.text == "false";
            if (!yes && !no) return wrong("is neither true nor false", "write true or false, without quotes");
            field(config) = yes;
            return {};
          },
          [field](const Config& config) { return std::string(field(config) ? "true" : "false"); }};
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> number_of(const Value& value) {
  if (value.kind == Value::Kind::integer && value.integer >= 0)
    return static_cast<std::uint64_t>(value.integer);
  return value.from_variable ? whole_number(value.text) : std::nullopt;
}

template <class Field>
Key number_key(std::string_view name, std::string_view help, std::uint64_t least, std::uint64_t most,
               Field field) {
  const auto limits = "write a whole number from " + std::to_string(least) + " to " + std::to_string(most);
  return {name, help, false,
          [=](Config& config, const Value& value) -> Read {
            const auto number = number_of(value);
            if (!number) return wrong("is not a whole number", limits);
            if (*number < least || *number > most) return wrong("is out of range", limits);
            field(config) = static_cast<std::decay_t<decltype(field(config))>>(*number);
            return {};
          },
          [field](const Config& config) { return std::to_string(field(config)); }};
}

constexpr std::uint64_t kKiB = 1024, kMiB = kKiB * 1024, kGiB = kMiB * 1024;

std::optional<std::uint64_t> byte_count(std::string_view text) {
  std::uint64_t unit = 1;
  for (const auto& [suffix, bytes] :
       {std::pair{std::string_view("KiB"), kKiB}, {"MiB", kMiB}, {"GiB", kGiB}}) {
    if (!text.ends_with(suffix)) continue;
    text.remove_suffix(suffix.size());
    unit = bytes;
  }
  const auto number = whole_number(text);
  if (!number || *number > std::numeric_limits<std::uint64_t>::max() / unit) return std::nullopt;
  return *number * unit;
}

template <class Field>
Key bytes_key(std::string_view name, std::string_view help, std::uint64_t least, std::uint64_t most,
              Field field) {
  const std::string right = "write bytes, or a number with KiB, MiB or GiB as in \"256MiB\"; from " +
                            std::to_string(least / kMiB) + "MiB to " + std::to_string(most / kGiB) + "GiB";
  return {name, help, false,
          [=](Config& config, const Value& value) -> Read {
            auto bytes = number_of(value);
            if (!bytes && value.kind == Value::Kind::text) bytes = byte_count(value.text);
            if (!bytes) return wrong("is no number of bytes", right);
            if (*bytes < least || *bytes > most) return wrong("is out of range", right);
            field(config) = *bytes;
            return {};
          },
          [field](const Config& config) { return std::to_string(field(config)); }};
}

template <class Field>
Key duration_key(std::string_view name, std::string_view help, Millis least, Millis most, Field field) {
  return {name, help, false,
          [=](Config& config, const Value& value) -> Read {
            const auto right = "write a number with ms, s, m, h or d, in quotes, from \"" +
                               format_duration(least) + "\" to \"" + format_duration(most) + "\"";
            const auto span =
                value.kind == Value::Kind::text ? parse_duration(value.text) : std::optional<Millis>();
            if (!span) return wrong("is no duration", right);
            if (*span < least || *span > most) return wrong("is out of range", right);
            field(config) = *span;
            return {};
          },
          [field](const Config& config) { return quoted(format_duration(field(config))); }};
}

// A list, or one string; in a variable: by comma. `parse` gives the field's value or an Error.
template <class Field, class Parse, class Format>
Key list_key(std::string_view name, std::string_view help, Field field, Parse parse, Format format) {
  return {name, help, false,
          [=](Config& config, const Value& value) -> Read {
            std::vector<std::string> parts;
            if (value.kind == Value::Kind::list)
              parts = value.list;
            else if (value.kind == Value::Kind::text && value.from_variable)
              parts = split_list(value.text);
            else if (value.kind == Value::Kind::text)
              parts = {value.text};
            else
              return wrong("is not a list of strings", "write [\"…\", \"…\"]");
            auto result = parse(parts);
            if (!result) return wrong(result.error().message, result.error().suggestion);
            field(config) = std::move(*result);
            return {};
          },
          [=](const Config& config) { return format(field(config)); }};
}

Result<Environment> parse_environment(const std::string& text) {
  if (is_environment_name(text)) return Environment(text);
  return fail(Errc::invalid, "", "is no name of an environment",
              "use a lower-case letter and then up to 31 of a-z, 0-9 and -, as in \"production\"");
}

Result<std::string> parse_level(const std::string& text) {
  for (const auto* level : {"debug", "info", "warn", "error"})
    if (text == level) return text;
  return fail(Errc::invalid, "", "is no level", "write \"debug\", \"info\", \"warn\" or \"error\"");
}

Result<std::string> parse_key_service(const std::string& text) {
  const auto place = parse_key_place(text);
  if (!place) return fail(place.error());
  return text;
}

Result<std::string> parse_credential(const std::string& text) {
  const bool reference =
      (text.starts_with("env:") && text.size() > 4) || (text.starts_with("file:") && text.size() > 5);
  if (reference) return text;
  return fail(Errc::invalid, "", "is a secret and stands there in the open",
              "write \"env:NAME\" or \"file:PATH\", and change the secret that was written");
}

template <class Range>
Result<std::vector<Range>> parse_each(const std::vector<std::string>& parts,
                                      Result<Range> (*parse)(std::string_view)) {
  std::vector<Range> ranges;
  for (const auto& part : parts) {
    auto range = parse(part);
    if (!range) return fail(range.error());
    ranges.push_back(*range);
  }
  return ranges;
}

Result<std::vector<IpRange>> parse_ranges(const std::vector<std::string>& parts) {
  return parse_each(parts, &parse_range);
}

Result<std::vector<PortRange>> parse_port_ranges(const std::vector<std::string>& parts) {
  return parse_each(parts, &parse_ports);
}

// Judged here, read by read_roles().
Result<std::vector<std::string>> parse_roles(const std::vector<std::string>& parts) {
  std::map<std::string, Scopes> roles;
  for (const auto& part : parts)
    if (auto added = add_role(part, roles); !added) return fail(added.error());
  return parts;
}

std::string print_ports(const std::vector<PortRange>& ranges) {
  std::vector<std::string> parts;
  for (const auto& range : ranges) parts.push_back(format_ports(range));
  return toml_list(parts);
}

std::string print_ranges(const std::vector<IpRange>& ranges) {
  std::vector<std::string> parts;
  for (const auto& range : ranges)
    parts.push_back(format_ip(range.base) + "/" + std::to_string(range.prefix_bits));
  return toml_list(parts);
}

std::string print_policy(const RetryPolicy& policy) {
  const auto words = format_retry_policy(policy);
  const bool named = policy.kind != RetryPolicy::Kind::custom && words.size() == 1;
  return named ? quoted(words.front()) : toml_list(words);
}

Key required(Key key) {
  key.required = true;
  return key;
}

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

#define FIELD(path)           \
  [](auto& config) -> auto& { \
    return config.path;       \
  }

std::vector<Key> make_keys() {
  return {
      required(
          parsed_key("environment",
                     "Name of this environment, [a-z][a-z0-9-]{0,31}; `development` and `production` have "
                     "rules of their own.",
                     FIELD(environment), parse_environment,
                     [](const Environment& name) { return name.empty() ? "" : quoted(name.str()); })),
      required(parsed_key(
          "log", "The log: \"kafka://host:port,host:port\" or \"embedded:DIR\".", FIELD(log),
          [](const std::string& text) { return parse_log_place(text); },
          [](const LogPlace& place) {
            return place.kind == LogPlace::Kind::none ? "" : quoted(format_log_place(place));
          })),
      required(text_key("data",
                        "Directory of the view and of the first token. DIR/view can be deleted while the "
                        "daemon is stopped: it is built again from the log. DIR/admin.token is not: once it "
                        "is gone, `postrider-ops tokens reset` makes another.",
                        FIELD(data))),
      parsed_key(
          "listen",
          "Address of the HTTP API; other than loopback, and in production, needs [tls]. Port 0: any free "
          "one.",
          FIELD(listen), [](const std::string& text) { return parse_listen_address(text); },
          [](const ListenAddress& address) { return quoted(format_listen_address(address)); }),
      number_key(
          "shards",
          "Shards of this process, 1 to 64: threads that deliver, each with partitions, a view and "
          "connections of its own, and its part of limits.memory_bytes. One core feeds one; with more, "
          "leave a core for Kafka's client.",
          1, 64, FIELD(shards)),
      boolean_key("tenant_from_key", "Take the record's key as the tenant of an event that names none.",
                  FIELD(tenant_from_key)),
      parsed_key("log_level", "The least level that is logged: debug, info, warn or error.", FIELD(log_level),
                 parse_level, [](const std::string& level) { return quoted(level); }),
      required(parsed_key("keys.service",
                          "The key service that wraps the tenants' keys: \"file:PATH\", "
                          "\"vault:https://HOST:PORT/MOUNT/KEY\" "
                          "(transit), or \"pkcs11:token=LABEL;object=KEY?module-path=MODULE\". Back the key "
                          "file up: without it "
                          "every secret and dead letter is gone.",
                          FIELD(keys.service), parse_key_service,
                          [](const std::string& text) { return text.empty() ? "" : quoted(text); })),
      parsed_key(
          "keys.credential",
          "What that service wants to see, \"file:PATH\" (mode 0600, read again whenever it is needed) or "
          "\"env:NAME\": Vault's token, or the PKCS#11 token's PIN.",
          FIELD(keys.credential), parse_credential,
          [](const std::string& text) { return text.empty() ? "" : quoted(text); }),
      text_key("keys.ca_file", "Authority of Vault's certificate, a PEM file. Unset: the system's.",
               FIELD(keys.ca_file)),
      duration_key(
          "keys.rotate_after",
          "Age at which a tenant's key gets a successor that seals from then on, while the old one still "
          "opens: 0s (never) to 3650d.",
          Millis(0), hours(24 * 3650), FIELD(rotation.rotate_after)),
      list_key("guard.allow",
               "Address ranges that may be dialled though they are refused by themselves: private, loopback, "
               "link-local, a translator's, the machine's own.",
               FIELD(guard.allow), parse_ranges, print_ranges),
      list_key("guard.ports",
               "Ports that may be dialled beside 443 and 8443: numbers, or ranges such as \"9000-9099\". In "
               "development any port goes at addresses of guard.allow.",
               FIELD(guard.ports), parse_port_ranges, print_ports),
      parsed_key(
          "guard.proxy",
          "Proxy that requests leave through, \"http://ADDRESS:PORT\": it is asked (HTTP CONNECT) for the "
          "address that was vetted. Addresses of guard.allow are dialled directly. Unset: none.",
          FIELD(guard.proxy),
          [](const std::string& text) -> Result<std::optional<EgressProxy>> {
            return parse_egress_proxy(text);
          },
          [](const std::optional<EgressProxy>& proxy) {
            return proxy ? quoted(format_egress_proxy(*proxy)) : std::string();
          }),
      number_key("guard.endpoints_per_host",
                 "Endpoints of one tenant that may lead to one host, 0 to 100000; 0: any number. In "
                 "development not counted where all its addresses are in guard.allow.",
                 0, 100000, FIELD(guard.endpoints_per_host)),
      number_key("guard.endpoints_per_tenant",
                 "Endpoints that one tenant may have, 0 to 1000000; 0: any number. In development not "
                 "counted where all addresses of the one that is declared are in guard.allow.",
                 0, 1000000, FIELD(guard.endpoints_per_tenant)),
      parsed_key(
          "guard.challenge",
          "Whose endpoints must prove themselves before anything is delivered to them: \"off\", or "
          "\"tenants\", those that tenants' own tokens declare. In development not where all its addresses "
          "are in guard.allow.",
          FIELD(guard.challenge_tenants),
          [](const std::string& text) -> Result<bool> {
            if (text == "off" || text == "tenants") return text == "tenants";
            return fail(Errc::invalid, "", "is neither off nor tenants", "write one of them");
          },
          [](const bool& tenants) { return quoted(tenants ? "tenants" : "off"); }),
      text_key("tls.cert",
               "Certificate chain of the HTTP API, a PEM file. It, the key and client_ca are read again when "
               "their files have changed.",
               FIELD(tls.cert)),
      text_key("tls.key", "Private key of that certificate, a PEM file.", FIELD(tls.key)),
      text_key(
          "tls.client_ca",
          "Authorities of the clients' certificates, a PEM file: whoever shows none that they signed gets "
          "no connection. Unset: a token is enough.",
          FIELD(tls.client_ca)),
      text_key(
          "oidc.issuer",
          "Issuer (OpenID Connect) whose tokens (JWT) operators may use beside ours, as its tokens name it: "
          "\"https://…\". Unset: none.",
          FIELD(oidc.issuer)),
      text_key("oidc.audience", "Audience that its tokens must be for.", FIELD(oidc.audience)),
      text_key("oidc.ca_file", "Authority of its certificate, a PEM file. Unset: the system's.",
               FIELD(oidc.ca_file)),
      text_key("oidc.roles_claim",
               "Claim that names what the bearer is: a list, or words with blanks between; dots lead into "
               "objects.",
               FIELD(oidc.roles_claim)),
      list_key(
          "oidc.roles",
          "What a value of that claim lets the bearer do: \"VALUE=ROLE\", where ROLE is viewer, publisher, "
          "operator, auditor, admin or a scope. Values that are not here mean nothing.",
          FIELD(oidc.role_words), parse_roles, toml_list),
      text_key(
          "oidc.tenant_claim",
          "Claim that names the tenant that a token is bound to; \"*\" there: the platform. Unset: all are "
          "of the platform.",
          FIELD(oidc.tenant_claim)),
      duration_key("oidc.keys_kept",
                   "How long the issuer's keys go on while it does not answer, 1m to 7d; then its tokens are "
                   "answered with 503.",
                   minutes(1), hours(24 * 7), FIELD(oidc.keys_kept)),
      number_key("embedded.partitions",
                 "Partitions of `events` when the embedded log is first made, 1 to 1000.", 1, 1000,
                 FIELD(embedded.partitions)),
      bytes_key("limits.memory_bytes",
                "Budget for fetched, queued, in-flight and unacknowledged bytes, 16MiB to 64GiB; over it, "
                "polling stops.",
                16 * kMiB, 64 * kGiB, FIELD(limits.memory_bytes)),
      bytes_key("limits.endpoint_queue_bytes",
                "What one endpoint's deliveries hold in memory while they wait in one shard, 1MiB to 64GiB: "
                "beyond it, or limits.queue_max of the endpoint, they are parked. One larger than that waits "
                "alone.",
                1 * kMiB, 64 * kGiB, FIELD(limits.endpoint_queue_bytes)),
      number_key("limits.window", "Unsettled offsets of one partition at most, 16 to 24000.", 16, 24000,
                 FIELD(limits.window)),
      duration_key("delivery.timeout", "Time of one attempt in all, body included, 1s to 60s.", seconds(1),
                   seconds(60), FIELD(delivery.timeout)),
      duration_key("delivery.lifetime_max",
                   "An event is dead-lettered at the latest this long after its append, 10s to 96h.",
                   seconds(10), kLifetimeMax, FIELD(delivery.lifetime_max)),
      boolean_key("delivery.retry_client_errors",
                  "Retry 4xx answers other than 401, 403 and 410 too, as Standard Webhooks does.",
                  FIELD(delivery.retry_client_errors)),
      duration_key(
          "delivery.repeat_window",
          "How long a second event of the same tenant, source and id is a repeat, 0s to 7d; 0s turns "
          "it off.",
          seconds(0), hours(24 * 7), FIELD(delivery.repeat_window)),
      text_key(
          "delivery.ca_file",
          "Certificate authorities that receivers are verified against, a PEM file; unset: the system's.",
          FIELD(delivery.ca_file)),
      duration_key("history.ttl", "How long attempts can be looked up, 1h to 365d.", hours(1),
                   hours(24 * 365), FIELD(history.ttl)),
      list_key("retry.default",
               "Retry policy of endpoints that name none: standard, quick, patient, or a list of delays.",
               FIELD(retry.standard), parse_retry_policy, print_policy),
      duration_key("drain.timeout", "How long a stop waits for attempts in flight, 0s to 60s.", seconds(0),
                   seconds(60), FIELD(drain.timeout)),
      parsed_key(
          "api.probes",
          "Address, on loopback, that serves /healthz, /readyz and /metrics in plain HTTP without a token, "
          "and "
          "nothing else. Unset: none.",
          FIELD(api.probes),
          [](const std::string& text) -> Result<std::optional<ListenAddress>> {
            return parse_listen_address(text);
          },
          [](const std::optional<ListenAddress>& address) {
            return address ? quoted(format_listen_address(*address)) : std::string();
          }),
      number_key("api.connections", "Connections to the HTTP API at most, 16 to 65536.", 16, 65536,
                 FIELD(api.connections)),
      duration_key("api.request_timeout", "Time for one request to arrive whole, 1s to 5m.", seconds(1),
                   minutes(5), FIELD(api.request_timeout)),
      duration_key("api.idle_timeout", "An idle connection is closed after this, 1s to 1h.", seconds(1),
                   hours(1), FIELD(api.idle_timeout)),
      number_key(
          "api.tenant_token_rate",
          "Requests a second of one token that is bound to a tenant, twice as many at once, 0 to 100000; "
          "0: any number. Each instance counts for itself.",
          0, 100000, FIELD(api.tenant_token_rate)),
      number_key("api.platform_token_rate",
                 "The same of one token of the platform, 0 to 100000; 0: any number.", 0, 100000,
                 FIELD(api.platform_token_rate)),
      number_key("api.address_rate",
                 "Requests a second that come from one address (of IPv6: one /64) without a token that has "
                 "proved valid, twice as many at once, 0 to 100000; 0: any number, as behind a proxy.",
                 0, 100000, FIELD(api.address_rate)),
      number_key(
          "api.failed_authentications",
          "Failed authentications a minute from one address, after which it is refused, but for tokens "
          "that have proved valid, 0 to 100000; 0: any number, as behind a proxy.",
          0, 100000, FIELD(api.failed_authentications)),
  };
}
#undef FIELD

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// The key whose spelling is nearest to `name`; empty when none is near.
template <class Spelling>
std::string nearest_of(std::string_view name, Spelling spelling) {
  std::string best;
  std::size_t least = std::max<std::size_t>(2, name.size() / 4) + 1;
  for (const auto& key : keys()) {
    auto spelt = spelling(key);
    const auto distance = edit_distance(name, spelt);
    if (distance >= least) continue;
    least = distance;
    best = std::move(spelt);
  }
  return best;
}

}  // namespace

Result<void> add_role(std::string_view entry, std::map<std::string, Scopes>& roles) {
  const auto equals = entry.rfind('=');
  const auto role = equals == std::string_view::npos ? std::string_view() : entry.substr(equals + 1);
  auto scopes = scopes_of_role(role);
  if (const auto scope = parse_scope(role)) scopes.emplace().add(*scope);
  if (!scopes || equals == 0)
    return fail(Errc::invalid, "", "gives no role to a value of the claim",
                "write \"VALUE=ROLE\" with viewer, publisher, operator, auditor, admin or a scope, as in "
                "\"platform-team=admin\"");
  Scopes& all = roles[std::string(entry.substr(0, equals))];
  for (const Scope scope : all_scopes())
    if (scopes->has(scope)) all.add(scope);
  return {};
}

const std::vector<Key>& keys() {
  static const std::vector<Key> table = make_keys();
  return table;
}

const Key* find_key(std::string_view name) {
  for (const auto& key : keys())
    if (key.name == name) return &key;
  return nullptr;
}

std::string nearest_key(std::string_view name) {
  auto nearest = nearest_of(name, [](const Key& key) { return std::string(key.name); });
  if (!nearest.empty()) return nearest;
  // Well spelt, but under the wrong section or under none.
  const auto leaf = name.substr(name.rfind('.') + 1);
  for (const auto& key : keys())
    if (key.name.substr(key.name.rfind('.') + 1) == leaf) return std::string(key.name);
  return {};
}

std::string nearest_variable(std::string_view name) {
  return nearest_of(name, [](const Key& key) { return variable_of(key.name); });
}

std::string variable_of(std::string_view key) {
  std::string name = "POSTRIDER_";
  for (const char c : key)
    name += c == '.' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return name;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += "?";
    else
      out += c;
  }
  return out + '"';
}

}  // namespace postrider::config
