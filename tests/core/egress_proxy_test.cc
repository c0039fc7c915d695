#include "engine/core/egress_proxy.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

TEST(EgressProxy, IsReadByItsAddressAndPort) {
  for (const char* text : {"http://10.0.0.5:3128", "http://[fd00::5]:3128", "http://127.0.0.1:1"}) {
    const auto proxy = parse_egress_proxy(text);
    ASSERT_TRUE(proxy.has_value()) << text;
    EXPECT_EQ(format_egress_proxy(*proxy), text);
    EXPECT_TRUE(parse_egress_proxy(std::string(text) + "/").has_value());
  }
}

TEST(EgressProxy, IsRefusedWhereItCouldMeanAnythingElse) {
  for (const char* text :
       {"", "10.0.0.5:3128", "http://10.0.0.5", "http://[fd00::5]", "http://[fd00::5]/",
        "https://10.0.0.5:3128", "socks5://10.0.0.5:3128", "http://proxy.example:3128",
        "http://me:canary@10.0.0.5:3128", "http://10.0.0.5:3128/canary", "http://10.0.0.5:3128/?canary",
        "http://10.0.0.5:0", "http://10.0.0.5:99999", "http://167772165:3128"}) {
    const auto proxy = parse_egress_proxy(text);
    ASSERT_FALSE(proxy.has_value()) << text;
    EXPECT_EQ(proxy.error().code, "INVALID_PROXY");
    EXPECT_EQ((proxy.error().message + proxy.error().suggestion).find("canary"), std::string::npos);
  }
}

}  // namespace
}  // namespace postrider
