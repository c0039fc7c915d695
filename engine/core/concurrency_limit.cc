#include "engine/core/concurrency_limit.h"

#include <algorithm>

namespace postrider {
namespace {

constexpr double kRecent = 8;              // answers that answer_ms_ is smoothed over
constexpr std::uint32_t kUsual = 256;      // those of usual_ms_
constexpr std::uint32_t kJudgedFrom = 64;  // fewer say nothing about what is usual
constexpr double kSlower = 2;
constexpr double kSlowerMs = 100;  // beside it: what is quick may be thrice as slow and still quick

enum class Sign { none, answered, refused, silent };

Sign sign_of(const Outcome& outcome) {
  switch (outcome.status) {
    case 429:
    case 502:
    case 503:
    case 504:
      return Sign::refused;
    case 0:
      break;
    default:
      return outcome.status < 500 ? Sign::answered : Sign::none;
  }
  switch (outcome.error) {
    case AttemptError::timeout:
      return Sign::silent;
    case AttemptError::connect:
    case AttemptError::reset:
      return Sign::refused;
    default:
      return Sign::none;
  }
}

}  // namespace

void ConcurrencyLimit::set_most(std::uint32_t most) {
  const bool open = level_ >= most_;
  most_ = std::max(1.0, static_cast<double>(most));
  level_ = open ? most_ : std::min(level_, most_);
  calm_ = open ? most_ : std::min(calm_, most_);
}

void ConcurrencyLimit::saw(const Outcome& outcome, std::uint32_t under_way, bool time_counts) {
  const bool told = of_one_round_ > 0;  // sent before it shrank: what it would tell is told
  if (told) --of_one_round_;
  switch (sign_of(outcome)) {
    case Sign::none:
      return;
    case Sign::refused:
      if (!told) shrink(level_ / 2, level_ / 2, under_way);
      return;
    case Sign::silent:
      if (!told) shrink(1, level_ / 2, under_way);
      return;
    case Sign::answered:
      break;
  }
  const bool slow = note_time(outcome.phases.total);
  if (!slow || !time_counts) {
    grow();
  } else if (!told && level_ > most_ / 4) {
    shrink(std::max(level_ * 3 / 4, most_ / 4), level_ * 3 / 4, under_way);
  }
}

// Whether answers have grown slow.
bool ConcurrencyLimit::note_time(std::int32_t took_ms) {
  if (took_ms < 0) return false;
  if (timed_ < kUsual) ++timed_;
  answer_ms_ += (took_ms - answer_ms_) / std::min<double>(timed_, kRecent);
  usual_ms_ += (took_ms - usual_ms_) / timed_;
  return timed_ >= kJudgedFrom && answer_ms_ > kSlower * usual_ms_ + kSlowerMs;
}

bool ConcurrencyLimit::admits(std::uint32_t under_way) {
  if (under_way < allowed()) return true;
  met_ = allowed();
  return false;
}

void ConcurrencyLimit::grow() {
  if (met_ == 0) return;
  --met_;
  level_ = std::min(most_, level_ + (level_ < calm_ ? 1 : 1 / level_));
}

void ConcurrencyLimit::shrink(double to, double calm, std::uint32_t under_way) {
  of_one_round_ = under_way;
  met_ = 0;
  calm_ = std::max(2.0, calm);
  level_ = std::max(1.0, to);
}

void ConcurrencyLimit::warm() {
  level_ = 1;
  calm_ = most_;
  of_one_round_ = met_ = 0;
}

}  // namespace postrider
