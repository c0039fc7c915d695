#include "engine/flow/commands.h"

#include <algorithm>
#include <iterator>
#include <span>
#include <sstream>
#include <utility>

#include "engine/core/challenge.h"
#include "engine/core/target_check.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::uint64_t kLookupBit = 1ull << 63;
// Until then every instance has either seen the change or holds (DESIGN §5); a second of it is for a deposed
// leader that still answers and hides the change: metadata is refreshed each second.
constexpr Millis kEverywhereAfter = RegistryView::kFreshFor + Millis(1000);

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
constexpr std::ptrdiff_t kTokensMax = 1000;  // of a tenant
constexpr Millis kTokensCountedFor{30 * kDayMs};

tl::unexpected<Error> invalid(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

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

Result<void> check_spec(const EndpointSpec& spec, const ShardConfig& config) {
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

}  // namespace

Error Commands::no_such(std::string_view what) {
  return {Errc::not_found, "NOT_FOUND", "there is no such " + std::string(what),
          "list what there is with `postrider-ops endpoints list`"};
}

Error Commands::not_as_demanded() {
  return {Errc::conflict, "PRECONDITION_FAILED", "the endpoint is not what If-Match or If-None-Match demands",
          "read it again and look at what has changed; then repeat the change with its ETag"};
}

Error Commands::changed_meanwhile() {
  return {Errc::conflict, "CONFLICT", "somebody changed this endpoint at the same time",
          "look at it again with `postrider-ops endpoints show`, then repeat the command"};
}

Error Commands::tenant_is_suspended() {
  return {Errc::denied, "TENANT_SUSPENDED", "the tenant is suspended",
          "ask the platform's operator to lift the suspension, then publish it again"};
}

bool Commands::is_suspended(const TenantId& tenant) const {
  const TenantDef* def = registry_.registry().tenants().find(tenant);
  return def && def->suspended;
}

EndpointSecret Commands::revoked(EndpointSecret secret) {
  secret.state = SecretState::revoked;
  secret.sealed.clear();
  return secret;
}

Commands::Commands(Context& context, Appender& appender, RegistryView& registry, Dispatch& dispatch,
                   View& view, ActiveTable& active, Requests& requests, Schemas& schemas,
                   Challenges& challenges)
    : context_(context),
      appender_(appender),
      registry_(registry),
      dispatch_(dispatch),
      view_(view),
      active_(active),
      requests_(requests),
      schemas_(schemas),
      challenges_(challenges) {}

std::string Commands::random_name(std::string_view prefix) {
  const std::uint64_t high = context_.ports.random.next();
  return random_id(prefix, high, context_.ports.random.next());
}

void Commands::after_everywhere(bool wait, std::function<void()> then) {
  if (!wait) {
    then();
    return;
  }
  later_.push_back({context_.steady() + kEverywhereAfter, std::move(then)});
}

void Commands::tick(SteadyTime now) {
  std::vector<Later> ready_now;
  std::erase_if(later_, [&](Later& later) {
    if (later.at > now) return false;
    ready_now.push_back(std::move(later));
    return true;
  });
  for (Later& later : ready_now) later.then();
}

SteadyTime Commands::next_wake(SteadyTime now) const {
  SteadyTime next = now + std::chrono::hours(1);
  for (const Later& later : later_) next = std::min(next, later.at);
  return next;
}

// --- publishing

void Commands::publish(Event event, bool by_tenant, Answer<Published> answer) {
  if (auto bad = check(event, context_.config.environment)) {
    answer(invalid("the event is refused: " + std::string(reason_of(*bad)),
                   "see README, \"What an event is\": id, source, type and tenant, at most 256 KiB of data"));
    return;
  }
  if (event.target || !event.replay_job.empty()) {
    answer(invalid("target and replayjob are ours to set", "leave them out, or use `postrider-ops replay`"));
    return;
  }
  if (by_tenant && is_suspended(event.tenant)) return answer(fail(tenant_is_suspended()));
  append_event(event, std::move(answer));
}

void Commands::publish_to(TenantId tenant, EndpointId id, Event event, Answer<Published> answer) {
  const Endpoint* endpoint = registry_.registry().find(tenant, id);
  if (!endpoint) return answer(fail(no_such("endpoint")));
  // Whoever tests wants to see it arrive now: held, it would arrive when nobody looks any more.
  if (is_suspended(tenant)) return answer(fail(tenant_is_suspended()));
  event.tenant = std::move(tenant);
  event.target = Target{std::move(id), endpoint->def.incarnation};
  if (event.id.empty()) event.id = random_name("test_");
  append_event(event, std::move(answer));
}

void Commands::append_event(const Event& event, Answer<Published> answer) {
  if (auto breach = schemas_.breach(registry_.registry().event_types(), event)) {
    answer(fail(Errc::invalid, "SCHEMA_VIOLATION",
                "the event's data break the schema of " + event.type.substr(0, 255) + ": " + text_of(*breach),
                "correct the data; `postrider-ops event-types show` shows the schema"));
    return;
  }
  wire::KafkaMessage message = wire::encode_kafka(event);
  Published published;
  published.event_id = event.id;
  published.webhook_id = webhook_id(event.tenant, event.source, event.id);
  NewRecord record{.topic = Topic::events,
                   .partition = std::nullopt,
                   .key = std::move(message.key),
                   .value = std::move(message.value),
                   .headers = std::move(message.headers)};
  appender_.append(std::move(record), [published, answer](const Appended& appended) mutable {
    if (appended.status != Appended::Status::acknowledged) {
      answer(fail(Errc::unavailable, "SERVICE_UNAVAILABLE", "the log did not acknowledge the event",
                  "publish it again under the same id: a repeat is dropped"));
      return;
    }
    published.position = {appended.partition, appended.offset};
    answer(std::move(published));
  });
}

// --- endpoints apply

void Commands::apply_endpoint(EndpointSpec spec, Answer<ApplyAnswer> answer) {
  auto job = std::make_shared<Apply>();
  job->answer = std::move(answer);
  if (auto good = check_spec(spec, context_.config); !good) return job->answer(fail(good.error()));
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
  job->result.change = !current                          ? Change::created
                       : job->result.differences.empty() ? Change::unchanged
                                                         : Change::updated;
  // What is known here may be old: then it is written, and whoever changed it meanwhile is not passed over.
  const bool unchanged =
      job->result.change == Change::unchanged && (job->spec.dry_run || registry_.fresh(context_.steady()));
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

// --- endpoints

EndpointView Commands::view_of(const Endpoint& endpoint) {
  EndpointView view;
  view.def = endpoint.def;
  view.def.sealed_query.clear();
  view.def.sealed_challenge.clear();
  std::copy_if(endpoint.secrets.begin(), endpoint.secrets.end(), std::back_inserter(view.secrets),
               [&](const EndpointSecret& secret) {
                 return secret.state == SecretState::revoked || endpoint.names(secret);
               });
  for (EndpointSecret& secret : view.secrets) secret.sealed.clear();
  view.stopped = endpoint.stopped();
  EndpointState* state = dispatch_.known(endpoint.def.incarnation);
  double share = 0;
  CircuitBreaker::State breaker = CircuitBreaker::State::closed;
  Stop stop = view.stopped.stop;
  if (state) {
    for (const auto& [partition, health] : state->health) share = std::max(share, health.failure_share());
    breaker = state->breaker.state(context_.steady());
    view.held = state->held;
    view.queued = state->queue.size();
    view.in_flight = state->in_flight;
    stop = dispatch_.stop_of(endpoint, *state);
  }
  view.health = health_state(stop, breaker, share);
  if (view.stopped.stop == Stop::unverified) {
    view.stopped.why = "its receiver has not given back the challenge: it must answer the POST of type " +
                       std::string(kChallengeType) + " with 2xx and its " + std::string(kChallengeHeader) +
                       " header, or the value in the body";
    if (const std::string heard = challenges_.heard(endpoint); !heard.empty())
      view.stopped.why += "; the newest answer: " + heard;
  }
  if (stop == Stop::none && view.health != HealthState::healthy && state) {
    view.stopped.why = state->last_failure;
    for (const auto& [partition, fact] : endpoint.health) {
      if (!fact.failing) continue;
      view.stopped.since = view.stopped.since == 0 ? fact.since : std::min(view.stopped.since, fact.since);
    }
  }
  return view;
}

void Commands::list_endpoints(TenantId tenant, PageAsk page, Answer<std::vector<EndpointView>> answer) {
  const Registry& registry = registry_.registry();
  auto endpoints = tenant.empty() ? registry.all() : registry.endpoints_of(tenant);
  const auto place_of = [](const Endpoint* endpoint) {
    return std::pair(std::string_view(endpoint->def.tenant.str()), std::string_view(endpoint->def.id.str()));
  };
  const auto slash = std::min(page.after.find('/'), page.after.size());
  const std::string_view after = page.after;
  const std::pair behind(after.substr(0, slash), after.substr(std::min(slash + 1, after.size())));
  std::erase_if(endpoints, [&](const Endpoint* each) { return !after.empty() && place_of(each) <= behind; });
  const std::size_t count = std::min(endpoints.size(), page.limit + 1);
  std::partial_sort(endpoints.begin(), endpoints.begin() + static_cast<std::ptrdiff_t>(count),
                    endpoints.end(),
                    [&](const Endpoint* a, const Endpoint* b) { return place_of(a) < place_of(b); });
  endpoints.resize(count);
  std::vector<EndpointView> views;
  views.reserve(count);
  for (const Endpoint* endpoint : endpoints) views.push_back(view_of(*endpoint));
  answer(std::move(views));
}

void Commands::show_endpoint(TenantId tenant, EndpointId id, Answer<EndpointView> answer) {
  const Endpoint* endpoint = registry_.registry().find(tenant, id);
  if (!endpoint) return answer(fail(no_such("endpoint")));
  answer(view_of(*endpoint));
}

void Commands::change(TenantId tenant, EndpointId id, Terms terms, std::function<void(EndpointDef&)> edit,
                      Answer<EndpointDef> answer) {
  const Endpoint* endpoint = registry_.registry().find(tenant, id);
  if (!endpoint) return answer(fail(no_such("endpoint")));
  if (!terms.only_if.met(&endpoint->def)) return answer(fail(not_as_demanded()));
  EndpointDef def = endpoint->def;
  def.replaces = def.revision;
  ++def.revision;
  def.changed_at = to_ms(context_.ports.clock.wall());
  edit(def);
  std::string value = wire::encode(context_.config.environment, def);
  registry_.write(def_key(tenant, id), std::move(value),
                  [this, wait = terms.wait, def, answer](Result<bool> applied) {
                    if (!applied) return answer(fail(applied.error()));
                    if (!*applied) return answer(fail(changed_meanwhile()));
                    after_everywhere(wait, [def, answer] { answer(def); });
                  });
}

void Commands::disable_endpoint(TenantId tenant, EndpointId id, std::string why, std::string actor,
                                Terms terms, Answer<EndpointView> answer) {
  change(
      tenant, id, std::move(terms),
      [&](EndpointDef& def) {
        def.disabled = true;
        def.disabled_why = std::move(why);
        def.changed_by = std::move(actor);
      },
      [this, tenant, id, answer](Result<EndpointDef> def) {
        if (!def) return answer(fail(def.error()));
        context_.ports.observer.endpoint_changed(tenant, id, Stop::disabled, def->disabled_why);
        show_endpoint(tenant, id, answer);
      });
}

// Not while its tenant is suspended: then it takes nothing still.
void Commands::tell_it_takes_again(const TenantId& tenant, const EndpointId& id, const std::string& why) {
  const Endpoint* endpoint = registry_.registry().find(tenant, id);
  if (endpoint && endpoint->suspended.stop != Stop::none) return;
  context_.ports.observer.endpoint_changed(tenant, id, Stop::none, why);
}

void Commands::enable_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                               Answer<EndpointView> answer) {
  change(
      tenant, id, std::move(terms),
      [&](EndpointDef& def) {
        def.disabled = false;
        def.disabled_why.clear();
        def.enable_revision = def.revision;
        def.changed_by = std::move(actor);
      },
      [this, tenant, id, answer](Result<EndpointDef> def) {
        if (!def) return answer(fail(def.error()));
        tell_it_takes_again(tenant, id, "enabled");
        show_endpoint(tenant, id, answer);
      });
}

void Commands::delete_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                               Answer<bool> answer) {
  change(
      tenant, id, std::move(terms),
      [&](EndpointDef& def) {
        def.deleted = true;
        def.changed_by = std::move(actor);
      },
      [answer](Result<EndpointDef> def) {
        if (!def) return answer(fail(def.error()));
        answer(true);
      });
}

// --- deliveries

void Commands::find_deliveries(std::string id, Answer<std::vector<DeliveryId>> answer) {
  if (partition_of(id)) return answer(std::vector<DeliveryId>{DeliveryId(std::move(id))});
  answer(view_.deliveries_of(id));
}

void Commands::show_delivery(DeliveryId id, Answer<Delivery> answer) {
  Delivery delivery;
  const View::History history = view_.history(id);
  const Environment& environment = context_.config.environment;
  for (const std::string& bytes : history.attempts) {
    auto fact = wire::decode_attempts(environment, bytes);
    if (!fact) continue;
    if (const auto* attempt = std::get_if<AttemptFact>(&*fact)) delivery.apply(*attempt);
    if (const auto* cancelled = std::get_if<CancelledFact>(&*fact)) delivery.apply(*cancelled);
  }
  if (history.dead) {
    auto fact = wire::decode_dead_letter(environment, *history.dead);
    if (fact && std::holds_alternative<DeadLetter>(*fact)) delivery.apply(std::get<DeadLetter>(*fact));
  }
  if (auto parked = view_.parked(id)) delivery.apply(*parked);
  // What has ended stays as it is; what has not may have gone on elsewhere since the partition was ours.
  const auto state = delivery.state();
  const bool ended = state == DeliveryState::delivered || state == DeliveryState::cancelled ||
                     (state == DeliveryState::dead && delivery.dead_reason());
  if (!delivery.ref() || (!ended && !owns(delivery.ref()->position.partition))) {
    return answer(fail(Errc::not_found, "NOT_FOUND", "this instance's view knows no such delivery",
                       "it may be another partition's, or older than its history"));
  }
  answer(std::move(delivery));
}

void Commands::open_payload(TenantId tenant, std::string target, std::string sealed, Answer<Secret> answer) {
  answer(context_.ports.keys.open(
      {context_.config.environment, std::move(tenant), std::move(target), "dead_letter"}, sealed));
}

// --- tokens

MadeToken Commands::new_token() {
  MadeToken made;
  made.token = Secret(random_name("ptk_") + random_name(""));
  made.fact.id = random_name("tok_");
  const Digest digest = sha256(made.token.reveal());
  made.fact.hash = hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
  made.fact.created_at = to_ms(context_.ports.clock.wall());
  return made;
}

// They are kept when they have ended, so that each is known to be gone.
std::optional<Error> Commands::too_many_tokens(const TenantId& tenant, std::int64_t now) const {
  if (tenant.empty()) return std::nullopt;  // the platform's
  const auto tokens = registry_.registry().tokens();
  const auto counts = [&](const TokenFact& token) {
    const bool ended = token.revoked || (token.expires_at != 0 && token.expires_at <= now);
    return token.tenant == tenant && (!ended || now - token.created_at < kTokensCountedFor.count());
  };
  if (std::ranges::count_if(tokens, counts) < kTokensMax) return std::nullopt;
  return Error{
      Errc::invalid, "TOO_MANY_TOKENS",
      "the tenant has " + std::to_string(kTokensMax) + " tokens that live, or were made in the last 30 days",
      "revoke those that nobody uses; give one token to what runs again and again"};
}

void Commands::create_token(TokenSpec spec, Answer<MadeToken> answer) {
  auto made = std::make_shared<MadeToken>(new_token());  // shared with the answers below
  TokenFact& fact = made->fact;
  if (auto full = too_many_tokens(spec.tenant, fact.created_at)) return answer(fail(*std::move(full)));
  if (!spec.id.empty()) fact.id = std::move(spec.id);
  fact.scope = format_scopes(spec.scopes);
  fact.tenant = spec.tenant;
  fact.name = std::move(spec.name);
  fact.created_by = std::move(spec.created_by);
  fact.expires_at = spec.expires_at;
  fact.review_at = spec.review_at;
  registry_.write(token_key(fact.id), wire::encode(context_.config.environment, fact),
                  [this, made, answer](Result<bool> applied) {
                    if (!applied) return answer(fail(applied.error()));
                    after_everywhere(true, [made, answer] { answer(std::move(*made)); });
                  });
}

void Commands::revoke_token(TenantId within, std::string id, Answer<TokenFact> answer) {
  const TokenFact* found = registry_.registry().find_token(id);
  if (!found || (!within.empty() && found->tenant != within)) {
    return answer(fail(Errc::not_found, "NOT_FOUND", "there is no such token",
                       "list what there is with `postrider-ops tokens list`"));
  }
  TokenFact fact = *found;
  fact.revoked = true;
  revoke({fact}, [this, fact, answer](Result<void> revoked) {
    if (!revoked) return answer(fail(revoked.error()));
    after_everywhere(true, [fact, answer] { answer(fact); });
  });
}

void Commands::list_tokens(TenantId within, Answer<std::vector<TokenView>> answer) {
  std::vector<TokenView> views;
  for (TokenFact& token : registry_.registry().tokens()) {
    if (!within.empty() && token.tenant != within) continue;
    const std::int64_t used = registry_.registry().last_used(token.id);
    views.push_back({std::move(token), used});
  }
  answer(std::move(views));
}

// A record a token and day: whoever is the first to see it used on a day that the log does not know of writes
// it. So it is true on every instance and after every restart, to the day.
void Commands::note_use(const std::string& token_id) {
  const std::int64_t now = to_ms(context_.ports.clock.wall());
  const std::int64_t day = now - now % kDayMs;
  std::int64_t& told = use_told_[token_id];
  if (told >= day || registry_.registry().last_used(token_id) >= day) return;
  told = day;
  registry_.write(token_use_key(token_id),
                  wire::encode(context_.config.environment, TokenUseFact{token_id, day}),
                  [this, token_id](const Result<bool>& written) {
                    if (!written) use_told_.erase(token_id);  // the next use tries again
                  });
}

void Commands::rotate_admin_token(Answer<Secret> answer) {
  MadeToken made = new_token();
  auto token = std::make_shared<Secret>(std::move(made.token));  // shared with the answers below
  TokenFact fact = std::move(made.fact);
  fact.scope = "admin";
  std::vector<TokenFact> old = registry_.registry().tokens();
  std::erase_if(old, [](const TokenFact& before) { return before.revoked || !before.is_administrators(); });
  const bool wait = !old.empty();
  registry_.write(token_key(fact.id), wire::encode(context_.config.environment, fact),
                  [this, token, old, wait, answer](Result<bool> applied) {
                    if (!applied) return answer(fail(applied.error()));
                    revoke(old, [this, token, wait, answer](Result<void> revoked) {
                      if (!revoked) return answer(fail(revoked.error()));
                      after_everywhere(wait, [token, answer] { answer(std::move(*token)); });
                    });
                  });
}

// One after the other: done means that every one of them stands on the log.
void Commands::revoke(std::vector<TokenFact> tokens, std::function<void(Result<void>)> done) {
  if (tokens.empty()) return done({});
  TokenFact token = std::move(tokens.back());
  tokens.pop_back();
  token.revoked = true;
  registry_.write(token_key(token.id), wire::encode(context_.config.environment, token),
                  [this, tokens = std::move(tokens), done = std::move(done)](Result<bool> applied) {
                    if (applied) return revoke(tokens, done);
                    done(fail(Errc::unavailable, "SERVICE_UNAVAILABLE",
                              "the log did not acknowledge that a token is revoked: it may still be valid",
                              "repeat the command"));
                  });
}

void Commands::begin_request(RequestClaim claim, Answer<ClaimedRequest> answer) {
  requests_.begin(std::move(claim), std::move(answer));
}

void Commands::end_request(RequestEnd end, Answer<bool> answer) {
  requests_.end(std::move(end), std::move(answer));
}

void Commands::open_answer(TenantId tenant, std::string sealed, Answer<Secret> answer) {
  answer(requests_.open(tenant, sealed));
}

void Commands::grant_of(std::string token_hash_hex, Answer<std::optional<Grant>> answer) {
  auto grant = registry_.registry().grant_of(token_hash_hex, to_ms(context_.ports.clock.wall()));
  if (!grant && !registry_.read_once()) {
    // Just started: which tokens there are is not known yet.
    return answer(fail(Errc::unavailable, "SERVICE_UNAVAILABLE", "the registry is not read yet",
                       "try again in a moment; /readyz says when"));
  }
  if (grant) note_use(grant->token_id);
  answer(std::move(grant));
}

}  // namespace postrider::flow
