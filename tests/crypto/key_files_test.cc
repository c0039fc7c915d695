#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <set>

#include "engine/core/bytes.h"
#include "engine/crypto/file_key_service.h"
#include "engine/crypto/fresh_secrets.h"
#include "engine/crypto/random_bytes.h"
#include "tests/crypto/error_of.h"
#include "tests/crypto/scratch_dir.h"

namespace postrider::crypto {
namespace {

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}
void write(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
  ::chmod(path.c_str(), 0600);
}
const std::string kLine = "postrider-key-v1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";  // bytes 0 … 31

TEST(KeyFile, IsMadeForUsAloneAndIsOneLine) {
  const ScratchDir dir;
  ASSERT_TRUE(make_key_file(dir / "key"));
  struct stat found {};
  ASSERT_EQ(::stat((dir / "key").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0600u);
  EXPECT_EQ(found.st_nlink, 1u);
  const std::string line = read(dir / "key");
  ASSERT_TRUE(line.starts_with("postrider-key-v1 "));
  EXPECT_EQ(line.back(), '\n');
  EXPECT_EQ(base64_decode(line.substr(17, line.size() - 18)).value().size(), 32u);
  EXPECT_TRUE(open_file_key_service(dir / "key"));
}

TEST(KeyFile, IsNeverOverwritten) {
  const ScratchDir dir;
  write(dir / "key", kLine);
  const auto again = make_key_file(dir / "key");
  ASSERT_FALSE(again);
  EXPECT_EQ(error_of(again).code, "KEY_FILE_EXISTS");
  EXPECT_EQ(error_of(again).errc, Errc::conflict);
  EXPECT_EQ(read(dir / "key"), kLine);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1)
      << "something was left beside";
}

TEST(KeyFile, MissingNamesTheCommandThatMakesOne) {
  const ScratchDir dir;
  const auto missing = open_file_key_service(dir / "nowhere");
  ASSERT_FALSE(missing);
  EXPECT_EQ(error_of(missing).code, "KEY_FILE_MISSING");
  EXPECT_EQ(error_of(missing).errc, Errc::not_found);
  EXPECT_NE(missing.error().suggestion.find("postrider-ops keys new"), std::string::npos);
}

TEST(KeyFile, OpenToOthersIsRefusedWithTheCommandThatMendsIt) {
  const ScratchDir dir;
  write(dir / "key", kLine);
  for (const mode_t mode : {0640u, 0604u, 0660u, 0700u, 0610u}) {
    ASSERT_EQ(::chmod((dir / "key").c_str(), mode), 0);
    const auto refused = open_file_key_service(dir / "key");
    ASSERT_FALSE(refused) << std::oct << mode;
    EXPECT_EQ(error_of(refused).code, "KEY_FILE_PERMISSIONS");
    EXPECT_NE(refused.error().suggestion.find("chmod 0600 " + (dir / "key")), std::string::npos);
  }
  ASSERT_EQ(::chmod((dir / "key").c_str(), 0400), 0);
  EXPECT_TRUE(open_file_key_service(dir / "key")) << "systemd hands out credentials with mode 0400";
}

TEST(KeyFile, OfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  const ScratchDir dir;
  write(dir / "key", kLine);
  ASSERT_EQ(::chown((dir / "key").c_str(), 12345, 0), 0);
  EXPECT_EQ(error_of(open_file_key_service(dir / "key")).code, "KEY_FILE_PERMISSIONS");
}

TEST(KeyFile, DirectoryOrPipeInItsPlaceIsRefusedAtOnce) {
  const ScratchDir dir;
  EXPECT_EQ(error_of(open_file_key_service(dir.path())).code, "KEY_FILE_PERMISSIONS");
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(error_of(open_file_key_service(dir / "pipe")).code, "KEY_FILE_PERMISSIONS");
}

TEST(KeyFile, OfAnotherFormatIsRefusedWithoutShowingIt) {
  const ScratchDir dir;
  for (const std::string& line :
       {std::string("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="), std::string("postrider-key-v2 AAEC"),
        std::string("postrider-key-v1 AAECAwQFBgcICQoLDA0ODw=="), std::string("postrider-key-v1 !!!"),
        std::string(), std::string(70000, 'A')}) {
    write(dir / "key", line);
    const auto refused = open_file_key_service(dir / "key");
    ASSERT_FALSE(refused) << line.size();
    EXPECT_EQ(error_of(refused).code, "KEY_FILE_INVALID");
    EXPECT_EQ(error_of(refused).errc, Errc::corrupt);
    EXPECT_EQ(error_of(refused).message.find("AAEC"), std::string::npos);
  }
}

TEST(FileKeyService, OpensWhatItWrappedForTheSameUseOnly) {
  const ScratchDir dir;
  write(dir / "key", kLine);
  auto service = open_file_key_service(dir / "key").value();
  const std::string wrapped = service->wrap("thirty-two bytes of a tenant key", "use").value();
  EXPECT_EQ(wrapped.find("tenant"), std::string::npos);
  EXPECT_EQ(open_file_key_service(dir / "key").value()->unwrap(wrapped, "use").value().reveal(),
            "thirty-two bytes of a tenant key");
  EXPECT_EQ(error_of(service->unwrap(wrapped, "other use")).errc, Errc::corrupt);
  EXPECT_EQ(error_of(service->unwrap("", "use")).errc, Errc::corrupt);
  for (std::size_t i = 0; i < wrapped.size(); ++i) {
    std::string changed = wrapped;
    changed[i] = static_cast<char>(changed[i] ^ 0x20);
    EXPECT_FALSE(service->unwrap(changed, "use")) << i;
  }
  ASSERT_TRUE(make_key_file(dir / "other"));
  EXPECT_FALSE(open_file_key_service(dir / "other").value()->unwrap(wrapped, "use"));
}

TEST(FileKeyService, IsNamedByItsKeyForEver) {
  const ScratchDir dir;
  write(dir / "key", kLine);
  EXPECT_EQ(open_file_key_service(dir / "key").value()->name(), "file:a7e642a002e6");
}

TEST(FileKeyService, WrappedFormatIsPinned) {
  const ScratchDir dir;
  write(dir / "key", kLine);
  const auto wrapped = base64_decode("AQEBAQEBAQEBAQEBARCsiVEN6w+GprgVezZUmz2/WBvHgSk=");
  ASSERT_TRUE(wrapped);  // computed by another implementation (Python's cryptography)
  EXPECT_EQ(open_file_key_service(dir / "key").value()->unwrap(*wrapped, "use").value().reveal(), "golden");
}

TEST(FreshSecrets, TokenHas256BitsAndIsKeptAsItsHash) {
  const Secret token = fresh_token();
  EXPECT_EQ(token.reveal().size(), 4u + 43u);
  EXPECT_TRUE(token.reveal().starts_with("ptk_"));
  EXPECT_EQ(token.reveal().find_first_of("+/=. "), std::string_view::npos);
  EXPECT_NE(fresh_token().reveal(), token.reveal());
  EXPECT_EQ(token_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(FreshSecrets, SigningSecretSurvivesItsSpelling) {
  const SigningSecret made = fresh_signing_secret();
  EXPECT_EQ(made.key.reveal().size(), 32u);
  const Secret text = format_signing_secret(made);
  EXPECT_TRUE(text.reveal().starts_with("whsec_"));
  EXPECT_EQ(parse_signing_secret(text.reveal()).value().key.reveal(), made.key.reveal());
}

TEST(RandomBytes, NeverRepeatsAcrossRefills) {
  SystemRandom random;
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 10000; ++i) EXPECT_TRUE(seen.insert(random.next()).second);
  RandomBytes bytes;
  std::set<std::string> longer;
  for (int i = 0; i < 200; ++i) EXPECT_TRUE(longer.insert(std::string(bytes.secret(33).reveal())).second);
}

}  // namespace
}  // namespace postrider::crypto
