#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "engine/daemon/service_hop.h"

namespace postrider {

// One Service over all shards of the process. What is written to the log goes through the first shard: the
// others read it there, as other processes do, and it is answered once they must have. What only the shard
// that owns a partition knows (deliveries, queues, readiness) is asked of all and put together.
class ShardsHop final : public ServiceHop {
 public:
  struct Shard {
    Service& service;
    Mailbox& mailbox;
  };
  // At least one shard. `back` posts to the API's thread. All outlive the hop.
  ShardsHop(const std::vector<Shard>& shards, const std::function<void(std::function<void()>)>& back);

  void list_endpoints(TenantId tenant, PageAsk page, Answer<std::vector<EndpointView>> answer) override;
  void show_endpoint(TenantId tenant, EndpointId id, Answer<EndpointView> answer) override;
  void disable_endpoint(TenantId tenant, EndpointId id, std::string why, std::string actor, Terms terms,
                        Answer<EndpointView> answer) override;
  void enable_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                       Answer<EndpointView> answer) override;
  void prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) override;
  void find_deliveries(std::string id, Answer<std::vector<DeliveryId>> answer) override;
  void show_delivery(DeliveryId id, Answer<Delivery> answer) override;
  void readiness(Answer<Readiness> answer) override;

 private:
  // Asks every shard; `merge` gets the answers in the shards' order, on the API's thread.
  template <class T>
  void ask_all(const std::function<void(Service&, Answer<T>)>& ask,
               std::function<void(std::vector<Result<T>>)> merge);
  Answer<EndpointView> with_all_counts(TenantId tenant, EndpointId id, Answer<EndpointView> answer);

  std::vector<std::unique_ptr<ServiceHop>> hops_;
};

}  // namespace postrider
