#pragma once
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <ostream>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/ports/log.h"
#include "engine/ports/log_client.h"

// What both logs promise (DESIGN §8), as one suite: contract_test.cc holds the tests, and each log's
// *_fixture.cc says once INSTANTIATE_TEST_SUITE_P(<Name>, LogContract, testing::Values(LogKind{…})). Every
// test gets a log of its own: fresh topics, nothing on them but (at most) the log's identity in `endpoints`.
namespace postrider::log_test {

using Clock = std::chrono::steady_clock;

// One log under test. Made before each test, destroyed after it, when every shard and client of it is gone.
class LogUnderTest {
 public:
  virtual ~LogUnderTest() = default;

  // Of `events`, `parked` and `attempts`: at least 2. `endpoints` and `keys` have one.
  virtual Partition partitions() const = 0;
  // A further member of the one group. It may be asked for while an earlier one lives (a rebalance follows
  // its join()), and after that one was destroyed (its partitions are handed over within patience()).
  virtual std::unique_ptr<Log> shard() = 0;
  virtual std::unique_ptr<LogClient> client() = 0;
  // Closes what holds the log and opens it again over the same stored bytes. No shard or client is alive.
  // A broker that goes on running has nothing to do here.
  virtual void reopen() = 0;

  // Lets compaction of that partition take place, or brings it nearer (a new record under the key "nudge", a
  // rolled segment, a cleaner's run, a clock moved on past the compaction lag). Called over and over until
  // the test sees its effect or patience() is over.
  virtual void nudge_compaction(Topic topic, Partition partition) = 0;
  // Likewise for retention: what was appended before the first call may go. False: cannot be shown here.
  virtual bool nudge_retention(Topic topic, Partition partition) = 0;

  // How long an answer or a rebalance may take.
  virtual std::chrono::milliseconds patience() const = 0;
  // A record's value that the log must refuse.
  virtual std::size_t too_large_bytes() const = 0;
};

// `make` returns nullptr when this machine cannot run it; `why_not` then says why the tests are skipped.
struct LogKind {
  std::string name;
  std::function<std::unique_ptr<LogUnderTest>()> make;
  std::string why_not;
};
inline void PrintTo(const LogKind& kind, std::ostream* out) {
  *out << kind.name;
}

// Keeps all that poll() hands over. `on_revoked_do` runs inside on_revoked, as a shard would drain there.
struct Recorder : LogListener {
  std::vector<Assignment> assigned;
  std::vector<Partition> revoked;
  int revocations = 0;
  bool lost = false;
  std::vector<Record> events;
  std::vector<Record> tails;
  std::map<std::uint64_t, Appended> appended;
  struct Committed {
    Partition partition;
    Offset offset;
    bool acknowledged;
  };
  std::vector<Committed> committed;
  struct End {
    Topic topic;
    Partition partition;
    Offset end;
    SteadyTime asked_at;
  };
  std::vector<End> ends;
  std::map<std::uint64_t, Result<Record>> fetched;
  std::vector<Error> errors;
  std::function<void(std::span<const Partition>)> on_revoked_do;

  void on_assigned(std::span<const Assignment> all) override {
    assigned.insert(assigned.end(), all.begin(), all.end());
  }
  void on_revoked(std::span<const Partition> all, bool was_lost) override {
    revoked.insert(revoked.end(), all.begin(), all.end());
    ++revocations;
    lost = was_lost;
    if (on_revoked_do) on_revoked_do(all);
  }
  void on_event(Record record) override { events.push_back(std::move(record)); }
  struct Lost {
    Partition partition;
    Offset first, next;
  };
  std::vector<Lost> gaps;
  void on_events_lost(Partition partition, Offset first, Offset next) override {
    gaps.push_back({partition, first, next});
  }
  void on_tail(Record record) override { tails.push_back(std::move(record)); }
  void on_appended(std::uint64_t token, const Appended& what) override { appended[token] = what; }
  void on_committed(Partition partition, Offset offset, SteadyTime, bool acknowledged) override {
    committed.push_back({partition, offset, acknowledged});
  }
  void on_end(Topic topic, Partition partition, Offset end, SteadyTime asked_at) override {
    ends.push_back({topic, partition, end, asked_at});
  }
  void on_fetched(std::uint64_t token, Result<Record> record) override {
    fetched.insert_or_assign(token, std::move(record));
  }
  void on_log_error(const Error& error) override { errors.push_back(error); }

  // The newest assignment of that partition; nullptr when it was never handed over.
  const Assignment* assignment(Partition partition) const {
    for (auto it = assigned.rbegin(); it != assigned.rend(); ++it)
      if (it->partition == partition) return &*it;
    return nullptr;
  }
  std::vector<Record> events_of(Partition partition) const {
    std::vector<Record> out;
    for (const Record& record : events)
      if (record.partition == partition) out.push_back(record);
    return out;
  }
};

// Polls until `done`, sleeping on wake_fd() in between. False: patience ran out.
bool pump(Log& log, LogListener& listener, const std::function<bool()>& done,
          std::chrono::milliseconds patience, std::size_t max_records = 1000);

class LogContract : public testing::TestWithParam<LogKind> {
 protected:
  void SetUp() override;

  bool pump_until(Log& log, Recorder& recorder, const std::function<bool()>& done) {
    return pump(log, recorder, done, log_->patience());
  }
  // A shard that has joined and was handed every partition.
  std::unique_ptr<Log> joined(Recorder& recorder);
  // Appends through `log` and waits for the answer.
  Appended append(Log& log, Recorder& recorder, NewRecord record);
  // Everything that stands in that partition now.
  std::vector<Record> all_of(LogClient& client, Topic topic, Partition partition);

  std::unique_ptr<LogUnderTest> log_;
  std::uint64_t next_token_ = 1;
};

NewRecord event(Partition partition, std::string key, std::string value);
NewRecord record(Topic topic, Partition partition, std::string key, std::optional<std::string> value);

}  // namespace postrider::log_test
