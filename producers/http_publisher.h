#pragma once
#include <memory>

#include "producers/publisher.h"

namespace postrider::producers {

// POST /v1/events in binary mode, up to 16 at once. Answers 429 and 503 are tried again, as Retry-After says,
// until the event's timeout.
Result<std::unique_ptr<Publisher>> open_http_publisher(PublisherOptions options);

}  // namespace postrider::producers
