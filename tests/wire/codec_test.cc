#include "engine/wire/codec.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cctype>
#include <limits>
#include <string>
#include <typeinfo>

#include "schemas/postrider.pb.h"
#include "tests/wire/samples.h"

namespace postrider {
namespace {

using samples::kEnvironment;

// Each kind's decode, as one call that gives the fact or fails the test.
template <class Fact, class Variant>
Fact only(const Result<Variant>& decoded) {
  EXPECT_TRUE(decoded) << decoded.error().message;
  const Fact* fact = decoded ? std::get_if<Fact>(&*decoded) : nullptr;
  EXPECT_NE(fact, nullptr) << "another kind";
  return fact != nullptr ? *fact : Fact();
}

template <class Fact>
Fact decode(const std::string& bytes) {
  if constexpr (std::is_constructible_v<wire::RegistryFact, Fact>) {
    return only<Fact>(wire::decode_registry(kEnvironment, bytes));
  } else if constexpr (std::is_constructible_v<wire::AttemptsFact, Fact>) {
    return only<Fact>(wire::decode_attempts(kEnvironment, bytes));
  } else if constexpr (std::is_constructible_v<wire::ParkedFact, Fact>) {
    return only<Fact>(wire::decode_parked(kEnvironment, bytes));
  } else if constexpr (std::is_constructible_v<wire::DeadLetterFact, Fact>) {
    return only<Fact>(wire::decode_dead_letter(kEnvironment, bytes));
  } else if constexpr (std::is_same_v<Fact, HealthFact>) {
    return wire::decode_health(kEnvironment, bytes).value();
  } else if constexpr (std::is_same_v<Fact, WrappedKeyFact>) {
    return wire::decode_key(kEnvironment, bytes).value();
  } else if constexpr (std::is_same_v<Fact, RequestFact>) {
    return wire::decode_request(kEnvironment, bytes).value();
  } else if constexpr (std::is_same_v<Fact, ReplayFact>) {
    return wire::decode_replay(kEnvironment, bytes).value();
  } else {
    return wire::decode_audit(kEnvironment, bytes).value();
  }
}

template <class Fact>
void expect_round_trip(const Fact& fact) {
  EXPECT_EQ(decode<Fact>(wire::encode(kEnvironment, fact)), fact) << typeid(Fact).name();
}

TEST(Codec, EveryFactComesBackAsItWas) {
  expect_round_trip(samples::endpoint_def());
  expect_round_trip(samples::endpoint_secret());
  expect_round_trip(samples::token());
  expect_round_trip(samples::limited_token());
  expect_round_trip(samples::token_use());
  expect_round_trip(samples::event_type());
  expect_round_trip(samples::tenant());
  TenantDef unlimited = samples::tenant();
  unlimited.endpoints_max.reset();
  expect_round_trip(unlimited);
  expect_round_trip(samples::identity());
  expect_round_trip(samples::health());
  expect_round_trip(samples::wrapped_key());
  expect_round_trip(samples::parked());
  expect_round_trip(samples::owner_mark());
  expect_round_trip(samples::attempt());
  expect_round_trip(samples::cancelled());
  expect_round_trip(samples::no_match());
  expect_round_trip(samples::repeats());
  expect_round_trip(samples::set_aside());
  expect_round_trip(samples::source_lost());
  expect_round_trip(samples::dead_letter());
  expect_round_trip(samples::dead_letter_mark());
  expect_round_trip(samples::audit());
  expect_round_trip(samples::request());
  expect_round_trip(samples::replay());
}

TEST(Codec, FactsThatSayLittleComeBackTooRightAfterOnesThatSayMuch) {
  wire::encode(kEnvironment, samples::attempt());
  expect_round_trip(AttemptFact());
  wire::encode(kEnvironment, samples::parked());
  expect_round_trip(ParkedState());
  expect_round_trip(EndpointDef());
  expect_round_trip(OwnerMark());
  expect_round_trip(DeadLetter());
}

TEST(Codec, AnOwnerMarkTellsNoOffsetFromOffsetZero) {
  OwnerMark mark = samples::owner_mark();
  mark.committed = Offset{0};
  EXPECT_EQ(decode<OwnerMark>(wire::encode(kEnvironment, mark)).committed, Offset{0});
  mark.committed.reset();
  EXPECT_EQ(decode<OwnerMark>(wire::encode(kEnvironment, mark)).committed, std::nullopt);
}

TEST(Codec, BytesThatAreNoTextAreKeptWhereverOthersChooseThem) {
  ParkedState state = samples::parked();
  state.delivery.event_id = "\xff\xfe id";
  state.delivery.event_type = std::string("a\0b", 3);
  state.delivery.tenant = TenantId("\x80");
  expect_round_trip(state);
}

std::string text() {
  return *rc::gen::arbitrary<std::string>();
}
std::int64_t number() {
  return *rc::gen::arbitrary<std::int64_t>();
}

DeliveryRef drawn_delivery() {
  DeliveryRef delivery = samples::delivery();
  delivery.event_id = text();
  delivery.event_type = text();
  delivery.tenant = TenantId(text());
  delivery.position = {*rc::gen::arbitrary<Partition>(), number()};
  delivery.replay_job = ReplayJobId(text());
  return delivery;
}

AttemptError drawn_error() {
  return static_cast<AttemptError>(*rc::gen::inRange(0, 12));
}

RC_GTEST_PROP(Codec, AnyAttemptComesBackThoughItsMessageIsUsedAgain, ()) {
  const auto ms = [] {
    return *rc::gen::inRange<std::int32_t>(-1, std::numeric_limits<std::int32_t>::max());
  };
  AttemptFact fact;
  fact.stamp = {number(), *rc::gen::arbitrary<std::uint64_t>()};
  fact.delivery = drawn_delivery();
  fact.number = *rc::gen::arbitrary<std::uint32_t>();
  fact.signed_at = number();
  fact.at = number();
  fact.status = *rc::gen::arbitrary<std::int32_t>();
  fact.error = drawn_error();
  fact.verdict = static_cast<Verdict::Kind>(*rc::gen::inRange(0, 4));
  fact.next_at = number();
  fact.phases = {ms(), ms(), ms(), ms(), ms(), ms()};
  fact.url = text();
  fact.receiver_request_id = text();
  fact.sealed_snippet = text();
  const auto secrets = *rc::gen::inRange(0, 4);
  for (int i = 0; i < secrets; ++i) fact.secret_ids.push_back("sec_" + std::to_string(i));
  fact.body_digest = text();
  fact.registry_version = number();
  fact.fan_out = *rc::gen::arbitrary<std::uint32_t>();
  const std::string record = wire::encode(kEnvironment, fact);
  RC_ASSERT(decode<AttemptFact>(record) == fact);
  fact.stamp = {number(), *rc::gen::arbitrary<std::uint64_t>()};
  RC_ASSERT(wire::restamp(record, fact.stamp) == wire::encode(kEnvironment, fact));
}

TEST(Codec, WhatIsNoRecordIsNotStampedAnew) {
  EXPECT_EQ(wire::restamp("\xff\xff", {1, 2}), "");
}

RC_GTEST_PROP(Codec, AnyParkedStateComesBackThoughItsMessageIsUsedAgain, ()) {
  ParkedState fact;
  fact.stamp = {number(), *rc::gen::arbitrary<std::uint64_t>()};
  fact.delivery = drawn_delivery();
  fact.attempts = *rc::gen::arbitrary<std::uint32_t>();
  fact.due = number();
  fact.appended = number();
  fact.fan_out = *rc::gen::arbitrary<std::uint32_t>();
  fact.last_status = *rc::gen::arbitrary<std::int32_t>();
  fact.last_error = drawn_error();
  fact.registry_version = number();
  RC_ASSERT(decode<ParkedState>(wire::encode(kEnvironment, fact)) == fact);
}

RC_GTEST_PROP(Codec, GarbageNeverDecodesAsAFact, ()) {
  const std::string bytes = *rc::gen::container<std::string>(rc::gen::arbitrary<char>());
  const auto refused = [](const auto& decoded) {
    return !decoded && (decoded.error().errc == Errc::corrupt || decoded.error().errc == Errc::denied);
  };
  RC_ASSERT(refused(wire::decode_registry(kEnvironment, bytes)));
  RC_ASSERT(refused(wire::decode_attempts(kEnvironment, bytes)));
  RC_ASSERT(refused(wire::decode_parked(kEnvironment, bytes)));
  RC_ASSERT(refused(wire::decode_dead_letter(kEnvironment, bytes)));
  RC_ASSERT(refused(wire::decode_health(kEnvironment, bytes)));
  RC_ASSERT(refused(wire::decode_key(kEnvironment, bytes)));
  RC_ASSERT(refused(wire::decode_audit(kEnvironment, bytes)));
}

TEST(Codec, BytesThatAreNoMessageOfOursAreCorrupt) {
  for (const std::string& bytes : {std::string("\xff\xff garbage"), std::string()}) {
    EXPECT_EQ(wire::decode_registry(kEnvironment, bytes).error().errc, Errc::corrupt);
    EXPECT_EQ(wire::decode_attempts(kEnvironment, bytes).error().errc, Errc::corrupt);
    EXPECT_EQ(wire::decode_parked(kEnvironment, bytes).error().errc, Errc::corrupt);
    EXPECT_EQ(wire::decode_dead_letter(kEnvironment, bytes).error().errc, Errc::corrupt);
    EXPECT_EQ(wire::decode_health(kEnvironment, bytes).error().errc, Errc::corrupt);
    EXPECT_EQ(wire::decode_key(kEnvironment, bytes).error().errc, Errc::corrupt);
    EXPECT_EQ(wire::decode_audit(kEnvironment, bytes).error().errc, Errc::corrupt);
  }
}

TEST(Codec, ACutRecordIsCorrupt) {
  const std::string whole = wire::encode(kEnvironment, samples::parked());
  EXPECT_EQ(wire::decode_parked(kEnvironment, whole.substr(0, whole.size() - 1)).error().errc, Errc::corrupt);
}

template <class Decoded>
void expect_foreign(const Decoded& decoded) {
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().errc, Errc::denied);
  EXPECT_EQ(decoded.error().code, "ENVIRONMENT_MISMATCH");
}

TEST(Codec, AnotherEnvironmentsRecordIsDenied) {
  const Environment theirs("staging");
  expect_foreign(wire::decode_registry(kEnvironment, wire::encode(theirs, samples::endpoint_def())));
  expect_foreign(wire::decode_health(kEnvironment, wire::encode(theirs, samples::health())));
  expect_foreign(wire::decode_key(kEnvironment, wire::encode(theirs, samples::wrapped_key())));
  expect_foreign(wire::decode_parked(kEnvironment, wire::encode(theirs, samples::parked())));
  expect_foreign(wire::decode_attempts(kEnvironment, wire::encode(theirs, samples::attempt())));
  expect_foreign(wire::decode_dead_letter(kEnvironment, wire::encode(theirs, samples::dead_letter())));
  expect_foreign(wire::decode_audit(kEnvironment, wire::encode(theirs, samples::audit())));
}

TEST(Codec, AKindOfANewerVersionIsNoFactOfOurs) {
  // Environment, and a length-delimited field 100 where the kind would be.
  const std::string record = std::string("\x0a\x0aproduction") + "\xa2\x06\x03new";
  const auto unknown = [](const auto& decoded) {
    return decoded && std::holds_alternative<std::monostate>(*decoded);
  };
  EXPECT_TRUE(unknown(wire::decode_registry(kEnvironment, record)));
  EXPECT_TRUE(unknown(wire::decode_attempts(kEnvironment, record)));
  EXPECT_TRUE(unknown(wire::decode_parked(kEnvironment, record)));
  EXPECT_TRUE(unknown(wire::decode_dead_letter(kEnvironment, record)));
}

template <class Message>
Message parsed(const std::string& bytes) {
  Message message;
  EXPECT_TRUE(message.ParseFromString(bytes));
  return message;
}

TEST(Codec, AWordThatDecidesAndThatWeDoNotKnowIsNotGuessedAt) {
  auto def = parsed<v1::RegistryRecord>(wire::encode(kEnvironment, samples::endpoint_def()));
  def.mutable_endpoint()->set_scheme(static_cast<v1::EndpointDef::Scheme>(9));
  EXPECT_EQ(wire::decode_registry(kEnvironment, def.SerializeAsString())->index(), 0u);

  auto letter = parsed<v1::DeadLetterRecord>(wire::encode(kEnvironment, samples::dead_letter()));
  letter.mutable_letter()->set_reason("a_newer_reason");
  EXPECT_EQ(wire::decode_dead_letter(kEnvironment, letter.SerializeAsString())->index(), 0u);

  auto cancelled = parsed<v1::AttemptRecord>(wire::encode(kEnvironment, samples::cancelled()));
  cancelled.mutable_cancelled()->set_reason("a_newer_reason");
  EXPECT_EQ(wire::decode_attempts(kEnvironment, cancelled.SerializeAsString())->index(), 0u);

  auto health = parsed<v1::HealthRecord>(wire::encode(kEnvironment, samples::health()));
  health.set_stop(static_cast<v1::HealthRecord::Stop>(9));
  EXPECT_EQ(wire::decode_health(kEnvironment, health.SerializeAsString())->stop, Stop::disabled);
}

TEST(Codec, ANumberThatOnlyInformsIsKeptSoThatNoParkedDeliveryIsLost) {
  auto record = parsed<v1::ParkedRecord>(wire::encode(kEnvironment, samples::parked()));
  record.mutable_state()->set_last_error(static_cast<v1::AttemptError>(99));
  const ParkedState state = decode<ParkedState>(record.SerializeAsString());
  EXPECT_EQ(parsed<v1::ParkedRecord>(wire::encode(kEnvironment, state)).state().last_error(), 99);
}

// The codec casts: each of our enumerators must have the schema's number, under the schema's name.
TEST(Codec, EnumeratorsHaveTheSchemasNumbers) {
  for (int i = 1; i < v1::AttemptError_ARRAYSIZE; ++i) {
    std::string name(code_of(static_cast<AttemptError>(i)));
    for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(name, v1::AttemptError_Name(i));
  }
  EXPECT_EQ(static_cast<int>(AttemptError::ambiguous) + 1, v1::AttemptError_ARRAYSIZE);
  const auto same = [](auto ours, auto schemas) {
    EXPECT_EQ(static_cast<int>(ours), static_cast<int>(schemas));
  };
  same(Verdict::Kind::success, v1::Attempt::SUCCESS);
  same(Verdict::Kind::retry, v1::Attempt::RETRY);
  same(Verdict::Kind::dead, v1::Attempt::DEAD);
  same(Verdict::Kind::defer, v1::Attempt::DEFER);
  same(RetryPolicy::Kind::standard, v1::RetryPolicy::STANDARD);
  same(RetryPolicy::Kind::quick, v1::RetryPolicy::QUICK);
  same(RetryPolicy::Kind::patient, v1::RetryPolicy::PATIENT);
  same(RetryPolicy::Kind::custom, v1::RetryPolicy::CUSTOM);
  same(Scheme::standard_webhooks, v1::EndpointDef::STANDARD_WEBHOOKS);
  same(Scheme::x_webhook, v1::EndpointDef::X_WEBHOOK);
  same(BodyFormat::binary, v1::EndpointDef::BINARY);
  same(BodyFormat::structured, v1::EndpointDef::STRUCTURED);
  same(SecretState::active, v1::EndpointSecret::ACTIVE);
  same(SecretState::expiring, v1::EndpointSecret::EXPIRING);
  same(SecretState::revoked, v1::EndpointSecret::REVOKED);
  same(Stop::none, v1::HealthRecord::NONE);
  same(Stop::disabled, v1::HealthRecord::DISABLED);
  same(Stop::quarantined, v1::HealthRecord::QUARANTINED);
  same(DeadLetterState::open, v1::DeadLetterMark::OPEN);
  same(DeadLetterState::replayed, v1::DeadLetterMark::REPLAYED);
  same(DeadLetterState::resolved, v1::DeadLetterMark::RESOLVED);
}

TEST(Codec, TombstonesNameTheirStampInHeaders) {
  const Stamp stamp{Offset{1} << 40, ~std::uint64_t{0}};
  EXPECT_EQ(wire::read_stamp(wire::stamp_headers(stamp)), stamp);
  EXPECT_EQ(wire::read_stamp({}), std::nullopt);
  EXPECT_EQ(wire::read_stamp({{"epoch", "1"}}), std::nullopt);
  EXPECT_EQ(wire::read_stamp({{"epoch", "1"}, {"sequence", "2x"}}), std::nullopt);
  EXPECT_EQ(wire::read_stamp({{"epoch", ""}, {"sequence", "2"}}), std::nullopt);
}

TEST(Codec, ARestatedRecordIsToldByItsHeader) {
  EXPECT_TRUE(wire::is_restated(wire::restated_headers()));
  EXPECT_FALSE(wire::is_restated({}));
}

TEST(Codec, ASealedValueComesBackAndAnotherVersionIsRefused) {
  const auto parts = wire::decode_sealed(wire::encode_sealed(samples::sealed_parts()));
  ASSERT_TRUE(parts);
  EXPECT_EQ(parts->key_id, "key_1");
  EXPECT_EQ(parts->wrapped_data_key, "wrapped");
  EXPECT_EQ(parts->nonce, "nonce");
  EXPECT_EQ(parts->ciphertext, "ciphertext");
  EXPECT_EQ(wire::decode_sealed("").error().errc, Errc::corrupt);
  EXPECT_EQ(wire::decode_sealed("plain text").error().errc, Errc::corrupt);
  v1::Sealed newer;
  newer.set_version(2);
  EXPECT_EQ(wire::decode_sealed(newer.SerializeAsString()).error().code, "SEALED_VERSION_UNKNOWN");
}

}  // namespace
}  // namespace postrider
