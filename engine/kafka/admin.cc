#include "engine/kafka/admin.h"

namespace postrider::kafka {
namespace {

using Options = std::unique_ptr<rd_kafka_AdminOptions_t, Destroyer<rd_kafka_AdminOptions_destroy>>;
using Resource = std::unique_ptr<rd_kafka_ConfigResource_t, Destroyer<rd_kafka_ConfigResource_destroy>>;
using NewTopic = std::unique_ptr<rd_kafka_NewTopic_t, Destroyer<rd_kafka_NewTopic_destroy>>;
using NewPartitions = std::unique_ptr<rd_kafka_NewPartitions_t, Destroyer<rd_kafka_NewPartitions_destroy>>;

// One call and its answer: `call(options, queue)`.
Result<Event> ask(const Client& client, rd_kafka_admin_op_t op, Millis timeout, std::string_view doing,
                  const auto& call) {
  const Options options(rd_kafka_AdminOptions_new(client.get(), op));
  char why[256];
  rd_kafka_AdminOptions_set_request_timeout(options.get(), static_cast<int>(timeout.count()), why,
                                            sizeof why);
  if (op == RD_KAFKA_ADMIN_OP_CREATETOPICS || op == RD_KAFKA_ADMIN_OP_CREATEPARTITIONS)
    rd_kafka_AdminOptions_set_operation_timeout(options.get(), static_cast<int>(timeout.count()), why,
                                                sizeof why);
  const Queue queue(rd_kafka_queue_new(client.get()));
  call(options.get(), queue.get());
  Event event(rd_kafka_queue_poll(queue.get(), static_cast<int>(timeout.count()) + 1000));
  if (!event) return fail(to_error(RD_KAFKA_RESP_ERR__TIMED_OUT, doing));
  if (const auto err = rd_kafka_event_error(event.get()))
    return fail(to_error(err, doing, rd_kafka_event_error_string(event.get())));
  return event;
}

Result<std::vector<const rd_kafka_ConfigEntry_t*>> describe(const Client& client,
                                                            rd_kafka_ResourceType_t type,
                                                            const std::string& name, Millis timeout,
                                                            Event& keep) {
  const Resource resource(rd_kafka_ConfigResource_new(type, name.c_str()));
  rd_kafka_ConfigResource_t* resources[] = {resource.get()};
  const std::string doing = "reading the settings of " + name;
  auto event =
      ask(client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, timeout, doing, [&](auto* options, auto* queue) {
        rd_kafka_DescribeConfigs(client.get(), resources, 1, options, queue);
      });
  if (!event) return fail(event.error());
  keep = std::move(*event);
  std::size_t count = 0;
  const auto* result = rd_kafka_event_DescribeConfigs_result(keep.get());
  const auto** described = rd_kafka_DescribeConfigs_result_resources(result, &count);
  if (count != 1) return fail(to_error(RD_KAFKA_RESP_ERR__FAIL, doing));
  if (const auto err = rd_kafka_ConfigResource_error(described[0]))
    return fail(to_error(err, doing, rd_kafka_ConfigResource_error_string(described[0])));
  const auto** entries = rd_kafka_ConfigResource_configs(described[0], &count);
  return std::vector<const rd_kafka_ConfigEntry_t*>(entries, entries + count);
}

void put(Entries& into, const rd_kafka_ConfigEntry_t* entry) {
  const char* value = rd_kafka_ConfigEntry_value(entry);
  into[rd_kafka_ConfigEntry_name(entry)] = value ? value : "";
}

}  // namespace

Result<bool> make_topic(const Client& client, const TopicToMake& topic, Millis timeout) {
  char why[256] = "";
  const NewTopic fresh(
      rd_kafka_NewTopic_new(topic.name.c_str(), topic.partitions, topic.replication, why, sizeof why));
  if (!fresh)
    return fail(Errc::invalid, "INVALID_TOPIC", "the topic " + topic.name + " cannot be made: " + why,
                "correct --partitions and --replication");
  for (const auto& [name, value] : topic.settings)
    rd_kafka_NewTopic_set_config(fresh.get(), name.c_str(), value.c_str());
  rd_kafka_NewTopic_t* topics[] = {fresh.get()};
  const std::string doing = "making the topic " + topic.name;
  auto event = ask(client, RD_KAFKA_ADMIN_OP_CREATETOPICS, timeout, doing, [&](auto* options, auto* queue) {
    rd_kafka_CreateTopics(client.get(), topics, 1, options, queue);
  });
  if (!event) return fail(event.error());
  std::size_t count = 0;
  const auto** results =
      rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event->get()), &count);
  const auto err = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
  if (err == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) return false;
  if (!err) return true;
  const char* detail = count == 1 ? rd_kafka_topic_result_error_string(results[0]) : nullptr;
  Error error = to_error(err, doing, detail ? detail : "");
  if (err == RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR)
    error = {Errc::invalid, "INVALID_TOPIC", error.message,
             "ask for no more replicas than there are brokers"};
  return fail(std::move(error));
}

Result<void> set_partitions(const Client& client, const std::string& topic, Partition total, Millis timeout) {
  char why[256] = "";
  const NewPartitions fresh(
      rd_kafka_NewPartitions_new(topic.c_str(), static_cast<std::size_t>(total), why, sizeof why));
  if (!fresh)
    return fail(Errc::invalid, "INVALID_TOPIC", topic + " cannot grow: " + why, "correct --partitions");
  rd_kafka_NewPartitions_t* parts[] = {fresh.get()};
  const std::string doing = "growing the topic " + topic;
  auto event = ask(
      client, RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, timeout, doing,
      [&](auto* options, auto* queue) { rd_kafka_CreatePartitions(client.get(), parts, 1, options, queue); });
  if (!event) return fail(event.error());
  std::size_t count = 0;
  const auto** results =
      rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(event->get()), &count);
  const auto err = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__FAIL;
  if (!err) return {};
  const char* detail = count == 1 ? rd_kafka_topic_result_error_string(results[0]) : nullptr;
  return fail(to_error(err, doing, detail ? detail : ""));
}

Result<Described> describe_topic(const Client& client, const std::string& topic, Millis timeout) {
  Event keep;
  auto entries = describe(client, RD_KAFKA_RESOURCE_TOPIC, topic, timeout, keep);
  if (!entries) return fail(entries.error());
  Described described;
  for (const auto* entry : *entries) {
    put(described.all, entry);
    if (rd_kafka_ConfigEntry_source(entry) == RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG)
      put(described.explicit_, entry);
  }
  return described;
}

Result<Entries> describe_broker(const Client& client, int broker, Millis timeout) {
  Event keep;
  auto entries = describe(client, RD_KAFKA_RESOURCE_BROKER, std::to_string(broker), timeout, keep);
  if (!entries) return fail(entries.error());
  Entries all;
  for (const auto* entry : *entries) put(all, entry);
  return all;
}

Result<void> set_settings(const Client& client, const std::string& topic, const Entries& settings,
                          Millis timeout) {
  const Resource resource(rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic.c_str()));
  for (const auto& [name, value] : settings)
    rd_kafka_ConfigResource_set_config(resource.get(), name.c_str(), value.c_str());
  rd_kafka_ConfigResource_t* resources[] = {resource.get()};
  const std::string doing = "setting up the topic " + topic;
  auto event = ask(client, RD_KAFKA_ADMIN_OP_ALTERCONFIGS, timeout, doing, [&](auto* options, auto* queue) {
    rd_kafka_AlterConfigs(client.get(), resources, 1, options, queue);
  });
  if (!event) return fail(event.error());
  std::size_t count = 0;
  const auto** altered =
      rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(event->get()), &count);
  const auto err = count == 1 ? rd_kafka_ConfigResource_error(altered[0]) : RD_KAFKA_RESP_ERR__FAIL;
  if (!err) return {};
  const char* detail = count == 1 ? rd_kafka_ConfigResource_error_string(altered[0]) : nullptr;
  return fail(to_error(err, doing, detail ? detail : ""));
}

}  // namespace postrider::kafka
