#pragma once
#include <memory>

#include "producers/publisher.h"

namespace postrider::producers {

// Records in binary mode, keyed by tenant and placed by murmur2_random, acknowledged by all replicas in sync.
Result<std::unique_ptr<Publisher>> open_kafka_publisher(PublisherOptions options);

}  // namespace postrider::producers
