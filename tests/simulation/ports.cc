#include "tests/simulation/ports.h"

#include <algorithm>
#include <utility>

#include "engine/core/bytes.h"

namespace postrider::simulation {
namespace {

constexpr std::size_t kUndoMax = 400;  // older batches have reached the disk by themselves

}  // namespace

// --- the store

void SimStore::note(Family family, const std::string& key) {
  auto& of = rows[family];
  const auto at = of.find(key);
  undo_.back().emplace_back(family, key,
                            at == of.end() ? std::nullopt : std::optional<std::string>(at->second));
}

Result<void> SimStore::settle() {
  for (; !owed_.empty(); owed_.pop_front())
    if (auto done = put(owed_.front(), false); !done) return done;
  return {};
}

Result<void> SimStore::write_behind(StoreBatch batch) {
  Result<void> before = settle();
  owed_.push_back(std::move(batch));
  return before;
}

Result<void> SimStore::write(const StoreBatch& batch, bool sync) {
  if (auto done = settle(); !done) return done;
  return put(batch, sync);
}

Result<void> SimStore::readable() {
  if (auto done = settle(); !done) return done;
  if (corrupt) return fail(Errc::corrupt, "VIEW_CORRUPT", "checksum mismatch", "delete the data directory");
  if (unreadable) return fail(Errc::unavailable, "VIEW_UNREADABLE", "input/output error", "look at the disk");
  return {};
}

// What has expired is not seen any more, as soon as may be.
bool SimStore::hides(Family family, const std::string& value) const {
  if (!has_ttl(family) || value.size() < 8) return false;
  std::uint64_t expiry = 0;
  for (std::size_t i = 0; i < 8; ++i) expiry = expiry << 8 | static_cast<unsigned char>(value[i]);
  return static_cast<std::int64_t>(expiry) <= to_ms(log_time_);
}

Result<std::optional<std::string>> SimStore::get(Family family, std::string_view key) {
  if (auto can = readable(); !can) return fail(can.error());
  auto& of = rows[family];
  const auto at = of.find(key);
  if (at == of.end() || hides(family, at->second)) return std::optional<std::string>();
  return std::optional<std::string>(at->second);
}

Result<void> SimStore::put(const StoreBatch& batch, bool sync) {
  if (corrupt) return fail(Errc::corrupt, "VIEW_CORRUPT", "checksum mismatch", "delete the data directory");
  if (full) return fail(Errc::overloaded, "DISK_FULL", "no space left on device", "make room");
  undo_.emplace_back();
  for (const StoreBatch::Op& op : batch.ops) {
    note(op.family, op.key);
    if (op.value) {
      rows[op.family][op.key] = *op.value;
    } else {
      rows[op.family].erase(op.key);
    }
  }
  if (undo_.size() > kUndoMax) undo_.pop_front();
  if (sync) undo_.clear();
  return {};
}

Result<void> SimStore::scan(Family family, std::string_view from, std::string_view to,
                            const std::function<bool(std::string_view, std::string_view)>& each) {
  if (auto can = readable(); !can) return can;
  auto& of = rows[family];
  for (auto at = of.lower_bound(from); at != of.end() && (to.empty() || at->first < to); ++at) {
    if (hides(family, at->second)) continue;
    if (!each(at->first, at->second)) break;
  }
  return {};
}

Result<void> SimStore::erase_range(Family family, std::string_view from, std::string_view to) {
  if (auto done = settle(); !done) return done;
  if (corrupt) return fail(Errc::corrupt, "VIEW_CORRUPT", "checksum mismatch", "delete the data directory");
  if (full) return fail(Errc::overloaded, "DISK_FULL", "no space left on device", "make room");
  undo_.emplace_back();
  auto& of = rows[family];
  for (auto at = of.lower_bound(from); at != of.end() && (to.empty() || at->first < to);) {
    undo_.back().emplace_back(family, at->first, at->second);
    at = of.erase(at);
  }
  return {};
}

void SimStore::lose_tail(Draw& draw) {
  std::int64_t lost = draw.between(0, static_cast<std::int64_t>(undo_.size()));
  for (; lost > 0; --lost) {
    for (auto op = undo_.back().rbegin(); op != undo_.back().rend(); ++op) {
      auto& [family, key, value] = *op;
      if (value) {
        rows[family][key] = *value;
      } else {
        rows[family].erase(key);
      }
    }
    undo_.pop_back();
  }
}

void SimStore::wipe() {
  rows.clear();
  undo_.clear();
  corrupt = false;
}

// --- the hosts

std::string Arrival::header(std::string_view name) const {
  const std::string* value = find_header(request.headers, name);
  if (!value && request.shared_headers) value = find_header(request.shared_headers->headers(), name);
  return value ? *value : std::string();
}

// As customers spell it: a refusal with Retry-After, or that nothing is left until the reset, refused or not.
void Hosts::limit(Answer& answer) {
  Headers& headers = answer.outcome.headers;
  if (answer.outcome.status == 429 && draw_.chance(0.7)) {
    const std::int64_t seconds = draw_.between(1, 8);
    headers.push_back({"Retry-After", std::to_string(seconds)});
    answer.quiet_ms = seconds * 1000;
  } else if (answer.outcome.status == 429 || draw_.chance(0.3)) {
    const std::int64_t seconds = draw_.between(1, 25);
    headers.push_back({"X-RateLimit-Limit", "20"});
    headers.push_back({"X-RateLimit-Remaining", "0"});
    headers.push_back({"X-RateLimit-Reset", std::to_string(seconds)});
    answer.quiet_ms = seconds * 1000;
  }
}

Hosts::Answer Hosts::arrive(Arrival arrival) {
  const Receiver receiver = receivers[arrival.host];
  Answer answer;
  answer.at = time_.now + std::max<std::int64_t>(1, receiver.latency_ms + draw_.between(-2, 2));
  Outcome& outcome = answer.outcome;
  outcome.phases.total = static_cast<std::int32_t>(answer.at - time_.now);
  const std::int64_t timeout = arrival.request.timeout.count();
  using Mood = Receiver::Mood;
  const auto& dialled = arrival.request.to->addresses;
  const bool there =
      std::find(dialled.begin(), dialled.end(), *parse_ip(receiver.address())) != dialled.end();
  if (!there || receiver.away_until > time_.now) {  // it has moved, or is gone for long: nobody hears of it
    answer.at = time_.now + draw_.between(1, 100);
    outcome.error = AttemptError::connect;
    return answer;
  }
  switch (receiver.mood) {
    case Mood::healthy:
      outcome.status = draw_.chance(0.01) ? 500 : 200;
      break;
    case Mood::slow:
      answer.at = time_.now + draw_.between(timeout / 4, timeout - 50);
      outcome.status = 200;
      break;
    case Mood::fails:
      outcome.status = draw_.chance(0.1) ? 200 : 503;
      break;
    case Mood::limits:
      outcome.status = draw_.chance(0.3) ? 200 : 429;
      limit(answer);
      break;
    case Mood::gone:
      outcome.status = draw_.chance(0.05) ? 410 : 404;
      break;
    case Mood::forbids:
      outcome.status = 401;
      break;
    case Mood::hangs:
      answer.at = time_.now + timeout;
      outcome.error = AttemptError::timeout;
      break;
    case Mood::refuses:
      outcome.error = draw_.chance(0.5) ? AttemptError::connect : AttemptError::reset;
      break;
  }
  if (outcome.status == 200 && draw_.chance(0.01)) {
    outcome.status = 0;  // it took it, and the connection broke before its answer came
    outcome.error = AttemptError::reset;
    arrival.answered_2xx = false;
    answer.quiet_ms = 0;
  } else {
    arrival.answered_2xx = outcome.status == 200;
  }
  on_arrival(arrival);
  return answer;
}

void SimTransport::send(HttpRequest request, std::uint64_t token) {
  const std::string& host = request.to->url.host;
  hosts_.on_in_flight(process_, host, ++in_flight_[host]);
  if (const std::int64_t early = quiet_until_[host] - hosts_.time().now; early > 0)
    hosts_.on_hasty(process_, host, early);
  Draw& draw = hosts_.draw();
  const std::int64_t wait = draw.chance(0.97) ? draw.between(0, 2) : draw.between(0, hosts_.connect_ms_max);
  dialling_.push_back({std::move(request), token, hosts_.time().now + wait});
}

void SimTransport::cancel_all() {
  const std::int64_t now = hosts_.time().now;
  Outcome cut;
  cut.error = AttemptError::ambiguous;
  for (Dialling& one : dialling_) waiting_.push_back({one.token, now, cut, one.request.to->url.host, 0});
  dialling_.clear();
  for (Waiting& one : waiting_) one.at = now, one.outcome = cut, one.quiet_ms = 0;
}

void SimTransport::dial(TransportListener& listener) {
  const std::int64_t now = hosts_.time().now;
  for (std::size_t i = 0; i < dialling_.size();) {
    if (dialling_[i].at > now) {
      ++i;
      continue;
    }
    Dialling one = std::move(dialling_[i]);
    dialling_[i] = std::move(dialling_.back());
    dialling_.pop_back();
    const std::string host = one.request.to->url.host;
    if (!listener.may_still_send(one.token)) {
      Outcome withheld;
      withheld.error = AttemptError::ambiguous;
      waiting_.push_back({one.token, now, withheld, host, 0});
      continue;
    }
    Arrival arrival;
    arrival.from = &process_;
    arrival.host = host;
    arrival.request = std::move(one.request);
    arrival.at = now;
    arrival.sender_wall_ms = to_ms(clock_.wall());
    Hosts::Answer answer = hosts_.arrive(std::move(arrival));
    waiting_.push_back({one.token, answer.at, std::move(answer.outcome), host, answer.quiet_ms});
  }
}

std::size_t SimTransport::poll(TransportListener& listener) {
  dial(listener);
  const std::int64_t now = hosts_.time().now;
  std::vector<Waiting> done;
  for (std::size_t i = 0; i < waiting_.size();) {
    if (waiting_[i].at > now) {
      ++i;
      continue;
    }
    done.push_back(std::move(waiting_[i]));
    waiting_[i] = std::move(waiting_.back());
    waiting_.pop_back();
  }
  for (Waiting& one : done) {
    --in_flight_[one.host];
    if (one.quiet_ms > 0) quiet_until_[one.host] = now + one.quiet_ms;
    listener.on_outcome(one.token, std::move(one.outcome));
  }
  return done.size();
}

std::int64_t SimTransport::next() const {
  std::int64_t next = INT64_MAX;
  for (const Dialling& one : dialling_) next = std::min(next, one.at);
  for (const Waiting& one : waiting_) next = std::min(next, one.at);
  return next;
}

// --- names

void SimResolver::resolve(const std::string& host, std::uint64_t token) {
  if (draw_.chance(fails)) {
    answers_.push_back({time_.now + draw_.between(1, 3000), token,
                        fail(Errc::unavailable, "DNS", "no answer from the name servers", "")});
    return;
  }
  Resolved resolved;
  resolved.ttl = Millis(draw_.between(5000, 60000));
  const bool lie = draw_.chance(lies);
  resolved.addresses.push_back(*parse_ip(lie ? "169.254.169.254" : hosts_.receivers[host].address()));
  if (!lie && draw_.chance(0.2)) resolved.addresses.push_back(*parse_ip("10.0.0.1"));
  answers_.push_back({time_.now + draw_.between(1, 30), token, resolved});
}

std::size_t SimResolver::poll(ResolverListener& listener) {
  std::vector<Answer> due;
  std::erase_if(answers_, [&](Answer& answer) {
    if (answer.at > time_.now) return false;
    due.push_back(std::move(answer));
    return true;
  });
  for (Answer& answer : due) listener.on_resolved(answer.token, std::move(answer.resolved));
  return due.size();
}

std::int64_t SimResolver::next() const {
  std::int64_t next = INT64_MAX;
  for (const Answer& answer : answers_) next = std::min(next, answer.at);
  return next;
}

// --- keys

namespace {

std::string words(const std::string& key, const SealContext& context) {
  return "sealed:" + key + ":" + context.environment.str() + "|" + context.tenant.str() + "|" +
         context.endpoint + "|" + context.purpose + "|";
}

class SimSigner final : public Signer {
 public:
  explicit SimSigner(std::vector<std::string> keys) : keys_(std::move(keys)) {}
  std::vector<Code> sign(std::string_view prefix, std::string_view body) override {
    std::vector<Code> codes;
    for (const std::string& key : keys_) {
      codes.push_back({Code::Kind::hmac_sha256, SimKeys::sign(key, prefix, body)});
    }
    return codes;
  }

 private:
  std::vector<std::string> keys_;
};

tl::unexpected<Error> not_yet() {
  return fail(Errc::unavailable, "KEY_NOT_YET", "no key yet", "wait");
}

}  // namespace

std::string SimKeys::sign(std::string_view key, std::string_view prefix, std::string_view body) {
  const Digest digest = sha256(std::string(key).append("|").append(prefix).append(body));
  return {digest.begin(), digest.end()};
}

void SimKeys::apply(const WrappedKeyFact& fact) {
  known_.insert(fact.key_id);
  auto [at, added] = sealing_.try_emplace(fact.tenant, fact);
  if (!added && std::tie(fact.created_at, fact.key_id) < std::tie(at->second.created_at, at->second.key_id)) {
    at->second = fact;
  }
}

Result<WrappedKeyFact> SimKeys::make_key(const TenantId& tenant) {
  if (away) return not_yet();
  WrappedKeyFact fact;
  fact.tenant = tenant;
  fact.key_id = random_id("key", draw_.next(), draw_.next());
  fact.created_at = static_cast<std::int64_t>(draw_.next() % 1000);
  return fact;
}

Result<std::string> SimKeys::seal(const SealContext& context, std::string_view bytes) {
  const auto key = sealing_.find(context.tenant);
  if (away || key == sealing_.end()) return not_yet();
  return words(key->second.key_id, context).append(bytes);
}

Result<Secret> SimKeys::open(const SealContext& context, std::string_view sealed) {
  const std::size_t end = sealed.find(':', 7);
  if (!sealed.starts_with("sealed:") || end == std::string_view::npos) {
    return fail(Errc::corrupt, "SEAL_BROKEN", "nothing sealed", "");
  }
  const std::string key(sealed.substr(7, end - 7));
  if (away || !known_.contains(key)) return not_yet();
  const std::string prefix = words(key, context);
  if (!sealed.starts_with(prefix)) return fail(Errc::corrupt, "SEAL_BROKEN", "sealed for something else", "");
  return Secret(std::string(sealed.substr(prefix.size())));
}

Result<std::unique_ptr<Signer>> SimKeys::signer(const std::vector<SigningSecret>& secrets) {
  std::vector<std::string> keys;
  for (const SigningSecret& secret : secrets) keys.emplace_back(secret.key.reveal());
  return std::make_unique<SimSigner>(std::move(keys));
}

// --- what is said

template <class Words>
void SimObserver::say(Words&& words) {
  time_.note([&] { return "process " + std::to_string(process_.number) + ": " + words(); });
}

void SimObserver::attempt(const AttemptReport& report) {
  say([&] {
    const AttemptFact& fact = report.fact;
    return "attempt " + std::to_string(fact.number) + " of " + fact.delivery.id.str() + " (" +
           fact.delivery.event_id + " to " + fact.delivery.target.endpoint.str() +
           "): " + (fact.status != 0 ? std::to_string(fact.status) : std::string(code_of(fact.error)));
  });
}

void SimObserver::dead_letter(const DeadLetter& letter) {
  say([&] {
    return "dead letter " + letter.delivery.id.str() + ": " + std::string(reason_of(letter.reason));
  });
}

void SimObserver::endpoint_changed(const TenantId& tenant, const EndpointId& endpoint, Stop,
                                   std::string_view why) {
  say([&] { return "endpoint " + tenant.str() + "/" + endpoint.str() + ": " + std::string(why); });
}

void SimObserver::cancelled(const CancelledFact& fact) {
  say([&] { return "cancelled " + fact.delivery.id.str() + ": " + std::string(reason_of(fact.reason)); });
}

void SimObserver::note(std::string_view level, std::string_view operation, std::string_view message,
                       const Error*) {
  operations.emplace(operation);
  say([&] { return std::string(level) + " " + std::string(operation) + " " + std::string(message); });
}

}  // namespace postrider::simulation
