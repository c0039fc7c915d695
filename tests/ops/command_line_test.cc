#include "ops/command_line.h"

#include <gtest/gtest.h>

#include <tuple>

namespace postrider::ops {
namespace {

struct Parsed {
  CommandLine line;
  Result<std::optional<int>> result;
  bool good() const { return result && !*result; }
};

Parsed parse(std::vector<const char*> words) {
  words.insert(words.begin(), "postrider-ops");
  Parsed parsed{{}, std::nullopt};
  parsed.result = parse_command_line(static_cast<int>(words.size()), words.data(), parsed.line);
  return parsed;
}

TEST(CommandLine, TakesGlobalOptionsBeforeAndAfterTheVerb) {
  for (const auto& words : {std::vector<const char*>{"--api", "http://h:1", "--json", "endpoints", "list"},
                            {"endpoints", "--json", "list", "--api", "http://h:1"},
                            {"endpoints", "list", "--json", "--api", "http://h:1"}}) {
    const auto parsed = parse(words);
    ASSERT_TRUE(parsed.good());
    EXPECT_EQ(parsed.line.verb, "endpoints list");
    EXPECT_EQ(parsed.line.api, "http://h:1");
    EXPECT_TRUE(parsed.line.json);
  }
}

TEST(CommandLine, KnowsEveryVerb) {
  const std::vector<std::pair<std::string, std::vector<const char*>>> verbs = {
      {"topics create",
       {"topics", "create", "--partitions", "6", "--replication", "3", "--retention-events", "14d"}},
      {"topics check", {"topics", "check"}},
      {"topics mend", {"topics", "mend"}},
      {"topics grow", {"topics", "grow", "--partitions", "24"}},
      {"offsets rebuild", {"offsets", "rebuild", "--partition", "0"}},
      {"reconcile", {"reconcile", "--since", "1h", "--limit", "10"}},
      {"topics accept-source", {"topics", "accept-source", "--partition", "3"}},
      {"endpoints apply", {"endpoints", "apply", "F", "--dry-run"}},
      {"endpoints list", {"endpoints", "list"}},
      {"endpoints show", {"endpoints", "show", "acme", "orders"}},
      {"endpoints disable", {"endpoints", "disable", "acme", "orders", "--why", "asked"}},
      {"endpoints enable", {"endpoints", "enable", "acme", "orders", "--no-wait"}},
      {"endpoints delete", {"endpoints", "delete", "acme", "orders"}},
      {"endpoints test", {"endpoints", "test", "acme", "orders", "--type", "order.test"}},
      {"tenants list", {"tenants", "list"}},
      {"tenants show", {"tenants", "show", "acme"}},
      {"tenants put", {"tenants", "put", "acme", "acme.json", "--no-wait"}},
      {"tenants delete", {"tenants", "delete", "acme"}},
      {"keys new", {"keys", "new"}},
      {"keys new", {"keys", "new", "a.key"}},
      {"secrets new", {"secrets", "new"}},
      {"tokens create",
       {"tokens", "create", "--name", "shop", "--tenant", "acme", "--scope", "events:publish", "--expires",
        "30d"}},
      {"tokens create", {"tokens", "create", "--name", "ops", "--role", "operator"}},
      {"tokens list", {"tokens", "list", "--tenant", "acme"}},
      {"endpoints verify", {"endpoints", "verify", "acme", "shop", "--challenge", "chl_1"}},
      {"event-types list", {"event-types", "list", "--tenant", "acme"}},
      {"event-types put", {"event-types", "put", "order.created", "type.json"}},
      {"tokens revoke", {"tokens", "revoke", "tok_1"}},
      {"tokens reset", {"tokens", "reset"}},
      {"deliveries show", {"deliveries", "show", "dlv_1_x"}},
      {"dead-letters list", {"dead-letters", "list", "--state", "open", "--limit", "5"}},
      {"dead-letters show", {"dead-letters", "show", "dlv_1_x"}},
      {"dead-letters summary", {"dead-letters", "summary", "--since", "2h"}},
      {"dead-letters resolve", {"dead-letters", "resolve", "dlv_1_x", "--why", "by phone"}},
      {"replay", {"replay", "dlv_1_x", "dlv_1_y"}},
  };
  for (const auto& [verb, words] : verbs) {
    const auto parsed = parse(words);
    EXPECT_TRUE(parsed.good()) << verb << ": " << (parsed.result ? "" : parsed.result.error().message);
    EXPECT_EQ(parsed.line.verb, verb);
  }
}

TEST(CommandLine, RefusesWhatItDoesNotKnowOrLacks) {
  for (const auto& words : {std::vector<const char*>{},
                            {"topics"},
                            {"topic", "create"},
                            {"topics", "create", "--bogus"},
                            {"topics", "create", "--partitions", "0"},
                            {"topics", "create", "--partitions", "many"},
                            {"topics", "grow"},
                            {"endpoints", "apply"},
                            {"endpoints", "show", "acme"},
                            {"endpoints", "disable", "acme", "orders"},
                            {"endpoints", "list", "extra"},
                            {"deliveries", "show"},
                            {"deliveries", "show", ""},
                            {"dead-letters", "show", ""},
                            {"dead-letters", "list", "--state", "lost"},
                            {"dead-letters", "list", "--limit", "0"},
                            {"replay", "--rate", "-1"},
                            {"--api", "http://h:1", "--log", "kafka://h:1", "topics", "check"}}) {
    const auto parsed = parse(words);
    ASSERT_FALSE(parsed.result) << (words.empty() ? "" : words.back());
    EXPECT_EQ(parsed.result.error().code, "WRONG_USE");
    EXPECT_FALSE(parsed.result.error().suggestion.empty());
  }
}

TEST(CommandLine, NamesTheVerbThatIsNoneAndTheNearest) {
  const std::vector<std::tuple<std::vector<const char*>, std::string, std::string>> cases = {
      {{"endpoint", "list"}, "endpoint", "did you mean endpoints list?"},
      {{"endpoints", "lst"}, "endpoints lst", "did you mean list?"},
      {{"deliveries", "bogus"}, "deliveries bogus", "there are: list"},
      {{"bogus"}, "bogus", "there are: topics, endpoints"},
      {{"bogus", "--help"}, "bogus", "there are: topics, endpoints"},
      {{"endpoints", "bogus", "--help"}, "endpoints bogus", "there are: apply, list"},
      {{"endpoints"}, "`endpoints` lacks its verb", "there are: apply, list"},
      {{}, "a verb is missing", "there are: topics, endpoints"},
  };
  for (const auto& [words, message, suggestion] : cases) {
    const auto parsed = parse(words);
    ASSERT_FALSE(parsed.result) << message;
    EXPECT_TRUE(parsed.result.error().message.ends_with(message)) << parsed.result.error().message;
    EXPECT_TRUE(parsed.result.error().suggestion.starts_with(suggestion)) << parsed.result.error().suggestion;
  }
}

TEST(CommandLine, HearsJsonEvenWhenTheRestIsWrong) {
  EXPECT_TRUE(parse({"topics", "create", "--bogus", "--json"}).line.json);
}

TEST(CommandLine, TakesNamesThatAreSpeltLikeVerbs) {
  const auto parsed = parse({"endpoints", "show", "replay", "list", "--json"});
  ASSERT_TRUE(parsed.good());
  EXPECT_EQ(parsed.line.tenant, "replay");
  EXPECT_EQ(parsed.line.endpoint, "list");
  EXPECT_TRUE(parsed.line.json);
}

TEST(CommandLine, TakesAPropertyEachTime) {
  const auto parsed = parse({"-X", "a=1", "topics", "check", "-X", "b=2"});
  ASSERT_TRUE(parsed.good());
  EXPECT_EQ(parsed.line.kafka_properties, (std::vector<std::string>{"a=1", "b=2"}));
}

}  // namespace
}  // namespace postrider::ops
