#pragma once
#include <cstdint>
#include <optional>

#include "engine/core/outcome.h"
#include "engine/core/time.h"

namespace postrider {

// How many attempts one endpoint may have under way at once: at least one, at most what it was declared with,
// and all of that as long as it answers. Additive growth and multiplicative decrease as in TCP (RFC 5681,
// with attempts for segments): a refusal (429, 502, 503, 504, no connection) halves it; no answer in time
// leaves one; answers that take more than twice their usual time take a quarter, but never more than three
// quarters in all, since a slow endpoint is not always one that has too much. Each at most once for what was
// under way together. Answers grow it again: doubling a round up to half of what was too much, then by one a
// round, and only while it is in use. A value: no clock, no locks. A shard owns one per endpoint.
class ConcurrencyLimit {
 public:
  explicit ConcurrencyLimit(std::uint32_t most = 16) : most_(most), level_(most), calm_(most) {}

  std::uint32_t allowed() const { return static_cast<std::uint32_t>(level_); }
  // Asked when there is something to send. False is remembered: a limit grows only where it was met.
  bool admits(std::uint32_t under_way);
  bool reduced() const { return allowed() < most_; }
  // 1–1000, as declared. What was not reduced stays so.
  void set_most(std::uint32_t most);

  // An attempt came back, and that many are still under way. `took`: its time if it says something of the
  // endpoint, else (our own loop was late) nothing.
  void saw(const Outcome& outcome, std::uint32_t under_way, bool time_counts = true);
  // It answers again after an outage: from one on, doubling a round.
  void warm();

  // Time of an answer, smoothed over the last eight or so.
  Millis answer() const { return Millis(static_cast<std::int64_t>(answer_ms_)); }

 private:
  void grow();
  void shrink(double to, double calm, std::uint32_t under_way);
  bool note_time(std::int32_t took_ms);

  double most_;
  double level_;
  double calm_;                     // below it growth is fast
  std::uint32_t of_one_round_ = 0;  // attempts that were under way when it shrank last
  double answer_ms_ = 0, usual_ms_ = 0;
  std::uint32_t met_ = 0;    // answers that grow it
  std::uint32_t timed_ = 0;  // answers, up to kUsual
};

}  // namespace postrider
