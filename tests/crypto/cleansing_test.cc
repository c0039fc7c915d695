#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <fstream>

#include "engine/crypto/file_key_service.h"
#include "engine/crypto/tenant_keys.h"
#include "tests/crypto/scratch_dir.h"

namespace postrider::crypto {
namespace {

class FixedClock final : public Clock {
 public:
  WallTime wall() const override { return {}; }
  SteadyTime steady() const override { return {}; }
};

// The key's bytes, each turned over: so that looking for the key does not find what we look for it with.
using Masked = std::array<unsigned char, kKeyBytes>;
constexpr unsigned char kMask = 0xa5;

bool stands_at(const unsigned char* at, const Masked& key) {
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (at[i] != static_cast<unsigned char>(key[i] ^ kMask)) return false;
  }
  return true;
}

// How often the key stands in the heap of this process.
int copies_in_memory(const Masked& key) {
  int copies = 0;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t begin = 0, end = 0;
    if (line.find("[heap]") == std::string::npos ||
        std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR, &begin, &end) != 2) {
      continue;
    }
    const auto* const last = reinterpret_cast<const unsigned char*>(end) - key.size();
    for (const auto* at = reinterpret_cast<const unsigned char*>(begin); at <= last; ++at) {
      if (stands_at(at, key)) ++copies;
    }
  }
  return copies;
}

TEST(Cleansing, ADestroyedKeyStandsNowhereInMemory) {
  const ScratchDir dir;
  ASSERT_TRUE(make_key_file(dir / "key"));
  auto service = open_file_key_service(dir / "key").value();
  const FixedClock clock;
  TenantKeys keys(Environment("development"), *service, clock);

  Masked masked{};
  RandomBytes().fill(masked);
  WrappedKeyFact fact;
  fact.tenant = TenantId("acme");
  fact.key_id = "key_1";
  fact.service = service->name();
  {
    std::string bytes;
    bytes.reserve(kKeyBytes);
    for (const unsigned char c : masked) bytes.push_back(static_cast<char>(c ^ kMask));
    const Secret key(std::move(bytes));
    Associated associated;
    associated.add("postrider-tenant-key-v1").add("development").add("acme").add("key_1");
    fact.wrapped = service->wrap(key.reveal(), associated.view()).value();
    ASSERT_GT(copies_in_memory(masked), 0) << "the search finds nothing that is there";
  }
  EXPECT_EQ(copies_in_memory(masked), 0) << "a Secret left its bytes behind";
  keys.apply(fact);
  ASSERT_TRUE(keys.seal({Environment("development"), TenantId("acme"), "", "payload"}, "x"));
  EXPECT_GT(copies_in_memory(masked), 0) << "the key schedule begins with the key";
  fact.destroyed = true;
  keys.apply(fact);
  EXPECT_EQ(copies_in_memory(masked), 0);
}

}  // namespace
}  // namespace postrider::crypto
