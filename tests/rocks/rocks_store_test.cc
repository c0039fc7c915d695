#include "engine/rocks/rocks_store.h"

#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <iterator>

#include "tests/rocks/error_of.h"
#include "tests/rocks/scratch_dir.h"

namespace postrider::rocks {
namespace {

const Environment kDevelopment("development");

std::string with_expiry(std::int64_t unix_ms, std::string_view rest) {
  std::string value;
  for (int shift = 56; shift >= 0; shift -= 8) {
    value.push_back(static_cast<char>((static_cast<std::uint64_t>(unix_ms) >> shift) & 0xff));
  }
  return value.append(rest);
}

class RocksStoreTest : public ::testing::Test {
 protected:
  void SetUp() override { reopen(); }
  void reopen() {
    store_.reset();
    auto opened = RocksStore::open(options());
    ASSERT_TRUE(opened) << opened.error().message;
    store_ = std::move(*opened);
  }
  RocksStoreOptions options() const {
    RocksStoreOptions options;
    options.directory = dir_ / "view";
    options.environment = kDevelopment;
    return options;
  }
  void put(Family family, std::string key, std::string value) {
    StoreBatch batch;
    batch.put(family, std::move(key), std::move(value));
    ASSERT_TRUE(store_->write(batch, false));
  }
  std::string keys(Family family, std::string_view from, std::string_view to) {
    std::string all;
    EXPECT_TRUE(store_->scan(family, from, to, [&](std::string_view key, std::string_view) {
      all.append(key).append(" ");
      return true;
    }));
    return all;
  }
  std::string files_as_text() const {
    std::string text;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_.path())) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      text.append(std::istreambuf_iterator<char>(file), {});
    }
    return text;
  }

  ScratchDir dir_;
  std::unique_ptr<RocksStore> store_;
};

TEST_F(RocksStoreTest, KeepsFamiliesApartAndSurvivesReopening) {
  for (int i = 0; i < kFamilyCount; ++i) {
    put(static_cast<Family>(i), "key", with_expiry(1'000, std::to_string(i)));
  }
  reopen();
  for (int i = 0; i < kFamilyCount; ++i) {
    EXPECT_EQ(store_->get(static_cast<Family>(i), "key").value(), with_expiry(1'000, std::to_string(i)));
  }
  EXPECT_EQ(store_->get(Family::meta, "other").value(), std::nullopt);
}

TEST_F(RocksStoreTest, ABatchHappensInItsOrder) {
  StoreBatch batch;
  batch.put(Family::due, "a", "1");
  batch.erase(Family::due, "a");
  batch.put(Family::parked, "b", "1");
  batch.put(Family::parked, "b", "2");
  batch.put(Family::parked, std::string("\0\xff", 2), "");
  ASSERT_TRUE(store_->write(batch, true));
  EXPECT_EQ(store_->get(Family::due, "a").value(), std::nullopt);
  EXPECT_EQ(store_->get(Family::parked, "b").value(), "2");
  EXPECT_EQ(store_->get(Family::parked, std::string_view("\0\xff", 2)).value(), "");
}

TEST_F(RocksStoreTest, ALargeBatchKeepsTheOrderOfEachKeysChanges) {
  StoreBatch batch;
  for (int round = 0; round < 3; ++round) {
    for (int key = 200; key-- > 0;) {
      const std::string name = "key" + std::to_string(key);
      if (round == 1)
        batch.erase(Family::parked, name);
      else if (round == 0 || key % 2 == 0)
        batch.put(Family::parked, name, std::to_string(round));
    }
  }
  ASSERT_TRUE(store_->write(batch, true));
  for (int key = 0; key < 200; ++key) {
    const auto value = store_->get(Family::parked, "key" + std::to_string(key)).value();
    EXPECT_EQ(value, key % 2 == 0 ? std::optional<std::string>("2") : std::nullopt) << key;
  }
}

TEST_F(RocksStoreTest, ScansHalfOpenRangesInByteOrderUntilToldToStop) {
  for (const char* key : {"b", "a", "c", "\xff\xff", "d"}) put(Family::due, key, "v");
  EXPECT_EQ(keys(Family::due, "", ""), "a b c d \xff\xff ");
  EXPECT_EQ(keys(Family::due, "b", "d"), "b c ");
  EXPECT_EQ(keys(Family::due, "d", "b"), "");
  EXPECT_EQ(keys(Family::due, "b", "b"), "");
  int seen = 0;
  ASSERT_TRUE(store_->scan(Family::due, "", "", [&](auto, auto) { return ++seen < 2; }));
  EXPECT_EQ(seen, 2);
}

// Its rows lie unsorted in memory, sorted in memory or in files, and filters say which of these know an id.
TEST_F(RocksStoreTest, AJournalsRowsAreFoundWhereverTheyLie) {
  for (const Family family : {Family::history, Family::index}) {
    std::map<std::string, std::string> rows;
    const auto expected = [&](const std::string& from, const std::string& to) {
      std::string all;
      for (auto row = rows.lower_bound(from); row != rows.end() && (to.empty() || row->first < to); ++row)
        all.append(row->first).append(" ");
      return all;
    };
    unsigned next = 1;
    for (int round = 0; round < 25; ++round) {
      StoreBatch batch;
      for (int row = 0; row < 400; ++row) {
        next = next * 1'664'525 + 1'013'904'223;
        auto key = "id" + std::to_string(next % 700) + std::string(1, static_cast<char>(next / 700 % 3));
        key.append(std::to_string(next / 2100 % 50));
        rows[key] = with_expiry(9'000, std::to_string(round));
        batch.put(family, key, rows[key]);
      }
      ASSERT_TRUE(store_->write(batch, false));
      if (round == 11) {
        ASSERT_TRUE(store_->compact(family));
      }
      if (round == 17) reopen();
      for (const int id : {3, 70, 699, 700, 5'000}) {
        const auto part = "id" + std::to_string(id);
        EXPECT_EQ(keys(family, part + '\0', part + '\3'), expected(part + '\0', part + '\3')) << round;
        EXPECT_EQ(keys(family, part + '\1', part + '\2'), expected(part + '\1', part + '\2')) << round;
      }
      const std::string three("id3\0", 4), eight("id8\3", 4);
      EXPECT_EQ(keys(family, three, "id31"), expected(three, "id31"));
      EXPECT_EQ(keys(family, three, eight), expected(three, eight));
      EXPECT_EQ(keys(family, "", ""), expected("", "")) << round;
      const auto& newest = *rows.begin();
      EXPECT_EQ(store_->get(family, newest.first).value(), newest.second);
      EXPECT_EQ(store_->get(family, "id5000" + std::string(1, '\0')).value(), std::nullopt);
    }
  }
}

// Each time that it is, what is written next goes to a new log file of RocksDB's.
TEST_F(RocksStoreTest, AJournalIsPutToOrderFourTimesASecondAtMostHoweverOftenItIsLookedAt) {
  store_.reset();
  std::chrono::steady_clock::time_point now(std::chrono::hours(1));
  RocksStoreOptions with_clock = options();
  with_clock.steady_now = [&now] { return now; };
  store_ = RocksStore::open(with_clock).value();
  const auto newest_log = [this] {
    std::string newest;
    for (const auto& entry : std::filesystem::directory_iterator(dir_ / "view"))
      if (entry.path().extension() == ".log") newest = std::max(newest, entry.path().filename().string());
    return newest;
  };
  int id = 0;
  const auto orders = [&](Family family, int rows) {
    StoreBatch batch;
    for (int row = 0; row < rows; ++row)
      batch.put(family, "id" + std::to_string(++id) + std::string(1, '\0'), with_expiry(9'000, ""));
    EXPECT_TRUE(store_->write(batch, false));
    const auto before = newest_log();
    const auto newest = "id" + std::to_string(id);
    EXPECT_NE(keys(family, newest + '\0', newest + '\1'), "");
    return newest_log() != before;
  };
  EXPECT_FALSE(orders(Family::history, 10)) << "few are sorted as they lie";
  EXPECT_TRUE(orders(Family::history, 2'500));
  EXPECT_FALSE(orders(Family::history, 2'500));
  now += std::chrono::milliseconds(249);
  EXPECT_FALSE(orders(Family::history, 2'500));
  EXPECT_TRUE(orders(Family::index, 2'500)) << "the other one has its own turns";
  now += std::chrono::milliseconds(1);
  EXPECT_TRUE(orders(Family::history, 10));
}

TEST_F(RocksStoreTest, ErasesRangesAndWholeFamilies) {
  for (const Family family : {Family::due, Family::repeats}) {
    for (const char* key : {"a", "b", "c", "d"}) put(family, key, with_expiry(9'000, ""));
    ASSERT_TRUE(store_->compact(family));  // in files, not only in memory
    put(family, "bb", with_expiry(9'000, ""));
    ASSERT_TRUE(store_->erase_range(family, "b", "c"));
    EXPECT_EQ(keys(family, "", ""), "a c d ");
    ASSERT_TRUE(store_->erase_range(family, "c", "b"));
    EXPECT_EQ(keys(family, "", ""), "a c d ");
    ASSERT_TRUE(store_->erase_range(family, "c", ""));
    EXPECT_EQ(keys(family, "", ""), "a ");
    put(family, "c", with_expiry(9'000, ""));
    EXPECT_EQ(keys(family, "", ""), "a c ");
    ASSERT_TRUE(store_->erase_range(family, "", ""));
    EXPECT_EQ(keys(family, "", ""), "");
    ASSERT_TRUE(store_->erase_range(family, "", ""));
  }
  put(Family::parked, "kept", "");
  EXPECT_EQ(keys(Family::parked, "", ""), "kept ");
}

TEST_F(RocksStoreTest, ExpiredValuesAreNotSeenAndOthersAre) {
  put(Family::claims, "early", with_expiry(1'000, "x"));
  put(Family::claims, "late", with_expiry(2'000, "x"));
  put(Family::claims, "odd", "short");  // no expiry to read: kept
  put(Family::meta, "early", with_expiry(1'000, "x"));
  EXPECT_EQ(keys(Family::claims, "", ""), "early late odd ") << "nothing expires before log time is known";
  store_->set_log_time(from_ms<LogTime>(999));
  EXPECT_EQ(keys(Family::claims, "", ""), "early late odd ");
  store_->set_log_time(from_ms<LogTime>(1'000));
  EXPECT_EQ(keys(Family::claims, "", ""), "late odd ");
  EXPECT_EQ(store_->get(Family::claims, "early").value(), std::nullopt);
  EXPECT_TRUE(store_->get(Family::claims, "late").value());
  EXPECT_EQ(keys(Family::meta, "", ""), "early ") << "a family without TTL";
}

TEST_F(RocksStoreTest, CompactionTakesExpiredBytesOffTheDisk) {
  for (const Family family : {Family::claims, Family::history, Family::index, Family::repeats}) {
    put(family, "gone", with_expiry(1'000, "CANARY-GONE"));
    put(family, "kept", with_expiry(9'000, "CANARY-KEPT"));
    store_->set_log_time(from_ms<LogTime>(0));
    ASSERT_TRUE(store_->compact(family));
  }
  ASSERT_NE(files_as_text().find("CANARY-GONE"), std::string::npos);
  store_->set_log_time(from_ms<LogTime>(5'000));
  for (const Family family : {Family::claims, Family::history, Family::index, Family::repeats}) {
    ASSERT_TRUE(store_->compact(family));
  }
  reopen();  // the write-ahead log goes once its families are flushed
  reopen();
  store_->set_log_time(from_ms<LogTime>(0));  // what is still there would show again
  EXPECT_EQ(keys(Family::history, "", ""), "kept ");
  EXPECT_EQ(keys(Family::claims, "", ""), "kept ");
  EXPECT_EQ(files_as_text().find("CANARY-GONE"), std::string::npos);
  EXPECT_NE(files_as_text().find("CANARY-KEPT"), std::string::npos);
}

TEST_F(RocksStoreTest, UnsyncedWritesSurviveTheProcess) {
  put(Family::parked, "key", "written before the kill");
  // What the kernel has while the store is still open is what a killed process leaves.
  std::filesystem::copy(dir_ / "view", dir_ / "left behind", std::filesystem::copy_options::recursive);
  RocksStoreOptions left = options();
  left.directory = dir_ / "left behind";
  auto store = RocksStore::open(left);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ((*store)->get(Family::parked, "key").value(), "written before the kill");
}

TEST_F(RocksStoreTest, WhatIsWrittenBehindIsSeenByTheNextCallAndKeepsItsOrder) {
  const auto batch = [](const std::string& value) {
    StoreBatch ops;
    for (int i = 0; i < 5'000; ++i) ops.put(Family::parked, std::to_string(i), value);
    return ops;
  };
  for (const std::string value : {"one", "two", "three"}) {
    ASSERT_TRUE(store_->write_behind(batch(value)));
    EXPECT_EQ(store_->get(Family::parked, "4999").value(), value);
  }
  ASSERT_TRUE(store_->write_behind(batch("four")));
  ASSERT_TRUE(store_->write_behind(batch("five")));
  put(Family::parked, "0", "six");
  ASSERT_TRUE(store_->write_behind(batch("seven")));
  reopen();
  EXPECT_EQ(store_->get(Family::parked, "0").value(), "seven");
  EXPECT_EQ(store_->get(Family::parked, "4999").value(), "seven");
}

TEST_F(RocksStoreTest, ATornLogIsCutAtTheLastWholeBatch) {
  put(Family::parked, "first", "value");
  put(Family::parked, "second", std::string(1'000, 'v'));
  std::filesystem::copy(dir_ / "view", dir_ / "torn", std::filesystem::copy_options::recursive);
  for (const auto& entry : std::filesystem::directory_iterator(dir_ / "torn")) {
    if (entry.path().extension() == ".log" && entry.file_size() > 500) {
      std::filesystem::resize_file(entry.path(), entry.file_size() - 500);
    }
  }
  RocksStoreOptions torn = options();
  torn.directory = dir_ / "torn";
  auto store = RocksStore::open(torn);
  ASSERT_TRUE(store) << store.error().message;
  EXPECT_EQ((*store)->get(Family::parked, "first").value(), "value");
  EXPECT_EQ((*store)->get(Family::parked, "second").value(), std::nullopt);
}

TEST_F(RocksStoreTest, AnotherEnvironmentIsRefusedEvenOverADamagedView) {
  store_.reset();
  RocksStoreOptions other = options();
  other.environment = Environment("production");
  EXPECT_EQ(error_of(RocksStore::open(other)).code, "DATA_OTHER_ENVIRONMENT");
  EXPECT_EQ(error_of(RocksStore::open(other)).errc, Errc::denied);
  std::ofstream(dir_ / "view/CURRENT") << "nonsense";
  EXPECT_EQ(error_of(RocksStore::open(other)).code, "DATA_OTHER_ENVIRONMENT");
}

TEST_F(RocksStoreTest, AnotherLogIsSeen) {
  ASSERT_TRUE(store_->belongs_to(LogIdentity("log_one")));
  ASSERT_TRUE(store_->belongs_to(LogIdentity("log_one")));
  reopen();
  const auto refused = store_->belongs_to(LogIdentity("log_two"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_of(refused).code, "DATA_OTHER_LOG");
  EXPECT_EQ(error_of(refused).errc, Errc::corrupt);
  EXPECT_TRUE(store_->belongs_to(LogIdentity("log_one")));
}

TEST_F(RocksStoreTest, AnOpenViewIsLocked) {
  const auto second = RocksStore::open(options());
  ASSERT_FALSE(second);
  EXPECT_EQ(error_of(second).code, "DATA_LOCKED");
  EXPECT_EQ(error_of(second).errc, Errc::conflict);
  EXPECT_EQ(error_of(wipe(dir_ / "view")).code, "DATA_LOCKED");
  EXPECT_TRUE(store_->get(Family::meta, "x"));
}

TEST_F(RocksStoreTest, ADamagedViewSaysSoAndCanBeWipedAndMadeAgain) {
  put(Family::meta, "key", "value");
  store_.reset();
  for (const auto& entry : std::filesystem::directory_iterator(dir_ / "view")) {
    if (entry.path().filename().string().starts_with("MANIFEST")) {
      std::ofstream(entry.path()) << "this is no manifest at all, but it is longer than a record's header";
    }
  }
  const auto broken = RocksStore::open(options());
  ASSERT_FALSE(broken);
  EXPECT_EQ(error_of(broken).errc, Errc::corrupt) << broken.error().message;
  ASSERT_TRUE(wipe(dir_ / "view"));
  EXPECT_FALSE(std::filesystem::exists(dir_ / "view"));
  reopen();
  EXPECT_EQ(store_->get(Family::meta, "key").value(), std::nullopt);
}

// A bit flipped in one of the files that lead to all others: it opens, or it is to be wiped, and can be.
TEST_F(RocksStoreTest, AFlippedBitInAMarkOrInCurrentIsDamageAndNoRefusal) {
  for (const char* name : {"view/postrider.view", "view/CURRENT"}) {
    store_.reset();
    std::ifstream file(dir_ / name, std::ios::binary);
    const std::string whole(std::istreambuf_iterator<char>(file), {});
    ASSERT_GT(whole.size(), 10u);
    for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
      std::string flipped = whole;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
      std::ofstream(dir_ / name, std::ios::binary) << flipped;
      const auto opened = RocksStore::open(options());
      ASSERT_TRUE(opened || opened.error().errc == Errc::corrupt)
          << name << ", bit " << bit << ": " << opened.error().code << " " << opened.error().message;
    }
    ASSERT_TRUE(wipe(dir_ / "view")) << name;
    reopen();
  }
}

TEST_F(RocksStoreTest, AViewOfAnotherFormatIsToBeRebuilt) {
  store_.reset();
  std::filesystem::remove(dir_ / "view/postrider.view");
  for (int i = 0; i < 2; ++i)
    std::ofstream(dir_ / "view/postrider.view", std::ios::app) << "postrider-view 999 development\n";
  const auto newer = RocksStore::open(options());
  ASSERT_FALSE(newer);
  EXPECT_EQ(error_of(newer).code, "DATA_OTHER_FORMAT");
  EXPECT_EQ(error_of(newer).errc, Errc::corrupt);
  EXPECT_TRUE(wipe(dir_ / "view"));
}

TEST_F(RocksStoreTest, WipeTouchesNothingOfOthers) {
  store_.reset();
  std::ofstream(dir_ / "view/diary.txt") << "mine";
  ASSERT_TRUE(wipe(dir_ / "view"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_ / "view"), {}), 1);
  EXPECT_TRUE(std::filesystem::exists(dir_ / "view/diary.txt"));
  EXPECT_EQ(error_of(wipe(dir_ / "view")).code, "DATA_NOT_OURS");
  EXPECT_EQ(error_of(RocksStore::open(options())).code, "DATA_NOT_OURS");
  EXPECT_TRUE(wipe(dir_ / "nowhere"));
}

TEST_F(RocksStoreTest, AMarkThatWasNeverFinishedIsNoObstacle) {
  store_.reset();
  ASSERT_TRUE(wipe(dir_ / "view"));
  std::filesystem::create_directory(dir_ / "view");
  std::ofstream(dir_ / "view/postrider.view.new") << "postri";
  reopen();
}

TEST_F(RocksStoreTest, MemoryStaysWithinItsLimit) {
  store_.reset();
  RocksStoreOptions small = options();
  small.memory_bytes = std::size_t{16} << 20;
  auto store = RocksStore::open(small).value();
  std::string payload(64 << 10, 'x');
  for (int i = 0; i < 1'000; ++i) {
    StoreBatch batch;
    batch.put(Family::claims, std::to_string(i), with_expiry(9'000, payload + std::to_string(i * 7919)));
    batch.put(Family::history, std::to_string(i), with_expiry(9'000, payload));
    ASSERT_TRUE(store->write(batch, false));
  }
  int seen = 0;
  ASSERT_TRUE(store->scan(Family::claims, "", "", [&](auto, auto) { return ++seen > 0; }));
  EXPECT_EQ(seen, 1'000);
  EXPECT_LT(store->memory_bytes(), std::size_t{20} << 20);
}

TEST_F(RocksStoreTest, AQueueOfManyDeletedRowsIsReadFromItsMark) {
  // Rows come and go; a reader that starts at the mark it remembers does not wade through the deleted ones.
  StoreBatch batch;
  for (int i = 100'000; i < 200'000; ++i) batch.put(Family::due, std::to_string(i), "");
  ASSERT_TRUE(store_->write(batch, false));
  batch = {};
  for (int i = 100'000; i < 199'999; ++i) batch.erase(Family::due, std::to_string(i));
  ASSERT_TRUE(store_->write(batch, false));
  ASSERT_TRUE(store_->erase_range(Family::due, "", "199999"));
  EXPECT_EQ(keys(Family::due, "", ""), "199999 ");
}

}  // namespace
}  // namespace postrider::rocks
