// The configuration file of a daemon: any text. What is refused is refused by line, and without the secrets
// that stand in the process's variables; what is taken and printed is taken again.
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "engine/config/config.h"
#include "engine/config/toml_file.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

constexpr std::string_view kCanary = "canary-8f3a-of-a-secret";

bool holds(std::string_view text) {
  return text.find(kCanary) != std::string_view::npos;
}

// In memory where there is such a place.
const std::string& file_for(std::string_view text) {
  static const std::string path = (access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") +
                                  std::string("/postrider-fuzz-") + std::to_string(getpid()) + ".toml";
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  return path;
}

void judge_refusal(const Error& error, std::string_view bytes) {
  if (error.code.empty() || error.message.empty() || error.suggestion.empty())
    broken("a configuration is refused without code, message or suggestion", bytes);
  if (!holds(bytes) && (holds(error.message) || holds(error.suggestion)))
    broken("a refusal tells a secret", bytes);
}

}  // namespace

void toml(std::string_view bytes) {
  const std::string text(bytes);
  const auto settings = config::parse_toml(text, "postrider.toml");
  if (!settings) {
    judge_refusal(settings.error(), bytes);
    // A line's number and what is wrong there; a value may be a secret.
    if (holds(settings.error().message)) broken("a refusal repeats what stands in the file", bytes);
  }
  // Files that values refer to are this machine's: none is read.
  if (text.find("file") != std::string::npos) return;
  const Variables variables = {{"SECRET", std::string(kCanary)},
                               {"POSTRIDER_KEYS_SERVICE", "file:/nowhere/key"}};
  const auto config = load(file_for(bytes), variables);
  if (!config) return judge_refusal(config.error(), bytes);
  const auto printed = print(*config);
  if (!holds(bytes) && holds(printed)) broken("a printed configuration tells a secret", bytes);
  const auto again = load(file_for(printed), variables);
  unlink(file_for("").c_str());
  if (!again) {
    if (printed.find("(hidden)") == std::string::npos) broken("what is printed is not taken again", printed);
  } else if (print(*again).size() == 0) {
    broken("nothing is printed", bytes);
  }
}

}  // namespace postrider::fuzz
