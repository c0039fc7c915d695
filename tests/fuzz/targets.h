#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

// What is fuzzed: each takes any bytes, and ends the process by broken() where what must hold does not. The
// fuzzers (tests/fuzz/run) call them under libFuzzer; the unit tests replay the corpora that those have
// found.
namespace postrider::fuzz {

// The strict parser: what it reads, libcurl reads alike, and the system's resolver dials as we judge it.
void url(std::string_view bytes);
// A customer's headers: what passes goes out as just these headers. Input: (length, name, length, value)…,
// each length one byte.
void headers(std::string_view bytes);

struct Target {
  std::string_view name;  // of its corpus too: tests/fuzz/corpus/NAME
  void (*run)(std::string_view bytes);
};
inline constexpr Target kTargets[] = {{"url", &url}, {"headers", &headers}};

[[noreturn]] void broken(std::string_view what, std::string_view bytes);

}  // namespace postrider::fuzz
