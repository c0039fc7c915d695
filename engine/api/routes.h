#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "engine/api/api.h"
#include "engine/api/call.h"
#include "engine/api/replay_runner.h"
#include "engine/api/scans.h"
#include "engine/api/token_gate.h"
#include "engine/api/worker.h"
#include "engine/core/fact.h"
#include "engine/operations/payloads.h"

namespace postrider {

// What the handlers work with. Shared with the callbacks they leave behind.
struct Routes : std::enable_shared_from_this<Routes> {
  Routes(Service& s, Desk d, std::function<std::string()> m, Api::Options o)
      : service(s), desk(d), metrics(std::move(m)), options(std::move(o)) {}

  // One handler a route: each answers its call exactly once, soon or later.
  void get_healthz(CallPtr call);
  void get_readyz(CallPtr call);
  void get_metrics(CallPtr call);
  void post_event(CallPtr call);
  void post_batch(CallPtr call);
  void get_event(CallPtr call);
  void get_event_payload(CallPtr call);
  void test_endpoint(CallPtr call);
  void list_endpoints(CallPtr call);
  void put_endpoint(CallPtr call);
  void get_endpoint(CallPtr call);
  void get_endpoint_statistics(CallPtr call);
  void delete_endpoint(CallPtr call);
  void disable_endpoint(CallPtr call);
  void enable_endpoint(CallPtr call);
  void verify_endpoint(CallPtr call);
  void rotate_secret(CallPtr call);
  void revoke_secret(CallPtr call);
  void list_deliveries(CallPtr call);
  void list_event_types(CallPtr call);
  void put_event_type(CallPtr call);
  void get_event_type(CallPtr call);
  void delete_event_type(CallPtr call);
  void get_delivery(CallPtr call);
  void list_attempts(CallPtr call);
  void get_payload(CallPtr call);
  void list_dead_letters(CallPtr call);
  void summarize_dead_letters(CallPtr call);
  void get_dead_letter(CallPtr call);
  void get_dead_letter_payload(CallPtr call);
  void resolve_dead_letter(CallPtr call);
  void post_replay(CallPtr call);
  void list_replays(CallPtr call);
  void get_replay(CallPtr call);
  void cancel_replay(CallPtr call);
  void post_token(CallPtr call);
  void list_tokens(CallPtr call);
  void list_tenants(CallPtr call);
  void put_tenant(CallPtr call);
  void get_tenant(CallPtr call);
  void delete_tenant(CallPtr call);
  void delete_token(CallPtr call);
  void reset_token(CallPtr call);
  void list_audit(CallPtr call);

  // Runs a blocking job on the worker, or refuses the call as overloaded.
  void work(const CallPtr& call, std::function<void()> job);
  // As work(), for a job that may read much of the log, with scans.patience(); of one tenant there are few.
  void scan(const CallPtr& call, std::function<void()> job);

  // Appends an audit fact; `then`, on another thread, once the log has it. If it does not take it, the call
  // is refused (AUDIT_UNAVAILABLE), which says whether something was done already.
  enum class Untold { nothing_done, is_done };
  void tell(const CallPtr& call, AuditFact fact, Untold untold, std::function<void()> then);
  // What came of a command of the registry; `refusal`: why nothing did, which the call is answered with.
  void tell_outcome(const CallPtr& call, AuditFact fact, const Error* refusal, std::function<void()> then);
  Service::Answer<EndpointView> tell_and_show_endpoint(const CallPtr& call, AuditFact fact);
  Service::Answer<ApplyAnswer> tell_and_show_change(const CallPtr& call, AuditFact fact);
  // Finds the event that the path names; `then` on a worker's thread.
  void with_event(const CallPtr& call, std::function<void(Result<Payload>)> then);
  void show_payload(const CallPtr& call, Result<Payload> payload);
  void tell_and_show(const CallPtr& call, const std::shared_ptr<Payload>& payload);

  // Ends the threads, and waits for their jobs. From none of them, and before the last reference goes: jobs
  // hold references too, and a thread cannot wait for itself.
  void stop();

  Service& service;
  Desk desk;
  const std::function<std::string()> metrics;
  const Api::Options options;
  TokenGate gate{service, options.outside};
  Worker reader{32};  // short jobs
  Scans scans;
  ReplayRunner replays{desk};
  Worker teller{256};                               // audit facts, which wait for no look-up
  std::function<void(std::function<void()>)> post;  // to the API's thread; set before the first call
};

// What a token that is bound to a tenant finds behind a route.
enum class Sees {
  all,       // nothing there is any tenant's
  platform,  // nothing: it is for the platform's tokens
  own,       // what is its tenant's, and of others nothing; the handler narrows (Call::as_seen)
};

struct Route {
  std::string_view method, pattern;  // "/v1/tenants/{tenant}/endpoints/{id}"
  Scope scope = Scope::admin;        // that a token needs
  Sees sees = Sees::platform;
  bool open_on_loopback = false;  // else it always needs a token
  std::size_t body_bytes_max = 0;
  void (Routes::*handle)(CallPtr) = nullptr;
};
std::span<const Route> all_routes();
// A batch of events may be longer than one.
std::size_t body_bytes_max_of(const Route& route, const ApiRequest& head);

struct Match {
  const Route* route = nullptr;   // nullptr: none of that method
  std::vector<std::string> path;  // the {…}, decoded
  std::string allowed;            // methods of the path, "GET, PUT"; empty: no such path
};
Match find_route(std::string_view method, std::string_view path);

}  // namespace postrider
