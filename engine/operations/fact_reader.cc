#include "engine/operations/fact_reader.h"

#include <algorithm>
#include <string>
#include <utility>
#include <variant>

#include "engine/operations/delivery_digest.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

using Kind = FactRow::Kind;

// Brokers' clocks differ; a fact may stand under an earlier time than its event.
constexpr std::int64_t kBrokersDifferMs = 60 * 60 * 1000;
// `topics check` refuses less.
constexpr std::int64_t kLettersKeptMs = std::int64_t{7} * 24 * 60 * 60 * 1000;

template <class Fact>
FactRow row_of(Kind kind, const Fact& fact) {
  const DeliveryRef& delivery = fact.delivery;
  FactRow row;
  row.kind = kind;
  row.epoch = fact.stamp.epoch;
  row.partition = delivery.position.partition;
  row.offset = delivery.position.offset;
  row.delivery = digest_of(delivery.id);
  row.registry_version = fact.registry_version;
  row.fan_out = fact.fan_out;
  return row;
}

FactRow row_of(Kind kind, Position position) {
  FactRow row;
  row.kind = kind;
  row.partition = position.partition;
  row.offset = position.offset;
  return row;
}

}  // namespace

FactReader::FactReader(Desk& desk, std::map<Partition, LogClient::Extent> spans, std::int64_t since_ms,
                       Progress progress, const std::atomic<bool>& stop)
    : desk_(desk),
      spans_(std::move(spans)),
      since_ms_(since_ms),
      progress_(std::move(progress)),
      stop_(stop) {}

std::uint64_t FactReader::records() const {
  std::uint64_t all = 0;
  const auto count = [&](Topic topic, Partition partition, bool since) {
    const auto extent = const_cast<FactReader*>(this)->extent_of(topic, partition, since);
    if (extent) all += static_cast<std::uint64_t>(extent->end - extent->begin);
  };
  for (const auto& [partition, span] : spans_) {
    count(Topic::parked, partition, false);
    count(Topic::attempts, partition, true);
  }
  const auto letters = desk_.log.partitions(Topic::dead_letters);
  for (Partition partition = 0; letters && partition < *letters; ++partition)
    count(Topic::dead_letters, partition, true);
  return all;
}

Result<LogClient::Extent> FactReader::extent_of(Topic topic, Partition partition, bool since) const {
  auto extent = desk_.log.extent(topic, partition);
  if (!extent || !since) return extent;
  const auto from = desk_.log.offset_at(topic, partition, from_ms<LogTime>(since_ms_ - kBrokersDifferMs));
  if (!from) return fail(from.error());
  extent->begin = std::clamp(*from, extent->begin, extent->end);
  return extent;
}

Result<void> FactReader::scan(Topic topic, Partition partition, LogClient::Extent extent, const Take& take) {
  Result<void> taken;
  std::uint64_t records = 0;
  auto done = desk_.log.scan(topic, partition, extent.begin, extent.end, [&](const Record& record) {
    taken = take(record);
    if (++records % kTellEvery == 0) progress_(kTellEvery);
    return taken && !stop_;
  });
  progress_(records % kTellEvery);
  return done ? taken : done;
}

Result<void> FactReader::read(FactSorter& rows) {
  if (auto done = read_parked(rows); !done) return done;
  for (const auto& [partition, span] : spans_) {
    const auto extent = extent_of(Topic::attempts, partition, true);
    if (!extent) return fail(extent.error());
    auto done = scan(Topic::attempts, partition, *extent,
                     [&](const Record& record) { return take_attempts(record, rows); });
    if (!done) return done;
  }
  const auto partitions = desk_.log.partitions(Topic::dead_letters);
  if (!partitions) return fail(partitions.error());
  for (Partition partition = 0; partition < *partitions; ++partition)
    if (auto done = read_letters(partition, rows); !done) return done;
  return {};
}

// --- parked

Result<void> FactReader::read_parked(FactSorter& rows) {
  FactSorter words(by_word);
  for (const auto& [partition, span] : spans_) {
    auto extent = desk_.log.extent(Topic::parked, partition);
    if (!extent) return fail(extent.error());
    // The second round takes what came during the first: for such a word compaction may have removed one that
    // the first was about to read.
    for (int round = 0; round < 2; ++round) {
      auto done = scan(Topic::parked, partition, *extent,
                       [&](const Record& record) { return take_word(record, words); });
      if (!done) return done;
      const auto now = desk_.log.extent(Topic::parked, partition);
      if (!now) return fail(now.error());
      extent->begin = std::exchange(extent->end, now->end);
    }
  }
  if (auto done = words.sort(); !done) return done;
  while (const FactRow* front = words.front()) {
    const FactRow word = *front;
    if (auto done = words.pop(); !done) return done;
    const FactRow* next = words.front();
    const bool last = next == nullptr || next->partition != word.partition || next->delivery != word.delivery;
    if (last && word.kind == Kind::parked)
      if (auto done = add(rows, word); !done) return done;
  }
  return {};
}

Result<void> FactReader::take_word(const Record& record, FactSorter& words) {
  if (record.key == kOwnerKey) return {};
  FactRow row;
  row.kind = Kind::unparked;
  row.partition = record.partition;
  if (record.value) {
    const auto fact = wire::decode_parked(desk_.environment, *record.value);
    const auto* state = fact ? std::get_if<ParkedState>(&*fact) : nullptr;
    if (state == nullptr) return {};
    row = row_of(Kind::parked, *state);
  }
  row.delivery = digest_of(record.key);
  row.at = record.offset;
  return words.add(row);
}

// --- attempts and their kin

Result<void> FactReader::add(FactSorter& rows, const FactRow& row) {
  const auto span = spans_.find(row.partition);
  if (span == spans_.end() || row.offset < span->second.begin || row.offset >= span->second.end) return {};
  return rows.add(row);
}

Result<void> FactReader::add_range(FactSorter& rows, FactRow row, Offset first, Offset last) {
  const auto span = spans_.find(row.partition);
  if (span == spans_.end()) return {};
  last = std::min(last, span->second.end - 1);
  for (row.offset = std::max(first, span->second.begin); row.offset <= last; ++row.offset)
    if (auto done = rows.add(row); !done) return done;
  return {};
}

Result<void> FactReader::take_attempts(const Record& record, FactSorter& rows) {
  if (!record.value) return {};
  const auto fact = wire::decode_attempts(desk_.environment, *record.value);
  if (!fact) return {};
  if (const auto* attempt = std::get_if<AttemptFact>(&*fact)) {
    const bool delivered = attempt->verdict == Verdict::Kind::success;
    const bool dead = attempt->verdict == Verdict::Kind::dead;
    auto row = row_of(delivered ? Kind::delivered : dead ? Kind::gave_up : Kind::retried, *attempt);
    row.at = attempt->at;
    return add(rows, row);
  }
  if (const auto* cancelled = std::get_if<CancelledFact>(&*fact)) {
    return add(rows, row_of(Kind::cancelled, *cancelled));
  }
  if (const auto* aside = std::get_if<SetAsideFact>(&*fact)) {
    auto row = row_of(Kind::set_aside, aside->position);
    row.at = aside->at;
    return add(rows, row);
  }
  if (const auto* none = std::get_if<NoMatchFact>(&*fact)) {
    auto row = row_of(Kind::no_match, Position{none->partition, 0});
    row.registry_version = none->registry_version;
    row.epoch = none->stamp.epoch;
    for (const auto& [first, last] : none->offsets)
      if (auto done = add_range(rows, row, first, last); !done) return done;
  } else if (const auto* repeats = std::get_if<RepeatFact>(&*fact)) {
    for (const auto& repeat : repeats->repeats) {
      auto row = row_of(Kind::repeat, Position{repeats->partition, repeat.offset});
      row.at = repeat.first;
      if (auto done = add(rows, row); !done) return done;
    }
  } else if (const auto* lost = std::get_if<SourceLostFact>(&*fact)) {
    // Of offsets that are no more, so of no span; two owners may tell of the same.
    Offset& until = lost_until_[lost->partition];
    const Offset first = std::max(lost->first, until);
    lost_ += static_cast<std::uint64_t>(std::max<Offset>(lost->last + 1 - first, 0));
    until = std::max(until, lost->last + 1);
  }
  return {};
}

// --- dead letters

Result<void> FactReader::read_letters(Partition partition, FactSorter& rows) {
  const auto all = desk_.log.extent(Topic::dead_letters, partition);
  if (!all) return fail(all.error());
  const auto extent = extent_of(Topic::dead_letters, partition, true);
  if (!extent) return fail(extent.error());
  if (all->begin > 0) {
    // Letters have been removed: none that was younger than they are kept at the least.
    std::int64_t since = desk_.now_ms() - kLettersKeptMs;
    auto oldest =
        desk_.log.scan(Topic::dead_letters, partition, all->begin, all->end, [&](const Record& record) {
          since = std::min(since, to_ms(record.appended));
          return false;
        });
    if (!oldest) return oldest;
    letters_since_ = std::max(letters_since_, since);
  }
  return scan(Topic::dead_letters, partition, *extent,
              [&](const Record& record) { return take_letter(record, rows); });
}

Result<void> FactReader::take_letter(const Record& record, FactSorter& rows) {
  if (!record.value) return {};
  const auto fact = wire::decode_dead_letter(desk_.environment, *record.value);
  const auto* letter = fact ? std::get_if<DeadLetter>(&*fact) : nullptr;
  if (letter == nullptr) return {};
  if (category_of(letter->reason) == Category::bad_event)
    return add(rows, row_of(Kind::bad_letter, letter->delivery.position));
  return add(rows, row_of(Kind::dead_letter, *letter));
}

}  // namespace postrider
