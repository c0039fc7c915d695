#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

// What a receiver answers, and which webhooks it has processed already. A value: no sockets, no clock; one
// thread.
namespace postrider_receive {

// An HTTP status, or one of the ways in which receivers misbehave.
struct Answer {
  enum class Kind { status, hang, reset } kind = Kind::status;
  int status = 200;  // 0 for hang and reset
  bool processed() const { return kind == Kind::status && status >= 200 && status < 300; }
};
// "200" … "599", "hang", "reset".
std::optional<Answer> parse_answer(std::string_view text);

// The first `count` times that a webhook-id comes. Several follow one another: 2:503 then 1:429 gives 503,
// 503, 429.
struct FirstAnswers {
  std::uint32_t count = 0;
  Answer answer;
};
// "N:CODE" with N in 1–1000000.
std::optional<FirstAnswers> parse_first_answers(std::string_view text);

// Remembers the newest 200,000 webhook-ids (some 30 MB at most): an id counts as processed once it was
// answered 2xx, so that a retry after a 503 is no repeat.
class AnswerPlan {
 public:
  AnswerPlan(Answer usual, std::vector<FirstAnswers> first) : usual_(usual), first_(std::move(first)) {}

  bool is_repeat(const std::string& webhook_id) const { return processed_.count(webhook_id) != 0; }
  // The answer for a verified webhook that is no repeat. Counts this arrival.
  Answer next(const std::string& webhook_id);

 private:
  void remember(const std::string& webhook_id);

  Answer usual_;
  std::vector<FirstAnswers> first_;
  std::unordered_map<std::string, std::uint32_t> arrivals_;
  std::unordered_set<std::string> processed_;
  std::deque<std::string> order_;  // of arrivals_, oldest first
};

}  // namespace postrider_receive
