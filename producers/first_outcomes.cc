#include "producers/first_outcomes.h"

#include <utility>

namespace postrider::producers {
namespace {

// What came back: "200", "timeout", or both.
std::string answer_text(const AttemptFact& fact) {
  const auto status = fact.status != 0 ? "HTTP " + std::to_string(fact.status) : std::string();
  if (fact.error == AttemptError::none) return status;
  const std::string code(code_of(fact.error));
  return status.empty() ? code : status + ", " + code;
}

std::string attempt_text(const AttemptFact& fact) {
  switch (fact.verdict) {
    case Verdict::Kind::success:
      return "delivered (" + answer_text(fact) + ")";
    case Verdict::Kind::retry:
      return "failed (" + answer_text(fact) + "), retry at " + rfc3339(fact.next_at);
    case Verdict::Kind::dead:
      return "failed (" + answer_text(fact) + "), a dead letter";
    case Verdict::Kind::defer:
      break;
  }
  return "failed (" + answer_text(fact) + ")";
}

}  // namespace

void FirstOutcomes::expect(Position position, std::string event_id, WebhookId webhook_id) {
  open_.emplace(position, Open{std::move(event_id), std::move(webhook_id), {}, 0});
}

std::vector<FirstOutcome> FirstOutcomes::apply(const wire::AttemptsFact& fact) {
  if (const auto* attempt = std::get_if<AttemptFact>(&fact)) {
    if (attempt->verdict == Verdict::Kind::defer) return {};  // it was not tried
    return of_delivery(attempt->delivery, attempt->fan_out, attempt_text(*attempt));
  }
  if (const auto* cancelled = std::get_if<CancelledFact>(&fact)) {
    return of_delivery(cancelled->delivery, 0, "cancelled: " + std::string(reason_of(cancelled->reason)));
  }
  if (const auto* aside = std::get_if<SetAsideFact>(&fact)) {
    return of_event(aside->position, "set aside: " + std::string(reason_of(aside->reason)));
  }
  if (const auto* lost = std::get_if<SourceLostFact>(&fact)) {
    return of_events(lost->partition, lost->first, lost->last, "lost: the log no longer holds it");
  }
  Found found;
  const auto append = [&found](Found more) { found.insert(found.end(), more.begin(), more.end()); };
  if (const auto* none = std::get_if<NoMatchFact>(&fact)) {
    for (const auto& [first, last] : none->offsets) {
      append(of_events(none->partition, first, last, "matches no endpoint"));
    }
  }
  if (const auto* repeats = std::get_if<RepeatFact>(&fact)) {
    for (const auto& repeat : repeats->repeats) {
      append(of_event({repeats->partition, repeat.offset},
                      "dropped: a repeat of offset " + std::to_string(repeat.first)));
    }
  }
  return found;
}

std::vector<FirstOutcome> FirstOutcomes::of_delivery(const DeliveryRef& delivery, std::size_t fan_out,
                                                     std::string text) {
  const auto at = open_.find(delivery.position);
  if (at == open_.end() || !delivery.replay_job.empty()) return {};
  auto& open = at->second;
  open.fan_out = std::max(open.fan_out, fan_out);
  Found found;
  if (open.deliveries.insert(delivery.id.str()).second) {
    found.push_back({open.event_id, open.webhook_id, delivery.target.endpoint.str(), std::move(text)});
  }
  if (open.fan_out != 0 && open.deliveries.size() >= open.fan_out) open_.erase(at);
  return found;
}

std::vector<FirstOutcome> FirstOutcomes::of_event(Position position, const std::string& text) {
  return of_events(position.partition, position.offset, position.offset, text);
}

std::vector<FirstOutcome> FirstOutcomes::of_events(Partition partition, Offset first, Offset last,
                                                   const std::string& text) {
  Found found;
  auto at = open_.lower_bound({partition, first});
  while (at != open_.end() && at->first <= Position{partition, last}) {
    found.push_back({at->second.event_id, at->second.webhook_id, "", text});
    at = open_.erase(at);
  }
  return found;
}

}  // namespace postrider::producers
