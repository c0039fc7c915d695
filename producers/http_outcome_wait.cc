#include "producers/http_outcome_wait.h"

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include "producers/http_answer.h"

namespace postrider {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Millis kFirstPause{100};
constexpr Millis kPauseMax{1'000};
// The API names the deliveries it knows of, and an event's are made one after the other: all outcomes must be
// there in two answers in a row, and "it has none" must stand this long.
constexpr Millis kNoneStands{2'000};

class HttpOutcomeWait : public OutcomeWait {
 public:
  explicit HttpOutcomeWait(const PublisherOptions& options)
      : target_{options.to, options.token, options.ca_file} {
    while (target_.base.ends_with('/')) target_.base.pop_back();
  }

  Result<std::size_t> wait(const std::vector<Published>& published, Millis span,
                           const std::function<void(const FirstOutcome&)>& each) override {
    const auto deadline = Clock::now() + span;
    std::size_t missing = 0;
    for (const auto& one : published) {
      const auto known = wait_for(one, deadline, each);
      if (!known) return fail(known.error());
      if (!*known) ++missing;
    }
    return missing;
  }

 private:
  Result<DeliveriesSeen> ask(const Published& published) {
    HttpRequest request(target_, "/v1/deliveries/" + published.webhook_id.str(), Millis(10'000));
    const auto answer = request.perform();
    if (!answer) return fail(answer.error());
    if (answer->status == 429 || answer->status == 503) return DeliveriesSeen{};  // busy: ask again
    return read_deliveries(*answer);
  }

  static bool all_known(const DeliveriesSeen& seen) {
    return !seen.deliveries.empty() && std::all_of(seen.deliveries.begin(), seen.deliveries.end(),
                                                   [](const DeliverySeen& one) { return one.has_outcome; });
  }

  Result<bool> wait_for(const Published& published, Clock::time_point deadline,
                        const std::function<void(const FirstOutcome&)>& each) {
    std::set<std::string> told;
    auto pause = kFirstPause;
    std::size_t known_before = 0;
    const auto begin = Clock::now();
    while (true) {
      const auto seen = ask(published);
      if (!seen) return fail(seen.error());
      tell(published, *seen, told, each);
      if (all_known(*seen) && known_before == seen->deliveries.size()) return true;
      known_before = all_known(*seen) ? seen->deliveries.size() : 0;
      if (seen->deliveries.empty() && !seen->explanation.empty() && Clock::now() - begin >= kNoneStands) {
        each({published.id, published.webhook_id, "", seen->explanation});
        return true;
      }
      if (Clock::now() + pause > deadline) return false;
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 3 / 2, kPauseMax);
    }
  }

  static void tell(const Published& published, const DeliveriesSeen& seen, std::set<std::string>& told,
                   const std::function<void(const FirstOutcome&)>& each) {
    for (const auto& delivery : seen.deliveries) {
      if (!delivery.has_outcome || !told.insert(delivery.delivery_id).second) continue;
      each({published.id, published.webhook_id, delivery.endpoint, delivery.text});
    }
  }

  HttpTarget target_;
};

}  // namespace

std::unique_ptr<OutcomeWait> make_http_outcome_wait(const PublisherOptions& options) {
  return std::make_unique<HttpOutcomeWait>(options);
}

}  // namespace postrider
