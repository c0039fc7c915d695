// The part of Commands that has endpoints prove themselves: by a value that somebody read at the receiver, by
// the platform's word, or by being asked once more.
#include <utility>

#include "engine/core/challenge.h"
#include "engine/flow/commands.h"

namespace postrider::flow {
namespace {

constexpr Millis kAskedAnewAfter{60'000};

bool equal_in_time(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < one.size(); ++i)
    difference |=
        static_cast<unsigned>(static_cast<unsigned char>(one[i]) ^ static_cast<unsigned char>(other[i]));
  return difference == 0;
}

}  // namespace

// A new value for `def`, whose incarnation is set; the tenant's key is there.
Result<void> Commands::put_challenge(EndpointDef& def) {
  auto sealed =
      context_.ports.keys.seal(challenge_context(context_.config.environment, def), random_name("chl_"));
  if (!sealed) return fail(sealed.error());
  def.sealed_challenge = *std::move(sealed);
  def.challenged_at = to_ms(context_.ports.clock.wall());
  def.proven_by.clear();
  return {};
}

// An endpoint that a tenant declares is asked where it leads to another URL than it did; one that the
// platform leads there is taken on its word.
Result<void> Commands::plan_proof(Apply& job, const Endpoint* current, const std::string& old_query) {
  EndpointDef& def = job.def;
  if (current) {
    const auto before = parse_url(current->def.url + old_query);
    if (before && !is_elsewhere(*before, job.url)) return {};
  }
  const bool asked = context_.config.challenge_tenants && job.spec.by_tenant && !job.exempt_from_cap;
  if (asked) {
    job.result.differences.emplace_back(
        "state: unverified until its receiver gives back the challenge that it is sent");
    return put_challenge(def);
  }
  def.sealed_challenge.clear();
  def.proven_by = job.spec.by_tenant ? "" : "platform";
  return {};
}

void Commands::prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) {
  const Endpoint* endpoint = registry_.registry().find(proof.tenant, proof.endpoint);
  if (!endpoint) return answer(fail(no_such("endpoint")));
  if (!proof.only_if.met(&endpoint->def)) return answer(fail(not_as_demanded()));
  if (endpoint->def.sealed_challenge.empty()) return answer(view_of(*endpoint));
  if (!proof.challenge && !proof.vouched) return ask_anew(*endpoint, std::move(proof), std::move(answer));
  if (proof.challenge) {
    auto value = context_.ports.keys.open(challenge_context(context_.config.environment, endpoint->def),
                                          endpoint->def.sealed_challenge);
    if (!value) return answer(fail(value.error()));
    if (!equal_in_time(value->reveal(), *proof.challenge))
      return answer(fail(Errc::invalid, "WRONG_CHALLENGE", "that is not what the endpoint was sent",
                         "give the value of the newest request of type " + std::string(kChallengeType) +
                             ", or none to have it sent anew"));
  }
  change(
      proof.tenant, proof.endpoint, {proof.wait, proof.only_if},
      [&](EndpointDef& def) {
        def.sealed_challenge.clear();
        def.proven_by = proof.challenge ? "value" : "platform";
        def.changed_by = proof.actor;
      },
      [this, proof, answer](Result<EndpointDef> def) {
        if (!def) return answer(fail(def.error()));
        tell_it_takes_again(proof.tenant, proof.endpoint, "proven");
        show_endpoint(proof.tenant, proof.endpoint, answer);
      });
}

// Not as often as somebody likes: each is a request to a URL that may be a stranger's.
void Commands::ask_anew(const Endpoint& endpoint, EndpointProof proof, Answer<EndpointView> answer) {
  if (context_.ports.clock.wall() - from_ms<WallTime>(endpoint.def.challenged_at) < kAskedAnewAfter)
    return answer(fail(Errc::overloaded, "RATE_LIMITED",
                       "the endpoint was sent a challenge less than a minute ago",
                       "wait for it, or ask again in a minute"));
  EndpointDef asked = endpoint.def;
  if (auto put = put_challenge(asked); !put) return answer(fail(put.error()));
  change(
      proof.tenant, proof.endpoint, {proof.wait, proof.only_if},
      [&](EndpointDef& def) {
        def.sealed_challenge = asked.sealed_challenge;
        def.challenged_at = asked.challenged_at;
        def.changed_by = proof.actor;
      },
      [this, proof, answer](Result<EndpointDef> def) {
        if (!def) return answer(fail(def.error()));
        show_endpoint(proof.tenant, proof.endpoint, answer);
      });
}

}  // namespace postrider::flow
