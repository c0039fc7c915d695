#include "engine/telemetry/telemetry.h"

#include <spdlog/logger.h>
#include <spdlog/sinks/sink.h>

#include <map>
#include <mutex>
#include <optional>

#include "engine/telemetry/json_line.h"
#include "engine/telemetry/line_writer.h"
#include "engine/telemetry/metrics.h"
#include "engine/telemetry/redaction.h"

namespace postrider::telemetry {
namespace {

constexpr std::string_view kOurService = "postrider";

spdlog::level::level_enum level_of(std::string_view name) {
  if (name == "debug") return spdlog::level::debug;
  if (name == "warn") return spdlog::level::warn;
  if (name == "error") return spdlog::level::err;
  return spdlog::level::info;
}
std::string_view name_of(spdlog::level::level_enum level) {
  switch (level) {
    case spdlog::level::debug:
      return "debug";
    case spdlog::level::warn:
      return "warn";
    case spdlog::level::err:
      return "error";
    default:
      return "info";
  }
}

// Hands spdlog's lines, which are whole JSON already, to the thread that writes them.
class LineSink final : public spdlog::sinks::sink {
 public:
  explicit LineSink(LineWriter& writer) : writer_(writer) {}
  void log(const spdlog::details::log_msg& line) override {
    writer_.add({line.payload.data(), line.payload.size()}, line.level >= spdlog::level::warn);
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  LineWriter& writer_;
};

// The trace id of a W3C traceparent ("00-<32 hex>-<16 hex>-<2 hex>"): joins event, delivery and request (O5).
std::string_view trace_id(std::string_view traceparent) {
  return traceparent.size() >= 55 && traceparent[2] == '-' && traceparent[35] == '-'
             ? traceparent.substr(3, 32)
             : std::string_view();
}

void append(JsonLine& line, const Field& field) {
  if (const auto* text = std::get_if<std::string_view>(&field.value)) {
    if (is_denied_name(field.key)) {
      line.text(field.key, kRedacted);
    } else {
      line.text(field.key, redact(*text));
    }
  } else if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
    line.number(field.key, *number);
  } else if (const auto* real = std::get_if<double>(&field.value)) {
    line.number(field.key, *real);
  } else {
    line.boolean(field.key, std::get<bool>(field.value));
  }
}

}  // namespace

struct Telemetry::Parts {
  Parts(TelemetryOptions given, const Clock& wall)
      : options(std::move(given)),
        clock(wall),
        metrics(options.environment.str(), options.version),
        writer(options.fd),
        logger("postrider", std::make_shared<LineSink>(writer)) {
    logger.set_level(level_of(options.level));
  }

  // A line of the calling thread, with what every line has; nullptr: not to be written.
  JsonLine* start(spdlog::level::level_enum level, std::string_view operation, std::string_view service) {
    if (!logger.should_log(level)) return nullptr;
    thread_local JsonLine line;
    line.begin()
        .time("timestamp", to_ms(clock.wall()))
        .text("level", name_of(level))
        .text("service", service)
        .text("operation", operation)
        .text("environment", options.environment.str());
    return &line;
  }
  void finish(spdlog::level::level_enum level, JsonLine& line) {
    const std::string_view text = line.end();
    logger.log(level, spdlog::string_view_t(text.data(), text.size()));
  }

  const TelemetryOptions options;
  const Clock& clock;
  Metrics metrics;
  LineWriter writer;
  spdlog::logger logger;
  std::mutex lock;
  std::map<int, std::unique_ptr<Observer>> observers;
};

namespace {

// The members every line about a delivery has.
void append(JsonLine& line, const DeliveryRef& delivery) {
  line.text_if("tenant", delivery.tenant.str())
      .text_if("endpoint", delivery.target.endpoint.str())
      .text_if("delivery", delivery.id.str())
      .text_if("idempotency_key", delivery.webhook_id.str())
      .text_if("event_type", delivery.event_type)
      .text_if("replay_job", delivery.replay_job.str());
}

std::string_view service_of(const DeliveryRef& delivery) {
  const std::string& endpoint = delivery.target.endpoint.str();
  return endpoint.empty() ? kOurService : std::string_view(endpoint);
}

}  // namespace

// One shard's: called on its thread only.
class ShardObserver final : public Observer {
 public:
  ShardObserver(Telemetry::Parts& parts, int shard)
      : parts_(parts), metrics_(parts.metrics), gauges_(parts.metrics.registry(), shard), shard_(shard) {}

  void attempt(const AttemptReport& report) override;
  void dead_letter(const DeadLetter& letter) override;
  void endpoint_changed(const TenantId& tenant, const EndpointId& endpoint, Stop stop,
                        std::string_view why) override;
  void breaker_changed(const TenantId& tenant, const EndpointId& endpoint, bool open) override;
  void event_taken(const TenantId&, std::uint32_t fan_out) override {
    metrics_.events_routed.Increment();
    metrics_.fan_out.Increment(fan_out);
  }
  void no_match(const TenantId&) override { metrics_.events_no_match.Increment(); }
  void repeat(const TenantId&) override { metrics_.events_repeat.Increment(); }
  void perhaps_repeat(const TenantId&) override { metrics_.events_perhaps_repeat.Increment(); }
  void misplaced(const TenantId&) override { metrics_.events_misplaced.Increment(); }
  void parked(bool attempted) override {
    metrics_.state_parked.Increment();
    (attempted ? metrics_.parked_attempted : metrics_.parked_unattempted).Increment();
  }
  void cancelled(const CancelledFact& fact) override;
  void note(std::string_view level, std::string_view operation, std::string_view message,
            const Error* error) override;
  void gauges(const ShardGauges& gauges) override;

 private:
  Telemetry::Parts& parts_;
  Metrics& metrics_;
  ShardMetrics gauges_;
  int shard_;
  std::uint64_t drops_told_ = 0;
};

void ShardObserver::attempt(const AttemptReport& report) {
  metrics_.attempt(report);
  const AttemptFact& fact = report.fact;
  auto level = spdlog::level::info;
  std::string_view message = "delivered";
  switch (fact.verdict) {
    case Verdict::Kind::success:
      break;
    case Verdict::Kind::retry:
      level = spdlog::level::warn;
      message = "failed, will be tried again";
      break;
    case Verdict::Kind::dead:
      level = spdlog::level::err;
      message = "failed for good";
      break;
    case Verdict::Kind::defer:
      level = spdlog::level::warn;
      message = "put off, no attempt charged";
      break;
  }
  JsonLine* const line = parts_.start(level, "deliver", service_of(fact.delivery));
  if (line == nullptr) return;
  line->text("message", message);
  line->text_if("request_id", fact.receiver_request_id);
  const std::string_view trace = trace_id(report.traceparent);
  line->text_if("correlation_id", trace.empty() ? std::string_view(fact.delivery.event_id) : trace);
  append(*line, fact.delivery);
  line->number("retry_attempt", std::int64_t{fact.number > 0 ? fact.number - 1 : 0});
  line->number("max_retries", std::int64_t{report.attempts_max > 0 ? report.attempts_max - 1 : 0});
  if (fact.status != 0) line->number("status_code", std::int64_t{fact.status});
  line->text_if("error_code", report.error_code);
  if (fact.phases.total >= 0) line->number("duration_ms", std::int64_t{fact.phases.total});
  if (report.rate_limit_remaining) line->number("rate_limit_remaining", *report.rate_limit_remaining);
  if (fact.verdict == Verdict::Kind::retry) line->time("next_at", fact.next_at);
  if (report.dead) line->text("reason", reason_of(*report.dead));
  parts_.finish(level, *line);
}

void ShardObserver::dead_letter(const DeadLetter& letter) {
  metrics_.dead_letter(letter.reason);
  JsonLine* const line = parts_.start(spdlog::level::err, "dead_letter", service_of(letter.delivery));
  if (line == nullptr) return;
  line->text("message", "given up: look at it with postrider-ops dead-letters show");
  line->boolean("alert", true);
  line->text_if("correlation_id", letter.delivery.event_id);
  append(*line, letter.delivery);
  line->text("reason", reason_of(letter.reason))
      .text("category", postrider::name_of(category_of(letter.reason)));
  line->number("attempts", std::int64_t{letter.attempts});
  line->number("retry_attempt", std::int64_t{letter.attempts > 0 ? letter.attempts - 1 : 0});
  if (letter.last_status != 0) line->number("status_code", std::int64_t{letter.last_status});
  if (letter.last_error != AttemptError::none) line->text("error_code", code_of(letter.last_error));
  line->number("partition", std::int64_t{letter.delivery.position.partition});
  line->number("offset", letter.delivery.position.offset);
  parts_.finish(spdlog::level::err, *line);
}

void ShardObserver::endpoint_changed(const TenantId& tenant, const EndpointId& endpoint, Stop stop,
                                     std::string_view why) {
  metrics_.endpoint_changed(tenant.str(), endpoint.str(), stop, why);
  const auto level = stop == Stop::none ? spdlog::level::info : spdlog::level::err;
  const std::string_view operation = stop == Stop::none       ? "endpoint_enabled"
                                     : stop == Stop::disabled ? "endpoint_disabled"
                                                              : "endpoint_quarantined";
  JsonLine* const line = parts_.start(level, operation, endpoint.str());
  if (line == nullptr) return;
  line->text("message",
             stop == Stop::none ? "takes deliveries again" : "takes nothing: its deliveries are held");
  line->text("tenant", tenant.str()).text("endpoint", endpoint.str()).text_if("reason", redact(why));
  parts_.finish(level, *line);
}

void ShardObserver::breaker_changed(const TenantId& tenant, const EndpointId& endpoint, bool open) {
  if (open) metrics_.breakers_opened.Increment();
  const auto level = open ? spdlog::level::warn : spdlog::level::info;
  JsonLine* const line = parts_.start(level, open ? "breaker_opened" : "breaker_closed", endpoint.str());
  if (line == nullptr) return;
  line->text("message", open ? "keeps failing: is left alone for a while" : "answers again");
  line->text("tenant", tenant.str()).text("endpoint", endpoint.str());
  parts_.finish(level, *line);
}

void ShardObserver::cancelled(const CancelledFact& fact) {
  metrics_.state_cancelled.Increment();
  metrics_.cancelled[static_cast<std::size_t>(fact.reason)]->Increment();
  JsonLine* const line = parts_.start(spdlog::level::info, "cancel", service_of(fact.delivery));
  if (line == nullptr) return;
  line->text("message", "cancelled").text("reason", reason_of(fact.reason));
  append(*line, fact.delivery);
  parts_.finish(spdlog::level::info, *line);
}

void ShardObserver::note(std::string_view level, std::string_view operation, std::string_view message,
                         const Error* error) {
  const auto chosen = level_of(level);
  if (chosen == spdlog::level::warn) metrics_.notes_warn.Increment();
  if (chosen == spdlog::level::err) metrics_.notes_error.Increment();
  JsonLine* const line = parts_.start(chosen, operation, kOurService);
  if (line == nullptr) return;
  line->text("message", redact(message)).number("shard", std::int64_t{shard_});
  if (error != nullptr) {
    line->text("error_code", error->code).text("error", redact(error->message));
    line->text("suggestion", redact(error->suggestion)).boolean("retryable", error->retryable());
  }
  parts_.finish(chosen, *line);
}

void ShardObserver::gauges(const ShardGauges& gauges) {
  gauges_.set(gauges, to_ms(parts_.clock.wall()));
  const std::uint64_t dropped = parts_.writer.dropped();
  if (shard_ != 0 || dropped == drops_told_) return;
  const std::string message =
      std::to_string(dropped - drops_told_) + " log lines were not read in time and are lost";
  drops_told_ = dropped;
  note("warn", "log_lines_dropped", message, nullptr);
}

Telemetry::Telemetry(TelemetryOptions options, const Clock& clock)
    : parts_(std::make_unique<Parts>(std::move(options), clock)) {}
Telemetry::~Telemetry() = default;

Observer& Telemetry::observer(int shard) {
  const std::lock_guard guard(parts_->lock);
  std::unique_ptr<Observer>& known = parts_->observers[shard];
  if (!known) known = std::make_unique<ShardObserver>(*parts_, shard);
  return *known;
}

void Telemetry::log(std::string_view level, std::string_view operation, std::string_view message,
                    std::initializer_list<Field> fields) {
  const auto chosen = level_of(level);
  JsonLine* const line = parts_->start(chosen, operation, kOurService);
  if (line == nullptr) return;
  line->text("message", redact(message));
  for (const Field& field : fields) append(*line, field);
  parts_->finish(chosen, *line);
}

void Telemetry::log(std::string_view level, std::string_view operation, const Error& error,
                    std::initializer_list<Field> fields) {
  const auto chosen = level_of(level);
  JsonLine* const line = parts_->start(chosen, operation, kOurService);
  if (line == nullptr) return;
  line->text("message", redact(error.message)).text("error_code", error.code);
  line->text("suggestion", redact(error.suggestion)).boolean("retryable", error.retryable());
  for (const Field& field : fields) append(*line, field);
  parts_->finish(chosen, *line);
}

bool Telemetry::logs(std::string_view level) const {
  return parts_->logger.should_log(level_of(level));
}

void Telemetry::set_gauge(const std::string& name, const std::string& help, double value) {
  parts_->metrics.set_gauge(name, help, value);
}

void Telemetry::http_request(std::string_view route, int status, std::int64_t duration_ms) {
  parts_->metrics.http_request(route, status, duration_ms);
}

std::string Telemetry::metrics_text() {
  return parts_->metrics.text(parts_->writer.dropped());
}

void Telemetry::flush() {
  parts_->writer.flush(std::chrono::seconds(2));
}

}  // namespace postrider::telemetry
