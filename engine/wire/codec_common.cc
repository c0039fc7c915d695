#include "engine/wire/codec_common.h"

#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <memory>

namespace postrider::wire {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Takes out every known field; of messages within, the frame stays.
void strip(Message& message) {
  const auto* reflection = message.GetReflection();
  const auto* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      reflection->ClearField(&message, field);
    } else if (field->is_repeated()) {
      for (int k = 0; k < reflection->FieldSize(message, field); ++k) {
        strip(*reflection->MutableRepeatedMessage(&message, field, k));
      }
    } else if (reflection->HasField(message, field)) {
      strip(*reflection->MutableMessage(&message, field));
    }
  }
}

void restore(Message& message, const Message& kept) {
  const auto* reflection = message.GetReflection();
  reflection->MutableUnknownFields(&message)->MergeFrom(reflection->GetUnknownFields(kept));
  const auto* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (field->is_repeated()) {
      const int size = reflection->FieldSize(kept, field);
      if (size != reflection->FieldSize(message, field)) continue;
      for (int k = 0; k < size; ++k) {
        restore(*reflection->MutableRepeatedMessage(&message, field, k),
                reflection->GetRepeatedMessage(kept, field, k));
      }
    } else if (reflection->HasField(kept, field) && reflection->HasField(message, field)) {
      restore(*reflection->MutableMessage(&message, field), reflection->GetMessage(kept, field));
    }
  }
}

}  // namespace

bool has_unknown(const Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

std::string keep_unknown(const Message& record, std::initializer_list<const Message*> parts) {
  const bool any = has_unknown(record) || std::any_of(parts.begin(), parts.end(),
                                                      [](const Message* part) { return has_unknown(*part); });
  if (!any) return {};
  const std::unique_ptr<Message> frame(record.New());
  frame->CopyFrom(record);
  strip(*frame);
  return frame->SerializeAsString();
}

void restore_unknown(Message& record, std::string_view kept) {
  const std::unique_ptr<Message> frame(record.New());
  // Made by keep_unknown: it parses. If a caller filled the field otherwise, there is nothing of ours to
  // keep.
  if (frame->ParseFromArray(kept.data(), static_cast<int>(kept.size()))) restore(record, *frame);
}

Error not_ours(const std::string& theirs, const Environment& ours) {
  return {Errc::denied, "ENVIRONMENT_MISMATCH",
          "the record is of environment " + theirs + ", and this is " + ours.str(),
          "check `environment` and the log's address: two environments share these topics"};
}

Error not_readable(std::string_view topic) {
  return {Errc::corrupt, "RECORD_UNREADABLE",
          "a record of `" + std::string(topic) + "` is no message of ours",
          "find out who else writes to the topic; nothing but Postrider may"};
}

void fill(v1::Stamp& message, Stamp stamp) {
  message.set_epoch(stamp.epoch);
  message.set_sequence(stamp.sequence);
}

Stamp read(const v1::Stamp& message) {
  return {message.epoch(), message.sequence()};
}

void fill(v1::DeliveryRef& message, const DeliveryRef& delivery) {
  message.set_id(delivery.id.str());
  message.set_webhook_id(delivery.webhook_id.str());
  message.set_event_id(delivery.event_id);
  message.set_event_type(delivery.event_type);
  message.set_tenant(delivery.tenant.str());
  message.set_endpoint(delivery.target.endpoint.str());
  message.set_incarnation(delivery.target.incarnation.str());
  message.set_partition(delivery.position.partition);
  message.set_offset(delivery.position.offset);
  message.set_replay_job(delivery.replay_job.str());
}

DeliveryRef read(const v1::DeliveryRef& message) {
  DeliveryRef delivery;
  delivery.id = DeliveryId(message.id());
  delivery.webhook_id = WebhookId(message.webhook_id());
  delivery.event_id = message.event_id();
  delivery.event_type = message.event_type();
  delivery.tenant = TenantId(message.tenant());
  delivery.target = {EndpointId(message.endpoint()), Incarnation(message.incarnation())};
  delivery.position = {message.partition(), message.offset()};
  delivery.replay_job = ReplayJobId(message.replay_job());
  return delivery;
}

void silence_protobuf() {
  google::protobuf::SetLogHandler(nullptr);
}

}  // namespace postrider::wire
