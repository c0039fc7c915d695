#include "tests/log/embedded_fixture.h"

#include <stdlib.h>

#include <chrono>
#include <filesystem>

namespace postrider::log_test {

TemporaryDirectory::TemporaryDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "embedded-log-XXXXXX").string();
  if (!::mkdtemp(name.data())) throw std::runtime_error("no temporary directory");
  path_ = name;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::filesystem::remove_all(path_);
}

Result<std::string> FlippingCipher::seal(std::string_view bytes) {
  if (away) return fail(Errc::unavailable, "KEYS_AWAY", "no key service", "wait");
  std::string out = "sealed:";
  for (char c : bytes) out.push_back(static_cast<char>(~c));
  return out;
}

Result<std::string> FlippingCipher::open(std::string_view sealed) {
  if (away) return fail(Errc::unavailable, "KEYS_AWAY", "no key service", "wait");
  if (broken || !sealed.starts_with("sealed:"))
    return fail(Errc::corrupt, "SEAL_BROKEN", "does not open", "look at the key");
  std::string out;
  for (char c : sealed.substr(7)) out.push_back(static_cast<char>(~c));
  return out;
}

EmbeddedFixture::EmbeddedFixture(RecordCipher* cipher) {
  options_.directory = directory_.path() + "/log";
  options_.environment = Environment("development");
  options_.partitions = 3;
  options_.cipher = cipher;
  options_.cleaning_every = Millis(0);
  options_.wall = [this] { return from_ms<WallTime>(wall_ms_); };
  options_.steady = [this] {
    const auto real = std::chrono::steady_clock::now().time_since_epoch();
    return from_ms<SteadyTime>(std::chrono::duration_cast<Millis>(real).count() + skipped_ms_);
  };
  reopen();
}

void EmbeddedFixture::reopen() {
  log_.reset();
  auto opened = open();
  if (!opened) throw std::runtime_error(opened.error().message);
  log_ = std::move(*opened);
}

void EmbeddedFixture::clean_after(Millis span) {
  advance(span);
  if (auto done = log_->clean(); !done) throw std::runtime_error(done.error().message);
}

namespace {

FlippingCipher& cipher() {
  static FlippingCipher one;
  return one;
}

// Sealed as in production: whatever the contract shows holds through the cipher too.
INSTANTIATE_TEST_SUITE_P(Embedded, LogContract,
                         testing::Values(LogKind{
                             "Embedded", [] { return std::make_unique<EmbeddedFixture>(&cipher()); }, ""}),
                         [](const auto& kind) { return kind.param.name; });

}  // namespace
}  // namespace postrider::log_test
