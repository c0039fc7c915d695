#include "engine/core/customer_headers.h"

#include <gtest/gtest.h>

namespace postrider {
namespace {

void expect_refused(const Headers& headers, const std::string& why) {
  const auto judged = check_customer_headers(headers);
  ASSERT_FALSE(judged.has_value()) << (headers.empty() ? "" : headers.front().name);
  EXPECT_EQ(judged.error().code, "INVALID_HEADER");
  EXPECT_NE(judged.error().message.find(why), std::string::npos) << judged.error().message;
  EXPECT_FALSE(judged.error().suggestion.empty());
}

TEST(CustomerHeaders, AreFreeWhereTheyMeanNothingToUs) {
  EXPECT_TRUE(check_customer_headers({}).has_value());
  EXPECT_TRUE(check_customer_headers({{"Authorization", "Bearer abc.def"},
                                      {"X-Api-Key", "k"},
                                      {"Cookie", "a=b; c=d"},
                                      {"X-Tenant_Name", "acme corp"},
                                      {"Webhooks", "are ours only with a hyphen"}})
                  .has_value());
}

TEST(CustomerHeaders, NeverFrameRouteOrSignTheRequest) {
  for (const char* name : {"Host",
                           "Content-Length",
                           "content_length",
                           "Transfer-Encoding",
                           "TRANSFER_ENCODING",
                           "Connection",
                           "Keep-Alive",
                           "TE",
                           "Trailer",
                           "Upgrade",
                           "Expect",
                           "HTTP2-Settings",
                           "Proxy-Connection",
                           "Proxy-Authorization",
                           "Proxy-Anything",
                           "webhook-id",
                           "Webhook-Signature",
                           "webhook_timestamp",
                           "webhook-",
                           "X-Webhook-Signature",
                           "x_webhook_timestamp",
                           "ce-id",
                           "CE_Type",
                           "Content-Type",
                           "Content-Encoding",
                           "User-Agent",
                           "traceparent",
                           "Accept",
                           "Accept-Encoding",
                           "Via",
                           "Range"}) {
    expect_refused({{name, "x"}}, "not free to set");
  }
}

TEST(CustomerHeaders, CannotBeReadAsTwo) {
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("a:"), std::string("a\r\nHost"), std::string("a\0", 2),
        std::string("\xc3\xa9"), std::string(65, 'a')}) {
    expect_refused({{name, "x"}}, "no token");
  }
  for (const std::string& value :
       {std::string("a\r\nHost: b"), std::string("a\rb"), std::string("a\nb"), std::string("a\0b", 3),
        std::string("a\x7f"), std::string("\xc3\xa9"), std::string("a\tb")}) {
    expect_refused({{"X-A", value}}, "control character");
  }
  for (const char* value : {"", " ", " a", "a "}) expect_refused({{"X-A", value}}, "blank");
  expect_refused({{"X-A", "1"}, {"x_a", "2"}}, "twice");
}

TEST(CustomerHeaders, AreBounded) {
  Headers many;
  for (int i = 0; i < 33; ++i) many.push_back({"X-" + std::to_string(i), "v"});
  expect_refused(many, "32");
  many.pop_back();
  EXPECT_TRUE(check_customer_headers(many).has_value());
  expect_refused({{"X-A", std::string(8192, 'v')}}, "8 KiB");
}

TEST(CustomerHeaders, NoValueIsRepeated) {
  for (const Headers& headers :
       {Headers{{"X-A", "canary\r\n"}}, Headers{{"Host", "canary"}}, Headers{{"X-A", "canary "}},
        Headers{{"X-A", "canary" + std::string(8192, 'v')}}}) {
    const auto judged = check_customer_headers(headers);
    ASSERT_FALSE(judged.has_value());
    EXPECT_EQ((judged.error().message + judged.error().suggestion).find("canary"), std::string::npos);
  }
}

}  // namespace
}  // namespace postrider
