#include "engine/config/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace postrider {
namespace {

constexpr auto kLeast = R"(
environment = "development"
log = "embedded:/tmp/postrider-test/log"
data = "/tmp/postrider-test/data"
[keys]
service = "file:/tmp/postrider-test/key"
)";

class ConfigFile : public ::testing::Test {
 protected:
  ConfigFile() {
    std::string pattern = std::filesystem::temp_directory_path() / "config_test_XXXXXX";
    directory_ = mkdtemp(pattern.data());
  }
  ~ConfigFile() override { std::filesystem::remove_all(directory_); }

  // Beyond development the key file must be there.
  std::string key_file() {
    const auto path = write("key", "");
    std::filesystem::permissions(path, std::filesystem::perms(0600));
    return path;
  }
  std::string kafka_least() {
    return R"(
environment = "production"
log = "kafka://a:9092,b:9093"
data = "/tmp/postrider-test/data"
keys.service = "file:)" +
           key_file() + R"("
tls = { cert = ")" +
           write("c.pem", "") + R"(", key = ")" + write("k.pem", "") + R"(" }
[kafka]
security.protocol = "SASL_SSL"
)";
  }
  std::string write(const std::string& name, const std::string& content) {
    const auto path = directory_ / name;
    std::ofstream(path) << content;
    return path;
  }
  Result<Config> read(const std::string& content, const Variables& variables = {}) {
    return load(write("config.toml", content), variables);
  }
  Error refusal(const std::string& content, const Variables& variables = {}) {
    auto config = read(content, variables);
    if (config) {
      ADD_FAILURE() << "was accepted";
      return {};
    }
    EXPECT_EQ(config.error().code, "INVALID_CONFIGURATION");
    EXPECT_FALSE(config.error().suggestion.empty());
    return config.error();
  }

  std::filesystem::path directory_;
};

#define EXPECT_CONTAINS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)
#define EXPECT_LACKS(text, part) EXPECT_EQ((text).find(part), std::string::npos) << (text)

TEST_F(ConfigFile, TakesDefaultsForAllThatItDoesNotName) {
  const auto config = read(kLeast);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->environment.str(), "development");
  EXPECT_EQ(config->log.directory, "/tmp/postrider-test/log");
  EXPECT_EQ(config->keys.file(), "/tmp/postrider-test/key");
  EXPECT_EQ(format_listen_address(config->listen), "127.0.0.1:8080");
  EXPECT_EQ(config->delivery.timeout, std::chrono::seconds(15));
  EXPECT_EQ(config->delivery.lifetime_max, std::chrono::hours(96));
  EXPECT_EQ(config->limits.memory_bytes, 256u << 20);
  EXPECT_EQ(config->limits.endpoint_queue_bytes, 32u << 20);
  EXPECT_EQ(config->limits.window, 24000u);
  EXPECT_FALSE(config->tenant_from_key);
  EXPECT_TRUE(config->warnings.empty());
}

TEST_F(ConfigFile, SetsEveryKindOfValue) {
  const auto config = read(std::string("listen = \"[::1]:0\"\ntenant_from_key = true\n") + kLeast + R"(
[guard]
allow = ["127.0.0.0/8", "10.1.0.0/16"]
ports = [9443, "9000-9099"]
proxy = "http://10.0.0.5:3128"
endpoints_per_host = 3
endpoints_per_tenant = 5
challenge = "tenants"
[limits]
memory_bytes = "64MiB"
endpoint_queue_bytes = "1MiB"
window = 100
[delivery]
timeout = "2s"
[retry]
default = ["5s", "5m"]
)");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen.host, "::1");
  EXPECT_TRUE(config->tenant_from_key);
  ASSERT_EQ(config->guard.allow.size(), 2u);
  EXPECT_EQ(config->guard.allow[1].prefix_bits, 16);
  ASSERT_EQ(config->guard.ports.size(), 2u);
  EXPECT_EQ(config->guard.ports[0].last, 9443);
  EXPECT_EQ(config->guard.endpoints_per_host, 3u);
  EXPECT_EQ(config->guard.endpoints_per_tenant, 5u);
  EXPECT_TRUE(config->guard.challenge_tenants);
  EXPECT_EQ(format_egress_proxy(*config->guard.proxy), "http://10.0.0.5:3128");
  EXPECT_EQ(config->guard.ports[1].first, 9000);
  EXPECT_EQ(config->limits.memory_bytes, 64u << 20);
  EXPECT_EQ(config->limits.endpoint_queue_bytes, 1u << 20);
  EXPECT_EQ(config->limits.window, 100u);
  EXPECT_EQ(config->delivery.timeout, std::chrono::seconds(2));
  EXPECT_EQ(config->retry.standard.delays.size(), 2u);
}

TEST_F(ConfigFile, LetsAVariableBeatTheFile) {
  const auto config = read(kLeast, {{"POSTRIDER_LISTEN", "127.0.0.1:9"},
                                    {"POSTRIDER_GUARD_ALLOW", "127.0.0.0/8, 10.0.0.0/8"},
                                    {"POSTRIDER_GUARD_PORTS", "9443, 9000-9099"},
                                    {"POSTRIDER_DELIVERY_RETRY_CLIENT_ERRORS", "true"},
                                    {"POSTRIDER_LIMITS_WINDOW", "64"},
                                    {"POSTRIDER_DATA", ""},
                                    {"POSTRIDER_KEYS_SERVICE", "file:" + key_file()},
                                    {"POSTRIDER_ENVIRONMENT", "staging"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->listen.port, 9);
  EXPECT_EQ(config->guard.allow.size(), 2u);
  EXPECT_EQ(config->guard.ports.size(), 2u);
  EXPECT_TRUE(config->delivery.retry_client_errors);
  EXPECT_EQ(config->limits.window, 64u);
  EXPECT_EQ(config->environment.str(), "staging");
  EXPECT_EQ(config->data, "/tmp/postrider-test/data");
  EXPECT_EQ(config->sources.at("listen"), "POSTRIDER_LISTEN");
}

TEST(Config, LoadsFromVariablesAlone) {
  const auto config = load("", {{"POSTRIDER_ENVIRONMENT", "development"},
                                {"POSTRIDER_LOG", "kafka://127.0.0.1:9092"},
                                {"POSTRIDER_DATA", "/tmp/d"},
                                {"POSTRIDER_KEYS_SERVICE", "file:/tmp/k"},
                                {"POSTRIDER_KAFKA_SECURITY_PROTOCOL", "ssl"},
                                {"POSTRIDER_KAFKA_SASL_PASSWORD", "env:POSTRIDER_BROKER_PASSWORD"},
                                {"POSTRIDER_BROKER_PASSWORD", "hunter2"},
                                {"POSTRIDER_TOKEN", "t"},
                                {"PATH", "/bin"}});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->kafka.size(), 2u);
  EXPECT_EQ(config->kafka[0].name, "sasl.password");
  EXPECT_EQ(config->kafka[0].value.reveal(), "hunter2");
  EXPECT_EQ(config->kafka[1].name, "security.protocol");
}

TEST_F(ConfigFile, NamesAnUnknownKeyWithItsLineAndTheNearestOne) {
  const auto error = refusal(std::string(kLeast) + "[delivery]\ntimeuot = \"15s\"\n");
  EXPECT_CONTAINS(error.message, "line 8");
  EXPECT_CONTAINS(error.message, "delivery.timeuot");
  EXPECT_CONTAINS(error.suggestion, "delivery.timeout");
}

TEST_F(ConfigFile, FindsAKeyThatStandsInTheWrongSection) {
  EXPECT_CONTAINS(refusal(std::string(kLeast) + "[api]\nrepeat_window = \"1h\"\n").suggestion,
                  "delivery.repeat_window");
}

TEST_F(ConfigFile, NamesAnUnknownVariableAndTheNearestOne) {
  const auto error = refusal(kLeast, {{"POSTRIDER_DELIVERY_TIMEOTU", "15s"}});
  EXPECT_CONTAINS(error.message, "POSTRIDER_DELIVERY_TIMEOTU");
  EXPECT_CONTAINS(error.suggestion, "POSTRIDER_DELIVERY_TIMEOUT");
}

TEST_F(ConfigFile, RefusesWrongTypesUnitsAndRangesByName) {
  const struct {
    const char* line;
    const char* key;
  } cases[] = {
      {"delivery.timeout = \"15 seconds\"", "delivery.timeout"},
      {"delivery.timeout = 15", "delivery.timeout"},
      {"delivery.timeout = \"2h\"", "delivery.timeout"},
      {"delivery.retry_client_errors = \"yes\"", "delivery.retry_client_errors"},
      {"delivery.retry_client_errors = \"true\"", "delivery.retry_client_errors"},
      {"limits.window = 24001", "limits.window"},
      {"limits.window = -1", "limits.window"},
      {"limits.window = \"100\"", "limits.window"},
      {"limits.memory_bytes = \"256MB\"", "limits.memory_bytes"},
      {"limits.memory_bytes = 1", "limits.memory_bytes"},
      {"guard.allow = [\"127.0.0.1/99\"]", "guard.allow"},
      {"guard.allow = [1]", "guard.allow"},
      {"guard.ports = [0]", "guard.ports"},
      {"guard.proxy = \"10.0.0.5:3128\"", "guard.proxy"},
      {"guard.proxy = \"http://10.0.0.5\"", "guard.proxy"},
      {"guard.proxy = \"https://10.0.0.5:3128\"", "guard.proxy"},
      {"guard.proxy = \"http://proxy.example:3128\"", "guard.proxy"},
      {"guard.proxy = \"http://me:hunter2@10.0.0.5:3128\"", "guard.proxy"},
      {"guard.proxy = \"http://10.0.0.5:3128/x\"", "guard.proxy"},
      {"guard.ports = [\"9099-9000\"]", "guard.ports"},
      {"guard.ports = [true]", "guard.ports"},
      {"listen = \"8080\"", "listen"},
      {"listen = \"example.com:80\"", "listen"},
      {"listen = \"127.0.0.1:65536\"", "listen"},
      {"log_level = \"verbose\"", "log_level"},
      {"retry.default = \"never\"", "retry.default"},
      {"retry.default = [\"5s\", \"95h\", \"95h\"]", "retry.default"},
  };
  for (const auto& each : cases) {
    const auto error = refusal(std::string(each.line) + "\n" + kLeast);
    EXPECT_CONTAINS(error.message, "line 1: " + std::string(each.key));
    EXPECT_LACKS(error.message + error.suggestion, "hunter2");
  }
}

TEST_F(ConfigFile, RefusesNamesAndPlacesThatAreNone) {
  for (const auto& [key, value] :
       std::vector<std::pair<std::string, std::string>>{{"POSTRIDER_ENVIRONMENT", "Production"},
                                                        {"POSTRIDER_ENVIRONMENT", "1a"},
                                                        {"POSTRIDER_LOG", "kafka://"},
                                                        {"POSTRIDER_LOG", "kafka://host"},
                                                        {"POSTRIDER_LOG", "kafka://host:0"},
                                                        {"POSTRIDER_LOG", "kafka://a:1,"},
                                                        {"POSTRIDER_LOG", "redis://a:1"},
                                                        {"POSTRIDER_LOG", "embedded:"},
                                                        {"POSTRIDER_KEYS_SERVICE", "vault"}})
    EXPECT_CONTAINS(refusal(kLeast, {{key, value}}).message, key);
}

TEST_F(ConfigFile, TellsTheLineOfBrokenTomlAndNothingThatStandsThere) {
  const auto error = refusal("environment = \"development\"\nlog = = hunter2\n");
  EXPECT_CONTAINS(error.message, "line 2");
  EXPECT_LACKS(error.message + error.suggestion, "hunter2");
}

// toml11 3.7.1 reads beyond its buffer there.
TEST_F(ConfigFile, ThatIsNotUtf8IsRefusedByItsLine) {
  for (const std::string text : {"'\x95' = 1", "log = '\x95'", "log = \"\xed\xa0\x80\"", "# \xff"})
    EXPECT_CONTAINS(refusal("environment = \"development\"\n" + text + "\n").message, "line 2");
}

TEST_F(ConfigFile, AsksForWhatIsRequired) {
  const auto error = refusal("environment = \"development\"\nlog = \"embedded:/a\"\ndata = \"/b\"\n");
  EXPECT_CONTAINS(error.message, "keys.service is not set");
  EXPECT_CONTAINS(error.suggestion, "POSTRIDER_KEYS_SERVICE");
}

TEST(Config, SaysWhichFileCannotBeRead) {
  const auto config = load("/nonexistent/postrider.toml", {});
  ASSERT_FALSE(config);
  EXPECT_CONTAINS(config.error().message, "/nonexistent/postrider.toml");
}

TEST_F(ConfigFile, ResolvesKafkaSecretsFromFilesAndVariables) {
  const auto file = write("password", "hunter2\n");
  const auto config = read(kafka_least() + "sasl.password = \"file:" + file +
                               "\"\nssl.key.password = \"env:KEY_PASSWORD\"\nsocket.nagle.disable = true\n" +
                               "session.timeout.ms = 6000\n",
                           {{"KEY_PASSWORD", "correct horse"}});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->kafka.size(), 5u);
  EXPECT_EQ(config->kafka[0].name, "sasl.password");
  EXPECT_EQ(config->kafka[0].value.reveal(), "hunter2");
  EXPECT_EQ(config->kafka[2].value.reveal(), "6000");
  EXPECT_EQ(config->kafka[3].value.reveal(), "true");
  EXPECT_EQ(config->kafka[4].value.reveal(), "correct horse");
  EXPECT_EQ(config->log.brokers, "a:9092,b:9093");
}

TEST_F(ConfigFile, RefusesASecretThatStandsInTheFileWithoutRepeatingIt) {
  for (const auto* name :
       {"sasl.password", "ssl.key.password", "sasl.oauthbearer.client.secret", "ssl.key.pem"}) {
    const auto error = refusal(kafka_least() + name + " = \"hunter2\"\n");
    EXPECT_CONTAINS(error.message, std::string("kafka.") + name);
    EXPECT_LACKS(error.message + error.suggestion, "hunter2");
  }
}

TEST_F(ConfigFile, SaysWhichReferenceLeadsNowhere) {
  EXPECT_CONTAINS(refusal(kafka_least() + "sasl.password = \"env:NO_SUCH\"\n").message, "NO_SUCH");
  EXPECT_CONTAINS(refusal(kafka_least() + "sasl.password = \"file:/no/such\"\n").message, "/no/such");
}

TEST_F(ConfigFile, KeepsForTheEngineWhatItsPromisesRestOn) {
  for (const auto* line : {"group.id = \"x\"", "enable.auto.commit = true", "acks = 1",
                           "auto.offset.reset = \"latest\"", "bootstrap.servers = \"x:1\""})
    EXPECT_CONTAINS(refusal(kafka_least() + line + "\n").message, "not free to set");
}

TEST_F(ConfigFile, RefusesPlainTextKafkaInProduction) {
  const std::string text = kafka_least();
  const auto plain = text.substr(0, text.find("[kafka]"));
  EXPECT_CONTAINS(refusal(plain).message, "plain text");
  EXPECT_CONTAINS(refusal(plain + "[kafka]\nsecurity.protocol = \"SASL_PLAINTEXT\"\n").message, "line 8");
  EXPECT_CONTAINS(refusal(text + "enable.ssl.certificate.verification = false\n").message, "verified");
  EXPECT_TRUE(read(text));
  EXPECT_TRUE(read(plain, {{"POSTRIDER_ENVIRONMENT", "development"}}));
}

TEST_F(ConfigFile, WarnsOfTheEmbeddedLogInProduction) {
  const auto config = read(kLeast, {{"POSTRIDER_ENVIRONMENT", "production"},
                                    {"POSTRIDER_KEYS_SERVICE", "file:" + key_file()},
                                    {"POSTRIDER_TLS_CERT", write("c.pem", "")},
                                    {"POSTRIDER_TLS_KEY", write("k.pem", "")}});
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->warnings.size(), 1u);
  EXPECT_CONTAINS(config->warnings[0], "no replication");
}

TEST_F(ConfigFile, ListensBeyondLoopbackOnlyWithTls) {
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_LISTEN", "0.0.0.0:8080"}}).message, "loopback");
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_LISTEN", "[::]:8080"}}).message, "loopback");
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_TLS_CERT", "/c.pem"}}).message, "no key");
  EXPECT_TRUE(read(kLeast, {{"POSTRIDER_LISTEN", "0.0.0.0:8080"},
                            {"POSTRIDER_TLS_CERT", write("c.pem", "")},
                            {"POSTRIDER_TLS_KEY", write("k.pem", "")}}));
  EXPECT_TRUE(read(kLeast, {{"POSTRIDER_LISTEN", "localhost:8080"}}));
}

TEST_F(ConfigFile, ServesNoPlainHttpInProductionButProbesOnLoopback) {
  const std::string text = kafka_least();
  const auto begin = text.find("tls = "), end = text.find("[kafka]");
  const auto plain = text.substr(0, begin) + text.substr(end);
  EXPECT_CONTAINS(refusal(plain).message, "would be plain");
  EXPECT_CONTAINS(refusal(plain, {{"POSTRIDER_API_PROBES", "127.0.0.1:8081"}}).message, "would be plain");
  const auto config = read(text, {{"POSTRIDER_API_PROBES", "127.0.0.1:8081"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->api.probes->port, 8081);
  EXPECT_CONTAINS(refusal(text, {{"POSTRIDER_API_PROBES", "0.0.0.0:8081"}}).message, "not loopback");
  EXPECT_TRUE(read(plain, {{"POSTRIDER_ENVIRONMENT", "development"}}));
}

TEST_F(ConfigFile, TakesTheClientsAuthoritiesOnlyWithTls) {
  const auto authorities = write("ca.pem", "");
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_TLS_CLIENT_CA", authorities}}).message, "no cert and key");
  EXPECT_CONTAINS(refusal(kafka_least(), {{"POSTRIDER_TLS_CLIENT_CA", "/no/ca.pem"}}).message,
                  "tls.client_ca: /no/ca.pem");
  EXPECT_TRUE(read(kafka_least(), {{"POSTRIDER_TLS_CLIENT_CA", authorities}}));
}

TEST_F(ConfigFile, TakesAnIssuerWithItsAudienceAndWhatItsRolesMean) {
  const auto oidc = [&](const std::string& issuer, const std::string& roles,
                        const std::string& audience = "postrider") {
    return std::string(kLeast) + "[oidc]\nissuer = \"" + issuer + "\"\naudience = \"" + audience +
           "\"\nroles = [" + roles + "]\n";
  };
  const std::string issuer = "https://idp.example.com/ops",
                    good = R"("team=a=operator", "team=a=payloads:read")";
  const auto config = read(oidc(issuer, good));
  ASSERT_TRUE(config) << config.error().message;
  const auto& scopes = config->oidc.roles.at("team=a");
  EXPECT_TRUE(scopes.has(Scope::payloads_read) && scopes.has(Scope::replays_write));
  EXPECT_FALSE(scopes.has(Scope::admin));
  EXPECT_CONTAINS(refusal(oidc(issuer, R"("team=king")")).message, "oidc.roles");
  EXPECT_CONTAINS(refusal(oidc(issuer, R"("=admin")")).message, "oidc.roles");
  EXPECT_CONTAINS(refusal(oidc(issuer, "")).message, "open nothing");
  EXPECT_CONTAINS(refusal(oidc(issuer, good, "")).message, "oidc.audience");
  EXPECT_CONTAINS(refusal(oidc("http://idp.example.com", good)).message, "not https");
  EXPECT_TRUE(read(oidc("http://127.0.0.1:8000", good)));
  EXPECT_CONTAINS(
      refusal(oidc("http://127.0.0.1:8000", good), {{"POSTRIDER_ENVIRONMENT", "staging"}}).message,
      "not https");
}

TEST_F(ConfigFile, NamesTheKeyFileThatTheStartWouldRefuse) {
  const auto code = [&](const std::string& environment, const std::string& path) {
    const auto config =
        read(kLeast, {{"POSTRIDER_ENVIRONMENT", environment}, {"POSTRIDER_KEYS_SERVICE", "file:" + path}});
    return config ? "" : config.error().code;
  };
  const std::string missing = directory_ / "no-key";
  EXPECT_EQ(code("staging", missing), "KEY_FILE_MISSING");
  EXPECT_EQ(code("development", missing), "") << "the start makes one";
  const auto key = key_file();
  EXPECT_EQ(code("staging", key), "");
  std::filesystem::permissions(key, std::filesystem::perms(0640));
  EXPECT_EQ(code("staging", key), "KEY_FILE_PERMISSIONS");
  EXPECT_EQ(code("development", key), "KEY_FILE_PERMISSIONS");
  EXPECT_EQ(code("staging", directory_), "KEY_FILE_PERMISSIONS");
  EXPECT_EQ(code("staging", write("file", "") + "/key"), "KEY_FILE_UNREADABLE");
}

TEST_F(ConfigFile, TakesAKeyServiceAcrossTheNetworkWithItsCredential) {
  const auto vault = [&](const std::string& service, const std::string& credential,
                         const std::string& environment = "staging") {
    return read(kLeast, {{"POSTRIDER_ENVIRONMENT", environment},
                         {"POSTRIDER_KEYS_SERVICE", service},
                         {"POSTRIDER_KEYS_CREDENTIAL", credential},
                         {"VAULT_TOKEN", "hvs.hunter2"}});
  };
  const std::string good = "vault:https://vault.internal:8200/team/transit/postrider";
  const auto config = vault(good, "env:VAULT_TOKEN");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->keys.credential_value.reveal(), "hvs.hunter2");
  EXPECT_TRUE(config->keys.file().empty());
  EXPECT_LACKS(print(*config), "hunter2");
  EXPECT_CONTAINS(print(*config), "credential = \"env:VAULT_TOKEN\"");
  EXPECT_TRUE(vault(good, "file:" + write("token", "hvs.x")));
  EXPECT_TRUE(vault("pkcs11:token=t;object=k?module-path=/m.so", "file:" + write("pin", "4711")));
  EXPECT_TRUE(vault("vault:http://127.0.0.1:8200/transit/k", "env:VAULT_TOKEN", "development"));

  const auto refused = [&](const auto& result) {
    return result ? std::string("taken") : result.error().message;
  };
  EXPECT_CONTAINS(refused(vault(good, "")), "wants a credential");
  EXPECT_CONTAINS(refused(vault(good, "hvs.hunter2")), "in the open");
  EXPECT_LACKS(refused(vault(good, "hvs.hunter2")), "hunter2");
  EXPECT_CONTAINS(refused(vault(good, "file:/no/token")), "/no/token");
  EXPECT_CONTAINS(refused(vault(good, "env:NOT_THERE")), "NOT_THERE");
  EXPECT_CONTAINS(refused(vault("vault:http://127.0.0.1:8200/transit/k", "env:VAULT_TOKEN")), "plain text");
  EXPECT_CONTAINS(refused(vault("vault:http://10.0.0.1:8200/transit/k", "env:VAULT_TOKEN", "development")),
                  "plain text");
  for (const char* bad : {"vault:https://v:8200/postrider", "vault:https://v:8200/",
                          "vault:https://v/a/b?c=d", "vault:https://u:p@v/a/b", "vault:https://v/a/../b",
                          "vault:https://v/a//b", "vault:ftp://v/a/b", "vault:", "awskms:x", "pkcs11:"}) {
    EXPECT_CONTAINS(refused(vault(bad, "env:VAULT_TOKEN")), "names") << bad;
  }
}

TEST_F(ConfigFile, TakesTenantsOwnKeyServicesAndFormerOnes) {
  const std::string own = R"(
[keys.tenants.acme]
service = "vault:https://vault.acme.example/transit/k"
credential = "env:ACME_TOKEN"
[keys.former.old]
service = "file:)" + key_file() +
                          "\"\n";
  const auto config = read(kLeast + own, {{"ACME_TOKEN", "hvs.hunter2"}});
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->tenant_keys.at("acme").credential_value.reveal(), "hvs.hunter2");
  EXPECT_EQ(config->former_keys.at("old").file(), key_file());
  EXPECT_EQ(config->secret_variables, std::vector<std::string>{"ACME_TOKEN"});
  EXPECT_LACKS(print(*config), "hunter2");
  EXPECT_TRUE(read(print(*config), {{"ACME_TOKEN", "x"}})) << print(*config);
  EXPECT_CONTAINS(refusal(kLeast + own).message, "ACME_TOKEN");
  EXPECT_CONTAINS(refusal(kLeast + std::string("[keys.tenants.acme]\nservise = \"file:x\"\n")).message,
                  "keys.tenants.acme.servise");
  EXPECT_CONTAINS(
      refusal(kLeast + std::string("[keys.former.old]\nservice = \"vault:https://v/a/b\"\n")).message,
      "wants a credential");
}

TEST_F(ConfigFile, NamesTheCertificateThatCannotBeRead) {
  const auto there = write("c.pem", "");
  const auto refused = [&](const std::string& cert, const std::string& key) {
    return refusal(kLeast, {{"POSTRIDER_TLS_CERT", cert}, {"POSTRIDER_TLS_KEY", key}}).message;
  };
  EXPECT_CONTAINS(refused("/no/c.pem", there), "tls.cert: /no/c.pem");
  EXPECT_CONTAINS(refused(there, directory_), "tls.key: ");
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_DELIVERY_CA_FILE", "/no/ca.pem"}}).message,
                  "delivery.ca_file: /no/ca.pem");
}

TEST_F(ConfigFile, KeepsTheLogAndTheKeyOutOfTheViewsDirectory) {
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_LOG", "embedded:/tmp/postrider-test/data/log"}}).message,
                  "within");
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_LOG", "embedded:/tmp/postrider-test/data/../data/"}}).message,
                  "within");
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_LOG", "embedded:/tmp/postrider-test"}}).message, "within");
  EXPECT_CONTAINS(refusal(kLeast, {{"POSTRIDER_KEYS_SERVICE", "file:/tmp/postrider-test/data/key"}}).message,
                  "key file");
  EXPECT_TRUE(read(kLeast, {{"POSTRIDER_LOG", "embedded:/tmp/postrider-test/data-log"}}));
}

TEST_F(ConfigFile, PrintsWhatIsInForceWithSourcesAndWithoutSecrets) {
  const auto file = write("password", "hunter2");
  const auto config =
      read(kafka_least() + "sasl.password = \"file:" + file + "\"\n", {{"POSTRIDER_LISTEN", "[::1]:1"}});
  ASSERT_TRUE(config) << config.error().message;
  const auto text = print(*config);
  EXPECT_LACKS(text, "hunter2");
  EXPECT_CONTAINS(text, "\"sasl.password\" = \"file:" + file);
  EXPECT_CONTAINS(text, "listen = \"[::1]:1\"");
  EXPECT_CONTAINS(text, "# POSTRIDER_LISTEN");
  EXPECT_CONTAINS(text, "line 2");
  EXPECT_CONTAINS(text, "timeout = \"15s\"");
  EXPECT_CONTAINS(text, "# default");
}

TEST_F(ConfigFile, ReadsAgainWhatItPrints) {
  const auto first = read(std::string("listen = \"[::1]:7\"\nretry.default = [\"5s\"]\n") + kLeast);
  ASSERT_TRUE(first) << first.error().message;
  auto again = read(print(*first));
  ASSERT_TRUE(again) << again.error().message << print(*first);
  EXPECT_EQ(format_listen_address(again->listen), "[::1]:7");
  EXPECT_EQ(again->retry.standard, first->retry.standard);
  EXPECT_EQ(again->keys.service, first->keys.service);
}

// POSTRIDER_TEST_WRITE=1 writes the file anew.
TEST(EnvExample, IsWhatTheTableOfKeysSays) {
  const std::string path = std::string(POSTRIDER_SOURCE_DIR) + "/.env.example";
  if (getenv("POSTRIDER_TEST_WRITE")) std::ofstream(path) << env_example();
  std::ifstream stream(path);
  std::stringstream content;
  content << stream.rdbuf();
  EXPECT_EQ(content.str(), env_example());
}

TEST(EnvExample, LoadsOnceTheRequiredOnesAreFilled) {
  Variables variables;
  std::istringstream lines(env_example());
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("#POSTRIDER_")) line.erase(0, 1);
    const auto equals = line.find('=');
    if (!line.starts_with("POSTRIDER_") || line.starts_with("POSTRIDER_KAFKA_")) continue;
    if (equals + 1 < line.size()) variables[line.substr(0, equals)] = line.substr(equals + 1);
  }
  variables["POSTRIDER_ENVIRONMENT"] = "development";
  variables["POSTRIDER_LOG"] = "embedded:/tmp/l";
  variables["POSTRIDER_DATA"] = "/tmp/d";
  variables["POSTRIDER_KEYS_SERVICE"] = "file:/tmp/k";
  const auto config = load("", variables);
  ASSERT_TRUE(config) << config.error().message << config.error().suggestion;
}

}  // namespace
}  // namespace postrider
