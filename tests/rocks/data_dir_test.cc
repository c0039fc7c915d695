#include "engine/rocks/data_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/rocks/error_of.h"
#include "tests/rocks/scratch_dir.h"

namespace postrider::rocks {
namespace {

class CountingRandom final : public Random {
 public:
  std::uint64_t next() override { return ++count_ * 0x9e3779b97f4a7c15u; }

 private:
  std::uint64_t count_ = 0;
};

const Environment kDevelopment("development");

TEST(DataDir, IsMadeForUsAlone) {
  const ScratchDir dir;
  CountingRandom random;
  auto data = DataDir::open(dir / "a/b/data/", kDevelopment, random).value();
  EXPECT_EQ(data->path(), dir / "a/b/data");
  EXPECT_EQ(data->view(0), dir / "a/b/data/view");
  struct stat found {};
  ASSERT_EQ(::stat(data->path().c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777, 0700u);
}

TEST(DataDir, KeepsItsInstanceForEver) {
  const ScratchDir dir;
  CountingRandom random;
  const std::string first = DataDir::open(dir / "data", kDevelopment, random).value()->instance();
  EXPECT_TRUE(first.starts_with("ins_"));
  EXPECT_EQ(first.size(), 26u);
  EXPECT_EQ(DataDir::open(dir / "data", kDevelopment, random).value()->instance(), first);
  EXPECT_NE(DataDir::open(dir / "other", kDevelopment, random).value()->instance(), first);
  std::ofstream(dir / "data/instance") << "rubbish\n";
  const std::string renamed = DataDir::open(dir / "data", kDevelopment, random).value()->instance();
  EXPECT_TRUE(renamed.starts_with("ins_"));
  EXPECT_NE(renamed, first);
}

TEST(DataDir, IsHeldByOneAtATime) {
  const ScratchDir dir;
  CountingRandom random;
  auto held = DataDir::open(dir / "data", kDevelopment, random).value();
  const auto second = DataDir::open(dir / "data", kDevelopment, random);
  ASSERT_FALSE(second);
  EXPECT_EQ(error_of(second).code, "DATA_LOCKED");
  EXPECT_EQ(error_of(second).errc, Errc::conflict);
  EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos);
  held.reset();
  EXPECT_TRUE(DataDir::open(dir / "data", kDevelopment, random));
}

TEST(DataDir, OfAnotherEnvironmentIsRefused) {
  const ScratchDir dir;
  CountingRandom random;
  ASSERT_TRUE(DataDir::open(dir / "data", kDevelopment, random));
  const auto refused = DataDir::open(dir / "data", Environment("production"), random);
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_of(refused).code, "DATA_OTHER_ENVIRONMENT");
  EXPECT_NE(refused.error().message.find("development"), std::string::npos);
  EXPECT_TRUE(DataDir::open(dir / "data", kDevelopment, random)) << "a refusal lets go of the lock";
}

TEST(DataDir, WritableByOthersIsRefused) {
  const ScratchDir dir;
  CountingRandom random;
  std::filesystem::create_directory(dir / "data");
  ASSERT_EQ(::chmod((dir / "data").c_str(), 0770), 0);
  const auto refused = DataDir::open(dir / "data", kDevelopment, random);
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_of(refused).code, "DATA_PERMISSIONS");
  ASSERT_EQ(::chmod((dir / "data").c_str(), 0755), 0);
  EXPECT_TRUE(DataDir::open(dir / "data", kDevelopment, random));
}

TEST(DataDir, AFileInItsPlaceIsRefused) {
  const ScratchDir dir;
  CountingRandom random;
  std::ofstream(dir / "data") << "";
  EXPECT_EQ(error_of(DataDir::open(dir / "data", kDevelopment, random)).code, "DATA_UNREADABLE");
}

}  // namespace
}  // namespace postrider::rocks
