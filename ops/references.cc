#include "ops/references.h"

#include <cstdlib>
#include <fstream>

namespace postrider::ops {
namespace {

constexpr std::string_view kEnv = "env:", kFile = "file:";
constexpr std::size_t kBytesMax = 64 * 1024;

tl::unexpected<Error> missing(std::string message, std::string suggestion) {
  return fail(Errc::invalid, "SECRET_MISSING", std::move(message), std::move(suggestion));
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content(kBytesMax + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  const bool whole = file.eof() && !file.bad();
  content.resize(static_cast<std::size_t>(file.gcount()));
  if (!whole)
    return missing("cannot read a secret from the file " + path, "check its path, permissions and size");
  return content;
}

}  // namespace

bool is_reference(std::string_view text) {
  return (text.starts_with(kEnv) && text.size() > kEnv.size()) ||
         (text.starts_with(kFile) && text.size() > kFile.size());
}

Result<Secret> read_reference(std::string_view reference) {
  std::string value;
  if (reference.starts_with(kEnv)) {
    const std::string name(reference.substr(kEnv.size()));
    const char* set = std::getenv(name.c_str());
    if (!set)
      return missing("the variable " + name + " is not set", "export " + name + " and run this again");
    value = set;
  } else {
    auto content = read_file(std::string(reference.substr(kFile.size())));
    if (!content) return fail(content.error());
    value = *std::move(content);
  }
  while (value.ends_with('\n') || value.ends_with('\r') || value.ends_with(' ')) value.pop_back();
  if (value.empty()) return missing(std::string(reference) + " is empty", "write the secret into it");
  return Secret(std::move(value));
}

}  // namespace postrider::ops
