#pragma once
#include "producers/outcome_wait.h"

namespace postrider::producers {

Result<std::unique_ptr<OutcomeWait>> open_kafka_outcome_wait(const PublisherOptions& options);

}  // namespace postrider::producers
