#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/operations/dead_letters.h"

namespace postrider {

// A replay is a publish (DESIGN §3): the event goes to `events` again, for its one target, under a job's
// random id and the same webhook-id; its sealed payload travels unopened, so that no key is needed here.
struct ReplayRequest {
  // Which ones: `ids` of any state, or else the open ones that match. One of both must select something.
  DeadLetterFilter filter;
  bool dry_run = false;  // counts only
  double rate = 0;       // replays a second; 0: as fast as the log takes them
  ReplayJobId job;  // resumes that job, which repeats nothing; empty: a new one. With its own filter again
  // The name of a new job; empty: a random one. If it was begun before, by a run that was cut off, it is
  // resumed.
  ReplayJobId named;
  Actor actor;
  TenantId within;  // what belongs to others is as if it were not there; empty: every tenant
};

struct ReplayReport {
  ReplayJobId job;
  std::uint64_t matched = 0;
  std::uint64_t replayed = 0;
  std::uint64_t done_before = 0;  // by this job, before it was resumed
  struct Skipped {
    DeliveryId delivery;
    std::string why;  // "bad_event": it never was a delivery; "payload_lost"; "not_found"
  };
  std::vector<Skipped> skipped;  // the first hundred
  std::uint64_t skipped_count = 0;
  bool finished = true;  // false: it was stopped; resume it with `job`
};

// INVALID_REQUEST: nothing is selected, ids and a filter both are, or the job's selection was another one.
// NOT_FOUND: there was no such job.
// Blocks until done or `stop` is set; `progress` is called after each. One audit fact, before the first
// append. Each replay is acknowledged before its mark is written: a crash in between repeats one, and the
// job's id makes that a repeat that the engine drops.
Result<ReplayReport> replay(Desk& desk, const ReplayRequest& request, const std::atomic<bool>& stop,
                            const std::function<void(const ReplayReport&)>& progress = {});

}  // namespace postrider
