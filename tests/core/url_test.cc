#include "engine/core/url.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace postrider {
namespace {

Url good(std::string_view text) {
  const auto parsed = parse_url(text);
  EXPECT_TRUE(parsed.has_value()) << text << ": " << (parsed ? "" : parsed.error().message);
  return parsed.value_or(Url{});
}

TEST(Url, IsReadIntoItsParts) {
  const Url url = good("https://Hooks.Example.COM:8443/a/b%20c;x=1?token=s&u=/x?y");
  EXPECT_EQ(url.scheme, "https");
  EXPECT_EQ(url.host, "hooks.example.com");
  EXPECT_EQ(url.port, 8443);
  EXPECT_EQ(url.path, "/a/b%20c;x=1");
  EXPECT_EQ(url.query, "?token=s&u=/x?y");
  EXPECT_FALSE(url.host_is_ipv6);
  EXPECT_EQ(url.without_query(), "https://hooks.example.com:8443/a/b%20c;x=1");
  EXPECT_EQ(url.whole(), "https://hooks.example.com:8443/a/b%20c;x=1?token=s&u=/x?y");
}

TEST(Url, IsWrittenInOneWay) {
  const std::vector<std::pair<std::string, std::string>> same{
      {"https://example.com", "https://example.com/"},
      {"HTTPS://EXAMPLE.com/", "https://example.com/"},
      {"https://example.com:443/", "https://example.com/"},
      {"http://example.com:80", "http://example.com/"},
      {"http://example.com:443/", "http://example.com:443/"},
      {"https://example.com:80/", "https://example.com:80/"},
      {"https://example.com./x", "https://example.com/x"},  // the root's dot
      {"https://example.com?q", "https://example.com/?q"},
      {"https://example.com/?", "https://example.com/?"},
      {"https://127.0.0.1:9/x", "https://127.0.0.1:9/x"},
      {"https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x"},
      {"https://[::1]", "https://[::1]/"},
      {"https://localhost/", "https://localhost/"},
      {"https://a_b.example/", "https://a_b.example/"},
      {"https://xn--bcher-kva.example/", "https://xn--bcher-kva.example/"},
      {"https://1password.com/", "https://1password.com/"},
      {"https://example.com//double/../x", "https://example.com//double/../x"},
      {"https://example.com/@user?a@b", "https://example.com/@user?a@b"},
      {"https://example.com/a:b?c[]=1", "https://example.com/a:b?c[]=1"}};
  for (const auto& [text, written] : same) {
    const Url url = good(text);
    EXPECT_EQ(url.whole(), written);
    EXPECT_EQ(good(written).whole(), written);  // and stays so
  }
}

TEST(Url, WithAnIpv6LiteralHasItWithoutBrackets) {
  const Url url = good("https://[::ffff:192.0.2.1]/");
  EXPECT_EQ(url.host, "::ffff:192.0.2.1");
  EXPECT_TRUE(url.host_is_ipv6);
  EXPECT_EQ(url.port, 443);
}

TEST(Url, IsRefusedWithWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> refused{
      {"", "begin with https://"},
      {"example.com/x", "begin with https://"},
      {"ftp://example.com/", "begin with https://"},
      {"https:/example.com/", "begin with https://"},
      {"https:example.com/", "begin with https://"},
      {"//example.com/", "begin with https://"},
      {"file:///etc/passwd", "begin with https://"},
      {" https://example.com/", "blank"},
      {"https:///path", "no host"},
      {"https://", "no host"},
      {"https://./", "no host"},
      {"https://:443/", "no host"},
      {"https://?x", "no host"},
      {"https://user:secret@example.com/", "user info"},
      {"https://@example.com/", "user info"},
      {"https://8.8.8.8\\@127.0.0.1/", "backslash"},
      {"https://example.com\\x", "backslash"},
      {"https://example.com:0/", "port"},
      {"https://example.com:/", "port"},
      {"https://example.com:65536/", "port"},
      {"https://example.com:99999999999999999999/", "port"},
      {"https://example.com:0443/", "port"},
      {"https://example.com:-1/", "port"},
      {"https://example.com:+1/", "port"},
      {"https://example.com:4a/", "port"},
      {"https://example.com:1:2/", "port"},
      {"https://example.com/\r\nX-Evil: 1", "line end"},
      {"https://example.com/\n", "line end"},
      {"https://example.com/a b", "blank"},
      {"https://example.com/\t", "blank"},
      {std::string("https://example.com/\0", 21), "control"},
      {"https://example.com/\x7f", "control"},
      {"https://bücher.example/", "ASCII"},
      {"https://example.com/ü", "ASCII"},
      {"https://１２７.0.0.1/", "ASCII"},  // full-width digits
      {"https://%65xample.com/", "percent-encoded"},
      {"https://127%2e0.0.1/", "percent-encoded"},
      {"https://example.com/%zz", "hexadecimal"},
      {"https://example.com/%4", "hexadecimal"},
      {"https://example.com/?%", "hexadecimal"},
      {"https://example.com/#top", "fragment"},
      {"https://example.com/<x>", "RFC 3986"},
      {"https://example.com/{x}", "RFC 3986"},
      {"https://example.com/a[1]", "bracket"},
      {"https://example..com/", "host name"},
      {"https://.example.com/", "host name"},
      {"https://example.com../", "host name"},
      {"https://-a.example/", "host name"},
      {"https://a-.example/", "host name"},
      {"https://a!b.example/", "host name"},
      {"https://*.example/", "host name"},
      {"https://" + std::string(64, 'a') + ".example/", "host name"},
      {"https://" + std::string(60, 'a') + "." + std::string(60, 'b') + "." + std::string(60, 'c') + "." +
           std::string(60, 'd') + "." + std::string(60, 'e') + "/",
       "253"},
      {"https://2130706433/", "number"},
      {"https://0x7f000001/", "number"},
      {"https://0X7F.1/", "number"},
      {"https://0x/", "number"},
      {"https://017700000001/", "number"},
      {"https://0177.0.0.1/", "number"},
      {"https://127.1/", "number"},
      {"https://127.0.1/", "number"},
      {"https://127.0.0.1.1/", "number"},
      {"https://256.0.0.1/", "number"},
      {"https://127.0.0.01/", "number"},
      {"https://example.1/", "number"},
      {"https://[::1/", "IPv6"},
      {"https://[]/", "IPv6"},
      {"https://[127.0.0.1]/", "IPv6"},
      {"https://[fe80::1%25eth0]/", "IPv6"},
      {"https://[0:0:0:0:0:0:0:1]/", "IPv6"},
      {"https://[::1]x/", "between"},
      {"https://::1/", "no host"},
      {"https://example.com/" + std::string(2048, 'x'), "2,048"}};
  for (const auto& [text, why] : refused) {
    const auto parsed = parse_url(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, "INVALID_ENDPOINT_URL");
    EXPECT_EQ(parsed.error().errc, Errc::invalid);
    EXPECT_NE(parsed.error().message.find(why), std::string::npos) << text << ": " << parsed.error().message;
    EXPECT_FALSE(parsed.error().suggestion.empty());
  }
}

TEST(Url, AtItsLongestIsRead) {
  const std::string start = "https://example.com/";
  EXPECT_TRUE(parse_url(start + std::string(2048 - start.size(), 'x')).has_value());
}

// It was taken when it was declared, and refused each time something should have been sent.
TEST(Url, ThatIsLongestWithoutAPathIsNotTakenSinceItIsWrittenWithOne) {
  const std::string start = "https://example.com?";
  EXPECT_TRUE(parse_url(start + std::string(2047 - start.size(), 'x')).has_value());
  EXPECT_FALSE(parse_url(start + std::string(2048 - start.size(), 'x')).has_value());
}

TEST(Url, NeverEchoesWhatMayBeSecret) {
  for (const std::string& text :
       {std::string("https://user:canary@example.com/"), std::string("https://example.com/?token=canary\n"),
        std::string("https://example.com/?token=canary#x"), std::string("https://example.com/?token=canary%"),
        std::string("canary"), std::string("https://canary..example/"),
        std::string("https://example.com:canary/")}) {
    const auto parsed = parse_url(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ((parsed.error().message + parsed.error().suggestion).find("canary"), std::string::npos) << text;
  }
}

RC_GTEST_PROP(Url, WhateverIsReadIsWrittenInCleanBytesAndComesBack, ()) {
  const auto tail = *rc::gen::container<std::string>(
      rc::gen::element('a', 'Z', '0', '.', '-', '_', ':', '/', '?', '#', '@', '%', '[', ']', '\\', '\r', '\n',
                       ' ', '2', 'f', '~', '|', '\x80', '\0'));
  const std::string text = "https://" + tail;
  if (const auto url = parse_url(text)) {
    RC_ASSERT(!url->host.empty());
    RC_ASSERT(url->port > 0);
    RC_ASSERT(url->path.front() == '/');
    for (const char c : url->whole()) RC_ASSERT(c > 0x20 && c < 0x7f && c != '\\' && c != '#');
    const auto again = parse_url(url->whole());
    RC_ASSERT(again.has_value());
    RC_ASSERT(again->whole() == url->whole());
  }
}

}  // namespace
}  // namespace postrider
