#include "producers/first_outcomes.h"

#include <utility>

namespace postrider::producers {
namespace {

// What came back: "HTTP 200", "timeout", or both.
std::string answer_text(std::int64_t status, std::string_view error) {
  std::string text = status != 0 ? "HTTP " + std::to_string(status) : std::string();
  if (!error.empty()) text.append(text.empty() ? "" : ", ").append(error);
  return text;
}

OutcomeKind kind_of(Verdict::Kind verdict) {
  if (verdict == Verdict::Kind::success) return OutcomeKind::delivered;
  return verdict == Verdict::Kind::dead ? OutcomeKind::dead : OutcomeKind::parked;
}

std::string text_of(const AttemptFact& fact) {
  const auto error = fact.error == AttemptError::none ? std::string_view() : code_of(fact.error);
  return attempt_text(kind_of(fact.verdict), fact.status, error, rfc3339(fact.next_at));
}

}  // namespace

std::string_view name_of(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::delivered:
      return "delivered";
    case OutcomeKind::parked:
      return "parked";
    case OutcomeKind::dead:
      return "dead";
    case OutcomeKind::cancelled:
      return "cancelled";
    case OutcomeKind::none:
      break;
  }
  return "none";
}

std::string attempt_text(OutcomeKind kind, std::int64_t status, std::string_view error,
                         std::string_view retry_at) {
  const auto answer = " (" + answer_text(status, error) + ")";
  switch (kind) {
    case OutcomeKind::delivered:
      return "delivered" + answer;
    case OutcomeKind::dead:
      return "failed" + answer + ", a dead letter";
    case OutcomeKind::cancelled:
      return "failed" + answer + ", cancelled";
    case OutcomeKind::parked:
    case OutcomeKind::none:
      break;
  }
  return "failed" + answer + (retry_at.empty() ? ", to be retried" : ", retry at " + std::string(retry_at));
}

void FirstOutcomes::expect(Position position, std::string event_id, WebhookId webhook_id) {
  open_.emplace(position, Open{std::move(event_id), std::move(webhook_id), {}, 0});
}

std::vector<FirstOutcome> FirstOutcomes::apply(const wire::AttemptsFact& fact) {
  if (const auto* attempt = std::get_if<AttemptFact>(&fact)) {
    if (attempt->verdict == Verdict::Kind::defer) return {};  // it was not tried
    return of_delivery(attempt->delivery, attempt->fan_out, kind_of(attempt->verdict), text_of(*attempt));
  }
  if (const auto* cancelled = std::get_if<CancelledFact>(&fact)) {
    return of_delivery(cancelled->delivery, 0, OutcomeKind::cancelled,
                       "cancelled: " + std::string(reason_of(cancelled->reason)));
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
                                                     OutcomeKind kind, std::string text) {
  const auto at = open_.find(delivery.position);
  if (at == open_.end() || !delivery.replay_job.empty()) return {};
  auto& open = at->second;
  open.fan_out = std::max(open.fan_out, fan_out);
  Found found;
  if (open.deliveries.insert(delivery.id.str()).second) {
    found.push_back({open.event_id, open.webhook_id, delivery.target.endpoint.str(), kind, std::move(text)});
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
    found.push_back({at->second.event_id, at->second.webhook_id, "", OutcomeKind::none, text});
    at = open_.erase(at);
  }
  return found;
}

}  // namespace postrider::producers
