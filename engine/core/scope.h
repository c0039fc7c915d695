#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/ids.h"

// What a token may do, and for whom. Names are stored with every token and stand in schemas/openapi.yaml
// beside the routes that need them: they are for ever.
namespace postrider {

enum class Scope : std::uint8_t {
  status_read,         // health, readiness, metrics, where these are not open
  endpoints_read,      //
  endpoints_write,     // apply, disable, enable, delete
  secrets_rotate,      // besides endpoints:write: declare signing secrets
  events_publish,      //
  deliveries_read,     // deliveries and dead letters, never payloads
  payloads_read,       // each read of one is an audit fact
  dead_letters_write,  // resolve
  replays_write,       //
  audit_read,          //
  event_types_read,    //
  event_types_write,   // what events of a type shall look like
  replays_read,        // what is replayed, and how far it is
  tenants_write,       // describe, limit and suspend tenants: of the platform's tokens alone
  admin,               // all of it, and tokens
};
inline constexpr std::size_t kScopes = 15;

std::string_view name_of(Scope scope);  // "endpoints:read"
std::optional<Scope> parse_scope(std::string_view name);
const std::vector<Scope>& all_scopes();

// A set of scopes; `admin` holds every one.
class Scopes {
 public:
  void add(Scope scope) { bits_ |= 1U << static_cast<unsigned>(scope); }
  bool has(Scope scope) const { return ((bits_ | all_if_admin()) >> static_cast<unsigned>(scope) & 1U) != 0; }
  bool empty() const { return bits_ == 0; }
  bool operator==(const Scopes&) const = default;

 private:
  unsigned all_if_admin() const {
    return (bits_ >> static_cast<unsigned>(Scope::admin) & 1U) != 0 ? ~0U : 0U;
  }
  unsigned bits_ = 0;
};

// As RFC 6749 §3.3 writes them, with blanks between; of a set with `admin` that one word. Reading leaves out
// words that it does not know, of a newer version: it allows less.
std::string format_scopes(const Scopes& scopes);
Scopes read_scopes(std::string_view text);

// Roles are sets of scopes: "viewer" (reads), "publisher", "operator" (runs endpoints and replays), "auditor"
// (reads, and who did what), "admin". None but the last may read payloads: that is asked for by its own name.
std::optional<Scopes> scopes_of_role(std::string_view role);

// What the bearer of a valid token may do.
struct Grant {
  std::string token_id;  // "tok_…"
  std::string name;      // what its maker called it
  TenantId tenant;       // empty: the platform, which sees every tenant
  Scopes scopes;
  bool outside =
      false;  // of another authority (OIDC): the name is its subject's, for whom nobody else speaks

  bool sees(const TenantId& other) const { return tenant.empty() || tenant == other; }
};

}  // namespace postrider
