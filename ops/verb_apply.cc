// endpoints apply FILE: what the file declares is what shall be. Nothing is changed unless every endpoint
// would be accepted: each is first asked for dry.
#include <openssl/crypto.h>

#include "ops/endpoints_file.h"
#include "ops/json_fields.h"
#include "ops/references.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

// A body with signing secrets in it: cleansed when it goes.
class Body {
 public:
  Body() = default;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;
  Body(Body&&) = default;
  Body& operator=(Body&&) = default;
  ~Body() {
    if (!json.contains("secrets")) return;
    for (auto& secret : json["secrets"])
      if (auto* held = secret.get_ptr<std::string*>()) OPENSSL_cleanse(held->data(), held->size());
  }
  Json json = Json::object();
};

Result<Body> body_of(const EndpointDeclaration& endpoint) {
  Body body;
  auto& json = body.json;
  json["url"] = endpoint.url;
  if (endpoint.types) json["types"] = *endpoint.types;
  if (endpoint.retry)
    json["retry"] = endpoint.retry->size() == 1 ? Json(endpoint.retry->front()) : Json(*endpoint.retry);
  if (endpoint.scheme) json["scheme"] = *endpoint.scheme;
  if (endpoint.format) json["format"] = *endpoint.format;
  const auto& limits = endpoint.limits;
  if (limits.concurrency) json["limits"]["concurrency"] = *limits.concurrency;
  if (limits.queue_max) json["limits"]["queue_max"] = *limits.queue_max;
  if (limits.rate_per_second) json["limits"]["rate_per_second"] = *limits.rate_per_second;
  for (const auto& reference : endpoint.secrets) {
    auto secret = read_reference(reference);
    if (!secret) {
      auto error = secret.error();
      error.message = endpoint.place + ": " + error.message;
      return fail(std::move(error));
    }
    json["secrets"].push_back(std::string(secret->reveal()));
  }
  return body;
}

std::string path_of(const EndpointDeclaration& endpoint, const char* parameters) {
  return "/v1/tenants/" + endpoint.tenant + "/endpoints/" + endpoint.id + parameters;
}

Error at(const EndpointDeclaration& endpoint, Error error) {
  error.message = endpoint.place + ": " + endpoint.tenant + "/" + endpoint.id + ": " + error.message;
  return error;
}

// The file, the daemon and --environment must speak of the same one.
Result<void> check_environment(Session& session, ApiClient& api, const std::string& environment) {
  auto health = api.get("/healthz");
  if (!health) return fail(health.error());
  const auto refuse = [&](const std::string& other) {
    return fail(Errc::invalid, "ENVIRONMENT_MISMATCH",
                "the file declares endpoints of " + environment + ", and " + other,
                "apply the file to the daemon of its own environment");
  };
  if (const auto theirs = text(*health, "environment"); theirs != environment)
    return refuse("the daemon serves " + (theirs.empty() ? std::string("another one") : theirs));
  const auto& asked = session.line().environment;
  if (!asked.empty() && asked != environment) return refuse("--environment is " + asked);
  return {};
}

void show_change(const Output& out, const EndpointDeclaration& endpoint, const Json& answer, bool dry_run) {
  const auto change = text(answer, "change"), secret = text(answer, "secret");
  if (out.json()) {
    Json object = {{"tenant", endpoint.tenant}, {"endpoint", endpoint.id}};
    for (const auto& [name, value] : answer.items()) object[name] = value;
    object["dry_run"] = dry_run;
    return out.object(object);
  }
  out.line(endpoint.tenant + "/" + endpoint.id + "  " +
           (dry_run && change != "unchanged" ? "would be " : "") + printable(change));
  for (const auto& difference : list(answer, "differences")) out.line("    " + printable(text(difference)));
  if (secret.empty()) return;
  out.line("    secret: " + printable(secret));
  out.line("    This is shown once. Hand it to the customer, who verifies with it.");
}

struct Step {
  const EndpointDeclaration* endpoint;
  Body body;
  Json dry;  // what the daemon would do
  bool changes() const { return text(dry, "change") != "unchanged"; }
};

Result<std::vector<Step>> ask_dry(ApiClient& api, const EndpointsFile& file) {
  std::vector<Step> steps;
  for (const auto& endpoint :
       file.endpoints) {  // secrets first: a missing one is told before anything is asked
    auto body = body_of(endpoint);
    if (!body) return fail(body.error());
    steps.push_back({&endpoint, *std::move(body), {}});
  }
  for (auto& step : steps) {
    auto answer = api.put(path_of(*step.endpoint, "?dry_run=true"), step.body.json);
    if (!answer) return fail(at(*step.endpoint, answer.error()));
    step.dry = *std::move(answer);
  }
  return steps;
}

}  // namespace

Result<int> endpoints_apply(Session& session) {
  const auto& line = session.line();
  const auto file = read_endpoints_file(line.file);
  if (!file) return fail(file.error());
  if (file->endpoints.empty())
    return fail(Errc::invalid, "NO_ENDPOINTS", line.file + " declares no endpoint",
                "write [[endpoint]] before each; what is to go, `endpoints delete` takes away");
  auto api = session.api();
  if (!api) return fail(api.error());
  if (auto same = check_environment(session, **api, file->environment); !same) return fail(same.error());
  auto steps = ask_dry(**api, *file);
  if (!steps) return fail(steps.error());

  const Step* last = nullptr;  // to wait for: what is in force then, was written before
  for (const auto& step : *steps)
    if (step.changes()) last = &step;
  for (const auto& step : *steps) {
    if (line.dry_run || !step.changes()) {
      show_change(session.out(), *step.endpoint, step.dry, line.dry_run);
      continue;
    }
    const bool wait = &step == last && !line.no_wait;
    auto answer = (*api)->put(path_of(*step.endpoint, wait ? "?wait=true" : "?wait=false"), step.body.json);
    if (!answer) return fail(at(*step.endpoint, answer.error()));
    show_change(session.out(), *step.endpoint, *answer, false);
  }
  return kDone;
}

}  // namespace postrider::ops
