#pragma once
#include <memory>
#include <optional>
#include <string>

#include "engine/core/result.h"
#include "engine/ports/decode_mark.h"

namespace postrider {

// DecodeMark in a small mapped file of the data directory: what is stored in it survives the process, though
// not the machine, which is enough. One a shard, used on its thread, by at most
// kWatchedMax of them a process.
//
// A death counts when a signal of the process's own making ended it (SIGSEGV, SIGBUS, SIGFPE, SIGILL,
// SIGABRT; std::terminate is an abort) on the very thread that decodes. SIGKILL, the OOM killer's too,
// SIGTERM, power and what somebody sends from outside do not. Three at one record make it suspect. A record
// that is decoded after all, or a death at another one, begins the count anew.
class DecodeMarkFile final : public DecodeMark {
 public:
  static constexpr std::uint32_t kDeathsMax = 3;
  static constexpr std::size_t kWatchedMax = 64;

  // Made when it is not there. A file that is torn, or of another log, is written anew: never a reason not to
  // start. DECODE_MARK_UNUSABLE (unavailable): without one, then.
  static Result<std::unique_ptr<DecodeMarkFile>> open(const std::string& path, const LogIdentity& log);
  ~DecodeMarkFile() override;
  DecodeMarkFile(const DecodeMarkFile&) = delete;
  DecodeMarkFile& operator=(const DecodeMarkFile&) = delete;

  void begin(Position position) override;
  void end() override;
  bool is_suspect(Position position) const override;

  // On the thread that decodes, once. Fatal signals are noted from now on, and then end the process as they
  // always did (core dumps included).
  void watch_signals();

  // What the last life left behind.
  bool was_garbled() const { return garbled_; }
  struct Death {
    Position position;
    int signal = 0;
    std::uint32_t deaths = 0;  // at that record, this one included
  };
  const std::optional<Death>& last_death() const { return last_death_; }

  struct Page;

 private:
  explicit DecodeMarkFile(Page* page) : page_(page) {}
  void read(const LogIdentity& log);

  Page* const page_;
  bool garbled_ = false;
  std::optional<Death> last_death_;
};

}  // namespace postrider
