#include "engine/pkcs11/token_key_service.h"

#include <gtest/gtest.h>
#include <p11-kit/p11-kit.h>

#include <cstdlib>
#include <fstream>

namespace postrider {
namespace {

constexpr const char* kModule = "/usr/lib/softhsm/libsofthsm2.so";

// SoftHSM, with a token of its own in a directory of its own; and the administrator's hand on its keys.
class SoftHsm {
 public:
  SoftHsm() {
    std::string pattern = "/tmp/postrider-hsm-XXXXXX";
    directory_ = mkdtemp(pattern.data());
    std::ofstream(directory_ + "/conf")
        << "directories.tokendir = " << directory_ << "\nobjectstore.backend = file\nlog.level = ERROR\n";
    setenv("SOFTHSM2_CONF", (directory_ + "/conf").c_str(), 1);
    EXPECT_EQ(run("softhsm2-util --init-token --free --label postrider --pin 4711 --so-pin 9999"), 0);
    // Unmanaged: what it closes is closed for everybody in this process.
    module_ = p11_kit_module_load(kModule, P11_KIT_MODULE_UNMANAGED);
    EXPECT_EQ(p11_kit_module_initialize(module_), CKR_OK);
    CK_SLOT_ID slots[8];
    CK_ULONG count = 8;
    EXPECT_EQ(module_->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; ++i) {
      CK_TOKEN_INFO token{};
      module_->C_GetTokenInfo(slots[i], &token);
      if ((token.flags & CKF_TOKEN_INITIALIZED) != 0) slot_ = slots[i];
    }
    EXPECT_EQ(module_->C_OpenSession(slot_, CKF_SERIAL_SESSION | CKF_RW_SESSION, nullptr, nullptr, &session_),
              CKR_OK);
    EXPECT_EQ(module_->C_Login(session_, CKU_USER, reinterpret_cast<unsigned char*>(pin_), 4), CKR_OK);
  }
  SoftHsm(const SoftHsm&) = delete;
  SoftHsm& operator=(const SoftHsm&) = delete;
  ~SoftHsm() {
    module_->C_CloseSession(session_);
    p11_kit_module_finalize(module_);
    p11_kit_module_release(module_);
    EXPECT_EQ(run("rm -r " + directory_), 0);
  }
  CK_OBJECT_HANDLE make_key(std::string label, bool may_decrypt = true) {
    CK_BBOOL yes = CK_TRUE, decrypts = may_decrypt ? CK_TRUE : CK_FALSE;
    CK_ULONG bytes = 32;
    CK_ATTRIBUTE with[] = {{CKA_TOKEN, &yes, sizeof yes},          {CKA_PRIVATE, &yes, sizeof yes},
                           {CKA_SENSITIVE, &yes, sizeof yes},      {CKA_ENCRYPT, &yes, sizeof yes},
                           {CKA_DECRYPT, &decrypts, sizeof yes},   {CKA_VALUE_LEN, &bytes, sizeof bytes},
                           {CKA_LABEL, label.data(), label.size()}};
    CK_MECHANISM mechanism{CKM_AES_KEY_GEN, nullptr, 0};
    CK_OBJECT_HANDLE key = 0;
    EXPECT_EQ(module_->C_GenerateKey(session_, &mechanism, with, std::size(with), &key), CKR_OK);
    return key;
  }
  void destroy(CK_OBJECT_HANDLE key) { EXPECT_EQ(module_->C_DestroyObject(session_, key), CKR_OK); }
  // Whoever logs out logs out every session of the process.
  void log_everybody_out() {
    EXPECT_EQ(module_->C_CloseAllSessions(slot_), CKR_OK);
    session_ = 0;
  }

 private:
  static int run(const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); }
  std::string directory_;
  CK_FUNCTION_LIST* module_ = nullptr;
  CK_SLOT_ID slot_ = 0;
  CK_SESSION_HANDLE session_ = 0;
  char pin_[5] = "4711";
};

class TokenKeyServiceTest : public ::testing::Test {
 protected:
  static Result<std::unique_ptr<KeyService>> try_open(const std::string& uri,
                                                      const std::string& pin = "4711") {
    TokenOptions options;
    options.uri = uri;
    options.pin = [pin] { return Result<Secret>(Secret(pin)); };
    return open_token_key_service(std::move(options));
  }
  static std::unique_ptr<KeyService> open(const std::string& key, const std::string& pin = "4711") {
    return try_open("pkcs11:token=postrider;object=" + key + "?module-path=" + kModule, pin).value();
  }
  static Error error_of(const Result<Secret>& result) {
    return result ? Error{Errc::invalid, "ACCEPTED", "", ""} : result.error();
  }
  static Error error_of(const Result<std::string>& result) {
    return result ? Error{Errc::invalid, "ACCEPTED", "", ""} : result.error();
  }
  SoftHsm hsm_;
  const CK_OBJECT_HANDLE handle_ = hsm_.make_key("wrapping");
  std::unique_ptr<KeyService> service_ = open("wrapping");
  const std::string key_ = std::string("\0\1\2 bytes of a tenant's key", 28);
};

TEST_F(TokenKeyServiceTest, OpensWhatItWrappedForTheSameUseOnly) {
  const std::string wrapped = service_->wrap(key_, "use").value();
  EXPECT_EQ(wrapped.find(key_), std::string::npos);
  EXPECT_NE(service_->wrap(key_, "use").value(), wrapped) << "each has a nonce of its own";
  EXPECT_EQ(service_->unwrap(wrapped, "use").value().reveal(), key_);
  EXPECT_EQ(error_of(service_->unwrap(wrapped, "another use")).code, "WRAPPED_KEY_CORRUPT");
  EXPECT_EQ(service_->name(), "pkcs11:postrider/wrapping");
  EXPECT_FALSE(service_->is_local());
  EXPECT_EQ(open("wrapping")->unwrap(wrapped, "use").value().reveal(), key_) << "another process's";
}

TEST_F(TokenKeyServiceTest, AChangedByteIsSeen) {
  const std::string wrapped = service_->wrap(key_, "use").value();
  for (std::size_t i = 0; i < wrapped.size(); i += 7) {
    std::string changed = wrapped;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_EQ(error_of(service_->unwrap(changed, "use")).errc, Errc::corrupt) << i;
  }
  EXPECT_EQ(error_of(service_->unwrap("", "use")).errc, Errc::corrupt);
  EXPECT_EQ(service_->unwrap(wrapped, "use").value().reveal(), key_);
}

TEST_F(TokenKeyServiceTest, ASessionThatWasTakenAwayIsOpenedAnew) {
  const std::string wrapped = service_->wrap(key_, "use").value();
  hsm_.log_everybody_out();
  EXPECT_EQ(error_of(service_->unwrap(wrapped, "use")).code, "ACCEPTED");
}

TEST_F(TokenKeyServiceTest, AKeyThatIsGoneOrNotForThisIsDenied) {
  const std::string wrapped = service_->wrap(key_, "use").value();
  hsm_.make_key("only-wraps", false);
  auto half = open("only-wraps");
  const auto half_wrapped = half->wrap(key_, "use").value();
  EXPECT_EQ(error_of(half->unwrap(half_wrapped, "use")).code, "KEY_SERVICE_KEY_UNUSABLE");
  hsm_.destroy(handle_);
  EXPECT_EQ(error_of(service_->unwrap(wrapped, "use")).code, "KEY_SERVICE_KEY_UNUSABLE");
  EXPECT_EQ(error_of(service_->unwrap(wrapped, "use")).errc, Errc::denied);
}

TEST_F(TokenKeyServiceTest, SeveralKeysOfOneNameAreNotGuessedAt) {
  hsm_.make_key("wrapping");
  EXPECT_EQ(error_of(open("wrapping")->wrap(key_, "use")).code, "KEY_SERVICE_KEY_UNUSABLE");
}

TEST_F(TokenKeyServiceTest, AWrongPinIsTriedOnce) {
  hsm_.log_everybody_out();
  int asked = 0;
  TokenOptions options;
  options.uri = std::string("pkcs11:token=postrider;object=wrapping?module-path=") + kModule;
  options.pin = [&asked] {
    ++asked;
    return Result<Secret>(Secret("0000"));
  };
  auto locked_out = open_token_key_service(std::move(options)).value();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(error_of(locked_out->wrap(key_, "use")).code, "KEY_SERVICE_DENIED");
  EXPECT_EQ(error_of(open("wrapping")->wrap(key_, "use")).code, "ACCEPTED")
      << "the token has not locked itself";
  EXPECT_EQ(asked, 1);
}

TEST_F(TokenKeyServiceTest, ATokenThatIsNotThereIsWaitedForAndABadUriIsRefused) {
  auto absent = try_open(std::string("pkcs11:token=elsewhere;object=k?module-path=") + kModule).value();
  EXPECT_EQ(error_of(absent->wrap(key_, "use")).errc, Errc::unavailable);
  const std::string good = std::string("pkcs11:token=postrider;object=wrapping?module-path=") + kModule;
  for (const std::string& uri :
       {std::string("pkcs11:token=%zz"), std::string("pkcs11:token=postrider;object=wrapping"),
        std::string("pkcs11:object=wrapping?module-path=") + kModule,
        std::string("pkcs11:token=postrider?module-path=") + kModule, good + "&pin-value=4711",
        good + ".no"}) {
    const auto refused = try_open(uri);
    ASSERT_FALSE(refused) << uri;
    EXPECT_EQ(refused.error().code, "INVALID_KEY_SERVICE");
    EXPECT_EQ(refused.error().message.find("4711"), std::string::npos);
  }
}

}  // namespace
}  // namespace postrider
