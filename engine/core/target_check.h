#pragma once
#include <optional>
#include <vector>

#include "engine/core/address_policy.h"
#include "engine/core/registry.h"
#include "engine/core/result.h"
#include "engine/core/url.h"

namespace postrider {

// Why an endpoint with that URL is refused when it is declared: each address that its host leads to now is
// judged. None (a name without an answer today): only what can be told without. nullopt: it is fine for now;
// every dial is judged again. No address stands in the message: whoever may declare endpoints must not learn
// from it what our resolver knows of our own network.
std::optional<Error> target_refusal(const AddressPolicy& policy, const Url& url,
                                    const std::vector<IpAddress>& addresses);

// That many endpoints of one tenant may lead to one host: each event of theirs may reach it as often. 0: any
// number. `others`: that tenant's living endpoints, without the one that is declared. Two that are declared
// at once on two instances may exceed it by one.
std::optional<Error> too_many_at_host(const Url& url, const std::vector<const Endpoint*>& others,
                                      std::uint32_t most);
// Endpoints of one tenant, wherever they lead. 0: any number.
std::optional<Error> too_many_of_tenant(std::size_t others, std::uint32_t most);
// Names that it has given to endpoints, living and deleted: those are kept, so that each life is known.
std::optional<Error> too_many_names_of_tenant(std::size_t names, std::uint32_t endpoints_max);
// In development neither ports nor these caps count where every address is allowed.
bool is_exempt(const AddressPolicy& policy, const std::vector<IpAddress>& addresses);

}  // namespace postrider
