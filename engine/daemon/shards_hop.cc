#include "engine/daemon/shards_hop.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace postrider {
namespace {

// One endpoint as two shards see it: each counts what waits in its own partitions, and an endpoint is as well
// as the worst of them.
void add(EndpointView& sum, const EndpointView& part) {
  sum.held += part.held;
  sum.queued += part.queued;
  sum.in_flight += part.in_flight;
  sum.health = std::max(sum.health, part.health);
  // The one that asks for its challenge has heard the answers, and says more.
  if (part.stopped.stop == Stop::unverified && part.stopped.why.size() > sum.stopped.why.size())
    sum.stopped.why = part.stopped.why;
}

// A shard that does not know it yet (or no longer) has nothing of it waiting.
Result<EndpointView> sum_of(std::vector<Result<EndpointView>> parts) {
  std::optional<EndpointView> sum;
  for (auto& part : parts) {
    if (!part) continue;
    if (sum) {
      add(*sum, *part);
    } else {
      sum = *std::move(part);
    }
  }
  if (!sum) return fail(parts.front().error());
  return *std::move(sum);
}

}  // namespace

ShardsHop::ShardsHop(const std::vector<Shard>& shards, const std::function<void(std::function<void()>)>& back)
    : ServiceHop(shards.front().service, shards.front().mailbox, back) {
  hops_.reserve(shards.size());
  for (const Shard& shard : shards)
    hops_.push_back(std::make_unique<ServiceHop>(shard.service, shard.mailbox, back));
}

template <class T>
void ShardsHop::ask_all(const std::function<void(Service&, Answer<T>)>& ask,
                        std::function<void(std::vector<Result<T>>)> merge) {
  struct Gathered {
    std::vector<std::optional<Result<T>>> parts;
    std::size_t missing;
    std::function<void(std::vector<Result<T>>)> merge;
  };
  // Shared by the answers that are under way; all of them come on the API's thread.
  auto gathered = std::make_shared<Gathered>();
  gathered->parts.resize(hops_.size());
  gathered->missing = hops_.size();
  gathered->merge = std::move(merge);
  for (std::size_t i = 0; i < hops_.size(); ++i) {
    ask(*hops_[i], [gathered, i](Result<T> part) {
      gathered->parts[i].emplace(std::move(part));
      if (--gathered->missing > 0) return;
      std::vector<Result<T>> parts;
      parts.reserve(gathered->parts.size());
      for (auto& each : gathered->parts) parts.push_back(*std::move(each));
      gathered->merge(std::move(parts));
    });
  }
}

void ShardsHop::list_endpoints(TenantId tenant, PageAsk page, Answer<std::vector<EndpointView>> answer) {
  using Views = std::vector<EndpointView>;
  ask_all<Views>(
      [&](Service& shard, Answer<Views> part) { shard.list_endpoints(tenant, page, std::move(part)); },
      [answer = std::move(answer)](std::vector<Result<Views>> parts) {
        if (!parts.front()) return answer(std::move(parts.front()));
        std::map<std::pair<TenantId, EndpointId>, EndpointView*> known;
        for (EndpointView& view : *parts.front()) known[{view.def.tenant, view.def.id}] = &view;
        for (std::size_t i = 1; i < parts.size(); ++i) {
          if (!parts[i]) continue;
          for (const EndpointView& view : *parts[i]) {
            const auto found = known.find({view.def.tenant, view.def.id});
            if (found != known.end()) add(*found->second, view);
          }
        }
        answer(std::move(parts.front()));
      });
}

void ShardsHop::show_endpoint(TenantId tenant, EndpointId id, Answer<EndpointView> answer) {
  ask_all<EndpointView>(
      [&](Service& shard, Answer<EndpointView> part) { shard.show_endpoint(tenant, id, std::move(part)); },
      [answer = std::move(answer)](std::vector<Result<EndpointView>> parts) {
        answer(sum_of(std::move(parts)));
      });
}

Service::Answer<EndpointView> ShardsHop::with_all_counts(TenantId tenant, EndpointId id,
                                                         Answer<EndpointView> answer) {
  return [this, tenant, id, answer = std::move(answer)](Result<EndpointView> changed) {
    if (!changed) return answer(std::move(changed));
    show_endpoint(tenant, id, answer);
  };
}

void ShardsHop::disable_endpoint(TenantId tenant, EndpointId id, std::string why, std::string actor,
                                 Terms terms, Answer<EndpointView> answer) {
  ServiceHop::disable_endpoint(tenant, id, std::move(why), std::move(actor), std::move(terms),
                               with_all_counts(tenant, id, std::move(answer)));
}

void ShardsHop::enable_endpoint(TenantId tenant, EndpointId id, std::string actor, Terms terms,
                                Answer<EndpointView> answer) {
  ServiceHop::enable_endpoint(tenant, id, std::move(actor), std::move(terms),
                              with_all_counts(tenant, id, std::move(answer)));
}

void ShardsHop::prove_endpoint(EndpointProof proof, Answer<EndpointView> answer) {
  auto whole = with_all_counts(proof.tenant, proof.endpoint, std::move(answer));
  ServiceHop::prove_endpoint(std::move(proof), std::move(whole));
}

void ShardsHop::find_deliveries(std::string id, Answer<std::vector<DeliveryId>> answer) {
  using Ids = std::vector<DeliveryId>;
  ask_all<Ids>([&](Service& shard, Answer<Ids> part) { shard.find_deliveries(id, std::move(part)); },
               [answer = std::move(answer)](std::vector<Result<Ids>> parts) {
                 Ids all;
                 for (auto& part : parts) {
                   if (!part) return answer(std::move(part));
                   all.insert(all.end(), part->begin(), part->end());
                 }
                 std::sort(all.begin(), all.end());
                 all.erase(std::unique(all.begin(), all.end()), all.end());
                 answer(std::move(all));
               });
}

// A former owner's view may still hold the beginning of it: what they know is facts, and folds.
void ShardsHop::show_delivery(DeliveryId id, Answer<Delivery> answer) {
  ask_all<Delivery>([&](Service& shard, Answer<Delivery> part) { shard.show_delivery(id, std::move(part)); },
                    [answer = std::move(answer)](std::vector<Result<Delivery>> parts) {
                      std::optional<Delivery> fold;
                      for (const auto& part : parts) {
                        if (part) fold ? fold->apply(*part) : void(fold = *part);
                      }
                      if (fold) return answer(*std::move(fold));
                      answer(std::move(parts.front()));
                    });
}

void ShardsHop::readiness(Answer<Readiness> answer) {
  ask_all<Readiness>([](Service& shard, Answer<Readiness> part) { shard.readiness(std::move(part)); },
                     [answer = std::move(answer)](std::vector<Result<Readiness>> parts) {
                       Readiness all{true, true, true, true, true, {}, {}};
                       for (std::size_t i = 0; i < parts.size(); ++i) {
                         if (!parts[i]) return answer(std::move(parts[i]));
                         const Readiness& one = *parts[i];
                         all.log_reachable &= one.log_reachable;
                         all.registry_read &= one.registry_read;
                         all.registry_fresh &= one.registry_fresh;
                         all.store_open &= one.store_open;
                         all.consuming &= one.consuming;
                         const std::string which =
                             parts.size() > 1 ? "shard " + std::to_string(i) + ": " : std::string();
                         for (const auto& text : one.complaints) all.complaints.push_back(which + text);
                         for (const auto& text : one.notes) all.notes.push_back(which + text);
                       }
                       answer(std::move(all));
                     });
}

}  // namespace postrider
