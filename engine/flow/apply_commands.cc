// The part of Commands that declares an endpoint: what it is to be is planned, and written so that it is
// whole once its def stands.
#include <algorithm>
#include <sstream>
#include <utility>

#include "engine/core/challenge.h"
#include "engine/core/target_check.h"
#include "engine/flow/commands.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::uint64_t kLookupBit = 1ull << 63;

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void difference(std::vector<std::string>& differences, const std::string& name, const std::string& before,
                const std::string& after) {
  if (before == after) return;
  differences.push_back(name + ": " + (before.empty() ? after : before + " → " + after));
}

std::string limits_text(const EndpointLimits& limits) {
  std::ostringstream text;
  text << limits.concurrency << " at once, " << limits.queue_max << " waiting in memory, ";
  if (limits.rate_per_second > 0) {
    text << "at most " << limits.rate_per_second << " a second";
  } else {
    text << "no rate limit";
  }
  return text.str();
}

}  // namespace

Result<void> Commands::check_spec(const EndpointSpec& spec) const {
  const ShardConfig& config = context_.config;
  if (!is_tenant_or_endpoint_id(spec.tenant.str()) || !is_tenant_or_endpoint_id(spec.id.str())) {
    return invalid("tenant and endpoint ids are 1 to 64 of A–Z, a–z, 0–9, '_' and '-'", "choose another id");
  }
  if (spec.types.empty() || !std::all_of(spec.types.begin(), spec.types.end(), is_type_pattern)) {
    return invalid("a subscribed type is a type, a prefix such as order.*, or *", "correct `types`");
  }
  if (spec.limits.concurrency < 1 || spec.limits.concurrency > 1000 || spec.limits.queue_max < 1 ||
      spec.limits.queue_max > 100000 || spec.limits.rate_per_second < 0) {
    return invalid("limits: concurrency is 1 to 1000, queue_max 1 to 100000, rate not negative",
                   "correct the limits");
  }
  if (spec.retry.longest() > config.lifetime) {
    return invalid(
        "the retry schedule takes longer than an event lives (" + format_duration(config.lifetime) + ")",
        "shorten the schedule");
  }
  for (const SigningSecret& secret : spec.secrets) {
    if (spec.scheme == Scheme::x_webhook && secret.kind != SecretKind::hmac) {
      return invalid("the x-webhook scheme signs with HMAC secrets only", "give a whsec_ secret");
    }
  }
  return {};
}

void Commands::apply_endpoint(EndpointSpec spec, Answer<ApplyAnswer> answer) {
  auto job = std::make_shared<Apply>();
  job->answer = std::move(answer);
  if (auto good = check_spec(spec); !good) return job->answer(fail(good.error()));
  auto url = parse_url(spec.url);
  if (!url) return job->answer(fail(url.error()));
  if (url->scheme == "http" && context_.config.environment.str() != "development") {
    return job->answer(fail(Errc::invalid, "INVALID_ENDPOINT_URL", "the URL is not https",
                            "use https; http is for loopback in development only"));
  }
  job->url = *std::move(url);
  job->spec = std::move(spec);
  check_address(job);
}

void Commands::check_address(const Job& job) {
  const std::uint64_t token = kLookupBit | ++last_token_;
  lookups_.emplace(token, job);
  context_.ports.resolver.resolve(job->url.host, token);
}

void Commands::on_resolved(std::uint64_t token, const Result<Resolved>& resolved) {
  auto at = lookups_.find(token);
  if (at == lookups_.end()) return;
  const Job job = std::move(at->second);
  lookups_.erase(at);
  // A name that has no answer today may have one tomorrow; one that leads inside is refused now and later.
  const std::vector<IpAddress> known = resolved ? resolved->addresses : std::vector<IpAddress>();
  if (auto refusal = target_refusal(context_.config.addresses, job->url, known)) {
    return job->answer(fail(*std::move(refusal)));
  }
  job->exempt_from_cap = is_exempt(context_.config.addresses, known);
  registry_.ensure_key(job->spec.tenant, [this, job](Result<void> done) {
    if (!done) return job->answer(fail(done.error()));
    plan(job);
  });
}

void Commands::plan(const Job& job) {
  const Endpoint* current = registry_.registry().find(job->spec.tenant, job->spec.id);
  if (!job->spec.only_if.met(current ? &current->def : nullptr)) return job->answer(fail(not_as_demanded()));
  if (auto done = plan_def(*job, current); !done) return job->answer(fail(done.error()));
  if (auto done = plan_secrets(*job, current); !done) return job->answer(fail(done.error()));
  using Change = ApplyAnswer::Change;
  job->result.incarnation = job->def.incarnation;
  const bool unchanged = current && job->result.differences.empty() && (job->spec.dry_run || knows_now());
  job->result.change = !current ? Change::created : unchanged ? Change::unchanged : Change::updated;
  job->result.revision = unchanged ? current->def.revision : job->def.revision;
  if (job->spec.dry_run || (unchanged && job->dropped.empty())) {
    if (job->spec.dry_run) job->result.new_secret = Secret();
    return job->answer(std::move(job->result));
  }
  if (!current && !job->exempt_from_cap) {
    job->creates = true;
    creating_.push_back(job);
  }
  if (unchanged) {  // what an interrupted writer left is cleared away
    put_secrets(job->writes, job->dropped);
    return write_next(job);
  }
  write_planned(job);
}

// The def decides, and names the secrets that are in force: once it stands, the endpoint is whole; if it is
// ignored, nothing has changed.
void Commands::write_planned(const Job& job) {
  put_secrets(job->writes, job->added);
  job->writes.emplace_back(def_key(job->def.tenant, job->def.id),
                           wire::encode(context_.config.environment, job->def));
  put_secrets(job->writes, job->dropped);
  write_next(job);
}

void Commands::put_secrets(std::deque<std::pair<std::string, std::string>>& writes,
                           const std::vector<EndpointSecret>& secrets) const {
  for (const EndpointSecret& secret : secrets)
    writes.emplace_back(secret_key(secret), wire::encode(context_.config.environment, secret));
}

Result<void> Commands::plan_def(Apply& job, const Endpoint* current) {
  const EndpointSpec& spec = job.spec;
  EndpointDef& def = job.def;
  if (current) def = current->def;
  const Endpoint* deleted = registry_.registry().find_deleted(spec.tenant, spec.id);
  const std::uint64_t before = current ? current->def.revision : deleted ? deleted->def.revision : 0;
  def.tenant = spec.tenant;
  def.id = spec.id;
  if (!current) def.incarnation = Incarnation(random_name("inc_"));
  const SealContext query_context{context_.config.environment, spec.tenant,
                                  format_target({def.id, def.incarnation}), "query"};
  std::string old_query;
  if (current && !current->def.sealed_query.empty()) {
    auto opened = context_.ports.keys.open(query_context, current->def.sealed_query);
    if (!opened) return fail(opened.error());
    old_query = std::string(opened->reveal());
  }
  if (!job.exempt_from_cap && (!current || def.url != job.url.without_query())) {
    auto others = registry_.registry().endpoints_of(spec.tenant);
    std::erase(others, current);
    if (!current)
      if (auto full = too_many_of_tenant(others.size() + being_created(spec.tenant, spec.id),
                                         endpoints_max_of(spec.tenant)))
        return fail(*std::move(full));
    if (!current && !deleted)
      if (auto full = too_many_names_of_tenant(registry_.registry().names_of(spec.tenant),
                                               endpoints_max_of(spec.tenant)))
        return fail(*std::move(full));
    if (auto full = too_many_at_host(job.url, others, context_.config.endpoints_per_host))
      return fail(*std::move(full));
  }
  if (auto done = plan_proof(job, current, old_query); !done) return done;
  auto& differences = job.result.differences;
  difference(differences, "url", current ? current->def.url : "", job.url.without_query());
  if (old_query != job.url.query) differences.push_back("url's query: changed");
  difference(differences, "types", current ? joined(current->def.types) : "", joined(spec.types));
  difference(differences, "retry", current ? joined(format_retry_policy(current->def.retry)) : "",
             joined(format_retry_policy(spec.retry)));
  const auto scheme_name = [](Scheme scheme) {
    return scheme == Scheme::x_webhook ? "x-webhook" : "standard-webhooks";
  };
  const auto format_name = [](BodyFormat format) {
    return format == BodyFormat::structured ? "structured" : "binary";
  };
  difference(differences, "scheme", current ? scheme_name(current->def.scheme) : "",
             scheme_name(spec.scheme));
  difference(differences, "format", current ? format_name(current->def.format) : "",
             format_name(spec.format));
  difference(differences, "limits", current ? limits_text(current->def.limits) : "",
             limits_text(spec.limits));
  def.replaces = before;
  def.revision = before + 1;
  if (!current) def.enable_revision = def.revision;
  def.deleted = false;
  def.url = job.url.without_query();
  def.sealed_query.clear();
  if (!job.url.query.empty()) {
    auto sealed = context_.ports.keys.seal(query_context, job.url.query);
    if (!sealed) return fail(sealed.error());
    def.sealed_query = *std::move(sealed);
  }
  def.types = spec.types;
  def.retry = spec.retry;
  def.scheme = spec.scheme;
  def.format = spec.format;
  def.limits = spec.limits;
  def.changed_by = spec.actor;
  def.changed_at = to_ms(context_.ports.clock.wall());
  return {};
}

Result<EndpointSecret> Commands::seal_secret(const Apply& job, const SigningSecret& secret) {
  EndpointSecret fact;
  fact.tenant = job.def.tenant;
  fact.endpoint = job.def.id;
  fact.incarnation = job.def.incarnation;
  fact.id = random_name("sec_");
  fact.created_at = to_ms(context_.ports.clock.wall());
  const Digest digest = sha256(job.def.incarnation.str() + "." + std::string(secret.key.reveal()));
  fact.digest = hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
  auto sealed = context_.ports.keys.seal(
      {context_.config.environment, fact.tenant, format_target({fact.endpoint, fact.incarnation}), "secret"},
      format_signing_secret(secret).reveal());
  if (!sealed) return fail(sealed.error());
  fact.sealed = *std::move(sealed);
  return fact;
}

SigningSecret Commands::make_secret() {
  std::string key;
  for (int i = 0; i < 4; ++i) {
    const std::uint64_t word = context_.ports.random.next();
    key.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return {SecretKind::hmac, Secret(std::move(key))};
}

// The declared secrets shall be the ones in force: new ones are added, the others are revoked at once. For an
// overlap both stand in the file until the customer has changed over.
Result<void> Commands::plan_secrets(Apply& job, const Endpoint* current) {
  std::vector<SigningSecret> made;
  const std::vector<SigningSecret>* declared = &job.spec.secrets;
  if (declared->empty() && current) return {};
  if (declared->empty()) {
    made.push_back(make_secret());
    job.result.new_secret = format_signing_secret(made.front());
    declared = &made;
  }
  const auto olds = current ? std::span(current->secrets) : std::span<const EndpointSecret>();
  std::vector<std::string> names;
  for (const SigningSecret& secret : *declared) {
    auto fact = seal_secret(job, secret);
    if (!fact) return fail(fact.error());
    const auto old = std::find_if(olds.begin(), olds.end(), [&](const EndpointSecret& one) {
      return one.digest == fact->digest && one.state == SecretState::active && current->names(one);
    });
    names.push_back(old != olds.end() ? old->id : fact->id);
    if (old != olds.end()) continue;
    job.result.differences.push_back("secrets: one added");
    job.added.push_back(*std::move(fact));
  }
  for (const EndpointSecret& old : olds) {
    const bool stays = std::find(names.begin(), names.end(), old.id) != names.end();
    if (stays || old.state == SecretState::revoked) continue;
    // One that was never in force is what a writer left who was interrupted.
    if (current->names(old)) job.result.differences.push_back("secrets: " + old.id + " revoked");
    job.dropped.push_back(revoked(old));
  }
  job.def.secret_ids = std::move(names);
  return {};
}

void Commands::write_next(const Job& job) {
  if (job->writes.empty()) {
    const bool created = std::exchange(job->creates, false);
    if (auto full = created ? beyond_cap(*job) : std::nullopt) return withdraw(job, *full);
    after_everywhere(job->spec.wait, [job] { job->answer(std::move(job->result)); });
    return;
  }
  auto [key, value] = std::move(job->writes.front());
  job->writes.pop_front();
  registry_.write(std::move(key), std::move(value), [this, job](Result<bool> applied) {
    if (!applied) return job->answer(fail(applied.error()));
    if (!*applied) return take_back(job);
    write_next(job);
  });
}

// Others of a tenant, on this instance, and not yet in the registry.
std::size_t Commands::being_created(const TenantId& tenant, const EndpointId& but) {
  std::erase_if(creating_, [](const auto& one) {
    const Job job = one.lock();
    return !job || !job->creates;
  });
  return static_cast<std::size_t>(std::ranges::count_if(creating_, [&](const auto& one) {
    const EndpointDef& def = one.lock()->def;
    return def.tenant == tenant && def.id != but &&
           !registry_.registry().find(tenant, Target{def.id, def.incarnation});
  }));
}

// Other instances may have created some at the same moment. The log has put all into one order, which every
// instance reads alike: whoever stands behind the cap takes back what it has written.
std::optional<Error> Commands::beyond_cap(const Apply& job) const {
  const Endpoint* endpoint =
      registry_.registry().find(job.def.tenant, Target{job.def.id, job.def.incarnation});
  if (!endpoint) return std::nullopt;  // gone again
  return too_many_of_tenant(endpoint->place - 1, endpoints_max_of(job.def.tenant));
}

// The refusal is answered once the endpoint is gone everywhere. Who changed it meanwhile does not keep it.
void Commands::withdraw(const Job& job, const Error& why) {
  const EndpointDef& def = job->def;
  if (!registry_.registry().find(def.tenant, Target{def.id, def.incarnation})) return job->answer(fail(why));
  delete_endpoint(def.tenant, def.id, job->spec.actor, {job->spec.wait, {}},
                  [this, job, why](const Result<bool>& gone) {
                    if (!gone && gone.error().errc == Errc::conflict) return withdraw(job, why);
                    job->answer(fail(gone ? why : gone.error()));
                  });
}

// Somebody else's def stands. The secrets that ours would have named are of no use to anyone, unless ours was
// in force for a moment (it landed twice) and what came after it keeps them.
void Commands::take_back(const Job& job) {
  const Endpoint* current = registry_.registry().find(job->spec.tenant, job->spec.id);
  std::vector<EndpointSecret> useless;
  for (const EndpointSecret& secret : job->added)
    if (!current || !current->names(secret)) useless.push_back(revoked(secret));
  std::deque<std::pair<std::string, std::string>> writes;
  put_secrets(writes, useless);
  for (auto& [key, value] : writes)
    registry_.write(std::move(key), std::move(value), [](const Result<bool>&) {});
  job->answer(fail(changed_meanwhile()));
}

}  // namespace postrider::flow
