// postrider-publish: one event from the command line, or many from a file, to Kafka or to a daemon's HTTP
// API. Exit codes: 0 acknowledged (and, with --wait, first outcomes known), 1 refused or an outcome is
// missing, 2 wrong use, 3 unreachable.
#include <sys/time.h>
#include <unistd.h>

#include <csignal>
#include <deque>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "producers/outcome_wait.h"
#include "producers/publish_options.h"

namespace postrider::producers {
namespace {

using nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int kDone = 0, kFailed = 1, kWrongUse = 2, kUnreachable = 3;
constexpr std::size_t kLineBytesMax = 1024 * 1024;  // 256 KiB of data in base64, attributes and slack
constexpr std::size_t kUnderWayMax = 10'000;

std::int64_t unix_ms() {
  timeval now{};
  gettimeofday(&now, nullptr);
  return static_cast<std::int64_t>(now.tv_sec) * 1000 + now.tv_usec / 1000;
}

std::string line_of(const ordered_json& object) {
  return object.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

void print_error(const Error& error, bool json, const std::string& where) {
  if (json) {
    ordered_json object{{"code", error.code},
                        {"message", where + error.message},
                        {"suggestion", error.suggestion},
                        {"retryable", error.retryable()}};
    if (error.retryable()) object["retry_after"] = 5;
    std::cerr << line_of(object) << std::endl;
  } else {
    std::cerr << "postrider-publish: " << where << error.message << " (" << error.code << ")\n  "
              << error.suggestion << std::endl;
  }
}

int exit_code_of(const Error& error) {
  if (error.code == "WRONG_USE" || error.code == "DESTINATION_INVALID" ||
      error.code == "ENVIRONMENT_INVALID" || error.code == "KAFKA_PROPERTY_INVALID") {
    return kWrongUse;
  }
  return error.retryable() ? kUnreachable : kFailed;
}

void print_published(const PublishedEvent& published, bool json) {
  if (json) {
    std::cout << line_of({{"id", published.id},
                          {"webhook_id", published.webhook_id.str()},
                          {"topic", published.topic},
                          {"partition", published.position.partition},
                          {"offset", published.position.offset}})
              << std::endl;
  } else {
    std::cout << published.id << "  " << published.webhook_id.str() << "  " << published.topic
              << " partition " << published.position.partition << " offset " << published.position.offset
              << std::endl;
  }
}

void print_outcome(const FirstOutcome& outcome, bool json) {
  if (json) {
    const bool whole = outcome.endpoint.empty();
    std::cout << line_of({{"id", outcome.event_id},
                          {"webhook_id", outcome.webhook_id.str()},
                          {"endpoint", whole ? ordered_json(nullptr) : ordered_json(outcome.endpoint)},
                          {"outcome", name_of(outcome.kind)},
                          {"text", outcome.text}})
              << std::endl;
  } else {
    std::cout << outcome.event_id << "  " << outcome.webhook_id.str() << "  "
              << (outcome.endpoint.empty() ? "" : outcome.endpoint + ": ") << outcome.text << std::endl;
  }
}

// Counts and, on a long file, a line every two seconds on standard error (a terminal's last line is
// rewritten).
class Progress {
 public:
  explicit Progress(bool json) : terminal_(isatty(STDERR_FILENO) != 0), quiet_(json && !terminal_) {}
  ~Progress() {
    if (shown_ && terminal_) std::cerr << "\n";
  }
  void acknowledged() {
    ++acknowledged_;
    show();
  }
  void refused() { ++refused_; }
  std::size_t refusals() const { return refused_; }

 private:
  void show() {
    if (quiet_ || Clock::now() < next_) return;
    next_ = Clock::now() + std::chrono::seconds(2);
    shown_ = true;
    std::cerr << (terminal_ ? "\r" : "") << "postrider-publish: " << acknowledged_ << " acknowledged, "
              << refused_ << " refused" << (terminal_ ? "" : "\n") << std::flush;
  }

  bool terminal_, quiet_;
  bool shown_ = false;
  std::size_t acknowledged_ = 0, refused_ = 0;
  Clock::time_point next_ = Clock::now() + std::chrono::seconds(2);
};

// Hands events over and prints their answers in the order in which they were handed over.
class Run {
 public:
  Run(const PublishOptions& options, Publisher& publisher)
      : options_(options), publisher_(publisher), progress_(options.json) {}

  void publish(Event event, std::string where) {
    auto id = event.id;
    under_way_.push_back({std::move(where), std::move(id), publisher_.publish(std::move(event))});
    while (!under_way_.empty() && (under_way_.size() > kUnderWayMax || answered(under_way_.front())))
      take_front();
  }
  void refuse(const Error& error, const std::string& where) {
    while (!under_way_.empty()) take_front();
    note(error, where);
  }
  void finish() {
    while (!under_way_.empty()) take_front();
  }
  // Nobody answers: the rest would only wait for the same.
  bool hopeless() const { return exit_code_ == kUnreachable; }
  int exit_code() const { return exit_code_; }
  const std::vector<PublishedEvent>& published() const { return published_; }

 private:
  struct UnderWay {
    std::string where, id;
    std::future<Result<PublishedEvent>> answer;
  };
  static bool answered(const UnderWay& one) {
    return one.answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  void take_front() {
    auto one = std::move(under_way_.front());
    under_way_.pop_front();
    auto result = one.answer.get();
    if (!result) return note(naming_drawn_id(result.error(), one.id), one.where);
    print_published(*result, options_.json);
    progress_.acknowledged();
    if (options_.wait) published_.push_back(*std::move(result));
  }

  // The event may be on the log all the same: sent again under another id it would be another event.
  Error naming_drawn_id(Error error, const std::string& id) const {
    const bool drawn = options_.file.empty() && options_.id.empty();
    if (drawn && error.retryable()) error.suggestion += "; publish it again with --id " + id;
    return error;
  }

  void note(const Error& error, const std::string& where) {
    progress_.refused();
    exit_code_ = std::max(exit_code_, exit_code_of(error));
    print_error(error, options_.json, where);
  }

  const PublishOptions& options_;
  Publisher& publisher_;
  Progress progress_;
  std::deque<UnderWay> under_way_;
  std::vector<PublishedEvent> published_;  // for --wait
  int exit_code_ = kDone;
};

// False at the end. A line beyond the limit is read over and comes back shortened, so that parsing refuses
// it.
bool next_line(std::istream& input, std::string& line) {
  line.clear();
  bool any = false;
  for (int c = input.get(); c != std::istream::traits_type::eof(); c = input.get()) {
    any = true;
    if (c == '\n') return true;
    if (line.size() < kLineBytesMax) line += static_cast<char>(c);
  }
  return any;
}

int publish_file(const PublishOptions& options, Run& run) {
  std::ifstream file;
  if (options.file != "-") file.open(options.file);
  std::istream& input = options.file == "-" ? std::cin : file;
  if (!input || input.peek() == std::istream::traits_type::eof()) {
    print_error({Errc::invalid, "WRONG_USE", "no events can be read from " + options.file,
                 "name a file with one structured CloudEvent a line"},
                options.json, "");
    return kWrongUse;
  }
  std::string line;
  for (std::size_t number = 1; !run.hopeless() && next_line(input, line); ++number) {
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const auto where = "line " + std::to_string(number) + ": ";
    auto event = event_of_line(options, line);
    event ? run.publish(*std::move(event), where) : run.refuse(event.error(), where);
  }
  return kDone;
}

int wait_for_outcomes(const PublishOptions& options, OutcomeWait& wait,
                      const std::vector<PublishedEvent>& published) {
  const Millis span(static_cast<std::int64_t>(options.wait_timeout_seconds * 1000));
  const auto missing =
      wait.wait(published, span, [&](const FirstOutcome& outcome) { print_outcome(outcome, options.json); });
  if (!missing) {
    print_error(missing.error(), options.json, "");
    return exit_code_of(missing.error());
  }
  if (*missing == 0) return kDone;
  print_error({Errc::unavailable, "WAIT_TIMEOUT",
               std::to_string(*missing) + " of " + std::to_string(published.size()) +
                   " events still miss a first outcome",
               "see postrider-ops deliveries show ID: an endpoint may be disabled, or no daemon running"},
              options.json, "");
  return kFailed;
}

int publish(const PublishOptions& options) {
  auto made = publisher_options(options);
  const auto failed = [&](const Error& error) {
    print_error(error, options.json, "");
    return exit_code_of(error);
  };
  if (!made) return failed(made.error());
  // What is wrong with the event is said before anything is sent, or even connected.
  std::optional<Event> event;
  if (options.file.empty()) {
    auto described = event_of(options, unix_ms());
    if (!described) return failed(described.error());
    if (auto checked = check_event(*described, made->environment); !checked) return failed(checked.error());
    event = *std::move(described);
  }
  auto publisher = open_publisher(*made);
  if (!publisher) return failed(publisher.error());
  std::unique_ptr<OutcomeWait> wait;
  if (options.wait) {
    auto opened = open_outcome_wait(*made);
    if (!opened) return failed(opened.error());
    wait = *std::move(opened);
  }
  Run run(options, **publisher);
  if (event) {
    run.publish(*std::move(event), "");
  } else if (const int code = publish_file(options, run); code != kDone) {
    return code;
  }
  run.finish();
  const int waited = wait ? wait_for_outcomes(options, *wait, run.published()) : kDone;
  return std::max(run.exit_code(), waited);
}

}  // namespace
}  // namespace postrider::producers

int main(int count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);
  postrider::producers::PublishOptions options;
  const auto parsed = postrider::producers::parse_command_line(count, arguments, options);
  if (!parsed) {
    postrider::producers::print_error(parsed.error(), options.json, "");
    return postrider::producers::kWrongUse;
  }
  return *parsed ? **parsed : postrider::producers::publish(options);
}
