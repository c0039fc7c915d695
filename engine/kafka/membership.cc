#include "engine/kafka/membership.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "engine/core/bytes.h"

namespace postrider::kafka {
namespace {

constexpr std::string_view kEncoded = "base64:";
constexpr Millis kReleaseWithin{5'000};  // engine/ports/log.h, on_revoked
constexpr Millis kOpenEvery{1'000};

PartitionList to_list(const KafkaConfig& config, const auto& commits) {
  const std::string topic = full_name(config.environment, Topic::events);
  PartitionList list(rd_kafka_topic_partition_list_new(static_cast<int>(commits.size())));
  for (const auto& commit : commits) {
    auto* each = rd_kafka_topic_partition_list_add(list.get(), topic.c_str(), commit.partition);
    each->offset = commit.offset;
    if (commit.metadata.empty()) continue;
    each->metadata = std::malloc(commit.metadata.size() + 1);  // the list frees it
    if (!each->metadata) std::abort();
    std::memcpy(each->metadata, commit.metadata.c_str(), commit.metadata.size() + 1);
    each->metadata_size = commit.metadata.size();
  }
  return list;
}

}  // namespace

std::string encode_metadata(std::string_view bytes) {
  const bool plain = std::all_of(bytes.begin(), bytes.end(), [](char c) { return c >= ' ' && c <= '~'; });
  if (plain && !bytes.starts_with(kEncoded)) return std::string(bytes);
  return std::string(kEncoded) + base64_encode(bytes);
}

std::string decode_metadata(std::string_view stored) {
  if (!stored.starts_with(kEncoded)) return std::string(stored);
  // A tool that resets offsets may write anything; what is not ours is no metadata of ours.
  return base64_decode(stored.substr(kEncoded.size())).value_or("");
}

Result<void> Membership::open() {
  const Millis session = config_.effective_session_timeout();
  auto client = Client::open(
      config_, RD_KAFKA_CONSUMER,
      {{"group.id", config_.group()},
       {"group.instance.id", config_.instance},
       // cooperative-sticky loses assignments and hangs at close in 2.0.2.
       {"partition.assignment.strategy", "range"},
       {"session.timeout.ms", std::to_string(session.count())},
       {"heartbeat.interval.ms", std::to_string(std::clamp<std::int64_t>(session.count() / 15, 100, 1000))},
       // The group waits that long for a member that heartbeats and yet does not rejoin.
       {"max.poll.interval.ms", std::to_string(std::max<std::int64_t>(session.count(), 30'000))},
       {"enable.auto.commit", "false"},
       {"enable.auto.offset.store", "false"},
       {"auto.offset.reset", "error"}});
  if (!client) return fail(client.error());
  client_ = std::move(*client);
  rd_kafka_poll_set_consumer(client_->get());
  queue_.reset(rd_kafka_queue_get_consumer(client_->get()));
  commit_queue_.reset(rd_kafka_queue_new(client_->get()));
  wake_.attach(queue_.get());
  wake_.attach(commit_queue_.get());
  if (joined_) join();
  return {};
}

void Membership::join() {
  joined_ = true;
  PartitionList topics(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(topics.get(), full_name(config_.environment, Topic::events).c_str(),
                                    RD_KAFKA_PARTITION_UA);
  rd_kafka_subscribe(client_->get(), topics.get());
}

void Membership::commit(Partition partition, Offset next, std::string metadata) {
  wake_.signal();  // sent, or answered, by the next poll()
  if (!owned_.contains(partition) || lost_ || !accepts_commits_) {
    answers_.push_back({partition, next, {}, false});
    return;
  }
  waiting_.push_back({partition, next, encode_metadata(metadata)});
}

void Membership::release(std::span<const Partition> partitions) {
  send_commits();  // what was drained leaves before the ownership ends
  for (Partition partition : partitions) {
    to_release_.erase(partition);
    if (revoking_) owned_.erase(partition);
  }
  wake_.signal();
}

std::size_t Membership::poll(LogListener& listener, Owner& owner) {
  std::size_t calls = tell(listener);
  if (rebuild_at_ != SteadyTime{} && steady_now() >= rebuild_at_ && !revoking_) rebuild(owner);
  while (Event event{rd_kafka_queue_poll(commit_queue_.get(), 0)})
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_OFFSET_COMMIT) committed(event.get());
  calls += tell(listener);
  // A rebalance may replace the client, and with it the queue.
  for (bool more = true; more;) {
    Event event(rd_kafka_queue_poll(queue_.get(), 0));
    more = event != nullptr;
    if (!event) break;
    if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_REBALANCE) {
      ++calls;
      rebalance(event.get(), owner);
    } else if (rd_kafka_event_type(event.get()) == RD_KAFKA_EVENT_ERROR) {
      if (auto error = to_error(client_->get(), event.get())) {
        ++calls;
        listener.on_log_error(*error);
      }
      char why[1];
      if (rd_kafka_fatal_error(client_->get(), why, sizeof why) && rebuild_at_ == SteadyTime{}) {
        // Somebody runs under our instance id: we go, and come back in case he went.
        rebuild_at_ = steady_now() + config_.effective_session_timeout();
        start_revocation(Change::lost, owner);
      }
    }
  }
  send_commits();
  try_to_yield(owner);
  return calls;
}

void Membership::rebalance(rd_kafka_event_t* event, Owner& owner) {
  if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
    start_revocation(rd_kafka_assignment_lost(client_->get()) ? Change::lost : Change::revoked, owner);
    return;
  }
  std::vector<Partition> partitions;
  const auto* list = rd_kafka_event_topic_partition_list(event);
  for (int i = 0; list && i < list->cnt; ++i) partitions.push_back(list->elems[i].partition);
  PartitionList nothing(rd_kafka_topic_partition_list_new(1));
  rd_kafka_assign(client_->get(), nothing.get());
  owned_ = {partitions.begin(), partitions.end()};
  accepts_commits_ = false;
  owner.on_change(Change::assigned, std::move(partitions));
}

void Membership::start_revocation(Change change, Owner& owner) {
  lost_ = lost_ || change == Change::lost;
  if (revoking_) return;
  revoking_ = true;
  release_by_ = steady_now() + kReleaseWithin;
  to_release_ = owned_;
  owner.on_change(change, {owned_.begin(), owned_.end()});
}

void Membership::try_to_yield(Owner& owner) {
  if (!revoking_) return;
  const bool late = steady_now() >= release_by_;
  if (!late && !lost_ && (!to_release_.empty() || !waiting_.empty() || !under_way_.empty())) return;
  if (lost_ && !late && !to_release_.empty()) return;
  const bool commit_at_large = !waiting_.empty() || !under_way_.empty();
  owned_.clear();
  to_release_.clear();
  revoking_ = false;
  if (rebuild_at_ != SteadyTime{}) return;  // fatal: poll() rebuilds in time
  // A commit that is still under way might leave later, under the generation of our next life.
  if (lost_ || commit_at_large)
    rebuild(owner);
  else
    rd_kafka_assign(client_->get(), nullptr);
}

void Membership::rebuild(Owner& owner) {
  for (auto* commits : {&under_way_, &waiting_}) {
    for (const Commit& commit : *commits)
      answers_.push_back({commit.partition, commit.offset, sent_at_, false});
    commits->clear();
  }
  wake_.signal();
  auto old = std::move(client_);
  if (auto done = open(); !done) {
    // The same configuration was taken once; but there may be no thread or file to be had just now.
    client_ = std::move(old);
    rebuild_at_ = steady_now() + kOpenEvery;
    troubles_.push_back(done.error());
    return;
  }
  owner.retire(std::move(old));
  lost_ = false;
  rebuild_at_ = {};
}

void Membership::send_commits() {
  if (waiting_.empty() || !under_way_.empty() || lost_) return;
  // A partition twice in one request would leave it open which offset stands.
  std::set<Partition> seen;
  std::vector<Commit> later;
  for (Commit& commit : waiting_)
    (seen.insert(commit.partition).second ? under_way_ : later).push_back(std::move(commit));
  waiting_ = std::move(later);
  sent_at_ = steady_now();
  const auto err = rd_kafka_commit_queue(client_->get(), to_list(config_, under_way_).get(),
                                         commit_queue_.get(), nullptr, nullptr);
  if (!err) return;
  for (const Commit& commit : under_way_)
    answers_.push_back({commit.partition, commit.offset, sent_at_, false});
  under_way_.clear();
  wake_.signal();
}

void Membership::committed(rd_kafka_event_t* event) {
  const auto err = rd_kafka_event_error(event);
  const auto* list = rd_kafka_event_topic_partition_list(event);
  const std::string topic = full_name(config_.environment, Topic::events);
  for (const Commit& commit : under_way_) {
    const auto* each =
        list ? rd_kafka_topic_partition_list_find(const_cast<rd_kafka_topic_partition_list_t*>(list),
                                                  topic.c_str(), commit.partition)
             : nullptr;
    const bool acknowledged = !err && each && !each->err;
    answers_.push_back({commit.partition, commit.offset, sent_at_, acknowledged});
  }
  under_way_.clear();
}

std::size_t Membership::tell(LogListener& listener) {
  std::size_t calls = troubles_.size();
  for (const Error& trouble : std::exchange(troubles_, {})) listener.on_log_error(trouble);
  for (std::size_t left = answers_.size(); left > 0; --left, ++calls) {
    const Answer answer = answers_.front();
    answers_.pop_front();
    listener.on_committed(answer.partition, answer.offset, answer.sent_at, answer.acknowledged);
  }
  return calls;
}

}  // namespace postrider::kafka
