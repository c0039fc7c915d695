#include <rocksdb/status.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "engine/embedded/storage.h"
#include "tests/log/embedded_fixture.h"

// Of its own files the embedded log tolerates an unfinished tail, and nothing else: damage is named, and it
// does not start. The images here are copies of a running log's directory: just what SIGKILL leaves.
namespace postrider::log_test {
namespace {

namespace fs = std::filesystem;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<fs::path> files_of(const fs::path& directory, const std::string& extension) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::directory_iterator(directory))
    if (entry.path().extension() == extension && entry.file_size() > 0) out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

// A log with what was acknowledged in it, in files and (unless it was closed) in the write-ahead log.
class DamageTest : public testing::Test {
 protected:
  static constexpr int kRecords = 40;

  void append_all() {
    auto client = log_.client();
    for (int i = 0; i < kRecords; ++i) {
      const auto topic = i % 4 == 0 ? Topic::parked : Topic::events;
      const std::string value(150, static_cast<char>('a' + i % 26));
      auto answer = client->append(record(topic, i % 3, "key" + std::to_string(i), value));
      ASSERT_TRUE(answer && answer->status == Appended::Status::acknowledged);
      expected_.push_back({*answer, topic, value});
    }
  }
  // Half in files, half in the write-ahead log.
  void make_crash_image() {
    append_all();
    log_.reopen();
    append_all();
    copy(log_.directory(), image());
    log_.close();
  }
  void make_closed_image() {
    append_all();
    log_.close();
    copy(log_.directory(), image());
  }
  static void copy(const fs::path& from, const fs::path& to) {
    fs::remove_all(to);
    fs::copy(from, to, fs::copy_options::recursive);
  }

  fs::path image() const { return scratch_.path() + "/image"; }
  fs::path trial() const { return scratch_.path() + "/trial"; }
  fs::path trial_wal() const {
    const auto logs = files_of(trial() / "db", ".log");
    if (logs.size() != 1) throw std::runtime_error("expected one write-ahead log with bytes in it");
    return logs[0];
  }
  void new_trial() { copy(image(), trial()); }

  // nullopt: opened, and all that was acknowledged is there. Else: what it said.
  std::optional<Error> opening() {
    EmbeddedLog::Options options = log_.options();
    options.directory = trial();
    auto opened = EmbeddedLog::open(options);
    if (!opened) return opened.error();
    auto client = (*opened)->client();
    for (const auto& each : expected_) {
      auto read = client->fetch(each.topic, each.appended.partition, each.appended.offset);
      if (!read || read->value != each.value)
        return Error{Errc::not_found, "LOST", "an acknowledged record is gone, and nothing was said", ""};
    }
    return std::nullopt;
  }
  // Flips a bit every `stride` bytes, one at a time; the number of those that were refused. Every refusal's
  // message must hold `names`.
  int flip_through(const fs::path& file, std::size_t stride, const std::string& names = "") {
    const fs::path relative = fs::relative(file, image());
    const std::string sound = contents(file);
    int refused = 0;
    for (std::size_t at = 0; at < sound.size(); at += stride) {
      new_trial();
      std::string broken = sound;
      broken[at] = static_cast<char>(broken[at] ^ (1 << (at % 8)));
      write(trial() / relative, broken);
      const auto said = opening();
      if (!said) continue;
      ++refused;
      EXPECT_NE(said->code, "LOST") << relative << ", byte " << at;
      EXPECT_NE(said->message.find(names), std::string::npos) << said->message;
      EXPECT_FALSE(said->suggestion.empty());
      last_said_ = *said;
    }
    return refused;
  }

  struct Expected {
    Appended appended;
    Topic topic;
    std::string value;
  };
  TemporaryDirectory scratch_;
  EmbeddedFixture log_;
  std::vector<Expected> expected_;
  Error last_said_;
};

TEST_F(DamageTest, WhatWasAcknowledgedIsThereAfterACrash) {
  make_crash_image();
  new_trial();
  const auto said = opening();
  EXPECT_FALSE(said) << said->message;
}

TEST_F(DamageTest, AnUnfinishedTailIsDropped) {
  make_crash_image();
  const std::string header("\x12\x34\x56\x78\x00\x02\x01", 7);  // 512 bytes announced, fewer there
  for (const std::string& tail :
       {header.substr(0, 3), header, header + std::string(100, 'x'), std::string(600, '\0')}) {
    new_trial();
    write(trial_wal(), contents(trial_wal()) + tail);
    const auto said = opening();
    EXPECT_FALSE(said) << said->message;
    // And the next start finds nothing odd either.
    const auto again = opening();
    EXPECT_FALSE(again) << again->message;
  }
}

TEST_F(DamageTest, AnAcknowledgedRecordThatWasCutOffIsMissedNotTakenForATail) {
  make_crash_image();
  for (const std::size_t cut : {1, 100, 1000}) {
    new_trial();
    const std::string wal = contents(trial_wal());
    write(trial_wal(), wal.substr(0, wal.size() - cut));
    const auto said = opening();
    ASSERT_TRUE(said) << cut;
    EXPECT_EQ(said->code, "LOG_DAMAGED");
    EXPECT_EQ(said->errc, Errc::corrupt);
    const auto again = opening();
    EXPECT_TRUE(again && again->code == "LOG_DAMAGED") << "it must not be forgotten at the second start";
  }
}

// As after a power cut, when the mark of what was acknowledged is behind: the tail was never promised.
TEST_F(DamageTest, WithoutTheMarkACutOffLastRecordIsATail) {
  make_crash_image();
  new_trial();
  const std::string wal = contents(trial_wal());
  write(trial_wal(), wal.substr(0, wal.size() - 10));
  fs::remove(trial() / "acknowledged");
  expected_.pop_back();
  const auto said = opening();
  EXPECT_FALSE(said) << said->message;
}

TEST_F(DamageTest, AFlippedBitInTheWriteAheadLogIsNoticed) {
  make_crash_image();
  new_trial();
  const fs::path wal = image() / fs::relative(trial_wal(), trial());
  const std::size_t stride = 331;
  const int trials = static_cast<int>((fs::file_size(wal) + stride - 1) / stride);
  EXPECT_EQ(flip_through(wal, stride), trials);
  EXPECT_EQ(last_said_.code, "LOG_DAMAGED");
}

TEST_F(DamageTest, DamageInTheMiddleOfTheWriteAheadLogIsNamedWithFileAndByte) {
  make_crash_image();
  new_trial();
  std::string wal = contents(trial_wal());
  wal[wal.size() / 2] = static_cast<char>(~wal[wal.size() / 2]);
  write(trial_wal(), wal);
  const auto said = opening();
  ASSERT_TRUE(said);
  EXPECT_EQ(said->errc, Errc::corrupt);
  EXPECT_NE(said->message.find(trial_wal().filename().string()), std::string::npos) << said->message;
  EXPECT_NE(said->message.find("byte"), std::string::npos) << said->message;
}

TEST_F(DamageTest, AFlippedBitInATableIsNoticedOrHarmless) {
  make_closed_image();
  const auto tables = files_of(image() / "db", ".sst");
  ASSERT_FALSE(tables.empty());
  for (const fs::path& table : tables) {
    const std::size_t stride = std::max<std::size_t>(1, fs::file_size(table) / 25);
    EXPECT_GT(flip_through(table, stride, table.filename().string()), 10) << table;
    EXPECT_EQ(last_said_.errc, Errc::corrupt);
  }
}

TEST_F(DamageTest, AFlippedBitInAnyOtherFileIsNoticedOrHarmless) {
  make_crash_image();
  for (const auto& entry : fs::recursive_directory_iterator(image())) {
    const std::string name = entry.path().filename().string();
    if (!entry.is_regular_file() || entry.file_size() == 0 || entry.path().extension() == ".sst") continue;
    if (entry.path().extension() == ".log" || name.starts_with("LOG") || name == "lock") continue;
    flip_through(entry.path(), std::max<std::size_t>(1, entry.file_size() / 20));
  }
}

TEST_F(DamageTest, AMissingFileIsNoticed) {
  make_crash_image();
  std::vector<fs::path> files = files_of(image() / "db", ".sst");
  const auto logs = files_of(image() / "db", ".log");
  files.insert(files.end(), logs.begin(), logs.end());
  ASSERT_GE(files.size(), 2u);
  for (const auto& entry : fs::directory_iterator(image() / "db")) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("MANIFEST") || name == "CURRENT") files.push_back(entry.path());
  }
  for (const fs::path& file : files) {
    new_trial();
    fs::remove(trial() / fs::relative(file, image()));
    const auto said = opening();
    ASSERT_TRUE(said) << file;
    EXPECT_EQ(said->code, "LOG_DAMAGED") << file << ": " << said->message;
  }
}

// No checksum shows a record that is not there: the offsets do.
TEST_F(DamageTest, AHoleInATopicWithoutCompactionIsMissed) {
  make_closed_image();
  const embedded::Place place{Topic::events, 1};
  for (const Offset hole : {Offset{0}, Offset{3}, Offset{9}}) {
    new_trial();
    const std::string name = "record " + std::to_string(hole) + " of events/1 is missing";
    {
      auto storage = embedded::Storage::open({trial() / "db", 3}, false);
      ASSERT_TRUE(storage) << storage.error().message;
      ASSERT_EQ((*storage)->end(place), 10);
      ASSERT_TRUE((*storage)->remove(place, {hole}).ok());
      const auto read = (*storage)->scan(place, 0, 10, [](const Record&) { return true; });
      EXPECT_FALSE(read);
      EXPECT_EQ((*storage)->get(place, hole).error().message, name);
    }
    const auto said = opening();
    ASSERT_TRUE(said) << hole;
    EXPECT_EQ(said->errc, Errc::corrupt);
    EXPECT_EQ(said->message, name);
  }
}

TEST_F(DamageTest, ADatabaseOfAnotherLogIsNoticed) {
  make_closed_image();
  EmbeddedFixture other;
  other.close();
  new_trial();
  copy(fs::path(other.directory()) / "db", trial() / "db");
  const auto said = opening();
  ASSERT_TRUE(said);
  EXPECT_EQ(said->code, "LOG_DAMAGED");
}

}  // namespace
}  // namespace postrider::log_test
