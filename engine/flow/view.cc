#include "engine/flow/view.h"

#include <algorithm>
#include <utility>

#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

std::string be64(std::int64_t value) {
  std::string bytes(8, '\0');
  auto number = static_cast<std::uint64_t>(value);
  for (int i = 7; i >= 0; --i, number >>= 8)
    bytes[static_cast<std::size_t>(i)] = static_cast<char>(number & 0xff);
  return bytes;
}

std::string be32(Partition value) {
  return be64(value).substr(4);
}

std::int64_t read64(std::string_view bytes) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8 && i < bytes.size(); ++i) {
    number = (number << 8) | static_cast<unsigned char>(bytes[i]);
  }
  return static_cast<std::int64_t>(number);
}

// The first key after every key with that prefix.
std::string after(std::string prefix) {
  while (!prefix.empty()) {
    if (static_cast<unsigned char>(prefix.back()) != 0xff) {
      prefix.back() = static_cast<char>(static_cast<unsigned char>(prefix.back()) + 1);
      return prefix;
    }
    prefix.pop_back();
  }
  return prefix;
}

std::string parked_key(const DeliveryId& id) {
  return be32(partition_of(id.str()).value_or(0)) + id.str();
}
std::string due_key(Partition partition, std::int64_t due, const DeliveryId& id) {
  return be32(partition) + be64(due) + id.str();
}
std::string held_prefix(Partition partition, const Incarnation& incarnation) {
  return be32(partition) + incarnation.str() + '\0';
}
std::string position_key(Position position) {
  return be32(position.partition) + be64(position.offset);
}
std::string claim_key(Position position, const WebhookId& event) {
  return position_key(position).append(event.str()).append(1, '\0');
}
std::string first_key(Partition partition, const Hash128& key) {
  return be32(partition).append(key.view());
}
constexpr std::size_t kIdsInARow = 500;
constexpr std::size_t kIndexKeyRest = 32;  // behind an id
constexpr std::size_t kBatchedClaimsMax = std::size_t{8} << 20;
constexpr std::size_t kIdsFoundMax = 1000;

std::string index_prefix(char kind, std::string_view id) {
  std::string prefix;
  prefix.reserve(id.size() + kIndexKeyRest);
  return prefix.append(1, kind).append(id).append(1, '\0');
}
std::string attempt_key(const DeliveryId& id, Stamp stamp) {
  std::string key;
  key.reserve(id.str().size() + 1 + 2 * sizeof stamp.epoch);
  return key.append(id.str())
      .append(1, '\0')
      .append(be64(stamp.epoch))
      .append(be64(static_cast<std::int64_t>(stamp.sequence)));
}

}  // namespace

void View::broke(const Error& error) {
  if (!broken_) context_.ports.observer.note("error", "view_broken", error.message, &error);
  damaged_ |= error.errc == Errc::corrupt;
  broken_ = error;
}

Result<void> View::flush(bool sync) {
  if (batch_.empty() && !broken_) return {};
  before_flush();
  if (batch_.empty()) put(Family::meta, "probe", "");
  auto written = context_.ports.store.write(batch_, sync);
  if (!written) {
    // Kept and tried again: a full disk heals. What is not written is still on the log.
    broke(written.error());
    return written;
  }
  if (!damaged_) broken_.reset();
  flushed();
  return {};
}

Result<void> View::flush_behind() {
  if (broken_) return flush();  // one step at a time until it holds again
  if (batch_.empty()) return {};
  before_flush();
  const std::size_t ops = batch_.ops.size();
  auto taken = context_.ports.store.write_behind(std::exchange(batch_, {}));
  flushed();
  batch_.ops.reserve(ops);
  if (!taken) broke(taken.error());
  return taken;
}

void View::flushed() {
  batch_.ops.clear();
  dirty_.reset();
  batched_claims_ = 0;
  fresh_first_.clear();
  fresh_parked_.clear();
}

void View::put(Family family, std::string key, std::string value) {
  dirty_.set(static_cast<std::size_t>(family));
  batch_.put(family, std::move(key), std::move(value));
}

void View::erase(Family family, std::string key) {
  dirty_.set(static_cast<std::size_t>(family));
  batch_.erase(family, std::move(key));
}

// What the store does not hold yet.
void View::settle_down(Family family) {
  if (dirty_.test(static_cast<std::size_t>(family)) || broken_) (void)flush();
}

std::optional<std::string> View::get(Family family, std::string_view key) {
  settle_down(family);
  return get_stored(family, key);
}

std::optional<std::string> View::get_stored(Family family, std::string_view key) {
  auto found = context_.ports.store.get(family, key);
  if (!found) {
    broke(found.error());
    return std::nullopt;
  }
  return *std::move(found);
}

void View::scan(Family family, const std::string& from, const std::string& to,
                const std::function<bool(std::string_view, std::string_view)>& each) {
  settle_down(family);
  if (auto done = context_.ports.store.scan(family, from, to, each); !done) broke(done.error());
}

void View::put_ttl(Family family, std::string key, std::int64_t expiry, std::string_view value) {
  std::string bytes;
  bytes.reserve(sizeof expiry + value.size());
  bytes.append(be64(expiry)).append(value);
  put(family, std::move(key), std::move(bytes));
}

std::int64_t View::history_expiry() const {
  return to_ms(context_.log_now()) + context_.config.history_ttl.count();
}

// --- parked and due

std::optional<ParkedState> View::parked(const DeliveryId& id) {
  const std::string key = parked_key(id);
  std::optional<std::string> bytes;
  if (const auto fresh = fresh_parked_.find(key); fresh != fresh_parked_.end()) {
    bytes = batch_.ops[fresh->second].value;
  } else {
    bytes = get_stored(Family::parked, key);
  }
  if (!bytes) return std::nullopt;
  auto fact = wire::decode_parked(context_.config.environment, *bytes);
  if (!fact || !std::holds_alternative<ParkedState>(*fact)) return std::nullopt;
  return std::get<ParkedState>(*std::move(fact));
}

void View::put_parked_row(const DeliveryId& id, std::string bytes) {
  std::string key = parked_key(id);
  fresh_parked_[key] = batch_.ops.size();
  put(Family::parked, std::move(key), std::move(bytes));
}

void View::put_parked(const ParkedState& state, std::optional<std::int64_t> old_due) {
  put_parked(state, wire::encode(context_.config.environment, state), old_due);
}

void View::put_parked(const ParkedState& state, std::string bytes, std::optional<std::int64_t> old_due) {
  const DeliveryRef& ref = state.delivery;
  put_parked_row(ref.id, std::move(bytes));
  if (old_due && *old_due != state.due) erase_due(ref.position.partition, *old_due, ref.id);
  put(Family::due, due_key(ref.position.partition, state.due, ref.id), "");
}

void View::erase_parked(const DeliveryRef& ref, std::optional<std::int64_t> due) {
  std::string key = parked_key(ref.id);
  fresh_parked_[key] = batch_.ops.size();
  erase(Family::parked, std::move(key));
  if (due) erase_due(ref.position.partition, *due, ref.id);
  unhold(ref);
}

void View::erase_due(Partition partition, std::int64_t due, const DeliveryId& id) {
  erase(Family::due, due_key(partition, due, id));
}

void View::move_due(const DeliveryRef& ref, std::int64_t from, std::int64_t to) {
  erase(Family::due, due_key(ref.position.partition, from, ref.id));
  put(Family::due, due_key(ref.position.partition, to, ref.id), "");
}

void View::put_due(ParkedState state, std::int64_t due) {
  state.due = due;
  put_parked_row(state.delivery.id, wire::encode(context_.config.environment, state));
}

std::vector<View::Due> View::due(Partition partition, const Due& from, std::int64_t until,
                                 std::size_t limit) {
  std::vector<Due> rows;
  scan(Family::due, due_key(partition, from.due, from.id), be32(partition) + be64(until + 1),
       [&](std::string_view key, std::string_view) {
         rows.push_back({read64(key.substr(4)), DeliveryId(std::string(key.substr(12)))});
         return rows.size() < limit;
       });
  return rows;
}

std::optional<std::int64_t> View::next_due(Partition partition, const Due& from) {
  std::optional<std::int64_t> next;
  scan(Family::due, due_key(partition, from.due, from.id), after(be32(partition)),
       [&](std::string_view key, std::string_view) {
         next = read64(key.substr(4));
         return false;
       });
  return next;
}

// --- held

void View::hold(const DeliveryRef& ref, std::int64_t due, std::int64_t expiry) {
  if (due != expiry) move_due(ref, due, expiry);
  put(Family::held, held_prefix(ref.position.partition, ref.target.incarnation) + ref.id.str(), be64(expiry));
}

void View::unhold(const DeliveryRef& ref) {
  erase(Family::held, held_prefix(ref.position.partition, ref.target.incarnation) + ref.id.str());
}

bool View::is_held(const DeliveryRef& ref) {
  return get(Family::held, held_prefix(ref.position.partition, ref.target.incarnation) + ref.id.str())
      .has_value();
}

std::vector<DeliveryId> View::held(Partition partition, const Incarnation& incarnation, std::size_t limit) {
  std::vector<DeliveryId> ids;
  const std::string prefix = held_prefix(partition, incarnation);
  scan(Family::held, prefix, after(prefix), [&](std::string_view key, std::string_view) {
    ids.emplace_back(std::string(key.substr(prefix.size())));
    return ids.size() < limit;
  });
  return ids;
}

std::map<Incarnation, std::uint64_t> View::held_counts(Partition partition) {
  std::map<Incarnation, std::uint64_t> counts;
  scan(Family::held, be32(partition), after(be32(partition)), [&](std::string_view key, std::string_view) {
    const std::string_view rest = key.substr(4);
    ++counts[Incarnation(std::string(rest.substr(0, rest.find('\0'))))];
    return true;
  });
  return counts;
}

// --- claim checks

void View::put_claim(Position position, const WebhookId& event, const DeliveryId& id, std::string_view sealed,
                     std::int64_t expiry) {
  const std::string key = claim_key(position, event);
  if (!sealed.empty()) {
    put_ttl(Family::claims, key, expiry, sealed);
    batched_claims_ += sealed.size();
  }
  put_ttl(Family::claims, key + id.str(), expiry, "");
  // Rows may stand ahead of positions: payloads do not wait for the end of the step in memory.
  if (batched_claims_ >= kBatchedClaimsMax) (void)flush();
}

std::optional<std::string> View::claim(Position position, const WebhookId& event) {
  auto bytes = get(Family::claims, claim_key(position, event));
  if (!bytes || bytes->size() < 8) return std::nullopt;
  // Compaction removes expired values some time later; until then they count as gone.
  if (read64(*bytes) <= to_ms(context_.log_now())) return std::nullopt;
  return bytes->substr(8);
}

bool View::drop_claim(Position position, const WebhookId& event, const DeliveryId& id) {
  const std::string prefix = claim_key(position, event);
  erase(Family::claims, prefix + id.str());
  bool needed = false;
  scan(Family::claims, prefix, after(prefix), [&](std::string_view key, std::string_view) {
    needed = key.size() > prefix.size();
    return !needed;
  });
  if (needed || broken_) return false;  // what cannot be read may need it: then its time removes it
  erase(Family::claims, prefix);
  return true;
}

// --- history

void View::put_attempt(const DeliveryId& id, Stamp stamp, std::string_view record) {
  put_ttl(Family::history, attempt_key(id, stamp), history_expiry(), record);
}

void View::put_index(const WebhookId& webhook_id, const std::string& event_id, Position position,
                     const std::vector<DeliveryId>& ids) {
  for (std::size_t first = 0; first < ids.size(); first += kIdsInARow) {
    std::string row;
    for (std::size_t i = first; i < std::min(first + kIdsInARow, ids.size()); ++i) row += ids[i].str() + '\n';
    put_index_row(webhook_id, event_id, position, '\0' + be64(static_cast<std::int64_t>(first)), row);
  }
}

void View::put_index_of(const DeliveryRef& ref) {
  put_index_row(ref.webhook_id, ref.event_id, ref.position, '\1' + ref.id.str(), ref.id.str() + '\n');
}

void View::put_index_row(const WebhookId& webhook_id, const std::string& event_id, Position position,
                         const std::string& part, std::string_view ids) {
  // Attempts may be made as long as the event lives, and each is kept for the history's time.
  const std::int64_t expiry = history_expiry() + context_.config.lifetime.count();
  put_ttl(Family::index, index_prefix('w', webhook_id.str()) + position_key(position) + part, expiry, ids);
  put_ttl(Family::index, index_prefix('e', event_id) + webhook_id.str(), expiry, "");
}

void View::put_end(const DeliveryRef& ref, LogTime ended) {
  put_ttl(Family::history, ref.id.str() + '\2', to_ms(ended) + context_.config.history_ttl.count(), "");
}

void View::put_dead(const DeadLetter& letter) {
  DeadLetter bare = letter;
  bare.sealed_payload.clear();
  put_ttl(Family::history, letter.delivery.id.str() + '\1', history_expiry(),
          wire::encode(context_.config.environment, bare));
}

void View::put_cancelled(const CancelledFact& fact, std::string_view record) {
  put_ttl(Family::history, attempt_key(fact.delivery.id, fact.stamp), history_expiry(), record);
}

bool View::has_ended(const DeliveryId& id) {
  const History seen = history(id);
  if (seen.ended || seen.dead) return true;
  return std::any_of(seen.attempts.begin(), seen.attempts.end(), [&](const std::string& bytes) {
    const auto fact = wire::decode_attempts(context_.config.environment, bytes);
    if (!fact) return false;
    if (std::holds_alternative<CancelledFact>(*fact)) return true;
    const auto* attempt = std::get_if<AttemptFact>(&*fact);
    // An attempt that gave the delivery up is not its end: the dead letter comes after it.
    return attempt != nullptr && attempt->verdict == Verdict::Kind::success;
  });
}

View::History View::history(const DeliveryId& id) {
  History history;
  scan(Family::history, id.str() + '\0', id.str() + '\3', [&](std::string_view key, std::string_view value) {
    if (value.size() < 8) return true;
    switch (key[id.str().size()]) {
      case '\0':
        history.attempts.emplace_back(value.substr(8));
        break;
      case '\1':
        history.dead = std::string(value.substr(8));
        break;
      default:
        history.ended = true;
    }
    return true;
  });
  return history;
}

std::vector<DeliveryId> View::deliveries_of(std::string_view webhook_or_event_id) {
  std::vector<DeliveryId> ids;
  const auto read_webhook = [&](std::string_view webhook) {
    const std::string prefix = index_prefix('w', webhook);
    scan(Family::index, prefix, after(prefix), [&](std::string_view, std::string_view value) {
      for (std::string_view rest = value.substr(std::min<std::size_t>(8, value.size())); !rest.empty();) {
        const std::size_t end = std::min(rest.find('\n'), rest.size() - 1);
        ids.emplace_back(std::string(rest.substr(0, end)));
        rest.remove_prefix(end + 1);
      }
      return ids.size() < kIdsFoundMax;
    });
  };
  read_webhook(webhook_or_event_id);
  if (ids.empty()) {
    std::vector<std::string> webhooks;
    const std::string prefix = index_prefix('e', webhook_or_event_id);
    scan(Family::index, prefix, after(prefix), [&](std::string_view key, std::string_view) {
      webhooks.emplace_back(key.substr(prefix.size()));
      return webhooks.size() < kIdsFoundMax;
    });
    // Anyone may give his events one id, from many sources.
    for (const std::string& webhook : webhooks)
      if (ids.size() < kIdsFoundMax) read_webhook(webhook);
  }
  // An event that was read again, or a retry elsewhere, stands in more than one row.
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

// --- repeats

std::optional<View::First> View::first_row(const std::string& row) {
  if (auto fresh = fresh_first_.find(row); fresh != fresh_first_.end()) return fresh->second;
  auto bytes = get_stored(Family::repeats, row);
  if (!bytes || bytes->size() != 24) return std::nullopt;
  const std::string_view value(*bytes);
  return First{read64(value.substr(8)), from_ms<LogTime>(read64(value.substr(16)))};
}

void View::put_first_row(std::string row, First first) {
  fresh_first_[row] = first;
  // As long again: a repeat may be read long after it was appended.
  const std::int64_t expiry = to_ms(first.appended) + 2 * context_.config.repeat_window.count();
  put_ttl(Family::repeats, std::move(row), expiry, be64(first.offset) + be64(to_ms(first.appended)));
}

std::optional<View::First> View::first_position(Partition partition, const Hash128& key) {
  return first_row(first_key(partition, key));
}

void View::put_first_position(Partition partition, const Hash128& key, First first) {
  put_first_row(first_key(partition, key), first);
}

std::optional<View::First> View::proven_position(Partition partition, const Hash128& proof_key) {
  return first_row(first_key(partition, proof_key) + 'p');
}

void View::put_proven_position(Partition partition, const Hash128& proof_key, First proven) {
  put_first_row(first_key(partition, proof_key) + 'p', proven);
}

std::vector<ParkedState> View::parked_behind(Partition partition, std::string& after_id, std::size_t limit) {
  std::vector<ParkedState> states;
  std::size_t seen = 0;
  const std::string from = after_id.empty() ? be32(partition) : be32(partition) + after_id + '\0';
  scan(Family::parked, from, after(be32(partition)), [&](std::string_view key, std::string_view value) {
    after_id = key.substr(4);
    auto fact = wire::decode_parked(context_.config.environment, value);
    if (fact && std::holds_alternative<ParkedState>(*fact))
      states.push_back(std::get<ParkedState>(*std::move(fact)));
    return ++seen < limit;
  });
  if (seen < limit) after_id.clear();
  return states;
}

std::optional<View::Coverage> View::coverage(Partition partition) {
  auto bytes = get(Family::meta, "firsts" + be32(partition));
  if (!bytes || bytes->size() != 48) return std::nullopt;
  const auto number = [&](std::size_t index) { return read64(std::string_view(*bytes).substr(index * 8)); };
  const auto time = [&](std::size_t index) { return from_ms<LogTime>(number(index)); };
  return Coverage{number(0), time(1), time(2), number(3), time(4), time(5)};
}

void View::put_coverage(Partition partition, const Coverage& coverage) {
  put(Family::meta, "firsts" + be32(partition),
      be64(coverage.next) + be64(to_ms(coverage.time)) + be64(to_ms(coverage.since)) +
          be64(coverage.read_to) + be64(to_ms(coverage.older_since)) + be64(to_ms(coverage.older_until)));
}

// --- positions

std::optional<View::Tail> View::tail(Partition partition) {
  auto bytes = get(Family::meta, "tail" + be32(partition));
  if (!bytes || bytes->size() != 24) return std::nullopt;
  const std::string_view value(*bytes);
  return Tail{read64(value), from_ms<LogTime>(read64(value.substr(8))),
              static_cast<std::uint64_t>(read64(value.substr(16)))};
}

void View::put_tail(Partition partition, const Tail& tail) {
  put(Family::meta, "tail" + be32(partition),
      be64(tail.next) + be64(to_ms(tail.appended)) + be64(static_cast<std::int64_t>(tail.parked)));
}

std::optional<OwnerMark> View::mark(Partition partition) {
  auto bytes = get(Family::meta, "mark" + be32(partition));
  if (!bytes) return std::nullopt;
  auto fact = wire::decode_parked(context_.config.environment, *bytes);
  if (!fact || !std::holds_alternative<OwnerMark>(*fact)) return std::nullopt;
  return std::get<OwnerMark>(*std::move(fact));
}

void View::put_mark(Partition partition, const OwnerMark& mark) {
  put(Family::meta, "mark" + be32(partition), wire::encode(context_.config.environment, mark));
}

bool View::wipe(Partition partition) {
  const std::string prefix = be32(partition);
  erase(Family::meta, "tail" + prefix);
  erase(Family::meta, "mark" + prefix);
  erase(Family::meta, "firsts" + prefix);
  if (!flush()) return false;
  for (Family family : {Family::parked, Family::due, Family::held, Family::claims, Family::repeats}) {
    if (auto done = context_.ports.store.erase_range(family, prefix, after(prefix)); !done) {
      broke(done.error());
      return false;
    }
  }
  return true;
}

}  // namespace postrider::flow
