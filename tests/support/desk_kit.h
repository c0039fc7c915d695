#pragma once
#include <atomic>
#include <string>

#include "engine/core/ids.h"
#include "engine/operations/desk.h"
#include "engine/wire/codec.h"
#include "tests/support/memory_log_client.h"

// A desk over a log in memory, and facts to lay on it.
namespace postrider::test {

// Stands still, but where a test moves it.
class StillClock : public Clock {
 public:
  std::atomic<std::int64_t> steady_ms = 1'000'000;
  std::atomic<std::int64_t> wall_ms = 1'700'000'000'000;
  WallTime wall() const override { return from_ms<WallTime>(wall_ms); }
  SteadyTime steady() const override { return from_ms<SteadyTime>(steady_ms); }
};

class CountingRandom : public Random {
 public:
  std::uint64_t next() override { return ++count_ * 0x9e3779b97f4a7c15ull; }

 private:
  std::uint64_t count_ = 0;
};

inline const Environment kEnvironment("test");
inline constexpr std::int64_t kNow = 1'700'000'000'000;

struct DeskKit {
  MemoryLogClient log{4};
  CountingRandom random;
  StillClock clock;
  Desk desk{log, kEnvironment, random, clock};

  static DeliveryRef delivery(const std::string& event_id, const std::string& tenant = "acme",
                              const std::string& endpoint = "shop", Position position = {1, 7}) {
    DeliveryRef ref;
    ref.event_id = event_id;
    ref.event_type = "order.created";
    ref.tenant = TenantId(tenant);
    ref.target = {EndpointId(endpoint), Incarnation("inc_" + std::string(22, 'a'))};
    ref.position = position;
    ref.webhook_id = webhook_id(ref.tenant, "/shop", event_id);
    ref.id =
        delivery_id(LogIdentity("log_1"), position, ref.webhook_id, ref.target.incarnation, ref.replay_job);
    return ref;
  }

  static DeadLetter letter(const DeliveryRef& ref, std::int64_t dead_at = kNow) {
    DeadLetter letter;
    letter.delivery = ref;
    letter.reason = DeadReason::client_error;
    letter.attempts = 1;
    letter.last_status = 404;
    letter.dead_at = dead_at;
    letter.sealed_payload = "sealed:" + ref.event_id;
    letter.payload_bytes = 12;
    letter.event_source = "/shop";
    return letter;
  }

  template <class Fact>
  void put(Topic topic, std::string key, const Fact& fact, std::optional<Partition> partition = {}) {
    NewRecord record;
    record.topic = topic;
    record.partition = partition;
    record.key = std::move(key);
    record.value = wire::encode(kEnvironment, fact);
    must(log.append(std::move(record)));
  }

  DeliveryRef dead(const std::string& event_id, const std::string& tenant = "acme",
                   std::int64_t dead_at = kNow) {
    auto ref = delivery(event_id, tenant);
    log.set_now(dead_at);
    put(Topic::dead_letters, tenant, letter(ref, dead_at));
    return ref;
  }

  void attempt(const DeliveryRef& ref, Verdict::Kind verdict, std::int64_t at = kNow) {
    AttemptFact fact;
    fact.delivery = ref;
    fact.verdict = verdict;
    fact.status = verdict == Verdict::Kind::success ? 200 : 503;
    fact.at = at;
    fact.stamp = {1, ++sequence_};
    log.set_now(at);
    put(Topic::attempts, ref.id.str(), fact, ref.position.partition);
  }

 private:
  static void must(const Result<Appended>& appended) {
    if (!appended) std::abort();
  }
  std::uint64_t sequence_ = 0;
};

}  // namespace postrider::test
