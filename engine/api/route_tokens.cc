#include <algorithm>

#include "engine/api/cursor.h"
#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/api/shown_once.h"
#include "engine/operations/audit.h"

// Tokens: made, listed, revoked. Their text is shown once; after that only a hash of it is anywhere.
namespace postrider {
namespace {

constexpr std::size_t kNameBytesMax = 128;
constexpr std::size_t kTokensListed = 100, kTokensListedMax = 1000;
constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
constexpr std::int64_t kLivesMs = 90 * kDayMs, kLivesMsMax = 366 * kDayMs;

tl::unexpected<Error> wrong_token(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "INVALID_REQUEST", std::move(message), std::move(suggestion));
}

std::string names_of_scopes() {
  std::string names;
  for (const Scope scope : all_scopes()) names += (names.empty() ? "" : ", ") + std::string(name_of(scope));
  return names;
}

// Of a role, or of scopes by name; of neither: what only reads.
Result<Scopes> read_scopes_of(Fields& fields) {
  const auto role = fields.text("role", 32);
  const auto names = fields.texts("scopes", kScopes);
  if (role && names) return wrong_token("role and scopes are both given", "give one of them");
  if (!names) {
    const auto scopes = scopes_of_role(role.value_or("viewer"));
    if (!scopes)
      return wrong_token("there is no such role", "there are: viewer, publisher, operator, auditor, admin");
    return *scopes;
  }
  Scopes scopes;
  for (const auto& name : *names) {
    const auto scope = parse_scope(name);
    if (!scope)
      return wrong_token("scopes holds something that is no scope", "there are: " + names_of_scopes());
    scopes.add(*scope);
  }
  if (scopes.empty()) return wrong_token("scopes is empty", "there are: " + names_of_scopes());
  return scopes;
}

// RFC 3339, later than now and no later than `latest`.
Result<std::int64_t> read_time(Fields& fields, const char* name, std::int64_t otherwise, std::int64_t now,
                               std::int64_t latest) {
  const auto text = fields.text(name, 64);
  if (!text) return otherwise;
  const auto time = parse_rfc3339(*text);
  if (!time)
    return wrong_token(std::string(name) + " is no time", "write RFC 3339, as in 2026-01-31T12:00:00Z");
  if (*time <= now || *time > latest)
    return wrong_token(std::string(name) + " is out of range",
                       "give a time to come, at the latest " + rfc3339(latest));
  return *time;
}

Result<TokenSpec> read_token(const Call& call, std::int64_t now) {
  auto body = parse_body(call.request);
  if (!body) return fail(body.error());
  Fields fields(*body);
  TokenSpec spec;
  const auto name = fields.text("name", kNameBytesMax);
  if (!name || name->empty()) fields.wrong("name", "is missing", "say in a few words what the token is for");
  const auto tenant = fields.text("tenant", 64);
  const auto scopes = read_scopes_of(fields);
  const auto expires = read_time(fields, "expires_at", now + kLivesMs, now, now + kLivesMsMax);
  const auto review = read_time(fields, "review_at", expires.value_or(0), now, expires.value_or(0));
  if (auto done = fields.done(); !done) return fail(done.error());
  if (!scopes) return fail(scopes.error());
  for (const auto* time : {&expires, &review})
    if (!*time) return fail(time->error());
  if (tenant && !is_tenant_or_endpoint_id(*tenant))
    return wrong_token("tenant is no tenant id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -");
  spec.id = call.named("tok_");
  spec.name = *name;
  spec.tenant = call.filter_as_seen(TenantId(tenant.value_or("")));
  if (spec.tenant.str() == Call::kNobody)
    return fail(Errc::not_found, "NOT_FOUND", "there is no such tenant", "name the token's own, or none");
  spec.scopes = *scopes;
  spec.expires_at = *expires;
  spec.review_at = *review;
  spec.created_by = call.actor.name;
  return spec;
}

Json view_of(const TokenFact& token, std::int64_t now) {
  const bool expired = token.expires_at != 0 && token.expires_at <= now;
  Json scopes = Json::array();
  const Scopes held = read_scopes(token.scope);
  for (const Scope scope : all_scopes())
    if (held.has(scope)) scopes.push_back(name_of(scope));
  return {{"id", token.id},
          {"name", token.name},
          {"tenant", token.tenant.empty() ? Json(nullptr) : Json(token.tenant.str())},
          {"scopes", std::move(scopes)},
          {"state", token.revoked ? "revoked"
                    : expired     ? "expired"
                                  : "active"},
          {"created_at", time_or_null(token.created_at)},
          {"created_by", token.created_by},
          {"expires_at", time_or_null(token.expires_at)},
          {"review_at", time_or_null(token.review_at)},
          {"review_due", !token.revoked && !expired && token.review_at != 0 && token.review_at <= now}};
}

// By id; those behind `after`.
ApiResponse page_of(std::vector<TokenView> tokens, const std::string& after, std::size_t limit,
                    const Cursor& cursor, std::int64_t now) {
  std::erase_if(tokens, [&](const TokenView& token) { return token.fact.id <= after; });
  std::sort(tokens.begin(), tokens.end(), [](const auto& a, const auto& b) { return a.fact.id < b.fact.id; });
  Json next = nullptr;
  if (tokens.size() > limit) {
    tokens.resize(limit);
    next = cursor.next(tokens.back().fact.id);
  }
  Json list = Json::array();
  for (const auto& token : tokens) {
    list.push_back(view_of(token.fact, now));
    list.back()["last_used_at"] = time_or_null(token.used_day);
  }
  return json_answer(200, {{"tokens", std::move(list)}, {"next_cursor", std::move(next)}});
}

AuditFact audit_of_token(const Actor& actor, const char* action, const TokenFact& token) {
  auto fact = audit_of(actor, action, "tokens/" + token.id);
  fact.scope = token.scope;
  fact.tenant = token.tenant;
  return fact;
}

}  // namespace

void Routes::post_token(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  const auto now = desk.now_ms();
  auto spec = read_token(*call, now);
  if (!spec) return call->refuse(spec.error());
  service.create_token(std::move(*spec), [call, now, self = shared_from_this()](Result<MadeToken> answer) {
    if (!answer) return call->refuse(answer.error());
    auto made = std::make_shared<MadeToken>(std::move(*answer));  // the job is copied
    self->tell_outcome(
        call, audit_of_token(call->actor, "token_created", made->fact), nullptr, [call, now, made] {
          call->answer(with_secret(json_answer(201, view_of(made->fact, now)), "token", made->token));
        });
  });
}

void Routes::list_tokens(CallPtr call) {
  if (auto fine = call->only({"tenant", "limit", "cursor"}); !fine) return call->refuse(fine.error());
  const auto tenant = call->parameter("tenant");
  if (call->query.contains("tenant") && !is_tenant_or_endpoint_id(tenant))
    return call->refuse(
        wrong_token("tenant is no tenant id", "use 1 to 64 of A-Z, a-z, 0-9, _ and -").value());
  const auto limit = call->limit(kTokensListed, kTokensListedMax);
  if (!limit) return call->refuse(limit.error());
  const auto after = Cursor(*call).place();
  if (!after) return call->refuse(after.error());
  service.list_tokens(call->filter_as_seen(TenantId(tenant)),
                      [call, now = desk.now_ms(), limit = *limit,
                       after = after->value_or("")](Result<std::vector<TokenView>> tokens) {
                        if (!tokens) return call->refuse(tokens.error());
                        call->answer(page_of(*std::move(tokens), after, limit, Cursor(*call), now));
                      });
}

void Routes::delete_token(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  service.revoke_token(call->grant.tenant, call->path[0],
                       [call, now = desk.now_ms(), self = shared_from_this()](Result<TokenFact> token) {
                         if (!token) return call->refuse(token.error());
                         self->gate.forget();
                         self->tell_outcome(call, audit_of_token(call->actor, "token_revoked", *token),
                                            nullptr, [call, now, token = *token] {
                                              call->answer(json_answer(200, view_of(token, now)));
                                            });
                       });
}

}  // namespace postrider
