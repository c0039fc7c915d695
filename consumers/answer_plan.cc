#include "consumers/answer_plan.h"

#include <charconv>

namespace postrider_receive {
namespace {

constexpr std::size_t kRememberedMax = 200'000;

std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<Answer> parse_answer(std::string_view text) {
  if (text == "hang") return Answer{Answer::Kind::hang, 0};
  if (text == "reset") return Answer{Answer::Kind::reset, 0};
  const auto status = number(text);
  if (!status || *status < 200 || *status > 599) return std::nullopt;
  return Answer{Answer::Kind::status, static_cast<int>(*status)};
}

std::optional<FirstAnswers> parse_first_answers(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto count = number(text.substr(0, colon));
  const auto answer = parse_answer(text.substr(colon + 1));
  if (!count || *count == 0 || *count > 1'000'000 || !answer) return std::nullopt;
  return FirstAnswers{*count, *answer};
}

Answer AnswerPlan::next(const std::string& webhook_id) {
  remember(webhook_id);
  auto arrival = arrivals_[webhook_id]++;
  Answer answer = usual_;
  for (const auto& phase : first_) {
    if (arrival < phase.count) {
      answer = phase.answer;
      break;
    }
    arrival -= phase.count;
  }
  if (answer.processed()) processed_.insert(webhook_id);
  return answer;
}

void AnswerPlan::remember(const std::string& webhook_id) {
  if (arrivals_.count(webhook_id) != 0) return;
  order_.push_back(webhook_id);
  if (order_.size() <= kRememberedMax) return;
  arrivals_.erase(order_.front());
  processed_.erase(order_.front());
  order_.pop_front();
}

}  // namespace postrider_receive
