#include "engine/core/address_policy.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace postrider {
namespace {

IpAddress ip(std::string_view text) {
  const auto address = parse_ip(text);
  EXPECT_TRUE(address.has_value()) << text;
  return address.value_or(IpAddress{});
}

AddressPolicy allowing(std::vector<std::string> texts) {
  std::vector<IpRange> ranges;
  for (const std::string& text : texts) {
    auto range = parse_range(text);
    EXPECT_TRUE(range.has_value()) << text;
    if (range) ranges.push_back(*range);
  }
  return AddressPolicy({.allow = std::move(ranges)});
}

TEST(AddressPolicy, LetsPublicAddressesThrough) {
  for (const char* text : {"1.1.1.1",
                           "8.8.8.8",
                           "93.184.216.34",
                           "9.255.255.255",
                           "11.0.0.0",
                           "100.63.255.255",
                           "100.128.0.0",
                           "126.255.255.255",
                           "128.0.0.0",
                           "169.253.255.255",
                           "169.255.0.0",
                           "172.15.255.255",
                           "172.32.0.0",
                           "192.0.1.0",
                           "192.0.3.0",
                           "192.167.255.255",
                           "192.169.0.0",
                           "198.17.255.255",
                           "198.20.0.0",
                           "198.51.99.255",
                           "198.51.101.0",
                           "203.0.112.255",
                           "203.0.114.0",
                           "223.255.255.255",
                           "168.63.129.15",
                           "2606:4700:4700::1111",
                           "2001:4860:4860::8888",
                           "2003::1",
                           "2a00:1450::1",
                           "::ffff:8.8.8.8",
                           "2001:200::1"}) {
    EXPECT_EQ(AddressPolicy().refusal(ip(text)), std::nullopt) << text;
  }
}

TEST(AddressPolicy, RefusesEverySpecialAddressByName) {
  const std::vector<std::pair<std::string, std::string_view>> refused{
      {"0.0.0.0", "this_network"},
      {"0.255.255.255", "this_network"},
      {"10.0.0.0", "private"},
      {"10.255.255.255", "private"},
      {"172.16.0.0", "private"},
      {"172.31.255.255", "private"},
      {"192.168.0.0", "private"},
      {"192.168.255.255", "private"},
      {"100.64.0.0", "carrier_nat"},
      {"100.127.255.255", "carrier_nat"},
      {"127.0.0.1", "loopback"},
      {"127.255.255.255", "loopback"},
      {"169.254.0.1", "link_local"},
      {"169.254.169.253", "link_local"},
      {"169.254.169.254", "metadata"},
      {"169.254.170.2", "metadata"},
      {"100.100.100.200", "metadata"},
      {"168.63.129.16", "metadata"},
      {"192.0.0.192", "metadata"},
      {"192.0.0.1", "reserved"},
      {"192.0.2.1", "documentation"},
      {"198.51.100.1", "documentation"},
      {"203.0.113.1", "documentation"},
      {"192.88.99.1", "reserved"},
      {"198.18.0.0", "benchmarking"},
      {"198.19.255.255", "benchmarking"},
      {"224.0.0.1", "multicast"},
      {"239.255.255.255", "multicast"},
      {"240.0.0.1", "reserved"},
      {"255.255.255.254", "reserved"},
      {"255.255.255.255", "broadcast"},
      {"::", "unspecified"},
      {"::1", "loopback"},
      {"::2", "this_network"},  // ::/96, judged by 0.0.0.2
      {"::127.0.0.1", "loopback"},
      {"::8.8.8.8", "v4_compatible"},
      {"fc00::1", "private"},
      {"fdff::1", "private"},
      {"fd00:ec2::254", "metadata"},
      {"fd20:ce::254", "metadata"},
      {"fe80::1", "link_local"},
      {"febf::1", "link_local"},
      {"fec0::1", "site_local"},
      {"feff::1", "site_local"},
      {"ff02::1", "multicast"},
      {"2001:db8::1", "documentation"},
      {"3fff::1", "documentation"},
      {"100::1", "reserved"},      // discard only
      {"2001:2::1", "reserved"},   // benchmarking
      {"2001:10::1", "reserved"},  // ORCHID
      {"2001:1ff::1", "reserved"},
      {"4000::1", "reserved"},  // not given out
      {"5f00::1", "reserved"},
      {"::ffff:0:7f00:1", "loopback"},  // translated, RFC 2765
      {"::ffff:0:808:808", "translated"},
      // v4-mapped
      {"::ffff:127.0.0.1", "loopback"},
      {"::ffff:10.1.2.3", "private"},
      {"::ffff:169.254.169.254", "metadata"},
      {"::ffff:0.0.0.0", "this_network"},
      // NAT64
      {"64:ff9b::7f00:1", "loopback"},
      {"64:ff9b::a9fe:a9fe", "metadata"},
      {"64:ff9b::808:808", "nat64"},
      {"64:ff9b:1::7f00:1", "loopback"},
      {"64:ff9b:1::808:808", "nat64_local"},
      {"64:ff9b:1:ffff::1", "this_network"},
      {"64:ff9b:2::1", "reserved"},
      // 6to4
      {"2002:7f00:1::1", "loopback"},
      {"2002:a00:1::", "private"},
      {"2002:a9fe:a9fe::1", "metadata"},
      {"2002:808:808::1", "6to4"},
      // Teredo: the client's bits are turned
      {"2001:0:808:808:0:1:80ff:fffe", "loopback"},
      {"2001:0:a00:1:0:1:f7f7:f7f7", "private"},
      {"2001:0:808:808:0:1:5601:5601", "metadata"},
      {"2001:0:808:808:0:1:f7f7:f7f7", "teredo"}};
  for (const auto& [text, why] : refused) {
    EXPECT_EQ(AddressPolicy().refusal(ip(text)), why) << text;
  }
}

// Behind a network that has v6 alone, v4 receivers are reached through a translator.
TEST(AddressPolicy, AnAllowedTunnelIsJudgedByWhatItCarries) {
  const AddressPolicy policy =
      allowing({"64:ff9b::/96", "2002::/16", "2001::/32", "::ffff:0:0:0/96", "::/96", "10.1.0.0/16"});
  for (const char* text : {"64:ff9b::808:808", "64:ff9b::a01:203", "2002:808:808::1", "2002:a01:203::1",
                           "2001:0:808:808:0:1:f7f7:f7f7", "::ffff:0:808:808", "::8.8.8.8"}) {
    EXPECT_EQ(policy.refusal(ip(text)), std::nullopt) << text;
  }
  for (const auto& [text, why] :
       std::vector<std::pair<std::string, std::string_view>>{{"64:ff9b::7f00:1", "loopback"},
                                                             {"64:ff9b::a02:203", "private"},
                                                             {"64:ff9b::a9fe:a9fe", "metadata"},
                                                             {"2002:7f00:1::", "loopback"},
                                                             {"2001:0:a02:1:0:1:f7f7:f7f7", "private"},
                                                             {"2001:0:808:808:0:1:80ff:fffe", "loopback"},
                                                             {"::ffff:0:7f00:1", "loopback"},
                                                             {"::127.0.0.1", "loopback"}}) {
    EXPECT_EQ(policy.refusal(ip(text)), why) << text;
  }
}

// RFC 6052 §2.2: where a translator puts the v4 address follows from the length of its prefix.
TEST(AddressPolicy, AnAllowedTranslatorsPrefixTellsWhereTheV4AddressStands) {
  const auto judged = [](const char* range, const char* text) { return allowing({range}).refusal(ip(text)); };
  EXPECT_EQ(judged("64:ff9b:1::/48", "64:ff9b:1:a9fe:a9:fe00::"), "metadata");
  EXPECT_EQ(judged("64:ff9b:1::/48", "64:ff9b:1:808:8:800::"), std::nullopt);
  EXPECT_EQ(judged("64:ff9b:1:a900::/56", "64:ff9b:1:a97f:0:1::"), "loopback");
  EXPECT_EQ(judged("64:ff9b:1:a900::/56", "64:ff9b:1:a908:8:808::"), std::nullopt);
  EXPECT_EQ(judged("64:ff9b:1:2::/64", "64:ff9b:1:2:a:1:200:0"), "private");
  EXPECT_EQ(judged("64:ff9b:1:2::/64", "64:ff9b:1:2:8:808:800:0"), std::nullopt);
  EXPECT_EQ(judged("64:ff9b:1:2:3:4::/96", "64:ff9b:1:2:3:4:a9fe:a9fe"), "metadata");
  EXPECT_EQ(judged("64:ff9b:1:2:3:4::/96", "64:ff9b:1:2:3:4:808:808"), std::nullopt);
}

TEST(AddressPolicy, RefusesTheMachinesOwnAddressesUnlessTheyAreAllowed) {
  const std::vector<IpAddress> own{ip("127.0.0.1"), ip("93.184.216.34"), ip("2606:4700::5")};
  const AddressPolicy policy({.own = own});
  EXPECT_EQ(policy.refusal(ip("93.184.216.34")), "own_address");
  EXPECT_EQ(policy.refusal(ip("::ffff:93.184.216.34")), "own_address");
  EXPECT_EQ(policy.refusal(ip("2606:4700::5")), "own_address");
  EXPECT_EQ(policy.refusal(ip("127.0.0.1")), "loopback");
  EXPECT_EQ(policy.refusal(ip("93.184.216.35")), std::nullopt);
  const AddressPolicy open(
      {.allow = {*parse_range("93.184.216.0/24"), *parse_range("64:ff9b::/96")}, .own = own});
  EXPECT_EQ(open.refusal(ip("93.184.216.34")), std::nullopt);
  EXPECT_EQ(open.refusal(ip("2606:4700::5")), "own_address");
}

TEST(AddressPolicy, KnowsWhichPortsMayBeDialled) {
  const AddressPolicy policy(
      {.allow = {*parse_range("10.0.0.0/8")}, .ports = {{9443, 9443}, {10000, 10099}}});
  for (const std::uint16_t port : std::initializer_list<std::uint16_t>{443, 8443, 9443, 10000, 10099}) {
    EXPECT_EQ(policy.refusal(ip("8.8.8.8"), port, false), std::nullopt) << port;
  }
  for (const std::uint16_t port :
       std::initializer_list<std::uint16_t>{1, 22, 25, 80, 442, 444, 8080, 9442, 9999, 10100, 65535}) {
    EXPECT_EQ(policy.refusal(ip("8.8.8.8"), port, false), "port") << port;
    EXPECT_EQ(policy.refusal(ip("10.1.1.1"), port, false), "port") << "allowed, and not in development";
  }
  EXPECT_EQ(policy.refusal(ip("127.0.0.1"), 22, false), "loopback");
}

TEST(AddressPolicy, LeavesPortsOfAllowedAddressesAloneInDevelopment) {
  const AddressPolicy policy({.allow = {*parse_range("10.0.0.0/8")}, .development = true});
  EXPECT_EQ(policy.refusal(ip("10.1.1.1"), 9000, false), std::nullopt);
  EXPECT_EQ(policy.refusal(ip("8.8.8.8"), 9000, false), "port");
}

TEST(AddressPolicy, AllowedRangesOverride) {
  const AddressPolicy policy = allowing({"127.0.0.0/8", "10.1.2.3", "fd00:1::/32"});
  EXPECT_EQ(policy.refusal(ip("127.0.0.1")), std::nullopt);
  EXPECT_EQ(policy.refusal(ip("127.255.255.255")), std::nullopt);
  EXPECT_EQ(policy.refusal(ip("::ffff:127.0.0.1")), std::nullopt);  // dialled as 127.0.0.1
  EXPECT_EQ(policy.refusal(ip("10.1.2.3")), std::nullopt);
  EXPECT_EQ(policy.refusal(ip("10.1.2.4")), "private");
  EXPECT_EQ(policy.refusal(ip("fd00:1::9")), std::nullopt);
  EXPECT_EQ(policy.refusal(ip("fd00:2::9")), "private");
  EXPECT_EQ(policy.refusal(ip("::1")), "loopback");
}

TEST(AddressPolicy, AnAllowedV4RangeOpensNoTunnelToIt) {
  const AddressPolicy policy = allowing({"127.0.0.0/8"});
  EXPECT_EQ(policy.refusal(ip("64:ff9b::7f00:1")), "loopback");
  EXPECT_EQ(policy.refusal(ip("2002:7f00:1::1")), "loopback");
  EXPECT_EQ(policy.refusal(ip("::127.0.0.1")), "loopback");
}

TEST(AddressPolicy, AV6RangeOfEverythingHoldsNoV4) {
  EXPECT_EQ(allowing({"::/0"}).refusal(ip("127.0.0.1")), "loopback");
  EXPECT_EQ(allowing({"::/0"}).refusal(ip("::ffff:127.0.0.1")), "loopback");  // dialled as v4
  EXPECT_EQ(allowing({"::ffff:127.0.0.0/104"}).refusal(ip("127.0.0.1")), std::nullopt);
  EXPECT_EQ(allowing({"0.0.0.0/0"}).refusal(ip("::1")), "loopback");
  EXPECT_EQ(allowing({"0.0.0.0/0"}).refusal(ip("10.0.0.1")), std::nullopt);
}

TEST(AddressPolicy, LetsPlainHttpGoToAllowedLoopbackInDevelopmentAlone) {
  const auto judged = [](std::vector<IpRange> allow, bool development, const char* text) {
    return AddressPolicy({.allow = std::move(allow), .development = development})
        .refusal(ip(text), 9000, true);
  };
  const std::vector<IpRange> allow{*parse_range("127.0.0.0/8"), *parse_range("10.0.0.0/8")};
  EXPECT_EQ(judged(allow, true, "127.0.0.1"), std::nullopt);
  EXPECT_EQ(judged(allow, true, "::ffff:127.0.0.1"), std::nullopt);
  EXPECT_EQ(judged({*parse_range("::1")}, true, "::1"), std::nullopt);
  EXPECT_EQ(judged(allow, true, "::1"), "loopback");
  EXPECT_EQ(judged(allow, true, "10.0.0.1"), "plain_http");
  EXPECT_EQ(judged(allow, true, "8.8.8.8"), "plain_http");
  EXPECT_EQ(judged(allow, false, "127.0.0.1"), "plain_http");
  EXPECT_EQ(judged({}, true, "127.0.0.1"), "loopback");
}

TEST(IpAddress, IsReadInItsCanonicalSpellingOnly) {
  for (const char* text : {"", "127.1", "0x7f.0.0.1", "2130706433", "0177.0.0.1", "127.0.0.01", "127.0.0.1 ",
                           " ::1", "[::1]", "::1%eth0", "0:0:0:0:0:0:0:1", "2001:DB8::1", "2001:0db8::1",
                           "::ffff:7f00:1", "1.2.3.4.5", "256.1.1.1", "1.2.3", "::1::", "localhost"}) {
    EXPECT_EQ(parse_ip(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_ip(std::string_view("1.2.3.4\0", 8)), std::nullopt);
}

RC_GTEST_PROP(IpAddress, EveryAddressComesBack, ()) {
  IpAddress address;
  address.v6 = *rc::gen::arbitrary<bool>();
  for (std::size_t i = 0; i < (address.v6 ? 16u : 4u); ++i) {
    address.bytes[i] = *rc::gen::weightedOneOf<unsigned char>(
        {{1, rc::gen::just<unsigned char>(0)}, {1, rc::gen::arbitrary<unsigned char>()}});
  }
  RC_ASSERT(parse_ip(format_ip(address)) == std::optional(address));
}

RC_GTEST_PROP(AddressPolicy, JudgesEverySpellingOfAV4AddressAlike, ()) {
  IpAddress v4;
  for (std::size_t i = 0; i < 4; ++i) v4.bytes[i] = *rc::gen::arbitrary<unsigned char>();
  IpAddress mapped{.v6 = true, .bytes = {}};
  mapped.bytes[10] = mapped.bytes[11] = 0xff;
  IpAddress nat64{.v6 = true, .bytes = {0x00, 0x64, 0xff, 0x9b}};
  IpAddress six_to_four{.v6 = true, .bytes = {0x20, 0x02}};
  for (std::size_t i = 0; i < 4; ++i) {
    mapped.bytes[12 + i] = nat64.bytes[12 + i] = six_to_four.bytes[2 + i] = v4.bytes[i];
  }
  const auto judged = AddressPolicy().refusal(v4);
  RC_ASSERT(AddressPolicy().refusal(mapped) == judged);
  RC_ASSERT(AddressPolicy().refusal(nat64) == judged.value_or("nat64"));
  RC_ASSERT(AddressPolicy().refusal(six_to_four) == judged.value_or("6to4"));
  const AddressPolicy open = allowing({"64:ff9b::/96", "2002::/16"});
  RC_ASSERT(open.refusal(nat64) == judged);
  RC_ASSERT(open.refusal(six_to_four) == judged);
}

TEST(IpRange, IsReadWithItsPrefix) {
  const auto range = parse_range("10.0.0.0/8");
  ASSERT_TRUE(range.has_value());
  EXPECT_EQ(range->base, ip("10.0.0.0"));
  EXPECT_EQ(range->prefix_bits, 8);
  EXPECT_EQ(parse_range("::1")->prefix_bits, 128);
  EXPECT_EQ(parse_range("10.1.2.3")->prefix_bits, 32);
  EXPECT_EQ(parse_range("::/0")->prefix_bits, 0);
}

TEST(IpRange, IsRefusedWithItsReason) {
  for (const char* text :
       {"", "/8", "10.0.0.0/", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8 ",
        "10.0.0.1/8", "fd00::1/8", "10/8", "10.0.0.0/999", "localhost/8", "10.0.0.0/8/8"}) {
    const auto range = parse_range(text);
    ASSERT_FALSE(range.has_value()) << text;
    EXPECT_EQ(range.error().code, "INVALID_ADDRESS_RANGE");
    EXPECT_FALSE(range.error().suggestion.empty());
  }
}

TEST(Ports, AreReadAloneAndAsRanges) {
  EXPECT_EQ(format_ports(*parse_ports("9443")), "9443");
  EXPECT_EQ(format_ports(*parse_ports("9000-9099")), "9000-9099");
  EXPECT_EQ(format_ports(*parse_ports("1-65535")), "1-65535");
  for (const char* text : {"", "0", "65536", "-1", "+1", "080", "9099-9000", "9000-", "-9000", "9000-9099-1",
                           "9 000", "https", "0-5", "99999999999"}) {
    const auto ports = parse_ports(text);
    ASSERT_FALSE(ports.has_value()) << text;
    EXPECT_EQ(ports.error().code, "INVALID_PORTS");
    EXPECT_FALSE(ports.error().suggestion.empty());
  }
}

}  // namespace
}  // namespace postrider
