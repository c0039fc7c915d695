#pragma once
#include <optional>
#include <string>
#include <vector>

#include "producers/first_outcomes.h"
#include "producers/http_request.h"
#include "producers/publisher.h"

// The API's JSON answers as values. Pure.
namespace postrider::producers {

// 202 of POST /v1/events; anything else is the problem it carries, as an Error.
Result<PublishedEvent> read_published(const HttpAnswer& answer);

// A problem document (RFC 9457 with code, message, suggestion), or what can be said without one.
Error read_problem(const HttpAnswer& answer);

// What GET /v1/deliveries/{id} says of one event.
struct DeliverySeen {
  std::string delivery_id, endpoint;
  Position position;         // of the event in `events`
  std::size_t fan_out = 0;   // how many deliveries the event has; 0: not known yet
  bool has_outcome = false;  // an attempt was made, or none will be
  OutcomeKind kind = OutcomeKind::none;
  std::string text;  // of its first attempt, or of its end
};
struct DeliveriesSeen {
  std::vector<DeliverySeen> deliveries;
  std::string explanation;  // why there are none; empty: nothing to explain
  bool pending = false;     // there may be some yet
};
// 404 is an answer too: nothing is known yet.
Result<DeliveriesSeen> read_deliveries(const HttpAnswer& answer);

}  // namespace postrider::producers
