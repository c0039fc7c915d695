#pragma once
#include <deque>
#include <set>
#include <vector>

#include "engine/kafka/client.h"
#include "engine/kafka/wake.h"

namespace postrider::kafka {

// One member of the consumer group: which partitions are ours, and the offsets that we commit. It fetches
// nothing: its assignment inside librdkafka stays empty (Follower reads), so an eager rebalance disturbs no
// fetch.
//
// An OffsetCommit is checked by the broker for member and generation, not for ownership, and librdkafka
// stamps a commit that waited with the generation of the day it leaves. So what is no longer ours is refused
// here; one commit request is under way at a time (a retried one cannot overtake a later one); partitions are
// given up only when no commit is under way any more, or else together with the whole client; and what is
// assigned takes no commits before accept_commits(): until the owner has been told of it, they are of its
// former assignment.
class Membership {
 public:
  enum class Change { assigned, revoked, lost };
  // What rebalances demand of the owner, on the thread that calls poll().
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_change(Change change, std::vector<Partition> partitions) = 0;
    // A client that is to be destroyed where blocking hurts nobody.
    virtual void retire(std::unique_ptr<Client> client) = 0;
  };

  Membership(const KafkaConfig& config, const Wake& wake) : config_(config), wake_(wake) {}
  Result<void> open();  // tells wrong configuration; contacts nobody

  void join();
  // After Change::assigned, until release().
  bool owns(Partition partition) const { return owned_.contains(partition); }
  // The owner knows of the assignment.
  void accept_commits() { accepts_commits_ = true; }
  void commit(Partition partition, Offset next, std::string metadata);
  // Of what was revoked. When all of it is released and no commit is under way, others may have it.
  void release(std::span<const Partition> partitions);
  std::size_t poll(LogListener& listener, Owner& owner);
  const Client& client() const { return *client_; }

 private:
  struct Commit {
    Partition partition;
    Offset offset;
    std::string metadata;
  };
  struct Answer {
    Partition partition;
    Offset offset;
    SteadyTime sent_at;
    bool acknowledged;
  };
  void rebalance(rd_kafka_event_t* event, Owner& owner);
  void start_revocation(Change change, Owner& owner);
  void try_to_yield(Owner& owner);
  void rebuild(Owner& owner);
  void send_commits();
  void committed(rd_kafka_event_t* event);
  std::size_t tell(LogListener& listener);

  const KafkaConfig config_;
  const Wake& wake_;
  std::unique_ptr<Client> client_;
  Queue queue_;         // rebalances, errors
  Queue commit_queue_;  // answers to commits
  std::set<Partition> owned_;
  std::set<Partition> to_release_;  // revoked, not released yet
  bool revoking_ = false;
  bool lost_ = false;
  bool accepts_commits_ = false;
  SteadyTime release_by_{};
  std::vector<Commit> waiting_;
  std::vector<Commit> under_way_;
  SteadyTime sent_at_{};
  std::deque<Answer> answers_;
  std::vector<Error> troubles_;  // to be told by the next poll()
  bool joined_ = false;
  SteadyTime rebuild_at_{};  // after a fatal error, or when no client could be opened; zero: none
};

// Commit metadata as the broker keeps it: text as it is, any other bytes as "base64:…" (librdkafka cuts them
// at a NUL). Stored: the prefix is for ever.
std::string encode_metadata(std::string_view bytes);
std::string decode_metadata(std::string_view stored);

}  // namespace postrider::kafka
