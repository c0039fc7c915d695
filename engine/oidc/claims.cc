#include "engine/oidc/claims.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "engine/core/bytes.h"
#include "engine/core/ids.h"

namespace postrider::oidc {
namespace {

using Json = nlohmann::json;

constexpr double kLeewaySeconds = 60;
// A token cannot be revoked here: one that is good for longer is none to let in.
constexpr double kLifetimeSecondsMax = 24 * 3600;
constexpr std::size_t kSubjectBytesMax = 128;
constexpr std::size_t kIdDigits = 16;
constexpr std::array<std::string_view, 4> kAlgorithms = {"RS256", "PS256", "ES256", "ES384"};

// RFC 4648 §5, unpadded.
std::optional<std::string> base64url_decoded(std::string_view text) {
  std::string plain(text);
  for (char& c : plain) {
    if (c == '+' || c == '/' || c == '=') return std::nullopt;
    c = c == '-' ? '+' : c == '_' ? '/' : c;
  }
  plain.append((4 - plain.size() % 4) % 4, '=');
  return base64_decode(plain);
}

// No padding, and no bit set to spare (RFC 7515 §2): so a part has one spelling.
bool is_canonical(std::string_view part) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  if (part.find_first_not_of(kAlphabet) != std::string_view::npos) return false;
  if (part.size() % 4 == 0) return true;
  const std::size_t spare = part.size() % 4 == 2 ? 0xF : 0x3;
  return part.size() % 4 != 1 && (kAlphabet.find(part.back()) & spare) == 0;
}

// What verifies skips what it cannot read: by its leave one token would have many texts, and whoever counts
// by the text would take each for another.
bool has_one_spelling(std::string_view token) {
  for (int part = 0; part < 2; ++part) {
    const auto dot = token.find('.');
    if (dot == std::string_view::npos || !is_canonical(token.substr(0, dot))) return false;
    token.remove_prefix(dot + 1);
  }
  return is_canonical(token);
}

std::optional<std::string> text_at(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

// NumericDate: seconds, perhaps with a fraction. nullopt: missing, or no number.
std::optional<double> seconds_at(const Json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

bool is_for(const Json& claims, const std::string& audience) {
  const auto found = claims.find("aud");
  if (found == claims.end()) return false;
  if (found->is_string()) return *found == audience;
  return found->is_array() && std::any_of(found->begin(), found->end(), [&](const Json& each) {
           return each.is_string() && each == audience;
         });
}

Result<void> check_time(const Json& claims, double now) {
  const auto expires = seconds_at(claims, "exp");
  if (!expires) return fail(not_accepted("it says not when it ends (exp)"));
  if (!(now < *expires + kLeewaySeconds)) return fail(not_accepted("it has expired"));
  if (!(*expires < now + kLifetimeSecondsMax + kLeewaySeconds))
    return fail(not_accepted("it is good for more than 24 hours"));
  for (const char* name : {"nbf", "iat"}) {
    if (!claims.contains(name)) continue;
    const auto begins = seconds_at(claims, name);
    if (!begins || !(*begins <= now + kLeewaySeconds))
      return fail(not_accepted(std::string(name) + " lies in the future"));
  }
  return {};
}

bool is_printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](unsigned char c) { return c >= 0x20 && c != 0x7f; });
}

const Json* find_at(const Json& claims, std::string_view path) {
  const Json* at = &claims;
  while (!path.empty()) {
    const auto dot = path.find('.');
    // A claim's own name may hold dots, as "https://…/roles" does.
    if (const auto whole = at->is_object() ? at->find(std::string(path)) : at->end();
        at->is_object() && whole != at->end())
      return &*whole;
    if (!at->is_object() || dot == std::string_view::npos) return nullptr;
    const auto next = at->find(std::string(path.substr(0, dot)));
    if (next == at->end()) return nullptr;
    at = &*next;
    path.remove_prefix(dot + 1);
  }
  return nullptr;
}

std::vector<std::string> words_of(const Json* value) {
  std::vector<std::string> words;
  if (value == nullptr) return words;
  if (value->is_array()) {
    words.reserve(value->size());
    for (const Json& each : *value)
      if (each.is_string()) words.push_back(each.get<std::string>());
  } else if (value->is_string()) {  // as `scope` is written, RFC 6749 §3.3
    const auto text = value->get<std::string>();
    for (std::string_view rest = text; !rest.empty();) {
      const auto blank = rest.find(' ');
      words.emplace_back(rest.substr(0, blank));
      rest = blank == std::string_view::npos ? std::string_view() : rest.substr(blank + 1);
    }
  }
  return words;
}

Scopes scopes_of(const Json& claims, const ClaimRules& rules) {
  Scopes scopes;
  for (const std::string& word : words_of(find_at(claims, rules.roles_claim))) {
    const auto found = rules.roles.find(word);
    if (found == rules.roles.end()) continue;
    for (const Scope scope : all_scopes())
      if (found->second.has(scope)) scopes.add(scope);
  }
  return scopes;
}

// "*": the platform. Nothing else than an issuer that was told so writes that.
Result<TenantId> tenant_of(const Json& claims, const ClaimRules& rules) {
  if (rules.tenant_claim.empty()) return TenantId();
  const Json* value = find_at(claims, rules.tenant_claim);
  if (value != nullptr && value->is_string()) {
    const auto tenant = value->get<std::string>();
    if (tenant == "*") return TenantId();
    if (is_tenant_or_endpoint_id(tenant)) return TenantId(tenant);
  }
  return fail(not_accepted("it names no tenant where oidc.tenant_claim looks for one"));
}

// The same for each token of one bearer: what is done under an Idempotency-Key is the bearer's.
std::string id_of(const std::string& issuer, const std::string& subject) {
  const Digest digest = sha256(issuer + '\n' + subject);
  return "oidc_" +
         hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()}).substr(0, kIdDigits);
}

// OpenID Connect Back-Channel Logout 1.0 §2.4: signed with the same keys, and for the same audience. Media
// types know no case (RFC 7515 §4.1.9).
bool is_of_a_logout(std::string type) {
  for (char& c : type)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return type == "logout+jwt" || type == "application/logout+jwt";
}

}  // namespace

Error not_accepted(std::string why) {
  return {Errc::denied, "AUTH_FAILED", "the issuer's token is not accepted: " + std::move(why),
          "get a new token of the issuer that [oidc] names, for its audience"};
}

bool looks_like_jwt(std::string_view token) {
  return token.starts_with("eyJ") && std::count(token.begin(), token.end(), '.') == 2;
}

Result<TokenHead> read_head(std::string_view token) {
  if (token.size() > kTokenBytesMax) return fail(not_accepted("it is longer than 8 KiB"));
  if (!has_one_spelling(token))
    return fail(not_accepted("its three parts are not plain base64url, without padding"));
  const auto bytes = base64url_decoded(token.substr(0, token.find('.')));
  const Json head = bytes ? Json::parse(*bytes, nullptr, false) : Json();
  if (!head.is_object()) return fail(not_accepted("it is no JWT"));
  TokenHead read{text_at(head, "alg").value_or(""), text_at(head, "kid").value_or("")};
  if (std::find(kAlgorithms.begin(), kAlgorithms.end(), read.algorithm) == kAlgorithms.end())
    return fail(not_accepted("it is not signed with RS256, PS256, ES256 or ES384"));
  if (is_of_a_logout(text_at(head, "typ").value_or("")))
    return fail(not_accepted("it tells of a logout, and is nobody's to come in by (typ)"));
  if (head.contains("crit")) return fail(not_accepted("its header asks for what is not known here (crit)"));
  return read;
}

bool may_be_newer(std::string_view token, const std::string& issuer, WallTime now, WallTime as_of) {
  token.remove_prefix(std::min(token.find('.') + 1, token.size()));
  const auto bytes = base64url_decoded(token.substr(0, token.find('.')));
  const Json claims = bytes ? Json::parse(*bytes, nullptr, false) : Json();
  if (!claims.is_object() || text_at(claims, "iss") != issuer) return false;
  if (!check_time(claims, static_cast<double>(to_ms(now)) / 1000)) return false;
  const auto made = seconds_at(claims, "iat");
  return !made || *made + kLeewaySeconds >= static_cast<double>(to_ms(as_of)) / 1000;
}

Result<Grant> read_claims(std::string_view text, const ClaimRules& rules, WallTime now) {
  const Json claims = Json::parse(text, nullptr, false);
  if (!claims.is_object()) return fail(not_accepted("its claims are no JSON object"));
  if (text_at(claims, "iss") != rules.issuer) return fail(not_accepted("it is of another issuer"));
  if (!is_for(claims, rules.audience)) return fail(not_accepted("it is for another audience"));
  if (auto good = check_time(claims, static_cast<double>(to_ms(now)) / 1000); !good)
    return fail(good.error());
  const auto subject = text_at(claims, "sub");
  if (!subject || subject->empty() || subject->size() > kSubjectBytesMax || !is_printable(*subject))
    return fail(not_accepted("it has no usable subject (sub)"));
  auto tenant = tenant_of(claims, rules);
  if (!tenant) return fail(tenant.error());
  Grant grant;
  grant.token_id = id_of(rules.issuer, *subject);
  grant.name = *subject;
  grant.tenant = *std::move(tenant);
  grant.scopes = scopes_of(claims, rules);
  grant.outside = true;
  return grant;
}

}  // namespace postrider::oidc
