#include "engine/daemon/service_hop.h"

#include <memory>
#include <utility>

namespace postrider {

ServiceHop::ServiceHop(Service& shard, Mailbox& to_shard, std::function<void(std::function<void()>)> back)
    : shard_(shard), to_shard_(to_shard), back_(std::move(back)) {}

// Answers may hold what cannot be copied (a secret), and a posted function must be copyable: so it is shared.
template <class T>
Service::Answer<T> ServiceHop::returning(Answer<T> answer) {
  return [this, answer = std::move(answer)](Result<T> result) {
    auto held = std::make_shared<Result<T>>(std::move(result));
    back_([answer, held] { answer(std::move(*held)); });
  };
}

void ServiceHop::publish(Event event, bool by_tenant, Answer<Published> answer) {
  auto held = std::make_shared<Event>(std::move(event));
  to_shard_.post([this, held, by_tenant, answer = returning(std::move(answer))] {
    shard_.publish(std::move(*held), by_tenant, answer);
  });
}

void ServiceHop::publish_to(TenantId tenant, EndpointId id, Event event, Answer<Published> answer) {
  auto held = std::make_shared<Event>(std::move(event));
  to_shard_.post([this, tenant, id, held, answer = returning(std::move(answer))] {
    shard_.publish_to(tenant, id, std::move(*held), answer);
  });
}

void ServiceHop::apply_endpoint(EndpointSpec spec, Answer<ApplyAnswer> answer) {
  auto held = std::make_shared<EndpointSpec>(std::move(spec));
  to_shard_.post([this, held, answer = returning(std::move(answer))] {
    shard_.apply_endpoint(std::move(*held), answer);
  });
}

void ServiceHop::list_endpoints(TenantId tenant, PageAsk page, Answer<std::vector<EndpointView>> answer) {
  to_shard_.post([this, tenant, page = std::move(page), answer = returning(std::move(answer))] {
    shard_.list_endpoints(tenant, page, answer);
  });
}

void ServiceHop::show_endpoint(TenantId tenant, EndpointId id, Answer<EndpointView> answer) {
  to_shard_.post([this, tenant, id, answer = returning(std::move(answer))] {
    shard_.show_endpoint(tenant, id, answer);
  });
}

void ServiceHop::disable_endpoint(TenantId tenant, EndpointId id, std::string why, std::string actor,
                                  Terms terms, Answer<EndpointView> answer) {
  to_shard_.post([this, tenant, id, why, actor, terms, answer = returning(std::move(answer))] {
    shard_.disable_endpoint(tenant, id, why, actor, terms, answer);
  });
}

void ServiceHop::enable_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                                 Answer<EndpointView> answer) {
  to_shard_.post([this, tenant, id, actor, terms, answer = returning(std::move(answer))] {
    shard_.enable_endpoint(tenant, id, actor, terms, answer);
  });
}

void ServiceHop::delete_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                                 Answer<bool> answer) {
  to_shard_.post([this, tenant, id, actor, terms, answer = returning(std::move(answer))] {
    shard_.delete_endpoint(tenant, id, actor, terms, answer);
  });
}

void ServiceHop::rotate_secret(SecretRotation rotation, Answer<ApplyAnswer> answer) {
  auto held = std::make_shared<SecretRotation>(std::move(rotation));
  to_shard_.post([this, held, answer = returning(std::move(answer))] {
    shard_.rotate_secret(std::move(*held), answer);
  });
}

void ServiceHop::revoke_secret(TenantId tenant, EndpointId id, std::string secret_id, std::string actor,
                               Terms terms, Answer<ApplyAnswer> answer) {
  to_shard_.post([this, tenant, id, secret_id, actor, terms, answer = returning(std::move(answer))] {
    shard_.revoke_secret(tenant, id, secret_id, actor, terms, answer);
  });
}

void ServiceHop::prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) {
  to_shard_.post(
      [this, proof, answer = returning(std::move(answer))] { shard_.prove_endpoint(proof, answer); });
}

void ServiceHop::put_event_type(EventTypeSpec spec, Answer<EventTypeAnswer> answer) {
  to_shard_.post(
      [this, spec, answer = returning(std::move(answer))] { shard_.put_event_type(spec, answer); });
}

void ServiceHop::show_event_type(TenantId tenant, std::string name, Answer<EventTypeDef> answer) {
  to_shard_.post([this, tenant, name, answer = returning(std::move(answer))] {
    shard_.show_event_type(tenant, name, answer);
  });
}

void ServiceHop::list_event_types(TenantId tenant, PageAsk page, Answer<std::vector<EventTypeDef>> answer) {
  to_shard_.post([this, tenant, page = std::move(page), answer = returning(std::move(answer))] {
    shard_.list_event_types(tenant, page, answer);
  });
}

void ServiceHop::delete_event_type(TenantId tenant, std::string name, std::string actor, Terms terms,
                                   Answer<bool> answer) {
  to_shard_.post([this, tenant, name, actor, terms, answer = returning(std::move(answer))] {
    shard_.delete_event_type(tenant, name, actor, terms, answer);
  });
}

void ServiceHop::put_tenant(TenantSpec spec, Answer<TenantAnswer> answer) {
  to_shard_.post([this, spec, answer = returning(std::move(answer))] { shard_.put_tenant(spec, answer); });
}

void ServiceHop::show_tenant(TenantId tenant, Answer<TenantView> answer) {
  to_shard_.post(
      [this, tenant, answer = returning(std::move(answer))] { shard_.show_tenant(tenant, answer); });
}

void ServiceHop::list_tenants(PageAsk page, Answer<std::vector<TenantView>> answer) {
  to_shard_.post([this, page = std::move(page), answer = returning(std::move(answer))] {
    shard_.list_tenants(page, answer);
  });
}

void ServiceHop::delete_tenant(TenantId tenant, std::string actor, Terms terms, Answer<bool> answer) {
  to_shard_.post([this, tenant, actor, terms, answer = returning(std::move(answer))] {
    shard_.delete_tenant(tenant, actor, terms, answer);
  });
}

void ServiceHop::find_deliveries(std::string id, Answer<std::vector<DeliveryId>> answer) {
  to_shard_.post([this, id, answer = returning(std::move(answer))] { shard_.find_deliveries(id, answer); });
}

void ServiceHop::show_delivery(DeliveryId id, Answer<Delivery> answer) {
  to_shard_.post([this, id, answer = returning(std::move(answer))] { shard_.show_delivery(id, answer); });
}

void ServiceHop::open_payload(TenantId tenant, std::string target, std::string sealed,
                              Answer<Secret> answer) {
  to_shard_.post([this, tenant, target, sealed = std::move(sealed), answer = returning(std::move(answer))] {
    shard_.open_payload(tenant, target, sealed, answer);
  });
}

void ServiceHop::create_token(TokenSpec spec, Answer<MadeToken> answer) {
  to_shard_.post([this, spec, answer = returning(std::move(answer))] { shard_.create_token(spec, answer); });
}

void ServiceHop::revoke_token(TenantId within, std::string id, Answer<TokenFact> answer) {
  to_shard_.post(
      [this, within, id, answer = returning(std::move(answer))] { shard_.revoke_token(within, id, answer); });
}

void ServiceHop::list_tokens(TenantId within, Answer<std::vector<TokenView>> answer) {
  to_shard_.post(
      [this, within, answer = returning(std::move(answer))] { shard_.list_tokens(within, answer); });
}

void ServiceHop::rotate_admin_token(Answer<Secret> answer) {
  to_shard_.post([this, answer = returning(std::move(answer))] { shard_.rotate_admin_token(answer); });
}

void ServiceHop::begin_request(RequestClaim claim, Answer<ClaimedRequest> answer) {
  to_shard_.post([this, claim = std::move(claim), answer = returning(std::move(answer))] {
    shard_.begin_request(claim, answer);
  });
}

void ServiceHop::end_request(RequestEnd end, Answer<bool> answer) {
  auto held = std::make_shared<RequestEnd>(std::move(end));
  to_shard_.post(
      [this, held, answer = returning(std::move(answer))] { shard_.end_request(std::move(*held), answer); });
}

void ServiceHop::open_answer(TenantId tenant, std::string sealed, Answer<Secret> answer) {
  to_shard_.post([this, tenant, sealed = std::move(sealed), answer = returning(std::move(answer))] {
    shard_.open_answer(tenant, sealed, answer);
  });
}

void ServiceHop::grant_of(std::string token_hash_hex, Answer<std::optional<Grant>> answer) {
  to_shard_.post([this, token_hash_hex, answer = returning(std::move(answer))] {
    shard_.grant_of(token_hash_hex, answer);
  });
}

void ServiceHop::readiness(Answer<Readiness> answer) {
  to_shard_.post([this, answer = returning(std::move(answer))] { shard_.readiness(answer); });
}

}  // namespace postrider
