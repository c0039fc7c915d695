#include "engine/flow/appender.h"

#include <utility>

namespace postrider::flow {
namespace {

// What failed is tried again sooner than that, while it matters.
constexpr Millis kAskedLately{5000};

std::size_t size_of(const NewRecord& record) {
  std::size_t bytes = record.key.size() + (record.value ? record.value->size() : 0) + 64;
  for (const Header& header : record.headers) bytes += header.name.size() + header.value.size();
  return bytes;
}

}  // namespace

void Appender::append(NewRecord record, Answer answer, std::optional<Owner> owner) {
  asked_at_ = context_.steady();
  const std::uint64_t token = answers_.add(Asked{std::move(answer), asked_at_}).token;
  if (!stalled_since_) stalled_since_ = asked_at_;
  const std::size_t bytes = size_of(record);
  if (waiting_.empty() && context_.ports.log.can_append(bytes)) {
    context_.ports.log.append(std::move(record), token);
    return;
  }
  waiting_bytes_ += bytes;
  waiting_.push_back({std::move(record), token, owner});
}

std::optional<SteadyTime> Appender::stalled_since(SteadyTime now) const {
  const bool asks = !answers_.empty() || now - asked_at_ < kAskedLately;
  return asks ? stalled_since_ : std::nullopt;
}

void Appender::pump() {
  while (!waiting_.empty()) {
    const std::size_t bytes = size_of(waiting_.front().record);
    if (!context_.ports.log.can_append(bytes)) return;
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    waiting_bytes_ -= bytes;
    if (next.owner && !may_append(*next.owner)) {
      Appended withheld;
      withheld.status = Appended::Status::unknown;
      on_appended(next.token, withheld);
      continue;
    }
    if (Asked* const asked = answers_.find(next.token)) asked->at = context_.steady();
    context_.ports.log.append(std::move(next.record), next.token);
  }
}

void Appender::on_appended(std::uint64_t token, const Appended& appended) {
  Asked* const known = answers_.find(token);
  if (known == nullptr) return;
  Asked asked = std::move(*known);
  answers_.remove(token);
  if (appended.status == Appended::Status::acknowledged) {
    context_.log_time.acknowledged(appended.appended, asked.at, context_.steady());
    stalled_since_.reset();
    if (!answers_.empty()) stalled_since_ = context_.steady();
  }
  asked.answer(appended);
}

}  // namespace postrider::flow
