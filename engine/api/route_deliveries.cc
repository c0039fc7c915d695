#include "engine/api/json_text.h"
#include "engine/api/routes.h"
#include "engine/api/views.h"
#include "engine/operations/delivery_lookup.h"

namespace postrider {
namespace {

constexpr std::size_t kShownMax = 200;

ApiResponse shown(const std::vector<Delivery>& deliveries, const std::vector<std::string>& explanations,
                  bool pending = false) {
  Json list = Json::array();
  for (const auto& delivery : deliveries) list.push_back(view_of(delivery));
  Json body = {{"deliveries", std::move(list)}};
  if (!explanations.empty()) {
    std::string text;
    for (const auto& sentence : explanations) text += (text.empty() ? "" : "; ") + sentence;
    body["explanation"] = text;
  }
  if (pending) body["pending"] = true;
  return json_answer(200, body);
}

// One look-up: the view first; the log for what it does not know.
struct Search : std::enable_shared_from_this<Search> {
  Search(std::shared_ptr<Routes> r, CallPtr c, std::int64_t s)
      : routes(std::move(r)), call(std::move(c)), since(s) {}

  void begin() {
    routes->service.find_deliveries(call->path[0],
                                    [self = shared_from_this()](Result<std::vector<DeliveryId>> ids) {
                                      if (!ids && ids.error().errc != Errc::not_found)
                                        return self->call->refuse(ids.error());
                                      if (!ids || ids->empty()) return self->look_on_the_log();
                                      self->waiting = std::move(*ids);
                                      self->next();
                                    });
  }

  void next() {
    if (waiting.empty() || found.size() > kShownMax) return finish();
    auto id = std::move(waiting.back());
    waiting.pop_back();
    routes->service.show_delivery(std::move(id), [self = shared_from_this()](Result<Delivery> delivery) {
      // What is another tenant's is left out here, and so comes to what does not exist.
      if (delivery && !self->call->grant.sees(delivery->ref()->tenant)) return self->next();
      if (delivery)
        self->found.push_back(std::move(*delivery));
      else if (delivery.error().errc != Errc::not_found)
        return self->call->refuse(delivery.error());
      self->next();
    });
  }

  void finish() {
    if (found.empty()) return look_on_the_log();
    std::vector<std::string> explanations;
    const bool truncated = found.size() > kShownMax;
    if (truncated) found.pop_back();
    if (truncated)
      explanations.push_back("there are more; these are " + std::to_string(kShownMax) + " of them");
    call->answer(shown(found, explanations));
  }

  void look_on_the_log() {
    routes->scan(call, [self = shared_from_this()] {
      auto desk = self->routes->desk;
      const auto answer =
          look_up_deliveries(desk, self->call->path[0], self->since, self->call->grant.tenant);
      if (!answer) return self->call->refuse(answer.error());
      self->call->answer(shown(answer->deliveries, answer->explanations, answer->pending));
    });
  }

  std::shared_ptr<Routes> routes;
  CallPtr call;
  std::int64_t since;
  std::vector<DeliveryId> waiting;
  std::vector<Delivery> found;
};

}  // namespace

void Routes::get_delivery(CallPtr call) {
  if (auto fine = call->only({"since"}); !fine) return call->refuse(fine.error());
  const auto since = call->time("since");
  if (!since) return call->refuse(since.error());
  std::make_shared<Search>(shared_from_this(), call, *since)->begin();
}

}  // namespace postrider
