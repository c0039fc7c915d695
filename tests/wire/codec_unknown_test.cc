// A newer version may add fields to any message. Reading and writing such a record here must lose none of
// them.
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "schemas/postrider.pb.h"
#include "tests/wire/samples.h"

namespace postrider {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using samples::kEnvironment;

constexpr int kNewField = 1000;

// Calls `each` for the message and every message within it, with its path.
void walk(Message& message, const std::string& path,
          const std::function<void(const std::string&, Message&)>& each) {
  each(path, message);
  const auto* reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    const std::string below = path + "/" + field->name();
    if (!field->is_repeated()) {
      walk(*reflection->MutableMessage(&message, field), below, each);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(message, field); ++i) {
      walk(*reflection->MutableRepeatedMessage(&message, field, i), below + std::to_string(i), each);
    }
  }
}

std::map<std::string, std::string> unknown_fields(Message& message) {
  std::map<std::string, std::string> found;
  walk(message, "", [&](const std::string& path, Message& one) {
    one.GetReflection()->GetUnknownFields(one).SerializeToString(&found[path]);
  });
  return found;
}

template <class Decoded>
std::string encoded_again(const Decoded& decoded) {
  EXPECT_TRUE(decoded);
  if constexpr (requires { decoded->index(); }) {
    return std::visit(
        [](const auto& fact) -> std::string {
          if constexpr (std::is_same_v<std::decay_t<decltype(fact)>, std::monostate>) {
            ADD_FAILURE() << "no fact of ours";
            return {};
          } else {
            return wire::encode(kEnvironment, fact);
          }
        },
        *decoded);
  } else {
    return wire::encode(kEnvironment, *decoded);
  }
}

// Adds a field to every message of the record at once, and to each one alone.
template <class Record, class Decode>
void expect_kept(const std::string& bytes, Decode decode) {
  Record plain;
  ASSERT_TRUE(plain.ParseFromString(bytes));
  std::vector<std::string> paths;
  walk(plain, "", [&](const std::string& path, Message&) { paths.push_back(path); });
  paths.push_back("everywhere");
  for (const std::string& where : paths) {
    Record newer = plain;
    std::uint64_t value = 1;
    walk(newer, "", [&](const std::string& path, Message& one) {
      if (where != "everywhere" && where != path) return;
      one.GetReflection()->MutableUnknownFields(&one)->AddVarint(kNewField, ++value);
    });
    Record again;
    ASSERT_TRUE(again.ParseFromString(encoded_again(decode(kEnvironment, newer.SerializeAsString()))));
    EXPECT_EQ(unknown_fields(again), unknown_fields(newer))
        << Record::descriptor()->name() << " at " << where;
    again.DiscardUnknownFields();
    EXPECT_EQ(again.SerializeAsString(), bytes) << Record::descriptor()->name() << " at " << where;
  }
}

TEST(UnknownFields, SurviveInEveryMessageOfTheRegistry) {
  const auto keep = [](const auto& fact) {
    expect_kept<v1::RegistryRecord>(wire::encode(kEnvironment, fact), wire::decode_registry);
  };
  keep(samples::endpoint_def());
  keep(samples::endpoint_secret());
  keep(samples::token());
  keep(samples::limited_token());
  keep(samples::event_type());
  keep(samples::tenant());
  keep(samples::identity());
}

TEST(UnknownFields, SurviveInEveryMessageOfAttempts) {
  const auto keep = [](const auto& fact) {
    expect_kept<v1::AttemptRecord>(wire::encode(kEnvironment, fact), wire::decode_attempts);
  };
  keep(samples::attempt());
  keep(samples::cancelled());
  keep(samples::no_match());
  keep(samples::repeats());
  keep(samples::set_aside());
  keep(samples::source_lost());
}

TEST(UnknownFields, SurviveInParkedAndDeadLetters) {
  expect_kept<v1::ParkedRecord>(wire::encode(kEnvironment, samples::parked()), wire::decode_parked);
  expect_kept<v1::ParkedRecord>(wire::encode(kEnvironment, samples::owner_mark()), wire::decode_parked);
  expect_kept<v1::DeadLetterRecord>(wire::encode(kEnvironment, samples::dead_letter()),
                                    wire::decode_dead_letter);
  expect_kept<v1::DeadLetterRecord>(wire::encode(kEnvironment, samples::dead_letter_mark()),
                                    wire::decode_dead_letter);
}

TEST(UnknownFields, SurviveInFlatRecords) {
  expect_kept<v1::HealthRecord>(wire::encode(kEnvironment, samples::health()), wire::decode_health);
  expect_kept<v1::WrappedKey>(wire::encode(kEnvironment, samples::wrapped_key()), wire::decode_key);
  expect_kept<v1::AuditRecord>(wire::encode(kEnvironment, samples::audit()), wire::decode_audit);
  expect_kept<v1::RequestRecord>(wire::encode(kEnvironment, samples::request()), wire::decode_request);
  expect_kept<v1::ReplayRecord>(wire::encode(kEnvironment, samples::replay()), wire::decode_replay);
}

TEST(UnknownFields, SurviveAChangeOfTheFact) {
  v1::ParkedRecord newer;
  ASSERT_TRUE(newer.ParseFromString(wire::encode(kEnvironment, samples::parked())));
  newer.GetReflection()->MutableUnknownFields(&newer)->AddVarint(kNewField, 1);
  v1::ParkedState* inner = newer.mutable_state();
  inner->GetReflection()->MutableUnknownFields(inner)->AddVarint(kNewField, 2);
  auto state = std::get<ParkedState>(wire::decode_parked(kEnvironment, newer.SerializeAsString()).value());
  state.attempts = 9;
  v1::ParkedRecord again;
  ASSERT_TRUE(again.ParseFromString(wire::encode(kEnvironment, state)));
  EXPECT_EQ(again.state().attempts(), 9u);
  EXPECT_EQ(unknown_fields(again), unknown_fields(newer));
}

TEST(UnknownFields, OfOneFactDoNotStickToTheNext) {
  v1::ParkedRecord newer;
  ASSERT_TRUE(newer.ParseFromString(wire::encode(kEnvironment, samples::parked())));
  const std::string before = newer.SerializeAsString();
  newer.GetReflection()->MutableUnknownFields(&newer)->AddVarint(kNewField, 1);
  encoded_again(wire::decode_parked(kEnvironment, newer.SerializeAsString()));
  EXPECT_EQ(wire::encode(kEnvironment, samples::parked()), before);
}

}  // namespace
}  // namespace postrider
