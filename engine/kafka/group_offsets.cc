#include "engine/kafka/group_offsets.h"

#include <cstring>
#include <thread>

#include "engine/kafka/client.h"

namespace postrider {
namespace {

using kafka::Client;
using kafka::Destroyer;
using kafka::PartitionList;
using kafka::to_error;
using Request = std::unique_ptr<rd_kafka_AlterConsumerGroupOffsets_t,
                                Destroyer<rd_kafka_AlterConsumerGroupOffsets_destroy>>;

constexpr Millis kPatience{15'000};

// A member of nothing: it never subscribes.
Result<std::unique_ptr<Client>> open(const KafkaConfig& config) {
  if (auto done = check(config); !done) return fail(done.error());
  return Client::open(
      config, RD_KAFKA_CONSUMER,
      {{"group.id", config.group()}, {"enable.auto.commit", "false"}, {"auto.offset.reset", "error"}});
}

PartitionList list_of(const KafkaConfig& config, Partition first, Partition count) {
  PartitionList list(rd_kafka_topic_partition_list_new(count));
  const std::string name = full_name(config.environment, Topic::events);
  for (Partition i = 0; i < count; ++i)
    rd_kafka_topic_partition_list_add(list.get(), name.c_str(), first + i);
  return list;
}
PartitionList one(const KafkaConfig& config, Partition partition) {
  return list_of(config, partition, 1);
}

Result<std::vector<std::optional<Offset>>> committed(const KafkaConfig& config, PartitionList list) {
  auto client = open(config);
  if (!client) return fail(client.error());
  const auto err = rd_kafka_committed((*client)->get(), list.get(), static_cast<int>(kPatience.count()));
  if (err) return fail(to_error(err, "asking for the group's offsets"));
  std::vector<std::optional<Offset>> offsets;
  for (int i = 0; i < list->cnt; ++i) {
    const auto& each = list->elems[i];
    if (each.err) return fail(to_error(each.err, "asking for the group's offsets"));
    offsets.push_back(each.offset < 0 ? std::nullopt : std::optional(each.offset));
  }
  return offsets;
}

rd_kafka_resp_err_t alter(const Client& client, const KafkaConfig& config,
                          const rd_kafka_topic_partition_list_t& offsets) {
  const Request request(rd_kafka_AlterConsumerGroupOffsets_new(config.group().c_str(), &offsets));
  rd_kafka_AlterConsumerGroupOffsets_t* requests[] = {request.get()};
  const kafka::Queue queue(rd_kafka_queue_new(client.get()));
  rd_kafka_AlterConsumerGroupOffsets(client.get(), requests, 1, nullptr, queue.get());
  const kafka::Event event(rd_kafka_queue_poll(queue.get(), static_cast<int>(kPatience.count())));
  if (!event) return RD_KAFKA_RESP_ERR__TIMED_OUT;
  if (const auto err = rd_kafka_event_error(event.get())) return err;
  std::size_t count = 0;
  const auto* result = rd_kafka_event_AlterConsumerGroupOffsets_result(event.get());
  const auto** groups = rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &count);
  if (count != 1) return RD_KAFKA_RESP_ERR__FAIL;
  if (const auto* error = rd_kafka_group_result_error(groups[0])) return rd_kafka_error_code(error);
  const auto* partitions = rd_kafka_group_result_partitions(groups[0]);
  return partitions && partitions->cnt == 1 ? partitions->elems[0].err : RD_KAFKA_RESP_ERR__FAIL;
}

bool passes(rd_kafka_resp_err_t err) {
  return err == RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE || err == RD_KAFKA_RESP_ERR_NOT_COORDINATOR ||
         err == RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS || err == RD_KAFKA_RESP_ERR__WAIT_COORD;
}

bool has_members(rd_kafka_resp_err_t err) {
  return err == RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID || err == RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION ||
         err == RD_KAFKA_RESP_ERR_NON_EMPTY_GROUP;
}

Error members_left() {
  return {Errc::conflict, "GROUP_IN_USE",
          "the consumer group still has members, and takes commits from them alone",
          "stop every daemon of this environment, wait for one session timeout (15 s), and run this again"};
}

}  // namespace

Result<std::optional<Offset>> group_offset(const KafkaConfig& config, Partition partition) {
  auto offsets = committed(config, one(config, partition));
  if (!offsets) return fail(offsets.error());
  return offsets->front();
}

Result<std::vector<std::optional<Offset>>> group_offsets(const KafkaConfig& config, Partition partitions) {
  return committed(config, list_of(config, 0, partitions));
}

Result<void> set_group_offset(const KafkaConfig& config, Partition partition, Offset offset,
                              const std::string& metadata) {
  auto client = open(config);
  if (!client) return fail(client.error());
  const auto list = one(config, partition);
  list->elems[0].offset = offset;
  list->elems[0].metadata = strdup(metadata.c_str());  // the list's: it frees it
  list->elems[0].metadata_size = metadata.size();
  // Of a group that was never there, the coordinator is only now chosen: that passes.
  const auto deadline = kafka::steady_now() + kPatience;
  auto err = alter(**client, config, *list);
  while (passes(err) && kafka::steady_now() < deadline) {
    std::this_thread::sleep_for(Millis(200));
    err = alter(**client, config, *list);
  }
  if (has_members(err)) return fail(members_left());
  if (err) return fail(to_error(err, "setting the group's offset"));
  return {};
}

}  // namespace postrider
