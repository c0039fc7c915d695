#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/secret.h"

namespace postrider {

// Locks an answer that is kept for a repeat under the Idempotency-Key itself, of which we keep a hash alone:
// so a secret that is shown once can be shown again to who asks again, and nobody finds it in what we store
// (it is sealed under the tenant's key besides: a key that can be guessed is the client's choice).
// AES-256-GCM; the key is SHA-256 over run and Idempotency-Key. `run` is used for one answer only, so the
// nonce is none.
std::string lock_answer(std::string_view idempotency_key, std::string_view run, std::string_view bytes);
// nullopt: of another key or run, or damaged.
std::optional<Secret> unlock_answer(std::string_view idempotency_key, std::string_view run,
                                    std::string_view locked);

}  // namespace postrider
