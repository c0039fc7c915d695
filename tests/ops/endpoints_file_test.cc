#include "ops/endpoints_file.h"

#include <gtest/gtest.h>

namespace postrider::ops {
namespace {

constexpr const char* kLeast = R"(
environment = "development"
[[endpoint]]
tenant = "acme"
id = "orders"
url = "https://hooks.acme.example/orders"
)";

EndpointsFile parsed(const std::string& text) {
  auto file = parse_endpoints_file(text, "endpoints.toml");
  EXPECT_TRUE(file) << file.error().message;
  return file ? *std::move(file) : EndpointsFile();
}

Error refused(const std::string& text) {
  auto file = parse_endpoints_file(text, "endpoints.toml");
  EXPECT_FALSE(file) << text;
  return file ? Error() : file.error();
}

TEST(EndpointsFile, ThatIsNotUtf8IsRefused) {
  EXPECT_NE(refused(std::string(kLeast) + "'\x95' = 1\n").message.find("not TOML"), std::string::npos);
  EXPECT_NE(refused(std::string(kLeast) + "types = ['\x95']\n").message.find("not TOML"), std::string::npos);
}

TEST(EndpointsFile, LeavesWhatIsNotSaidToTheDaemonsDefaults) {
  const auto file = parsed(kLeast);
  EXPECT_EQ(file.environment, "development");
  ASSERT_EQ(file.endpoints.size(), 1u);
  const auto& endpoint = file.endpoints[0];
  EXPECT_EQ(endpoint.tenant, "acme");
  EXPECT_EQ(endpoint.id, "orders");
  EXPECT_EQ(endpoint.url, "https://hooks.acme.example/orders");
  EXPECT_FALSE(endpoint.types || endpoint.retry || endpoint.scheme || endpoint.format ||
               endpoint.limits.any());
  EXPECT_TRUE(endpoint.secrets.empty());
  EXPECT_EQ(endpoint.place, "endpoints.toml line 3");
}

TEST(EndpointsFile, TakesEveryKey) {
  const auto file = parsed(std::string(kLeast) + R"(
types = ["order.*", "invoice.paid"]
retry = ["5s", "5m"]
scheme = "x-webhook"
format = "structured"
secrets = ["env:ACME", "file:acme.key"]
limits = { concurrency = 4, queue_max = 50, rate_per_second = 2.5 }

[[endpoint]]
tenant = "globex"
id = "orders"
url = "https://globex.example/"
retry = "patient"
limits = { rate_per_second = 3 }
)");
  ASSERT_EQ(file.endpoints.size(), 2u);
  const auto& first = file.endpoints[0];
  EXPECT_EQ(*first.types, (std::vector<std::string>{"order.*", "invoice.paid"}));
  EXPECT_EQ(*first.retry, (std::vector<std::string>{"5s", "5m"}));
  EXPECT_EQ(*first.scheme, "x-webhook");
  EXPECT_EQ(*first.format, "structured");
  EXPECT_EQ(first.secrets, (std::vector<std::string>{"env:ACME", "file:acme.key"}));
  EXPECT_EQ(*first.limits.concurrency, 4);
  EXPECT_EQ(*first.limits.queue_max, 50);
  EXPECT_EQ(*first.limits.rate_per_second, 2.5);
  EXPECT_EQ(*file.endpoints[1].retry, std::vector<std::string>{"patient"});
  EXPECT_EQ(*file.endpoints[1].limits.rate_per_second, 3.0);
}

TEST(EndpointsFile, MayDeclareNothing) {
  EXPECT_TRUE(parsed("environment = \"production\"\n").endpoints.empty());
}

TEST(EndpointsFile, RefusesUnknownKeysByNameAndLine) {
  for (const auto& [text, key] :
       {std::pair<std::string, std::string>{std::string(kLeast) + "uri = \"x\"\n", "endpoint.uri"},
        {std::string(kLeast) + "limits = { burst = 3 }\n", "endpoint.limits.burst"},
        {"tenant = \"acme\"\n" + std::string(kLeast), "tenant"},
        {"environment = \"development\"\n[[endpoints]]\n", "endpoints"}}) {
    const auto error = refused(text);
    EXPECT_EQ(error.code, "INVALID_ENDPOINTS_FILE");
    EXPECT_NE(error.message.find(key), std::string::npos) << error.message;
    EXPECT_NE(error.message.find("line "), std::string::npos) << error.message;
  }
}

TEST(EndpointsFile, AsksWhatAMisspeltKeyMeant) {
  const std::string text =
      "environment = \"development\"\n[[endpoint]]\ntenant = \"acme\"\nid = \"orders\"\nuri = "
      "\"https://x/\"\n";
  const auto error = refused(text);
  EXPECT_NE(error.message.find("endpoint.uri"), std::string::npos)
      << "not that url is missing: " << error.message;
  EXPECT_TRUE(error.suggestion.starts_with("did you mean url?")) << error.suggestion;
}

TEST(EndpointsFile, RefusesWhatIsMissingWrongOrTwice) {
  const std::string rest =
      "\n[[endpoint]]\ntenant = \"acme\"\nid = \"orders\"\nurl = \"https://b.example/\"\n";
  for (const auto& text : std::vector<std::string>{
           std::string("[[endpoint]]\n"), std::string("environment = 3\n"),
           std::string("environment = \"No\"\n"),
           "environment = \"development\"\n[[endpoint]]\ntenant = \"acme\"\nid = \"orders\"\n",
           std::string("environment = \"development\"\n[[endpoint]]\ntenant = \"a b\"\nid = \"o\"\nurl = "
                       "\"https://x/\"\n"),
           kLeast + std::string("types = [1]\n"), kLeast + std::string("limits = 3\n"),
           kLeast + std::string("limits = { concurrency = \"4\" }\n"), kLeast + rest,
           std::string("environment = \"development\"\nendpoint = \"x\"\n"),
           std::string("environment = \"dev")}) {
    EXPECT_EQ(refused(text).code, "INVALID_ENDPOINTS_FILE") << text;
  }
}

TEST(EndpointsFile, RefusesASecretWhereverItStandsAndNeverRepeatsIt) {
  const std::string canary = "whsec_Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5";
  for (const auto& text :
       {kLeast + ("secrets = [\"" + canary + "\"]\n"), kLeast + ("secrets = \"" + canary + "\"\n"),
        kLeast + ("url2 = \"https://x/?k=" + canary + "\"\n"), kLeast + ("\"" + canary + "\" = 1\n"),
        "environment = \"" + canary + "\"\n",
        kLeast + std::string("secrets = [\"Q2FuYXJ5Q2FuYXJ5Q2FuYXJ5\"]\n")}) {
    const auto error = refused(text);
    EXPECT_EQ(error.code, "SECRET_IN_FILE") << text;
    EXPECT_EQ((error.message + error.suggestion).find("Q2FuYXJ5"), std::string::npos) << error.message;
  }
  // What is no TOML is not quoted either, as a parser's own message would.
  const auto error = refused(kLeast + ("secrets = [" + canary + "]\n"));
  EXPECT_EQ((error.message + error.suggestion).find("Q2FuYXJ5"), std::string::npos) << error.message;
  EXPECT_NE(error.message.find("line 7"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace postrider::ops
