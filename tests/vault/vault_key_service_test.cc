#include "engine/vault/vault_key_service.h"

#include <curl/curl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace postrider {
namespace {

// tests/support/fake_vault.py as a process of its own; it ends with us, since its standard input closes.
class FakeVault {
 public:
  explicit FakeVault(const std::vector<std::string>& more = {}) {
    int in[2], out[2];
    EXPECT_EQ(pipe(in), 0);
    EXPECT_EQ(pipe(out), 0);
    std::vector<std::string> words = {"python3", POSTRIDER_SOURCE_DIR "/tests/support/fake_vault.py"};
    words.insert(words.end(), more.begin(), more.end());
    process_ = fork();
    if (process_ == 0) {
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      close(in[1]);
      std::vector<char*> arguments;
      arguments.reserve(words.size() + 1);
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      execvp("python3", arguments.data());
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    FILE* const told = fdopen(out[0], "r");
    EXPECT_EQ(std::fscanf(told, "port %d", &port_), 1);
    std::fclose(told);
  }
  FakeVault(const FakeVault&) = delete;
  FakeVault& operator=(const FakeVault&) = delete;
  ~FakeVault() {
    close(stdin_);
    waitpid(process_, nullptr, 0);
  }
  int port() const { return port_; }
  void post(const std::string& path, const std::string& body) const {
    CURL* const easy = curl_easy_init();
    curl_slist* const headers = curl_slist_append(nullptr, "X-Vault-Token: root");
    curl_easy_setopt(easy, CURLOPT_URL, ("http://127.0.0.1:" + std::to_string(port_) + path).c_str());
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, body.c_str());
    EXPECT_EQ(curl_easy_perform(easy), CURLE_OK);
    long status = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    EXPECT_LT(status, 300) << path;
    curl_easy_cleanup(easy);
    curl_slist_free_all(headers);
  }
  void fault(const std::string& body) const { post("/test/fault", body); }

 private:
  pid_t process_ = 0;
  int stdin_ = -1;
  int port_ = 0;
};

class VaultKeyServiceTest : public ::testing::Test {
 protected:
  std::unique_ptr<KeyService> open(const std::string& key, const std::string& token = "app",
                                   const std::string& origin = "") {
    const std::string at = origin.empty() ? "http://127.0.0.1:" + std::to_string(vault_.port()) : origin;
    VaultOptions options;
    options.place = parse_key_place("vault:" + at + "/" + key).value();
    options.token = [token] { return Result<Secret>(Secret(token)); };
    options.timeout = Millis(2000);
    return open_vault_key_service(std::move(options)).value();
  }
  static Error error_of(const Result<Secret>& result) {
    return result ? Error{Errc::invalid, "ACCEPTED", "", ""} : result.error();
  }
  // The error of opening what is fine.
  Error trouble() { return error_of(service_->unwrap(wrapped_, "use")); }

  FakeVault vault_;
  std::unique_ptr<KeyService> service_ = open("transit/postrider");
  const std::string key_ = std::string("\0\1\2 32 bytes of a tenant's key \"", 33);
  const std::string wrapped_ = service_->wrap(key_, "use").value();
};

TEST_F(VaultKeyServiceTest, OpensWhatItWrappedForTheSameUseOnly) {
  EXPECT_TRUE(wrapped_.starts_with("vault:v1:"));
  EXPECT_EQ(service_->unwrap(wrapped_, "use").value().reveal(), key_);
  EXPECT_EQ(error_of(service_->unwrap(wrapped_, "another use")).errc, Errc::corrupt);
  EXPECT_FALSE(service_->is_local());
  EXPECT_EQ(service_->name(), "vault:127.0.0.1:" + std::to_string(vault_.port()) + "/transit/postrider");
}

TEST_F(VaultKeyServiceTest, AKeyThatIsDerivedIsGivenItsContext) {
  auto derived = open("transit/derived");
  const std::string wrapped = derived->wrap(key_, "use").value();
  EXPECT_EQ(derived->unwrap(wrapped, "use").value().reveal(), key_);
  EXPECT_EQ(error_of(derived->unwrap(wrapped, "another use")).errc, Errc::corrupt);
}

TEST_F(VaultKeyServiceTest, AChangedOrForeignTextIsCorruptAndIsNotSentWhereItCouldBreakTheRequest) {
  std::string changed = wrapped_;
  changed[changed.size() - 6] = changed[changed.size() - 6] == 'A' ? 'B' : 'A';
  for (const std::string& text :
       {changed, std::string("vault:v1:AAAA"), std::string(), std::string("vault:v9:") + wrapped_.substr(9),
        std::string("vault:v1:\",\"x\":\"")}) {
    EXPECT_EQ(error_of(service_->unwrap(text, "use")).code, "WRAPPED_KEY_CORRUPT") << text;
  }
}

TEST_F(VaultKeyServiceTest, WhatOlderVersionsWrappedOpensAfterARotationUntilTheyAreDisallowed) {
  vault_.post("/v1/transit/keys/postrider/rotate", "{}");
  EXPECT_TRUE(service_->wrap(key_, "use").value().starts_with("vault:v2:"));
  EXPECT_EQ(service_->unwrap(wrapped_, "use").value().reveal(), key_);
  vault_.post("/v1/transit/keys/postrider/config", R"({"min_decryption_version": 2})");
  EXPECT_EQ(trouble().code, "KEY_SERVICE_KEY_UNUSABLE");
  EXPECT_EQ(trouble().errc, Errc::denied);
}

TEST_F(VaultKeyServiceTest, SaysByRemedyWhyItCannotBeHad) {
  vault_.post("/v1/sys/seal", "{}");
  EXPECT_EQ(trouble().code, "KEY_SERVICE_UNAVAILABLE");
  EXPECT_EQ(trouble().errc, Errc::unavailable);
  EXPECT_NE(trouble().message.find("Vault is sealed"), std::string::npos);
  vault_.post("/v1/sys/unseal", "{}");
  EXPECT_EQ(trouble().code, "ACCEPTED") << "it heals by itself";

  for (const char* status : {"429", "473", "500", "502", "503"}) {
    vault_.fault(std::string(R"({"status": )") + status + R"(, "words": "later"})");
    EXPECT_EQ(trouble().code, "KEY_SERVICE_UNAVAILABLE") << status;
  }
  vault_.fault(R"({"status": 403, "words": "permission denied"})");
  EXPECT_EQ(trouble().code, "KEY_SERVICE_DENIED");
  vault_.fault(R"({"status": 500, "words": "cipher: message authentication failed"})");
  EXPECT_EQ(trouble().code, "WRAPPED_KEY_CORRUPT");
  vault_.fault(R"({"raw": "<html>not a Vault</html>"})");
  EXPECT_EQ(trouble().code, "KEY_SERVICE_UNAVAILABLE");
  vault_.fault(R"({"raw": "{\"data\": {\"plaintext\": \"AAEC\"}}"})");
  EXPECT_EQ(trouble().code, "WRAPPED_KEY_CORRUPT") << "not what we wrapped";

  vault_.post("/v1/transit/keys/postrider/delete", "{}");
  EXPECT_EQ(trouble().code, "KEY_SERVICE_KEY_UNUSABLE");
  EXPECT_EQ(open("kv/postrider", "root")->wrap(key_, "use").error().code, "KEY_SERVICE_KEY_UNUSABLE");
  EXPECT_EQ(open("transit/other", "app")->wrap(key_, "use").error().code, "KEY_SERVICE_DENIED");
  EXPECT_EQ(open("transit/postrider", "stolen")->wrap(key_, "use").error().code, "KEY_SERVICE_DENIED");
}

TEST_F(VaultKeyServiceTest, DoesNotFollowARedirectWithItsToken) {
  FakeVault elsewhere;
  vault_.fault(R"({"status": 307, "words": "http://127.0.0.1:)" + std::to_string(elsewhere.port()) +
               R"(/v1/transit/decrypt/postrider"})");
  EXPECT_EQ(trouble().code, "KEY_SERVICE_UNAVAILABLE");
}

TEST_F(VaultKeyServiceTest, WaitsNoLongerThanItWasTold) {
  vault_.fault(R"({"hang": true})");
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_EQ(trouble().code, "KEY_SERVICE_UNAVAILABLE");
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(10));
  EXPECT_EQ(open("transit/postrider", "app", "http://127.0.0.1:1")->wrap(key_, "use").error().errc,
            Errc::unavailable);
}

TEST_F(VaultKeyServiceTest, ShowsNeitherTokenNorKeyInItsErrors) {
  auto stolen = open("transit/postrider", "hvs.CANARY");
  for (const Error& error : {stolen->wrap(key_, "use").error(), error_of(stolen->unwrap(wrapped_, "use"))}) {
    EXPECT_EQ((error.code + error.message + error.suggestion).find("CANARY"), std::string::npos);
    EXPECT_EQ(error.message.find(wrapped_), std::string::npos);
  }
}

class VaultOverTls : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = "/tmp/postrider-vault-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    const std::string make =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=vault "
        "-addext subjectAltName=IP:127.0.0.1 -keyout " +
        directory_ + "/key -out " + directory_ + "/cert 2>&1 >/dev/null";
    ASSERT_EQ(std::system((make + " 2>/dev/null").c_str()), 0);
  }
  void TearDown() override { ASSERT_EQ(std::system(("rm -r " + directory_).c_str()), 0); }
  Result<std::string> wrap(const FakeVault& vault, const std::string& host,
                           const std::string& ca_file) const {
    VaultOptions options;
    options.place =
        parse_key_place("vault:https://" + host + ":" + std::to_string(vault.port()) + "/transit/postrider")
            .value();
    options.token = [] { return Result<Secret>(Secret("app")); };
    options.ca_file = ca_file;
    return open_vault_key_service(std::move(options)).value()->wrap("key", "use");
  }
  std::string directory_;
};

TEST_F(VaultOverTls, IsTrustedByItsAuthorityAndNameAlone) {
  const FakeVault vault({"--cert", directory_ + "/cert", "--key", directory_ + "/key"});
  EXPECT_TRUE(wrap(vault, "127.0.0.1", directory_ + "/cert"));
  EXPECT_EQ(wrap(vault, "127.0.0.1", "").error().code, "KEY_SERVICE_UNAVAILABLE") << "an unknown authority";
  EXPECT_EQ(wrap(vault, "localhost", directory_ + "/cert").error().code, "KEY_SERVICE_UNAVAILABLE")
      << "another name than the certificate's";
}

}  // namespace
}  // namespace postrider
