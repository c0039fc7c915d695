#include "engine/telemetry/line_writer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <vector>

namespace postrider::telemetry {
namespace {

using std::chrono::seconds;

class Pipe {
 public:
  Pipe() { EXPECT_EQ(::pipe2(ends_.data(), O_CLOEXEC), 0); }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    close_reader();
    ::close(ends_[1]);
  }
  int writer() const { return ends_[1]; }
  void close_reader() {
    if (ends_[0] >= 0) ::close(ends_[0]);
    ends_[0] = -1;
  }
  std::string read_some() const {
    std::string bytes(1 << 20, '\0');
    const ssize_t size = ::read(ends_[0], bytes.data(), bytes.size());
    bytes.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return bytes;
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

TEST(LineWriter, WritesLinesInOrder) {
  Pipe pipe;
  LineWriter writer(pipe.writer());
  writer.add("one", false);
  writer.add("two", false);
  ASSERT_TRUE(writer.flush(seconds(5)));
  EXPECT_EQ(pipe.read_some(), "one\ntwo\n");
}

TEST(LineWriter, WritesByItselfSoonAndUrgentLinesAtOnce) {
  Pipe pipe;
  LineWriter writer(pipe.writer());
  writer.add("quiet", false);
  EXPECT_EQ(pipe.read_some(), "quiet\n");  // blocks until it comes
  writer.add("urgent", true);
  EXPECT_EQ(pipe.read_some(), "urgent\n");
}

TEST(LineWriter, WritesWhatWaitsBeforeItGoes) {
  Pipe pipe;
  { LineWriter(pipe.writer()).add("last words", false); }
  EXPECT_EQ(pipe.read_some(), "last words\n");
}

TEST(LineWriter, AReaderThatStandsStillHoldsNobodyUpAndCostsBoundedMemory) {
  Pipe pipe;
  const auto started = std::chrono::steady_clock::now();
  {
    LineWriter writer(pipe.writer());
    const std::string line(1023, 'x');
    for (int i = 0; i < 20'000; ++i) writer.add(line, true);
    EXPECT_GT(writer.dropped(), 10'000u);
    EXPECT_LT(writer.dropped(), 20'000u);
    EXPECT_FALSE(writer.flush(std::chrono::milliseconds(10)));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, seconds(10)) << "the destructor gave up in time";
}

TEST(LineWriter, SurvivesAClosedReader) {
  Pipe pipe;
  pipe.close_reader();
  LineWriter writer(pipe.writer());
  writer.add("to nobody", true);  // no SIGPIPE
  EXPECT_TRUE(writer.flush(seconds(5)));
}

TEST(LineWriter, TakesLinesFromManyThreadsWhole) {
  Pipe pipe;
  std::string all;
  std::thread reader([&] {
    while (all.size() < 4u * 2'000 * 100) all += pipe.read_some();
  });
  {
    LineWriter writer(pipe.writer());
    std::vector<std::jthread> threads;
    for (char name = 'a'; name < 'e'; ++name) {
      threads.emplace_back([&writer, name] {
        const std::string line(99, name);
        for (int i = 0; i < 2'000; ++i) writer.add(line, false);
      });
    }
    threads.clear();
    EXPECT_TRUE(writer.flush(seconds(10)));
    EXPECT_EQ(writer.dropped(), 0u);
  }
  reader.join();
  for (std::size_t at = 0; at < all.size(); at += 100) {
    ASSERT_EQ(all.substr(at, 100), std::string(99, all[at]) + "\n");
  }
}

}  // namespace
}  // namespace postrider::telemetry
