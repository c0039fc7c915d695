// The verbs that work while every daemon is down, on a real embedded log.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/core/registry.h"
#include "engine/crypto/file_key_service.h"
#include "engine/crypto/file_record_cipher.h"
#include "engine/crypto/fresh_secrets.h"
#include "engine/crypto/tenant_keys.h"
#include "engine/daemon/system_clock.h"
#include "engine/embedded/embedded_log.h"
#include "engine/wire/cloud_event.h"
#include "ops/session.h"
#include "tests/crypto/scratch_dir.h"
#include "tests/support/desk_kit.h"

namespace postrider::ops {
namespace {

using Json = nlohmann::json;
using crypto::FileRecordCipher;
using test::kEnvironment;

struct Answer {
  int code = -1;
  Error error;
  std::vector<Json> lines;
};

struct OnEmbeddedLog : ::testing::Test {
  ScratchDir dir;
  std::unique_ptr<KeyService> service;
  // The log as a daemon holds it; nothing may be open while a verb runs.
  struct Held {
    std::unique_ptr<EmbeddedLog> log;
    std::unique_ptr<RecordCipher> cipher;
    std::unique_ptr<LogClient> client;
  };

  void SetUp() override {
    ASSERT_TRUE(crypto::make_key_file(dir / "key"));
    service = crypto::open_file_key_service(dir / "key").value();
    hold(FileRecordCipher::IfMissing::create);
  }

  Held hold(FileRecordCipher::IfMissing if_missing = FileRecordCipher::IfMissing::refuse) {
    Held held;
    EmbeddedLog::Options options;
    options.directory = dir / "log";
    options.environment = kEnvironment;
    options.cleaning_every = Millis(0);
    held.log = EmbeddedLog::open(std::move(options)).value();
    held.cipher = FileRecordCipher::open(dir / "log", kEnvironment, *service, if_missing).value();
    held.log->use_cipher(*held.cipher);
    held.client = held.log->client();
    return held;
  }

  CommandLine line(const std::string& verb) {
    CommandLine made;
    made.verb = verb;
    made.log = "embedded:" + (dir / "log");
    made.environment = "test";
    made.keys = "file:" + (dir / "key");
    made.actor = "alice";
    made.json = true;
    return made;
  }

  Answer run(Verb verb, const CommandLine& with) {
    Session session(with);
    ::testing::internal::CaptureStdout();
    const auto code = verb(session);
    std::istringstream printed(::testing::internal::GetCapturedStdout());
    Answer answer;
    for (std::string text; std::getline(printed, text);) answer.lines.push_back(Json::parse(text));
    if (code)
      answer.code = *code;
    else
      answer.error = code.error(), answer.code = exit_code_of(code.error());
    return answer;
  }

  template <class Fact>
  static void put(LogClient& client, Topic topic, std::string key, const Fact& fact) {
    ASSERT_TRUE(client.append({topic, {}, std::move(key), wire::encode(kEnvironment, fact), {}}));
  }
  static std::vector<Record> all(LogClient& client, Topic topic) {
    std::vector<Record> records;
    for (Partition partition = 0; partition < client.partitions(topic).value(); ++partition) {
      const auto extent = client.extent(topic, partition).value();
      EXPECT_TRUE(client.scan(topic, partition, extent.begin, extent.end, [&](const Record& record) {
        records.push_back(record);
        return true;
      }));
    }
    return records;
  }

  DeliveryRef dead(const std::string& event_id) {
    auto held = hold();
    auto ref = test::DeskKit::delivery(event_id);
    put(*held.client, Topic::dead_letters, "acme", test::DeskKit::letter(ref));
    return ref;
  }
};

TEST_F(OnEmbeddedLog, DeadLettersAreListedWithEveryFieldOfTheContract) {
  const auto ref = dead("order-9");
  const auto answer = run(dead_letters_list, line("dead-letters list"));
  EXPECT_EQ(answer.code, 0);
  ASSERT_EQ(answer.lines.size(), 1u);
  const auto& letter = answer.lines[0];
  for (const char* name : {"delivery_id", "event_id", "webhook_id", "tenant", "endpoint", "type", "reason",
                           "category", "attempts", "replay_job", "dead_at", "position"})
    EXPECT_TRUE(letter.contains(name)) << name;
  EXPECT_EQ(letter["delivery_id"], ref.id.str());
  EXPECT_EQ(letter["reason"], "client_error");
  EXPECT_EQ(letter["dead_at"], "2023-11-14T22:13:20.000Z");
}

TEST_F(OnEmbeddedLog, AReplayIsPublishedSealedMarkedAndAudited) {
  const auto ref = dead("order-9");
  auto with = line("replay");
  with.ids = {ref.id.str()};
  const auto answer = run(replay_dead_letters, with);
  EXPECT_EQ(answer.code, 0) << answer.error.message;
  ASSERT_EQ(answer.lines.size(), 1u);
  EXPECT_EQ(answer.lines[0]["replayed"], 1);

  auto held = hold();
  const auto events = all(*held.client, Topic::events);
  ASSERT_EQ(events.size(), 1u);
  const auto decoded = wire::decode_kafka(events[0].key, events[0].headers, *events[0].value, false);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_TRUE(decoded->sealed);
  EXPECT_EQ(decoded->event.replay_job.str(), answer.lines[0]["job"]);
  const auto audit = all(*held.client, Topic::audit);
  ASSERT_EQ(audit.size(), 1u);
  const auto fact = wire::decode_audit(kEnvironment, *audit[0].value).value();
  EXPECT_EQ(fact.actor, "alice");
  EXPECT_EQ(fact.action, "replay");
}

TEST_F(OnEmbeddedLog, AReplayWithoutASelectorIsWrongUse) {
  const auto answer = run(replay_dead_letters, line("replay"));
  EXPECT_EQ(answer.code, 2);
  EXPECT_TRUE(answer.lines.empty());
}

TEST_F(OnEmbeddedLog, AReplayOfWhatIsNotThereIsAFinding) {
  auto with = line("replay");
  with.ids = {test::DeskKit::delivery("nobody").id.str()};
  EXPECT_EQ(run(replay_dead_letters, with).code, 1);
}

TEST_F(OnEmbeddedLog, AReplayNeedsTheKeyFile) {
  auto with = line("replay");
  with.tenant = "acme";
  with.keys.clear();
  ASSERT_EQ(::unsetenv("POSTRIDER_KEYS_SERVICE"), 0);
  EXPECT_EQ(run(replay_dead_letters, with).code, 2);
}

TEST_F(OnEmbeddedLog, ADryRunPublishesNothing) {
  dead("order-9");
  auto with = line("replay");
  with.tenant = "acme";
  with.dry_run = true;
  const auto answer = run(replay_dead_letters, with);
  EXPECT_EQ(answer.code, 0);
  EXPECT_EQ(answer.lines[0]["matched"], 1);
  EXPECT_EQ(answer.lines[0]["replayed"], 0);
  EXPECT_TRUE(all(*hold().client, Topic::events).empty());
}

TEST_F(OnEmbeddedLog, ATokenResetLeavesTheNewOneAlone) {
  TokenFact old;
  old.id = "tok_old";
  old.hash = crypto::token_hash("old");
  old.scope = "admin";
  {
    auto held = hold();
    put(*held.client, Topic::endpoints, token_key(old.id), old);
  }
  const auto answer = run(tokens_reset, line("tokens reset"));
  EXPECT_EQ(answer.code, 0) << answer.error.message;
  auto held = hold();
  Registry registry;
  for (const auto& record : all(*held.client, Topic::endpoints)) {
    const auto fact = wire::decode_registry(kEnvironment, *record.value).value();
    if (const auto* token = std::get_if<TokenFact>(&fact)) registry.apply(*token, *record.value);
  }
  EXPECT_FALSE(registry.grant_of(old.hash, 1));
  EXPECT_TRUE(registry.grant_of(crypto::token_hash(answer.lines.at(0)["token"].get<std::string>()), 1));
}

TEST_F(OnEmbeddedLog, AcceptSourceWritesAMarkThatAsksForNothing) {
  auto with = line("topics accept-source");
  with.partition = 2;
  EXPECT_EQ(run(topics_accept_source, with).code, 2) << "without --yes";
  with.yes = true;
  EXPECT_EQ(run(topics_accept_source, with).code, 0);
  auto held = hold();
  std::optional<OwnerMark> mark;
  for (const auto& record : all(*held.client, Topic::parked)) {
    EXPECT_EQ(record.partition, 2);
    EXPECT_EQ(record.key, kOwnerKey);
    mark = std::get<OwnerMark>(wire::decode_parked(kEnvironment, *record.value).value());
  }
  ASSERT_TRUE(mark);
  EXPECT_EQ(mark->log, held.log->identity());
  EXPECT_FALSE(mark->committed);
  EXPECT_EQ(mark->events_end, 0);
}

TEST_F(OnEmbeddedLog, RestoreOffsetsIsForKafka) {
  auto with = line("offsets rebuild");
  with.partition = 0;
  with.yes = true;
  EXPECT_EQ(run(offsets_rebuild, with).code, 2);
}

TEST_F(OnEmbeddedLog, CheckReadsTheLogThrough) {
  EXPECT_EQ(run(topics_check, line("topics check")).code, 0);
}

TEST_F(OnEmbeddedLog, OneThatADaemonHoldsIsLeftAlone) {
  auto held = hold();
  const auto answer = run(dead_letters_list, line("dead-letters list"));
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.error.code, "LOG_LOCKED");
}

TEST_F(OnEmbeddedLog, OneThatIsNotThereIsNotMade) {
  auto with = line("dead-letters summary");
  with.log = "embedded:" + (dir / "elsewhere");
  const auto answer = run(dead_letters_summary, with);
  EXPECT_EQ(answer.error.code, "LOG_MISSING");
  EXPECT_FALSE(std::filesystem::exists(dir / "elsewhere"));
}

TEST_F(OnEmbeddedLog, AnotherEnvironmentsIsRefused) {
  auto with = line("dead-letters list");
  with.environment = "production";
  const auto answer = run(dead_letters_list, with);
  EXPECT_EQ(answer.code, 1);
  EXPECT_EQ(answer.error.code, "ENVIRONMENT_MISMATCH");
}

// The tenants' keys on that log, and what was sealed under acme's.
struct KeysOnEmbeddedLog : OnEmbeddedLog {
  SystemClock clock;
  const SealContext context{kEnvironment, TenantId("acme"), "main:inc_1", "secret"};
  std::string sealed;
  WrappedKeyFact acme;

  void SetUp() override {
    OnEmbeddedLog::SetUp();
    auto held = hold();
    crypto::TenantKeys keys(kEnvironment, *service, clock);
    for (const char* tenant : {"", "acme"}) {
      acme = keys.make_key(TenantId(tenant)).value();
      keys.apply(acme);
      put(*held.client, Topic::keys, key_record_key(acme), acme);
    }
    sealed = keys.seal(context, "what was sealed").value();
  }

  // As a daemon with that key file sees it. Opening the log proves that log.key opens under it.
  std::unique_ptr<crypto::TenantKeys> keys_under(const std::string& file) {
    service = crypto::open_file_key_service(dir / file).value();
    auto held = hold();
    auto keys = std::make_unique<crypto::TenantKeys>(kEnvironment, *service, clock);
    for (const Record& record : all(*held.client, Topic::keys))
      keys->apply(wire::decode_key(kEnvironment, *record.value).value());
    return keys;
  }
  std::vector<std::string> audited() {
    auto held = hold();
    std::vector<std::string> actions;
    for (const Record& record : all(*held.client, Topic::audit)) {
      const auto fact = wire::decode_audit(kEnvironment, *record.value).value();
      EXPECT_EQ(fact.actor, "alice");
      actions.push_back(fact.action + " " + fact.tenant.str());
    }
    return actions;
  }
};

TEST_F(KeysOnEmbeddedLog, AreWrappedAnewUnderAnotherServiceAndStayTheKeysTheyWere) {
  ASSERT_TRUE(crypto::make_key_file(dir / "new"));
  std::ofstream(dir / "config") << "environment = \"test\"\nlog = \"embedded:" << (dir / "log")
                                << "\"\ndata = \"" << (dir / "data")
                                << "\"\n[keys]\nservice = \"file:" << (dir / "new")
                                << "\"\n[keys.former.old]\nservice = \"file:" << (dir / "key") << "\"\n";
  auto with = line("keys rewrap");
  EXPECT_EQ(run(keys_rewrap, with).code, 0) << "under the same service: it may have a newer version";
  with.keys = "file:" + (dir / "new");
  EXPECT_EQ(run(keys_rewrap, with).error.code, "KEY_SERVICE_OTHER") << "who wrapped it must be named";
  with.config = dir / "config";
  const auto answer = run(keys_rewrap, with);
  ASSERT_EQ(answer.code, 0) << answer.error.message;
  EXPECT_EQ(answer.lines[0]["rewrapped"], 2);
  std::filesystem::remove(dir / "key");
  EXPECT_EQ(keys_under("new")->open(context, sealed).value().reveal(), "what was sealed");
  const auto told = audited();
  EXPECT_EQ(std::count(told.begin(), told.end(), "key_rewrapped acme"), 2);
}

TEST_F(KeysOnEmbeddedLog, AreRotatedAndTheOldOneStillOpens) {
  auto with = line("keys rotate");
  with.tenant = "nobody";
  EXPECT_EQ(run(keys_rotate, with).error.code, "NOT_FOUND");
  with.tenant = "acme";
  const auto answer = run(keys_rotate, with);
  ASSERT_EQ(answer.code, 0) << answer.error.message;
  EXPECT_EQ(answer.lines[0]["generation"], 1);
  auto keys = keys_under("key");
  EXPECT_EQ(keys->open(context, sealed).value().reveal(), "what was sealed");
  EXPECT_EQ(wire::decode_sealed(keys->seal(context, "x").value()).value().key_id, answer.lines[0]["key_id"]);
  EXPECT_EQ(audited(), std::vector<std::string>{"key_rotated acme"});
  EXPECT_EQ(run(keys_list, line("keys list")).lines.size(), 3u);
}

TEST_F(KeysOnEmbeddedLog, ComeBackFromABackupUnderAnotherKeyOnceTheKeyFileIsLost) {
  ASSERT_TRUE(crypto::make_key_file(dir / "safe"));
  auto with = line("keys backup");
  with.file = dir / "backup";
  with.under = "file:" + (dir / "safe");
  ASSERT_EQ(run(keys_backup, with).code, 0);
  EXPECT_EQ(run(keys_backup, with).error.code, "KEYS_BACKUP_EXISTS");
  EXPECT_EQ(std::filesystem::status(dir / "backup").permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  std::filesystem::remove(dir / "key");

  ASSERT_TRUE(crypto::make_key_file(dir / "new"));
  with.keys = "file:" + (dir / "new");
  EXPECT_EQ(run(keys_restore, with).error.code, "WRONG_USE") << "it asks for --yes";
  with.yes = true;
  auto wrong = with;
  wrong.under = "file:" + (dir / "new");
  EXPECT_EQ(run(keys_restore, wrong).error.errc, Errc::corrupt) << "not the key that it lies under";
  std::string text;
  std::getline(std::ifstream(dir / "backup"), text, '\0');
  std::string changed = text;
  changed[changed.size() / 2] = changed[changed.size() / 2] == 'A' ? 'B' : 'A';
  std::ofstream(dir / "changed") << changed;
  wrong = with;
  wrong.file = dir / "changed";
  EXPECT_EQ(run(keys_restore, wrong).error.code, "KEYS_BACKUP_INVALID");

  const auto answer = run(keys_restore, with);
  ASSERT_EQ(answer.code, 0) << answer.error.message;
  EXPECT_EQ(keys_under("new")->open(context, sealed).value().reveal(), "what was sealed");
}

TEST_F(KeysOnEmbeddedLog, ADestroyedOneIsNeitherWrappedAnewNorBroughtBack) {
  ASSERT_TRUE(crypto::make_key_file(dir / "safe"));
  auto with = line("keys restore");
  with.file = dir / "backup";
  with.under = "file:" + (dir / "safe");
  with.yes = true;
  ASSERT_EQ(run(keys_backup, with).code, 0);
  WrappedKeyFact destroyed = acme;
  destroyed.destroyed = true;
  destroyed.wrapped.clear();
  {
    auto held = hold();
    put(*held.client, Topic::keys, key_record_key(destroyed), destroyed);
  }
  EXPECT_EQ(run(keys_restore, with).lines.at(0)["restored"], 1) << "the environment's alone";
  EXPECT_EQ(run(keys_rewrap, with).lines.at(0)["rewrapped"], 1);
  EXPECT_EQ(keys_under("key")->open(context, sealed).error().code, "KEY_DESTROYED");
}

}  // namespace
}  // namespace postrider::ops
