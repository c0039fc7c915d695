// The part of Commands that makes and revokes tokens, and says what one may do and when it was used last.
#include <algorithm>
#include <utility>

#include "engine/flow/commands.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::int64_t kDayMs = 24LL * 3600 * 1000;
constexpr std::ptrdiff_t kTokensMax = 1000;  // of a tenant
constexpr Millis kTokensCountedFor{30 * kDayMs};

}  // namespace

MadeToken Commands::new_token() {
  MadeToken made;
  made.token = Secret(random_name("ptk_") + random_name(""));
  made.fact.id = random_name("tok_");
  const Digest digest = sha256(made.token.reveal());
  made.fact.hash = hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
  made.fact.created_at = to_ms(context_.ports.clock.wall());
  return made;
}

// They are kept when they have ended, so that each is known to be gone.
std::optional<Error> Commands::too_many_tokens(const TenantId& tenant, std::int64_t now) const {
  if (tenant.empty()) return std::nullopt;  // the platform's
  const auto tokens = registry_.registry().tokens();
  const auto counts = [&](const TokenFact& token) {
    const bool ended = token.revoked || (token.expires_at != 0 && token.expires_at <= now);
    return token.tenant == tenant && (!ended || now - token.created_at < kTokensCountedFor.count());
  };
  if (std::ranges::count_if(tokens, counts) < kTokensMax) return std::nullopt;
  return Error{
      Errc::invalid, "TOO_MANY_TOKENS",
      "the tenant has " + std::to_string(kTokensMax) + " tokens that live, or were made in the last 30 days",
      "revoke those that nobody uses; give one token to what runs again and again"};
}

void Commands::create_token(TokenSpec spec, Answer<MadeToken> answer) {
  auto made = std::make_shared<MadeToken>(new_token());  // shared with the answers below
  TokenFact& fact = made->fact;
  if (auto full = too_many_tokens(spec.tenant, fact.created_at)) return answer(fail(*std::move(full)));
  if (!spec.id.empty()) fact.id = std::move(spec.id);
  fact.scope = format_scopes(spec.scopes);
  fact.tenant = spec.tenant;
  fact.name = std::move(spec.name);
  fact.created_by = std::move(spec.created_by);
  fact.expires_at = spec.expires_at;
  fact.review_at = spec.review_at;
  registry_.write(token_key(fact.id), wire::encode(context_.config.environment, fact),
                  [this, made, answer](Result<bool> applied) {
                    if (!applied) return answer(fail(applied.error()));
                    after_everywhere(true, [made, answer] { answer(std::move(*made)); });
                  });
}

void Commands::revoke_token(TenantId within, std::string id, Answer<TokenFact> answer) {
  const TokenFact* found = registry_.registry().find_token(id);
  if (!found || (!within.empty() && found->tenant != within)) {
    return answer(fail(Errc::not_found, "NOT_FOUND", "there is no such token",
                       "list what there is with `postrider-ops tokens list`"));
  }
  TokenFact fact = *found;
  fact.revoked = true;
  revoke({fact}, [this, fact, answer](Result<void> revoked) {
    if (!revoked) return answer(fail(revoked.error()));
    after_everywhere(true, [fact, answer] { answer(fact); });
  });
}

void Commands::list_tokens(TenantId within, Answer<std::vector<TokenView>> answer) {
  std::vector<TokenView> views;
  for (TokenFact& token : registry_.registry().tokens()) {
    if (!within.empty() && token.tenant != within) continue;
    const std::int64_t used = registry_.registry().last_used(token.id);
    views.push_back({std::move(token), used});
  }
  answer(std::move(views));
}

// A record a token and day: whoever is the first to see it used on a day that the log does not know of writes
// it. So it is true on every instance and after every restart, to the day.
void Commands::note_use(const std::string& token_id) {
  const std::int64_t now = to_ms(context_.ports.clock.wall());
  const std::int64_t day = now - now % kDayMs;
  std::int64_t& told = use_told_[token_id];
  if (told >= day || registry_.registry().last_used(token_id) >= day) return;
  told = day;
  registry_.write(token_use_key(token_id),
                  wire::encode(context_.config.environment, TokenUseFact{token_id, day}),
                  [this, token_id](const Result<bool>& written) {
                    if (!written) use_told_.erase(token_id);  // the next use tries again
                  });
}

void Commands::rotate_admin_token(Answer<Secret> answer) {
  MadeToken made = new_token();
  auto token = std::make_shared<Secret>(std::move(made.token));  // shared with the answers below
  TokenFact fact = std::move(made.fact);
  fact.scope = "admin";
  std::vector<TokenFact> old = registry_.registry().tokens();
  std::erase_if(old, [](const TokenFact& before) { return before.revoked || !before.is_administrators(); });
  const bool wait = !old.empty();
  registry_.write(token_key(fact.id), wire::encode(context_.config.environment, fact),
                  [this, token, old, wait, answer](Result<bool> applied) {
                    if (!applied) return answer(fail(applied.error()));
                    revoke(old, [this, token, wait, answer](Result<void> revoked) {
                      if (!revoked) return answer(fail(revoked.error()));
                      after_everywhere(wait, [token, answer] { answer(std::move(*token)); });
                    });
                  });
}

// One after the other: done means that every one of them stands on the log.
void Commands::revoke(std::vector<TokenFact> tokens, std::function<void(Result<void>)> done) {
  if (tokens.empty()) return done({});
  TokenFact token = std::move(tokens.back());
  tokens.pop_back();
  token.revoked = true;
  registry_.write(token_key(token.id), wire::encode(context_.config.environment, token),
                  [this, tokens = std::move(tokens), done = std::move(done)](Result<bool> applied) {
                    if (applied) return revoke(tokens, done);
                    done(fail(Errc::unavailable, "SERVICE_UNAVAILABLE",
                              "the log did not acknowledge that a token is revoked: it may still be valid",
                              "repeat the command"));
                  });
}

void Commands::grant_of(std::string token_hash_hex, Answer<std::optional<Grant>> answer) {
  auto grant = registry_.registry().grant_of(token_hash_hex, to_ms(context_.ports.clock.wall()));
  if (!grant && !registry_.read_once()) {
    // Just started: which tokens there are is not known yet.
    return answer(fail(Errc::unavailable, "SERVICE_UNAVAILABLE", "the registry is not read yet",
                       "try again in a moment; /readyz says when"));
  }
  if (grant) note_use(grant->token_id);
  answer(std::move(grant));
}

}  // namespace postrider::flow
