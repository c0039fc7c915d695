// keys list | rotate | rewrap | backup | restore: on the log, beside running daemons (an embedded one: while
// its daemon is stopped).
#include <algorithm>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include "engine/core/bytes.h"
#include "engine/crypto/aes_gcm.h"
#include "engine/crypto/file_record_cipher.h"
#include "engine/crypto/private_file.h"
#include "engine/crypto/random_bytes.h"
#include "engine/crypto/tenant_keys.h"
#include "engine/operations/audit.h"
#include "engine/wire/codec.h"
#include "ops/json_fields.h"
#include "ops/session.h"

namespace postrider::ops {
namespace {

constexpr std::string_view kEnvironmentsOwn = "~environment";
// THE FORMAT of a backup: this word and the environment; a line "key" with a WrappedKey in base64, or "log"
// with log.key's line in base64, for each; and "end" with the SHA-256 of all that stands before it.
constexpr std::string_view kFirstWord = "postrider-keys-backup-v1 ";
constexpr crypto::PrivateFileKind kBackup{"KEYS_BACKUP", "backup of the keys",
                                          "name the file that `keys backup` made"};

using Keys = std::map<std::string, WrappedKeyFact>;  // by record key

// What stands in `keys` now. Destroyed is for ever, whatever landed behind it.
Result<Keys> keys_from(Desk& desk, Offset begin, Offset end) {
  Keys keys;
  std::optional<Error> wrong;
  auto scanned = desk.log.scan(Topic::keys, 0, begin, end, [&](const Record& record) {
    if (!record.value) return true;
    auto fact = wire::decode_key(desk.environment, *record.value);
    if (!fact) {
      wrong = fact.error();
      return false;
    }
    auto& known = keys[record.key];
    if (!known.destroyed) known = *std::move(fact);
    return true;
  });
  if (!scanned) return fail(scanned.error());
  if (wrong) return fail(*std::move(wrong));
  return keys;
}

Result<Keys> all_keys(Desk& desk) {
  auto extent = desk.log.extent(Topic::keys, 0);
  if (!extent) return fail(extent.error());
  return keys_from(desk, extent->begin, extent->end);
}

Result<void> append_key(Desk& desk, const WrappedKeyFact& fact) {
  NewRecord record;
  record.topic = Topic::keys;
  record.partition = 0;
  record.key = key_record_key(fact);
  record.value = wire::encode(desk.environment, fact);
  auto appended = desk.log.append(std::move(record));
  if (!appended) return fail(appended.error());
  if (appended->status != Appended::Status::acknowledged) return fail(appended->error);
  return {};
}

Result<void> tell(Session& session, Desk& desk, const char* action, const WrappedKeyFact& fact) {
  AuditFact told = audit_of(session.actor(), action, "keys/" + fact.key_id);
  told.tenant = fact.tenant;
  told.source = fact.service;
  told.outcome = "done";
  return append_audit(desk, std::move(told));
}

// The same key under `to`. What `to` gives is opened again before anything rests on it.
Result<WrappedKeyFact> wrapped_anew(const Desk& desk, const WrappedKeyFact& fact, KeyService& from,
                                    KeyService& to) {
  const std::string use = crypto::tenant_key_associated(desk.environment, fact.tenant, fact.key_id);
  const Result<Secret> key = from.unwrap(fact.wrapped, use);
  if (!key) return fail(key.error());
  auto wrapped = to.wrap(key->reveal(), use);
  if (!wrapped) return fail(wrapped.error());
  const Result<Secret> again = to.unwrap(*wrapped, use);
  if (!again) return fail(again.error());
  if (again->reveal() != key->reveal())
    return fail(Errc::corrupt, "WRAPPED_KEY_CORRUPT", to.name() + " does not give back what it wrapped",
                "nothing was changed: look at that key service");
  WrappedKeyFact anew = fact;
  anew.service = to.name();
  anew.wrapped = *std::move(wrapped);
  return anew;
}

Result<KeyService*> service_that_wrapped(const WrappedKeyFact& fact, const crypto::KeyServices& services) {
  if (KeyService* const known = services.named(fact.service)) return known;
  return fail(Errc::invalid, "KEY_SERVICE_OTHER",
              "the key " + key_record_key(fact) + " was wrapped by " + fact.service + ", which is not named",
              "name it in [keys.former.NAME] of a configuration, and give that with --config");
}

// A key that was destroyed while we wrapped it anew stays destroyed, whichever record compaction keeps.
Result<void> keep_destroyed(Desk& desk, Offset since, const Keys& written) {
  auto extent = desk.log.extent(Topic::keys, 0);
  if (!extent) return fail(extent.error());
  auto newer = keys_from(desk, since, extent->end);
  if (!newer) return fail(newer.error());
  for (const auto& [name, fact] : *newer) {
    if (!fact.destroyed || !written.contains(name)) continue;
    if (auto done = append_key(desk, fact); !done) return done;
  }
  return {};
}

std::string_view shown(const WrappedKeyFact& fact) {
  return fact.tenant.empty() ? kEnvironmentsOwn : std::string_view(fact.tenant.str());
}

// The directory of an embedded log; empty: Kafka.
std::string directory_of(const Session& session) {
  constexpr std::string_view kEmbedded = "embedded:";
  const std::string& log = session.line().log;
  return log.starts_with(kEmbedded) ? log.substr(kEmbedded.size()) : std::string();
}

void say(const Session& session, const Json& object, const std::string& words) {
  if (session.out().json()) return session.out().object(object);
  session.out().line(words);
}

struct Backup {
  std::vector<WrappedKeyFact> keys;
  std::string log_key;  // its line; empty: none
};

std::string text_of(const Desk& desk, const Backup& backup) {
  std::string text(kFirstWord);
  text.append(desk.environment.str()).append("\n");
  for (const WrappedKeyFact& fact : backup.keys)
    text.append("key ").append(base64_encode(wire::encode(desk.environment, fact))).append("\n");
  if (!backup.log_key.empty()) text.append("log ").append(base64_encode(backup.log_key)).append("\n");
  const Digest digest = sha256(text);
  return text.append("end ")
      .append(hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()}))
      .append("\n");
}

Result<Backup> read_backup(const Desk& desk, const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    return fail(Errc::not_found, "KEYS_BACKUP_MISSING", "there is no backup " + path,
                std::string(kBackup.if_missing));
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto broken = [&](const std::string& why) {
    return fail(Errc::corrupt, "KEYS_BACKUP_INVALID", path + " " + why, "use another copy");
  };
  const auto end = text.rfind("end ");
  if (!text.starts_with(kFirstWord) || end == std::string::npos) return broken("is no whole backup of keys");
  const Digest digest = sha256(text.substr(0, end));
  if (text.substr(end) !=
      "end " + hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()}) + "\n")
    return broken("was changed, or is torn");
  std::istringstream lines(text.substr(0, end));
  std::string line;
  std::getline(lines, line);
  if (line.substr(kFirstWord.size()) != desk.environment.str()) return broken("is of another environment");
  Backup backup;
  while (std::getline(lines, line)) {
    auto bytes = base64_decode(line.substr(4));
    if (!bytes) return broken("was changed");
    if (line.starts_with("log ")) {
      backup.log_key = *std::move(bytes);
      continue;
    }
    auto fact = wire::decode_key(desk.environment, *bytes);
    if (!fact) return fail(fact.error());
    backup.keys.push_back(*std::move(fact));
  }
  return backup;
}

}  // namespace

Result<int> keys_list(Session& session) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto keys = all_keys(**desk);
  if (!keys) return fail(keys.error());
  Table table({"TENANT", "KEY", "GENERATION", "WRAPPED BY", "MADE AT"});
  for (const auto& [name, fact] : *keys) {
    const std::string service = fact.destroyed ? "(destroyed)" : fact.service;
    if (session.out().json()) {
      session.out().object({{"tenant", std::string(shown(fact))},
                            {"key_id", fact.key_id},
                            {"generation", fact.generation},
                            {"service", fact.service},
                            {"destroyed", fact.destroyed},
                            {"created_at", rfc3339(fact.created_at)}});
    }
    table.add({std::string(shown(fact)), fact.key_id, std::to_string(fact.generation), service,
               rfc3339(fact.created_at)});
  }
  if (!session.out().json()) session.out().table(table);
  return kDone;
}

Result<int> keys_rotate(Session& session) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto services = key_services_of(session.line());
  if (!services) return fail(services.error());
  auto keys = all_keys(**desk);
  if (!keys) return fail(keys.error());
  const std::string& asked = session.line().tenant;
  WrappedKeyFact fact;
  if (asked != kEnvironmentsOwn) fact.tenant = TenantId(asked);
  bool any = false;
  for (const auto& [name, known] : *keys) {
    if (known.tenant != fact.tenant || known.destroyed) continue;
    any = true;
    fact.generation = std::max(fact.generation, known.generation + 1);
  }
  if (!any)
    return fail(Errc::not_found, "NOT_FOUND", "there is no key of " + asked + " to take the place of",
                "`keys list` names them; a tenant's first key is made with its first endpoint");
  KeyService& service = services->services->of(fact.tenant);
  const std::uint64_t high = session.random();
  fact.key_id = random_id("key_", high, session.random());
  fact.created_at = session.now_ms();
  fact.service = service.name();
  {
    const Secret key = crypto::RandomBytes().secret(crypto::kKeyBytes);
    auto wrapped = service.wrap(
        key.reveal(), crypto::tenant_key_associated((*desk)->environment, fact.tenant, fact.key_id));
    if (!wrapped) return fail(wrapped.error());
    fact.wrapped = *std::move(wrapped);
  }
  if (auto done = append_key(**desk, fact); !done) return fail(done.error());
  if (auto done = tell(session, **desk, "key_rotated", fact); !done) return fail(done.error());
  say(session, {{"tenant", asked}, {"key_id", fact.key_id}, {"generation", fact.generation}},
      fact.key_id + " seals for " + asked + " from now on; the others still open what they sealed");
  return kDone;
}

Result<int> keys_rewrap(Session& session) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto services = key_services_of(session.line());
  if (!services) return fail(services.error());
  auto extent = (*desk)->log.extent(Topic::keys, 0);
  if (!extent) return fail(extent.error());
  auto keys = all_keys(**desk);
  if (!keys) return fail(keys.error());
  Keys written;
  for (const auto& [name, fact] : *keys) {
    if (fact.destroyed) continue;
    auto from = service_that_wrapped(fact, *services->services);
    if (!from) return fail(from.error());
    auto anew = wrapped_anew(**desk, fact, **from, services->services->of(fact.tenant));
    if (!anew) return fail(anew.error());
    if (auto done = append_key(**desk, *anew); !done) return fail(done.error());
    if (auto done = tell(session, **desk, "key_rewrapped", *anew); !done) return fail(done.error());
    written.emplace(name, *std::move(anew));
  }
  if (auto done = keep_destroyed(**desk, extent->end, written); !done) return fail(done.error());
  if (const std::string directory = directory_of(session); !directory.empty()) {
    auto log_key = crypto::FileRecordCipher::rewrap(directory, (*desk)->environment, *services->services);
    if (!log_key) return fail(log_key.error());
  }
  say(session, {{"rewrapped", written.size()}},
      std::to_string(written.size()) +
          " keys are wrapped anew; once every daemon names this service alone, the "
          "former one can go");
  return kDone;
}

Result<int> keys_backup(Session& session) {
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto services = key_services_of(session.line());
  if (!services) return fail(services.error());
  auto under = other_key_service_of(session.line());
  if (!under) return fail(under.error());
  auto keys = all_keys(**desk);
  if (!keys) return fail(keys.error());
  Backup backup;
  backup.keys.reserve(keys->size());
  for (const auto& [name, fact] : *keys) {
    if (fact.destroyed) continue;
    auto from = service_that_wrapped(fact, *services->services);
    if (!from) return fail(from.error());
    auto copy = wrapped_anew(**desk, fact, **from, **under);
    if (!copy) return fail(copy.error());
    backup.keys.push_back(*std::move(copy));
  }
  if (const std::string directory = directory_of(session); !directory.empty()) {
    auto line = crypto::FileRecordCipher::copy(directory, (*desk)->environment, *services->services, **under);
    if (!line) return fail(line.error());
    backup.log_key = *std::move(line);
  }
  AuditFact told = audit_of(session.actor(), "keys_backed_up", "keys");
  told.target = (*under)->name();
  told.outcome = "done";
  if (auto done = append_audit(**desk, std::move(told)); !done) return fail(done.error());
  if (auto made = crypto::make_private_file(session.line().file, text_of(**desk, backup), kBackup); !made)
    return fail(made.error());
  say(session, {{"path", session.line().file}, {"keys", backup.keys.size()}},
      std::to_string(backup.keys.size()) + " keys stand in " + session.line().file + ", and open with " +
          (*under)->name() + " alone");
  return kDone;
}

Result<int> keys_restore(Session& session) {
  if (auto yes = session.needs_yes("`keys restore` writes every key of the copy over what the log has of it");
      !yes)
    return fail(yes.error());
  auto desk = session.desk(Events::untouched);
  if (!desk) return fail(desk.error());
  auto services = key_services_of(session.line());
  if (!services) return fail(services.error());
  auto under = other_key_service_of(session.line());
  if (!under) return fail(under.error());
  auto backup = read_backup(**desk, session.line().file);
  if (!backup) return fail(backup.error());
  auto keys = all_keys(**desk);
  if (!keys) return fail(keys.error());
  // All of it can be opened, before any of it is written.
  std::vector<WrappedKeyFact> restored;
  restored.reserve(backup->keys.size());
  for (const WrappedKeyFact& fact : backup->keys) {
    const auto known = keys->find(key_record_key(fact));
    if (known != keys->end() && known->second.destroyed) continue;  // for ever
    auto anew = wrapped_anew(**desk, fact, **under, services->services->of(fact.tenant));
    if (!anew) return fail(anew.error());
    restored.push_back(*std::move(anew));
  }
  const std::string directory = directory_of(session);
  if (!directory.empty() && !backup->log_key.empty()) {
    auto done = crypto::FileRecordCipher::put_back(directory, (*desk)->environment, backup->log_key, **under,
                                                   services->services->common());
    if (!done) return fail(done.error());
  }
  for (const WrappedKeyFact& fact : restored) {
    if (auto done = append_key(**desk, fact); !done) return fail(done.error());
    if (auto done = tell(session, **desk, "key_restored", fact); !done) return fail(done.error());
  }
  say(session, {{"restored", restored.size()}},
      std::to_string(restored.size()) + " keys are back; start the daemons with " +
          services->services->common().name());
  return kDone;
}

}  // namespace postrider::ops
