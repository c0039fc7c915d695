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

// Until then every instance has either seen the change or holds (DESIGN §5); a second of it is for a deposed
// leader that still answers and hides the change: metadata is refreshed each second.
constexpr Millis kEverywhereAfter = RegistryView::kFreshFor + Millis(1000);

}  // namespace

tl::unexpected<Error> Commands::invalid(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

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
          "ask the platform's operator to lift the suspension, then send it again"};
}

bool Commands::knows_now() const {
  return registry_.fresh(context_.steady());
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

void Commands::begin_request(RequestClaim claim, Answer<ClaimedRequest> answer) {
  requests_.begin(std::move(claim), std::move(answer));
}

void Commands::end_request(RequestEnd end, Answer<bool> answer) {
  requests_.end(std::move(end), std::move(answer));
}

void Commands::open_answer(TenantId tenant, std::string sealed, Answer<Secret> answer) {
  answer(requests_.open(tenant, sealed));
}

}  // namespace postrider::flow
