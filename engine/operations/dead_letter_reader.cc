#include "engine/operations/dead_letter_reader.h"

#include <algorithm>
#include <cstring>

#include "engine/core/registry.h"
#include "engine/operations/delivery_digest.h"
#include "engine/wire/codec.h"

namespace postrider {
namespace {

// A success beside a dead letter comes of a takeover or of a record that landed late: minutes, not days.
constexpr std::int64_t kBucketMs = 15 * 60 * 1000;
constexpr std::int64_t kBucketsBefore = 1, kBucketsAfter = 4;
// Log time and append times differ by as much as a producer's acknowledgement took.
constexpr std::int64_t kSlackMs = 5 * 60 * 1000;
// Letters are handed over outside the scan that found them: its callback must not use the log.
constexpr std::size_t kBatchLetters = 256, kBatchBytes = 8 << 20;

bool is_closed(DeadLetterState state) {
  return state != DeadLetterState::open;
}

}  // namespace

std::size_t DeadLetterReader::HashOf::operator()(const Hash128& hash) const {
  std::size_t value = 0;
  std::memcpy(&value, hash.bytes.data(), sizeof value);
  return value;
}

DeadLetterReader::DeadLetterReader(Desk& desk, DeadLetterFilter filter)
    : desk_(desk), filter_(std::move(filter)) {
  for (const auto& id : filter_.ids) ids_.insert(id.str());
}

bool DeadLetterReader::wanted(const DeadLetter& letter, const Record& record) const {
  if (!bounds_.job.empty() && letter.delivery.replay_job == bounds_.job) return false;
  const auto end = bounds_.ends.find(record.partition);
  if (end != bounds_.ends.end() && record.offset >= end->second) return false;
  return (ids_.empty() || ids_.contains(letter.delivery.id.str())) && filter_.matches(letter);
}

Result<LogClient::Extent> DeadLetterReader::span_of(Partition partition) {
  auto span = desk_.log.extent(Topic::dead_letters, partition);
  if (!span || filter_.since == 0) return span;
  auto from = desk_.log.offset_at(Topic::dead_letters, partition, from_ms<LogTime>(filter_.since - kSlackMs));
  if (!from) return fail(from.error());
  span->begin = std::max(span->begin, *from);
  return span;
}

Result<void> DeadLetterReader::prepare() {
  const auto partitions = desk_.log.partitions(Topic::dead_letters);
  if (!partitions) return fail(partitions.error());
  for (Partition partition = 0; partition < *partitions; ++partition)
    if (auto done = read_marks(partition); !done) return done;
  return look_for_successes();
}

Result<void> DeadLetterReader::read_marks(Partition partition) {
  const auto span = span_of(partition);
  if (!span) return fail(span.error());
  spans_[partition] = *span;
  return desk_.log.scan(Topic::dead_letters, partition, span->begin, span->end, [this](const Record& record) {
    note(record);
    return true;
  });
}

void DeadLetterReader::note(const Record& record) {
  if (!record.value) return;
  auto fact = wire::decode_dead_letter(desk_.environment, *record.value);
  if (!fact) return;  // another's, or damaged: neither shown nor replayed
  if (const auto* mark = std::get_if<DeadLetterMark>(&*fact)) {
    marks_[digest_of(mark->delivery)] = {
        mark->state, {record.partition, record.offset}, std::hash<std::string>()(mark->job.str())};
  } else if (const auto* letter = std::get_if<DeadLetter>(&*fact); letter && wanted(*letter, record)) {
    candidates_.insert(digest_of(letter->delivery.id));
    const auto source = partition_of(letter->delivery.id.str());
    if (!source || category_of(letter->reason) == Category::bad_event) return;
    const auto bucket = letter->dead_at / kBucketMs;
    for (auto each = bucket - kBucketsBefore; each <= bucket + kBucketsAfter; ++each)
      buckets_[*source].insert(each);
  }
}

Result<void> DeadLetterReader::look_for_successes() {
  for (const auto& [id, mark] : marks_)
    if (is_closed(mark.state)) candidates_.erase(id);
  if (candidates_.empty()) return {};
  const auto partitions = desk_.log.partitions(Topic::attempts);
  if (!partitions) return fail(partitions.error());
  for (const auto& [partition, buckets] : buckets_) {
    if (partition >= *partitions) continue;
    for (auto first = buckets.begin(); first != buckets.end();) {
      auto last = first;
      auto next = std::next(first);
      while (next != buckets.end() && *next == *last + 1) last = next++;
      if (auto done = scan_attempts(partition, *first * kBucketMs, (*last + 1) * kBucketMs); !done)
        return done;
      first = next;
    }
  }
  return {};
}

Result<void> DeadLetterReader::scan_attempts(Partition partition, std::int64_t from, std::int64_t to) {
  const auto begin = desk_.log.offset_at(Topic::attempts, partition, from_ms<LogTime>(from));
  const auto end = desk_.log.offset_at(Topic::attempts, partition, from_ms<LogTime>(to));
  if (!begin) return fail(begin.error());
  if (!end) return fail(end.error());
  return desk_.log.scan(Topic::attempts, partition, *begin, *end, [this](const Record& record) {
    if (++scanned_ > kAttemptsScannedMax) {
      successes_checked_ = false;
      return false;
    }
    const auto id = digest_of(DeliveryId(record.key));
    if (!record.value || !candidates_.contains(id)) return true;
    const auto fact = wire::decode_attempts(desk_.environment, *record.value);
    const auto* attempt = fact ? std::get_if<AttemptFact>(&*fact) : nullptr;
    if (attempt && attempt->verdict == Verdict::Kind::success) delivered_.insert(id);
    return true;
  });
}

std::optional<DeadLetterView> DeadLetterReader::view_of(const Record& record, bool with_payload) {
  if (!record.value) return std::nullopt;
  auto fact = wire::decode_dead_letter(desk_.environment, *record.value);
  auto* letter = fact ? std::get_if<DeadLetter>(&*fact) : nullptr;
  if (!letter || !wanted(*letter, record)) return std::nullopt;
  DeadLetterView view;
  const auto id = digest_of(letter->delivery.id);
  if (const auto mark = marks_.find(id); mark != marks_.end()) view.state = mark->second.state;
  if (!is_closed(view.state) && delivered_.contains(id)) {
    view.state = DeadLetterState::resolved;
    view.delivered_after_all = true;
  }
  if (filter_.state && *filter_.state != view.state) return std::nullopt;
  // A crash may have written the letter twice.
  if (!seen_.insert(id).second) return std::nullopt;
  view.letter = std::move(*letter);
  if (!with_payload) view.letter.sealed_payload.clear();
  view.place = {record.partition, record.offset};
  return view;
}

Result<void> DeadLetterReader::for_each(bool with_payload,
                                        const std::function<Result<bool>(DeadLetterView)>& each) {
  bool go_on = true;
  for (const auto& [partition, span] : spans_) {
    if (auto done = read_letters(partition, with_payload, each, go_on); !done) return done;
    if (!go_on) break;
  }
  return {};
}

Result<void> DeadLetterReader::read_letters(Partition partition, bool with_payload,
                                            const std::function<Result<bool>(DeadLetterView)>& each,
                                            bool& go_on) {
  const Offset end = spans_[partition].end;
  Offset next = spans_[partition].begin;
  while (next < end) {
    std::vector<DeadLetterView> batch;
    std::size_t bytes = 0;
    const auto from = next;
    next = end;
    auto done = desk_.log.scan(Topic::dead_letters, partition, from, end, [&](const Record& record) {
      auto view = view_of(record, with_payload);
      if (!view) return true;
      bytes += view->letter.sealed_payload.size();
      batch.push_back(std::move(*view));
      if (batch.size() < kBatchLetters && bytes < kBatchBytes) return true;
      next = record.offset + 1;
      return false;
    });
    if (!done) return done;
    for (auto& view : batch) {
      auto answer = each(std::move(view));
      if (!answer) return fail(answer.error());
      if (!*answer) return go_on = false, Result<void>();
    }
  }
  return {};
}

bool DeadLetterReader::replayed_by(const DeliveryId& id, const ReplayJobId& job) const {
  const auto mark = marks_.find(digest_of(id));
  return mark != marks_.end() && mark->second.state == DeadLetterState::replayed &&
         mark->second.job == std::hash<std::string>()(job.str());
}

std::uint64_t DeadLetterReader::replayed_by(const ReplayJobId& job) const {
  const auto hash = std::hash<std::string>()(job.str());
  return static_cast<std::uint64_t>(std::count_if(marks_.begin(), marks_.end(), [&](const auto& mark) {
    return mark.second.state == DeadLetterState::replayed && mark.second.job == hash;
  }));
}

bool DeadLetterReader::has_mark(const DeliveryId& id) const {
  return marks_.contains(digest_of(id));
}

Result<DeadLetterMark> DeadLetterReader::fetch_mark(const DeliveryId& id) const {
  const auto place = marks_.at(digest_of(id)).place;
  auto record = desk_.log.fetch(Topic::dead_letters, place.partition, place.offset);
  if (!record) return fail(record.error());
  auto fact = wire::decode_dead_letter(desk_.environment, record->value.value_or(""));
  if (!fact) return fail(fact.error());
  if (auto* mark = std::get_if<DeadLetterMark>(&*fact)) return std::move(*mark);
  return fail(Errc::corrupt, "CORRUPT_RECORD", "a dead letter's mark is no longer one", "look at the topic");
}

}  // namespace postrider
