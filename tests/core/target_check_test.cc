#include "engine/core/target_check.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

std::string refused(const AddressPolicy& policy, const std::string& url, std::vector<std::string> addresses) {
  std::vector<IpAddress> parsed;
  for (const std::string& address : addresses) parsed.push_back(*parse_ip(address));
  const auto error = target_refusal(policy, *parse_url(url), parsed);
  if (!error) return "";
  EXPECT_EQ(error->code, "TARGET_DENIED");
  EXPECT_FALSE(error->suggestion.empty());
  for (const std::string& address : addresses) {
    EXPECT_EQ(error->message.find(address), std::string::npos) << "tells what our resolver knows";
  }
  return error->message;
}

bool says(const std::string& message, const std::string& part) {
  return message.find(part) != std::string::npos;
}

TEST(TargetCheck, JudgesEveryAddressNotTheFirstThatFits) {
  const AddressPolicy policy;
  EXPECT_EQ(refused(policy, "https://a.example/", {"8.8.8.8"}), "");
  EXPECT_TRUE(says(refused(policy, "https://a.example/", {"8.8.8.8", "10.0.0.1"}), "private"));
  EXPECT_TRUE(
      says(refused(policy, "https://a.example/", {"8.8.8.8", "2606:4700::1", "fe80::1"}), "link_local"));
}

TEST(TargetCheck, RefusesAPortOfANameWithoutAnAnswerToo) {
  const AddressPolicy policy({.ports = {{9443, 9443}}});
  EXPECT_EQ(refused(policy, "https://a.example/", {}), "");
  EXPECT_EQ(refused(policy, "https://a.example:9443/", {}), "");
  EXPECT_TRUE(says(refused(policy, "https://a.example:22/", {}), "port 22"));
  EXPECT_TRUE(says(refused(policy, "https://a.example:22/", {"8.8.8.8"}), "port 22"));
}

TEST(TargetCheck, RefusesPlainHttpBeyondAllowedLoopback) {
  const AddressPolicy policy({.allow = {*parse_range("127.0.0.0/8")}, .development = true});
  EXPECT_EQ(refused(policy, "http://localhost:9000/", {"127.0.0.1"}), "");
  EXPECT_TRUE(says(refused(policy, "http://localhost/", {"127.0.0.1", "8.8.8.8"}), "plain http"));
}

TEST(TargetCheck, CountsATenantsEndpointsAtAHostWhateverTheirPortOrPath) {
  std::vector<Endpoint> made(5);
  made[0].def.url = "https://hooks.example/a";
  made[1].def.url = "https://hooks.example:8443/b";
  made[2].def.url = "https://other.example/hooks.example/";
  made[3].def.url = "https://hooks.example.net/";
  made[4].def.url = "https://[2606:4700::1]:8443/";
  std::vector<const Endpoint*> others;
  for (const Endpoint& one : made) others.push_back(&one);
  const auto refused_at = [&](const char* url, std::uint32_t most) {
    const auto error = too_many_at_host(*parse_url(url), others, most);
    return error ? error->code : "";
  };
  EXPECT_EQ(refused_at("https://hooks.example/new", 3), "");
  EXPECT_EQ(refused_at("https://hooks.example/new", 2), "TOO_MANY_ENDPOINTS");
  EXPECT_EQ(refused_at("https://HOOKS.example:9443/new", 2), "TOO_MANY_ENDPOINTS");
  EXPECT_EQ(refused_at("https://[2606:4700::1]/", 1), "TOO_MANY_ENDPOINTS");
  EXPECT_EQ(refused_at("https://third.example/", 1), "");
  EXPECT_EQ(refused_at("https://hooks.example/new", 0), "");
}

TEST(TargetCheck, CountsTheNamesOfDeletedEndpointsToo) {
  EXPECT_FALSE(too_many_names_of_tenant(9'999, 0));
  EXPECT_TRUE(too_many_names_of_tenant(10'000, 100));
  EXPECT_FALSE(too_many_names_of_tenant(10'000, 20'000));
  EXPECT_TRUE(too_many_names_of_tenant(40'000, 20'000));
}

TEST(TargetCheck, CountsNothingAtAllowedAddressesInDevelopment) {
  const std::vector<IpRange> allow{*parse_range("127.0.0.0/8")};
  const std::vector<IpAddress> inside{*parse_ip("127.0.0.1")},
      both{*parse_ip("127.0.0.1"), *parse_ip("8.8.8.8")};
  EXPECT_TRUE(is_exempt(AddressPolicy({.allow = allow, .development = true}), inside));
  EXPECT_FALSE(is_exempt(AddressPolicy({.allow = allow, .development = true}), both));
  EXPECT_FALSE(is_exempt(AddressPolicy({.allow = allow, .development = true}), {}));
  EXPECT_FALSE(is_exempt(AddressPolicy({.allow = allow}), inside));
}

}  // namespace
}  // namespace postrider
