#pragma once
#include <functional>
#include <memory>
#include <string>

#include "engine/api/call.h"

// Idempotency-Key (draft-ietf-httpapi-idempotency-key-header-06; Stripe's API has the same manners): what
// changes something is done once, however often it is asked for under one key within 24 hours, on whichever
// instance, and after restarts.
//
// The key is its token's own (of another authority's: its bearer's, and the tenant's that he comes for), and
// its route's. Same key and same request: the answer that was given, with `Idempotent-Replayed: true`.
// Another request: 422 IDEMPOTENCY_KEY_REUSED. Still under way: 409 IDEMPOTENCY_KEY_IN_USE, to be asked
// again. Kept is what was done (2xx); what was refused changed nothing and may be asked again, corrected too;
// what failed without a known end may be asked again, and names what it makes as the first run did.
//
// An answer with a secret that is shown once is repeated whole: who has lost it has a token nobody can use,
// or signatures nobody can verify, and can only make another. It lies on the log under two keys
// (answer_box.h), one of which is the client's. That a secret was shown again is an audit fact.
namespace postrider {

struct Routes;
struct Route;

// Runs the route's handler, or answers without it. `call` has its grant. The API's thread.
void run_once(const std::shared_ptr<Routes>& routes, const Route& route, const CallPtr& call);
// Whether the call carries a key on a route that changes something.
bool wants_once(const Route& route, const Call& call);

}  // namespace postrider
