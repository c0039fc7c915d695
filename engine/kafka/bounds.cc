#include "engine/kafka/bounds.h"

#include <thread>

namespace postrider::kafka {
namespace {

// Leaders move, are elected, or do not know their end yet: all of it passes by itself.
bool passes(rd_kafka_resp_err_t err) {
  switch (err) {
    case RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION:
    case RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_OFFSET_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_FENCED_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH:
    case RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
      return true;
    default:
      return false;
  }
}

struct Asked {
  PartitionList list;
  rd_kafka_resp_err_t err = RD_KAFKA_RESP_ERR_NO_ERROR;
  TopicPartition where{};  // of the error
};

// ListOffsets takes the logical offsets (end -1, beginning -2) in place of a time.
Asked ask(const Client& client, const Environment& environment, std::span<const TopicPartition> which,
          std::int64_t what, Millis timeout) {
  Asked asked{PartitionList(rd_kafka_topic_partition_list_new(static_cast<int>(which.size())))};
  for (const auto& [topic, partition] : which) {
    const std::string name = full_name(environment, topic);
    rd_kafka_topic_partition_list_add(asked.list.get(), name.c_str(), partition)->offset = what;
  }
  asked.err = rd_kafka_offsets_for_times(client.get(), asked.list.get(), static_cast<int>(timeout.count()));
  asked.where = which.front();
  for (int i = 0; !asked.err && i < asked.list->cnt; ++i) {
    asked.err = asked.list->elems[i].err;
    asked.where = which[static_cast<std::size_t>(i)];
  }
  return asked;
}

Result<std::vector<Offset>> list(const Client& client, const Environment& environment,
                                 std::span<const TopicPartition> which, std::int64_t what, Millis timeout) {
  if (which.empty()) return {};
  const SteadyTime deadline = steady_now() + timeout;
  for (Millis left = timeout;;) {
    const Asked asked = ask(client, environment, which, what, left);
    left = deadline - steady_now();
    if (asked.err && passes(asked.err) && left > Millis(50)) {
      std::this_thread::sleep_for(Millis(50));
      continue;
    }
    if (asked.err)
      return fail(to_error(asked.err, "asking for the offsets of " +
                                          full_name(environment, asked.where.topic) + " " +
                                          std::to_string(asked.where.partition)));
    std::vector<Offset> offsets;
    for (const auto& [topic, partition] : which)
      offsets.push_back(rd_kafka_topic_partition_list_find(asked.list.get(),
                                                           full_name(environment, topic).c_str(), partition)
                            ->offset);
    return offsets;
  }
}

}  // namespace

Result<std::vector<Offset>> ends_of(const Client& client, const Environment& environment,
                                    std::span<const TopicPartition> which, Millis timeout) {
  return list(client, environment, which, RD_KAFKA_OFFSET_END, timeout);
}

Result<std::vector<Offset>> begins_of(const Client& client, const Environment& environment,
                                      std::span<const TopicPartition> which, Millis timeout) {
  return list(client, environment, which, RD_KAFKA_OFFSET_BEGINNING, timeout);
}

Result<std::optional<Offset>> offset_at(const Client& client, const Environment& environment,
                                        TopicPartition which, LogTime time, Millis timeout) {
  auto found = list(client, environment, {&which, 1}, std::max<std::int64_t>(to_ms(time), 0), timeout);
  if (!found) return fail(found.error());
  if (found->front() < 0) return std::nullopt;
  return found->front();
}

}  // namespace postrider::kafka
