#pragma once
#include <optional>
#include <string>
#include <vector>

#include "engine/core/ids.h"
#include "engine/core/result.h"

// The file that declares an environment's endpoints (TOML):
//
//   environment = "production"
//
//   [[endpoint]]
//   tenant  = "acme"
//   id      = "orders"
//   url     = "https://hooks.acme.example/orders"
//   types   = ["order.*"]                          # default: all
//   retry   = "standard"                           # or "quick", "patient", or delays: ["5s", "5m"]
//   scheme  = "standard-webhooks"                  # or "x-webhook"
//   format  = "binary"                             # or "structured"
//   secrets = ["env:ACME_SECRET", "file:acme.key"] # none: one is made, and shown once
//   limits  = { concurrency = 16, queue_max = 1000, rate_per_second = 50 }
//
// Its grammar is judged here, and what its values mean by the daemon, which judges them for every door. No
// secret may stand in it.
namespace postrider::ops {

struct EndpointDeclaration {
  std::string tenant, id, url;
  // Absent ones are left to the daemon's defaults.
  std::optional<std::vector<std::string>> types;
  std::optional<std::vector<std::string>> retry;
  std::optional<std::string> scheme, format;
  struct {
    std::optional<std::int64_t> concurrency, queue_max;
    std::optional<double> rate_per_second;
    bool any() const { return concurrency || queue_max || rate_per_second; }
  } limits;
  std::vector<std::string> secrets;  // references: "env:NAME", "file:PATH"
  std::string place;                 // "endpoints.toml line 3": for errors
};

struct EndpointsFile {
  std::string environment;
  std::vector<EndpointDeclaration> endpoints;  // in the file's order
};

// `name` stands in errors, which tell the line and the key, never a value. INVALID_ENDPOINTS_FILE: no TOML,
// an unknown or missing key, a wrong type, an endpoint twice. SECRET_IN_FILE: something spelt like a signing
// secret stands in it, or `secrets` holds what is no reference.
Result<EndpointsFile> parse_endpoints_file(const std::string& text, const std::string& name);
// "-": standard input.
Result<EndpointsFile> read_endpoints_file(const std::string& path);

}  // namespace postrider::ops
