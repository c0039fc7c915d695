#pragma once
// What the codec's topics share. Seen by engine/wire/codec_*.cc only: protobuf's headers stay in here.
#include <google/protobuf/arena.h>
#include <google/protobuf/message.h>

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

#include "engine/core/fact.h"
#include "engine/core/result.h"
#include "schemas/postrider.pb.h"

namespace postrider::wire {

// The fields of a newer version. A fact's `unknown` is empty in all but those rare cases; else it is the
// record's own message with every known field taken out, so that what remains says where each unknown field
// belongs: in the record, in the fact, or in a message within it. Writing the fact again puts each back in
// its place. Elements of a repeated message get theirs back by position, if their number did not change.
std::string keep_unknown(const google::protobuf::Message& record,
                         std::initializer_list<const google::protobuf::Message*> parts);
bool has_unknown(const google::protobuf::Message& message);
// The same, where the unknown fields may stand in the elements of a list too.
template <class List>
std::string keep_unknown_of_all(const google::protobuf::Message& record, const List& list,
                                std::initializer_list<const google::protobuf::Message*> parts) {
  for (const auto& element : list) {
    if (has_unknown(element)) return keep_unknown(record, {&element});
  }
  return keep_unknown(record, parts);
}
void restore_unknown(google::protobuf::Message& record, std::string_view kept);

template <class Record>
std::string serialize(const Record& record, const std::string& unknown) {
  if (unknown.empty()) return record.SerializeAsString();
  Record whole = record;
  restore_unknown(whole, unknown);
  return whole.SerializeAsString();
}

// Memory of one decode: its messages live here, the first of them on the stack.
class Scratch {
 public:
  Scratch() : arena_(block_.data(), block_.size()) {}
  template <class M>
  M& make() {
    return *google::protobuf::Arena::CreateMessage<M>(&arena_);
  }

 private:
  alignas(8) std::array<char, 2048> block_;
  google::protobuf::Arena arena_;
};

Error not_ours(const std::string& theirs, const Environment& ours);
Error not_readable(std::string_view topic);

// Parses `bytes` into `record` and checks that it is of our environment.
template <class Record>
Result<void> open(const Environment& environment, std::string_view topic, std::string_view bytes,
                  Record& record) {
  const bool read = record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()));
  // Every record of ours names its environment: one that does not is something else that happens to parse.
  if (!read || record.environment().empty()) return fail(not_readable(topic));
  if (record.environment() != environment.str()) return fail(not_ours(record.environment(), environment));
  return {};
}

// Each fill() writes every known field: the messages of hot facts are used again and again.
void fill(v1::Stamp& message, Stamp stamp);
void fill(v1::DeliveryRef& message, const DeliveryRef& delivery);
Stamp read(const v1::Stamp& message);
DeliveryRef read(const v1::DeliveryRef& message);

// Enumerations: the numbers are those of the schema. The casts keep a number that this version does not know,
// which is right where the value only informs; where it decides, the caller refuses it (is_known).
inline v1::AttemptError to_wire(AttemptError error) {
  return static_cast<v1::AttemptError>(error);
}
inline AttemptError from_wire(v1::AttemptError error) {
  return static_cast<AttemptError>(error);
}

}  // namespace postrider::wire
