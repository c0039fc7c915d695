#include "producers/http_answer.h"

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>
#include <utility>

namespace postrider::producers {
namespace {

using nlohmann::json;

std::string text_at(const json& object, const char* name) {
  const auto found = object.is_object() ? object.find(name) : object.end();
  if (!object.is_object() || found == object.end() || !found->is_string()) return {};
  return found->get<std::string>();
}

std::optional<std::int64_t> number_at(const json& object, const char* name) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  return found->get<std::int64_t>();
}

Errc errc_of(long status) {
  switch (status) {
    case 401:
    case 403:
      return Errc::denied;
    case 404:
      return Errc::not_found;
    case 409:
      return Errc::conflict;
    case 429:
      return Errc::overloaded;
    default:
      return status >= 500 ? Errc::unavailable : Errc::invalid;
  }
}

// The API writes codes in capitals, and HTTP_503 beside the status; null: a success.
std::string error_of(const json& attempt) {
  auto code = text_at(attempt, "code");
  if (code.starts_with("HTTP_")) return {};
  std::transform(code.begin(), code.end(), code.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return code;
}

// What became of the delivery after its first attempt alone: later ones may have changed its state.
OutcomeKind first_kind(const json& attempts, const std::string& state) {
  if (text_at(attempts.front(), "code").empty()) return OutcomeKind::delivered;
  if (attempts.size() > 1) return OutcomeKind::parked;
  if (state == "dead") return OutcomeKind::dead;
  return state == "cancelled" ? OutcomeKind::cancelled : OutcomeKind::parked;
}

void read_first_attempt(const json& delivery, const json& attempts, DeliverySeen& seen) {
  const auto& first = attempts.front();
  const auto retry_at = attempts.size() > 1 ? text_at(attempts[1], "at") : text_at(delivery, "next_at");
  seen.has_outcome = true;
  seen.kind = first_kind(attempts, text_at(delivery, "state"));
  seen.text = attempt_text(seen.kind, number_at(first, "status").value_or(0), error_of(first), retry_at);
}

// It ended without an attempt that is still known.
void read_end(const json& delivery, DeliverySeen& seen) {
  const auto state = text_at(delivery, "state"), reason = text_at(delivery, "reason");
  for (const auto kind : {OutcomeKind::delivered, OutcomeKind::dead, OutcomeKind::cancelled}) {
    if (state != name_of(kind)) continue;
    seen.has_outcome = true;
    seen.kind = kind;
    seen.text = state + (reason.empty() ? "" : ": " + reason);
  }
}

DeliverySeen read_delivery(const json& object) {
  DeliverySeen seen;
  seen.delivery_id = text_at(object, "delivery_id");
  seen.endpoint = text_at(object, "endpoint");
  seen.fan_out =
      static_cast<std::size_t>(std::max<std::int64_t>(0, number_at(object, "fan_out").value_or(0)));
  if (object.is_object() && object.contains("position")) {
    seen.position.partition = static_cast<Partition>(number_at(object["position"], "partition").value_or(-1));
    seen.position.offset = number_at(object["position"], "offset").value_or(-1);
  }
  const auto attempts = object.is_object() ? object.find("attempts") : object.end();
  if (object.is_object() && attempts != object.end() && attempts->is_array() && !attempts->empty()) {
    read_first_attempt(object, *attempts, seen);
  } else {
    read_end(object, seen);
  }
  return seen;
}

}  // namespace

Error read_problem(const HttpAnswer& answer) {
  const auto body = json::parse(answer.body, nullptr, false);
  Error error{errc_of(answer.status), text_at(body, "code"), text_at(body, "message"),
              text_at(body, "suggestion")};
  if (answer.status == 401) error.suggestion = "give a valid token in POSTRIDER_TOKEN or --token-file";
  if (error.code.empty()) error.code = "UNEXPECTED_ANSWER";
  if (error.message.empty()) error.message = "the answer was HTTP " + std::to_string(answer.status);
  if (error.suggestion.empty()) {
    error.suggestion = error.errc == Errc::denied ? "take a token that may do this"
                                                  : "check that the address is Postrider's";
  }
  return error;
}

Result<PublishedEvent> read_published(const HttpAnswer& answer) {
  if (answer.status != 202) return fail(read_problem(answer));
  const auto body = json::parse(answer.body, nullptr, false);
  const auto partition = number_at(body, "partition");
  const auto offset = number_at(body, "offset");
  PublishedEvent published{
      text_at(body, "id"), WebhookId(text_at(body, "webhook_id")), text_at(body, "topic"), {}};
  if (published.id.empty() || published.webhook_id.empty() || !partition || !offset) {
    return fail(Errc::unavailable, "UNEXPECTED_ANSWER", "the answer was 202, and yet not Postrider's",
                "check that the address is Postrider's");
  }
  published.position = {static_cast<Partition>(*partition), *offset};
  return published;
}

Result<DeliveriesSeen> read_deliveries(const HttpAnswer& answer) {
  if (answer.status == 404) return DeliveriesSeen{};
  if (answer.status != 200) return fail(read_problem(answer));
  const auto body = json::parse(answer.body, nullptr, false);
  if (!body.is_object() || !body.contains("deliveries") || !body["deliveries"].is_array()) {
    return fail(Errc::unavailable, "UNEXPECTED_ANSWER", "the answer names no deliveries",
                "check that the address is Postrider's");
  }
  DeliveriesSeen seen;
  for (const auto& delivery : body["deliveries"]) seen.deliveries.push_back(read_delivery(delivery));
  seen.explanation = text_at(body, "explanation");
  seen.pending = body.value("pending", json(false)) == json(true);
  return seen;
}

}  // namespace postrider::producers
