#include "engine/telemetry/metrics.h"

#include <prometheus/text_serializer.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

namespace postrider::telemetry {
namespace {

using prometheus::Counter;
using prometheus::Family;
using prometheus::Gauge;
using prometheus::Histogram;
using prometheus::Labels;
using prometheus::Registry;

Family<Counter>& counters(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildCounter().Name(name).Help(help).Register(registry);
}
Family<Gauge>& gauges(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildGauge().Name(name).Help(help).Register(registry);
}
Family<Histogram>& histograms(Registry& registry, const char* name, const char* help) {
  return prometheus::BuildHistogram().Name(name).Help(help).Register(registry);
}

// Registering a family again gives the same one: each line here names one series of it.
Counter& events(Registry& registry, const char* result) {
  return counters(registry, "postrider_events_total",
                  "Events taken from the log, by what came of routing them.")
      .Add({{"result", result}});
}
Counter& deliveries(Registry& registry, const char* state) {
  return counters(registry, "postrider_deliveries_total", "Times a delivery came into a state.")
      .Add({{"state", state}});
}
Counter& parked(Registry& registry, const char* attempted) {
  return counters(registry, "postrider_parked_total",
                  "Times a delivery was parked, after an attempt or without one.")
      .Add({{"attempted", attempted}});
}
Counter& notes(Registry& registry, const char* level) {
  return counters(registry, "postrider_notes_total", "Warnings and errors of the engine's own.")
      .Add({{"level", level}});
}
Family<Counter>& failures(Registry& registry) {
  return counters(registry, "postrider_attempt_failures_total", "Attempts without a final 2xx, by cause.");
}
Counter& http_failure(Registry& registry, const char* cause) {
  return failures(registry).Add({{"cause", cause}});
}

// 5 ms to the attempt's deadline of 15 s.
Histogram::BucketBoundaries second_buckets() {
  return {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15};
}
Histogram& durations(Registry& registry, const char* outcome) {
  return histograms(registry, "postrider_attempt_duration_seconds",
                    "From dialling to the end of the attempt.")
      .Add({{"outcome", outcome}}, second_buckets());
}

Gauge& of_shard(Registry& registry, int shard, const char* name, const char* help) {
  return gauges(registry, name, help).Add({{"shard", std::to_string(shard)}});
}

// A word of ours, or what an operator wrote: that is no label.
std::string reason_label(std::string_view why) {
  const bool word = !why.empty() && why.size() <= 40 && std::all_of(why.begin(), why.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  });
  return word ? std::string(why) : "by_operator";
}

std::string_view name_of(Verdict::Kind kind) {
  switch (kind) {
    case Verdict::Kind::success:
      return "success";
    case Verdict::Kind::retry:
      return "retry";
    case Verdict::Kind::dead:
      return "dead";
    case Verdict::Kind::defer:
      return "defer";
  }
  return "defer";
}

std::string process_lines() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const double cpu = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  long pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return "# HELP process_cpu_seconds_total User and system time.\n# TYPE process_cpu_seconds_total counter\n"
         "process_cpu_seconds_total " +
         std::to_string(cpu) +
         "\n# HELP process_resident_memory_bytes Resident memory.\n# TYPE process_resident_memory_bytes "
         "gauge\n"
         "process_resident_memory_bytes " +
         std::to_string(resident * ::sysconf(_SC_PAGESIZE)) + "\n";
}

}  // namespace

ShardMetrics::ShardMetrics(Registry& r, int shard)
    : unsettled_(of_shard(r, shard, "postrider_unsettled_events",
                          "Events read whose outcome is not on the log yet.")),
      in_flight_(of_shard(r, shard, "postrider_in_flight_attempts", "Attempts on the wire.")),
      queued_(of_shard(r, shard, "postrider_queued_deliveries", "Deliveries waiting in memory.")),
      parked_(
          of_shard(r, shard, "postrider_parked_deliveries", "Deliveries waiting for their next attempt.")),
      held_(of_shard(r, shard, "postrider_held_deliveries", "Parked deliveries of stopped endpoints.")),
      bytes_(of_shard(r, shard, "postrider_budget_bytes",
                      "Bytes fetched, queued, in flight and unacknowledged.")),
      unacknowledged_(
          of_shard(r, shard, "postrider_unacknowledged_facts", "Facts the log has not acknowledged.")),
      oldest_due_(of_shard(r, shard, "postrider_oldest_due_seconds", "How late the oldest due delivery is.")),
      lag_(of_shard(r, shard, "postrider_lag_events", "Events not yet polled or not settled.")),
      breakers_open_(
          of_shard(r, shard, "postrider_breakers_open", "Endpoints whose circuit breaker is open.")),
      slowed_(of_shard(
          r, shard, "postrider_endpoints_slowed",
          "Endpoints with fewer attempts at once than declared, or waiting for their own rate limit.")),
      silent_in_flight_(of_shard(r, shard, "postrider_silent_attempts",
                                 "Attempts on the wire at endpoints that did not answer in time last.")),
      endpoints_(of_shard(r, shard, "postrider_endpoints", "Endpoints known.")),
      partitions_(of_shard(r, shard, "postrider_partitions", "Partitions owned.")),
      view_broken_(of_shard(r, shard, "postrider_view_broken",
                            "1 while the view cannot be written or read: its disk is full, or damaged.")),
      heartbeat_(of_shard(r, shard, "postrider_heartbeat_timestamp_seconds",
                          "When the shard last told its gauges.")),
      repeat_index_incomplete_(
          of_shard(r, shard, "postrider_repeat_index_incomplete_partitions",
                   "Partitions whose index of first positions does not cover all of repeat_window yet.")),
      shard_(std::to_string(shard)),
      repeat_index_(gauges(r, "postrider_repeat_index_covered_seconds",
                           "How far back the index of first positions of a partition is whole.")) {}

void ShardMetrics::set(const ShardGauges& now, std::int64_t unix_ms) {
  const auto set = [](Gauge& gauge, auto value) { gauge.Set(static_cast<double>(value)); };
  set(unsettled_, now.unsettled);
  set(in_flight_, now.in_flight);
  set(queued_, now.queued);
  set(parked_, now.parked);
  set(held_, now.held);
  set(bytes_, now.bytes);
  set(unacknowledged_, now.unacknowledged);
  oldest_due_.Set(static_cast<double>(now.oldest_due_ms) / 1000);
  set(lag_, now.lag);
  set(breakers_open_, now.breakers_open);
  set(slowed_, now.slowed);
  set(silent_in_flight_, now.silent_in_flight);
  set(endpoints_, now.endpoints);
  set(partitions_, now.partitions);
  set(view_broken_, now.view_broken ? 1 : 0);
  heartbeat_.Set(static_cast<double>(unix_ms) / 1000);
  set_repeat_index(now.repeat_index);
}

// A partition that went to another shard is no longer ours to speak of. Each shard has a series of its own:
// the other one's goes when its owner says so, and with it the gauge.
void ShardMetrics::set_repeat_index(const std::vector<RepeatIndexGauge>& now) {
  std::map<Partition, Gauge*> before = std::exchange(repeat_index_of_, {});
  double incomplete = 0;
  for (const RepeatIndexGauge& one : now) {
    const auto known = before.find(one.partition);
    Gauge* const gauge =
        known != before.end()
            ? known->second
            : &repeat_index_.Add({{"partition", std::to_string(one.partition)}, {"shard", shard_}});
    if (known != before.end()) before.erase(known);
    gauge->Set(static_cast<double>(one.covered_ms) / 1000);
    repeat_index_of_[one.partition] = gauge;
    if (!one.complete) ++incomplete;
  }
  for (const auto& [partition, gauge] : before) repeat_index_.Remove(gauge);
  repeat_index_incomplete_.Set(incomplete);
}

Metrics::Metrics(const std::string& environment, const std::string& version)
    : events_routed(events(registry_, "routed")),
      events_no_match(events(registry_, "no_match")),
      events_repeat(events(registry_, "repeat")),
      events_perhaps_repeat(
          counters(registry_, "postrider_events_perhaps_repeat_total",
                   "Events routed while the index of first positions did not cover the whole window.")
              .Add({})),
      events_misplaced(
          counters(registry_, "postrider_events_misplaced_total",
                   "Events on another partition than Kafka's default partitioner gives their key.")
              .Add({})),
      fan_out(
          counters(registry_, "postrider_fan_out_total", "Deliveries that events were routed to.").Add({})),
      parked_attempted(parked(registry_, "true")),
      parked_unattempted(parked(registry_, "false")),
      state_delivered(deliveries(registry_, "delivered")),
      state_parked(deliveries(registry_, "parked")),
      state_dead(deliveries(registry_, "dead")),
      state_cancelled(deliveries(registry_, "cancelled")),
      breakers_opened(
          counters(registry_, "postrider_breakers_opened_total", "Times a circuit breaker opened.").Add({})),
      notes_warn(notes(registry_, "warn")),
      notes_error(notes(registry_, "error")),
      http_3xx_(http_failure(registry_, "http_3xx")),
      http_4xx_(http_failure(registry_, "http_4xx")),
      http_429_(http_failure(registry_, "http_429")),
      http_5xx_(http_failure(registry_, "http_5xx")),
      retries_(counters(registry_, "postrider_retries_total", "Attempts that will be made again.").Add({})),
      limits_exhausted_(counters(registry_, "postrider_rate_limits_exhausted_total",
                                 "Answers that say the receiver's rate limit is used up.")
                            .Add({})),
      duration_success_(durations(registry_, "success")),
      duration_failure_(durations(registry_, "failure")),
      queued_seconds_(histograms(registry_, "postrider_queue_seconds", "Wait in memory before an attempt.")
                          .Add({}, second_buckets())),
      stopped_family_(gauges(registry_, "postrider_endpoint_stopped",
                             "1 while an endpoint is disabled or quarantined; at most 500 are named.")),
      stopped_count_(
          gauges(registry_, "postrider_endpoints_stopped", "Endpoints disabled or quarantined.").Add({})),
      lines_dropped_(
          counters(registry_, "postrider_log_lines_dropped_total", "Log lines that nobody read in time.")
              .Add({})),
      http_requests_(
          counters(registry_, "postrider_http_requests_total", "Requests to our API, by route and status.")),
      http_seconds_(histograms(registry_, "postrider_http_request_seconds", "Requests to our API.")
                        .Add({}, second_buckets())) {
  gauges(registry_, "postrider_build_info", "Always 1; says what runs.")
      .Add({{"version", version}, {"environment", environment}})
      .Set(1);
  auto& attempts = counters(registry_, "postrider_attempts_total", "Attempts, by verdict.");
  for (std::size_t i = 0; i < kVerdicts; ++i) {
    attempts_[i] = &attempts.Add({{"outcome", std::string(name_of(static_cast<Verdict::Kind>(i)))}});
  }
  for (std::size_t i = 1; i < kAttemptErrors; ++i) {  // 0: none
    failures_[i] = &failures(registry_).Add({{"cause", std::string(code_of(static_cast<AttemptError>(i)))}});
  }
  auto& dead = counters(registry_, "postrider_dead_letters_total", "Deliveries and events given up.");
  for (std::size_t i = 0; i < kDeadReasons; ++i) {
    const auto reason = static_cast<DeadReason>(i);
    dead_letters_[i] = &dead.Add({{"reason", std::string(reason_of(reason))},
                                  {"category", std::string(postrider::name_of(category_of(reason)))}});
  }
  auto& cancellations = counters(registry_, "postrider_cancelled_total", "Deliveries cancelled, by reason.");
  for (std::size_t i = 0; i < kCancelReasons; ++i) {
    cancelled[i] = &cancellations.Add({{"reason", std::string(reason_of(static_cast<CancelReason>(i)))}});
  }
}

void Metrics::attempt(const AttemptReport& report) {
  const AttemptFact& fact = report.fact;
  attempts_[static_cast<std::size_t>(fact.verdict)]->Increment();
  const bool success = fact.verdict == Verdict::Kind::success;
  if (success) {
    state_delivered.Increment();
  } else {
    count_failure(fact);
  }
  if (fact.verdict == Verdict::Kind::retry) retries_.Increment();
  if (fact.phases.total >= 0) {
    (success ? duration_success_ : duration_failure_).Observe(static_cast<double>(fact.phases.total) / 1000);
  }
  if (fact.phases.queue >= 0) queued_seconds_.Observe(static_cast<double>(fact.phases.queue) / 1000);
  if (report.rate_limit_remaining && *report.rate_limit_remaining <= 0) limits_exhausted_.Increment();
}

void Metrics::count_failure(const AttemptFact& fact) {
  if (fact.status == 429) {
    http_429_.Increment();
  } else if (fact.status >= 500) {
    http_5xx_.Increment();
  } else if (fact.status >= 400) {
    http_4xx_.Increment();
  } else if (fact.status >= 300) {
    http_3xx_.Increment();
  } else if (fact.error != AttemptError::none) {
    failures_[static_cast<std::size_t>(fact.error)]->Increment();
  }
}

void Metrics::dead_letter(DeadReason reason) {
  state_dead.Increment();
  dead_letters_[static_cast<std::size_t>(reason)]->Increment();
}

void Metrics::endpoint_changed(const std::string& tenant, const std::string& endpoint, Stop stop,
                               std::string_view why) {
  const std::lock_guard guard(lock_);
  const auto known = stopped_.find({tenant, endpoint});
  if (known != stopped_.end()) {
    if (known->second != nullptr) {
      stopped_family_.Remove(known->second);
      --stopped_series_;
    }
    stopped_.erase(known);
  }
  if (stop != Stop::none) {
    Gauge* series = nullptr;
    if (stopped_series_ < kStoppedSeriesMax) {
      series =
          &stopped_family_.Add({{"tenant", tenant}, {"endpoint", endpoint}, {"reason", reason_label(why)}});
      series->Set(1);
      ++stopped_series_;
    }
    stopped_.emplace(std::pair(tenant, endpoint), series);
  }
  stopped_count_.Set(static_cast<double>(stopped_.size()));
}

void Metrics::set_gauge(const std::string& name, const std::string& help, double value) {
  gauges(registry_, ("postrider_" + name).c_str(), help.c_str()).Add({}).Set(value);
}

void Metrics::http_request(std::string_view route, int status, std::int64_t duration_ms) {
  http_requests_.Add({{"route", std::string(route)}, {"status", std::to_string(status)}}).Increment();
  http_seconds_.Observe(static_cast<double>(duration_ms) / 1000);
}

std::string Metrics::text(std::uint64_t lines_dropped) {
  {
    const std::lock_guard guard(lock_);
    const double counted = lines_dropped_.Value();
    if (static_cast<double>(lines_dropped) > counted) {
      lines_dropped_.Increment(static_cast<double>(lines_dropped) - counted);
    }
  }
  return prometheus::TextSerializer().Serialize(registry_.Collect()) + process_lines();
}

}  // namespace postrider::telemetry
