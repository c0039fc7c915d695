#pragma once
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

#include "engine/core/bytes.h"
#include "engine/core/ids.h"
#include "engine/core/result.h"

namespace postrider {

// What one fact on the log says about one event, or one delivery of it, in few bytes.
struct FactRow {
  enum class Kind : std::uint8_t {
    delivered,    // an attempt that succeeded
    retried,      // an attempt after which it waits
    gave_up,      // an attempt after which a dead letter follows; `at`: when, unix ms of log time
    dead_letter,  //
    cancelled,    //
    parked,       // `at`: offset on `parked`
    unparked,     // a tombstone there, which names no event; `at`: offset on `parked`
    no_match,     //
    repeat,       // `at`: the position that it repeats
    set_aside,    // `at`: when
    bad_letter,   // the dead letter of what was set aside
  };
  Offset offset = 0;  // of the event, in `partition`
  Offset at = 0;      // by kind
  Offset registry_version = 0;
  Offset epoch = 0;  // its writer's
  Hash128 delivery;  // of its id; of the event as a whole: zeros
  Partition partition = 0;
  std::uint32_t fan_out = 0;
  Kind kind = Kind::retried;
};

// By event, then delivery.
bool by_event(const FactRow& a, const FactRow& b);
// By delivery, then place on `parked`.
bool by_word(const FactRow& a, const FactRow& b);

// Rows in order, whatever their number: in memory while they are few, beyond that in sorted runs in temporary
// files (TMPDIR) that no name points to. add(), then sort(), then front() and pop(). NO_ROOM: the disk is
// full, or no more files may be open.
class FactSorter {
 public:
  using Less = bool (*)(const FactRow&, const FactRow&);
  static constexpr std::size_t kRowsInMemory = 1'000'000;
  explicit FactSorter(Less less, std::size_t rows_in_memory = kRowsInMemory);

  Result<void> add(const FactRow& row);
  Result<void> sort();
  const FactRow* front() const;  // nullptr: no more
  Result<void> pop();

 private:
  struct Closes {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Closes>;
  struct Run {
    File file;
    FactRow next;
  };

  Result<void> spill();
  Result<bool> read(Run& run);  // false: it has ended

  const Less less_;
  const std::size_t rows_in_memory_;
  std::vector<FactRow> rows_;
  std::size_t next_ = 0;   // of rows_, when there are no runs
  std::vector<Run> runs_;  // a heap, the lowest row on top
};

}  // namespace postrider
