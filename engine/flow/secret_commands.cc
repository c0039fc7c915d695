// The part of Commands that changes an endpoint's secrets and nothing else.
#include <algorithm>
#include <utility>

#include "engine/flow/commands.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr std::size_t kSecretsMax = 4;  // that sign: so many signatures stand in a header

}  // namespace

void Commands::rotate_secret(SecretRotation rotation, Answer<ApplyAnswer> answer) {
  auto job = plan_change_of_secrets(rotation.tenant, rotation.endpoint, rotation.actor,
                                    {rotation.wait, rotation.only_if}, answer);
  if (!job) return answer(fail(job.error()));
  const auto asked =
      std::make_shared<const SecretRotation>(std::move(rotation));  // shared by the function's copies
  registry_.ensure_key(asked->tenant, [this, job = *job, asked](Result<void> key) {
    if (!key) return job->answer(fail(key.error()));
    if (auto planned = plan_rotation(*job, *asked); !planned) return job->answer(fail(planned.error()));
    write_planned(job);
  });
}

void Commands::revoke_secret(TenantId tenant, EndpointId id, std::string secret_id, std::string actor,
                             Terms terms, Answer<ApplyAnswer> answer) {
  auto job = plan_change_of_secrets(tenant, id, std::move(actor), terms, answer);
  if (!job) return answer(fail(job.error()));
  if (auto planned = plan_revocation(**job, secret_id); !planned) return answer(fail(planned.error()));
  write_planned(*job);
}

Result<Commands::Job> Commands::plan_change_of_secrets(const TenantId& tenant, const EndpointId& id,
                                                       std::string actor, const Terms& terms,
                                                       Answer<ApplyAnswer> answer) {
  const Endpoint* endpoint = registry_.registry().find(tenant, id);
  if (!endpoint) return fail(no_such("endpoint"));
  if (!terms.only_if.met(&endpoint->def)) return fail(not_as_demanded());
  auto job = std::make_shared<Apply>();
  job->spec.tenant = tenant;
  job->spec.id = id;
  job->spec.wait = terms.wait;
  job->answer = std::move(answer);
  job->def = endpoint->def;
  job->def.replaces = job->def.revision;
  ++job->def.revision;
  job->def.changed_by = std::move(actor);
  job->def.changed_at = to_ms(context_.ports.clock.wall());
  job->def.secret_ids.clear();
  job->result.change = ApplyAnswer::Change::updated;
  job->result.incarnation = job->def.incarnation;
  job->result.revision = job->def.revision;
  return job;
}

// The others' end is written behind the def: whoever loses against another writer has shortened nothing.
Result<void> Commands::plan_rotation(Apply& job, const SecretRotation& rotation) {
  const Endpoint* endpoint = registry_.registry().find(rotation.tenant, rotation.endpoint);
  if (!endpoint || endpoint->def.revision != job.def.replaces) return fail(changed_meanwhile());
  std::optional<SigningSecret> made;
  if (!rotation.secret) made = make_secret();
  const SigningSecret& secret = made ? *made : *rotation.secret;
  if (job.def.scheme == Scheme::x_webhook && secret.kind != SecretKind::hmac)
    return fail(Errc::invalid, "INVALID_SECRET", "the x-webhook scheme signs with HMAC secrets only",
                "give a whsec_ secret");
  auto fresh = seal_secret(job, secret);
  if (!fresh) return fail(fresh.error());
  const LogTime now = context_.log_latest();
  const auto signing = endpoint->signing_secrets(context_.log_now());
  const std::int64_t until = to_ms(now + rotation.overlap);
  job.def.secret_ids.push_back(fresh->id);
  for (const EndpointSecret& old : endpoint->secrets) {
    if (old.state == SecretState::revoked || !endpoint->names(old)) continue;
    if (old.digest == fresh->digest && old.state == SecretState::active)
      return fail(Errc::invalid, "INVALID_SECRET", "that secret signs already", "give another one, or none");
    const bool signs = std::find(signing.begin(), signing.end(), &old) != signing.end();
    if (!signs || rotation.overlap <= Millis(0)) {
      job.dropped.push_back(revoked(old));
      job.result.differences.push_back("secrets: " + old.id + " revoked");
      continue;
    }
    job.def.secret_ids.push_back(old.id);
    if (old.state == SecretState::expiring && old.expires_at <= until) continue;
    EndpointSecret ending = old;
    ending.state = SecretState::expiring;
    ending.expires_at = until;
    job.dropped.push_back(std::move(ending));
    job.result.differences.push_back("secrets: " + old.id + " signs until its overlap ends");
  }
  if (job.def.secret_ids.size() > kSecretsMax)
    return fail(Errc::conflict, "TOO_MANY_SECRETS", "four secrets sign for this endpoint already",
                "revoke one of them, or rotate with an overlap of 0s");
  job.result.differences.push_back("secrets: one added");
  if (!rotation.secret) job.result.new_secret = format_signing_secret(secret);
  job.added.push_back(*std::move(fresh));
  return {};
}

Result<void> Commands::plan_revocation(Apply& job, const std::string& secret_id) {
  const Endpoint* endpoint = registry_.registry().find(job.spec.tenant, job.spec.id);
  const auto signing = endpoint->signing_secrets(context_.log_now());
  bool others = false, found = false;
  for (const EndpointSecret& secret : endpoint->secrets) {
    if (secret.state == SecretState::revoked || !endpoint->names(secret)) continue;
    if (secret.id != secret_id) {
      job.def.secret_ids.push_back(secret.id);
      others |= std::find(signing.begin(), signing.end(), &secret) != signing.end();
      continue;
    }
    found = true;
    job.dropped.push_back(revoked(secret));
    job.result.differences.push_back("secrets: " + secret.id + " revoked");
  }
  if (!found) return fail(no_such("secret in force"));
  if (!others)
    return fail(Errc::conflict, "LAST_SECRET", "no other secret signs for this endpoint",
                "rotate it with an overlap of 0s: that revokes it once the new one is in force");
  return {};
}

}  // namespace postrider::flow
