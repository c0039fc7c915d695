#pragma once
#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/operations/desk.h"
#include "engine/operations/patience.h"

namespace postrider {

// Where a walk back through several partitions stands: what lies below each offset is still to be read.
using LogPlace = std::map<std::pair<Topic, Partition>, Offset>;
// A few bytes a partition, and back; nullopt: it is none. Lives as long as a cursor does, and is stored
// nowhere.
std::string format_place(const LogPlace& place);
std::optional<LogPlace> parse_place(std::string_view bytes);

struct WalkBounds {
  std::int64_t since = 0, until = 0;   // append times, unix ms, [since, until); 0: unbounded
  std::optional<Partition> partition;  // that one alone; nullopt: all
  std::uint64_t records_max = 0;       // looked at in one walk, about
  Patience patience = {};
};

// Reads records of some topics back from where they end, the newest append first across partitions, and looks
// at a bounded number of them: whoever wants more goes on from place(). The log is read forwards only, so
// each partition is read in spans, and of a span only what `take` keeps is held. One thread; one use:
// begin(), then next() until it has no more.
template <class Item>
class NewestFirst {
 public:
  struct Found {
    Item item;
    LogTime appended{};
  };
  // nullopt: of no interest. Called inside a scan: it must not use the log.
  using Take = std::function<std::optional<Item>(const Record&)>;

  NewestFirst(Desk& desk, WalkBounds bounds, Take take)
      : desk_(desk), bounds_(bounds), take_(std::move(take)) {}

  // From `from`; a partition that it does not name, because the topic has grown, from its end.
  Result<void> begin(const std::vector<Topic>& topics, const LogPlace& from) {
    began_at_ = desk_.clock.steady();
    for (const Topic topic : topics) {
      const auto partitions = desk_.log.partitions(topic);
      if (!partitions) return fail(partitions.error());
      for (Partition partition = 0; partition < *partitions; ++partition) {
        if (bounds_.partition && partition != *bounds_.partition) continue;
        if (auto done = begin(topic, partition, from); !done) return done;
      }
    }
    span_first_ = std::clamp<std::uint64_t>(
        bounds_.records_max / 4 / std::max<std::uint64_t>(1, sources_.size()), 1, kSpanFirst);
    for (Source& source : sources_) source.span = static_cast<Offset>(span_first_);
    started_at_ = place();
    return {};
  }

  // The next one; nullopt: there is none, or enough was looked at (more() tells which).
  Result<std::optional<Found>> next() {
    for (Source& source : sources_) {
      while (source.kept.empty() && source.end > source.begin) {
        // Each partition is looked at once at least: so a walk gets on, however many there are.
        if (source.read_once && is_enough()) return std::optional<Found>();
        if (auto done = read_span(source); !done) return fail(done.error());
      }
    }
    Source* newest = nullptr;
    for (Source& source : sources_)
      if (!source.kept.empty() &&
          (newest == nullptr || source.kept.back().found.appended > newest->kept.back().found.appended))
        newest = &source;
    if (newest == nullptr) return std::optional<Found>();
    auto found = std::move(newest->kept.back().found);
    newest->kept.pop_back();
    reached_ = found.appended;
    return std::optional<Found>(std::move(found));
  }

  bool more() const {
    return std::any_of(sources_.begin(), sources_.end(), [](const Source& source) {
      return !source.kept.empty() || source.end > source.begin;
    });
  }
  LogPlace place() const {
    LogPlace place;
    for (const Source& source : sources_)
      place[{source.topic, source.partition}] =
          source.kept.empty() ? source.end : source.kept.back().offset + 1;
    return place;
  }
  const LogPlace& started_at() const { return started_at_; }
  LogTime reached() const { return reached_; }  // append time of the last one that next() gave; 0: none
  // While it has more(): what was appended later than that has been looked at, and was given if it is of
  // interest. Never 0.
  LogTime looked_back_to() const {
    LogTime to = LogTime(Millis(1));
    for (const Source& source : sources_) {
      if (!source.kept.empty())
        to = std::max(to, source.kept.back().found.appended);
      else if (source.end > source.begin)
        to = std::max(to, source.oldest);
    }
    return to;
  }

 private:
  static constexpr std::uint64_t kSpanFirst = 250, kSpanMost = 4'000;
  static constexpr std::uint64_t kSpanBytes = 8 << 20;  // of a longer one the next is shorter
  struct Kept {
    Found found;
    Offset offset = 0;
  };
  struct Source {
    Topic topic = Topic::audit;
    Partition partition = 0;
    Offset begin = 0, end = 0;  // not read yet
    LogTime oldest{};           // of those that were read; before: of what none can be newer than
    Offset span = 1;
    bool read_once = false;
    std::vector<Kept> kept;  // the newest last
  };

  bool is_enough() const {
    const Patience& patience = bounds_.patience;
    return looked_at_ >= bounds_.records_max || (patience.bytes_max != 0 && bytes_ >= patience.bytes_max) ||
           (patience.time_max != Millis(0) && desk_.clock.steady() - began_at_ >= patience.time_max);
  }

  Result<void> begin(Topic topic, Partition partition, const LogPlace& from) {
    auto extent = desk_.log.extent(topic, partition);
    if (!extent) return fail(extent.error());
    Source source{
        .topic = topic, .partition = partition, .begin = extent->begin, .end = extent->end, .kept = {}};
    if (bounds_.since != 0) {
      const auto first = desk_.log.offset_at(topic, partition, from_ms<LogTime>(bounds_.since));
      if (!first) return fail(first.error());
      source.begin = std::max(source.begin, *first);
    }
    if (bounds_.until != 0) {
      const auto last = desk_.log.offset_at(topic, partition, from_ms<LogTime>(bounds_.until));
      if (!last) return fail(last.error());
      source.end = std::min(source.end, *last);
    }
    if (const auto known = from.find({topic, partition}); known != from.end())
      source.end = std::min(source.end, known->second);
    source.end = std::max(source.end, source.begin);
    source.oldest = from_ms<LogTime>(bounds_.until != 0 ? bounds_.until : desk_.now_ms());
    sources_.push_back(std::move(source));
    return {};
  }

  Result<void> read_span(Source& source) {
    const Offset from = std::max(source.begin, source.end - source.span);
    const auto bytes_before = bytes_;
    bool is_first = true;
    auto done = desk_.log.scan(source.topic, source.partition, from, source.end, [&](const Record& record) {
      if (bounds_.patience.stopped()) return false;
      ++looked_at_;
      bytes_ += record.key.size() + (record.value ? record.value->size() : 0);
      if (std::exchange(is_first, false)) source.oldest = record.appended;
      if (auto item = take_(record))
        source.kept.push_back({{std::move(*item), record.appended}, record.offset});
      return true;
    });
    if (!done) return done;
    if (bounds_.patience.stopped()) return fail(walk_stopped());
    // Where compaction has left nothing it costs something all the same.
    ++looked_at_;
    source.end = from;
    source.read_once = true;
    source.span = bytes_ - bytes_before > kSpanBytes ? std::max<Offset>(source.span / 2, 1)
                                                     : std::min<Offset>(source.span * 2, kSpanMost);
    return {};
  }

  Desk& desk_;
  const WalkBounds bounds_;
  const Take take_;
  std::vector<Source> sources_;
  std::uint64_t span_first_ = 1, looked_at_ = 0, bytes_ = 0;
  SteadyTime began_at_{};
  LogPlace started_at_;
  LogTime reached_{};
};

}  // namespace postrider
