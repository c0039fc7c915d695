#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "engine/core/ids.h"
#include "engine/core/result.h"
#include "engine/ports/clock.h"
#include "engine/ports/observer.h"

// What the engine tells the world: JSON log lines (O1) and Prometheus metrics (O4). Nothing here blocks a
// shard: lines are handed to a thread that writes them, counters are atomic. Nothing secret is ever handed
// in; what slips in anyway is cut (redaction.h).
namespace postrider::telemetry {

struct TelemetryOptions {
  Environment environment;
  std::string version = "0.1.0";
  std::string level = "info";  // "debug", "info", "warn", "error": what is less is not even formatted
  int fd = 2;                  // where lines go; borrowed
};

// One more member of a log line. Views live for the call. The value of a field whose name speaks of a secret
// ("token", "authorization", …) is replaced; URLs in values lose their query.
struct Field {
  std::string_view key;  // O1's names where one fits: tenant, endpoint, actor, request_id, status_code, …
  std::variant<std::string_view, std::int64_t, double, bool> value;

  Field(std::string_view k, std::string_view text) : key(k), value(text) {}
  Field(std::string_view k, const std::string& text) : key(k), value(std::string_view(text)) {}
  Field(std::string_view k, const char* text) : key(k), value(std::string_view(text)) {}
  Field(std::string_view k, bool yes) : key(k), value(yes) {}
  Field(std::string_view k, double number) : key(k), value(number) {}
  template <class Integer>
  requires std::is_integral_v<Integer> Field(std::string_view k, Integer number)
      : key(k), value(static_cast<std::int64_t>(number)) {}
};

// One per process. Thread-safe, but for each observer: that is its shard's. Borrows the clock (wall time).
class Telemetry {
 public:
  Telemetry(TelemetryOptions options, const Clock& clock);
  Telemetry(const Telemetry&) = delete;
  Telemetry& operator=(const Telemetry&) = delete;
  ~Telemetry();  // writes out what waits

  // The ports/observer.h of one shard, 0 and up. Owned here; the same number gives the same observer.
  Observer& observer(int shard = 0);

  // A line of main, the API or an adapter. level: "debug", "info", "warn", "error". `operation`: a snake_case
  // word.
  void log(std::string_view level, std::string_view operation, std::string_view message,
           std::initializer_list<Field> fields = {});
  // The same with error_code, suggestion and retryable from an Error.
  void log(std::string_view level, std::string_view operation, const Error& error,
           std::initializer_list<Field> fields = {});
  // Whether lines of that level are written at all.
  bool logs(std::string_view level) const;

  // A gauge that is set now and then (bytes of the store, say). `name` without the "postrider_" before it.
  void set_gauge(const std::string& name, const std::string& help, double value);
  // An HTTP request that the API answered: `route` is a template ("/v1/endpoints/{id}"), never the path
  // itself.
  void http_request(std::string_view route, int status, std::int64_t duration_ms);

  // Prometheus' text format 0.0.4 ("text/plain; version=0.0.4"). Any thread.
  std::string metrics_text();

  // Waits until the lines so far are written, at most two seconds: before _exit and the like.
  void flush();

 private:
  struct Parts;
  friend class ShardObserver;
  std::unique_ptr<Parts> parts_;
};

}  // namespace postrider::telemetry
