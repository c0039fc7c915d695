#include <map>

#include "engine/api/json_text.h"
#include "engine/api/routes.h"

// Tenants exist by what is declared for them: endpoints, and tokens that are bound to them.
namespace postrider {
namespace {

struct Counts {
  std::size_t endpoints = 0, stopped = 0, tokens = 0;
};
constexpr std::size_t kAll = std::size_t{1} << 20;  // more endpoints than a registry holds in memory
using ByTenant = std::map<TenantId, Counts>;

void add_tokens(ByTenant& tenants, const std::vector<TokenView>& tokens, std::int64_t now) {
  for (const auto& [token, used_day] : tokens) {
    const bool active = !token.revoked && (token.expires_at == 0 || token.expires_at > now);
    if (active && !token.tenant.empty()) ++tenants[token.tenant].tokens;
  }
}

ApiResponse shown(const ByTenant& tenants) {
  Json list = Json::array();
  for (const auto& [tenant, counts] : tenants)
    list.push_back({{"id", tenant.str()},
                    {"endpoints", counts.endpoints},
                    {"endpoints_stopped", counts.stopped},
                    {"tokens", counts.tokens}});
  return json_answer(200, {{"tenants", std::move(list)}});
}

}  // namespace

void Routes::list_tenants(CallPtr call) {
  if (auto fine = call->only({}); !fine) return call->refuse(fine.error());
  service.list_endpoints(
      TenantId(), {{}, kAll}, [call, self = shared_from_this()](Result<std::vector<EndpointView>> views) {
        if (!views) return call->refuse(views.error());
        auto tenants = std::make_shared<ByTenant>();  // shared with the answer below
        for (const auto& view : *views) {
          Counts& counts = (*tenants)[view.def.tenant];
          ++counts.endpoints;
          if (view.stopped.stop != Stop::none) ++counts.stopped;
        }
        self->service.list_tokens(TenantId(), [call, tenants, now = self->desk.now_ms()](
                                                  const Result<std::vector<TokenView>>& tokens) {
          if (!tokens) return call->refuse(tokens.error());
          add_tokens(*tenants, *tokens, now);
          call->answer(shown(*tenants));
        });
      });
}

}  // namespace postrider
