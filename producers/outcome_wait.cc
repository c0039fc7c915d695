#include "producers/outcome_wait.h"

#include "producers/http_outcome_wait.h"
#include "producers/kafka_outcome_wait.h"

namespace postrider::producers {

Result<std::unique_ptr<OutcomeWait>> open_outcome_wait(const PublisherOptions& options) {
  if (options.to.starts_with("kafka://")) return open_kafka_outcome_wait(options);
  return make_http_outcome_wait(options);
}

}  // namespace postrider::producers
