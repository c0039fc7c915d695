#include "engine/crypto/file_record_cipher.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <thread>

#include "engine/core/bytes.h"
#include "engine/crypto/file_key_service.h"
#include "tests/crypto/error_of.h"
#include "tests/crypto/scratch_dir.h"

namespace postrider::crypto {
namespace {

using IfMissing = FileRecordCipher::IfMissing;

class FileRecordCipherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(dir_ / "key") << "postrider-key-v1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    ::chmod((dir_ / "key").c_str(), 0600);
    service_ = open_file_key_service(dir_ / "key").value();
  }
  Result<std::unique_ptr<FileRecordCipher>> open(IfMissing if_missing = IfMissing::create) {
    return FileRecordCipher::open(dir_.path(), Environment("development"), *service_, if_missing);
  }

  ScratchDir dir_;
  std::unique_ptr<KeyService> service_;
};

TEST_F(FileRecordCipherTest, OpensAfterARestartWhatItSealedBefore) {
  std::set<std::string> sealed;
  for (int run = 0; run < 3; ++run) {
    auto cipher = open().value();
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(sealed.insert(cipher->seal("CANARY the record").value()).second) << "a nonce came twice";
    }
    for (const std::string& record : sealed) {
      EXPECT_EQ(record.find("CANARY"), std::string::npos);
      EXPECT_EQ(cipher->open(record).value(), "CANARY the record");
    }
  }
  auto cipher = open(IfMissing::refuse).value();
  EXPECT_EQ(cipher->open(cipher->seal("").value()).value(), "");
}

TEST_F(FileRecordCipherTest, AnyChangedByteIsSeen) {
  auto cipher = open().value();
  const std::string sealed = cipher->seal("record").value();
  EXPECT_EQ(sealed.size(), 1u + 16u + 12u + 6u + 16u);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 0x10);
    const auto refused = cipher->open(changed);
    ASSERT_FALSE(refused) << i;
    EXPECT_EQ(error_of(refused).code, "SEALED_RECORD_CORRUPT");
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) EXPECT_FALSE(cipher->open(sealed.substr(0, size)));
}

TEST_F(FileRecordCipherTest, TheKeyFileIsOursAndHoldsNoKeyInTheClear) {
  auto cipher = open().value();
  struct stat found {};
  ASSERT_EQ(::stat((dir_ / "log.key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0600u);
  ASSERT_EQ(::chmod((dir_ / "log.key").c_str(), 0644), 0);
  EXPECT_EQ(error_of(open()).code, "LOG_KEY_PERMISSIONS");
}

TEST_F(FileRecordCipherTest, ALogWithRecordsNeedsItsKey) {
  const auto refused = open(IfMissing::refuse);
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_of(refused).code, "LOG_KEY_MISSING");
}

TEST_F(FileRecordCipherTest, NeedsTheKeyServiceAndEnvironmentItWasMadeWith) {
  ASSERT_TRUE(open());
  const auto elsewhere =
      FileRecordCipher::open(dir_.path(), Environment("production"), *service_, IfMissing::create);
  EXPECT_EQ(error_of(elsewhere).errc, Errc::corrupt);
  ASSERT_TRUE(make_key_file(dir_ / "other"));
  auto other = open_file_key_service(dir_ / "other").value();
  const auto refused =
      FileRecordCipher::open(dir_.path(), Environment("development"), *other, IfMissing::create);
  EXPECT_EQ(error_of(refused).code, "KEY_SERVICE_OTHER");
}

TEST_F(FileRecordCipherTest, DamagedKeyFileIsCorrupt) {
  for (const char* line : {"", "postrider-log-key-v1 ", "nonsense", "postrider-log-key-v1 x y"}) {
    std::ofstream(dir_ / "log.key") << line;
    ::chmod((dir_ / "log.key").c_str(), 0600);
    EXPECT_FALSE(open()) << line;
  }
  std::ofstream(dir_ / "log.key") << "postrider-log-key-v1 " << service_->name() << " AAAA\n";
  EXPECT_EQ(error_of(open()).errc, Errc::corrupt);
}

TEST_F(FileRecordCipherTest, IsThreadSafe) {
  auto cipher = open().value();
  std::vector<std::set<std::string>> sealed(4);
  {
    std::vector<std::jthread> threads;
    for (auto& mine : sealed) {
      threads.emplace_back([&cipher, &mine] {
        for (int i = 0; i < 500; ++i) {
          std::string record = cipher->seal("same").value();
          ASSERT_EQ(cipher->open(record).value(), "same");
          mine.insert(std::move(record));
        }
      });
    }
  }
  std::set<std::string> all;
  for (auto& mine : sealed) all.merge(mine);
  EXPECT_EQ(all.size(), 2000u);
}

TEST_F(FileRecordCipherTest, StoredFormatsArePinned) {
  std::ofstream(dir_ / "log.key")
      << "postrider-log-key-v1 file:a7e642a002e6 "
         "AQUFBQUFBQUFBQUFBSxXuhLEWPyNV+dhi2V+aLolBuaskK/j/EpYqFiiQm4izIzdql0TE66skSJtSPn8pw==\n";
  ::chmod((dir_ / "log.key").c_str(), 0600);
  auto cipher = open(IfMissing::refuse).value();
  EXPECT_EQ(cipher
                ->open(base64_decode(
                           "AQYGBgYGBgYGBgYGBgYGBgYAAAAAAAAAAAAAAQIPAV5Lo1X89ROv8/l5LeigL6uFim0aDpHHwOO0XQ==")
                           .value())
                .value(),
            "golden record");
}

}  // namespace
}  // namespace postrider::crypto
