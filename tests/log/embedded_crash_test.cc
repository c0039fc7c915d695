#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

#include "tests/log/embedded_fixture.h"

// SIGKILL in the middle of appends, and a disk that fills up: both in a child process, which is this program
// again, told by its environment to run one of the Child tests below.
namespace postrider::log_test {
namespace {

using Status = Appended::Status;

constexpr const char* kDirectory = "POSTRIDER_TEST_LOG_DIRECTORY";
constexpr const char* kPipe = "POSTRIDER_TEST_LOG_PIPE";

EmbeddedLog::Options options_of(const std::string& directory) {
  EmbeddedLog::Options options;
  options.directory = directory;
  options.environment = Environment("development");
  options.partitions = 3;
  return options;
}

// What the child says for each acknowledgement, in one write: shorter than PIPE_BUF, so it comes whole or not
// at all.
struct Acknowledgement {
  std::uint64_t number;
  Partition partition;
  Offset offset;
};
std::string value_of(std::uint64_t number) {
  return "value " + std::to_string(number) + std::string(number * 37 % 3000, 'v');
}

class Child {
 public:
  Child(const std::string& test, const std::string& directory) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    read_end_ = ends[0];
    std::vector<std::string> environment = {std::string(kDirectory) + "=" + directory,
                                            std::string(kPipe) + "=" + std::to_string(ends[1])};
    for (char** each = environ; *each; ++each) environment.emplace_back(*each);
    std::vector<std::string> arguments = {"child", "--gtest_also_run_disabled_tests",
                                          "--gtest_filter=" + test};
    const auto pointers = [](std::vector<std::string>& texts) {
      std::vector<char*> out;
      for (std::string& each : texts) out.push_back(each.data());
      out.push_back(nullptr);
      return out;
    };
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addclose(&actions, ends[0]);
    ::posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
    const int failed = ::posix_spawn(&process_, "/proc/self/exe", &actions, nullptr,
                                     pointers(arguments).data(), pointers(environment).data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    if (failed) throw std::runtime_error("no child");
  }
  ~Child() {
    if (process_ > 0) kill_and_wait();
    ::close(read_end_);
  }
  std::optional<Acknowledgement> next() {
    Acknowledgement one;
    const ssize_t got = ::read(read_end_, &one, sizeof one);
    return got == sizeof one ? std::optional(one) : std::nullopt;
  }
  void kill_and_wait() {
    ::kill(process_, SIGKILL);
    wait();
  }
  int wait() {
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = -1;
    return status;
  }

 private:
  pid_t process_ = -1;
  int read_end_ = -1;
};

// Appends for ever, and tells of each acknowledgement.
TEST(EmbeddedCrashChild, DISABLED_AppendsUntilItIsKilled) {
  const char* directory = std::getenv(kDirectory);
  if (!directory) GTEST_SKIP() << "run by EmbeddedCrash only";
  const int pipe = std::atoi(std::getenv(kPipe));
  auto opened = EmbeddedLog::open(options_of(directory));
  ASSERT_TRUE(opened) << opened.error().message;
  auto shard = (*opened)->shard();
  struct Teller : Recorder {
    int pipe = -1;
    void on_appended(std::uint64_t token, const Appended& what) override {
      if (what.status != Status::acknowledged) std::abort();
      const Acknowledgement one{token, what.partition, what.offset};
      if (::write(pipe, &one, sizeof one) != sizeof one) std::abort();
    }
  } teller;
  teller.pipe = pipe;
  const auto seed = static_cast<std::uint64_t>(::getpid()) << 32;  // of this child alone
  for (std::uint64_t number = seed;; ++number) {
    while (!shard->can_append(4096)) shard->poll(teller, 0);
    shard->append(event(static_cast<Partition>(number % 3), "acme", value_of(number)), number);
    shard->poll(teller, 0);
  }
}

TEST(EmbeddedCrash, EveryAcknowledgedRecordSurvivesSigkill) {
  TemporaryDirectory scratch;
  const std::string directory = scratch.path() + "/log";
  std::vector<Acknowledgement> acknowledged;
  for (int round = 0; round < 8; ++round) {
    {
      Child child("EmbeddedCrashChild.DISABLED_AppendsUntilItIsKilled", directory);
      const std::size_t enough = acknowledged.size() + 50 + static_cast<std::size_t>(round) * 130;
      while (acknowledged.size() < enough) {
        const auto one = child.next();
        ASSERT_TRUE(one) << "the child ended by itself";
        acknowledged.push_back(*one);
      }
      child.kill_and_wait();
      while (const auto one = child.next()) acknowledged.push_back(*one);
    }
    auto opened = EmbeddedLog::open(options_of(directory));
    ASSERT_TRUE(opened) << opened.error().message;
    auto client = (*opened)->client();
    for (const Acknowledgement& each : acknowledged) {
      auto record = client->fetch(Topic::events, each.partition, each.offset);
      ASSERT_TRUE(record) << record.error().message;
      ASSERT_EQ(record->value, value_of(each.number));
    }
  }
}

// A limit on the size of files stands for a full disk: write() fails in the middle of an append just the
// same.
TEST(EmbeddedCrashChild, DISABLED_GoesOnWhenTheDiskHasRoomAgain) {
  const char* directory = std::getenv(kDirectory);
  if (!directory) GTEST_SKIP() << "run by EmbeddedCrash only";
  ::signal(SIGXFSZ, SIG_IGN);
  auto opened = EmbeddedLog::open(options_of(directory));
  ASSERT_TRUE(opened) << opened.error().message;
  auto shard = (*opened)->shard();
  Recorder recorder;
  const auto limit_files = [](rlim_t bytes) {
    const rlimit limit{bytes, RLIM_INFINITY};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  };
  const auto append = [&](std::uint64_t number) {
    shard->append(event(0, "acme", value_of(number)), number);
    return pump(
        *shard, recorder, [&] { return recorder.appended.contains(number); }, std::chrono::seconds(20));
  };
  std::uint64_t number = 0;
  for (; number < 20; ++number) ASSERT_TRUE(append(number));
  limit_files(64 * 1024);
  while (recorder.appended[number - 1].status == Status::acknowledged && number < 1000) {
    ASSERT_TRUE(append(number));
    ++number;
  }
  EXPECT_EQ(recorder.appended[number - 1].status, Status::unknown);
  EXPECT_FALSE(shard->can_append(10));
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return !recorder.errors.empty(); }, std::chrono::seconds(20)));

  limit_files(RLIM_INFINITY);
  ASSERT_TRUE(pump(
      *shard, recorder, [&] { return shard->can_append(10); }, std::chrono::seconds(20)));
  const std::uint64_t first_after = number;
  for (; number < first_after + 20; ++number) {
    ASSERT_TRUE(append(number));
    EXPECT_EQ(recorder.appended[number].status, Status::acknowledged)
        << recorder.appended[number].error.message;
  }
  const int pipe = std::atoi(std::getenv(kPipe));
  for (const auto& [token, answer] : recorder.appended) {
    const Acknowledgement one{token, answer.partition, answer.offset};
    if (answer.status != Status::acknowledged) continue;
    ASSERT_EQ(::write(pipe, &one, sizeof one), ssize_t{sizeof one});
  }
  if (!testing::Test::HasFailure()) ::kill(::getpid(), SIGKILL);
}

TEST(EmbeddedCrash, AFullDiskStopsAppendsAndLosesNothing) {
  TemporaryDirectory scratch;
  const std::string directory = scratch.path() + "/log";
  Child child("EmbeddedCrashChild.DISABLED_GoesOnWhenTheDiskHasRoomAgain", directory);
  std::vector<Acknowledgement> acknowledged;
  while (const auto one = child.next()) acknowledged.push_back(*one);
  const int status = child.wait();
  ASSERT_TRUE(WIFSIGNALED(status)) << "one of the child's own expectations failed";
  ASSERT_GE(acknowledged.size(), 40u);
  auto opened = EmbeddedLog::open(options_of(directory));
  ASSERT_TRUE(opened) << opened.error().message;
  auto client = (*opened)->client();
  for (const Acknowledgement& each : acknowledged) {
    auto record = client->fetch(Topic::events, each.partition, each.offset);
    ASSERT_TRUE(record) << record.error().message;
    ASSERT_EQ(record->value, value_of(each.number));
  }
}

}  // namespace
}  // namespace postrider::log_test
