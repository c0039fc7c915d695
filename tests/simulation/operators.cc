// What operators do in a run: they replay dead letters, suspend tenants, and mend what the engine refuses to
// go on with.
#include <algorithm>
#include <utility>

#include "engine/operations/settled_offsets.h"
#include "engine/wire/cloud_event.h"
#include "engine/wire/codec.h"
#include "tests/simulation/log_client.h"
#include "tests/simulation/node.h"

namespace postrider::simulation {
void Run::plan_replays() {
  if (scenario_.replays) every(1000, scenario_.stormy ? 5000 : 20'000, [this] { replay_something(); });
}

void Run::replay_something() {
  if (!faults_on_) return;
  std::vector<DeadLetter> letters;
  for (auto& [key, part] : kafka_.parts()) {
    if (key.first != Topic::dead_letters) continue;
    for (Offset offset = part.begin; offset < part.high; ++offset) {
      const Kafka::Slot* slot = part.at(offset);
      if (slot == nullptr) continue;
      auto fact = wire::decode_dead_letter(kEnvironment, slot->record.value.value_or(""));
      if (!fact || !std::holds_alternative<DeadLetter>(*fact)) continue;
      DeadLetter& letter = std::get<DeadLetter>(*fact);
      if (category_of(letter.reason) != Category::bad_event && !letter.sealed_payload.empty()) {
        letters.push_back(std::move(letter));
      }
    }
  }
  if (letters.empty()) return;
  // A second time, perhaps: a job of its own.
  const DeadLetter letter = replayed_ && draw_.chance(0.4) ? *replayed_ : draw_.pick(letters);
  replayed_ = letter;
  Event event;
  event.id = letter.delivery.event_id;
  event.source = letter.event_source;
  event.type = letter.delivery.event_type;
  event.tenant = letter.delivery.tenant;
  event.target = letter.delivery.target;
  event.replay_job = ReplayJobId(random_id("rpl", draw_.next(), draw_.next()));
  wire::KafkaMessage message = wire::encode_sealed_replay(event, letter.sealed_payload);
  Publication publication;
  publication.tenant = event.tenant;
  publication.source = event.source;
  publication.id = event.id;
  publication.type = event.type;
  publication.target = event.target;
  publication.job = event.replay_job;
  publication.webhook = webhook_id(event.tenant, event.source, event.id);
  oracle_.publications.push_back(std::move(publication));
  time_.note([&] { return "operator: replays " + letter.delivery.id.str(); });
  kafka_.produce({.topic = Topic::events,
                  .partition = std::nullopt,
                  .key = std::move(message.key),
                  .value = std::move(message.value),
                  .headers = std::move(message.headers)},
                 oracle_.publications.size());
}

// Of a tenant that is suspended events are held, for as long as it takes.
void Run::plan_suspensions() {
  if (!scenario_.suspensions) return;
  every(1000, scenario_.stormy ? 5000 : 15'000, [this] {
    if (!faults_on_) return;
    const TenantId tenant("t" + std::to_string(draw_.between(1, scenario_.tenants)));
    const auto& said = oracle_.suspensions[tenant];
    const bool last = !said.empty() && said.back().suspended;
    suspend_or_resume(tenant, draw_.chance(0.8) ? !last : last);
  });
}

void Run::suspend_or_resume(const TenantId& tenant, bool suspended) {
  Node* node = some_running();
  if (node == nullptr) return;
  auto& said = oracle_.suspensions[tenant];
  const std::size_t index = said.size();
  said.push_back({suspended, std::nullopt});
  TenantSpec spec;
  spec.id = tenant;
  spec.suspended = suspended;
  spec.actor = "simulation";
  const auto tell = [this, tenant, suspended](const std::string& what) {
    time_.note([&] { return "operator: " + tenant.str() + (suspended ? " suspended" : " resumed") + what; });
  };
  tell("? by process " + std::to_string(node->process.number));
  node->shard->service().put_tenant(
      spec, [this, &said, index, suspended, tell](const Result<TenantAnswer>& answer) {
        tell(answer ? ": done" : ": " + answer.error().code);
        if (!answer) return;
        // That it is so already says nothing of a command that is still on its way.
        const bool another_is_on_its_way = std::ranges::any_of(
            said, [suspended](const Suspension& one) { return !one.answered && one.suspended != suspended; });
        if (answer->change == ApplyAnswer::Change::unchanged && another_is_on_its_way) return;
        said[index].answered = time_.now;
      });
  node->wakes_at = time_.now;
}

void Run::resume_all() {
  for (auto& [tenant, said] : oracle_.suspensions) suspend_or_resume(tenant, false);
}

// Somebody reads what /readyz says, and follows it.
void Run::look_for_refusals() {
  if (held_down_) return;
  bool refused = false;
  for (auto& node : nodes_) {
    if (!node->running()) continue;
    node->shard->service().readiness([&](Result<Readiness> ready) {
      if (!ready) return;
      for (const std::string& complaint : ready->complaints) {
        oracle_.on_complaint(node->process, complaint);
        refused |= complaint.find("offsets rebuild") != std::string::npos;
      }
    });
  }
  if (!refused) return;
  held_down_ = true;
  time_.note([] { return "operator: stops the daemons, for `offsets rebuild`"; });
  time_.after(draw_.between(0, 5000), [this] {
    for (auto& node : nodes_)
      if (node->process.alive) kill(*node, false);
    time_.after(kGroupEmptyAfter, [this] { rebuild_offsets(); });
  });
}

void Run::rebuild_offsets() {
  SimLogClient client(kafka_);
  SimClock clock(time_);
  Draw unused(1);
  Desk desk{client, kEnvironment, unused, clock};
  for (Partition partition = 0; partition < kafka_.partitions; ++partition) {
    const auto at = group_.commits.find(partition);
    const auto group = at == group_.commits.end() ? std::nullopt : std::optional(at->second.offset);
    const auto settled = settled_offset(desk, partition, group, {});
    if (!settled) throw Violation("offsets rebuild refuses: " + settled.error().message);
    if (settled->finding != SettledOffset::Finding::lost) continue;
    time_.note([&] {
      return "operator: offsets rebuild commits " + std::to_string(partition) + "@" +
             std::to_string(settled->commit) + " [" + settled->metadata + "]";
    });
    oracle_.on_rebuilt(partition, settled->commit);
    group_.commits[partition] = {settled->commit, settled->metadata};
  }
  held_down_ = false;
  for (auto& node : nodes_) start(*node);
}

}  // namespace postrider::simulation
