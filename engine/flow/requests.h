#pragma once
#include <functional>
#include <map>
#include <string>

#include "engine/core/request_ledger.h"
#include "engine/flow/appender.h"
#include "engine/flow/context.h"
#include "engine/flow/registry_view.h"
#include "engine/ports/service.h"

namespace postrider::flow {

// Requests under an Idempotency-Key: each is begun and ended by a record of `requests`, which every instance
// follows. Who reads its own record back knows whether it runs the request or somebody did before. While it
// does, it says so each half minute: a request whose runner was killed is free after two minutes. The topic
// is followed from its beginning once the first such request has come: of the shards of a process, by the one
// that the API asks. Owned by the shard; its thread.
class Requests {
 public:
  Requests(Context& context, Appender& appender, RegistryView& registry)
      : context_(context), appender_(appender), registry_(registry) {}

  void on_tail(const Record& record);
  void tick(SteadyTime now);
  SteadyTime next_wake(SteadyTime now) const;

  void begin(RequestClaim claim, Service::Answer<ClaimedRequest> answer);
  // Answers once a repeat on this instance finds it so; `false`: the log has not acknowledged it.
  void end(RequestEnd end, Service::Answer<bool> answer);
  Result<Secret> open(const TenantId& tenant, std::string_view sealed);

 private:
  void follow();
  void append(const RequestFact& fact, std::function<void(Result<LogTime>)> read_back);
  void judge(const RequestFact& fact, LogTime appended, const Service::Answer<ClaimedRequest>& answer);
  void write_end(RequestEnd end, const Service::Answer<bool>& answer);
  SealContext seal_context(const TenantId& tenant) const;

  struct UnderWay {
    RequestFact fact;
    SteadyTime tell_at;
  };
  Context& context_;
  Appender& appender_;
  RegistryView& registry_;
  RequestLedger ledger_;
  bool follows_ = false;
  Offset applied_ = 0;
  LogTimeEstimate log_time_;                   // by our own records of this topic
  std::map<std::string, UnderWay> under_way_;  // by run: what this instance runs
  // Acknowledged or not, waiting for our own record to come by: by offset.
  std::multimap<Offset, std::function<void()>> own_;
};

}  // namespace postrider::flow
