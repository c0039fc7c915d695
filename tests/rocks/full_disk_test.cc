#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>

#include "engine/rocks/rocks_store.h"
#include "tests/rocks/scratch_dir.h"

namespace postrider::rocks {
namespace {

// A disk of 40 MiB of our own. Mounting needs root.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=40m") == 0;
    if (!mounted_) why_ = std::strerror(errno);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }
  const std::string& why() const { return why_; }

 private:
  std::string path_;
  bool mounted_ = false;
  std::string why_;
};

TEST(FullDisk, IsReportedLosesNothingAndIsOverOnceThereIsRoom) {
  const ScratchDir dir;
  const SmallDisk disk(dir.path());
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small disk here: " << disk.why();
  RocksStoreOptions options;
  options.directory = dir / "view";
  options.environment = Environment("development");
  auto store = RocksStore::open(options).value();
  std::ofstream(dir / "ballast") << std::string(30 << 20, 'x');

  const std::string value(64 << 10, 'v');
  int written = 0;
  Error error;
  for (; written < 1'000; ++written) {
    StoreBatch batch;
    batch.put(Family::parked, "row" + std::to_string(written), value);
    if (Result<void> put = store->write(batch, true); !put) {
      error = put.error();
      break;
    }
  }
  ASSERT_LT(written, 1'000);
  EXPECT_EQ(error.code, "DISK_FULL") << error.message;
  EXPECT_EQ(error.errc, Errc::overloaded);

  StoreBatch again;
  again.put(Family::parked, "again", value);
  EXPECT_FALSE(store->write(again, true)) << "still full";
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_FALSE(store->write(again, true)) << "still full";
  EXPECT_EQ(store->get(Family::parked, "row0").value(), value) << "reading goes on";

  std::filesystem::remove(dir / "ballast");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  Result<void> resumed = store->write(again, true);
  while (!resumed && std::chrono::steady_clock::now() < deadline) {
    EXPECT_TRUE(resumed.error().retryable()) << resumed.error().code;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    resumed = store->write(again, true);
  }
  ASSERT_TRUE(resumed) << resumed.error().message;
  store.reset();
  store = RocksStore::open(options).value();
  for (int row = 0; row < written; ++row) {
    EXPECT_TRUE(store->get(Family::parked, "row" + std::to_string(row)).value()) << row;
  }
  EXPECT_TRUE(store->get(Family::parked, "again").value());
}

TEST(FullDisk, WhatIsWrittenBehindIsKeptUntilThereIsRoom) {
  const ScratchDir dir;
  const SmallDisk disk(dir.path());
  if (!disk.mounted()) GTEST_SKIP() << "cannot mount a small disk here: " << disk.why();
  RocksStoreOptions options;
  options.directory = dir / "view";
  options.environment = Environment("development");
  auto store = RocksStore::open(options).value();
  std::ofstream(dir / "ballast") << std::string(30 << 20, 'x');

  const std::string value(64 << 10, 'v');
  int given = 0;
  Result<void> taken;
  for (; given < 1'000 && taken; ++given) {
    StoreBatch batch;
    batch.put(Family::parked, "row" + std::to_string(given), value);
    taken = store->write_behind(std::move(batch));
  }
  ASSERT_LT(given, 1'000);
  EXPECT_EQ(taken.error().code, "DISK_FULL") << taken.error().message;
  EXPECT_FALSE(store->get(Family::parked, "row0")) << "what is owed comes first";

  std::filesystem::remove(dir / "ballast");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  const std::string last = "row" + std::to_string(given - 1);
  while (!store->get(Family::parked, last) && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  store.reset();
  store = RocksStore::open(options).value();
  for (int row = 0; row < given; ++row) {
    const auto found = store->get(Family::parked, "row" + std::to_string(row));
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_TRUE(found->has_value()) << row;
  }
}

}  // namespace
}  // namespace postrider::rocks
