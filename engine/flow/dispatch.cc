#include "engine/flow/dispatch.h"

#include <algorithm>
#include <utility>

#include "engine/core/signature.h"
#include "engine/wire/cloud_event.h"

namespace postrider::flow {
namespace {

constexpr std::uint32_t kAlwaysInFlight = 6;  // of one endpoint, unless they are many and we the slower party
constexpr std::size_t kInFlightOfUse = 384;   // of all of them, then
constexpr Millis kQuick{100};                 // an answer; two at once are then twenty a second at least
constexpr std::size_t kSendsPerPump = 2000;   // then answers are looked at again
constexpr Millis kQueueFullWait{5000};
constexpr Millis kLookAgain{50};
constexpr Millis kAnsweredLately{4000};
constexpr Millis kPaceLook{1000};     // while answers may still tell otherwise
constexpr Millis kParkedFrom{10000};  // a longer wait for a customer's limit holds no memory
constexpr Millis kNoSecretWait{30000};
constexpr Millis kStoppedWait{1000};
constexpr Millis kRateEvery{100};
constexpr Millis kPaceEvery{10};
constexpr Millis kAnswersLately{200};
constexpr std::size_t kQueuedAhead = 1024;
constexpr double kWorthAPause = 500;  // answers a second: for fewer nobody else's events wait

Outcome failed_outcome(AttemptError error) {
  Outcome outcome;
  outcome.error = error;
  return outcome;
}

std::int32_t ms_between(SteadyTime from, SteadyTime to) {
  return static_cast<std::int32_t>(std::clamp<std::int64_t>((to - from).count(), 0, 1'000'000'000));
}

}  // namespace

Dispatch::Dispatch(Context& context, RegistryView& registry, Ownership& ownership, Settle& settle,
                   ActiveTable& active)
    : context_(context),
      registry_(registry),
      ownership_(ownership),
      settle_(settle),
      active_(active),
      maker_(context) {}

// --- endpoints

EndpointState& Dispatch::state(const TenantId& tenant, const Target& target) {
  auto& slot = states_[target.incarnation];
  if (!slot) {
    slot = std::make_unique<EndpointState>();
    slot->tenant = tenant;
    slot->target = target;
    slot->breaker = CircuitBreaker(context_.config.breaker);
    auto& turn = tenants_[tenant];
    if (!turn) turn = std::make_unique<TenantTurn>();
    slot->tenant_turn = turn.get();
  }
  return *slot;
}

EndpointState* Dispatch::known(const Incarnation& incarnation) {
  auto at = states_.find(incarnation);
  return at == states_.end() ? nullptr : at->second.get();
}

// Enabling forgives: what was seen before it is void. So does the end of a suspension, but for a stop of the
// endpoint's own.
void Dispatch::adopt(EndpointState& state, const Endpoint& endpoint) {
  const bool enabled = state.enable_revision != endpoint.def.enable_revision;
  if (!enabled && state.resumed_at == endpoint.resumed_at) return;
  state.enable_revision = endpoint.def.enable_revision;
  state.resumed_at = endpoint.resumed_at;
  if (state.local_stop != Stop::none || state.held > 0) state.concurrency.warm();
  if (enabled) state.local_stop = Stop::none;
  state.health.clear();
  state.breaker = CircuitBreaker(context_.config.breaker);
}

Stop Dispatch::stop_of(const Endpoint& endpoint, EndpointState& state) const {
  const Stop known = endpoint.stopped().stop;
  if (known != Stop::none) return known;
  return state.enable_revision == endpoint.def.enable_revision ? state.local_stop : Stop::none;
}

Millis Dispatch::spread(Millis wait) {
  const auto tenth = static_cast<std::uint64_t>(wait.count() / 5 + 1);
  return wait + Millis(static_cast<std::int64_t>(context_.ports.random.next() % tenth));
}

const Endpoint* Dispatch::declared(EndpointState& state) {
  if (state.declared == nullptr) {
    state.declared = registry_.registry().find(state.tenant, state.target);
    if (state.declared != nullptr) begin_as_told(state, *state.declared);
  }
  const Endpoint* const known = state.declared;
  if (known == nullptr || known->def.deleted || known->def.incarnation != state.target.incarnation)
    return nullptr;
  return known;
}

// A restart forgets what was seen; the log knows who was failing.
void Dispatch::begin_as_told(EndpointState& state, const Endpoint& endpoint) {
  state.concurrency.set_most(endpoint.def.limits.concurrency);
  const bool failing = std::any_of(endpoint.health.begin(), endpoint.health.end(),
                                   [](const auto& of) { return of.second.failing; });
  if (!failing) return;
  state.concurrency.warm();
  set_silent(state, true);
}

Dispatch::Room Dispatch::room(const TenantId& tenant, const Target& target, SteadyTime now) {
  EndpointState& at = state(tenant, target);
  const Room room = room_of(at, now);
  // A tenant may have as much in memory as is free, so that something is free for the next one.
  const std::size_t most = context_.config.due_loaded_max + 2 * context_.config.window_max;
  const bool has_its_share = at.tenant_turn->queued > most - std::min(most, active_.size());
  return room.kind == Room::Kind::yes && has_its_share ? Room{Room::Kind::later, spread(kQueueFullWait)}
                                                       : room;
}

Dispatch::Room Dispatch::room_of(EndpointState& at, SteadyTime now) {
  const Endpoint* endpoint = declared(at);
  if (!endpoint) return {Room::Kind::gone, {}};
  adopt(at, *endpoint);
  if (stop_of(*endpoint, at) != Stop::none) return {Room::Kind::stopped, kStoppedWait};
  if (at.breaker.state(now) == CircuitBreaker::State::open) {
    return {Room::Kind::later, spread(std::max(at.breaker.reopens_at(now) - now, Millis(1)))};
  }
  if (is_full(at, *endpoint)) return {Room::Kind::later, spread(kQueueFullWait)};
  const Millis turn = at.pace.next(now, at.queue.size()) - now;
  if (turn > kParkedFrom) return {Room::Kind::later, spread(turn)};
  return {Room::Kind::yes, {}};
}

// An empty queue takes any delivery: one larger than the bound goes alone.
bool Dispatch::is_full(const EndpointState& at, const Endpoint& endpoint) const {
  return at.queue.size() >= endpoint.def.limits.queue_max ||
         at.queued_bytes >= context_.config.endpoint_queue_bytes;
}

// By what is declared: `at.limits` are so only once it was prepared, which a queue may come before.
bool Dispatch::is_half_full(const EndpointState& at) const {
  return at.queue.size() * 2 >= at.declared->def.limits.queue_max ||
         at.queued_bytes * 2 >= context_.config.endpoint_queue_bytes;
}

void Dispatch::admit(ActiveDelivery& delivery) {
  EndpointState& at = *delivery.endpoint;
  const SteadyTime now = context_.steady();
  const Room has = room_of(at, now);
  switch (has.kind) {
    case Room::Kind::gone:
      settle_.cancel(delivery, CancelReason::endpoint_deleted);
      return;
    case Room::Kind::stopped:
    case Room::Kind::later:
      settle_.park(delivery, context_.log_now() + has.wait);
      return;
    case Room::Kind::yes:
      break;
  }
  delivery.stage = ActiveDelivery::Stage::queued;
  delivery.queued_at = now;
  at.queue.push_back({delivery.serial, delivery.event->bytes});
  at.queued_bytes += delivery.event->bytes;
  ++queued_;
  ++at.tenant_turn->queued;
  if (is_half_full(at)) half_full_.insert(&at);
  list(at);
}

void Dispatch::list(EndpointState& state) {
  if (state.listed || state.queue.empty()) return;
  state.listed = true;
  round_.add(state);
}

// --- sending

void Dispatch::pump(SteadyTime now) {
  maker_.forget_opened(now);
  if (stopped_ || !registry_.fresh(now)) return;
  wake(now);
  for (std::size_t done = 0; !round_.empty() && done < kSendsPerPump;) {
    if (flights_.size() >= context_.config.in_flight_max) return;
    done += pump_next(now);
  }
}

void Dispatch::wake(SteadyTime now) {
  while (!waiting_.empty() && waiting_.front().until <= now) {
    std::pop_heap(waiting_.begin(), waiting_.end());
    round_.add(*waiting_.back().state);
    waiting_.pop_back();
  }
  for (std::size_t left = silent_flights_left(); left > 0 && !silent_waiting_.empty(); --left) {
    round_.add(*silent_waiting_.front());
    silent_waiting_.pop_front();
  }
}

// One endpoint's turn: as much as its tenant has left. How many attempts it was, or one when it was none.
std::size_t Dispatch::pump_next(SteadyTime now) {
  const FairRound::Turn turn = round_.begin();
  EndpointState& state = turn.endpoint;
  std::size_t made = 0;
  std::int64_t spent = 0;
  Pumped pumped{Pumped::Kind::more, {}};
  while (spent < turn.credit && pumped.kind == Pumped::Kind::more) {
    ActiveDelivery* const delivery = front(state);
    if (!delivery) {
      pumped.kind = Pumped::Kind::idle;
      break;
    }
    const std::int64_t cost = FairRound::cost_of(delivery->event->event.data.size());
    pumped = pump_front(state, *delivery, now);
    if (pumped.kind == Pumped::Kind::more) ++made, spent += cost;
  }
  round_.end(turn, spent, pumped.kind == Pumped::Kind::more);
  switch (pumped.kind) {
    case Pumped::Kind::more:
      break;
    case Pumped::Kind::idle:
      state.listed = false;
      break;
    case Pumped::Kind::wait:
      waiting_.push_back({pumped.until, &state});
      std::push_heap(waiting_.begin(), waiting_.end());
      break;
    case Pumped::Kind::share:
      silent_waiting_.push_back(&state);
      break;
  }
  return std::max<std::size_t>(made, 1);
}

ActiveDelivery* Dispatch::front(EndpointState& state) {
  while (!state.queue.empty()) {
    ActiveDelivery* delivery = active_.find(state.queue.front().serial);
    if (delivery && delivery->stage == ActiveDelivery::Stage::queued) return delivery;
    pop_front(state);  // parked under pressure, or its partition went away
  }
  return nullptr;
}

void Dispatch::pop_front(EndpointState& state) {
  state.queued_bytes -= state.queue.front().bytes;
  state.queue.pop_front();
  --queued_;
  --state.tenant_turn->queued;
}

Dispatch::Pumped Dispatch::pump_front(EndpointState& state, ActiveDelivery& delivery, SteadyTime now) {
  using Kind = Pumped::Kind;
  const Endpoint* endpoint = declared(state);
  if (!endpoint) {
    pop_front(state);
    settle_.cancel(delivery, CancelReason::endpoint_deleted);
    return {Kind::more, {}};
  }
  adopt(state, *endpoint);
  if (stop_of(*endpoint, state) != Stop::none) {
    park_all(state, kStoppedWait);
    return {Kind::idle, {}};
  }
  switch (maker_.prepare(state, *endpoint, now)) {
    case RequestMaker::Prepared::yes:
      break;
    case RequestMaker::Prepared::soon:
      return {Kind::wait, now + kLookAgain};
    case RequestMaker::Prepared::no:
      park_all(state, kNoSecretWait);
      return {Kind::idle, {}};
  }
  OwnedPartition* partition = ownership_.find(delivery.partition(), delivery.generation);
  if (!partition || !ownership_.may_act(*partition, now)) return {Kind::wait, now + kLookAgain};
  if (partition->phase != OwnedPartition::Phase::running) return {Kind::wait, now + kLookAgain};
  switch (in_flight_of(state, now)) {
    case InFlight::has_room:
      break;
    case InFlight::our_pace:
      paced_.insert(&state);
      return {Kind::idle, {}};  // its next outcome lists it again, here and below
    case InFlight::its_limit:
      return {Kind::idle, {}};
    case InFlight::scarce:
      return {Kind::wait, now + kLookAgain};
    case InFlight::silent_share:
      return {Kind::share, {}};
  }
  const RequestMaker::Addresses found = maker_.addresses(state, now);
  if (found == RequestMaker::Addresses::pending) return {Kind::idle, {}};
  if (SteadyTime next = state.limiter.next(now); next > now) return {Kind::wait, next};
  if (const auto held = held_by_pace(state, now)) return *held;
  if (!state.breaker.admit(now)) {
    if (state.breaker.state(now) == CircuitBreaker::State::open) {
      park_all(state, std::max(state.breaker.reopens_at(now) - now, Millis(1)));
    }
    return {Kind::idle, {}};  // a probe is in flight: its outcome lists us again
  }
  state.limiter.admit(now);
  state.pace.sent(now);
  pop_front(state);
  if (found == RequestMaker::Addresses::none) {
    AttemptMade made;
    made.signed_at = to_ms(context_.ports.clock.wall()) / 1000;
    made.by = state.sender;
    made.queue_ms = ms_between(delivery.queued_at, now);
    settle_outcome(state, delivery, failed_outcome(state.no_address.value_or(AttemptError::dns)), made);
    return {Kind::more, {}};
  }
  send(state, delivery, now);
  return {Kind::more, {}};
}

std::optional<Dispatch::Pumped> Dispatch::held_by_pace(EndpointState& state, SteadyTime now) {
  const SteadyTime next = state.pace.next(now);
  if (next <= now) return std::nullopt;
  if (state.in_flight > 0) return Pumped{Pumped::Kind::wait, std::min(next, now + kPaceLook)};
  if (next - now <= kParkedFrom) return Pumped{Pumped::Kind::wait, next};
  park_all(state, next - now);
  return Pumped{Pumped::Kind::idle, {}};
}

Dispatch::InFlight Dispatch::in_flight_of(EndpointState& state, SteadyTime now) const {
  const std::uint32_t has = state.in_flight;
  if (!state.concurrency.admits(has) || has >= state.pace.at_once()) return InFlight::its_limit;
  if (state.silent && silent_flights_left() == 0)
    return has > 0 ? InFlight::its_limit : InFlight::silent_share;
  // Flights grow scarce: those that are left are for endpoints that have few.
  const std::size_t most = context_.config.in_flight_max;
  const std::size_t used = flights_.size();
  if (has == 0)
    return used * 8 < most * 7 || answered_lately(state, now) ? InFlight::has_room : InFlight::scarce;
  if (used * 4 >= most * 3) return InFlight::our_pace;
  if (turns_.outpaced_by(state.concurrency.answer()))
    return has < of_use_at_once() ? InFlight::has_room : InFlight::our_pace;
  if (has >= share_of(state)) return InFlight::our_pace;
  return has < kAlwaysInFlight || used * 2 < most ? InFlight::has_room : InFlight::our_pace;
}

// Of one endpoint, while we are the slower party: the more of them there are, the fewer.
std::size_t Dispatch::of_use_at_once() const {
  return std::clamp<std::size_t>(kInFlightOfUse / std::max<std::size_t>(flying_, 1), 1, kAlwaysInFlight);
}

// Where many endpoints are busy, each opens few connections: those that a burst opened would only be closed
// again. Who answers quickly needs fewest. A tenant with few endpoints has as many attempts under way as
// others.
std::size_t Dispatch::share_of(const EndpointState& state) const {
  const std::size_t most = context_.config.in_flight_max;
  const std::size_t of_all = state.concurrency.answer() <= kQuick ? most / 4 : most / 4 * 3;
  const std::size_t of_tenant =
      std::max<std::size_t>(of_all / std::max<std::size_t>(flying_tenants_, 1), kAlwaysInFlight);
  return std::max<std::size_t>(of_tenant / std::max<std::size_t>(state.tenant_turn->flying, 1), 1);
}

// The last eighth of the flights is for who has just answered: the fewer there are, the more lately. Those
// who have only begun to hang are thousands, perhaps, and nothing else tells them apart.
bool Dispatch::answered_lately(const EndpointState& state, SteadyTime now) const {
  const std::size_t most = context_.config.in_flight_max;
  const auto left = static_cast<double>(most - std::min(most, flights_.size()));
  const auto since = static_cast<double>((now - state.answered_at).count());
  return !state.silent &&
         since * static_cast<double>(most) <= static_cast<double>(kAnsweredLately.count()) * left * 8;
}

// Half of all: who hangs holds a flight until its timeout, and there may be more of them than flights.
std::size_t Dispatch::silent_flights_left() const {
  const std::size_t share = std::max<std::size_t>(context_.config.in_flight_max / 2, 1);
  return share - std::min(share, silent_flights_);
}

void Dispatch::set_silent(EndpointState& state, bool silent) {
  if (state.silent == silent) return;
  state.silent = silent;
  if (silent) {
    silent_flights_ += state.in_flight;
  } else {
    silent_flights_ -= state.in_flight;
  }
}

void Dispatch::on_resolved(std::uint64_t token, const Result<Resolved>& resolved) {
  if (EndpointState* const state = maker_.on_resolved(token, resolved)) list(*state);
}

Dispatch::Unsent Dispatch::prepare_unsent(const Endpoint& endpoint, const Event& event, SteadyTime now) {
  EndpointState& at = state(endpoint.def.tenant, {endpoint.def.id, endpoint.def.incarnation});
  if (stopped_ || maker_.prepare(at, endpoint, now) != RequestMaker::Prepared::yes) return {};
  const RequestMaker::Addresses found = maker_.addresses(at, now);
  if (found == RequestMaker::Addresses::pending) return {};
  if (found == RequestMaker::Addresses::none) return {Unsent::Kind::no_address, {}};
  ActiveEvent unsent;
  unsent.event = event;
  const std::int64_t seconds = to_ms(context_.ports.clock.wall()) / 1000;
  return {Unsent::Kind::ready, maker_.request_of(at, webhook_id(event.tenant, event.source, event.id),
                                                 seconds, *maker_.body(unsent, at.format))};
}

void Dispatch::send(EndpointState& state, ActiveDelivery& delivery, SteadyTime now) {
  ActiveEvent& event = *delivery.event;
  const std::shared_ptr<const ActiveEvent::Body>& out = maker_.body(event, state.format);
  // Stamped and signed with the time of this attempt: receivers refuse anything older than 300 s.
  const std::int64_t seconds = to_ms(context_.ports.clock.wall()) / 1000;
  HttpRequest request = maker_.request_of(state, event.webhook_id, seconds, *out);

  auto [token, flight] = flights_.add();
  flight.endpoint = &state;
  flight.serial = delivery.serial;
  flight.partition = delivery.partition();
  flight.version = state.version;
  flight.made.signed_at = seconds;
  flight.made.by = state.sender;
  flight.made.body = out;
  flight.made.queue_ms = ms_between(delivery.queued_at, now);
  if (state.in_flight++ == 0) {
    ++flying_;
    if (state.tenant_turn->flying++ == 0) ++flying_tenants_;
  }
  if (state.silent) ++silent_flights_;
  delivery.stage = ActiveDelivery::Stage::sending;
  context_.ports.transport.send(std::move(request), token);
}

bool Dispatch::may_still_send(std::uint64_t token) {
  Flight* const flight = flights_.find(token);
  if (flight == nullptr || flight->abandoned) return false;
  const ActiveDelivery* delivery = active_.find(flight->serial);
  if (!delivery) return false;
  const SteadyTime now = context_.steady();
  const OwnedPartition* partition = ownership_.find(flight->partition, delivery->generation);
  if (!partition || !ownership_.may_act(*partition, now)) return false;
  // Connecting may take seconds: what was signed meanwhile under a secret or for a URL that are no more is
  // not sent.
  const Endpoint* const endpoint = declared(*flight->endpoint);
  flight->outdated = !endpoint || endpoint->version != flight->version || !registry_.fresh(now);
  return !flight->outdated;
}

// --- outcomes

void Dispatch::on_outcome(std::uint64_t token, const Outcome& outcome) {
  Flight* const found = flights_.find(token);
  if (found == nullptr) return;
  Flight flight = std::move(*found);
  flights_.remove(token);
  EndpointState& state = *flight.endpoint;
  if (--state.in_flight == 0) {
    --flying_;
    if (--state.tenant_turn->flying == 0) --flying_tenants_;
  }
  if (state.silent) --silent_flights_;
  ++state.done_since;
  state.answered_at = context_.steady();
  learn(state, outcome, flight);
  ActiveDelivery* delivery = flight.abandoned ? nullptr : active_.find(flight.serial);
  if (!delivery) {
    state.breaker.abandoned();
  } else if (flight.outdated) {
    state.breaker.abandoned();
    admit(*delivery);  // nothing was sent: again, as things are now
  } else {
    settle_outcome(state, *delivery, outcome, flight.made);
  }
  list(state);
}

// What an outcome tells of how much the endpoint takes.
void Dispatch::learn(EndpointState& state, const Outcome& outcome, Flight& flight) {
  if (outcome.error == AttemptError::ambiguous || outcome.ours) return;
  set_silent(state, outcome.status == 0 && outcome.error == AttemptError::timeout);
  state.concurrency.saw(outcome, state.in_flight, !turns_.saturated());
  if (outcome.status == 0) return;
  const RateLimit limit =
      outcome.headers.empty() ? RateLimit{} : read_rate_limit(outcome.headers, context_.ports.clock.wall());
  flight.made.rate_limit_remaining = limit.remaining;
  // One that it moved away from meanwhile has no say.
  if (flight.made.by->url == state.sender->url)
    state.pace.heard(limit, outcome.status, state.in_flight, context_.steady());
}

void Dispatch::settle_outcome(EndpointState& state, ActiveDelivery& delivery, const Outcome& outcome,
                              const AttemptMade& made) {
  Situation situation;
  situation.attempts = delivery.attempts + 1;
  situation.now = context_.log_now();
  situation.appended = delivery.event->appended;
  situation.wall_now = context_.ports.clock.wall();
  situation.retry_client_errors = context_.config.retry_client_errors;
  situation.lifetime = context_.config.lifetime;
  situation.chance = context_.ports.random.next();
  const Verdict verdict = decide(outcome, state.retry, situation);
  if (verdict.charged) ++delivery.attempts;
  if (verdict.kind != Verdict::Kind::success) {
    state.last_failure =
        outcome.status != 0 ? "HTTP " + std::to_string(outcome.status) : std::string(code_of(outcome.error));
  }
  note_breaker(state, outcome, verdict);
  const Partition partition = delivery.partition();
  settle_.conclude(delivery, outcome, verdict, made, situation.now);
  note_health(state, partition, outcome, verdict, situation.now);
}

void Dispatch::note_breaker(EndpointState& state, const Outcome& outcome, const Verdict& verdict) {
  const SteadyTime now = context_.steady();
  if (verdict.kind == Verdict::Kind::success) {
    state.breaker.succeeded();
  } else if (verdict.counts_for_breaker && outcome.error != AttemptError::ambiguous) {
    state.breaker.failed(now);
  } else {
    state.breaker.abandoned();
  }
  const bool open = state.breaker.state(now) != CircuitBreaker::State::closed;
  if (open == state.breaker_was_open) return;
  state.breaker_was_open = open;
  if (!open) state.concurrency.warm();
  context_.ports.observer.breaker_changed(state.tenant, state.target.endpoint, open);
  if (open) park_all(state, std::max(state.breaker.reopens_at(now) - now, Millis(1)));
}

EndpointHealth& Dispatch::health_of(EndpointState& state, Partition partition) {
  auto [at, added] = state.health.try_emplace(partition);
  if (added) {
    if (const Endpoint* endpoint = registry_.registry().find(state.tenant, state.target)) {
      auto fact = endpoint->health.find(partition);
      if (fact != endpoint->health.end())
        at->second.restore(fact->second, endpoint->def.enable_revision, endpoint->resumed_at);
    }
  }
  return at->second;
}

void Dispatch::note_health(EndpointState& state, Partition partition, const Outcome& outcome,
                           const Verdict& verdict, LogTime now) {
  if (verdict.kind == Verdict::Kind::defer || outcome.error == AttemptError::ambiguous) return;
  EndpointHealth& health = health_of(state, partition);
  const auto change =
      verdict.kind == Verdict::Kind::success
          ? health.succeeded(now)
          : health.failed(now, verdict.counts_as_unauthorized, verdict.disable_endpoint, outcome.status != 0);
  if (!change) return;
  HealthFact fact;
  fact.tenant = state.tenant;
  fact.endpoint = state.target.endpoint;
  fact.incarnation = state.target.incarnation;
  fact.partition = partition;
  fact.enable_revision = state.enable_revision;
  fact.stop = change->stop;
  fact.failing = change->failing;
  fact.why = change->why;
  fact.since = to_ms(change->since);
  registry_.write_health(fact);
  if (change->stop == state.local_stop) return;
  state.local_stop = change->stop;
  context_.ports.observer.endpoint_changed(state.tenant, state.target.endpoint, change->stop, change->why);
  if (change->stop != Stop::none) park_all(state, kStoppedWait);
}

void Dispatch::park_all(EndpointState& state, Millis wait) {
  while (ActiveDelivery* delivery = front(state)) {
    pop_front(state);
    settle_.park(*delivery, context_.log_now() + spread(wait));
  }
}

void Dispatch::park_queued(const ActiveEvent& event, Millis wait) {
  const auto serials = event.deliveries;  // parking may end the event
  for (std::uint64_t serial : serials) {
    ActiveDelivery* delivery = active_.find(serial);
    if (delivery && delivery->stage == ActiveDelivery::Stage::queued) {
      settle_.park(*delivery, context_.log_now() + spread(wait));
    }
  }
}

bool Dispatch::has_begun(const ActiveEvent& event) const {
  // A sibling that is no longer here has ended or is parked: also one of an earlier life.
  bool queued = false;
  bool begun = event.unrecorded < std::max<std::size_t>(event.fan_out, event.deliveries.size());
  for (std::uint64_t serial : event.deliveries) {
    const ActiveDelivery* delivery = active_.find(serial);
    if (!delivery) continue;
    (delivery->stage == ActiveDelivery::Stage::queued ? queued : begun) = true;
    if (queued && begun) return true;
  }
  return false;
}

bool Dispatch::wants_pause(SteadyTime now) {
  const bool fills = a_queue_fills(now);
  return has_enough_ahead(now) || fills;
}

bool Dispatch::a_queue_fills(SteadyTime now) {
  bool pause = false;
  absl::erase_if(half_full_, [&](EndpointState* state) {
    if (!is_half_full(*state)) return true;
    const Millis span = now - state->counted_at;
    if (span >= kRateEvery) {
      const double rate = static_cast<double>(state->done_since) * 1000.0 / static_cast<double>(span.count());
      state->done_per_second = span > 10 * kRateEvery ? rate : (state->done_per_second + rate) / 2;
      state->done_since = 0;
      state->counted_at = now;
    }
    pause |= state->done_per_second >= std::max(kWorthAPause, static_cast<double>(state->queue.size()));
    return false;
  });
  return pause;
}

// What is queued beyond that, at endpoints that answer, only grows cold in memory until its turn.
bool Dispatch::has_enough_ahead(SteadyTime now) {
  if (now < next_pace_look_) return enough_ahead_;
  next_pace_look_ = now + kPaceEvery;
  std::size_t ahead = 0;
  absl::erase_if(paced_, [&](EndpointState* state) {
    if (state->queue.empty() || now - state->answered_at > kAnswersLately) return true;
    ahead += state->queue.size();
    return false;
  });
  return enough_ahead_ = turns_.saturated() && ahead > kQueuedAhead;
}

// --- drain

std::size_t Dispatch::in_flight(Partition partition) const {
  std::size_t count = 0;
  flights_.for_each([&](std::uint64_t, const Flight& flight) {
    if (flight.partition == partition && !flight.abandoned) ++count;
  });
  return count;
}

void Dispatch::give_up_in_flight(Partition partition) {
  flights_.for_each([&](std::uint64_t, Flight& flight) {
    if (flight.partition != partition || flight.abandoned) return;
    flight.abandoned = true;
    ActiveDelivery* delivery = active_.find(flight.serial);
    if (!delivery) return;
    // It may have arrived: charged, told as ambiguous, and tried again by the next owner.
    Situation situation;
    situation.attempts = ++delivery->attempts;
    situation.now = context_.log_now();
    situation.appended = delivery->event->appended;
    situation.lifetime = context_.config.lifetime;
    situation.chance = context_.ports.random.next();
    const Outcome outcome = failed_outcome(AttemptError::ambiguous);
    settle_.conclude(*delivery, outcome, decide(outcome, flight.endpoint->retry, situation), flight.made,
                     situation.now);
  });
}

std::uint64_t Dispatch::slowed(SteadyTime now) const {
  return static_cast<std::uint64_t>(std::count_if(states_.begin(), states_.end(), [&](const auto& entry) {
    return entry.second->concurrency.reduced() || entry.second->pace.next(now) > now;
  }));
}

SteadyTime Dispatch::next_wake(SteadyTime now) const {
  if (!round_.empty() || (!silent_waiting_.empty() && silent_flights_left() > 0)) return now;
  return waiting_.empty() ? now + std::chrono::hours(1) : waiting_.front().until;
}

}  // namespace postrider::flow
