#include "producers/http_outcome_wait.h"

#include <algorithm>
#include <set>
#include <thread>
#include <utility>

#include "producers/http_answer.h"

namespace postrider::producers {
namespace {

using Clock = std::chrono::steady_clock;
constexpr Millis kFirstPause{100};
constexpr Millis kPauseMax{1'000};
// A repeat has no deliveries of its own, and the API answers with those of the event that it repeats: when it
// has said so for this long, ours is taken for one.
constexpr Millis kRepeatStands{2'000};

class HttpOutcomeWait : public OutcomeWait {
 public:
  explicit HttpOutcomeWait(const PublisherOptions& options)
      : target_{options.to, options.token, options.ca_file, options.client_cert, options.client_key} {
    while (target_.base.ends_with('/')) target_.base.pop_back();
  }

  Result<std::size_t> wait(const std::vector<PublishedEvent>& published, Millis span,
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
  Result<DeliveriesSeen> ask(const PublishedEvent& published) {
    HttpRequest request(target_, "/v1/deliveries/" + published.webhook_id.str(), Millis(10'000));
    const auto answer = request.perform();
    if (!answer) return fail(answer.error());
    if (answer->status == 429 || answer->status == 503) return DeliveriesSeen{};  // busy: ask again
    return read_deliveries(*answer);
  }

  // The deliveries of this event: others may share its webhook-id.
  static DeliveriesSeen own(DeliveriesSeen seen, Position position) {
    std::erase_if(seen.deliveries, [&](const DeliverySeen& one) { return one.position != position; });
    return seen;
  }

  // Every attempt names the fan-out. Without an attempt (cancelled before it) what is there counts as all.
  static bool all_known(const DeliveriesSeen& seen) {
    std::size_t fan_out = seen.deliveries.size();
    for (const auto& one : seen.deliveries) fan_out = std::max(fan_out, one.fan_out);
    const auto known = std::count_if(seen.deliveries.begin(), seen.deliveries.end(),
                                     [](const DeliverySeen& one) { return one.has_outcome; });
    return fan_out > 0 && static_cast<std::size_t>(known) >= fan_out;
  }

  // Why an event without deliveries has none; empty: it may have some yet.
  static std::string why_none(const DeliveriesSeen& all, bool long_enough) {
    if (all.deliveries.empty()) return all.pending ? std::string() : all.explanation;
    return long_enough ? "no delivery of its own: a repeat of an earlier event" : "";
  }

  Result<bool> wait_for(const PublishedEvent& published, Clock::time_point deadline,
                        const std::function<void(const FirstOutcome&)>& each) {
    std::set<std::string> told;
    auto pause = kFirstPause;
    const auto begin = Clock::now();
    while (true) {
      const auto all = ask(published);
      if (!all) return fail(all.error());
      const auto seen = own(*all, published.position);
      tell(published, seen, told, each);
      if (all_known(seen)) return true;
      const bool long_enough = Clock::now() - begin >= kRepeatStands;
      if (const auto why = why_none(*all, long_enough); seen.deliveries.empty() && !why.empty()) {
        each({published.id, published.webhook_id, "", OutcomeKind::none, why});
        return true;
      }
      if (Clock::now() + pause > deadline) return false;
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 3 / 2, kPauseMax);
    }
  }

  static void tell(const PublishedEvent& published, const DeliveriesSeen& seen, std::set<std::string>& told,
                   const std::function<void(const FirstOutcome&)>& each) {
    for (const auto& delivery : seen.deliveries) {
      if (!delivery.has_outcome || !told.insert(delivery.delivery_id).second) continue;
      each({published.id, published.webhook_id, delivery.endpoint, delivery.kind, delivery.text});
    }
  }

  HttpTarget target_;
};

}  // namespace

std::unique_ptr<OutcomeWait> make_http_outcome_wait(const PublisherOptions& options) {
  return std::make_unique<HttpOutcomeWait>(options);
}

}  // namespace postrider::producers
