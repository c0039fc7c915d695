#include "engine/api/endpoint_body.h"

#include <openssl/crypto.h>

#include "engine/api/json_text.h"
#include "engine/core/address_policy.h"
#include "engine/core/registry.h"
#include "engine/core/url.h"

namespace postrider {
namespace {

constexpr std::size_t kTypesMax = 100;
constexpr std::size_t kSecretsMax = 4;
constexpr std::uint32_t kConcurrencyMax = 1000, kQueueMax = 100'000;
constexpr double kRateMax = 1e6;
constexpr Millis kOverlapMax = std::chrono::hours(24 * 30);

tl::unexpected<Error> bad_url(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_ENDPOINT_URL", std::move(message), std::move(suggestion));
}

bool names_loopback(const Url& url) {
  if (url.host == "localhost") return true;
  const auto ip = parse_ip(url.host);
  return ip && AddressPolicy().refusal(*ip) == "loopback";
}

Result<std::string> judged_url(std::optional<std::string> text, bool development) {
  if (!text) return bad_url("the endpoint has no url", "give url");
  const auto url = parse_url(*text);
  if (!url) return bad_url(url.error().message, url.error().suggestion);
  if (url->scheme == "http" && !(development && names_loopback(*url)))
    return bad_url("the url is not https", "use https; plain http is for loopback in development alone");
  return std::move(*text);
}

Result<std::vector<std::string>> judged_types(std::vector<std::string> types) {
  for (const auto& type : types)
    if (!is_type_pattern(type))
      return fail(Errc::invalid, "INVALID_REQUEST", "types holds something that is no type or pattern",
                  "write \"order.created\", \"order.*\" or \"*\"");
  if (types.empty())
    return fail(Errc::invalid, "INVALID_REQUEST", "types is empty", "write [\"*\"] for all events");
  return types;
}

Result<SigningSecret> take_secret(Json& element) {
  auto* text = element.get_ptr<std::string*>();
  auto secret = text ? parse_signing_secret(*text)
                     : fail(Errc::invalid, "INVALID_SECRET", "a secret is not a string", "put it in quotes");
  if (text) OPENSSL_cleanse(text->data(), text->size());
  return secret;
}

// Cleanses the JSON's copies whether they parse or not.
Result<std::vector<SigningSecret>> take_secrets(Json& body) {
  std::vector<SigningSecret> secrets;
  const auto found = body.find("secrets");
  if (found == body.end() || found->is_null()) return secrets;
  std::optional<Error> error;
  if (!found->is_array() || found->size() > kSecretsMax)
    error = Error{Errc::invalid, "INVALID_REQUEST", "secrets is no list",
                  "write an array of at most " + std::to_string(kSecretsMax) + " secrets"};
  for (auto& element : *found) {
    auto secret = take_secret(element);
    if (!secret)
      error = secret.error();
    else
      secrets.push_back(std::move(*secret));
  }
  body.erase("secrets");
  if (error) return fail(std::move(*error));
  return secrets;
}

void read_limits(Fields& fields, EndpointLimits& limits) {
  auto* object = fields.object("limits");
  if (!object) return;
  Fields members(*object);
  limits.concurrency = members.count("concurrency", 1, kConcurrencyMax).value_or(limits.concurrency);
  limits.queue_max = members.count("queue_max", 1, kQueueMax).value_or(limits.queue_max);
  limits.rate_per_second = members.number("rate_per_second", 0, kRateMax).value_or(limits.rate_per_second);
  if (auto done = members.done(); !done)
    fields.wrong("limits." + done.error().message, "", done.error().suggestion);
}

void read_scheme_and_format(Fields& fields, EndpointSpec& spec) {
  const auto scheme = fields.text("scheme").value_or("standard-webhooks");
  if (scheme == "x-webhook")
    spec.scheme = Scheme::x_webhook;
  else if (scheme != "standard-webhooks")
    fields.wrong("scheme", "is unknown", "write \"standard-webhooks\" or \"x-webhook\"");
  const auto format = fields.text("format").value_or("binary");
  if (format == "structured")
    spec.format = BodyFormat::structured;
  else if (format != "binary")
    fields.wrong("format", "is unknown", "write \"binary\" or \"structured\"");
}

}  // namespace

Result<EndpointSpec> parse_endpoint_body(ApiRequest& request, const RetryPolicy& default_retry,
                                         bool development) {
  auto body = parse_body(request);
  OPENSSL_cleanse(request.body.data(), request.body.size());
  request.body.clear();
  if (!body) return fail(body.error());
  EndpointSpec spec;
  auto secrets = take_secrets(*body);
  if (!secrets) return fail(secrets.error());
  spec.secrets = std::move(*secrets);
  Fields fields(*body);
  auto url = fields.text("url", 1 << 16);
  const auto types = fields.texts("types", kTypesMax);
  const auto retry = fields.texts("retry", 20);
  read_limits(fields, spec.limits);
  read_scheme_and_format(fields, spec);
  if (auto done = fields.done(); !done) return fail(done.error());

  auto whole_url = judged_url(std::move(url), development);
  if (!whole_url) return fail(whole_url.error());
  spec.url = std::move(*whole_url);
  auto patterns = judged_types(types.value_or(std::vector<std::string>{"*"}));
  if (!patterns) return fail(patterns.error());
  spec.types = std::move(*patterns);
  spec.retry = default_retry;
  if (!retry) return spec;
  auto policy = parse_retry_policy(*retry);
  if (!policy) return fail(policy.error());
  spec.retry = std::move(*policy);
  return spec;
}

Result<SecretRotation> parse_rotation_body(ApiRequest& request) {
  auto body = parse_body(request);
  OPENSSL_cleanse(request.body.data(), request.body.size());
  request.body.clear();
  if (!body) return fail(body.error());
  SecretRotation rotation;
  if (const auto found = body->find("secret"); found != body->end() && !found->is_null()) {
    auto secret = take_secret(*found);
    body->erase("secret");
    if (!secret) return fail(secret.error());
    rotation.secret = *std::move(secret);
  }
  Fields fields(*body);
  const auto overlap = parse_duration(fields.text("overlap").value_or("24h"));
  if (!overlap || *overlap < Millis(0) || *overlap > kOverlapMax)
    fields.wrong("overlap", "is no duration of at most 30 days", "write \"24h\", \"7d\" or \"0s\"");
  if (auto done = fields.done(); !done) return fail(done.error());
  rotation.overlap = *overlap;
  return rotation;
}

}  // namespace postrider
