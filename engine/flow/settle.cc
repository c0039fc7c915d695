#include "engine/flow/settle.h"

#include <algorithm>
#include <utility>

#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider::flow {
namespace {

constexpr Millis kTryAgain{200};
constexpr std::size_t kKeptOfTooLarge = 256 * 1024;

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
  const std::uint64_t id = ++last_chain_;
  chains_.emplace(id, std::make_unique<Chain>(std::move(chain)));
  ++chains_of_[partition.number];
  advance(id);
}

void Settle::end_chain(std::uint64_t id) {
  auto at = chains_.find(id);
  if (at == chains_.end()) return;
  --chains_of_[at->second->partition];
  chains_.erase(at);
}

void Settle::advance(std::uint64_t id) {
  auto at = chains_.find(id);
  if (at == chains_.end()) return;
  Chain& chain = *at->second;
  OwnedPartition* partition = ownership_.find(chain.partition, chain.generation);
  if (!partition) {
    end_chain(id);  // the next owner reads the event again
    return;
  }
  if (chain.taken == chain.steps.size()) {
    auto done = std::move(chain.done);
    end_chain(id);
    if (done) done(*partition);
    return;
  }
  if (!ownership_.may_act(*partition, context_.steady())) {
    waiting_.push_back(id);
    return;
  }
  const std::shared_ptr<Step> step =
      chain.steps[chain.taken];  // a step that answers at once ends its own chain
  if (!(*step)(*partition, [this, id](const Appended& appended) { answered(id, appended); }))
    waiting_.push_back(id);
}

void Settle::answered(std::uint64_t id, const Appended& appended) {
  auto at = chains_.find(id);
  if (at == chains_.end()) return;
  Chain& chain = *at->second;
  switch (appended.status) {
    case Appended::Status::acknowledged:
      chain.steps[chain.taken++].reset();
      advance(id);
      return;
    case Appended::Status::unknown:
      advance(id);  // again, under the next sequence
      return;
    case Appended::Status::refused:
      context_.ports.observer.note("error", "fact_refused", appended.error.message, &appended.error);
      if (chain.shrink) std::exchange(chain.shrink, nullptr)();
      waiting_.push_back(id);
      return;
  }
}

void Settle::tick(SteadyTime now) {
  if (waiting_.empty() || now < next_try_) return;
  next_try_ = now + kTryAgain;
  for (std::uint64_t id : std::exchange(waiting_, {})) advance(id);
}

void Settle::drop(const OwnedPartition& partition) {
  absl::erase_if(chains_, [&](const auto& entry) { return entry.second->partition == partition.number; });
  chains_of_.erase(partition.number);
  batches_.erase(partition.number);
}

Settle::Step Settle::append_step(Topic topic, std::string key, std::function<std::string(Stamp)> encode,
                                 std::function<void()> acknowledged) {
  return [this, topic, key = std::move(key), encode = std::move(encode),
          acknowledged = std::move(acknowledged)](OwnedPartition& partition, const Appender::Answer& answer) {
    std::string value = encode(partition.next_stamp());
    if (value.empty()) return false;
    const bool by_source = topic == Topic::attempts;
    NewRecord record{.topic = topic,
                     .partition = by_source ? std::optional(partition.number) : std::nullopt,
                     .key = key,
                     .value = std::move(value),
                     .headers = {}};
    appender_.append(
        std::move(record),
        [answer, acknowledged](const Appended& appended) {
          if (appended.status == Appended::Status::acknowledged && acknowledged) acknowledged();
          answer(appended);
        },
        Appender::Owner{partition.number, partition.generation});
    return true;
  };
}

// --- deliveries

SealContext Settle::seal_context(const DeliveryRef& ref, std::string purpose, bool with_endpoint) const {
  return {context_.config.environment, ref.tenant, with_endpoint ? format_target(ref.target) : std::string(),
          std::move(purpose)};
}

void Settle::begin_recording(ActiveDelivery& delivery) {
  delivery.stage = ActiveDelivery::Stage::recording;
}

Settle::Step Settle::attempt_step(const ActiveDelivery& delivery, const Outcome& outcome,
                                  const Verdict& verdict, const AttemptMade& made, LogTime now,
                                  LogTime next) {
  AttemptFact fact;
  fact.delivery = delivery.ref;
  fact.number = std::max<std::uint32_t>(delivery.attempts, 1);
  fact.signed_at = made.signed_at;
  fact.at = to_ms(now);
  fact.status = outcome.status;
  fact.error = outcome.error;
  fact.verdict = verdict.kind;
  if (verdict.kind == Verdict::Kind::retry) fact.next_at = to_ms(next);
  fact.phases = outcome.phases;
  fact.phases.queue = made.queue_ms;
  fact.url = made.by->url;
  for (const char* name : {"X-Request-Id", "Request-Id", "X-Correlation-Id"}) {
    if (const std::string* id = find_header(outcome.headers, name); id && fact.receiver_request_id.empty()) {
      fact.receiver_request_id = id->substr(0, 128);
    }
  }
  if (!outcome.snippet.empty() && verdict.kind != Verdict::Kind::success) {
    // Without a key there is no snippet; the attempt is told all the same.
    if (auto sealed =
            context_.ports.keys.seal(seal_context(delivery.ref, "snippet", true), outcome.snippet)) {
      fact.sealed_snippet = *std::move(sealed);
    }
  }
  fact.secret_ids = made.by->secret_ids;
  if (made.body) fact.body_digest = made.body->digest;
  fact.registry_version = made.registry_version;
  fact.fan_out = delivery.event->fan_out;

  // Shared with the answer, which may come after the chain was dropped.
  auto told = std::make_shared<Told>();
  told->fact = std::move(fact);
  told->attempts_max = made.by->attempts_max;
  told->error_code = error_code(outcome);
  told->traceparent = extension(delivery.event->event, "traceparent");
  told->rate_limit_remaining = read_rate_limit(outcome.headers, context_.ports.clock.wall()).remaining;
  told->dead = verdict.dead;
  return [this, told](OwnedPartition& partition, const Appender::Answer& answer) {
    told->fact.stamp = partition.next_stamp();
    std::string value = wire::encode(context_.config.environment, told->fact);
    NewRecord record{.topic = Topic::attempts,
                     .partition = partition.number,
                     .key = told->fact.delivery.id.str(),
                     .value = value,
                     .headers = {}};
    appender_.append(
        std::move(record),
        [this, told, value = std::move(value), answer](const Appended& appended) {
          if (appended.status == Appended::Status::acknowledged) {
            view_.put_attempt(told->fact, value);
            context_.ports.observer.attempt({told->fact, told->attempts_max, told->traceparent,
                                             told->rate_limit_remaining, told->error_code, told->dead});
          }
          answer(appended);
        },
        Appender::Owner{partition.number, partition.generation});
    return true;
  };
}

void Settle::conclude(ActiveDelivery& delivery, const Outcome& outcome, const Verdict& verdict,
                      const AttemptMade& made) {
  OwnedPartition* partition = ownership_.find(delivery.ref.position.partition, delivery.generation);
  if (!partition) return;
  const LogTime now = context_.log_now();
  const LogTime next = now + verdict.delay;
  delivery.last_status = outcome.status;
  delivery.last_error = outcome.error;
  if (verdict.kind == Verdict::Kind::defer) {
    park(delivery, next);
    return;
  }
  begin_recording(delivery);
  Chain chain;
  chain.add(attempt_step(delivery, outcome, verdict, made, now, next));
  switch (verdict.kind) {
    case Verdict::Kind::success:
      add_end(chain, delivery);
      break;
    case Verdict::Kind::retry:
      add_parking(chain, delivery, next);
      break;
    case Verdict::Kind::dead:
      add_dead_letter(chain, delivery, verdict.dead.value_or(DeadReason::attempts_exhausted));
      add_end(chain, delivery);
      break;
    case Verdict::Kind::defer:
      break;
  }
  start(*partition, std::move(chain));
}

void Settle::park(ActiveDelivery& delivery, LogTime due) {
  OwnedPartition* partition = ownership_.find(delivery.ref.position.partition, delivery.generation);
  if (!partition) return;
  if (delivery.parked && delivery.due_row) {
    // It waits on without an attempt: its state stands on the log already, only the view moves it.
    view_.move_due(delivery.ref, *delivery.due_row, to_ms(due));
    if (auto state = view_.parked(delivery.ref.id)) view_.put_due(*std::move(state), to_ms(due));
    partition->due_cursor = std::min(partition->due_cursor, {to_ms(due), delivery.ref.id});
    partition->next_due = std::min(partition->next_due.value_or(to_ms(due)), to_ms(due));
    release(*partition, delivery);
    return;
  }
  begin_recording(delivery);
  context_.ports.observer.parked(false);
  Chain chain;
  add_parking(chain, delivery, due);
  start(*partition, std::move(chain));
}

void Settle::bury(ActiveDelivery& delivery, DeadReason reason) {
  OwnedPartition* partition = ownership_.find(delivery.ref.position.partition, delivery.generation);
  if (!partition) return;
  begin_recording(delivery);
  Chain chain;
  add_dead_letter(chain, delivery, reason);
  add_end(chain, delivery);
  start(*partition, std::move(chain));
}

Settle::Step Settle::cancel_step(CancelledFact cancelled) {
  auto fact = std::make_shared<CancelledFact>(std::move(cancelled));  // shared by writing and telling
  return append_step(
      Topic::attempts, fact->delivery.id.str(),
      [this, fact](Stamp stamp) {
        fact->stamp = stamp;
        return wire::encode(context_.config.environment, *fact);
      },
      [this, fact] {
        view_.put_cancelled(*fact, wire::encode(context_.config.environment, *fact));
        context_.ports.observer.cancelled(*fact);
      });
}

void Settle::cancel(ActiveDelivery& delivery, CancelReason reason) {
  OwnedPartition* partition = ownership_.find(delivery.ref.position.partition, delivery.generation);
  if (!partition) return;
  begin_recording(delivery);
  CancelledFact fact;
  fact.delivery = delivery.ref;
  fact.reason = reason;
  fact.at = to_ms(context_.log_now());
  Chain chain;
  chain.add(cancel_step(std::move(fact)));
  add_end(chain, delivery);
  start(*partition, std::move(chain));
}

void Settle::add_dead_letter(Chain& chain, ActiveDelivery& delivery, DeadReason reason) {
  // Shared by the step that writes it and the one that shrinks it.
  auto letter = std::make_shared<DeadLetter>();
  auto payload = std::make_shared<std::string>();
  letter->delivery = delivery.ref;
  letter->event_source = delivery.event->event.source;
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
  chain.add(append_step(
      Topic::dead_letters, delivery.ref.tenant.str(),
      [this, letter, payload](Stamp stamp) -> std::string {
        letter->stamp = stamp;
        letter->dead_at = to_ms(context_.log_now());
        if (!payload->empty()) {
          auto sealed =
              context_.ports.keys.seal(seal_context(letter->delivery, "dead_letter", true), *payload);
          if (!sealed && sealed.error().errc != Errc::denied) return {};  // not yet: wait
          letter->sealed_payload = sealed ? *std::move(sealed) : std::string();
        }
        return wire::encode(context_.config.environment, *letter);
      },
      [this, letter] {
        view_.put_dead(*letter);
        context_.ports.observer.dead_letter(*letter);
      }));
}

// The last word on `parked` (when anything stands there), then the end.
void Settle::add_end(Chain& chain, ActiveDelivery& delivery) {
  const std::uint64_t serial = delivery.serial;
  chain.add([this, serial](OwnedPartition& partition, const Appender::Answer& answer) {
    ActiveDelivery* active = active_.find(serial);
    const bool foreign = active && partition.foreign.erase(active->ref.id) > 0;
    if (!active || (!active->parked && !foreign)) {
      Appended nothing_to_write;
      answer(nothing_to_write);
      return true;
    }
    active->parked = true;
    ownership_.append_tombstone(partition, active->ref.id, [this, serial, answer](const Appended& appended) {
      ActiveDelivery* still = active_.find(serial);
      if (still && appended.status == Appended::Status::acknowledged && still->foreign_at > appended.offset) {
        still->foreign_at = -1;
        Appended again = appended;
        again.status = Appended::Status::unknown;  // a foreign word came after ours: say it once more
        answer(again);
        return;
      }
      answer(appended);
    });
    return true;
  });
  chain.done = [this, serial](OwnedPartition& partition) { ended(partition, serial); };
}

void Settle::add_parking(Chain& chain, ActiveDelivery& delivery, LogTime due) {
  // Shared by the step and the end of the chain.
  auto state = std::make_shared<ParkedState>();
  state->delivery = delivery.ref;
  state->attempts = delivery.attempts;
  state->due = to_ms(due);
  state->appended = to_ms(delivery.event->appended);
  state->fan_out = delivery.event->fan_out;
  state->last_status = delivery.last_status;
  state->last_error = delivery.last_error;
  const std::uint64_t serial = delivery.serial;
  chain.add([this, state, serial](OwnedPartition& partition, const Appender::Answer& answer) {
    ownership_.append_parked(partition, *state, [this, serial, state, answer](const Appended& appended) {
      ActiveDelivery* still = active_.find(serial);
      if (still && appended.status == Appended::Status::acknowledged && still->foreign_at > appended.offset) {
        still->foreign_at = -1;
        Appended again = appended;
        again.status = Appended::Status::unknown;
        answer(again);
        return;
      }
      answer(appended);
    });
    return true;
  });
  chain.done = [this, state, serial](OwnedPartition& partition) { parked(partition, serial, *state); };
}

void Settle::claim(ActiveDelivery& delivery) {
  ActiveEvent& event = *delivery.event;
  const std::int64_t expiry = to_ms(event.appended) + context_.config.lifetime.count() + 3'600'000;
  std::string sealed;
  if (!event.claimed && event.has_payload) {
    auto done = context_.ports.keys.seal(seal_context(delivery.ref, "payload", false),
                                         wire::format_protobuf(event.event));
    // Without a key no copy is kept: it can be fetched again from its position.
    event.claimed = done.has_value();
    if (done) sealed = *std::move(done);
  }
  view_.put_claim(event.position, delivery.ref.id, sealed, expiry);
}

void Settle::parked(OwnedPartition& partition, std::uint64_t serial, const ParkedState& state) {
  ActiveDelivery* delivery = active_.find(serial);
  if (!delivery) return;
  claim(*delivery);
  view_.put_parked(state, delivery->due_row);
  if (!delivery->parked) ++partition.parked;
  partition.tail_moved = true;
  partition.due_cursor = std::min(partition.due_cursor, {state.due, state.delivery.id});
  partition.next_due = std::min(partition.next_due.value_or(state.due), state.due);
  release(partition, *delivery);
}

void Settle::ended(OwnedPartition& partition, std::uint64_t serial) {
  ActiveDelivery* delivery = active_.find(serial);
  if (!delivery) return;
  if (delivery->parked) {
    view_.erase_parked(delivery->ref, delivery->due_row);
    view_.drop_claim(delivery->ref.position, delivery->ref.id);
    if (partition.parked > 0) --partition.parked;
    partition.tail_moved = true;
  }
  release(partition, *delivery);
}

void Settle::release(OwnedPartition& partition, ActiveDelivery& delivery) {
  ActiveEvent& event = *delivery.event;
  if (delivery.counted && --event.unrecorded == 0) {
    ownership_.settled(partition, event.position.offset);
  }
  active_.remove(delivery.serial);
}

// --- records that make no delivery

void Settle::set_aside(OwnedPartition& partition, const Record& record, DeadReason reason) {
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
  letter->reason = reason;
  letter->appended = to_ms(record.appended);
  letter->payload_bytes = record.value ? record.value->size() : 0;
  const Digest digest = sha256(record.value.value_or(""));
  letter->payload_digest.assign(digest.begin(), digest.end());

  Chain chain;
  chain.shrink = [payload] { payload->resize(std::min(payload->size(), kKeptOfTooLarge)); };
  chain.add(append_step(
      Topic::dead_letters, letter->delivery.tenant.str(),
      [this, letter, payload](Stamp stamp) {
        letter->stamp = stamp;
        letter->dead_at = to_ms(context_.log_now());
        // Whose it is cannot be trusted: sealed under the environment's own key. While no key can be had:
        // reason, digest and position only.
        auto sealed =
            context_.ports.keys.seal({context_.config.environment, TenantId(), "", "dead_letter"}, *payload);
        letter->sealed_payload = sealed ? *std::move(sealed) : std::string();
        return wire::encode(context_.config.environment, *letter);
      },
      [this, letter] { context_.ports.observer.dead_letter(*letter); }));
  SetAsideFact fact;
  fact.position = position;
  fact.reason = reason;
  fact.at = to_ms(context_.log_now());
  chain.add(append_step(
      Topic::attempts, letter->delivery.id.str(),
      [this, fact](Stamp stamp) mutable {
        fact.stamp = stamp;
        return wire::encode(context_.config.environment, fact);
      },
      nullptr));
  chain.done = [this, offset = record.offset](OwnedPartition& owned) { ownership_.settled(owned, offset); };
  start(partition, std::move(chain));
}

void Settle::cancelled(OwnedPartition& partition, const CancelledFact& cancelled) {
  Chain chain;
  chain.add(cancel_step(cancelled));
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
}

void Settle::flush_batches() {
  for (auto& [number, batch] : std::exchange(batches_, {})) {
    OwnedPartition* partition = ownership_.find(number, batch.generation);
    if (!partition) continue;
    if (!batch.no_match.offsets.empty()) {
      Chain chain;
      batch.no_match.partition = number;
      chain.add(append_step(
          Topic::attempts, "no-match",
          [this, fact = batch.no_match](Stamp stamp) mutable {
            fact.stamp = stamp;
            return wire::encode(context_.config.environment, fact);
          },
          nullptr));
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
      chain.add(append_step(
          Topic::attempts, "repeats",
          [this, fact = batch.repeats](Stamp stamp) mutable {
            fact.stamp = stamp;
            return wire::encode(context_.config.environment, fact);
          },
          nullptr));
      chain.done = [this, repeats = batch.repeats.repeats](OwnedPartition& owned) {
        for (const auto& repeat : repeats) ownership_.settled(owned, repeat.offset);
      };
      start(*partition, std::move(chain));
    }
  }
}

}  // namespace postrider::flow
