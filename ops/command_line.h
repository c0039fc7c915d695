#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/result.h"

// The command line of postrider-ops as a value: which verb, and what was said with it. CLI11 stays in
// command_line.cc.
namespace postrider::ops {

struct CommandLine {
  std::string verb;  // "topics create"

  // For every verb, before or after it.
  std::string api, log, environment;
  std::string token_file, ca_file;
  std::string client_cert, client_key;  // PEM files
  std::string keys;                     // the key service: opens the payloads of an embedded log
  std::string credential;               // "env:NAME" or "file:PATH": what that service wants to see
  std::string keys_ca_file;             // authority of its certificate
  std::string config;                   // postriderd's, for the verbs that need all its key services
  // keys backup, restore: the service whose key the copy lies under
  std::string under, under_credential;
  std::string actor;                          // stands in audit facts; empty: who runs this
  std::vector<std::string> kafka_properties;  // KEY=VALUE
  bool json = false;
  bool yes = false;

  // topics
  int partitions = 12;
  int replication = -1;          // -1: the broker's default
  std::string events_retention;  // "14d"; empty: the default
  int partition = -1;

  // One thing: an endpoint, a delivery, a dead letter
  std::string tenant, endpoint, id, why;
  // secrets rotate, revoke
  std::string overlap, secret;
  // endpoints verify
  std::string challenge;
  bool vouch = false;
  // endpoints apply FILE, keys new PATH, keys backup and restore FILE
  std::string file;
  bool dry_run = false, no_wait = false;

  // Which dead letters
  std::vector<std::string> ids;
  std::string type, reason, state, since, until, window;
  std::size_t limit = 100;
  double rate = 0;
  std::string job;

  // Which deliveries, besides
  std::string delivery_state, replay_state, event_id, webhook_id;

  // audit list
  std::string who, action;

  // tokens create
  std::string name, role, expires;
  std::vector<std::string> scopes;
};

// Reads the line. An exit code: there is nothing more to do, help was asked for. Errc::invalid, WRONG_USE:
// what is wrong with it; `json` is set even then.
Result<std::optional<int>> parse_command_line(int count, const char* const* arguments, CommandLine& line);

}  // namespace postrider::ops
