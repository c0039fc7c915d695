#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "engine/core/fact.h"
#include "engine/core/health.h"
#include "engine/core/registry.h"
#include "engine/core/replay_ledger.h"
#include "engine/core/result.h"

// Facts ↔ the bytes on the topics (schemas/postrider.proto). The only room that sees protobuf. Each decode
// checks the environment: another one's record is Errc::denied, ENVIRONMENT_MISMATCH. Bytes that are no
// message of ours are Errc::corrupt. Unknown fields survive decode and encode, in the record, the fact and
// the messages within it (codec_common.h says how `unknown` holds them). A kind that this version does not
// know decodes as std::monostate; so does a fact that hangs on a word of a closed list (a reason, a signing
// scheme) that it does not know: nothing is guessed. Values that only inform (AttemptError, Verdict::Kind of
// an attempt, SecretState) keep an unknown number. Pure; any thread.
namespace postrider::wire {

// libprotobuf writes plain lines to stderr about bytes it does not like: our errors say it already. Once, at
// start.
void silence_protobuf();

using RegistryFact = std::variant<std::monostate, EndpointDef, EndpointSecret, TokenFact, TokenUseFact,
                                  IdentityFact, EventTypeDef, TenantDef>;
using AttemptsFact = std::variant<std::monostate, AttemptFact, CancelledFact, NoMatchFact, RepeatFact,
                                  SetAsideFact, SourceLostFact>;
using ParkedFact = std::variant<std::monostate, ParkedState, OwnerMark>;
using DeadLetterFact = std::variant<std::monostate, DeadLetter, DeadLetterMark>;

std::string encode(const Environment& environment, const EndpointDef& fact);
std::string encode(const Environment& environment, const EndpointSecret& fact);
std::string encode(const Environment& environment, const TokenFact& fact);
std::string encode(const Environment& environment, const TokenUseFact& fact);
std::string encode(const Environment& environment, const IdentityFact& fact);
std::string encode(const Environment& environment, const EventTypeDef& fact);
std::string encode(const Environment& environment, const TenantDef& fact);
std::string encode(const Environment& environment, const HealthFact& fact);
std::string encode(const Environment& environment, const WrappedKeyFact& fact);
std::string encode(const Environment& environment, const ParkedState& fact);
std::string encode(const Environment& environment, const OwnerMark& fact);
std::string encode(const Environment& environment, const AttemptFact& fact);
std::string encode(const Environment& environment, const CancelledFact& fact);
std::string encode(const Environment& environment, const NoMatchFact& fact);
std::string encode(const Environment& environment, const RepeatFact& fact);
std::string encode(const Environment& environment, const SetAsideFact& fact);
std::string encode(const Environment& environment, const SourceLostFact& fact);
std::string encode(const Environment& environment, const DeadLetter& fact);
std::string encode(const Environment& environment, const DeadLetterMark& fact);
std::string encode(const Environment& environment, const AuditFact& fact);
std::string encode(const Environment& environment, const RequestFact& fact);
std::string encode(const Environment& environment, const ReplayFact& fact);

// The same record of `attempts` under another stamp; every field it has is kept. Empty: it was none.
std::string restamp(std::string_view attempts_record, Stamp stamp);

Result<RegistryFact> decode_registry(const Environment& environment, std::string_view bytes);
Result<HealthFact> decode_health(const Environment& environment, std::string_view bytes);
Result<WrappedKeyFact> decode_key(const Environment& environment, std::string_view bytes);
Result<ParkedFact> decode_parked(const Environment& environment, std::string_view bytes);
Result<AttemptsFact> decode_attempts(const Environment& environment, std::string_view bytes);
Result<DeadLetterFact> decode_dead_letter(const Environment& environment, std::string_view bytes);
Result<AuditFact> decode_audit(const Environment& environment, std::string_view bytes);
Result<RequestFact> decode_request(const Environment& environment, std::string_view bytes);
Result<ReplayFact> decode_replay(const Environment& environment, std::string_view bytes);

// What is sealed of a StoredAnswer. nullopt: it is none.
std::string encode_answer(const StoredAnswer& answer);
std::optional<StoredAnswer> decode_answer(std::string_view bytes);

// A tombstone of `parked` has no value: its stamp stands in the headers "epoch" and "sequence" (decimal).
Headers stamp_headers(Stamp stamp);
std::optional<Stamp> read_stamp(const Headers& headers);

// Marks a record that Registry::mending() asked for: its value is the current one's bytes, so only a header
// can tell. Pass is_restated() to Registry::apply.
Headers restated_headers();
bool is_restated(const Headers& headers);

// schemas' Sealed message as a value.
struct SealedParts {
  std::string key_id, wrapped_data_key, nonce, ciphertext;
};
std::string encode_sealed(const SealedParts& parts);
Result<SealedParts> decode_sealed(std::string_view bytes);

}  // namespace postrider::wire
