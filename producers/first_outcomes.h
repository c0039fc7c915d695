#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "engine/wire/codec.h"

// Knows from the facts of `attempts` when every delivery of every published event has its first outcome. A
// value; pure. Events are expected before any fact is applied.
namespace postrider::producers {

// A delivery's states as the API names them; none: the event has no delivery, and the text says why.
enum class OutcomeKind { delivered, parked, dead, cancelled, none };
std::string_view name_of(OutcomeKind kind);  // "delivered", …

// What became of one delivery at first, or of an event that has none.
struct FirstOutcome {
  std::string event_id;
  WebhookId webhook_id;
  std::string endpoint;  // empty: of the event as a whole
  OutcomeKind kind = OutcomeKind::none;
  std::string text;  // "delivered (HTTP 200)", "failed (dns), a dead letter", "matches no endpoint", …
};

// One wording for a first attempt, whether the log or the API told of it. `error` as core's code_of(), or
// empty; `retry_at` in RFC 3339, used when `kind` is parked; empty: not known.
std::string attempt_text(OutcomeKind kind, std::int64_t status, std::string_view error,
                         std::string_view retry_at);

class FirstOutcomes {
 public:
  void expect(Position position, std::string event_id, WebhookId webhook_id);
  // Returns what is new of expected events.
  std::vector<FirstOutcome> apply(const wire::AttemptsFact& fact);
  // Expected events of which an outcome is still missing.
  std::size_t missing() const { return open_.size(); }

 private:
  struct Open {
    std::string event_id;
    WebhookId webhook_id;
    std::set<std::string> deliveries;  // with an outcome
    std::size_t fan_out = 0;           // 0: not known yet
  };

  using Found = std::vector<FirstOutcome>;
  Found of_delivery(const DeliveryRef& delivery, std::size_t fan_out, OutcomeKind kind, std::string text);
  Found of_event(Position position, const std::string& text);
  Found of_events(Partition partition, Offset first, Offset last, const std::string& text);

  std::map<Position, Open> open_;
};

}  // namespace postrider::producers
