#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/delivery.h"
#include "engine/operations/newest_first.h"

// Deliveries and attempts as the log has them: for any instance, whoever owns the partition, and for tools. A
// page looks at a bounded number of records; whoever wants more goes on from where it ended.
namespace postrider {

struct DeliveryFilter {
  TenantId tenant;  // empty: any; so are all below
  EndpointId endpoint;
  std::string type;  // a pattern, "order.*"
  std::string event_id;
  std::string webhook_id;
  ReplayJobId replay_job;
  std::optional<DeliveryState> state;  // parked, delivered, dead or cancelled
  std::int64_t since = 0, until = 0;   // of the newest fact, unix ms, [since, until); 0: unbounded

  bool matches(const DeliveryRef& delivery) const;
};

struct DeliveryRow {
  Delivery delivery;             // of the facts that the page has met: its attempts may not be all
  std::uint32_t attempts = 0;    // charged so far
  std::int32_t last_status = 0;  // of the newest attempt; 0: none
  AttemptError last_error = AttemptError::none;
  std::int64_t changed_at = 0;  // append time of its newest fact, unix ms
};

struct DeliveryPage {
  std::vector<DeliveryRow> rows;
  std::optional<LogPlace> next;     // where to go on; nullopt: that was all
  std::int64_t looked_back_to = 0;  // append time of the oldest fact that was looked at; 0: none
  // False: too many records lie before this page to tell whether one of its parked deliveries has moved on
  // since; such a one is then listed twice, and the first time counts.
  bool later_facts_checked = true;
};

inline constexpr std::size_t kDeliveriesListed = 100, kDeliveriesListedMax = 1000;
inline constexpr std::uint64_t kDeliveryRecordsMax = 50'000;  // looked at for a page
inline constexpr std::uint64_t kLaterRecordsMax = 500'000;    // looked through for what came after

// Each delivery once, where its newest fact stands, the newest first. A page may hold fewer than `limit`, or
// none, and still name where to go on. What has no fact yet (routed, not attempted) is not listed.
Result<DeliveryPage> list_deliveries(Desk& desk, const DeliveryFilter& filter, const LogPlace& from,
                                     std::size_t limit = kDeliveriesListed, const Patience& patience = {});

struct AttemptPage {
  std::vector<AttemptFact> attempts;  // the newest first
  std::optional<LogPlace> next;
};
inline constexpr std::uint64_t kAttemptRecordsMax = 200'000;  // looked at for a page

// What was tried for one delivery, from `attempts` of the partition that its id names. `within`: of that
// tenant alone, as if nothing else were there. Errc::invalid: it is no delivery id.
Result<AttemptPage> list_attempts(Desk& desk, const DeliveryId& id, const TenantId& within,
                                  const LogPlace& from, std::size_t limit = kDeliveriesListed,
                                  const Patience& patience = {});

}  // namespace postrider
