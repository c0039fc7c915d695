// How many records a topic of Kafka has had, as its broker says: the sum of its partitions' ends.
//
//   bench_log_end host:port TOPIC → 64000
#include <librdkafka/rdkafka.h>

#include <array>
#include <cstdint>
#include <cstdio>

int main(int count, char** words) {
  if (count != 3) return std::fprintf(stderr, "bench_log_end host:port TOPIC\n"), 2;
  constexpr int kWaitMs = 10'000;
  std::array<char, 512> why{};
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "bootstrap.servers", words[1], why.data(), why.size());
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why.data(), why.size());
  rd_kafka_topic_t* topic = rd_kafka_topic_new(client, words[2], nullptr);
  const rd_kafka_metadata_t* metadata = nullptr;
  rd_kafka_resp_err_t error = rd_kafka_metadata(client, 0, topic, &metadata, kWaitMs);
  std::int64_t records = 0;
  for (int i = 0; error == RD_KAFKA_RESP_ERR_NO_ERROR && i < metadata->topics[0].partition_cnt; ++i) {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    error = rd_kafka_query_watermark_offsets(client, words[2], i, &begin, &end, kWaitMs);
    records += end;
  }
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return std::fprintf(stderr, "%s\n", rd_kafka_err2str(error)), 1;
  std::printf("%lld\n", static_cast<long long>(records));
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(client);
  return 0;
}
