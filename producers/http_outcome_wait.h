#pragma once
#include "producers/outcome_wait.h"

namespace postrider::producers {

std::unique_ptr<OutcomeWait> make_http_outcome_wait(const PublisherOptions& options);

}  // namespace postrider::producers
