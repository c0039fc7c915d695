#pragma once
#include <atomic>
#include <cstdint>
#include <mutex>
#include <variant>
#include <vector>

#include "engine/ports/log.h"

namespace postrider::embedded {

// Who waits for an append.
class AppendSink {
 public:
  virtual ~AppendSink() = default;
  virtual void answered(std::uint64_t token, std::size_t bytes, Appended appended) = 0;
};

// What a shard's poll() will hand over: the log's threads put answers in, the shard's thread takes them out.
// Shared between the shard and the requests on their way, so that an answer to a shard that is gone lands
// here and nowhere else.
class Inbox : public AppendSink {
 public:
  struct AppendAnswer {
    std::uint64_t token;
    std::size_t bytes;
    Appended appended;
  };
  struct CommitAnswer {
    Partition partition;
    Offset offset;
    SteadyTime sent_at;
    bool acknowledged;
  };
  struct EndAnswer {
    Topic topic;
    Partition partition;
    Offset end;
    SteadyTime asked_at;
  };
  struct AssignedNotice {
    std::vector<Assignment> assigned;
  };
  struct RevokedNotice {
    std::vector<Partition> revoked;
    bool lost;
  };
  struct ErrorNotice {
    Error error;
  };
  using Answer =
      std::variant<AppendAnswer, CommitAnswer, EndAnswer, AssignedNotice, RevokedNotice, ErrorNotice>;

  Inbox();
  ~Inbox() override;
  Inbox(const Inbox&) = delete;
  Inbox& operator=(const Inbox&) = delete;

  void answered(std::uint64_t token, std::size_t bytes, Appended appended) override {
    put(AppendAnswer{token, bytes, std::move(appended)});
  }
  void put(Answer answer);
  // There are new records to read.
  void wake();
  // Readable after put() and wake(), until take().
  int descriptor() const { return descriptor_; }

  // For the owner: everything so far. What comes after it makes the descriptor readable again.
  std::vector<Answer> take();

 private:
  int descriptor_ = -1;
  std::atomic<bool> awake_{false};
  std::mutex mutex_;
  std::vector<Answer> answers_;
};

}  // namespace postrider::embedded
