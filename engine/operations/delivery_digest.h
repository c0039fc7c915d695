#pragma once
#include "engine/core/bytes.h"
#include "engine/core/ids.h"

namespace postrider {

// What stands for a delivery id where millions are held: its own hash, or one of what is no delivery id.
inline Hash128 digest_of(std::string_view delivery_id) {
  const auto hash = hash_of(delivery_id);
  return hash ? *hash : hash128({&delivery_id, 1});
}
inline Hash128 digest_of(const DeliveryId& id) {
  return digest_of(std::string_view(id.str()));
}

}  // namespace postrider
