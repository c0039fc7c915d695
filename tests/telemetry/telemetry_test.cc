#include "engine/telemetry/telemetry.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

namespace postrider::telemetry {
namespace {

class FixedClock final : public Clock {
 public:
  WallTime wall() const override { return from_ms<WallTime>(1'769'860'800'123); }
  SteadyTime steady() const override { return from_ms<SteadyTime>(0); }
};

class TelemetryTest : public ::testing::Test {
 protected:
  void SetUp() override { start("info"); }
  void TearDown() override {
    telemetry_.reset();
    ::close(fd_);
  }
  void start(const std::string& level) {
    telemetry_.reset();
    if (fd_ >= 0) ::close(fd_);
    fd_ = ::memfd_create("lines", 0);
    TelemetryOptions options;
    options.environment = Environment("development");
    options.version = "1.2.3";
    options.level = level;
    options.fd = fd_;
    telemetry_ = std::make_unique<Telemetry>(options, clock_);
  }
  std::string text() {
    telemetry_->flush();
    std::string bytes(4 << 20, '\0');
    const ssize_t size = ::pread(fd_, bytes.data(), bytes.size(), 0);
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return bytes;
  }
  std::vector<nlohmann::json> lines() {
    std::vector<nlohmann::json> all;
    std::istringstream in(text());
    for (std::string line; std::getline(in, line);) all.push_back(nlohmann::json::parse(line));
    return all;
  }
  nlohmann::json only_line() {
    const auto all = lines();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? nlohmann::json() : all.front();
  }
  // The value of one series; -1: it is not there.
  double metric(const std::string& series) {
    std::istringstream in(telemetry_->metrics_text());
    for (std::string line; std::getline(in, line);) {
      if (line.starts_with(series + " ")) return std::stod(line.substr(series.size() + 1));
    }
    return -1;
  }
  static DeliveryRef delivery() {
    DeliveryRef ref;
    ref.id = DeliveryId("dlv_3_abc");
    ref.webhook_id = WebhookId("msg_xyz");
    ref.event_id = "event-1";
    ref.event_type = "order.created";
    ref.tenant = TenantId("acme");
    ref.target = {EndpointId("orders"), Incarnation("inc_1")};
    ref.position = {3, 77};
    return ref;
  }
  static AttemptFact attempt(Verdict::Kind verdict, std::int32_t status) {
    AttemptFact fact;
    fact.delivery = delivery();
    fact.number = 2;
    fact.status = status;
    fact.verdict = verdict;
    fact.phases.total = 42;
    fact.phases.queue = 3;
    fact.next_at = 1'769'860'805'000;
    fact.receiver_request_id = "req-9";
    return fact;
  }
  void tell(const AttemptFact& fact, std::string_view error_code,
            std::optional<DeadReason> dead = std::nullopt) {
    AttemptReport report{fact, 6,          "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                         17,   error_code, dead};
    telemetry_->observer().attempt(report);
  }

  FixedClock clock_;
  int fd_ = -1;
  std::unique_ptr<Telemetry> telemetry_;
};

TEST_F(TelemetryTest, ASuccessIsOneInfoLineWithTheAgreedNames) {
  tell(attempt(Verdict::Kind::success, 204), "");
  const nlohmann::json expected = {{"timestamp", "2026-01-31T12:00:00.123Z"},
                                   {"level", "info"},
                                   {"service", "orders"},
                                   {"operation", "deliver"},
                                   {"environment", "development"},
                                   {"message", "delivered"},
                                   {"request_id", "req-9"},
                                   {"correlation_id", "0af7651916cd43dd8448eb211c80319c"},
                                   {"tenant", "acme"},
                                   {"endpoint", "orders"},
                                   {"delivery", "dlv_3_abc"},
                                   {"idempotency_key", "msg_xyz"},
                                   {"event_type", "order.created"},
                                   {"retry_attempt", 1},
                                   {"max_retries", 5},
                                   {"status_code", 204},
                                   {"duration_ms", 42},
                                   {"rate_limit_remaining", 17}};
  EXPECT_EQ(only_line(), expected);
}

TEST_F(TelemetryTest, ARetryWarnsAndSaysWhen) {
  tell(attempt(Verdict::Kind::retry, 503), "HTTP_503");
  const nlohmann::json line = only_line();
  EXPECT_EQ(line["level"], "warn");
  EXPECT_EQ(line["error_code"], "HTTP_503");
  EXPECT_EQ(line["next_at"], "2026-01-31T12:00:05.000Z");
}

TEST_F(TelemetryTest, APermanentFailureIsAnErrorAndADeadLetterAlerts) {
  tell(attempt(Verdict::Kind::dead, 410), "HTTP_410", DeadReason::gone);
  DeadLetter letter;
  letter.delivery = delivery();
  letter.reason = DeadReason::gone;
  letter.attempts = 2;
  letter.last_status = 410;
  telemetry_->observer().dead_letter(letter);
  const auto all = lines();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["level"], "error");
  EXPECT_EQ(all[0]["reason"], "gone");
  EXPECT_FALSE(all[0].contains("alert"));
  EXPECT_EQ(all[1]["level"], "error");
  EXPECT_EQ(all[1]["operation"], "dead_letter");
  EXPECT_EQ(all[1]["alert"], true);
  EXPECT_EQ(all[1]["category"], "customer_failure");
  EXPECT_EQ(all[1]["retry_attempt"], 1);
  EXPECT_EQ(all[1]["offset"], 77);
}

TEST_F(TelemetryTest, ADeadLetterOfNoEndpointIsOurs) {
  DeadLetter letter;
  letter.delivery.id = DeliveryId("dlv_1_x");
  letter.reason = DeadReason::undecodable;
  telemetry_->observer().dead_letter(letter);
  const nlohmann::json line = only_line();
  EXPECT_EQ(line["service"], "postrider");
  EXPECT_EQ(line["category"], "bad_event");
  EXPECT_FALSE(line.contains("tenant"));
}

TEST_F(TelemetryTest, AnEndpointThatStopsIsOneErrorLineAndASeriesUntilItIsEnabled) {
  Observer& shard = telemetry_->observer();
  shard.endpoint_changed(TenantId("acme"), EndpointId("orders"), Stop::disabled, "gone_410");
  EXPECT_EQ(only_line()["level"], "error");
  EXPECT_EQ(only_line()["operation"], "endpoint_disabled");
  EXPECT_EQ(only_line()["reason"], "gone_410");
  EXPECT_EQ(metric(R"(postrider_endpoint_stopped{endpoint="orders",reason="gone_410",tenant="acme"})"), 1)
      << telemetry_->metrics_text();
  shard.endpoint_changed(TenantId("acme"), EndpointId("orders"), Stop::quarantined,
                         "said \"no\" https://a/?CANARY");
  EXPECT_EQ(metric(R"(postrider_endpoint_stopped{endpoint="orders",reason="gone_410",tenant="acme"})"), -1);
  EXPECT_EQ(metric(R"(postrider_endpoint_stopped{endpoint="orders",reason="by_operator",tenant="acme"})"), 1);
  EXPECT_EQ(metric("postrider_endpoints_stopped"), 1);
  shard.endpoint_changed(TenantId("acme"), EndpointId("orders"), Stop::none, "");
  EXPECT_EQ(metric("postrider_endpoints_stopped"), 0);
  EXPECT_EQ(telemetry_->metrics_text().find("postrider_endpoint_stopped{"), std::string::npos);
  EXPECT_EQ(lines().back()["operation"], "endpoint_enabled");
  EXPECT_EQ(text().find("CANARY"), std::string::npos);
}

TEST_F(TelemetryTest, StoppedEndpointsAreNamedUpToABound) {
  for (int i = 0; i < 700; ++i) {
    telemetry_->observer().endpoint_changed(TenantId("t"), EndpointId("e" + std::to_string(i)),
                                            Stop::disabled, "x");
  }
  const std::string text = telemetry_->metrics_text();
  std::size_t series = 0;
  for (std::size_t at = 0; (at = text.find("postrider_endpoint_stopped{", at)) != std::string::npos; ++at)
    ++series;
  EXPECT_EQ(series, 500u);
  EXPECT_EQ(metric("postrider_endpoints_stopped"), 700);
}

TEST_F(TelemetryTest, AttemptsAreCountedByVerdictCauseAndTime) {
  tell(attempt(Verdict::Kind::success, 200), "");
  tell(attempt(Verdict::Kind::retry, 503), "HTTP_503");
  tell(attempt(Verdict::Kind::retry, 429), "HTTP_429");
  AttemptFact dead = attempt(Verdict::Kind::dead, 0);
  dead.error = AttemptError::denied;
  dead.phases = {};
  tell(dead, "DENIED", DeadReason::target_denied);
  EXPECT_EQ(metric(R"(postrider_attempts_total{outcome="success"})"), 1);
  EXPECT_EQ(metric(R"(postrider_attempts_total{outcome="retry"})"), 2);
  EXPECT_EQ(metric(R"(postrider_attempts_total{outcome="dead"})"), 1);
  EXPECT_EQ(metric(R"(postrider_attempts_total{outcome="defer"})"), 0);
  EXPECT_EQ(metric(R"(postrider_attempt_failures_total{cause="http_5xx"})"), 1);
  EXPECT_EQ(metric(R"(postrider_attempt_failures_total{cause="http_429"})"), 1);
  EXPECT_EQ(metric(R"(postrider_attempt_failures_total{cause="denied"})"), 1);
  EXPECT_EQ(metric("postrider_retries_total"), 2);
  EXPECT_EQ(metric(R"(postrider_deliveries_total{state="delivered"})"), 1);
  EXPECT_EQ(metric(R"(postrider_attempt_duration_seconds_bucket{outcome="failure",le="0.025"})"), 0);
  EXPECT_EQ(metric(R"(postrider_attempt_duration_seconds_bucket{outcome="failure",le="0.05"})"), 2);
  EXPECT_EQ(metric(R"(postrider_attempt_duration_seconds_count{outcome="success"})"), 1);
}

TEST_F(TelemetryTest, EveryDeadReasonHasItsSeries) {
  for (int i = 0; i <= static_cast<int>(DeadReason::crashed_decoder); ++i) {
    DeadLetter letter;
    letter.reason = static_cast<DeadReason>(i);
    telemetry_->observer().dead_letter(letter);
  }
  EXPECT_EQ(metric(R"(postrider_dead_letters_total{category="our_failure",reason="payload_lost"})"), 1)
      << telemetry_->metrics_text();
  EXPECT_EQ(metric(R"(postrider_dead_letters_total{category="bad_event",reason="bad_attribute"})"), 1);
  EXPECT_EQ(metric(R"(postrider_deliveries_total{state="dead"})"), 17);
}

TEST_F(TelemetryTest, EventsParkingAndCancellationsAreCounted) {
  Observer& shard = telemetry_->observer();
  shard.event_taken(TenantId("acme"), 8);
  shard.no_match(TenantId("acme"));
  shard.repeat(TenantId("acme"));
  shard.parked(true);
  shard.parked(false);
  CancelledFact fact;
  fact.delivery = delivery();
  fact.reason = CancelReason::by_operator;
  shard.cancelled(fact);
  shard.breaker_changed(TenantId("acme"), EndpointId("orders"), true);
  shard.breaker_changed(TenantId("acme"), EndpointId("orders"), false);
  EXPECT_EQ(metric(R"(postrider_events_total{result="routed"})"), 1);
  EXPECT_EQ(metric(R"(postrider_events_total{result="no_match"})"), 1);
  EXPECT_EQ(metric(R"(postrider_events_total{result="repeat"})"), 1);
  EXPECT_EQ(metric("postrider_fan_out_total"), 8);
  EXPECT_EQ(metric(R"(postrider_deliveries_total{state="parked"})"), 2);
  EXPECT_EQ(metric(R"(postrider_parked_total{attempted="false"})"), 1);
  EXPECT_EQ(metric(R"(postrider_cancelled_total{reason="by_operator"})"), 1);
  EXPECT_EQ(metric("postrider_breakers_opened_total"), 1);
  const auto all = lines();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0]["operation"], "cancel");
  EXPECT_EQ(all[1]["level"], "warn");
  EXPECT_EQ(all[2]["operation"], "breaker_closed");
}

TEST_F(TelemetryTest, GaugesAreOfTheirShard) {
  ShardGauges gauges;
  gauges.lag = 5;
  gauges.oldest_due_ms = 2'500;
  telemetry_->observer(0).gauges(gauges);
  gauges.lag = 7;
  telemetry_->observer(1).gauges(gauges);
  EXPECT_EQ(&telemetry_->observer(1), &telemetry_->observer(1));
  EXPECT_EQ(metric(R"(postrider_lag_events{shard="0"})"), 5);
  EXPECT_EQ(metric(R"(postrider_lag_events{shard="1"})"), 7);
  EXPECT_EQ(metric(R"(postrider_oldest_due_seconds{shard="0"})"), 2.5);
  EXPECT_NEAR(metric(R"(postrider_heartbeat_timestamp_seconds{shard="0"})"), 1'769'860'800.123, 1.0);
}

TEST_F(TelemetryTest, TheIndexOfFirstPositionsIsToldOfThePartitionsThatAreOurs) {
  ShardGauges gauges;
  gauges.repeat_index = {{0, 86'400'000, true}, {3, 5'500, false}};
  telemetry_->observer().gauges(gauges);
  telemetry_->observer().perhaps_repeat(TenantId("acme"));
  EXPECT_EQ(metric(R"(postrider_repeat_index_covered_seconds{partition="0",shard="0"})"), 86'400);
  EXPECT_EQ(metric(R"(postrider_repeat_index_covered_seconds{partition="3",shard="0"})"), 5.5);
  EXPECT_EQ(metric(R"(postrider_repeat_index_incomplete_partitions{shard="0"})"), 1);
  EXPECT_EQ(metric("postrider_events_perhaps_repeat_total"), 1);
  gauges.repeat_index = {{3, 86'400'000, true}};
  telemetry_->observer().gauges(gauges);
  EXPECT_EQ(telemetry_->metrics_text().find(R"(covered_seconds{partition="0",)"), std::string::npos);
  EXPECT_EQ(metric(R"(postrider_repeat_index_incomplete_partitions{shard="0"})"), 0);
}

// One series for both was removed by the one that lost the partition, and written to by the other.
TEST_F(TelemetryTest, APartitionThatGoesFromShardToShardHasASeriesOfEach) {
  ShardGauges owning, without;
  owning.repeat_index = {{3, 5'500, false}};
  telemetry_->observer(0).gauges(owning);
  telemetry_->observer(1).gauges(owning);
  telemetry_->observer(0).gauges(without);
  owning.repeat_index = {{3, 7'000, false}};
  telemetry_->observer(1).gauges(owning);
  EXPECT_EQ(metric(R"(postrider_repeat_index_covered_seconds{partition="3",shard="1"})"), 7);
  EXPECT_EQ(telemetry_->metrics_text().find(R"({partition="3",shard="0"})"), std::string::npos);
}

TEST_F(TelemetryTest, TheProcessAndItsOwnersGaugesAreTold) {
  telemetry_->set_gauge("view_bytes", "Bytes of the view.", 12);
  telemetry_->set_gauge("view_bytes", "Bytes of the view.", 13);
  telemetry_->http_request("/v1/events", 202, 4);
  EXPECT_EQ(metric("postrider_view_bytes"), 13);
  EXPECT_EQ(metric(R"(postrider_http_requests_total{route="/v1/events",status="202"})"), 1);
  EXPECT_EQ(metric(R"(postrider_build_info{environment="development",version="1.2.3"})"), 1);
  EXPECT_GT(metric("process_resident_memory_bytes"), 1'000'000);
  EXPECT_GE(metric("process_cpu_seconds_total"), 0);
}

TEST_F(TelemetryTest, NotesCarryTheErrorInOneForm) {
  const Error error{Errc::unavailable, "LOG_UNREACHABLE", "cannot reach kafka://user:CANARY@h:9092",
                    "check it"};
  telemetry_->observer().note("error", "log_error", "the log is away", &error);
  const nlohmann::json line = only_line();
  EXPECT_EQ(line["operation"], "log_error");
  EXPECT_EQ(line["error_code"], "LOG_UNREACHABLE");
  EXPECT_EQ(line["suggestion"], "check it");
  EXPECT_EQ(line["retryable"], true);
  EXPECT_EQ(metric(R"(postrider_notes_total{level="error"})"), 1);
  EXPECT_EQ(text().find("CANARY"), std::string::npos);
}

TEST_F(TelemetryTest, NoSecretGetsIntoALine) {
  telemetry_->log("info", "request", "POST https://a.example/x?CANARY with whsec_CANARYCANARYCANARY",
                  {{"actor", "admin"},
                   {"Authorization", "Bearer CANARY"},
                   {"admin_token", std::string("CANARY")},
                   {"target", "https://u:CANARY@a.example/?CANARY"},
                   {"status_code", 202},
                   {"share", 0.5},
                   {"dry_run", true}});
  EXPECT_EQ(text().find("CANARY"), std::string::npos) << text();
  const nlohmann::json line = only_line();
  EXPECT_EQ(line["actor"], "admin");
  EXPECT_EQ(line["Authorization"], "[redacted]");
  EXPECT_EQ(line["status_code"], 202);
  EXPECT_EQ(line["share"], 0.5);
  EXPECT_EQ(line["dry_run"], true);
}

TEST_F(TelemetryTest, WhatIsBelowTheLevelIsNotWrittenButCounted) {
  start("warn");
  tell(attempt(Verdict::Kind::success, 200), "");
  telemetry_->log("debug", "x", "y");
  EXPECT_FALSE(telemetry_->logs("info"));
  EXPECT_TRUE(telemetry_->logs("error"));
  EXPECT_EQ(text(), "");
  tell(attempt(Verdict::Kind::retry, 500), "HTTP_500");
  EXPECT_EQ(lines().size(), 1u);
  EXPECT_EQ(metric(R"(postrider_attempts_total{outcome="success"})"), 1);
}

TEST_F(TelemetryTest, MetricsAreReadWhileShardsCount) {
  std::vector<std::jthread> shards;
  for (int shard = 0; shard < 3; ++shard) {
    Observer& observer = telemetry_->observer(shard);
    shards.emplace_back([&observer] {
      const AttemptFact fact = attempt(Verdict::Kind::success, 200);
      for (int i = 0; i < 1'000; ++i) {
        observer.attempt({fact, 6, "", std::nullopt, "", std::nullopt});
        if (i % 100 == 0) observer.gauges({});
      }
    });
  }
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(telemetry_->metrics_text().empty());
  shards.clear();
  EXPECT_EQ(metric(R"(postrider_attempts_total{outcome="success"})"), 3'000);
  EXPECT_EQ(lines().size(), 3'000u);
}

}  // namespace
}  // namespace postrider::telemetry
