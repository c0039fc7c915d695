#pragma once
// One fact of each kind, every field set to something that can be told from its neighbours.
#include "engine/wire/codec.h"

namespace postrider::samples {

inline const Environment kEnvironment("production");

inline DeliveryRef delivery() {
  return {DeliveryId("dlv_b_0000000000000000000001"),
          WebhookId("msg_0000000000000000000002"),
          "evt-3",
          "order.created",
          TenantId("acme"),
          {EndpointId("hook"), Incarnation("inc_0000000000000000000004")},
          {11, 500},
          ReplayJobId("rpl_0000000000000000000005")};
}

inline EndpointDef endpoint_def() {
  EndpointDef fact;
  fact.tenant = TenantId("acme");
  fact.id = EndpointId("hook");
  fact.incarnation = Incarnation("inc_0000000000000000000004");
  fact.revision = 7;
  fact.replaces = 6;
  fact.url = "https://example.com/hook";
  fact.sealed_query = "sealed";
  fact.types = {"order.*", "user.created"};
  fact.retry = {RetryPolicy::Kind::custom, {Millis(5000), Millis(300000)}};
  fact.scheme = Scheme::x_webhook;
  fact.format = BodyFormat::structured;
  fact.limits = {8, 200, 2.5};
  fact.secret_ids = {"sec_1"};
  fact.disabled = true;
  fact.disabled_why = "moved";
  fact.changed_by = "ann";
  fact.changed_at = 1700000000000;
  fact.enable_revision = 5;
  fact.deleted = true;
  fact.sealed_challenge = "sealed2";
  fact.challenged_at = 1700000000020;
  fact.proven_by = "challenge";
  return fact;
}

inline EndpointSecret endpoint_secret() {
  EndpointSecret fact;
  fact.tenant = TenantId("acme");
  fact.endpoint = EndpointId("hook");
  fact.incarnation = Incarnation("inc_0000000000000000000004");
  fact.id = "sec_1";
  fact.state = SecretState::expiring;
  fact.created_at = 1700000000001;
  fact.expires_at = 1700000000002;
  fact.sealed = "sealed";
  fact.digest = "00ff";
  return fact;
}

inline TokenFact token() {
  return {"tok_1", "00ff", "admin", 1700000000003, true};
}

inline TokenFact limited_token() {
  TokenFact fact = {"tok_2", "00aa", "endpoints:read deliveries:read", 1700000000003, false};
  fact.tenant = TenantId("acme");
  fact.name = "dashboard";
  fact.created_by = "alice";
  fact.expires_at = 1700000000004;
  fact.review_at = 1700000000005;
  return fact;
}

inline EventTypeDef event_type() {
  EventTypeDef fact;
  fact.tenant = TenantId("acme");
  fact.name = "order.created";
  fact.revision = 3;
  fact.replaces = 2;
  fact.description = "An order was placed";
  fact.version = "1.4";
  fact.schema = R"({"type":"object"})";
  fact.classification = Classification::confidential;
  fact.deprecated = true;
  fact.changed_by = "ann";
  fact.changed_at = 1700000000006;
  fact.deleted = true;
  return fact;
}

inline TenantDef tenant() {
  TenantDef fact;
  fact.id = TenantId("acme");
  fact.revision = 3;
  fact.replaces = 2;
  fact.name = "Acme Ltd";
  fact.description = "The shop";
  fact.endpoints_max = 20;
  fact.suspended = true;
  fact.resumed_at = 1700000000007;
  fact.changed_by = "ann";
  fact.changed_at = 1700000000006;
  fact.deleted = true;
  return fact;
}

inline IdentityFact identity() {
  return {LogIdentity("log_0000000000000000000006"), Environment("production"), ""};
}

inline HealthFact health() {
  HealthFact fact;
  fact.tenant = TenantId("acme");
  fact.endpoint = EndpointId("hook");
  fact.incarnation = Incarnation("inc_0000000000000000000004");
  fact.partition = 11;
  fact.enable_revision = 5;
  fact.stop = Stop::quarantined;
  fact.failing = true;
  fact.why = "unauthorized_5_in_a_row";
  fact.since = 1700000000004;
  return fact;
}

inline WrappedKeyFact wrapped_key() {
  return {TenantId("acme"), "key_1", "file:1f3a", "wrapped", true, 1700000000005, 2, ""};
}

inline ParkedState parked() {
  ParkedState fact;
  fact.stamp = {900, 12};
  fact.delivery = delivery();
  fact.attempts = 2;
  fact.due = 1700000000006;
  fact.appended = 1700000000007;
  fact.fan_out = 3;
  fact.last_status = 503;
  fact.last_error = AttemptError::timeout;
  fact.registry_version = 77;
  return fact;
}

inline OwnerMark owner_mark() {
  return {LogIdentity("log_0000000000000000000006"),
          "instance-1",
          Offset{0},
          501,
          Offset{0},
          OwnerMark::Read{500, 7},
          ""};
}

inline AttemptFact attempt() {
  AttemptFact fact;
  fact.stamp = {900, 13};
  fact.delivery = delivery();
  fact.number = 2;
  fact.signed_at = 1700000000;
  fact.at = 1700000000008;
  fact.status = 503;
  fact.error = AttemptError::body_broken;
  fact.verdict = Verdict::Kind::retry;
  fact.next_at = 1700000000009;
  fact.phases = {1, 2, -1, 0, 4, 5};
  fact.url = "https://example.com/hook";
  fact.receiver_request_id = "req-\xff";  // a customer's header: any bytes
  fact.sealed_snippet = "snippet";
  fact.secret_ids = {"sec_2", "sec_1"};
  fact.body_digest = "0123456789abcdef";
  fact.registry_version = 77;
  fact.fan_out = 3;
  return fact;
}

inline CancelledFact cancelled() {
  CancelledFact fact;
  fact.stamp = {900, 14};
  fact.delivery = delivery();
  fact.reason = CancelReason::tenant_erased;
  fact.at = 1700000000010;
  fact.registry_version = 77;
  fact.fan_out = 3;
  return fact;
}

inline NoMatchFact no_match() {
  return {{900, 15}, 11, {{500, 502}, {504, 504}}, 77, ""};
}

inline RepeatFact repeats() {
  return {{900, 16}, 11, {{505, 400, WebhookId("msg_1")}, {506, 401, WebhookId("msg_2")}}, ""};
}

inline SetAsideFact set_aside() {
  return {{900, 17}, {11, 507}, DeadReason::no_tenant, 1700000000011, ""};
}

inline SourceLostFact source_lost() {
  return {{900, 18}, 11, 508, 600, ""};
}

inline DeadLetter dead_letter() {
  DeadLetter fact;
  fact.stamp = {900, 19};
  fact.delivery = delivery();
  fact.reason = DeadReason::gone;
  fact.attempts = 6;
  fact.last_status = 410;
  fact.last_error = AttemptError::reset;
  fact.dead_at = 1700000000012;
  fact.appended = 1700000000013;
  fact.sealed_payload = "sealed";
  fact.payload_bytes = 1024;
  fact.payload_digest = "digest";
  fact.event_source = "/shop";
  fact.registry_version = 77;
  fact.fan_out = 3;
  fact.detail = "/price: is missing";
  return fact;
}

inline DeadLetterMark dead_letter_mark() {
  return {DeliveryId("dlv_b_0000000000000000000001"),
          TenantId("acme"),
          DeadLetterState::replayed,
          "ann",
          "fixed",
          ReplayJobId("rpl_0000000000000000000005"),
          1700000000014,
          ""};
}

inline AuditFact audit() {
  AuditFact fact;
  fact.actor = "ann";
  fact.token_id = "tok_1";
  fact.action = "replay";
  fact.resource = "dead-letters";
  fact.scope = "admin";
  fact.environment = "production";
  fact.tenant = TenantId("acme");
  fact.event_type = "order.created";
  fact.subject_id = "dlv_1";
  fact.correlation_id = "cor_1";
  fact.source = "cli";
  fact.target = "hook";
  fact.outcome = "done";
  fact.error = "none";
  fact.at = 1700000000015;
  return fact;
}

inline TokenUseFact token_use() {
  return {"tok_1", 1700006400000, ""};
}

inline RequestFact request() {
  RequestFact fact;
  fact.key = "key";
  fact.run = "run_2";
  fact.step = RequestFact::Step::answered;
  fact.token_id = "tok_1";
  fact.fingerprint = "fingerprint";
  fact.origin = "run_1";
  fact.tenant = TenantId("acme");
  fact.sealed_answer = "sealed";
  return fact;
}

inline ReplayFact replay() {
  ReplayFact fact;
  fact.job = ReplayJobId("rpl_1");
  fact.step = ReplayFact::Step::ended;
  fact.run = "run_1";
  fact.actor = "alice";
  fact.within = TenantId("acme");
  fact.selection.tenant = TenantId("acme");
  fact.selection.endpoint = EndpointId("shop");
  fact.selection.type = "order.*";
  fact.selection.reason = "client_error";
  fact.selection.since = 1;
  fact.selection.until = 2;
  fact.selection.ids = {DeliveryId("dlv_1")};
  fact.selection.ends = {{3, 4}};
  fact.rate = 0.5;
  fact.attended = true;
  fact.matched = 5;
  fact.replayed = 6;
  fact.skipped_count = 7;
  fact.skipped = {{DeliveryId("dlv_2"), "why"}};
  fact.outcome = ReplayFact::Outcome::failed;
  fact.error = "no";
  return fact;
}

inline wire::SealedParts sealed_parts() {
  return {"key_1", "wrapped", "nonce", "ciphertext"};
}

}  // namespace postrider::samples
