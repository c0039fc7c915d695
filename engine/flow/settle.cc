#include "engine/flow/settle.h"

#include <algorithm>
#include <utility>

#include "engine/flow/endpoint_state.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr Millis kTryAgain{200};
constexpr std::size_t kKeptOfTooLarge = 256 * 1024;
constexpr std::size_t kRepeatsPerFact = 2000;  // some 42 bytes each: far below any message limit

std::string error_code(const Outcome& outcome) {
  if (outcome.status >= 200 && outcome.status < 300) return "";
  if (outcome.status != 0) return "HTTP_" + std::to_string(outcome.status);
  std::string code(code_of(outcome.error));
  std::transform(code.begin(), code.end(), code.begin(),
                 [](unsigned char c) { return static_cast<char>(toupper(c)); });
  return code;
}

std::string extension(const Event& event, std::string_view name) {
  for (const auto& [key, value] : event.extensions) {
    if (key == name) return value;
  }
  return "";
}

}  // namespace

Settle::Settle(Context& context, Appender& appender, Ownership& ownership, View& view, ActiveTable& active)
    : context_(context), appender_(appender), ownership_(ownership), view_(view), active_(active) {}

// --- chains

void Settle::start(OwnedPartition& partition, Chain chain) {
  chain.partition = partition.number;
  chain.generation = partition.generation;
  const std::uint64_t id = chains_.add(std::move(chain)).token;
  ++chains_of_[partition.number];
  advance(id);
}

void Settle::end_chain(std::uint64_t id) {
  const Chain* const chain = chains_.find(id);
  if (chain == nullptr) return;
  if (!chain->dropped) --chains_of_[chain->partition];
  chains_.remove(id);
}

void Settle::advance(std::uint64_t id) {
  Chain* const chain = chains_.find(id);
  if (chain == nullptr) return;
  OwnedPartition* partition = ownership_.find(chain->partition, chain->generation);
  if (!partition) {
    end_chain(id);  // the next owner reads the event again
    return;
  }
  if (chain->last_word_stands) {
    finish(id, *chain, *partition);
  } else if (!ownership_.may_act(*partition, context_.steady()) || !write_next(id, *chain, *partition)) {
    waiting_.push_back(id);
  }
}

bool Settle::write_next(std::uint64_t id, Chain& chain, OwnedPartition& partition) {
  if (chain.attempt && !chain.attempt_stands) {
    write_attempt(id, chain, partition);
    return true;
  }
  if (chain.steps_stand < chain.steps.size()) return write_step(id, chain, partition);
  write_last_word(id, chain, partition);
  return true;
}

Appender::Answer Settle::answer_of(std::uint64_t id) {
  return [this, id](const Appended& appended) { answered(id, appended); };
}

void Settle::answered(std::uint64_t id, const Appended& appended) {
  Chain* const chain = chains_.find(id);
  if (chain == nullptr) return;
  chain->asked = false;
  switch (appended.status) {
    case Appended::Status::acknowledged:
      stands(*chain, appended);
      break;
    case Appended::Status::unknown:  // again, under the next sequence, and not at once: it may be known at
                                     // once
      if (chain->dropped) break;
      waiting_.push_back(id);
      return;
    case Appended::Status::refused:
      context_.ports.observer.note("error", "fact_refused", appended.error.message, &appended.error);
      if (chain->dropped) break;
      if (chain->shrink) std::exchange(chain->shrink, nullptr)();
      waiting_.push_back(id);
      return;
  }
  if (chain->dropped) {
    end_chain(id);
  } else {
    advance(id);
  }
}

// What was asked last is on the log.
void Settle::stands(Chain& chain, const Appended& appended) {
  if (chain.attempt && !chain.attempt_stands) {
    chain.attempt_stands = true;
    view_.put_attempt(chain.attempt->id, chain.attempt->stamp, chain.attempt->record);
    return;
  }
  if (chain.steps_stand < chain.steps.size()) {
    Step& step = chain.steps[chain.steps_stand++];
    if (step.acknowledged) step.acknowledged();
    return;
  }
  chain.last_word_stands = true;
  ActiveDelivery* const delivery = active_.find(chain.serial);
  if (delivery != nullptr && std::any_of(delivery->foreign_at.begin(), delivery->foreign_at.end(),
                                         [&](Offset at) { return at > appended.offset; })) {
    chain.last_word_stands = false;  // a foreign word came after ours: say it once more
  }
}

void Settle::finish(std::uint64_t id, Chain& chain, OwnedPartition& partition) {
  const Chain whole = std::move(chain);
  end_chain(id);
  if (whole.done) whole.done(partition);
  ActiveDelivery* const delivery = active_.find(whole.serial);
  if (delivery == nullptr) return;
  if (whole.parking) {
    parked(partition, *delivery, *whole.parking);
  } else {
    ended(partition, *delivery);
  }
}

void Settle::tick(SteadyTime now) {
  if (waiting_.empty() || now < next_try_) return;
  next_try_ = now + kTryAgain;
  for (std::uint64_t id : std::exchange(waiting_, {})) advance(id);
}

// What is under way may still be acknowledged: then its history is written, and nothing else.
void Settle::drop(const OwnedPartition& partition) {
  chains_.for_each([&](std::uint64_t id, Chain& chain) {
    if (chain.partition != partition.number || chain.dropped) return;
    chain.dropped = true;
    if (!chain.asked) end_chain(id);
  });
  chains_of_.erase(partition.number);
  batches_.erase(partition.number);
}

void Settle::write_attempt(std::uint64_t id, Chain& chain, OwnedPartition& partition) {
  Attempt& attempt = *chain.attempt;
  if (attempt.said || attempt.stamp.sequence != partition.sequence) {  // said again, or it had to wait
    attempt.stamp = partition.next_stamp();
    attempt.record = wire::restamp(attempt.record, attempt.stamp);
  }
  attempt.said = true;
  NewRecord record{.topic = Topic::attempts,
                   .partition = partition.number,
                   .key = attempt.id.str(),
                   .value = attempt.record,
                   .headers = {}};
  chain.asked = true;
  appender_.append(std::move(record), answer_of(id), Appender::Owner{partition.number, partition.generation});
}

bool Settle::write_step(std::uint64_t id, Chain& chain, OwnedPartition& partition) {
  Step& step = chain.steps[chain.steps_stand];
  std::string value = step.encode(partition.next_stamp());
  if (value.empty()) return false;
  const bool by_source = step.topic == Topic::attempts;
  NewRecord record{.topic = step.topic,
                   .partition = by_source ? std::optional(partition.number) : std::nullopt,
                   .key = step.key,
                   .value = std::move(value),
                   .headers = {}};
  chain.asked = true;
  appender_.append(std::move(record), answer_of(id), Appender::Owner{partition.number, partition.generation});
  return true;
}

void Settle::take_over_foreign(OwnedPartition& partition, ActiveDelivery& delivery) {
  const auto words = partition.foreign.find(delivery.id);
  if (words == partition.foreign.end()) return;
  delivery.parked = true;
  for (const auto& word : words->second) delivery.foreign_at.push_back(word.at);
  partition.foreign.erase(words);
}

// Of an end: the tombstone, when anything stands on `parked`.
void Settle::write_last_word(std::uint64_t id, Chain& chain, OwnedPartition& partition) {
  ActiveDelivery* const delivery = active_.find(chain.serial);
  if (delivery != nullptr) take_over_foreign(partition, *delivery);
  if (chain.parking) {
    chain.asked = true;
    ownership_.append_parked(partition, *chain.parking, answer_of(id));
    return;
  }
  if (delivery == nullptr || !delivery->parked) {
    chain.last_word_stands = true;
    finish(id, chain, partition);
    return;
  }
  chain.asked = true;
  ownership_.append_tombstone(partition, delivery->id, answer_of(id));
}

// --- deliveries

SealContext Settle::seal_context(const TenantId& tenant, const Target* target, std::string purpose) const {
  return {context_.config.environment, tenant, target ? format_target(*target) : std::string(),
          std::move(purpose)};
}

Settle::Chain Settle::begin_recording(ActiveDelivery& delivery) {
  delivery.stage = ActiveDelivery::Stage::recording;
  Chain chain;
  chain.serial = delivery.serial;
  return chain;
}

// Fills fact_, and says it aloud.
void Settle::tell_attempt(const ActiveDelivery& delivery, const Outcome& outcome, const Verdict& verdict,
                          const AttemptMade& made, LogTime now) {
  AttemptFact& fact = fact_;
  delivery.write_ref(fact.delivery);
  fact.number = std::max<std::uint32_t>(delivery.attempts, 1);
  fact.signed_at = made.signed_at;
  fact.at = to_ms(now);
  fact.status = outcome.status;
  fact.error = outcome.error;
  fact.verdict = verdict.kind;
  fact.next_at = verdict.kind == Verdict::Kind::retry ? to_ms(context_.log_latest() + verdict.delay) : 0;
  fact.phases = outcome.phases;
  fact.phases.queue = made.queue_ms;
  fact.url = made.by->url;
  fact.receiver_request_id.clear();
  for (const char* name : {"X-Request-Id", "Request-Id", "X-Correlation-Id"}) {
    if (const std::string* id = find_header(outcome.headers, name); id && fact.receiver_request_id.empty()) {
      fact.receiver_request_id = id->substr(0, 128);
    }
  }
  fact.sealed_snippet.clear();
  if (!outcome.snippet.empty() && verdict.kind != Verdict::Kind::success) {
    // Without a key there is no snippet; the attempt is told all the same.
    if (auto sealed = context_.ports.keys.seal(
            seal_context(fact.delivery.tenant, &fact.delivery.target, "snippet"), outcome.snippet)) {
      fact.sealed_snippet = *std::move(sealed);
    }
  }
  fact.secret_ids = made.by->secret_ids;
  fact.body_digest = made.body ? made.body->digest : std::string();
  fact.registry_version = delivery.event->registry_version;
  fact.fan_out = delivery.event->fan_out;
  context_.ports.observer.attempt({fact, made.by->attempts_max,
                                   extension(delivery.event->event, "traceparent"), made.rate_limit_remaining,
                                   error_code(outcome), verdict.dead});
}

void Settle::conclude(ActiveDelivery& delivery, const Outcome& outcome, const Verdict& verdict,
                      const AttemptMade& made, LogTime now) {
  OwnedPartition* partition = ownership_.find(delivery.partition(), delivery.generation);
  if (!partition) return;
  delivery.last_status = outcome.status;
  delivery.last_error = outcome.error;
  if (verdict.kind == Verdict::Kind::defer) {
    park(delivery, context_.log_latest() + verdict.delay);
    return;
  }
  Chain chain = begin_recording(delivery);
  tell_attempt(delivery, outcome, verdict, made, now);
  fact_.stamp = partition->next_stamp();
  chain.attempt = Attempt{delivery.id, fact_.stamp, wire::encode(context_.config.environment, fact_), false};
  if (verdict.kind == Verdict::Kind::retry) add_parking(chain, delivery, from_ms<LogTime>(fact_.next_at));
  if (verdict.kind == Verdict::Kind::dead) {
    add_dead_letter(chain, delivery, verdict.dead.value_or(DeadReason::attempts_exhausted));
  }
  start(*partition, std::move(chain));
}

void Settle::park(ActiveDelivery& delivery, LogTime due) {
  OwnedPartition* partition = ownership_.find(delivery.partition(), delivery.generation);
  if (!partition) return;
  if (delivery.parked && delivery.due_row && delivery.foreign_at.empty()) {
    // It waits on without an attempt: its state stands on the log already, only the view moves it. One that
    // the view cannot read is looked at again where it stood.
    std::int64_t row = *delivery.due_row;
    if (auto state = view_.parked(delivery.id)) {
      view_.move_due(state->delivery, row, to_ms(due));
      view_.put_due(*std::move(state), to_ms(due));
      row = to_ms(due);
    }
    partition->due_cursor = std::min(partition->due_cursor, {row, delivery.id});
    partition->next_due = std::min(partition->next_due.value_or(row), row);
    release(*partition, delivery);
    return;
  }
  Chain chain = begin_recording(delivery);
  context_.ports.observer.parked(false);
  add_parking(chain, delivery, due);
  start(*partition, std::move(chain));
}

void Settle::bury(ActiveDelivery& delivery, DeadReason reason) {
  OwnedPartition* partition = ownership_.find(delivery.partition(), delivery.generation);
  if (!partition) return;
  Chain chain = begin_recording(delivery);
  add_dead_letter(chain, delivery, reason);
  start(*partition, std::move(chain));
}

Settle::Step Settle::cancel_step(CancelledFact cancelled) {
  auto fact = std::make_shared<CancelledFact>(std::move(cancelled));  // shared by writing and telling
  return {Topic::attempts, fact->delivery.id.str(),
          [this, fact](Stamp stamp) {
            fact->stamp = stamp;
            return wire::encode(context_.config.environment, *fact);
          },
          [this, fact] {
            view_.put_cancelled(*fact, wire::encode(context_.config.environment, *fact));
            context_.ports.observer.cancelled(*fact);
          }};
}

void Settle::cancel(ActiveDelivery& delivery, CancelReason reason) {
  OwnedPartition* partition = ownership_.find(delivery.partition(), delivery.generation);
  if (!partition) return;
  CancelledFact fact;
  fact.delivery = delivery.ref();
  fact.reason = reason;
  fact.registry_version = delivery.event->registry_version;
  fact.fan_out = delivery.event->fan_out;
  fact.at = to_ms(context_.log_now());
  Chain chain = begin_recording(delivery);
  chain.steps.push_back(cancel_step(std::move(fact)));
  start(*partition, std::move(chain));
}

void Settle::add_dead_letter(Chain& chain, const ActiveDelivery& delivery, DeadReason reason) {
  // Shared by the step that writes it and the one that shrinks it.
  auto letter = std::make_shared<DeadLetter>();
  auto payload = std::make_shared<std::string>();
  letter->delivery = delivery.ref();
  letter->event_source = delivery.event->event.source;
  letter->registry_version = delivery.event->registry_version;
  letter->fan_out = delivery.event->fan_out;
  letter->reason = reason;
  letter->attempts = delivery.attempts;
  letter->last_status = delivery.last_status;
  letter->last_error = delivery.last_error;
  letter->appended = to_ms(delivery.event->appended);
  if (delivery.event->has_payload) {
    *payload = wire::format_protobuf(delivery.event->event);
    letter->payload_bytes = payload->size();
    const Digest digest = sha256(*payload);
    letter->payload_digest.assign(digest.begin(), digest.end());
  }
  chain.shrink = [payload] { payload->resize(std::min(payload->size(), kKeptOfTooLarge)); };
  chain.steps.push_back(
      {Topic::dead_letters, letter->delivery.tenant.str(),
       [this, letter, payload](Stamp stamp) -> std::string {
         letter->stamp = stamp;
         letter->dead_at = to_ms(context_.log_now());
         if (!payload->empty()) {
           auto sealed = context_.ports.keys.seal(
               seal_context(letter->delivery.tenant, &letter->delivery.target, "dead_letter"), *payload);
           if (!sealed && sealed.error().errc != Errc::denied) return {};  // not yet: wait
           letter->sealed_payload = sealed ? *std::move(sealed) : std::string();
         }
         return wire::encode(context_.config.environment, *letter);
       },
       [this, letter] {
         view_.put_dead(*letter);
         context_.ports.observer.dead_letter(*letter);
       }});
}

void Settle::add_parking(Chain& chain, const ActiveDelivery& delivery, LogTime due) {
  chain.parking = std::make_unique<ParkedState>();
  ParkedState& state = *chain.parking;
  delivery.write_ref(state.delivery);
  state.attempts = delivery.attempts;
  state.due = to_ms(due);
  state.appended = to_ms(delivery.event->appended);
  state.fan_out = delivery.event->fan_out;
  state.registry_version = delivery.event->registry_version;
  state.last_status = delivery.last_status;
  state.last_error = delivery.last_error;
}

void Settle::claim(ActiveDelivery& delivery) {
  ActiveEvent& event = *delivery.event;
  const std::int64_t expiry = to_ms(event.appended) + context_.config.lifetime.count() + 3'600'000;
  std::string sealed;
  if (!event.claimed && event.has_payload) {
    auto done = context_.ports.keys.seal(seal_context(delivery.endpoint->tenant, nullptr, "payload"),
                                         wire::format_protobuf(event.event));
    // Without a key no copy is kept: it can be fetched again from its position.
    event.claimed = done.has_value();
    if (done) sealed = *std::move(done);
  }
  view_.put_claim(event.position, event.webhook_id, delivery.id, sealed, expiry);
}

// Whether the view counts it among the parked.
bool Settle::has_row(const ActiveDelivery& delivery) {
  return delivery.due_row || (delivery.parked && view_.parked(delivery.id));
}

void Settle::parked(OwnedPartition& partition, ActiveDelivery& delivery, const ParkedState& state) {
  claim(delivery);
  if (!has_row(delivery)) ++partition.parked;
  view_.put_parked(state, delivery.due_row);
  partition.tail_moved = true;
  partition.due_cursor = std::min(partition.due_cursor, {state.due, state.delivery.id});
  partition.next_due = std::min(partition.next_due.value_or(state.due), state.due);
  release(partition, delivery);
}

void Settle::ended(OwnedPartition& partition, ActiveDelivery& delivery) {
  if (delivery.parked) {
    if (has_row(delivery) && partition.parked > 0) --partition.parked;
    view_.erase_parked(delivery.ref(), delivery.due_row);
    // Siblings that are still at work may have to be claimed anew.
    const ActiveEvent& event = *delivery.event;
    if (view_.drop_claim(event.position, event.webhook_id, delivery.id)) delivery.event->claimed = false;
    partition.tail_moved = true;
  }
  release(partition, delivery);
}

void Settle::release(OwnedPartition& partition, ActiveDelivery& delivery) {
  ActiveEvent& event = *delivery.event;
  for (const Offset at : delivery.foreign_at) {
    if (const auto owed = partition.owed.find(at); owed != partition.owed.end()) partition.owed.erase(owed);
    partition.tail_moved = true;
  }
  if (delivery.counted && --event.unrecorded == 0) {
    ownership_.settled(partition, event);
  }
  active_.remove(delivery.serial);
}

// --- records that make no delivery

template <class Fact>
Settle::Step Settle::fact_step(std::string key, Fact fact) {
  return {Topic::attempts, std::move(key),
          [this, fact = std::move(fact)](Stamp stamp) mutable {
            fact.stamp = stamp;
            return wire::encode(context_.config.environment, fact);
          },
          nullptr};
}

void Settle::set_aside(OwnedPartition& partition, const Record& record, DeadReason reason, const Event* event,
                       std::string detail) {
  auto letter = std::make_shared<DeadLetter>();  // shared by its steps
  auto payload = std::make_shared<std::string>();
  for (const Header& header : record.headers) *payload += header.name + ": " + header.value + "\r\n";
  *payload += "\r\n" + record.value.value_or("");
  if (payload->size() > kKeptOfTooLarge * 2) payload->resize(kKeptOfTooLarge);
  const Position position{record.partition, record.offset};
  letter->delivery.position = position;
  const LogIdentity identity = ownership_.identity();
  letter->delivery.id = delivery_id(identity, position, WebhookId(), Incarnation(), ReplayJobId());
  if (is_tenant_or_endpoint_id(record.key)) letter->delivery.tenant = TenantId(record.key);
  if (event) {
    letter->delivery.tenant = event->tenant;
    letter->delivery.event_id = event->id;
    letter->delivery.event_type = event->type;
  }
  letter->detail = std::move(detail);
  letter->reason = reason;
  letter->appended = to_ms(record.appended);
  letter->payload_bytes = record.value ? record.value->size() : 0;
  const Digest digest = sha256(record.value.value_or(""));
  letter->payload_digest.assign(digest.begin(), digest.end());

  Chain chain;
  chain.shrink = [payload] { payload->resize(std::min(payload->size(), kKeptOfTooLarge)); };
  chain.steps.push_back({Topic::dead_letters, letter->delivery.tenant.str(),
                         [this, letter, payload](Stamp stamp) {
                           letter->stamp = stamp;
                           letter->dead_at = to_ms(context_.log_now());
                           // Whose it is cannot be trusted: sealed under the environment's own key. While no
                           // key can be had: reason, digest and position only.
                           auto sealed = context_.ports.keys.seal(
                               seal_context(TenantId(), nullptr, "dead_letter"), *payload);
                           if (!sealed && is_pending(sealed.error())) return std::string();
                           letter->sealed_payload = sealed ? *std::move(sealed) : std::string();
                           return wire::encode(context_.config.environment, *letter);
                         },
                         [this, letter] { context_.ports.observer.dead_letter(*letter); }});
  SetAsideFact fact;
  fact.position = position;
  fact.reason = reason;
  fact.at = to_ms(context_.log_now());
  chain.steps.push_back(fact_step(letter->delivery.id.str(), std::move(fact)));
  chain.done = [this, offset = record.offset](OwnedPartition& owned) { ownership_.settled(owned, offset); };
  start(partition, std::move(chain));
}

void Settle::cancelled(OwnedPartition& partition, const CancelledFact& cancelled) {
  Chain chain;
  chain.steps.push_back(cancel_step(cancelled));
  chain.done = [this, offset = cancelled.delivery.position.offset](OwnedPartition& owned) {
    ownership_.settled(owned, offset);
  };
  start(partition, std::move(chain));
}

void Settle::no_match(OwnedPartition& partition, Offset offset, Offset registry_version) {
  Batch& batch = batches_[partition.number];
  batch.generation = partition.generation;
  batch.no_match.registry_version = registry_version;
  auto& runs = batch.no_match.offsets;
  if (!runs.empty() && runs.back().second + 1 == offset) {
    runs.back().second = offset;
  } else {
    runs.emplace_back(offset, offset);
  }
}

void Settle::repeat(OwnedPartition& partition, RepeatFact::Repeat repeat) {
  Batch& batch = batches_[partition.number];
  batch.generation = partition.generation;
  batch.repeats.repeats.push_back(std::move(repeat));
  if (batch.repeats.repeats.size() >= kRepeatsPerFact) flush_batches();
}

void Settle::flush_batches() {
  for (auto& [number, batch] : std::exchange(batches_, {})) {
    OwnedPartition* partition = ownership_.find(number, batch.generation);
    if (!partition) continue;
    if (!batch.no_match.offsets.empty()) {
      Chain chain;
      batch.no_match.partition = number;
      chain.steps.push_back(fact_step("no-match", batch.no_match));
      chain.done = [this, runs = batch.no_match.offsets](OwnedPartition& owned) {
        for (const auto& [first, last] : runs) {
          for (Offset offset = first; offset <= last; ++offset) ownership_.settled(owned, offset);
        }
      };
      start(*partition, std::move(chain));
    }
    if (!batch.repeats.repeats.empty()) {
      Chain chain;
      batch.repeats.partition = number;
      chain.steps.push_back(fact_step("repeats", batch.repeats));
      chain.done = [this, repeats = batch.repeats.repeats](OwnedPartition& owned) {
        for (const auto& repeat : repeats) ownership_.settled(owned, repeat.offset);
      };
      start(*partition, std::move(chain));
    }
  }
}

}  // namespace postrider::flow
