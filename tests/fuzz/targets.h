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

// A receiver's answer: however the bytes are cut, the same outcome, within its limits.
void answer(std::string_view bytes);
// A receiver's Retry-After and rate limits: never before the policy's own delay, never beyond the lifetime.
void rate_limit(std::string_view bytes);
// Events in every mode, batches too: what is read and written again is read alike; JSON beside nlohmann's.
void event(std::string_view bytes);
// Every kind of stored record: what decodes is written again as the same record.
void facts(std::string_view bytes);
// The customer's verifier: what was signed verifies, what was changed does not.
void verifier(std::string_view bytes);
// The API's reader of requests: however the bytes are cut, the same requests.
void http(std::string_view bytes);
// The API's routes over a service in memory: answered once, never by a fault of ours, and of other tenants
// nothing.
void api(std::string_view bytes);
// JSON Schemas and data: bounded, and the same data are judged alike.
void schema(std::string_view bytes);
// The configuration file: no refusal tells a secret, and what is printed is taken again.
void toml(std::string_view bytes);

struct Target {
  std::string_view name;  // of its corpus too: tests/fuzz/corpus/NAME
  void (*run)(std::string_view bytes);
};
inline constexpr Target kTargets[] = {
    {"url", &url},     {"headers", &headers}, {"answer", &answer},     {"rate_limit", &rate_limit},
    {"event", &event}, {"facts", &facts},     {"verifier", &verifier}, {"http", &http},
    {"api", &api},     {"schema", &schema},   {"toml", &toml}};

[[noreturn]] void broken(std::string_view what, std::string_view bytes);

}  // namespace postrider::fuzz
