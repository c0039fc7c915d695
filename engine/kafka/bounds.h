#pragma once
#include <span>
#include <vector>

#include "engine/kafka/client.h"

namespace postrider::kafka {

struct TopicPartition {
  Topic topic;
  Partition partition;
};

// The end of each: one above the newest acknowledged record, whatever open transactions stand below it.
// Blocks up to `timeout`. Needs a client that reads uncommitted records. A leader that was just elected and
// does not know its end yet refuses to tell it (KIP-207), so an end is never too low.
Result<std::vector<Offset>> ends_of(const Client& client, const Environment& environment,
                                    std::span<const TopicPartition> which, Millis timeout);
Result<std::vector<Offset>> begins_of(const Client& client, const Environment& environment,
                                      std::span<const TopicPartition> which, Millis timeout);
// First offsets appended at or after `time`; nullopt: none.
Result<std::optional<Offset>> offset_at(const Client& client, const Environment& environment,
                                        TopicPartition which, LogTime time, Millis timeout);

}  // namespace postrider::kafka
