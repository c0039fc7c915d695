#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/ports/log.h"
#include "engine/wire/cloud_event.h"

namespace postrider {
namespace {

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

}  // namespace

void Routes::post_event(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  auto event = wire::decode_http(call->request.headers, call->request.body);
  if (!event) return call->refuse(event.error());
  if (event->tenant.empty()) event->tenant = call->grant.tenant;
  if (!event->tenant.empty() && !call->grant.sees(event->tenant))
    return call->refuse(permission_denied("the event names a tenant that is not the token's",
                                          "leave the attribute `tenant` out, or name the token's own"));
  if (event->target || !event->replay_job.empty())
    return call->refuse({Errc::invalid, "INVALID_EVENT",
                         "the attributes target and replayjob belong to replays",
                         "leave them out; POST /v1/replays makes a replay"});
  if (const auto bad = check(*event, options.environment)) return call->refuse(error_of(*bad));
  service.publish(std::move(*event), [call, environment = options.environment](Result<Published> published) {
    if (!published) return call->refuse(published.error());
    call->answer(json_answer(202, {{"id", published->event_id},
                                   {"webhook_id", published->webhook_id.str()},
                                   {"topic", full_name(environment, Topic::events)},
                                   {"partition", published->position.partition},
                                   {"offset", published->position.offset}}));
  });
}

}  // namespace postrider
