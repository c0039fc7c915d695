#pragma once
#include <absl/container/flat_hash_map.h>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/flow/active.h"
#include "engine/flow/appender.h"
#include "engine/flow/challenges.h"
#include "engine/flow/dispatch.h"
#include "engine/flow/registry_view.h"
#include "engine/flow/requests.h"
#include "engine/flow/schemas.h"
#include "engine/flow/view.h"
#include "engine/ports/service.h"

namespace postrider::flow {

// What operators and producers ask over HTTP, done on the shard's thread: publishing, the registry's
// commands, and what the view knows of a delivery. Owned by the shard.
class Commands : public Service {
 public:
  Commands(Context& context, Appender& appender, RegistryView& registry, Dispatch& dispatch, View& view,
           ActiveTable& active, Requests& requests, Schemas& schemas, Challenges& challenges);

  void publish(Event event, bool by_tenant, Answer<Published> answer) override;
  void publish_to(TenantId tenant, EndpointId id, Event event, Answer<Published> answer) override;
  void apply_endpoint(EndpointSpec spec, Answer<ApplyAnswer> answer) override;
  void list_endpoints(TenantId tenant, PageAsk page, Answer<std::vector<EndpointView>> answer) override;
  void show_endpoint(TenantId tenant, EndpointId id, Answer<EndpointView> answer) override;
  void disable_endpoint(TenantId tenant, EndpointId id, std::string why, std::string actor, Terms terms,
                        Answer<EndpointView> answer) override;
  void enable_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                       Answer<EndpointView> answer) override;
  void delete_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                       Answer<bool> answer) override;
  void rotate_secret(SecretRotation rotation, Answer<ApplyAnswer> answer) override;
  void revoke_secret(TenantId tenant, EndpointId id, std::string secret_id, std::string actor, Terms terms,
                     Answer<ApplyAnswer> answer) override;
  void prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) override;
  void put_event_type(EventTypeSpec spec, Answer<EventTypeAnswer> answer) override;
  void show_event_type(TenantId tenant, std::string name, Answer<EventTypeDef> answer) override;
  void list_event_types(TenantId tenant, PageAsk page, Answer<std::vector<EventTypeDef>> answer) override;
  void delete_event_type(TenantId tenant, std::string name, std::string actor, Terms terms,
                         Answer<bool> answer) override;
  void put_tenant(TenantSpec spec, Answer<TenantAnswer> answer) override;
  void show_tenant(TenantId tenant, Answer<TenantView> answer) override;
  void list_tenants(PageAsk page, Answer<std::vector<TenantView>> answer) override;
  void delete_tenant(TenantId tenant, std::string actor, Terms terms, Answer<bool> answer) override;
  void find_deliveries(std::string id, Answer<std::vector<DeliveryId>> answer) override;
  void show_delivery(DeliveryId id, Answer<Delivery> answer) override;
  void open_payload(TenantId tenant, std::string target, std::string sealed, Answer<Secret> answer) override;
  void create_token(TokenSpec spec, Answer<MadeToken> answer) override;
  void revoke_token(TenantId within, std::string id, Answer<TokenFact> answer) override;
  void list_tokens(TenantId within, Answer<std::vector<TokenView>> answer) override;
  void rotate_admin_token(Answer<Secret> answer) override;
  void begin_request(RequestClaim claim, Answer<ClaimedRequest> answer) override;
  void end_request(RequestEnd end, Answer<bool> answer) override;
  void open_answer(TenantId tenant, std::string sealed, Answer<Secret> answer) override;
  void grant_of(std::string token_hash_hex, Answer<std::optional<Grant>> answer) override;
  void readiness(Answer<Readiness> answer) override { answer(ready()); }

  // Set by the shard.
  std::function<Readiness()> ready = [] { return Readiness(); };
  std::function<bool(Partition)> owns = [](Partition) { return true; };

  void tick(SteadyTime now);
  // Changes are on the log whose callers have not been told so yet.
  bool owes_answers() const { return !later_.empty(); }
  SteadyTime next_wake(SteadyTime now) const;
  // Lookups of ours have the token's highest bit set.
  static bool is_lookup(std::uint64_t token) { return (token >> 63) != 0; }
  void on_resolved(std::uint64_t token, const Result<Resolved>& resolved);

 private:
  // One change of an endpoint on its way.
  struct Apply {
    EndpointSpec spec;
    Answer<ApplyAnswer> answer;
    Url url;
    bool exempt_from_cap = false;
    bool creates = false;  // one that counts for the tenant's cap; until it stands
    ApplyAnswer result;
    EndpointDef def;
    std::vector<EndpointSecret> added, dropped;
    std::deque<std::pair<std::string, std::string>> writes;  // key, value
  };
  using Job = std::shared_ptr<Apply>;  // shared by the answers it waits for
  static tl::unexpected<Error> invalid(std::string message, std::string suggestion);
  static Error no_such(std::string_view what);
  static Error changed_meanwhile();
  static Error not_as_demanded();
  static Error tenant_is_suspended();
  bool is_suspended(const TenantId& tenant) const;
  // Whether the registry is fresh here: only then is "nothing had to be changed" an answer. Else it is
  // written, and whoever has changed it meanwhile is not passed over.
  bool knows_now() const;
  Result<void> check_spec(const EndpointSpec& spec) const;
  static EndpointSecret revoked(EndpointSecret secret);
  void check_address(const Job& job);
  void plan(const Job& job);
  Result<void> plan_def(Apply& job, const Endpoint* current);
  Result<void> plan_proof(Apply& job, const Endpoint* current, const std::string& old_query);
  Result<void> put_challenge(EndpointDef& def);
  void ask_anew(const Endpoint& endpoint, EndpointProof proof, Answer<EndpointView> answer);
  Result<void> plan_secrets(Apply& job, const Endpoint* current);
  Result<EndpointSecret> seal_secret(const Apply& job, const SigningSecret& secret);
  SigningSecret make_secret();
  void write_planned(const Job& job);
  Result<Job> plan_change_of_secrets(const TenantId& tenant, const EndpointId& id, std::string actor,
                                     const Terms& terms, Answer<ApplyAnswer> answer);
  Result<void> plan_rotation(Apply& job, const SecretRotation& rotation);
  Result<void> plan_revocation(Apply& job, const std::string& secret_id);
  void write_next(const Job& job);
  std::size_t being_created(const TenantId& tenant, const EndpointId& but);
  std::optional<Error> beyond_cap(const Apply& job) const;
  void withdraw(const Job& job, const Error& why);
  void take_back(const Job& job);
  void put_secrets(std::deque<std::pair<std::string, std::string>>& writes,
                   const std::vector<EndpointSecret>& secrets) const;
  void change(TenantId tenant, EndpointId id, Terms terms, std::function<void(EndpointDef&)> edit,
              Answer<EndpointDef> answer);
  void tell_it_takes_again(const TenantId& tenant, const EndpointId& id, const std::string& why);
  void append_event(const Event& event, Answer<Published> answer);
  MadeToken new_token();
  std::optional<Error> too_many_tokens(const TenantId& tenant, std::int64_t now) const;
  void note_use(const std::string& token_id);
  void revoke(std::vector<TokenFact> tokens, std::function<void(Result<void>)> done);
  void write_event_type(EventTypeDef def, bool wait, std::function<void(Result<EventTypeDef>)> answer);
  void write_tenant(TenantDef def, bool wait, std::function<void(Result<TenantDef>)> answer);
  // Whom something is declared for; `only`: of that one alone.
  std::map<TenantId, TenantView> tenants(const TenantId& only) const;
  // How many endpoints it may have; 0: any number.
  std::uint32_t endpoints_max_of(const TenantId& tenant) const;
  EndpointView view_of(const Endpoint& endpoint);
  void after_everywhere(bool wait, std::function<void()> then);
  std::string random_name(std::string_view prefix);

  Context& context_;
  Appender& appender_;
  RegistryView& registry_;
  Dispatch& dispatch_;
  View& view_;
  ActiveTable& active_;
  Requests& requests_;
  Schemas& schemas_;
  Challenges& challenges_;
  struct Later {
    SteadyTime at;
    std::function<void()> then;
  };
  std::vector<Later> later_;                      // answers that wait until a change is in force everywhere
  std::map<std::string, std::int64_t> use_told_;  // by token: the day that we have written
  std::uint64_t last_token_ = 0;
  absl::flat_hash_map<std::uint64_t, Job> lookups_;
  std::vector<std::weak_ptr<Apply>> creating_;  // on their way to the log
};

}  // namespace postrider::flow
