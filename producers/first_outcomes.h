#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "engine/wire/codec.h"

// Knows from the facts of `attempts` when every delivery of every published event has its first outcome. A
// value; pure. Events are expected before any fact is applied.
namespace postrider::producers {

// What became of one delivery at first, or of an event that has none.
struct FirstOutcome {
  std::string event_id;
  WebhookId webhook_id;
  std::string endpoint;  // empty: of the event as a whole
  std::string text;      // "delivered (200)", "failed (503): retry", "matches no endpoint", …
};

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
  Found of_delivery(const DeliveryRef& delivery, std::size_t fan_out, std::string text);
  Found of_event(Position position, const std::string& text);
  Found of_events(Partition partition, Offset first, Offset last, const std::string& text);

  std::map<Position, Open> open_;
};

}  // namespace postrider::producers
