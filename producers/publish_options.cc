#include "producers/publish_options.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>

#include "engine/core/utf8.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/json_text.h"

namespace postrider::producers {
namespace {

tl::unexpected<Error> wrong_use(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "WRONG_USE", std::move(message), std::move(suggestion));
}

// How long a pipe's writer may take to show that it has something for us.
constexpr int kPipeWaitMs = 100;

void declare(CLI::App& app, PublishOptions& options) {
  app.set_version_flag("--version", "postrider-publish 0.1.0");
  app.footer(
      "Exit codes: 0 acknowledged, and with --wait every first outcome is known, a failed one too;\n"
      "1 refused, or an outcome was not known in time; 2 wrong use; 3 unreachable.");
  app.add_option("--to", options.to, "kafka://host:port,… or http(s)://host:port of a daemon")->required();
  app.add_option("--environment", options.environment, "whose topics; required for kafka://");
  app.add_option("--tenant", options.tenant, "the customer; with --file, of events that name none");
  app.add_option("--type", options.type, "for example order.created");
  app.add_option("--id", options.id, "of the event; publishing an id again is a repeat [random]");
  app.add_option("--source", options.source, "where it comes from, a URI reference [/postrider-publish]");
  app.add_option("--subject", options.subject, "what it is about");
  app.add_option("--content-type", options.content_type, "of the data [found out: JSON, text or bytes]");
  app.add_option("--attribute", options.attributes, "NAME=VALUE, an extension attribute; repeatable")
      ->allow_extra_args(false);
  app.add_option("--data", options.data,
                 "a file with the event's data; - reads standard input; without it the event has none");
  app.add_option("--file", options.file,
                 "many events: one structured CloudEvent (JSON) a line; - reads standard input");
  app.add_flag("--wait", options.wait, "until every delivery of it has its first outcome, and print those");
  app.add_option("--wait-timeout", options.wait_timeout_seconds, "seconds")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  app.add_flag("--json", options.json, "print one JSON object a line");
  app.add_option("--token-file", options.token_file, "bearer token for http [POSTRIDER_TOKEN]");
  app.add_option("--ca", options.ca_file, "PEM of a private authority, for https");
  app.add_option("--client-cert", options.client_cert, "PEM of our certificate, where https asks for one");
  app.add_option("--client-key", options.client_key, "PEM of its private key");
  app.add_option("-X", options.kafka_properties,
                 "KEY=VALUE, a librdkafka property; env:NAME and file:PATH are read")
      ->allow_extra_args(false);
}

Result<std::pair<std::string, std::string>> split(const std::string& text, const char* option) {
  const auto equals = text.find('=');
  if (equals == 0 || equals == std::string::npos) {
    return wrong_use(std::string(option) + " takes NAME=VALUE",
                     "write the name, an equals sign and the value");
  }
  return std::pair{text.substr(0, equals), text.substr(equals + 1)};
}

Result<std::string> token(const PublishOptions& options) {
  std::string text;
  if (!options.token_file.empty()) {
    std::ifstream file(options.token_file);
    if (!std::getline(file, text)) {
      return wrong_use("no token can be read from " + options.token_file, "check its path and permissions");
    }
  } else if (const char* variable = std::getenv("POSTRIDER_TOKEN")) {
    text = variable;
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\n')) text.pop_back();
  return text;
}

// What a regular file still holds; nullopt: it is none.
std::optional<off_t> bytes_in_file(const std::string& path) {
  struct stat found {};
  const bool input = path == "-";
  const int failed = input ? fstat(STDIN_FILENO, &found) : stat(path.c_str(), &found);
  if (failed != 0 || !S_ISREG(found.st_mode)) return std::nullopt;
  return found.st_size - (input ? lseek(STDIN_FILENO, 0, SEEK_CUR) : 0);
}

// Bytes on standard input, in a file or a pipe, that no option asks for.
bool input_waits() {
  if (const auto bytes = bytes_in_file("-")) return *bytes > 0;
  struct stat found {};
  if (fstat(STDIN_FILENO, &found) != 0 || !S_ISFIFO(found.st_mode)) return false;
  pollfd pipe{STDIN_FILENO, POLLIN, 0};
  int bytes = 0;
  return poll(&pipe, 1, kPipeWaitMs) == 1 && ioctl(STDIN_FILENO, FIONREAD, &bytes) == 0 && bytes > 0;
}

Result<std::string> read_data(const std::string& path) {
  std::ifstream file;
  if (path != "-") file.open(path, std::ios::binary);
  std::istream& input = path == "-" ? std::cin : file;
  if (!input) return wrong_use("cannot read " + path, "check its path and permissions");
  const auto size = bytes_in_file(path);  // before it is read
  std::string data(kEventDataBytesMax + 1, '\0');
  input.read(data.data(), static_cast<std::streamsize>(data.size()));
  data.resize(static_cast<std::size_t>(input.gcount()));
  if (input.bad() || (path != "-" && !file.eof() && file.fail())) {
    return wrong_use("cannot read " + path, "name a file, not a folder");
  }
  if (data.size() > kEventDataBytesMax) {
    return fail(
        event_too_large(size ? std::to_string(*size) : "more than " + std::to_string(kEventDataBytesMax)));
  }
  return data;
}

std::string content_type_of(const std::string& data) {
  if (wire::is_json(data)) return "application/json";
  return is_utf8(data) ? "text/plain; charset=utf-8" : "application/octet-stream";
}

bool describes_one_event(const PublishOptions& options) {
  return !options.type.empty() || !options.id.empty() || !options.subject.empty() || !options.data.empty() ||
         !options.content_type.empty() || !options.attributes.empty();
}

bool is_lower_case_name(std::string_view name) {
  return std::all_of(name.begin(), name.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
}

Result<void> add_attributes(const PublishOptions& options, Event& event) {
  for (const auto& text : options.attributes) {
    auto pair = split(text, "--attribute");
    if (!pair) return fail(pair.error());
    if (!is_lower_case_name(pair->first)) {
      return wrong_use(
          "--attribute " + pair->first + ": names are lower-case letters and digits, nothing else",
          "spell the name so");
    }
    event.extensions.push_back(*std::move(pair));
  }
  return {};
}

}  // namespace

Result<std::optional<int>> parse_command_line(int count, char** arguments, PublishOptions& options) {
  CLI::App app("Publishes CloudEvents to Postrider, and says when the log has acknowledged them.",
               "postrider-publish");
  declare(app, options);
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // help, version
    // --json may stand behind what could not be read.
    for (int i = 1; i < count; ++i) options.json = options.json || std::string_view(arguments[i]) == "--json";
    return wrong_use(error.what(), "--help lists the options");
  }
  return std::nullopt;
}

Result<PublisherOptions> publisher_options(const PublishOptions& options) {
  if (options.file.empty() && (options.tenant.empty() || options.type.empty())) {
    return wrong_use("an event needs --tenant and --type", "give both, or --file with events");
  }
  if (!options.file.empty() && describes_one_event(options)) {
    return wrong_use(
        "--file brings whole events; --type, --id, --subject, --data, --content-type and --attribute "
        "describe one",
        "leave one or the other out");
  }
  PublisherOptions made;
  made.to = options.to;
  made.environment = Environment(options.environment);
  made.ca_file = options.ca_file;
  made.client_cert = options.client_cert;
  made.client_key = options.client_key;
  auto read = token(options);
  if (!read) return fail(read.error());
  made.token = *std::move(read);
  for (const auto& text : options.kafka_properties) {
    auto pair = split(text, "-X");
    if (!pair) return fail(pair.error());
    made.kafka_properties.push_back(*std::move(pair));
  }
  return made;
}

Result<Event> event_of(const PublishOptions& options, std::int64_t now_ms) {
  Event event;
  event.id = options.id.empty() ? random_event_id() : options.id;
  event.source = options.source.empty() ? "/postrider-publish" : options.source;
  event.type = options.type;
  event.subject = options.subject;
  event.time = rfc3339(now_ms);
  event.tenant = TenantId(options.tenant);
  if (auto added = add_attributes(options, event); !added) return fail(added.error());
  if (options.data.empty() && input_waits()) {
    return wrong_use("there is something on standard input, and neither --data nor --file reads it",
                     "give --data -; for an event without data, </dev/null");
  }
  if (!options.data.empty()) {
    auto data = read_data(options.data);
    if (!data) return fail(data.error());
    event.data = *std::move(data);
    event.datacontenttype = options.content_type.empty() ? content_type_of(event.data) : options.content_type;
  }
  return event;
}

Result<Event> event_of_line(const PublishOptions& options, std::string_view line) {
  auto event = wire::parse_json(line);
  if (!event) return event;
  if (event->tenant.empty()) event->tenant = TenantId(options.tenant);
  if (event->source.empty()) event->source = options.source;
  return event;
}

}  // namespace postrider::producers
