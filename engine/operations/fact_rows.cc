#include "engine/operations/fact_rows.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <tuple>
#include <type_traits>

namespace postrider {
namespace {

static_assert(std::is_trivially_copyable_v<FactRow>, "goes to disk as it is");

tl::unexpected<Error> no_room(const char* what) {
  const bool too_many = errno == EMFILE || errno == ENFILE;
  return fail(Errc::unavailable, "NO_ROOM",
              std::string("a temporary file cannot be ") + what + ": " + std::strerror(errno),
              too_many ? "raise the limit of open files (ulimit -n), or ask for a shorter span"
                       : "make room, or name another directory in TMPDIR");
}

Result<int> open_unnamed() {
  std::error_code error;
  auto directory = std::filesystem::temp_directory_path(error);
  if (error) directory = "/tmp";
  std::string name = (directory / "postrider-XXXXXX").string();
  const int file = mkostemp(name.data(), O_CLOEXEC);
  if (file < 0) return no_room("made");
  unlink(name.c_str());
  return file;
}

}  // namespace

bool by_event(const FactRow& a, const FactRow& b) {
  return std::tie(a.partition, a.offset, a.delivery, a.kind, a.at) <
         std::tie(b.partition, b.offset, b.delivery, b.kind, b.at);
}

bool by_word(const FactRow& a, const FactRow& b) {
  return std::tie(a.partition, a.delivery, a.at) < std::tie(b.partition, b.delivery, b.at);
}

FactSorter::FactSorter(Less less, std::size_t rows_in_memory)
    : less_(less), rows_in_memory_(rows_in_memory) {}

Result<void> FactSorter::add(const FactRow& row) {
  rows_.push_back(row);
  return rows_.size() < rows_in_memory_ ? Result<void>() : spill();
}

Result<void> FactSorter::spill() {
  std::sort(rows_.begin(), rows_.end(), less_);
  const auto unnamed = open_unnamed();
  if (!unnamed) return fail(unnamed.error());
  File file(fdopen(*unnamed, "w+b"));
  if (!file) {
    close(*unnamed);
    return no_room("opened");
  }
  if (std::fwrite(rows_.data(), sizeof(FactRow), rows_.size(), file.get()) != rows_.size() ||
      std::fflush(file.get()) != 0)
    return no_room("written");
  std::rewind(file.get());
  rows_.clear();
  runs_.push_back({std::move(file), {}});
  return {};
}

Result<bool> FactSorter::read(Run& run) {
  if (std::fread(&run.next, sizeof(FactRow), 1, run.file.get()) == 1) return true;
  if (std::ferror(run.file.get())) return no_room("read");
  return false;
}

Result<void> FactSorter::sort() {
  if (runs_.empty()) {
    std::sort(rows_.begin(), rows_.end(), less_);
    return {};
  }
  if (!rows_.empty())
    if (auto done = spill(); !done) return done;
  for (auto& run : runs_)
    if (auto some = read(run); !some) return fail(some.error());
  std::make_heap(runs_.begin(), runs_.end(),
                 [this](const Run& a, const Run& b) { return less_(b.next, a.next); });
  return {};
}

const FactRow* FactSorter::front() const {
  if (!runs_.empty()) return &runs_.front().next;
  return next_ < rows_.size() ? &rows_[next_] : nullptr;
}

Result<void> FactSorter::pop() {
  if (runs_.empty()) {
    ++next_;
    return {};
  }
  const auto later = [this](const Run& a, const Run& b) { return less_(b.next, a.next); };
  std::pop_heap(runs_.begin(), runs_.end(), later);
  auto some = read(runs_.back());
  if (!some) return fail(some.error());
  if (*some)
    std::push_heap(runs_.begin(), runs_.end(), later);
  else
    runs_.pop_back();
  return {};
}

}  // namespace postrider
