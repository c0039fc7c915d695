// The barest relay from Kafka to HTTP: what append to arrival is compared with. One consumer on all
// partitions of a topic, one multi; each record's value is POSTed to one of the URLs as it comes, with its
// header ce_sentat handed on. No signature, no offsets, no retries. It begins at the topic's end and ends
// when stdin does.
//
//   bench_relay host:port TOPIC URL…
//   → ready            once every partition has been found
//   → {"delivered":1000,"failed":0}
#include <curl/curl.h>
#include <librdkafka/rdkafka.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

namespace {

[[noreturn]] void die(const char* what) {
  std::fprintf(stderr, "bench_relay: %s\n", what);
  std::exit(1);
}

// One POST under way, and kept for the next.
struct Post {
  CURL* easy = nullptr;
  curl_slist* headers = nullptr;
  std::string body;
};

std::size_t swallow(char*, std::size_t size, std::size_t count, void*) {
  return size * count;
}

class Relay {
 public:
  explicit Relay(std::vector<std::string> urls) : urls_(std::move(urls)) {
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(urls_.size() * 16));
  }

  void send(const rd_kafka_message_t& message) {
    Post& post = free_post();
    post.body.assign(static_cast<const char*>(message.payload), message.len);
    curl_slist_free_all(post.headers);
    post.headers = curl_slist_append(nullptr, "Content-Type: application/json");
    post.headers = curl_slist_append(post.headers, "Expect:");
    if (const std::string sent = header(message, "ce_sentat"); !sent.empty())
      post.headers = curl_slist_append(post.headers, ("ce-sentat: " + sent).c_str());
    curl_easy_setopt(post.easy, CURLOPT_URL, urls_[sent_++ % urls_.size()].c_str());
    curl_easy_setopt(post.easy, CURLOPT_HTTPHEADER, post.headers);
    curl_easy_setopt(post.easy, CURLOPT_POSTFIELDS, post.body.data());
    curl_easy_setopt(post.easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(post.body.size()));
    curl_multi_add_handle(multi_, post.easy);
  }

  // Moves what is under way; then sleeps until that moves, or one of `others` has something.
  void step(std::array<curl_waitfd, 2>& others) {
    int running = 0;
    curl_multi_perform(multi_, &running);
    collect();
    curl_multi_poll(multi_, others.data(), static_cast<unsigned>(others.size()), 1000, nullptr);
  }

  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t failed() const { return failed_; }

 private:
  Post& free_post() {
    if (free_.empty()) {
      Post& made = *all_.emplace_back(std::make_unique<Post>());
      made.easy = curl_easy_init();
      curl_easy_setopt(made.easy, CURLOPT_PRIVATE, &made);
      curl_easy_setopt(made.easy, CURLOPT_WRITEFUNCTION, &swallow);
      curl_easy_setopt(made.easy, CURLOPT_NOSIGNAL, 1L);
      curl_easy_setopt(made.easy, CURLOPT_PROXY, "");
      free_.push_back(&made);
    }
    Post& post = *free_.back();
    free_.pop_back();
    return post;
  }

  static std::string header(const rd_kafka_message_t& message, const char* name) {
    rd_kafka_headers_t* headers = nullptr;
    const void* value = nullptr;
    std::size_t size = 0;
    if (rd_kafka_message_headers(&message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR) return {};
    return {static_cast<const char*>(value), size};
  }

  void collect() {
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_, &left)) {
      CURL* easy = message->easy_handle;
      const CURLcode result = message->data.result;
      long status = 0;
      Post* post = nullptr;
      curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
      curl_easy_getinfo(easy, CURLINFO_PRIVATE, &post);
      curl_multi_remove_handle(multi_, easy);
      ++(result == CURLE_OK && status / 100 == 2 ? delivered_ : failed_);
      free_.push_back(post);
    }
  }

  const std::vector<std::string> urls_;
  CURLM* multi_ = curl_multi_init();
  std::vector<std::unique_ptr<Post>> all_;
  std::vector<Post*> free_;
  std::uint64_t sent_ = 0, delivered_ = 0, failed_ = 0;
};

void set(rd_kafka_conf_t* conf, const char* name, const char* value) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(conf, name, value, why.data(), why.size()) != RD_KAFKA_CONF_OK) die(why.data());
}

// All partitions of the topic, each from where it ends now.
rd_kafka_topic_partition_list_t* ends_of(rd_kafka_t* client, const char* name) {
  constexpr int kWaitMs = 10'000;
  rd_kafka_topic_t* topic = rd_kafka_topic_new(client, name, nullptr);
  const rd_kafka_metadata_t* metadata = nullptr;
  if (rd_kafka_metadata(client, 0, topic, &metadata, kWaitMs) != RD_KAFKA_RESP_ERR_NO_ERROR)
    die("the broker does not answer");
  auto* list = rd_kafka_topic_partition_list_new(16);
  for (int i = 0; i < metadata->topics[0].partition_cnt; ++i) {
    std::int64_t begin = 0;
    std::int64_t end = 0;
    if (rd_kafka_query_watermark_offsets(client, name, i, &begin, &end, kWaitMs) !=
        RD_KAFKA_RESP_ERR_NO_ERROR)
      die("a partition has no leader");
    rd_kafka_topic_partition_list_add(list, name, i)->offset = end;
  }
  rd_kafka_metadata_destroy(metadata);
  rd_kafka_topic_destroy(topic);
  return list;
}

rd_kafka_t* consumer(const char* brokers) {
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", brokers);
  set(conf, "group.id", "bench-relay");
  set(conf, "enable.auto.commit", "false");
  std::array<char, 512> why{};
  rd_kafka_t* client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why.data(), why.size());
  if (client == nullptr) die(why.data());
  rd_kafka_poll_set_consumer(client);
  return client;
}

}  // namespace

int main(int count, char** words) {
  if (count < 4) die("host:port TOPIC URL…");
  curl_global_init(CURL_GLOBAL_DEFAULT);
  Relay relay({words + 3, words + count});
  rd_kafka_t* client = consumer(words[1]);
  auto* list = ends_of(client, words[2]);
  rd_kafka_assign(client, list);
  rd_kafka_topic_partition_list_destroy(list);

  const int woken = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  const std::uint64_t one = 1;
  rd_kafka_queue_t* queue = rd_kafka_queue_get_consumer(client);
  rd_kafka_queue_io_event_enable(queue, woken, &one, sizeof one);
  std::puts("ready");
  std::fflush(stdout);
  std::array<curl_waitfd, 2> others{curl_waitfd{woken, CURL_WAIT_POLLIN, 0},
                                    curl_waitfd{STDIN_FILENO, CURL_WAIT_POLLIN, 0}};
  while (others[1].revents == 0) {
    std::uint64_t wakes = 0;
    [[maybe_unused]] const auto got = read(woken, &wakes, sizeof wakes);
    while (rd_kafka_message_t* message = rd_kafka_consumer_poll(client, 0)) {
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) relay.send(*message);
      rd_kafka_message_destroy(message);
    }
    relay.step(others);
  }
  std::printf("{\"delivered\":%llu,\"failed\":%llu}\n", static_cast<unsigned long long>(relay.delivered()),
              static_cast<unsigned long long>(relay.failed()));
  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(client);
  rd_kafka_destroy(client);
  return 0;
}
