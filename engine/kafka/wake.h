#pragma once
#include <librdkafka/rdkafka.h>

namespace postrider::kafka {

// The one descriptor that a shard sleeps on: an eventfd that every queue of its clients writes to when it
// turns from empty to non-empty, and our own threads besides.
class Wake {
 public:
  Wake();
  ~Wake();
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  int fd() const { return fd_; }
  void signal() const;  // any thread
  void drain() const;   // before the queues are polled, so that what comes meanwhile is not missed
  // librdkafka writes under the queue's lock: the descriptor must never block (8 bytes, non-blocking).
  void attach(rd_kafka_queue_t* queue) const;

 private:
  int fd_;
};

}  // namespace postrider::kafka
