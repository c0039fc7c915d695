#include "engine/crypto/tenant_keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <deque>
#include <fstream>

#include "engine/core/bytes.h"
#include "engine/crypto/file_key_service.h"
#include "engine/crypto/unwrapped_keys.h"
#include "engine/wire/codec.h"
#include "tests/crypto/error_of.h"
#include "tests/crypto/scratch_dir.h"

namespace postrider::crypto {
namespace {

class FixedClock final : public Clock {
 public:
  WallTime wall() const override { return from_ms<WallTime>(now); }
  SteadyTime steady() const override { return from_ms<SteadyTime>(now); }
  std::int64_t now = 1'700'000'000'000;
};

// A key service that can be away, or far away.
class FlakyService final : public KeyService {
 public:
  explicit FlakyService(KeyService& real) : real_(real) {}
  const std::string& name() const override { return real_.name(); }
  bool is_local() const override { return local; }
  Result<std::string> wrap(std::string_view bytes, std::string_view associated) override {
    if (away) return fail(Errc::unavailable, "KEY_SERVICE_AWAY", "away", "wait");
    return real_.wrap(bytes, associated);
  }
  Result<Secret> unwrap(std::string_view wrapped, std::string_view associated) override {
    ++unwraps;
    if (away) return fail(Errc::unavailable, "KEY_SERVICE_AWAY", "away", "wait");
    if (disabled) return fail(Errc::denied, "KEY_SERVICE_KEY_UNUSABLE", "disabled", "enable it");
    return real_.unwrap(wrapped, associated);
  }
  bool local = true;
  bool away = false;
  bool disabled = false;
  int unwraps = 0;

 private:
  KeyService& real_;
};

class TenantKeysTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::ofstream(dir_ / "key") << "postrider-key-v1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    ::chmod((dir_ / "key").c_str(), 0600);
    file_ = open_file_key_service(dir_ / "key").value();
    service_ = std::make_unique<FlakyService>(*file_);
    keys_ = fresh();
  }
  std::unique_ptr<TenantKeys> fresh() {
    return std::make_unique<TenantKeys>(Environment("development"), *service_, clock_);
  }
  WrappedKeyFact give_key(const char* tenant) {
    WrappedKeyFact fact = keys_->make_key(TenantId(tenant)).value();
    keys_->apply(fact);
    return fact;
  }
  static SealContext context(const char* tenant = "acme") {
    return {Environment("development"), TenantId(tenant), "orders", "payload"};
  }

  ScratchDir dir_;
  FixedClock clock_;
  std::unique_ptr<KeyService> file_;
  std::unique_ptr<FlakyService> service_;
  std::unique_ptr<TenantKeys> keys_;
};

TEST_F(TenantKeysTest, SealsAndOpensWhatIsOfOneContext) {
  give_key("acme");
  for (const std::size_t size : {0u, 1u, 15u, 16u, 1024u, 256u * 1024u}) {
    const std::string plain(size, 'x');
    const std::string sealed = keys_->seal(context(), plain).value();
    EXPECT_EQ(keys_->open(context(), sealed).value().reveal(), plain);
  }
}

TEST_F(TenantKeysTest, SealedBytesHoldNoPlaintext) {
  const WrappedKeyFact fact = give_key("acme");
  const std::string canary = "CANARY-4d1f-very-recognisable-payload";
  std::string written = wire::encode(Environment("development"), fact);
  for (int i = 0; i < 20; ++i) written += keys_->seal(context(), canary + std::to_string(i)).value();
  EXPECT_EQ(written.find("CANARY"), std::string::npos);
  EXPECT_EQ(written.find("recognisable"), std::string::npos);
}

TEST_F(TenantKeysTest, EachValueHasADataKeyAndNoncesOfItsOwn) {
  give_key("acme");
  const auto one = wire::decode_sealed(keys_->seal(context(), "same").value()).value();
  const auto two = wire::decode_sealed(keys_->seal(context(), "same").value()).value();
  EXPECT_EQ(one.key_id, two.key_id);
  EXPECT_NE(one.nonce, two.nonce);
  EXPECT_NE(one.wrapped_data_key.substr(0, 12), two.wrapped_data_key.substr(0, 12));
  EXPECT_NE(one.ciphertext, two.ciphertext);
  EXPECT_EQ(one.wrapped_data_key.size(), 12u + 32u + 16u);
  EXPECT_EQ(one.nonce.size(), 12u);
  EXPECT_EQ(one.ciphertext.size(), 4u + 16u);
}

TEST_F(TenantKeysTest, OpensInNoOtherContext) {
  give_key("acme");
  give_key("globex");
  const std::string sealed = keys_->seal(context(), "for acme's orders").value();
  SealContext other = context();
  other.endpoint = "invoices";
  EXPECT_EQ(error_of(keys_->open(other, sealed)).code, "SEALED_VALUE_CORRUPT");
  other = context();
  other.purpose = "secret";
  EXPECT_EQ(error_of(keys_->open(other, sealed)).code, "SEALED_VALUE_CORRUPT");
  // Lengths keep fields apart: "ordersp" + "ayload" is not "orders" + "payload".
  other = context();
  other.endpoint = "ordersp";
  other.purpose = "ayload";
  EXPECT_FALSE(keys_->open(other, sealed));
  EXPECT_FALSE(keys_->open(context("globex"), sealed));
  other = context();
  other.environment = Environment("production");
  EXPECT_EQ(error_of(keys_->open(other, sealed)).code, "ENVIRONMENT_MISMATCH");
  EXPECT_EQ(error_of(keys_->seal(other, "x")).code, "ENVIRONMENT_MISMATCH");
}

TEST_F(TenantKeysTest, OpensForNoTenantThatTookOverTheKeyId) {
  const WrappedKeyFact acme = give_key("acme");
  const std::string sealed = keys_->seal(context(), "for acme").value();
  WrappedKeyFact stolen = acme;
  stolen.tenant = TenantId("globex");
  keys_->apply(stolen);  // acme's wrapped key under globex's name: the wrapping is bound to the tenant
  const auto refused = keys_->open(context("globex"), sealed);
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_of(refused).errc, Errc::corrupt);
}

TEST_F(TenantKeysTest, AnyChangedByteIsSeen) {
  give_key("acme");
  const auto parts = wire::decode_sealed(keys_->seal(context(), "payload").value()).value();
  for (std::string wire::SealedParts::*field :
       {&wire::SealedParts::wrapped_data_key, &wire::SealedParts::nonce, &wire::SealedParts::ciphertext}) {
    for (std::size_t i = 0; i < (parts.*field).size(); ++i) {
      wire::SealedParts changed = parts;
      (changed.*field)[i] = static_cast<char>((changed.*field)[i] ^ 1);
      const auto refused = keys_->open(context(), wire::encode_sealed(changed));
      ASSERT_FALSE(refused);
      EXPECT_EQ(error_of(refused).errc, Errc::corrupt);
    }
    wire::SealedParts shorter = parts;
    (shorter.*field).pop_back();
    EXPECT_EQ(error_of(keys_->open(context(), wire::encode_sealed(shorter))).errc, Errc::corrupt);
    (shorter.*field).clear();
    EXPECT_EQ(error_of(keys_->open(context(), wire::encode_sealed(shorter))).errc, Errc::corrupt);
  }
}

TEST_F(TenantKeysTest, NothingIsSealedUnderAKeyWhoseRecordWasNotApplied) {
  const WrappedKeyFact made = keys_->make_key(TenantId("acme")).value();
  EXPECT_FALSE(keys_->has_key(TenantId("acme")));
  const auto early = keys_->seal(context(), "x");
  ASSERT_FALSE(early);
  EXPECT_EQ(error_of(early).code, "KEY_NOT_YET");
  EXPECT_EQ(error_of(early).errc, Errc::unavailable);
  keys_->apply(made);
  EXPECT_TRUE(keys_->has_key(TenantId("acme")));
  EXPECT_TRUE(keys_->seal(context(), "x"));
}

TEST_F(TenantKeysTest, UnknownKeyIdMeansNotYet) {
  const WrappedKeyFact key = give_key("acme");
  const std::string sealed = keys_->seal(context(), "x").value();
  auto late = fresh();
  EXPECT_EQ(error_of(late->open(context(), sealed)).code, "KEY_NOT_YET");
  late->apply(late->make_key(TenantId("acme")).value());
  EXPECT_EQ(error_of(late->open(context(), sealed)).errc, Errc::unavailable);
  late->apply(key);
  EXPECT_EQ(late->open(context(), sealed).value().reveal(), "x");
}

TEST_F(TenantKeysTest, DestroyedIsRefusedForEverWhateverComesLater) {
  const WrappedKeyFact key = give_key("acme");
  const std::string sealed = keys_->seal(context(), "x").value();
  WrappedKeyFact destroyed = key;
  destroyed.destroyed = true;
  destroyed.wrapped.clear();
  keys_->apply(destroyed);
  EXPECT_FALSE(keys_->has_key(TenantId("acme")));
  EXPECT_EQ(error_of(keys_->open(context(), sealed)).code, "KEY_DESTROYED");
  EXPECT_EQ(error_of(keys_->open(context(), sealed)).errc, Errc::denied);
  keys_->apply(key);  // a zombie's re-wrap, landing late
  EXPECT_EQ(error_of(keys_->open(context(), sealed)).errc, Errc::denied);
  EXPECT_EQ(error_of(keys_->seal(context(), "x")).code, "KEY_NOT_YET");
  give_key("acme");  // the tenant came back: a new key, and the old values stay shut
  EXPECT_TRUE(keys_->seal(context(), "x"));
  EXPECT_EQ(error_of(keys_->open(context(), sealed)).errc, Errc::denied);
}

TEST_F(TenantKeysTest, OfTwoKeysTheOneMadeFirstSealsInWhateverOrderTheyCome) {
  const WrappedKeyFact first = keys_->make_key(TenantId("acme")).value();
  clock_.now += 5;
  WrappedKeyFact second = keys_->make_key(TenantId("acme")).value();
  while (second.key_id > first.key_id) second = keys_->make_key(TenantId("acme")).value();  // ids do not tell
  for (const bool swapped : {false, true}) {
    auto keys = fresh();
    keys->apply(swapped ? second : first);
    keys->apply(swapped ? first : second);
    EXPECT_EQ(wire::decode_sealed(keys->seal(context(), "x").value()).value().key_id, first.key_id);
    WrappedKeyFact destroyed = first;
    destroyed.destroyed = true;
    keys->apply(destroyed);
    EXPECT_EQ(wire::decode_sealed(keys->seal(context(), "x").value()).value().key_id, second.key_id);
  }
}

TEST_F(TenantKeysTest, AKeyIsUnwrappedOnceAndTheServiceMayBeAwayAfterwards) {
  give_key("acme");
  service_->away = true;
  EXPECT_EQ(error_of(keys_->seal(context(), "x")).code, "KEY_SERVICE_AWAY");
  service_->away = false;
  const std::string sealed = keys_->seal(context(), "x").value();
  service_->away = true;
  const int before = service_->unwraps;
  EXPECT_TRUE(keys_->seal(context(), "y"));
  EXPECT_TRUE(keys_->open(context(), sealed));
  EXPECT_EQ(service_->unwraps, before);
  EXPECT_EQ(error_of(keys_->make_key(TenantId("new"))).errc, Errc::unavailable);
}

TEST_F(TenantKeysTest, AKeyOfAnotherKeyServiceSaysWhose) {
  const WrappedKeyFact key = give_key("acme");
  const std::string sealed = keys_->seal(context(), "x").value();
  ASSERT_TRUE(make_key_file(dir_ / "other"));
  auto other_service = open_file_key_service(dir_ / "other").value();
  TenantKeys other(Environment("development"), *other_service, clock_);
  other.apply(key);
  const auto refused = other.open(context(), sealed);
  ASSERT_FALSE(refused);
  EXPECT_EQ(error_of(refused).code, "KEY_SERVICE_OTHER");
  EXPECT_NE(refused.error().message.find(service_->name()), std::string::npos);
}

TEST_F(TenantKeysTest, TheEnvironmentHasAKeyOfItsOwn) {
  give_key("");
  SealContext bad_event{Environment("development"), TenantId(), "", "dead_letter"};
  const std::string sealed = keys_->seal(bad_event, "raw").value();
  EXPECT_EQ(keys_->open(bad_event, sealed).value().reveal(), "raw");
}

TEST_F(TenantKeysTest, OfSeveralGenerationsTheNewestSealsAndAllOpen) {
  const WrappedKeyFact first = give_key("acme");
  const std::string before = keys_->seal(context(), "before").value();
  clock_.now -= 10'000;  // a host whose clock is behind
  const WrappedKeyFact second = give_key("acme");
  EXPECT_EQ(second.generation, first.generation + 1);
  const std::string after = keys_->seal(context(), "after").value();
  EXPECT_EQ(wire::decode_sealed(after).value().key_id, second.key_id);
  auto late = fresh();
  late->apply(second);
  late->apply(first);
  EXPECT_EQ(wire::decode_sealed(late->seal(context(), "x").value()).value().key_id, second.key_id);
  EXPECT_EQ(late->open(context(), before).value().reveal(), "before");
  EXPECT_EQ(late->open(context(), after).value().reveal(), "after");
}

// Errands that wait until the test says so, as an answer across the network does.
class HeldErrands final : public Errands {
 public:
  explicit HeldErrands(std::deque<std::function<void()>>& held) : held_(held) {}
  void post(const std::string&, std::function<void()> errand) override { held_.push_back(std::move(errand)); }

 private:
  std::deque<std::function<void()>>& held_;
};

// The service is across the network: nothing that the shard calls may wait for it.
class RemoteKeysTest : public TenantKeysTest {
 protected:
  void SetUp() override {
    TenantKeysTest::SetUp();
    service_->local = false;
    services_ = std::make_unique<KeyServices>(*service_);
    unwrapped_ = std::make_unique<UnwrappedKeys>(*services_, clock_, std::make_unique<HeldErrands>(held_));
    keys_ = std::make_unique<TenantKeys>(Environment("development"), *unwrapped_, clock_);
    service_->local = true;
    key_ = fresh()->make_key(TenantId("acme")).value();
    service_->local = false;
    keys_->apply(key_);
  }
  void answer() {
    while (!held_.empty()) {
      const auto errand = std::move(held_.front());
      held_.pop_front();
      errand();
    }
  }
  void pass(Millis span) { clock_.now += span.count(); }
  std::string code() { return error_of(keys_->seal(context(), "x")).code; }

  std::deque<std::function<void()>> held_;
  std::unique_ptr<KeyServices> services_;
  std::unique_ptr<UnwrappedKeys> unwrapped_;
  WrappedKeyFact key_;
};

constexpr Millis kMinute{60'000};

TEST_F(RemoteKeysTest, AKeyIsPendingUntilItsServiceHasAnswered) {
  EXPECT_EQ(code(), "KEY_PENDING");
  EXPECT_EQ(code(), "KEY_PENDING");
  EXPECT_EQ(held_.size(), 1u) << "asked once";
  EXPECT_EQ(error_of(keys_->ready(TenantId("acme"))).code, "KEY_PENDING");
  answer();
  EXPECT_EQ(code(), "ACCEPTED");
  EXPECT_TRUE(keys_->ready(TenantId("acme")));
}

TEST_F(RemoteKeysTest, AKeyThatIsUsedIsAskedForAnewBeforeItEnds) {
  (void)code();
  answer();
  for (int minutes = 0; minutes < 30; ++minutes) {
    pass(kMinute / 2);
    EXPECT_EQ(code(), "ACCEPTED") << minutes;
    answer();
    (void)keys_->tick();
  }
  EXPECT_LE(service_->unwraps, 5) << "four times in a quarter of an hour";
  EXPECT_GE(service_->unwraps, 4);
}

TEST_F(RemoteKeysTest, ADisabledKeyIsOfNoMoreUseWithinFiveMinutesAndIsAgainOnceItIsEnabled) {
  (void)code();
  answer();
  const std::string sealed = keys_->seal(context(), "x").value();
  EXPECT_LE(keys_->kept_until(TenantId("acme")) - clock_.steady(), 5 * kMinute);
  service_->disabled = true;
  for (int seconds = 0; seconds < 300; ++seconds) {
    pass(Millis(1000));
    (void)code();
    answer();
    (void)keys_->tick();
  }
  EXPECT_EQ(error_of(keys_->open(context(), sealed)).code, "KEY_SERVICE_KEY_UNUSABLE");
  EXPECT_EQ(error_of(keys_->open(context(), sealed)).errc, Errc::unavailable) << "denied would mean for ever";
  EXPECT_EQ(keys_->kept_until(TenantId("acme")), SteadyTime::max()) << "it is held no more";
  service_->disabled = false;
  pass(kMinute);
  (void)code();
  answer();
  EXPECT_EQ(keys_->open(context(), sealed).value().reveal(), "x");
}

TEST_F(RemoteKeysTest, AnOutageOfMinutesIsNotNoticedAndOneThatLastsHealsByItself) {
  (void)code();
  answer();
  service_->away = true;
  for (int seconds = 0; seconds < 240; ++seconds) {
    pass(Millis(1000));
    EXPECT_EQ(code(), "ACCEPTED") << seconds;
    answer();
  }
  const int before = service_->unwraps;
  for (int seconds = 0; seconds < 600; ++seconds) {
    pass(Millis(1000));
    (void)code();
    answer();
  }
  EXPECT_EQ(code(), "KEY_SERVICE_AWAY");
  EXPECT_LE(service_->unwraps - before, 60) << "the service is not stormed";
  service_->away = false;
  pass(Millis(16'000));
  (void)code();
  answer();
  EXPECT_EQ(code(), "ACCEPTED");
}

TEST_F(RemoteKeysTest, AnUnusedKeyStandsNowhereAfterFiveMinutes) {
  (void)code();
  answer();
  const std::weak_ptr<const UnwrappedKeys::Key> held = unwrapped_->get(key_, std::string()).value();
  EXPECT_FALSE(held.expired());
  for (int minutes = 0; minutes < 10; ++minutes) {
    pass(kMinute / 2);
    (void)keys_->tick();
  }
  EXPECT_TRUE(held.expired());
}

TEST_F(RemoteKeysTest, ANewKeyIsPendingUntilItIsWrapped) {
  EXPECT_EQ(error_of(keys_->make_key(TenantId("globex"))).code, "KEY_PENDING");
  EXPECT_EQ(error_of(keys_->make_key(TenantId("globex"))).code, "KEY_PENDING");
  EXPECT_EQ(held_.size(), 1u);
  answer();
  const auto made = keys_->make_key(TenantId("globex"));
  ASSERT_TRUE(made);
  keys_->apply(*made);
  EXPECT_EQ(error_of(keys_->ready(TenantId("globex"))).code, "KEY_PENDING");
  answer();
  EXPECT_TRUE(keys_->ready(TenantId("globex")));
}

TEST_F(RemoteKeysTest, WhatTheServiceDidIsToldOnceWithItsOutcome) {
  (void)code();
  answer();
  (void)code();
  auto told = keys_->tick();
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].tenant.str(), "acme");
  EXPECT_EQ(told[0].action, "key_unwrapped");
  EXPECT_EQ(told[0].resource, "keys/" + key_.key_id);
  EXPECT_EQ(told[0].source, service_->name());
  EXPECT_EQ(told[0].outcome, "done");
  EXPECT_TRUE(keys_->tick().empty());
  service_->away = true;
  for (int minutes = 0; minutes < 20; ++minutes) {
    pass(kMinute / 2);
    (void)code();
    answer();
  }
  told = keys_->tick();
  ASSERT_EQ(told.size(), 1u) << "an outage is one line";
  EXPECT_EQ(told[0].outcome, "failed");
  EXPECT_EQ(told[0].error, "KEY_SERVICE_AWAY");
}

TEST_F(RemoteKeysTest, ATenantsOwnServiceWrapsItsKeysAndAFormerOneOnlyOpens) {
  ASSERT_TRUE(make_key_file(dir_ / "own"));
  auto own = open_file_key_service(dir_ / "own").value();
  KeyServices services(*own);
  services.add_own(TenantId("globex"), *file_);
  UnwrappedKeys unwrapped(services, clock_, std::make_unique<HeldErrands>(held_));
  TenantKeys keys(Environment("development"), unwrapped, clock_);
  EXPECT_EQ(keys.make_key(TenantId("acme")).value().service, own->name());
  EXPECT_EQ(keys.make_key(TenantId("globex")).value().service, file_->name());
  keys.apply(key_);  // of the former
  EXPECT_TRUE(keys.ready(TenantId("acme")));
}

TEST_F(TenantKeysTest, StoredFormatsArePinned) {
  WrappedKeyFact key;
  key.tenant = TenantId("acme");
  key.key_id = "key_0000000000000000000001";
  key.service = service_->name();
  key.wrapped =
      base64_decode("AQICAgICAgICAgICArsJO5id/Bd846yI0x9U9Dws2J1foGFOxnpn6zhLVnf91Wg33o+gvKvYIpZGvKPJtQ==")
          .value();
  keys_->apply(key);
  const std::string sealed =
      base64_decode(
          "CAESGmtleV8wMDAwMDAwMDAwMDAwMDAwMDAwMDAxGjwDAwMDAwMDAwMDAwN1kwUVrYVxm97rpS/"
          "xc6WYkAD4nXnGNLDU+w3nhp/"
          "rHTKTVGUsRVc5TNZGKYApA3QiDAQEBAQEBAQEBAQEBCoeyTV7QS4JTmsdJ4uORNQigYgZLk+kQoSrb8bUYmKu")
          .value();
  EXPECT_EQ(keys_->open(context(), sealed).value().reveal(), "golden payload");
}

}  // namespace
}  // namespace postrider::crypto
