#include "engine/daemon/decode_mark_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

// Children that really die: what they were decoding is counted only when it was their own fault.
namespace postrider {
namespace {

const LogIdentity kLog("log_test");
constexpr Position kRecord{3, 77};

class DecodeMarkFileTest : public testing::Test {
 protected:
  DecodeMarkFileTest() {
    std::string place = testing::TempDir() + "decode_mark_XXXXXX";
    directory_ = mkdtemp(place.data());
    path_ = directory_ + "/decoding";
  }
  ~DecodeMarkFileTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<DecodeMarkFile> open(const LogIdentity& log = kLog) const {
    auto mark = DecodeMarkFile::open(path_, log);
    if (!mark) throw std::runtime_error(mark.error().message);
    return *std::move(mark);
  }

  // A process that decodes `position` and does that; the signal that ended it.
  int life(Position position, const std::function<void()>& what) const {
    const pid_t child = fork();
    if (child == 0) {
      const rlimit no_core{0, 0};
      setrlimit(RLIMIT_CORE, &no_core);
      auto mark = open();
      mark->watch_signals();
      mark->begin(position);
      what();
      mark->end();
      _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
  // How often the process has died at that record, as the next one is told.
  std::uint32_t deaths() const {
    const auto mark = open();
    return mark->last_death() ? mark->last_death()->deaths : 0;
  }

  std::string directory_, path_;
};

void segfault() {
  volatile int* nowhere = nullptr;
  *nowhere = 1;  // NOLINT
}
int overflow(int depth) {  // NOLINT(misc-no-recursion)
  volatile char room[4096];
  room[0] = static_cast<char>(depth);
  return depth < 1'000'000 ? overflow(depth + 1) + room[0] : 0;
}

TEST_F(DecodeMarkFileTest, ThreeDeathsAtOneRecordMakeItSuspect) {
  EXPECT_EQ(life(kRecord, segfault), SIGSEGV);
  EXPECT_FALSE(open()->is_suspect(kRecord));
  EXPECT_EQ(life(kRecord, [] { std::abort(); }), SIGABRT);
  EXPECT_FALSE(open()->is_suspect(kRecord));
  EXPECT_EQ(life(kRecord, [] { std::terminate(); }), SIGABRT);
  const auto mark = open();
  EXPECT_TRUE(mark->is_suspect(kRecord));
  EXPECT_FALSE(mark->is_suspect({3, 78}));
  EXPECT_FALSE(mark->is_suspect({2, 77}));
  ASSERT_TRUE(mark->last_death());
  EXPECT_EQ(mark->last_death()->position, kRecord);
  EXPECT_EQ(mark->last_death()->signal, SIGABRT);
  EXPECT_EQ(mark->last_death()->deaths, 3u);
}

TEST_F(DecodeMarkFileTest, ItStaysSuspectUntilSomethingElseKills) {
  for (int i = 0; i < 3; ++i) life(kRecord, segfault);
  EXPECT_EQ(life({3, 80}, [] {}), 0);
  EXPECT_TRUE(open()->is_suspect(kRecord)) << "read again before its settling was committed";
  life({3, 90}, segfault);
  EXPECT_FALSE(open()->is_suspect(kRecord));
}

TEST_F(DecodeMarkFileTest, EveryFatalSignalOfOurOwnMakingCounts) {
  for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) {
    std::filesystem::remove(path_);
    EXPECT_EQ(life(kRecord, [&] { raise(signal); }), signal);
    EXPECT_EQ(deaths(), 1u) << signal;
  }
  std::filesystem::remove(path_);
  EXPECT_EQ(life(kRecord, [] { overflow(0); }), SIGSEGV) << "its stack ran over";
  EXPECT_EQ(deaths(), 1u);
}

TEST_F(DecodeMarkFileTest, KillsFromOutsideDoNotCount) {
  for (const int signal : {SIGKILL, SIGTERM, SIGSEGV, SIGABRT}) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      auto mark = open();
      mark->watch_signals();
      mark->begin(kRecord);
      if (write(pipe_fds[1], "x", 1) != 1) _exit(9);
      for (;;) pause();
    }
    char begun = 0;
    ASSERT_EQ(read(pipe_fds[0], &begun, 1), 1);
    kill(child, signal);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal);
    EXPECT_EQ(deaths(), 0u) << signal;
    close(pipe_fds[0]);
    close(pipe_fds[1]);
  }
}

TEST_F(DecodeMarkFileTest, ADeathOfAnotherThreadOrBetweenRecordsIsNotTheRecords) {
  EXPECT_EQ(life(kRecord, [] { std::thread(segfault).join(); }), SIGSEGV);
  EXPECT_EQ(deaths(), 0u);
  const pid_t child = fork();
  if (child == 0) {
    auto mark = open();
    mark->watch_signals();
    mark->begin(kRecord);
    mark->end();
    segfault();
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(deaths(), 0u);
}

TEST_F(DecodeMarkFileTest, ADeathAtAnotherRecordBeginsTheCountAnew) {
  life(kRecord, segfault);
  life(kRecord, segfault);
  life({3, 78}, segfault);
  EXPECT_EQ(deaths(), 1u);
  life(kRecord, segfault);
  EXPECT_FALSE(open()->is_suspect(kRecord));
}

TEST_F(DecodeMarkFileTest, ARecordThatIsDecodedAfterAllIsCleared) {
  life(kRecord, segfault);
  life(kRecord, segfault);
  life(kRecord, [] {});
  life(kRecord, segfault);
  EXPECT_EQ(deaths(), 1u);
}

TEST_F(DecodeMarkFileTest, AKillInBetweenKeepsTheCount) {
  life(kRecord, segfault);
  life(kRecord, [] { raise(SIGKILL); });
  life(kRecord, segfault);
  life(kRecord, segfault);
  EXPECT_TRUE(open()->is_suspect(kRecord));
}

TEST_F(DecodeMarkFileTest, OffsetsOfAnotherLogAreOtherRecords) {
  for (int i = 0; i < 3; ++i) life(kRecord, segfault);
  const auto mark = open(LogIdentity("log_other"));
  EXPECT_FALSE(mark->is_suspect(kRecord));
  EXPECT_FALSE(mark->was_garbled());
}

TEST_F(DecodeMarkFileTest, ATornFileIsWrittenAnewAndSaidOnce) {
  const auto garble = [&](const std::string& bytes) { std::ofstream(path_, std::ios::trunc) << bytes; };
  for (const std::string& bytes : {std::string("x"), std::string(72, '\xff'), std::string(72, '\0'),
                                   std::string(9000, 'y'), std::string(40, '\0')}) {
    garble(bytes);
    EXPECT_TRUE(open()->was_garbled()) << bytes.size();
    EXPECT_FALSE(open()->was_garbled());
  }
  for (int i = 0; i < 3; ++i) life(kRecord, segfault);
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(24);
  file.put('\x55');  // the count's offset
  file.close();
  const auto mark = open();
  EXPECT_TRUE(mark->was_garbled());
  EXPECT_FALSE(mark->is_suspect(kRecord));
}

TEST_F(DecodeMarkFileTest, AFreshOneSaysNothingAndIsSmall) {
  const auto mark = open();
  EXPECT_FALSE(mark->was_garbled());
  EXPECT_FALSE(mark->last_death());
  struct stat found {};
  ASSERT_EQ(stat(path_.c_str(), &found), 0);
  EXPECT_EQ(found.st_size, 72);
  EXPECT_EQ(found.st_mode & 0777, 0600u);
}

TEST_F(DecodeMarkFileTest, WithoutAPlaceThereIsNoneAndItIsSaid) {
  const auto mark = DecodeMarkFile::open(directory_ + "/nowhere/decoding", kLog);
  ASSERT_FALSE(mark);
  EXPECT_EQ(mark.error().code, "DECODE_MARK_UNUSABLE");
}

}  // namespace
}  // namespace postrider
