// topics accept-source: what a partition that stopped at its takeover with SOURCE_REPLACED waits for
// (engine/flow/ownership.cc). It changes what an owner will believe, so it asks for --yes.
#include "engine/core/fact.h"
#include "engine/core/registry.h"
#include "engine/kafka/group_offsets.h"
#include "engine/operations/audit.h"
#include "engine/operations/settled_offsets.h"
#include "engine/wire/codec.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

Result<LogIdentity> identity_of(Session& session, Desk& desk) {
  if (!session.log().identity.empty()) return session.log().identity;
  auto extent = desk.log.extent(Topic::endpoints, 0);
  if (!extent) return fail(extent.error());
  LogIdentity identity;
  auto scanned = desk.log.scan(Topic::endpoints, 0, extent->begin, extent->end, [&](const Record& record) {
    if (record.key != kIdentityKey || !record.value) return true;
    const auto fact = wire::decode_registry(desk.environment, *record.value);
    const auto* found = fact ? std::get_if<IdentityFact>(&*fact) : nullptr;
    if (found) identity = found->identity;
    return identity.empty();
  });
  if (!scanned) return fail(scanned.error());
  if (identity.empty())
    return fail(Errc::not_found, "TOPIC_MISSING", "the log has no identity: its topics were not made by us",
                "run: postrider-ops topics create");
  return identity;
}

Result<void> tell(Session& session, Desk& desk, const char* action, const std::string& outcome) {
  auto fact = audit_of(session.actor(), action, "events/" + std::to_string(session.line().partition));
  fact.outcome = outcome;
  return append_audit(desk, std::move(fact));
}

Result<void> append_owner_mark(Desk& desk, Partition partition, const OwnerMark& mark) {
  NewRecord record;
  record.topic = Topic::parked;
  record.partition = partition;
  record.key = std::string(kOwnerKey);
  record.value = wire::encode(desk.environment, mark);
  auto appended = desk.log.append(std::move(record));
  if (!appended) return fail(appended.error());
  if (appended->status != Appended::Status::acknowledged) return fail(appended->error);
  return {};
}

void answer(const Session& session, Json object, const std::string& sentence) {
  if (session.out().json())
    session.out().object(object);
  else
    session.out().line(sentence);
}

// A commit above the end of what is there would be read from nowhere, and one of an earlier topic passes over
// what is in this one. One that may stay is committed again: the group takes it only while it has no members,
// and a running owner would write marks over ours.
Result<void> settle_offset(Session& session, Desk& desk, Partition partition,
                           const LogClient::Extent& events) {
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  const auto committed = group_offset(*config, partition);
  if (!committed) return fail(committed.error());
  const auto mark = newest_mark(desk, partition);
  if (!mark) return fail(mark.error());
  const auto begins = accepted_offset(desk, partition, *mark, *committed, events);
  if (!begins) return fail(begins.error());
  return set_group_offset(*config, partition, *begins);
}

constexpr const char* kThenRestart =
    " Start the daemons (again): they look at the partition when they take it over.";

}  // namespace

Result<int> topics_accept_source(Session& session) {
  const Partition partition = session.line().partition;
  const std::string name = "partition " + std::to_string(partition);
  if (session.line().log.empty()) return fail(session.desk(Events::untouched).error());
  if (auto yes = session.needs_yes(
          "this accepts `events` of " + name +
          " as it is now: its owner begins at what the group has "
          "committed, or at the beginning if that is above the end, of an earlier topic, or not there; what "
          "lies below, or was in an earlier topic, and was not delivered stays undelivered");
      !yes)
    return fail(yes.error());
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  const auto identity = identity_of(session, **desk);
  if (!identity) return fail(identity.error());
  const auto events = (*desk)->log.extent(Topic::events, partition);
  if (!events) return fail(events.error());
  if (auto done = tell(session, **desk, "accept_source", "accepted up to " + std::to_string(events->end));
      !done)
    return fail(done.error());
  if (names_kafka(session.line()))
    if (auto done = settle_offset(session, **desk, partition, *events); !done) return fail(done.error());
  OwnerMark mark;
  mark.log = *identity;
  mark.instance = "postrider-ops";
  if (auto done = append_owner_mark(**desk, partition, mark); !done) return fail(done.error());
  answer(session, {{"partition", partition}, {"events_begin", events->begin}, {"events_end", events->end}},
         "Accepted: `events` of " + name + " holds " + std::to_string(events->begin) + " to " +
             std::to_string(events->end) + "." + kThenRestart);
  return kDone;
}

}  // namespace postrider::ops
