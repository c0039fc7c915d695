// topics restore-offsets | accept-source: what a partition that stopped at its takeover
// (engine/flow/ownership.cc) waits for. Both change what an owner will believe, so both ask for --yes.
#include "engine/core/fact.h"
#include "engine/core/registry.h"
#include "engine/kafka/group_offsets.h"
#include "engine/operations/audit.h"
#include "engine/wire/codec.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

// The newest owner mark of a partition; nullopt: it never had an owner.
Result<std::optional<OwnerMark>> newest_mark(Desk& desk, Partition partition) {
  auto extent = desk.log.extent(Topic::parked, partition);
  if (!extent) return fail(extent.error());
  std::optional<OwnerMark> newest;
  std::optional<Error> wrong;
  auto scanned =
      desk.log.scan(Topic::parked, partition, extent->begin, extent->end, [&](const Record& record) {
        if (record.key != kOwnerKey || !record.value) return true;
        auto fact = wire::decode_parked(desk.environment, *record.value);
        if (!fact)
          wrong = fact.error();
        else if (auto* mark = std::get_if<OwnerMark>(&*fact))
          newest = std::move(*mark);
        return !wrong;
      });
  if (!scanned) return fail(scanned.error());
  if (wrong) return fail(*std::move(wrong));
  return newest;
}

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

// A commit above the end of what is there would be read from nowhere. One that may stay is committed again:
// the group takes it only while it has no members, and a running owner would write marks over ours.
Result<void> settle_offset(Session& session, Partition partition, const LogClient::Extent& events) {
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  const auto committed = group_offset(*config, partition);
  if (!committed) return fail(committed.error());
  const bool stays = *committed && **committed <= events.end;
  return set_group_offset(*config, partition, stays ? **committed : events.begin);
}

constexpr const char* kThenRestart =
    " Start the daemons (again): they look at the partition when they take it over.";

}  // namespace

Result<int> topics_restore_offsets(Session& session) {
  const Partition partition = session.line().partition;
  const std::string name = "partition " + std::to_string(partition);
  if (!names_kafka(session.line()) && session.line().log.starts_with("embedded:"))
    return wrong_use("an embedded log keeps its offsets among its records: none can be lost alone",
                     "if it lacks some, put back a whole copy of its directory");
  if (auto config = kafka_config_of(session.line()); !config) return fail(config.error());
  if (auto yes = session.needs_yes(
          "this commits, for the consumer group, the offset that the newest owner mark of " + name +
          " names: what was settled since then is delivered again");
      !yes)
    return fail(yes.error());
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto mark = newest_mark(**desk, partition);
  if (!mark) return fail(mark.error());
  if (!*mark || !(*mark)->committed)
    return fail(Errc::not_found, "NOTHING_TO_RESTORE",
                "the newest owner mark of " + name + " names no committed offset",
                "nothing is needed: it begins where the group's offset is, or at the beginning");
  const Offset offset = *(*mark)->committed;
  const auto events = (*desk)->log.extent(Topic::events, partition);
  if (!events) return fail(events.error());
  if (offset > events->end)
    return fail(Errc::conflict, "SOURCE_REPLACED",
                "the mark names offset " + std::to_string(offset) + ", and `events` ends at " +
                    std::to_string(events->end) + " in " + name,
                "find out what became of the topic; then see `postrider-ops topics accept-source`");
  const auto config = kafka_config_of(session.line());
  if (!config) return fail(config.error());
  const auto before = group_offset(*config, partition);
  if (!before) return fail(before.error());
  if (*before && **before >= offset) {
    answer(session, {{"partition", partition}, {"committed", **before}, {"changed", false}},
           "Nothing to do: the group has committed " + std::to_string(**before) + " in " + name +
               ", the mark names " + std::to_string(offset) + ".");
    return kDone;
  }
  if (auto done = tell(session, **desk, "restore_offsets", "committing " + std::to_string(offset)); !done)
    return fail(done.error());
  if (auto done = set_group_offset(*config, partition, offset); !done) return fail(done.error());
  answer(session, {{"partition", partition}, {"committed", offset}, {"changed", true}},
         "The group has committed " + std::to_string(offset) + " in " + name + "." + kThenRestart);
  return kDone;
}

Result<int> topics_accept_source(Session& session) {
  const Partition partition = session.line().partition;
  const std::string name = "partition " + std::to_string(partition);
  if (session.line().log.empty()) return fail(session.desk(Events::untouched).error());
  if (auto yes = session.needs_yes(
          "this accepts `events` of " + name +
          " as it is now: its owner begins with what is there, and what an earlier topic held "
          "and was not delivered stays undelivered");
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
    if (auto done = settle_offset(session, partition, *events); !done) return fail(done.error());
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
