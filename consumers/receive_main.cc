// postrider-receive: a receiver to try webhooks with. Verifies, answers as told, prints a line for each and
// keeps a record that scripts can read. It sees nothing of the engine: what it knows of a webhook is what a
// customer knows.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "consumers/receiver.h"

namespace {

using nlohmann::ordered_json;
using postrider_receive::Answer;
using postrider_receive::Arrival;
using postrider_receive::Failure;

constexpr int kDone = 0, kFailed = 1, kWrongUse = 2;

struct Options {
  std::string listen = "127.0.0.1:0";
  std::vector<std::string> secrets;
  std::vector<std::string> tls;
  std::string answer = "200";
  std::vector<std::string> answer_first;
  std::optional<long> retry_after;
  std::string record;
  bool json = false;
};

// "2026-01-31T12:00:00.123Z"
std::string rfc3339(std::int64_t unix_ms) {
  const std::time_t seconds = unix_ms / 1000;
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char day[32], text[48];
  std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text, sizeof text, "%s.%03dZ", day, static_cast<int>(unix_ms % 1000));
  return text;
}

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const auto length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                                      webhooks::detail::bytes_of(bytes), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(length));
  return text;
}

// Headers and bodies are a stranger's: nothing of theirs steers the terminal.
std::string printable(std::string text) {
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c < 0x20 || c == 0x7F; }, '?');
  return text;
}

std::string answer_text(const Answer& answer) {
  switch (answer.kind) {
    case Answer::Kind::hang:
      return "left hanging";
    case Answer::Kind::reset:
      return "reset";
    case Answer::Kind::status:
      return "answered " + std::to_string(answer.status);
  }
  return {};
}

// ce-type in binary mode, "type" of the body in structured mode, "event" in a plain webhook.
std::string event_type(const Arrival& arrival) {
  for (const auto& [name, value] : arrival.headers) {
    if (name == "ce-type") return value;
  }
  const auto body = nlohmann::json::parse(arrival.body, nullptr, false);
  if (body.is_object() && body.contains("type") && body["type"].is_string()) return body["type"];
  return "event";
}

ordered_json record_of(const Arrival& arrival) {
  ordered_json headers = ordered_json::object();
  for (const auto& [name, value] : arrival.headers) {
    headers[name] = headers.contains(name) ? headers[name].get<std::string>() + ", " + value : value;
  }
  const bool number = !arrival.timestamp.empty() && arrival.timestamp.size() <= 12 &&
                      std::all_of(arrival.timestamp.begin(), arrival.timestamp.end(),
                                  [](char c) { return c >= '0' && c <= '9'; });
  ordered_json record;
  record["at"] = rfc3339(arrival.at_ms);
  record["webhook_id"] = arrival.webhook_id;
  record["timestamp"] = number ? ordered_json(std::stoll(arrival.timestamp)) : ordered_json(nullptr);
  record["verified"] = arrival.verified();
  record["repeat"] = arrival.repeat;
  record["status"] = arrival.answer.status;
  record["headers"] = std::move(headers);
  record["body_base64"] = base64(arrival.body);
  return record;
}

std::string line_of(const ordered_json& record) {
  return record.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

void print_plain(const Arrival& arrival) {
  const auto clock = rfc3339(arrival.at_ms).substr(11, 12);
  std::cout << clock << "  " << printable(event_type(arrival)) << "  "
            << (arrival.webhook_id.empty() ? "(no webhook-id)" : printable(arrival.webhook_id)) << "  ";
  if (!arrival.verified()) {
    std::cout << "NOT VERIFIED: " << webhooks::explain(arrival.verdict);
  } else {
    std::cout << (!arrival.challenge.empty() ? "verified, a challenge: given back"
                  : arrival.repeat           ? "verified, a repeat: dropped"
                                             : "verified");
  }
  std::cout << ", " << answer_text(arrival.answer) << std::endl;
}

int report(const Failure& failure, bool json) {
  if (json) {
    std::cerr << ordered_json{{"code", failure.code},
                              {"message", failure.message},
                              {"suggestion", failure.suggestion},
                              {"retryable", false}}
                     .dump()
              << "\n";
  } else {
    std::cerr << "postrider-receive: " << failure.message << " (" << failure.code << ")\n  "
              << failure.suggestion << "\n";
  }
  return failure.usage ? kWrongUse : kFailed;
}

Failure wrong(std::string code, std::string message, std::string suggestion) {
  return {true, std::move(code), std::move(message), std::move(suggestion)};
}

// "env:NAME" or "file:PATH", the text without the line's end. Never a secret itself: those stand in no
// command line.
std::optional<Failure> read_secret(const std::string& from, std::string& secret) {
  if (from.rfind("env:", 0) == 0) {
    const char* value = std::getenv(from.c_str() + 4);
    if (!value) return wrong("SECRET_MISSING", "the variable " + from.substr(4) + " is not set", "export it");
    secret = value;
  } else if (from.rfind("file:", 0) == 0) {
    std::ifstream file(from.substr(5));
    if (!std::getline(file, secret)) {
      return wrong("SECRET_MISSING", "cannot read a secret from " + from.substr(5),
                   "check path and permissions");
    }
  } else {
    return wrong("SECRET_SPELLING", "--secret takes env:NAME or file:PATH, not the secret itself",
                 "put the secret into a variable or a file");
  }
  while (!secret.empty() && (secret.back() == '\r' || secret.back() == ' ' || secret.back() == '\n'))
    secret.pop_back();
  return std::nullopt;
}

std::optional<Failure> add_secrets(const Options& options, webhooks::Verifier& verifier) {
  for (const auto& from : options.secrets) {
    std::string secret;
    if (auto failure = read_secret(from, secret)) return failure;
    const bool added = verifier.add_secret(secret);
    OPENSSL_cleanse(secret.data(), secret.size());
    if (!added) {
      return wrong("SECRET_MALFORMED", "what " + from + " holds is no signing secret",
                   "it starts with whsec_, whpk_ or whsk_, and base64 follows");
    }
  }
  return std::nullopt;
}

// "HOST:PORT", "[::1]:PORT", ":PORT" or "PORT".
std::optional<Failure> parse_listen(const std::string& text, postrider_receive::ReceiverOptions& options) {
  const auto colon = text.rfind(':');
  std::string host = colon == std::string::npos ? "" : text.substr(0, colon);
  const std::string port = colon == std::string::npos ? text : text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  const bool digits =
      !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string::npos;
  if (!digits || std::stoi(port) > 65535) {
    return wrong("LISTEN_SPELLING", "--listen takes ADDRESS:PORT, not " + printable(text),
                 "for example --listen 127.0.0.1:9000; port 0 takes a free one");
  }
  options.host = host.empty() ? "127.0.0.1" : host;
  options.port = static_cast<std::uint16_t>(std::stoi(port));
  return std::nullopt;
}

std::optional<Failure> parse_plan(const Options& options,
                                  std::optional<postrider_receive::AnswerPlan>& plan) {
  const auto usual = postrider_receive::parse_answer(options.answer);
  if (!usual) {
    return wrong("ANSWER_SPELLING", "--answer takes a status from 200 to 599, hang or reset",
                 "for example --answer 503");
  }
  std::vector<postrider_receive::FirstAnswers> first;
  for (const auto& text : options.answer_first) {
    const auto parsed = postrider_receive::parse_first_answers(text);
    if (!parsed) {
      return wrong("ANSWER_SPELLING", "--answer-first takes N:CODE, not " + printable(text),
                   "for example --answer-first 2:503");
    }
    first.push_back(*parsed);
  }
  plan.emplace(*usual, std::move(first));
  return std::nullopt;
}

std::optional<Failure> receive(const Options& options) {
  webhooks::Verifier verifier;
  postrider_receive::ReceiverOptions where;
  std::optional<postrider_receive::AnswerPlan> plan;
  if (auto failure = add_secrets(options, verifier)) return failure;
  if (auto failure = parse_listen(options.listen, where)) return failure;
  if (auto failure = parse_plan(options, plan)) return failure;
  if (!options.tls.empty()) where.certificate = options.tls[0], where.key = options.tls[1];
  where.retry_after_seconds = options.retry_after;

  std::ofstream record;
  if (!options.record.empty()) {
    record.open(options.record, std::ios::app);
    if (!record)
      return wrong("RECORD_UNWRITABLE", "cannot write " + options.record, "choose another --record file");
  }
  postrider_receive::Receiver receiver(where, verifier, *plan, [&](const Arrival& arrival) {
    const bool needed = record.is_open() || options.json;
    const auto line = needed ? line_of(record_of(arrival)) : std::string();
    if (record.is_open()) record << line << std::endl;
    options.json ? void(std::cout << line << std::endl) : print_plain(arrival);
  });
  if (auto failure = receiver.listen()) return failure;
  if (options.json) {
    std::cout << ordered_json{{"listening", receiver.url()}}.dump() << std::endl;
  } else {
    std::cout << "listening on " << receiver.url() << std::endl;
  }
  receiver.run();
  return std::nullopt;
}

void declare(CLI::App& app, Options& options) {
  app.set_version_flag("--version", "postrider-receive 0.1.0");
  app.add_option("--listen", options.listen, "ADDRESS:PORT; port 0 takes a free one and prints it")
      ->capture_default_str();
  app.add_option("--secret", options.secrets,
                 "env:NAME or file:PATH of a whsec_, whpk_ or whsk_ secret; repeatable")
      ->required()
      ->allow_extra_args(false);
  app.add_option("--tls", options.tls, "certificate and private key, two PEM files: serve HTTPS")
      ->expected(2)
      ->type_name("CERT KEY");
  app.add_option("--answer", options.answer, "a status, hang or reset: the answer to verified webhooks")
      ->capture_default_str();
  app.add_option(
         "--answer-first", options.answer_first,
         "N:CODE, the answer to the first N arrivals of each webhook-id; repeatable, one after the other")
      ->allow_extra_args(false);
  app.add_option("--retry-after", options.retry_after,
                 "seconds, sent as Retry-After with answers that are not 2xx")
      ->check(CLI::Range(0L, 1'000'000'000L));
  app.add_option("--record", options.record, "append each webhook to this file, one JSON object a line");
  app.add_flag("--json", options.json, "print those objects instead of plain lines");
}

}  // namespace

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  CLI::App app("Receives webhooks: verifies them, drops repeats, and answers as it is told.",
               "postrider-receive");
  Options options;
  declare(app, options);
  try {
    app.parse(count, arguments);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // help, version
    const bool json = std::any_of(arguments, arguments + count,
                                  [](const char* text) { return text == std::string("--json"); });
    return report(wrong("WRONG_USE", error.what(), "--help lists the options"), json);
  }
  const auto failure = receive(options);
  return failure ? report(*failure, options.json) : kDone;
}
