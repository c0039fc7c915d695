#pragma once
#include <functional>

#include "engine/daemon/mailbox.h"
#include "engine/ports/service.h"

namespace postrider {

// The bridge between the API's thread and the shard's: every call is posted over, every answer posted back.
class ServiceHop : public Service {
 public:
  // `back` posts to the API's thread. All outlive the hop.
  ServiceHop(Service& shard, Mailbox& to_shard, std::function<void(std::function<void()>)> back);

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
  void put_tenant(TenantSpec spec, Answer<TenantAnswer> answer) override;
  void show_tenant(TenantId tenant, Answer<TenantView> answer) override;
  void list_tenants(PageAsk page, Answer<std::vector<TenantView>> answer) override;
  void delete_tenant(TenantId tenant, std::string actor, Terms terms, Answer<bool> answer) override;
  void delete_event_type(TenantId tenant, std::string name, std::string actor, Terms terms,
                         Answer<bool> answer) override;
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
  void readiness(Answer<Readiness> answer) override;

 private:
  template <class T>
  Answer<T> returning(Answer<T> answer);

  Service& shard_;
  Mailbox& to_shard_;
  std::function<void(std::function<void()>)> back_;
};

}  // namespace postrider
