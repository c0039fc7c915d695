// topics create | check | mend | grow
#include "engine/core/retry_policy.h"
#include "engine/embedded/embedded_log.h"
#include "engine/kafka/topics.h"
#include "engine/operations/audit.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

constexpr Millis kRetentionLeast = kLifetimeMax + std::chrono::hours(24);

Result<TopicPlan> plan_of(const CommandLine& line) {
  TopicPlan plan;
  plan.partitions = line.partitions;
  plan.replication = line.replication;
  if (line.events_retention.empty()) return plan;
  const auto span = parse_duration(line.events_retention);
  if (!span || *span < kRetentionLeast)
    return wrong_use(
        "--retention-events is no duration, or shorter than an event may wait for its last attempt",
        "write at least " + format_duration(kRetentionLeast) + ", as in 14d");
  plan.events_retention = *span;
  return plan;
}

tl::unexpected<Error> kafka_only(const Session& session) {
  return wrong_use("`" + session.line().verb + "` is for Kafka",
                   "an embedded log makes its own topics, and keeps the partitions that it was made with "
                   "(`embedded.partitions`)");
}

// The embedded log makes its topics itself: nothing to do, and no error, so that one script serves both.
Result<int> nothing_to_create(Session& session) {
  if (session.out().json())
    session.out().object({{"created", Json::array()}, {"identity", nullptr}});
  else
    session.out().line(
        "Nothing to do: the embedded log makes its own topics when postriderd first opens it.");
  return kDone;
}

// Opening one reads every record and judges the files.
Result<int> check_embedded(Session& session) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  const auto& log = *session.log().embedded;
  if (!session.out().json())
    session.out().line("The embedded log is whole: " + std::to_string(log.partitions()) +
                       " partitions, identity " + log.identity().str() + ".");
  return kDone;
}

std::string_view weight_name(TopicDifference::Weight weight) {
  switch (weight) {
    case TopicDifference::Weight::warn:
      return "warn";
    case TopicDifference::Weight::refuse_in_production:
      return "refuse_in_production";
    case TopicDifference::Weight::refuse:
      break;
  }
  return "refuse";
}

// What only warns here because losing one machine is nothing in development is no finding.
bool is_finding(const TopicDifference& difference, const Environment& environment) {
  return difference.weight != TopicDifference::Weight::refuse_in_production ||
         refuses(difference, environment);
}

void show_difference(const Output& out, const TopicDifference& difference, bool finding) {
  if (out.json()) {
    out.object({{"topic", difference.topic.empty() ? Json(nullptr) : Json(difference.topic)},
                {"difference", difference.sentence},
                {"weight", weight_name(difference.weight)},
                {"finding", finding}});
    return;
  }
  out.line((finding ? "" : "warning: ") + (difference.topic.empty() ? "" : difference.topic + ": ") +
           difference.sentence);
}

// Past the API, straight on the log: it leaves a fact all the same.
Result<void> tell(Session& session, const char* action, std::string what) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto fact = audit_of(session.actor(), action, "topics");
  fact.scope = std::move(what);
  fact.outcome = "done";
  return append_audit(**desk, std::move(fact));
}

}  // namespace

Result<int> topics_create(Session& session) {
  const auto plan = plan_of(session.line());
  if (!plan) return fail(plan.error());
  if (session.line().log.starts_with("embedded:")) return nothing_to_create(session);
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  const auto made = create_topics(*config, *plan);
  if (!made) return fail(made.error());
  if (!made->created.empty() || made->identity_written)
    if (auto told = tell(session, "topics_created", listed(made->created)); !told) return fail(told.error());
  const auto& out = session.out();
  if (out.json()) {
    out.object({{"created", made->created},
                {"identity", made->identity.str()},
                {"identity_written", made->identity_written}});
    return kDone;
  }
  for (const auto& name : made->created) out.line("made " + name);
  if (made->created.empty()) out.line("All topics are there already.");
  out.line((made->identity_written ? "wrote the log's identity: " : "The log's identity is ") +
           made->identity.str());
  return kDone;
}

Result<int> topics_check(Session& session) {
  if (session.line().log.starts_with("embedded:")) return check_embedded(session);
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  const auto differences = check_topics(*config, TopicPlan());
  if (!differences) return fail(differences.error());
  int findings = 0;
  for (const auto& difference : *differences) {
    const bool finding = is_finding(difference, config->environment);
    findings += finding;
    show_difference(session.out(), difference, finding);
  }
  if (findings == 0 && !session.out().json()) session.out().line("The topics are as they must be.");
  if (findings > 0)
    session.out().note(
        "`postrider-ops topics create` makes what is missing, `topics grow` adds partitions, `topics "
        "mend` sets the settings right.");
  return findings == 0 ? kDone : kFailed;
}

Result<int> topics_mend(Session& session) {
  if (session.line().log.starts_with("embedded:")) return kafka_only(session);
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  const auto changed = mend_topics(*config, TopicPlan());
  if (!changed) return fail(changed.error());
  if (!changed->empty())
    if (auto told = tell(session, "topics_mended", listed(*changed, "; ")); !told) return fail(told.error());
  for (const auto& sentence : *changed) {
    if (session.out().json())
      session.out().object({{"changed", sentence}});
    else
      session.out().line(sentence);
  }
  if (changed->empty() && !session.out().json()) session.out().line("No setting needed a change.");
  return kDone;
}

Result<int> topics_grow(Session& session) {
  if (session.line().log.starts_with("embedded:")) return kafka_only(session);
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  if (auto done = grow_topics(*config, session.line().partitions); !done) return fail(done.error());
  if (auto told = tell(session, "topics_grown", std::to_string(session.line().partitions) + " partitions");
      !told)
    return fail(told.error());
  if (session.out().json())
    session.out().object({{"partitions", session.line().partitions}});
  else
    session.out().line(
        "events, parked, attempts and dead-letters have " + std::to_string(session.line().partitions) +
        " partitions. A tenant may be on two for a while: ordering and limits then hold per partition.");
  return kDone;
}

}  // namespace postrider::ops
