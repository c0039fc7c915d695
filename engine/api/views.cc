#include "engine/api/views.h"

#include <algorithm>

namespace postrider {
namespace {

Json text_or_null(std::string_view text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

std::string upper(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; });
  return out;
}

std::string_view name_of_state(SecretState state) {
  switch (state) {
    case SecretState::active:
      return "active";
    case SecretState::expiring:
      return "expiring";
    case SecretState::revoked:
      break;
  }
  return "revoked";
}

Json retry_of(const RetryPolicy& policy) {
  const auto words = format_retry_policy(policy);
  return policy.kind == RetryPolicy::Kind::custom ? Json(words) : Json(words.front());
}

// "HTTP_503", "TIMEOUT"; null: a success.
Json code_of_attempt(std::int32_t status, AttemptError error, bool success) {
  if (success) return nullptr;
  if (error != AttemptError::none) return upper(code_of(error));
  return "HTTP_" + std::to_string(status);
}

constexpr std::int64_t kDayMs = 86'400'000, kOldAfterDays = 365;

Json attempt_view(const AttemptFact& attempt) {
  const bool success = attempt.verdict == Verdict::Kind::success;
  return {{"n", attempt.number},
          {"at", time_or_null(attempt.at)},
          {"status", attempt.status == 0 ? Json(nullptr) : Json(attempt.status)},
          {"code", code_of_attempt(attempt.status, attempt.error, success)},
          {"duration_ms", attempt.phases.total < 0 ? Json(nullptr) : Json(attempt.phases.total)}};
}

std::string_view name_of_verdict(Verdict::Kind verdict) {
  switch (verdict) {
    case Verdict::Kind::success:
      return "success";
    case Verdict::Kind::retry:
      return "retry";
    case Verdict::Kind::dead:
      return "dead";
    case Verdict::Kind::defer:
      return "defer";
  }
  return "unknown";
}

}  // namespace

Json error_view(AttemptError error) {
  return upper(code_of(error));
}

Json view_of(const AttemptFact& attempt) {
  auto view = attempt_view(attempt);
  const auto phase = [](std::int32_t ms) { return ms < 0 ? Json(nullptr) : Json(ms); };
  view["verdict"] = name_of_verdict(attempt.verdict);
  view["next_at"] = time_or_null(attempt.verdict == Verdict::Kind::retry ? attempt.next_at : 0);
  view["signed_at"] = time_or_null(attempt.signed_at * 1000);
  view["url"] = attempt.url;
  view["secret_ids"] = attempt.secret_ids;
  view["receiver_request_id"] = text_or_null(attempt.receiver_request_id);
  view["phases_ms"] = {
      {"queue", phase(attempt.phases.queue)},           {"dns", phase(attempt.phases.dns)},
      {"connect", phase(attempt.phases.connect)},       {"tls", phase(attempt.phases.tls)},
      {"first_byte", phase(attempt.phases.first_byte)}, {"total", phase(attempt.phases.total)}};
  return view;
}

Json view_of(Position position) {
  return {{"partition", position.partition}, {"offset", position.offset}};
}

Json view_of(const EndpointView& endpoint, std::int64_t now_ms) {
  const auto& def = endpoint.def;
  Json secrets = Json::array();
  for (const auto& secret : endpoint.secrets) {
    const std::int64_t days = std::max<std::int64_t>(0, now_ms - secret.created_at) / kDayMs;
    secrets.push_back({{"id", secret.id},
                       {"state", name_of_state(secret.state)},
                       {"created_at", time_or_null(secret.created_at)},
                       {"expires_at", time_or_null(secret.expires_at)},
                       {"age_days", days},
                       {"is_old", days > kOldAfterDays && secret.state != SecretState::revoked}});
  }
  return {{"tenant", def.tenant.str()},
          {"id", def.id.str()},
          {"incarnation", def.incarnation.str()},
          {"revision", def.revision},
          {"url", def.url},
          {"has_query", !def.sealed_query.empty()},
          {"types", def.types},
          {"retry", retry_of(def.retry)},
          {"scheme", def.scheme == Scheme::x_webhook ? "x-webhook" : "standard-webhooks"},
          {"format", def.format == BodyFormat::structured ? "structured" : "binary"},
          {"limits",
           {{"concurrency", def.limits.concurrency},
            {"queue_max", def.limits.queue_max},
            {"rate_per_second", def.limits.rate_per_second}}},
          {"state", name_of(endpoint.health)},
          {"why", text_or_null(endpoint.stopped.why)},
          {"since", time_or_null(endpoint.stopped.since)},
          {"by", text_or_null(endpoint.stopped.by)},
          {"held", endpoint.held},
          {"queued", endpoint.queued},
          {"secrets", std::move(secrets)},
          {"changed_by", text_or_null(def.changed_by)},
          {"changed_at", time_or_null(def.changed_at)}};
}

Json view_of(const Delivery& delivery) {
  const auto ref = delivery.ref().value_or(DeliveryRef{});
  Json attempts = Json::array();
  for (const auto& attempt : delivery.attempts()) attempts.push_back(attempt_view(attempt));
  const auto state = delivery.state();
  Json reason = nullptr;
  if (state == DeliveryState::dead && delivery.dead_reason()) reason = reason_of(*delivery.dead_reason());
  if (state == DeliveryState::cancelled && delivery.cancel_reason())
    reason = reason_of(*delivery.cancel_reason());
  return {
      {"delivery_id", ref.id.str()},
      {"event_id", ref.event_id},
      {"webhook_id", ref.webhook_id.str()},
      {"tenant", ref.tenant.str()},
      {"endpoint", ref.target.endpoint.str()},
      {"incarnation", ref.target.incarnation.str()},
      {"type", ref.event_type},
      {"position", view_of(ref.position)},
      {"replay_job", text_or_null(ref.replay_job.str())},
      {"state", name_of(state)},
      {"reason", std::move(reason)},
      {"next_at", time_or_null(delivery.next_at().value_or(0))},
      // How many deliveries the event has: tells a reader when it has seen all.
      {"fan_out", delivery.attempts().empty() ? Json(nullptr) : Json(delivery.attempts().front().fan_out)},
      {"attempts", std::move(attempts)}};
}

Json view_of(const DeadLetterView& view) {
  const auto& letter = view.letter;
  const auto& ref = letter.delivery;
  Json mark = nullptr;
  if (view.mark)
    mark = {{"actor", view.mark->actor},
            {"why", text_or_null(view.mark->why)},
            {"job", text_or_null(view.mark->job.str())},
            {"at", time_or_null(view.mark->at)}};
  return {
      {"delivery_id", ref.id.str()},
      {"event_id", ref.event_id},
      {"webhook_id", ref.webhook_id.str()},
      {"tenant", ref.tenant.str()},
      {"endpoint", ref.target.endpoint.str()},
      {"type", ref.event_type},
      {"source", letter.event_source},
      {"reason", reason_of(letter.reason)},
      {"category", name_of(category_of(letter.reason))},
      {"attempts", letter.attempts},
      {"last_status", letter.last_status == 0 ? Json(nullptr) : Json(letter.last_status)},
      {"last_error", letter.last_error == AttemptError::none ? Json(nullptr) : error_view(letter.last_error)},
      {"replay_job", text_or_null(ref.replay_job.str())},
      {"dead_at", time_or_null(letter.dead_at)},
      {"detail", text_or_null(letter.detail)},
      {"position", view_of(ref.position)},
      {"payload_bytes", letter.payload_bytes},
      {"state", name_of(view.state)},
      {"delivered_after_all", view.delivered_after_all},
      {"mark", std::move(mark)}};
}

Json view_of(const DeadLetterSummary& summary) {
  Json lines = Json::array();
  for (const auto& line : summary.lines)
    lines.push_back({{"tenant", line.tenant.str()},
                     {"endpoint", line.endpoint.str()},
                     {"reason", reason_of(line.reason)},
                     {"category", name_of(category_of(line.reason))},
                     {"open", line.open},
                     {"replayed", line.replayed},
                     {"resolved", line.resolved},
                     {"first", time_or_null(line.first)},
                     {"last", time_or_null(line.last)}});
  return {{"open", summary.open},
          {"replayed", summary.replayed},
          {"resolved", summary.resolved},
          {"summary", std::move(lines)},
          {"successes_checked", summary.successes_checked}};
}

namespace {

Json selection_view(const ReplayJob& job) {
  const auto& selection = job.selection;
  if (job.id_count > 0) return nullptr;
  return {
      {"tenant", text_or_null(selection.tenant.str())}, {"endpoint", text_or_null(selection.endpoint.str())},
      {"type", text_or_null(selection.type)},           {"reason", text_or_null(selection.reason)},
      {"since", time_or_null(selection.since)},         {"until", time_or_null(selection.until)}};
}

Json skipped_view(const std::vector<ReplayFact::Skipped>& skipped) {
  Json list = Json::array();
  for (const auto& each : skipped) list.push_back({{"delivery_id", each.delivery.str()}, {"why", each.why}});
  return list;
}

}  // namespace

Json view_of(const ReplayJob& job) {
  return {{"job", job.id.str()},
          {"state", name_of(job.state)},
          {"finished", is_over(job.state)},
          {"tenant", text_or_null(job.within.str())},
          {"actor", text_or_null(job.actor)},
          {"filter", selection_view(job)},
          {"ids", job.id_count},
          {"rate", job.rate},
          {"matched", job.matched},
          {"replayed", job.replayed},
          {"remaining", job.remaining()},
          {"skipped", job.skipped_count},
          {"skipped_deliveries", skipped_view(job.skipped)},
          {"error", text_or_null(job.error)},
          {"cancelled_by", text_or_null(job.cancelled_by)},
          {"created_at", time_or_null(job.created_at)},
          {"started_at", time_or_null(job.started_at)},
          {"ended_at", time_or_null(job.ended_at)}};
}

Json view_of(const ReplayReport& report) {
  return {{"job", text_or_null(report.job.str())},
          {"matched", report.matched},
          {"replayed", report.replayed},
          {"done_before", report.done_before},
          {"skipped", report.skipped_count},
          {"skipped_deliveries", skipped_view(report.skipped)},
          {"finished", report.finished}};
}

}  // namespace postrider
