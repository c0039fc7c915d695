#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "producers/first_outcomes.h"
#include "producers/publisher.h"

// Waits until every delivery of published events has its first outcome: the work of `postrider-publish
// --wait`.
namespace postrider::producers {

class OutcomeWait {
 public:
  virtual ~OutcomeWait() = default;
  // How many of `published` still miss an outcome at the end of `span`; 0: all are known. `each` hears of
  // every outcome as it comes, on the calling thread. Errc::unavailable when nobody answers any more.
  virtual Result<std::size_t> wait(const std::vector<PublishedEvent>& published, Millis span,
                                   const std::function<void(const FirstOutcome&)>& each) = 0;
};

// Before publishing: it notes where the facts begin. Kafka: reads `attempts` (needs READ on it). HTTP: asks
// /v1/deliveries.
Result<std::unique_ptr<OutcomeWait>> open_outcome_wait(const PublisherOptions& options);

}  // namespace postrider::producers
