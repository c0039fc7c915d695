// deliveries show ID
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

void show_delivery(const Output& out, const Json& delivery) {
  const auto reason = text(delivery, "reason");
  const auto next = text(delivery, "next_at");
  out.line(printable(text(delivery, "delivery_id")) + "  " + printable(text(delivery, "tenant")) + "/" +
           printable(text(delivery, "endpoint")) + "  " + printable(text(delivery, "type")) + "  " +
           printable(text(delivery, "state")) + (reason.empty() ? "" : " (" + printable(reason) + ")") +
           (next.empty() ? "" : ", next attempt at " + short_time(delivery, "next_at")));
  out.line("    event " + printable(text(delivery, "event_id")) + ", webhook-id " +
           printable(text(delivery, "webhook_id")));
  for (const auto& attempt : list(delivery, "attempts")) {
    const auto code = text(attempt, "code");
    out.line("    attempt " + std::to_string(number(attempt, "n")) + "  " + short_time(attempt, "at") + "  " +
             (member(attempt, "status").is_number() ? std::to_string(number(attempt, "status"))
                                                    : std::string("-")) +
             "  " + (code.empty() ? "delivered" : printable(code)) + "  " +
             std::to_string(number(attempt, "duration_ms")) + " ms");
  }
}

}  // namespace

Result<int> deliveries_show(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->get("/v1/deliveries/" + encoded(session.line().id));
  if (!answer) return fail(answer.error());
  const auto& out = session.out();
  const auto& deliveries = list(*answer, "deliveries");
  for (const auto& delivery : deliveries) {
    if (out.json())
      out.object(delivery);
    else
      show_delivery(out, delivery);
  }
  const auto why = text(*answer, "explanation");
  if (out.json() && deliveries.empty())
    out.object({{"id", session.line().id}, {"state", nullptr}, {"explanation", why}});
  else if (!why.empty())
    out.line((deliveries.empty() ? "No delivery: " : "Note: ") + printable(why));
  return kDone;
}

}  // namespace postrider::ops
