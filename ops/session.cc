#include "ops/session.h"

#include <pwd.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iostream>

#include "engine/crypto/random_bytes.h"
#include "engine/daemon/system_clock.h"

namespace postrider::ops {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// The user who runs this, for the audit: by the system, not by a variable that anyone sets.
std::string user_name() {
  const passwd* entry = getpwuid(getuid());
  return entry ? entry->pw_name : "uid-" + std::to_string(getuid());
}

Result<Secret> read_token(const CommandLine& line) {
  std::string token = variable("POSTRIDER_TOKEN");
  if (!line.token_file.empty()) {
    std::ifstream file(line.token_file);
    token.clear();
    if (!std::getline(file, token))
      return wrong_use("no token can be read from " + line.token_file, "check its path and permissions");
  }
  while (token.ends_with(' ') || token.ends_with('\r') || token.ends_with('\n')) token.pop_back();
  for (const char c : token)
    if (static_cast<unsigned char>(c) <= 0x20 || static_cast<unsigned char>(c) >= 0x7F)
      return wrong_use("the token holds a character that no token has",
                       "give the file that holds the token alone");
  return Secret(std::move(token));
}

}  // namespace

struct Session::Parts {
  crypto::SystemRandom random;
  SystemClock clock;
  std::unique_ptr<Desk> desk;
};

Session::Session(CommandLine line)
    : line_(std::move(line)), out_(line_.json), parts_(std::make_unique<Parts>()) {
  if (line_.api.empty() && line_.log.empty()) line_.api = variable("POSTRIDER_API");
  if (line_.environment.empty()) line_.environment = variable("POSTRIDER_ENVIRONMENT");
  if (line_.keys.empty()) line_.keys = variable("POSTRIDER_KEYS_SERVICE");
  if (line_.credential.empty()) line_.credential = variable("POSTRIDER_KEYS_CREDENTIAL");
  if (line_.keys_ca_file.empty()) line_.keys_ca_file = variable("POSTRIDER_KEYS_CA_FILE");
  if (line_.actor.empty()) line_.actor = user_name();
}

Session::~Session() = default;

Result<ApiClient*> Session::api() {
  if (api_) return api_.get();
  if (line_.api.empty())
    return wrong_use("`" + line_.verb + "` asks a daemon, and none is named",
                     "give --api http://127.0.0.1:8080, or as the daemon's `listen` has it");
  auto token = read_token(line_);
  if (!token) return fail(token.error());
  auto opened = ApiClient::open(
      {line_.api, *std::move(token), line_.actor, line_.ca_file, line_.client_cert, line_.client_key});
  if (!opened) return fail(opened.error());
  api_ = *std::move(opened);
  return api_.get();
}

Result<Desk*> Session::desk(Events events) {
  if (parts_->desk) return parts_->desk.get();
  auto environment = environment_of(line_);
  auto opened = open_log(line_, events);
  if (!opened) return fail(opened.error());
  if (!environment) return fail(environment.error());
  log_ = std::make_unique<OpenedLog>(*std::move(opened));
  parts_->desk.reset(new Desk{*log_->client, *environment, parts_->random, parts_->clock});
  return parts_->desk.get();
}

Actor Session::actor() const {
  return {.name = line_.actor, .token_id = {}, .correlation_id = {}};
}

std::int64_t Session::now_ms() const {
  return to_ms(parts_->clock.wall());
}

std::uint64_t Session::random() {
  return parts_->random.next();
}

Result<void> Session::needs_yes(const std::string& what) const {
  if (line_.yes) return {};
  return wrong_use(what, "read ops/runbook.md; then run it again with --yes");
}

bool Session::ask(const std::string& question) const {
  if (line_.yes || line_.json || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) return true;
  std::cerr << question << " [y/N] " << std::flush;
  std::string answer;
  return std::getline(std::cin, answer) && (answer == "y" || answer == "Y" || answer == "yes");
}

}  // namespace postrider::ops
