#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/ports/log.h"
#include "engine/wire/cloud_event.h"

// Publishing: one event, a batch, and a test event to one endpoint.
namespace postrider {
namespace {

constexpr std::size_t kBatchEventsMax = 1000;
constexpr std::string_view kTestType = "postrider.test";

Error error_of(BadEvent bad) {
  switch (bad) {
    case BadEvent::oversize:
      return {Errc::invalid, "PAYLOAD_TOO_LARGE", "the event's data is larger than 256 KiB",
              "put the data elsewhere and send a reference to it"};
    case BadEvent::no_tenant:
      return {Errc::invalid, "TENANT_REQUIRED", "the event names no tenant",
              "set the extension attribute `tenant` (header ce-tenant)"};
    case BadEvent::bad_tenant:
      return {Errc::invalid, "INVALID_TENANT", "the event's tenant is no tenant id",
              "use 1 to 64 of A-Z, a-z, 0-9, _ and -"};
    case BadEvent::foreign_environment:
      return {Errc::denied, "ENVIRONMENT_MISMATCH", "the event is of another environment",
              "publish it there, or leave the attribute `environment` out"};
    case BadEvent::undecodable:
    case BadEvent::bad_attribute:
      break;
  }
  return {Errc::invalid, "INVALID_EVENT", "an attribute of the event is missing or malformed",
          "give id, source and type as CloudEvents 1.0 asks, as printable text"};
}

// What the caller may publish: of the token's tenant, and none of ours.
Result<Event> judged(Result<Event> event, const Call& call, const Environment& environment) {
  if (!event) return event;
  if (event->tenant.empty()) event->tenant = call.grant.tenant;
  if (!event->tenant.empty() && !call.grant.sees(event->tenant))
    return fail(permission_denied("the event names a tenant that is not the token's",
                                  "leave the attribute `tenant` out, or name the token's own"));
  if (event->target || !event->replay_job.empty())
    return fail(Errc::invalid, "INVALID_EVENT", "the attributes target and replayjob belong to replays",
                "leave them out; POST /v1/replays makes a replay");
  if (const auto bad = check(*event, environment)) return fail(error_of(*bad));
  return event;
}

Json view_of(const Published& published, const Environment& environment) {
  return {{"id", published.event_id},
          {"webhook_id", published.webhook_id.str()},
          {"topic", full_name(environment, Topic::events)},
          {"partition", published.position.partition},
          {"offset", published.position.offset}};
}

// A batch on its way: an answer an event, in the batch's order. Shared by the events that it waits for.
struct Batch {
  Batch(CallPtr c, std::size_t count) : call(std::move(c)), results(count), waiting(count) {}

  void note(std::size_t at, const Result<Published>& published, const Environment& environment) {
    if (published) {
      results[at] = view_of(*published, environment);
      results[at]["status"] = 202;
    } else {
      all_taken = false;
      const auto& error = published.error();
      results[at] = {{"status", status_of(error)},
                     {"code", error.code},
                     {"message", error.message},
                     {"suggestion", error.suggestion},
                     {"retryable", error.retryable()}};
    }
    if (--waiting == 0) call->answer(json_answer(all_taken ? 202 : 207, {{"results", std::move(results)}}));
  }

  CallPtr call;
  std::vector<Json> results;
  std::size_t waiting;
  bool all_taken = true;
};

Service::Answer<Published> show_published(const CallPtr& call, const Environment& environment) {
  return [call, environment](Result<Published> published) {
    if (!published) return call->refuse(published.error());
    call->answer(json_answer(202, view_of(*published, environment)));
  };
}

}  // namespace

void Routes::post_event(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  if (wire::is_batch(call->request.headers)) return post_batch(std::move(call));
  auto event =
      judged(wire::decode_http(call->request.headers, call->request.body), *call, options.environment);
  if (!event) return call->refuse(event.error());
  service.publish(std::move(*event), !call->grant.tenant.empty(), show_published(call, options.environment));
}

void Routes::post_batch(CallPtr call) {
  auto events = wire::decode_batch(call->request.body);
  if (!events) return call->refuse(events.error());
  if (events->empty() || events->size() > kBatchEventsMax)
    return call->refuse({Errc::invalid, "INVALID_REQUEST",
                         "the batch holds " + std::to_string(events->size()) + " events",
                         "send 1 to " + std::to_string(kBatchEventsMax) + " in one batch"});
  auto batch = std::make_shared<Batch>(call, events->size());
  for (std::size_t at = 0; at < events->size(); ++at) {
    auto event = judged(std::move((*events)[at]), *call, options.environment);
    if (!event) {
      batch->note(at, fail(event.error()), options.environment);
      continue;
    }
    service.publish(std::move(*event), !call->grant.tenant.empty(),
                    [batch, at, environment = options.environment](const Result<Published>& published) {
                      batch->note(at, published, environment);
                    });
  }
}

void Routes::test_endpoint(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  for (const auto& part : call->path)
    if (!is_tenant_or_endpoint_id(part))
      return call->refuse({Errc::invalid, "INVALID_REQUEST", "the path names no tenant or endpoint id",
                           "use 1 to 64 of A-Z, a-z, 0-9, _ and -"});
  auto body = parse_body(call->request);
  if (!body) return call->refuse(body.error());
  Fields fields(*body);
  Event event;
  event.type = fields.text("type", 255).value_or(std::string(kTestType));
  if (auto done = fields.done(); !done) return call->refuse(done.error());
  event.id = call->named("test_");
  event.source = "/postrider/test";
  event.time = rfc3339(desk.now_ms());
  event.datacontenttype = "application/json";
  event.data = R"({"test":true})";
  const auto tenant = call->as_seen(TenantId(call->path[0]));
  Event whole = event;  // as it will be, to be judged
  whole.id = "test_0";
  whole.tenant = TenantId(call->path[0]);
  if (const auto bad = check(whole, options.environment)) return call->refuse(error_of(*bad));
  service.publish_to(tenant, EndpointId(call->path[1]), std::move(event),
                     show_published(call, options.environment));
}

}  // namespace postrider
