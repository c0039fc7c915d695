#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/operations/audit.h"

// Is it alive, is it ready, how is it doing; and the administrator's token.
namespace postrider {

void Routes::get_healthz(CallPtr call) {
  call->answer(json_answer(200, {{"status", "ok"}, {"environment", options.environment.str()}}));
}

void Routes::get_readyz(CallPtr call) {
  service.readiness([call](Result<Readiness> readiness) {
    if (!readiness) return call->refuse(readiness.error());
    const Json body = {{"ready", readiness->ready()},
                       {"log_reachable", readiness->log_reachable},
                       {"registry_read", readiness->registry_read},
                       {"registry_fresh", readiness->registry_fresh},
                       {"store_open", readiness->store_open},
                       {"consuming", readiness->consuming},
                       {"complaints", readiness->complaints},
                       {"notes", readiness->notes}};
    call->answer(json_answer(readiness->ready() ? 200 : 503, body));
  });
}

void Routes::get_metrics(CallPtr call) {
  call->answer({200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}}, metrics()});
}

void Routes::reset_token(CallPtr call) {
  service.rotate_admin_token([call, self = shared_from_this()](Result<Secret> token) {
    if (!token) return call->refuse(token.error());
    self->gate.forget();
    const auto held = std::make_shared<Secret>(*std::move(token));  // the job is copied
    self->tell_outcome(call, audit_of(call->actor, "tokens_reset", "tokens"), nullptr, [call, held] {
      // Written around the JSON library: the token stands in this one string, which the server cleanses.
      std::string body;
      body.reserve(held->reveal().size() + 32);
      body.append("{\"token\":\"").append(held->reveal()).append("\"}\n");
      call->answer(
          {200, {{"Content-Type", "application/json"}, {"Cache-Control", "no-store"}}, std::move(body)});
    });
  });
}

}  // namespace postrider
