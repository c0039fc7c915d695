#include "engine/kafka/kafka_log.h"

#include <algorithm>
#include <atomic>

#include "engine/kafka/appender.h"
#include "engine/kafka/bounds.h"
#include "engine/kafka/follower.h"
#include "engine/kafka/membership.h"
#include "engine/kafka/position_reader.h"
#include "engine/kafka/wake.h"
#include "engine/kafka/worker.h"

namespace postrider::kafka {
namespace {

constexpr Millis kAnswerWithin{2'000};
constexpr Millis kFreshTopicsWithin{1'000};
constexpr Millis kEndWithin{500};
constexpr Millis kTryAgainAfter{200};
constexpr Millis kShapesEvery{10'000};

// What the worker learns of one partition's extent.
Result<std::pair<Offset, Offset>> extent_of(const Client& client, const KafkaConfig& config,
                                            TopicPartition which) {
  auto begin = begins_of(client, config.environment, {&which, 1}, kAnswerWithin);
  if (!begin) return fail(begin.error());
  auto end = ends_of(client, config.environment, {&which, 1}, kAnswerWithin);
  if (!end) return fail(end.error());
  return std::pair(begin->front(), end->front());
}

class KafkaLog final : public Log, private Membership::Owner {
 public:
  explicit KafkaLog(const KafkaConfig& config)
      : config_(config), membership_(config, wake_), worker_(std::make_unique<Worker>(wake_)) {}
  ~KafkaLog() override { worker_.reset(); }  // its jobs use the clients
  Result<void> open();

  std::size_t poll(LogListener& listener, std::size_t max_records) override;
  int wake_fd() const override { return wake_.fd(); }
  void join() override { membership_.join(); }
  void begin(Partition partition, Offset from) override;
  std::optional<Offset> position(Partition partition) const override {
    return follower_->next(Topic::events, partition);
  }
  void hold(bool held) override { follower_->hold(held); }
  void release(std::span<const Partition> partitions) override;
  bool can_append(std::size_t bytes) const override { return appender_->can_append(bytes); }
  void append(NewRecord record, std::uint64_t token) override;
  void commit(Partition partition, Offset next, std::string metadata) override;
  void tail(Topic topic, Partition partition, Offset from) override {
    follower_->start(topic, partition, from);
  }
  void untail(Topic topic, Partition partition) override { follower_->stop(topic, partition); }
  void ask_end(Topic topic, Partition partition) override;
  void fetch(Position position, std::uint64_t token) override;
  Partition partitions() const override { return shape_of(Topic::events).partitions; }
  Millis session_timeout() const override { return config_.effective_session_timeout(); }

 private:
  void on_change(Membership::Change change, std::vector<Partition> partitions) override;
  void retire(std::unique_ptr<Client> client) override;

  const TopicShape& shape_of(Topic topic) const { return shapes_[static_cast<std::size_t>(topic)]; }
  Result<void> find_topics();
  void refresh_shapes();
  void study(std::vector<Partition> partitions, bool again = false);
  void hand_over(LogListener& listener, std::vector<Assignment> assigned,
                 const std::vector<Partition>& alone);
  void send_asks();
  void lead_back(std::vector<Follower::Astray> astray);
  void lead_back(LogListener& listener, const Follower::Astray& where, Offset begin, Offset end);
  void judge(std::vector<PositionReader::Doubtful> doubtful);

  const KafkaConfig config_;
  Wake wake_;
  std::unique_ptr<PositionReader> reader_;
  std::unique_ptr<Follower> follower_;
  std::unique_ptr<Appender> appender_;
  Membership membership_;
  std::unique_ptr<Worker> worker_;

  TopicShapes shapes_{};
  SteadyTime shapes_at_{};
  bool shapes_asked_ = false;

  // Rises with every assignment and revocation: an answer that was asked for before belongs to a former one.
  std::shared_ptr<std::atomic<std::uint64_t>> assignment_ = std::make_shared<std::atomic<std::uint64_t>>(0);
  bool handed_over_ = false;        // on_assigned was called for what membership_ owns
  std::vector<Partition> revoked_;  // to be told by this poll()
  bool told_lost_ = false, tell_revoked_ = false;

  struct Ask {
    TopicPartition which;
    SteadyTime asked_at;
  };
  std::vector<Ask> asks_;
  bool asks_under_way_ = false;
};

Result<void> KafkaLog::open() {
  if (auto done = check(config_); !done) return done;
  auto reader = PositionReader::open(config_, wake_);
  if (!reader) return fail(reader.error());
  reader_ = std::move(*reader);
  if (auto there = find_topics(); !there) return there;
  auto follower = Follower::open(config_, wake_);
  if (!follower) return fail(follower.error());
  follower_ = std::move(*follower);
  auto appender = Appender::open(config_, wake_);
  if (!appender) return fail(appender.error());
  appender_ = std::move(*appender);
  return membership_.open();
}

// Topics that were made a moment ago may be unknown yet to the broker that we happen to ask.
Result<void> KafkaLog::find_topics() {
  for (const SteadyTime deadline = steady_now() + kFreshTopicsWithin;;) {
    auto shapes = topic_shapes(reader_->client(), config_, config_.reach_timeout);
    if (!shapes) return fail(shapes.error());
    shapes_ = *shapes;
    shapes_at_ = steady_now();
    const auto missing =
        std::find_if(shapes_.begin(), shapes_.end(), [](const auto& shape) { return shape.partitions == 0; });
    if (missing == shapes_.end()) return {};
    if (shapes_at_ >= deadline)
      return fail(Errc::not_found, "TOPIC_MISSING",
                  "the topic " +
                      full_name(config_.environment, static_cast<Topic>(missing - shapes_.begin())) +
                      " does not exist",
                  "run: postrider-ops topics create");
    std::this_thread::sleep_for(Millis(100));
  }
}

std::size_t KafkaLog::poll(LogListener& listener, std::size_t max_records) {
  wake_.drain();
  std::size_t calls = worker_->poll(listener);
  calls += appender_->poll(listener);
  calls += membership_.poll(listener, *this);
  if (tell_revoked_) {
    tell_revoked_ = false;
    listener.on_revoked(std::exchange(revoked_, {}), told_lost_);
  }
  calls += reader_->poll(listener);
  judge(reader_->take_doubtful());
  calls += follower_->poll(listener, max_records);
  lead_back(follower_->take_astray());
  if (!shapes_asked_ && steady_now() - shapes_at_ >= kShapesEvery) refresh_shapes();
  return calls;
}

void KafkaLog::begin(Partition partition, Offset from) {
  if (membership_.owns(partition) && handed_over_) follower_->start(Topic::events, partition, from);
}

void KafkaLog::release(std::span<const Partition> partitions) {
  membership_.release(partitions);
}

void KafkaLog::append(NewRecord record, std::uint64_t token) {
  const Partition partitions = shape_of(record.topic).partitions;
  appender_->append(std::move(record), token, partitions);
}

void KafkaLog::commit(Partition partition, Offset next, std::string metadata) {
  membership_.commit(partition, next, std::move(metadata));
}

void KafkaLog::fetch(Position position, std::uint64_t token) {
  reader_->want(position, token);
}

void KafkaLog::refresh_shapes() {
  shapes_asked_ = true;
  worker_->run([this]() -> Answer {
    auto shapes = topic_shapes(reader_->client(), config_, kAnswerWithin);
    return [this, shapes](LogListener&) {
      shapes_asked_ = false;
      shapes_at_ = steady_now();
      if (shapes && (*shapes)[0].partitions > 0) shapes_ = *shapes;
    };
  });
}

// --- membership

void KafkaLog::on_change(Membership::Change change, std::vector<Partition> partitions) {
  ++*assignment_;
  if (change == Membership::Change::assigned) {
    handed_over_ = false;
    return study(std::move(partitions));
  }
  for (Partition partition : partitions) follower_->stop(Topic::events, partition);
  if (!std::exchange(handed_over_, false)) return membership_.release(partitions);  // nobody was told of it
  tell_revoked_ = true;
  told_lost_ = change == Membership::Change::lost;
  revoked_ = std::move(partitions);
}

void KafkaLog::retire(std::unique_ptr<Client> client) {
  // std::function wants a copyable job.
  std::shared_ptr<Client> shared = std::move(client);
  worker_->run([shared]() mutable -> Answer {
    shared.reset();
    return {};
  });
}

struct Study {
  std::vector<Assignment> assigned;
  std::vector<Partition> alone;  // without a twin
  TopicShapes shapes{};
};

// Everything an owner must know before it begins. Blocks.
Result<Study> study_partitions(const Client& group, const Client& reader, const KafkaConfig& config,
                               const std::vector<Partition>& partitions) {
  Study study;
  auto shapes = topic_shapes(reader, config, kAnswerWithin);
  if (!shapes) return fail(shapes.error());
  study.shapes = *shapes;
  const Partition twins = std::min((*shapes)[static_cast<std::size_t>(Topic::parked)].partitions,
                                   (*shapes)[static_cast<std::size_t>(Topic::attempts)].partitions);
  const std::string events = full_name(config.environment, Topic::events);
  PartitionList committed(rd_kafka_topic_partition_list_new(static_cast<int>(partitions.size())));
  std::vector<TopicPartition> places;
  for (Partition partition : partitions) {
    if (partition >= twins) {
      study.alone.push_back(partition);
      continue;
    }
    rd_kafka_topic_partition_list_add(committed.get(), events.c_str(), partition);
    places.push_back({Topic::events, partition});
    places.push_back({Topic::parked, partition});
  }
  if (places.empty()) return study;
  auto err = rd_kafka_committed(group.get(), committed.get(), static_cast<int>(kAnswerWithin.count()));
  for (int i = 0; !err && i < committed->cnt; ++i) err = committed->elems[i].err;
  if (err) return fail(to_error(err, "asking for the committed offsets"));
  auto begins = begins_of(reader, config.environment, places, kAnswerWithin);
  if (!begins) return fail(begins.error());
  auto ends = ends_of(reader, config.environment, places, kAnswerWithin);
  if (!ends) return fail(ends.error());
  for (int i = 0; i < committed->cnt; ++i) {
    const auto& each = committed->elems[i];
    const auto at = static_cast<std::size_t>(i) * 2;
    Assignment assignment;
    assignment.partition = each.partition;
    if (each.offset >= 0) {
      assignment.committed = each.offset;
      assignment.metadata =
          decode_metadata({static_cast<const char*>(each.metadata), each.metadata ? each.metadata_size : 0});
    }
    assignment.events_begin = (*begins)[at];
    assignment.events_end = (*ends)[at];
    assignment.parked_begin = (*begins)[at + 1];
    assignment.parked_end = (*ends)[at + 1];
    study.assigned.push_back(std::move(assignment));
  }
  return study;
}

void KafkaLog::study(std::vector<Partition> partitions, bool again) {
  const Client& group = membership_.client();
  const std::uint64_t number = *assignment_;
  worker_->run([=, this, &group, partitions = std::move(partitions), current = assignment_]() -> Answer {
    if (*current != number) return {};
    auto found = study_partitions(group, reader_->client(), config_, partitions);
    if (!found) std::this_thread::sleep_for(kTryAgainAfter);
    return [=, this, found = std::move(found)](LogListener& listener) {
      if (*current != number) return;
      if (!found) {
        if (!again) listener.on_log_error(found.error());
        return study(partitions, true);
      }
      shapes_ = found->shapes;
      hand_over(listener, found->assigned, found->alone);
    };
  });
}

void KafkaLog::hand_over(LogListener& listener, std::vector<Assignment> assigned,
                         const std::vector<Partition>& alone) {
  handed_over_ = true;
  membership_.accept_commits();
  for (Partition partition : alone)
    listener.on_log_error({Errc::conflict, "PARTITION_WITHOUT_TWIN",
                           "events " + std::to_string(partition) + " has no twin in parked or attempts",
                           "run: postrider-ops topics grow"});
  listener.on_assigned(assigned);
}

// --- ends

void KafkaLog::ask_end(Topic topic, Partition partition) {
  const SteadyTime now = steady_now();
  for (const Ask& ask : asks_)
    if (ask.which.topic == topic && ask.which.partition == partition) return;  // not asked yet: answered soon
  asks_.push_back({{topic, partition}, now});
  if (!asks_under_way_) send_asks();
}

void KafkaLog::send_asks() {
  asks_under_way_ = true;
  worker_->run([this, asks = std::exchange(asks_, {})]() -> Answer {
    std::vector<std::optional<Offset>> ends;
    for (const Ask& ask : asks) {
      // One by one: a partition without a leader must not keep the others from being answered.
      auto end = ends_of(reader_->client(), config_.environment, {&ask.which, 1}, kEndWithin);
      ends.push_back(end ? std::optional(end->front()) : std::nullopt);
    }
    return [this, asks, ends](LogListener& listener) {
      asks_under_way_ = false;
      if (!asks_.empty()) send_asks();
      for (std::size_t i = 0; i < asks.size(); ++i)
        if (ends[i])
          listener.on_end(asks[i].which.topic, asks[i].which.partition, *ends[i], asks[i].asked_at);
    };
  });
}

// --- offsets that the broker does not have

void KafkaLog::lead_back(std::vector<Follower::Astray> astray) {
  for (const Follower::Astray& where : astray) {
    worker_->run([this, where]() -> Answer {
      auto extent = extent_of(reader_->client(), config_, {where.topic, where.partition});
      if (!extent) std::this_thread::sleep_for(kTryAgainAfter);
      return [this, where, extent](LogListener& listener) {
        if (extent) return lead_back(listener, where, extent->first, extent->second);
        lead_back({where});
      };
    });
  }
}

void KafkaLog::lead_back(LogListener& listener, const Follower::Astray& where, Offset begin, Offset end) {
  // Stopped, or started elsewhere, meanwhile.
  if (follower_->next(where.topic, where.partition) != where.wanted) return;
  if (where.topic == Topic::events && where.wanted > end) {
    listener.on_log_error({Errc::corrupt, "LOG_TRUNCATED",
                           "events " + std::to_string(where.partition) + " ends at " + std::to_string(end) +
                               ", below offset " + std::to_string(where.wanted) + ", which was read already",
                           "look for an unclean leader election, and see the runbook"});
    return;
  }
  if (where.topic == Topic::events && where.wanted < begin)
    listener.on_events_lost(where.partition, where.wanted, begin);
  if (follower_->next(where.topic, where.partition) != where.wanted) return;  // the listener let it go
  follower_->start(where.topic, where.partition, std::clamp(where.wanted, begin, end));
}

void KafkaLog::judge(std::vector<PositionReader::Doubtful> doubtful) {
  for (const PositionReader::Doubtful& doubt : doubtful) {
    worker_->run([this, doubt]() -> Answer {
      auto extent = extent_of(reader_->client(), config_, {Topic::events, doubt.position.partition});
      return [this, doubt, extent](LogListener& listener) {
        const Offset offset = doubt.position.offset;
        if (!extent) {
          Error error = extent.error();
          error.errc = Errc::unavailable;  // a missing topic does not prove that the record is gone
          listener.on_fetched(doubt.token, fail(std::move(error)));
        } else if (offset >= extent->first && offset < extent->second) {
          reader_->want(doubt.position, doubt.token);
        } else {
          listener.on_fetched(doubt.token, fail(PositionReader::gone(doubt.position)));
        }
      };
    });
  }
}

}  // namespace
}  // namespace postrider::kafka

namespace postrider {

Result<std::unique_ptr<Log>> open_kafka_log(const KafkaConfig& config) {
  auto log = std::make_unique<kafka::KafkaLog>(config);
  if (auto done = log->open(); !done) return fail(done.error());
  return log;
}

}  // namespace postrider
