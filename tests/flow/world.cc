#include "tests/flow/world.h"

#include <algorithm>
#include <utility>

#include "engine/core/partitioner.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"

namespace postrider::world {

std::uint64_t TestRandom::next() {  // splitmix64
  std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ull);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  return z ^ (z >> 31);
}

Result<std::unique_ptr<const CompiledSchema>> TestSchemas::compile(std::string_view schema) {
  struct Holding : CompiledSchema {
    explicit Holding(std::string_view wanted) : text(wanted) {}
    std::optional<SchemaBreach> judge(std::string_view json) const override {
      if (json.find(text) != std::string_view::npos) return std::nullopt;
      return SchemaBreach{"/order", "is missing"};
    }
    std::string text;
  };
  ++compiled;
  if (schema == "none") return fail(Errc::invalid, "INVALID_SCHEMA", "it is none", "write one");
  return std::make_unique<const Holding>(schema);
}

// --- the log

Cluster::Cluster(Clocks& shared_clocks, Partition count) : clocks(shared_clocks), partitions(count) {
  IdentityFact identity;
  identity.identity = kIdentity;
  identity.environment = kEnvironment;
  append({.topic = Topic::endpoints,
          .partition = 0,
          .key = std::string(kIdentityKey),
          .value = wire::encode(kEnvironment, identity),
          .headers = {}});
}

Appended Cluster::append(const NewRecord& record) {
  const Partition partition = record.partition.value_or(0);
  Offset& next = ends[{record.topic, partition}];
  Record stored{record.topic, partition,    next,          from_ms<LogTime>(clocks.wall_ms),
                record.key,   record.value, record.headers};
  records[{record.topic, partition}][next] = stored;
  Appended appended;
  appended.partition = partition;
  appended.offset = next++;
  appended.appended = stored.appended;
  return appended;
}

Offset Cluster::end(Topic topic, Partition partition) const {
  auto at = ends.find({topic, partition});
  return at == ends.end() ? 0 : at->second;
}

void Cluster::compact(Topic topic, Partition partition) {
  auto& log = records[{topic, partition}];
  std::map<std::string, Offset> newest;
  for (const auto& [offset, record] : log) newest[record.key] = offset;
  std::erase_if(log, [&](const auto& entry) { return newest[entry.second.key] != entry.first; });
}

void TestLog::assign(std::vector<Partition> partitions) {
  std::vector<Assignment> assigned;
  for (Partition partition : partitions) {
    Assignment assignment;
    assignment.partition = partition;
    if (auto at = cluster_.commits.find(partition); at != cluster_.commits.end()) {
      assignment.committed = at->second.offset;
      assignment.metadata = at->second.metadata;
    }
    const auto& events = cluster_.records[{Topic::events, partition}];
    if (!cluster_.backlog)
      assignment.events_begin =
          events.empty() ? cluster_.end(Topic::events, partition) : events.begin()->first;
    assignment.events_end = cluster_.end(Topic::events, partition);
    assignment.parked_end = cluster_.end(Topic::parked, partition);
    assigned.push_back(assignment);
  }
  answers_.push_back([assigned](LogListener& listener) { listener.on_assigned(assigned); });
}

void TestLog::revoke(std::vector<Partition> partitions, bool lost) {
  answers_.push_back([partitions, lost](LogListener& listener) { listener.on_revoked(partitions, lost); });
}

void TestLog::release(std::span<const Partition> partitions) {
  for (Partition partition : partitions) {
    positions_.erase(partition);
    released.push_back(partition);
  }
}

void TestLog::append(NewRecord record, std::uint64_t token) {
  const Appended::Status status = cluster_.fate(record);
  Appended appended;
  if (status == Appended::Status::acknowledged) appended = cluster_.append(record);
  appended.status = status;
  pending_.push_back([token, appended](LogListener& listener) { listener.on_appended(token, appended); });
}

void TestLog::commit(Partition partition, Offset next, std::string metadata) {
  const SteadyTime sent_at = from_ms<SteadyTime>(cluster_.clocks.steady_ms);
  if (commits_succeed) cluster_.commits[partition] = {next, std::move(metadata)};
  answers_.push_back([=, ok = commits_succeed](LogListener& listener) {
    listener.on_committed(partition, next, sent_at, ok);
  });
}

void TestLog::ask_end(Topic topic, Partition partition) {
  if (!ends_answered || (events_away && topic == Topic::events)) return;
  const Offset end = cluster_.end(topic, partition);
  const SteadyTime asked_at = from_ms<SteadyTime>(cluster_.clocks.steady_ms);
  answers_.push_back([=](LogListener& listener) { listener.on_end(topic, partition, end, asked_at); });
}

void TestLog::fetch(Position position, std::uint64_t token) {
  const auto& log = cluster_.records[{Topic::events, position.partition}];
  auto at = log.find(position.offset);
  Result<Record> found = fail(Errc::not_found, "NOT_FOUND", "no such record", "");
  if (at != log.end()) found = at->second;
  if (cluster_.backlog) found = cluster_.backlog(position.partition, position.offset);
  if (!fetches_answered) found = fail(Errc::unavailable, "LOG_UNAVAILABLE", "no leader", "wait");
  if (fetches_lost) return;
  answers_.push_back([token, found](LogListener& listener) { listener.on_fetched(token, found); });
}

std::size_t TestLog::poll(LogListener& listener, std::size_t max_records) {
  std::size_t calls = 0;
  for (auto answers = std::exchange(answers_, {}); !answers.empty(); answers.pop_front(), ++calls) {
    answers.front()(listener);
  }
  if (acknowledge) {
    for (auto pending = std::exchange(pending_, {}); !pending.empty(); pending.pop_front(), ++calls) {
      pending.front()(listener);
    }
  }
  const auto tails = tails_;
  for (const auto& [key, from] : tails) {
    const auto& log = cluster_.records[key];
    std::vector<Record> news;
    for (auto at = log.lower_bound(from); at != log.end(); ++at) news.push_back(at->second);
    for (Record& record : news) {
      if (!tails_.contains(key)) break;
      tails_[key] = record.offset + 1;
      listener.on_tail(std::move(record));
      ++calls;
    }
  }
  if (held_ || events_away || events_stand_still) return calls;
  const auto positions = positions_;
  for (const auto& [partition, from] : positions) {
    if (cluster_.backlog) {
      const Offset end = cluster_.end(Topic::events, partition);
      for (Offset at = from; at < end && calls < max_records && !held_; ++at, ++calls) {
        positions_[partition] = at + 1;
        listener.on_event(cluster_.backlog(partition, at));
      }
      continue;
    }
    const auto& log = cluster_.records[{Topic::events, partition}];
    const Offset begin = log.empty() ? cluster_.end(Topic::events, partition) : log.begin()->first;
    if (from < begin) {  // retention has overtaken us
      positions_[partition] = begin;
      listener.on_events_lost(partition, from, begin);
      ++calls;
    }
    for (auto at = log.lower_bound(from);
         at != log.end() && calls < max_records && positions_.contains(partition); ++at, ++calls) {
      positions_[partition] = at->first + 1;
      listener.on_event(at->second);
    }
  }
  return calls;
}

bool TestLog::quiet() const {
  if (!answers_.empty() || (acknowledge && !pending_.empty())) return false;
  for (const auto& [key, from] : tails_) {
    if (cluster_.end(key.first, key.second) > from &&
        cluster_.records[key].lower_bound(from) != cluster_.records[key].end())
      return false;
  }
  for (const auto& [partition, from] : positions_) {
    if (!held_ && !events_away && !events_stand_still && cluster_.end(Topic::events, partition) > from)
      return false;
  }
  return true;
}

// --- the store

std::int64_t expiry_of(std::string_view value) {
  std::uint64_t expiry = 0;
  for (const char byte : value.substr(0, 8)) expiry = expiry << 8 | static_cast<unsigned char>(byte);
  return static_cast<std::int64_t>(expiry);
}

Result<std::optional<std::string>> TestStore::get(Family family, std::string_view key) {
  if (unreadable && family == Family::repeats)
    return fail(Errc::unavailable, "VIEW_UNREADABLE", "input/output error", "look at the disk");
  if (auto done = settle(); !done) return fail(done.error());
  auto& of = rows[family];
  auto at = of.find(key);
  if (at == of.end()) return std::optional<std::string>();
  if (has_ttl(family) && expiry_of(at->second) <= to_ms(log_time_)) return std::optional<std::string>();
  return std::optional<std::string>(at->second);
}

Result<void> TestStore::write_behind(StoreBatch batch) {
  owed_.push_back(std::move(batch));
  return settle();
}

Result<void> TestStore::settle() {
  while (!owed_.empty()) {
    const StoreBatch batch = std::move(owed_.front());
    owed_.pop_front();
    if (auto done = write(batch, false); done) continue;
    owed_.push_front(batch);
    return fail(Errc::overloaded, "DISK_FULL", "no space left on device", "make room");
  }
  return {};
}

Result<void> TestStore::write(const StoreBatch& batch, bool) {
  if (!owed_.empty() && !settle()) return fail(Errc::overloaded, "DISK_FULL", "no space left", "make room");
  if (full) return fail(Errc::overloaded, "DISK_FULL", "no space left on device", "make room");
  for (const StoreBatch::Op& op : batch.ops) {
    if (op.value) {
      rows[op.family][op.key] = *op.value;
    } else {
      rows[op.family].erase(op.key);
    }
  }
  return {};
}

Result<void> TestStore::scan(Family family, std::string_view from, std::string_view to,
                             const std::function<bool(std::string_view, std::string_view)>& each) {
  if (auto done = settle(); !done) return done;
  if (held_unreadable && family == Family::held)
    return fail(Errc::unavailable, "VIEW_UNREADABLE", "input/output error", "look at the disk");
  auto& of = rows[family];
  for (auto at = of.lower_bound(from); at != of.end() && (to.empty() || at->first < to); ++at) {
    if (!each(at->first, at->second)) break;
  }
  return {};
}

Result<void> TestStore::erase_range(Family family, std::string_view from, std::string_view to) {
  if (auto done = settle(); !done) return done;
  std::erase_if(rows[family],
                [&](const auto& row) { return row.first >= from && (to.empty() || row.first < to); });
  return {};
}

// --- receivers

Outcome answered(int status, Headers headers) {
  Outcome outcome;
  outcome.status = status;
  outcome.headers = std::move(headers);
  return outcome;
}

std::string Arrival::header(std::string_view name) const {
  const std::string* value = find_header(request.headers, name);
  if (!value && request.shared_headers) value = find_header(request.shared_headers->headers(), name);
  return value ? *value : std::string();
}

void TestTransport::send(const void* who, HttpRequest request, std::uint64_t token) {
  const std::string host = request.to->url.host;
  const int n = ++counts_[host];
  last_token = token;
  const std::int64_t timeout = request.timeout.count();
  arrivals.push_back({host, std::move(request), clocks_.steady_ms, clocks_.wall_ms});
  const std::optional<Outcome> outcome = answer ? answer(host, n) : answered(200);
  if (outcome) {
    done_.push_back({who, token, *outcome});
  } else {
    hanging_.push_back({clocks_.steady_ms + timeout, who, token});
  }
}

void TestTransport::cancel_all(const void* who) {
  Outcome cut;
  cut.error = AttemptError::ambiguous;
  std::erase_if(hanging_, [&](const Hanging& hanging) {
    if (hanging.who != who) return false;
    done_.push_back({who, hanging.token, cut});
    return true;
  });
}

std::size_t TestTransport::poll(const void* who, TransportListener& listener) {
  std::erase_if(hanging_, [&](const Hanging& hanging) {
    if (hanging.until > clocks_.steady_ms) return false;
    Outcome timeout;
    timeout.error = AttemptError::timeout;
    done_.push_back({hanging.who, hanging.token, timeout});
    return true;
  });
  std::vector<Done> mine;
  std::erase_if(done_, [&](Done& done) {
    if (done.who != who) return false;
    mine.push_back(std::move(done));
    return true;
  });
  for (Done& done : mine) listener.on_outcome(done.token, std::move(done.outcome));
  return mine.size();
}

std::int64_t TestTransport::next_timeout() const {
  std::int64_t next = INT64_MAX;
  for (const Hanging& hanging : hanging_) next = std::min(next, hanging.until);
  return next;
}

std::vector<Arrival> TestTransport::at(const std::string& host) const {
  std::vector<Arrival> found;
  for (const Arrival& arrival : arrivals) {
    if (arrival.host == host) found.push_back(arrival);
  }
  return found;
}

void TestResolver::resolve(const std::string& host, std::uint64_t token) {
  auto known = hosts.find(host);
  Resolved resolved;
  resolved.ttl = std::chrono::seconds(30);
  if (known == hosts.end()) {
    resolved.addresses.push_back(*parse_ip("93.184.216.34"));
  } else {
    for (const std::string& text : known->second) resolved.addresses.push_back(*parse_ip(text));
  }
  if (resolved.addresses.empty()) {
    done_.emplace_back(token, fail(Errc::unavailable, "DNS", "no such host", ""));
  } else {
    done_.emplace_back(token, resolved);
  }
}

std::size_t TestResolver::poll(ResolverListener& listener) {
  auto done = std::exchange(done_, {});
  for (auto& [token, resolved] : done) listener.on_resolved(token, resolved);
  return done.size();
}

// --- keys

namespace {

std::string words(const SealContext& context) {
  return context.environment.str() + "|" + context.tenant.str() + "|" + context.endpoint + "|" +
         context.purpose + "|";
}

class TestSigner : public Signer {
 public:
  explicit TestSigner(std::vector<std::string> keys) : keys_(std::move(keys)) {}
  std::vector<Code> sign(std::string_view prefix, std::string_view body) override {
    std::vector<Code> codes;
    for (const std::string& key : keys_) {
      const Digest digest = sha256(key + std::string(prefix) + std::string(body));
      codes.push_back({Code::Kind::hmac_sha256, std::string(digest.begin(), digest.end())});
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

Result<WrappedKeyFact> TestKeys::make_key(const TenantId& tenant) {
  if (away) return not_yet();
  WrappedKeyFact fact;
  fact.tenant = tenant;
  fact.key_id = "key_" + std::to_string(++made_);
  return fact;
}

Result<std::string> TestKeys::seal(const SealContext& context, std::string_view bytes) {
  if (away || !keys_.contains(context.tenant)) return not_yet();
  return "sealed:" + words(context) + std::string(bytes);
}

Result<Secret> TestKeys::open(const SealContext& context, std::string_view sealed) {
  if (pending) return fail(Errc::unavailable, std::string(kKeyPending), "asked just now", "wait");
  if (destroyed.contains(context.tenant)) return fail(Errc::denied, "KEY_DESTROYED", "it was erased", "");
  if (away || !keys_.contains(context.tenant)) return not_yet();
  payloads_opened += context.purpose == "payload";
  secrets_opened += context.purpose == "secret";
  const std::string prefix = "sealed:" + words(context);
  if (!sealed.starts_with(prefix)) return fail(Errc::corrupt, "SEAL_BROKEN", "sealed for something else", "");
  return Secret(std::string(sealed.substr(prefix.size())));
}

Result<std::unique_ptr<Signer>> TestKeys::signer(const std::vector<SigningSecret>& secrets) {
  std::vector<std::string> keys;
  for (const SigningSecret& secret : secrets) keys.emplace_back(secret.key.reveal());
  return std::make_unique<TestSigner>(std::move(keys));
}

// --- what is told

void TestObserver::endpoint_changed(const TenantId&, const EndpointId& endpoint, Stop, std::string_view why) {
  changes.push_back(endpoint.str() + " " + std::string(why));
}

void TestObserver::note(std::string_view level, std::string_view operation, std::string_view message,
                        const Error*) {
  notes.push_back(std::string(level) + " " + std::string(operation) + " " + std::string(message));
}

bool TestObserver::noted(std::string_view operation) const {
  return std::any_of(notes.begin(), notes.end(),
                     [&](const std::string& note) { return note.find(operation) != std::string::npos; });
}

// --- instances

Instance::Instance(Clocks& shared_clocks, Cluster& shared_cluster, TestTransport& shared_transport,
                   std::string name)
    : clocks(shared_clocks), cluster(shared_cluster), transport(shared_transport), clock(shared_clocks) {
  config.environment = kEnvironment;
  config.instance = std::move(name);
}

void Instance::start() {
  resolver = std::make_unique<TestResolver>();
  keys = std::make_unique<TestKeys>();
  line = std::make_unique<TestLine>(transport);
  log = std::make_unique<TestLog>(cluster);
  shard = std::make_unique<flow::Shard>(
      flow::Ports{*log, *line, *resolver, store, clock, random, *keys, observer, &decode_mark, &schemas},
      config);
  shard->start();
}

void Instance::restart() {
  shard.reset();
  start();
}

World::World(Partition partitions) : cluster(clocks, partitions), transport(clocks) {}

Instance& World::add_instance() {
  instances.push_back(
      std::make_unique<Instance>(clocks, cluster, transport, "ins_" + std::to_string(instances.size() + 1)));
  instances.back()->start();
  return *instances.back();
}

Instance& World::begin() {
  Instance& instance = add_instance();
  run_until([&] { return instance.log->joined; }, std::chrono::seconds(5));
  std::vector<Partition> all;
  for (Partition partition = 0; partition < cluster.partitions; ++partition) all.push_back(partition);
  instance.log->assign(all);
  run(std::chrono::milliseconds(200));
  return instance;
}

void World::run(Millis span) {
  const std::int64_t until = clocks.steady_ms + span.count();
  while (clocks.steady_ms < until) {
    std::int64_t next = until;
    for (auto& instance : instances) {
      if (!instance->shard) continue;
      instance->shard->step();
      next = std::min(next, to_ms(instance->shard->next_wake()));
      if (!instance->log->quiet() || !instance->resolver->quiet()) next = 0;
    }
    if (!transport.quiet()) next = 0;
    next = std::min(next, transport.next_timeout());
    // Nothing is under way: on to whatever comes next.
    clocks.advance(Millis(std::clamp<std::int64_t>(
        next - clocks.steady_ms, 10, until - clocks.steady_ms > 10 ? until - clocks.steady_ms : 10)));
  }
}

bool World::run_until(const std::function<bool()>& done, Millis span) {
  const std::int64_t until = clocks.steady_ms + span.count();
  while (!done()) {
    if (clocks.steady_ms >= until) return false;
    run(Millis(100));
  }
  return true;
}

void World::declare(const std::string& endpoint, const std::function<void(EndpointSpec&)>& edit) {
  EndpointSpec spec;
  spec.tenant = kTenant;
  spec.id = EndpointId(endpoint);
  spec.url = "https://" + endpoint + ".example/hook";
  edit(spec);
  std::optional<Error> error;
  bool answered_once = false;
  one().shard->service().apply_endpoint(std::move(spec), [&](Result<ApplyAnswer> answer) {
    answered_once = true;
    if (!answer) error = answer.error();
  });
  run_until([&] { return answered_once; }, std::chrono::seconds(30));
  if (!answered_once || error) throw std::runtime_error("declare: " + (error ? error->message : "no answer"));
}

void World::describe(const std::string& type, const std::string& schema, const std::string& tenant) {
  EventTypeSpec spec;
  spec.tenant = TenantId(tenant);
  spec.name = type;
  spec.schema = schema;
  spec.wait = false;
  bool done = false;
  one().shard->service().put_event_type(spec,
                                        [&](Result<EventTypeAnswer> answer) { done = answer.has_value(); });
  run_until([&] { return done; }, std::chrono::seconds(10));
}

Position World::publish(const std::string& id, const std::string& type,
                        const std::function<void(Event&)>& edit) {
  Event event;
  event.id = id;
  event.source = "/shop";
  event.type = type;
  event.tenant = kTenant;
  event.datacontenttype = "application/json";
  event.data = R"({"order":")" + id + "\"}";
  edit(event);
  wire::KafkaMessage message = wire::encode_kafka(event);
  const Appended appended = cluster.append({.topic = Topic::events,
                                            .partition = 0,
                                            .key = message.key,
                                            .value = message.value,
                                            .headers = message.headers});
  return {appended.partition, appended.offset};
}

DeliveryRef World::replay_dead_letter() {
  const DeadLetter letter = dead_letters().front();
  Event attributes;
  attributes.id = letter.delivery.event_id;
  attributes.source = letter.event_source;
  attributes.type = letter.delivery.event_type;
  attributes.tenant = letter.delivery.tenant;
  attributes.target = letter.delivery.target;
  attributes.replay_job = ReplayJobId("rpl_1");
  wire::KafkaMessage message = wire::encode_sealed_replay(attributes, letter.sealed_payload);
  const Appended appended = cluster.append({.topic = Topic::events,
                                            .partition = 0,
                                            .key = message.key,
                                            .value = message.value,
                                            .headers = message.headers});
  DeliveryRef made = letter.delivery;
  made.replay_job = attributes.replay_job;
  made.position = {appended.partition, appended.offset};
  made.id = delivery_id(kIdentity, made.position, made.webhook_id, made.target.incarnation, made.replay_job);
  return made;
}

template <typename Fact>
std::vector<Fact> World::of_attempts() const {
  std::vector<Fact> facts;
  for (const auto& [key, log] : cluster.records) {
    if (key.first != Topic::attempts) continue;
    for (const auto& [offset, record] : log) {
      auto fact = wire::decode_attempts(kEnvironment, record.value.value_or(""));
      if (fact && std::holds_alternative<Fact>(*fact)) facts.push_back(std::get<Fact>(*fact));
    }
  }
  return facts;
}

std::vector<AttemptFact> World::attempts() const {
  return of_attempts<AttemptFact>();
}

std::vector<CancelledFact> World::cancellations() const {
  return of_attempts<CancelledFact>();
}

std::vector<SourceLostFact> World::lost_at_source() const {
  return of_attempts<SourceLostFact>();
}

std::vector<DeadLetter> World::dead_letters() const {
  std::vector<DeadLetter> letters;
  for (const auto& [key, log] : cluster.records) {
    if (key.first != Topic::dead_letters) continue;
    for (const auto& [offset, record] : log) {
      auto fact = wire::decode_dead_letter(kEnvironment, record.value.value_or(""));
      if (fact && std::holds_alternative<DeadLetter>(*fact)) letters.push_back(std::get<DeadLetter>(*fact));
    }
  }
  return letters;
}

std::map<std::string, std::optional<ParkedState>> World::parked() const {
  std::map<std::string, std::optional<ParkedState>> states;
  for (const auto& [key, log] : cluster.records) {
    if (key.first != Topic::parked) continue;
    for (const auto& [offset, record] : log) {
      if (record.key == kOwnerKey) continue;
      states[record.key] = std::nullopt;
      if (!record.value) continue;
      auto fact = wire::decode_parked(kEnvironment, *record.value);
      if (fact && std::holds_alternative<ParkedState>(*fact))
        states[record.key] = std::get<ParkedState>(*fact);
    }
  }
  return states;
}

std::size_t World::parked_now() const {
  const auto states = parked();
  return static_cast<std::size_t>(std::count_if(states.begin(), states.end(),
                                                [](const auto& state) { return state.second.has_value(); }));
}

Offset World::committed(Partition partition) const {
  auto at = cluster.commits.find(partition);
  return at == cluster.commits.end() ? -1 : at->second.offset;
}

}  // namespace postrider::world
