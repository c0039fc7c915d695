#pragma once
#include <optional>
#include <string>
#include <vector>

#include "producers/publisher.h"

// The command line of postrider-publish as a value.
namespace postrider::producers {

struct PublishOptions {
  std::string to, environment, tenant, type;
  std::string id, source, subject, content_type;
  std::vector<std::string> attributes;  // NAME=VALUE
  std::string data;                     // a file, or "-"
  std::string file;                     // events, one a line; or "-"
  std::string token_file, ca_file;
  std::string client_cert, client_key;        // PEM files
  std::vector<std::string> kafka_properties;  // KEY=VALUE
  bool wait = false, json = false;
  double wait_timeout_seconds = 60;
};

// Reads the line. An exit code when there is nothing more to do: help was asked for. `json` is set even if
// the line is wrong.
Result<std::optional<int>> parse_command_line(int count, char** arguments, PublishOptions& options);

// Errc::invalid: what is wrong with the use of it.
Result<PublisherOptions> publisher_options(const PublishOptions& options);
// The one event that the options describe: its id drawn, its time now, its data read.
Result<Event> event_of(const PublishOptions& options, std::int64_t now_ms);
// A line of --file: a structured CloudEvent; tenant and source where it has none are the options'.
Result<Event> event_of_line(const PublishOptions& options, std::string_view line);

}  // namespace postrider::producers
