#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/api/http_server.h"
#include "engine/core/request_limiter.h"
#include "engine/core/retry_policy.h"
#include "engine/operations/desk.h"
#include "engine/ports/outside_tokens.h"
#include "engine/ports/service.h"

namespace postrider {

// The HTTP API of a running engine (schemas/openapi.yaml). Owns its server, whose thread is "the API's
// thread" of ports/service.h, and the workers for jobs that block (engine/operations).
//
// Everything but /healthz, /readyz and /metrics needs a bearer token; these three are open only while the
// listener is loopback, and at the listener for probes, which answers nothing else. A token is known by its
// hash alone; what it may do is remembered for half a second, so that a revoked one is out of force about
// when the registry says so. Which scope a route needs, and what a tenant's token finds there, stands in one
// table (routes.cc), which is the document's.
class Api {
 public:
  struct Options {
    Environment environment;
    HttpServer::Options server;
    RetryPolicy default_retry;  // of endpoints that name none
    RequestLimiter::Limits limits = {};
    std::optional<HttpServer::Options> probes = {};  // a listener for these three alone
    OutsideTokens* outside = nullptr;                // another authority, by which operators may come in
  };

  // `service` answers on the API's thread (post()). `desk` is used on worker threads only: give it a Random
  // of its own. `metrics` renders the Prometheus text, on the API's thread. All outlive the Api.
  Api(Service& service, Desk desk, std::function<std::string()> metrics, Options options);
  ~Api();  // stop()
  Api(const Api&) = delete;
  Api& operator=(const Api&) = delete;

  Result<void> start();
  std::uint16_t port() const;
  std::uint16_t probes_port() const;  // 0: there is none
  // Runs on the API's thread, soon; dropped after stop(). Any thread.
  void post(std::function<void()> work);
  // Finishes what is being answered, for at most `grace`; a running replay is stopped and can be resumed.
  void stop(Millis grace = Millis(5'000));

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with answers that are still awaited
};

// Every route as "GET /v1/endpoints", in the router's order.
std::vector<std::string> api_routes();

}  // namespace postrider
