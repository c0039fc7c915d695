// keys new | secrets new | tokens reset
#include <filesystem>

#include "engine/core/registry.h"
#include "engine/crypto/file_key_service.h"
#include "engine/crypto/fresh_secrets.h"
#include "engine/operations/audit.h"
#include "engine/wire/codec.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

void show_secret(const Output& out, const char* name, const std::string& value, const char* advice) {
  if (out.json()) return out.object({{name, value}});
  out.line(value);
  out.note(advice);
}

Result<std::vector<TokenFact>> tokens_on(Desk& desk) {
  auto extent = desk.log.extent(Topic::endpoints, 0);
  if (!extent) return fail(extent.error());
  Registry registry;
  std::optional<Error> wrong;
  auto scanned = desk.log.scan(Topic::endpoints, 0, extent->begin, extent->end, [&](const Record& record) {
    if (!record.value) return true;
    const auto fact = wire::decode_registry(desk.environment, *record.value);
    if (!fact)
      wrong = fact.error();
    else if (const auto* token = std::get_if<TokenFact>(&*fact))
      registry.apply(*token, *record.value, wire::is_restated(record.headers));
    return !wrong;
  });
  if (!scanned) return fail(scanned.error());
  if (wrong) return fail(*std::move(wrong));
  return registry.tokens();
}

Result<void> append_token(Desk& desk, const TokenFact& token) {
  NewRecord record;
  record.topic = Topic::endpoints;
  record.partition = 0;
  record.key = token_key(token.id);
  record.value = wire::encode(desk.environment, token);
  auto appended = desk.log.append(std::move(record));
  if (!appended) return fail(appended.error());
  if (appended->status != Appended::Status::acknowledged) return fail(appended->error);
  return {};
}

// The new one first: a crash in between leaves both, never none.
Result<Secret> reset_on_log(Session& session) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto old = tokens_on(**desk);
  if (!old) return fail(old.error());
  Secret token = crypto::fresh_token();
  TokenFact fresh;
  fresh.id = random_id("tok_", session.random(), session.random());
  fresh.hash = crypto::token_hash(token.reveal());
  fresh.scope = "admin";
  fresh.created_at = session.now_ms();
  auto fact = audit_of(session.actor(), "tokens_reset", "tokens/" + fresh.id);
  fact.outcome = "started";
  if (auto done = append_audit(**desk, std::move(fact)); !done) return fail(done.error());
  if (auto done = append_token(**desk, fresh); !done) return fail(done.error());
  for (auto& before : *old) {
    if (before.revoked || !before.is_administrators()) continue;
    before.revoked = true;
    if (auto done = append_token(**desk, before); !done) return fail(done.error());
  }
  return token;
}

Result<Secret> reset_over_api(Session& session) {
  auto api = session.api();
  if (!api) return fail(api.error());
  auto answer = (*api)->post("/v1/tokens/reset", Json::object());
  if (!answer) return fail(answer.error());
  return Secret(text(*answer, "token"));
}

}  // namespace

Result<int> keys_new(Session& session) {
  const auto named = key_file_of(session.line());
  if (!named) return fail(named.error());
  const auto& asked = session.line().file;
  const std::string path = !asked.empty() ? asked : !named->empty() ? *named : "postrider.key";
  if (auto made = crypto::make_key_file(path); !made) return fail(made.error());
  // Absolute: the daemon has another working directory.
  const std::string service = "file:" + std::filesystem::absolute(path).lexically_normal().string();
  if (session.out().json())
    session.out().object({{"path", path}, {"service", service}});
  else {
    session.out().line("made " + path);
    session.out().line("Name it in the configuration: [keys] service = \"" + service +
                       "\". Every daemon of the "
                       "environment needs the same file.");
    session.out().line(
        "Back it up now, apart from the data: without it every secret, parked payload and dead letter "
        "is gone.");
  }
  return kDone;
}

Result<int> secrets_new(Session& session) {
  const Secret secret = format_signing_secret(crypto::fresh_signing_secret());
  show_secret(
      session.out(), "secret", std::string(secret.reveal()),
      "It stands nowhere else. Keep it where the endpoints file refers to it (env:NAME or file:PATH).");
  return kDone;
}

Result<int> tokens_reset(Session& session) {
  auto token = session.over_api() ? reset_over_api(session) : reset_on_log(session);
  if (!token) return fail(token.error());
  show_secret(
      session.out(), "token", std::string(token->reveal()),
      "The old administrator's tokens are revoked. This one stands nowhere else: DATA/admin.token of the "
      "daemon still holds the old one, replace it yourself.");
  return kDone;
}

}  // namespace postrider::ops
