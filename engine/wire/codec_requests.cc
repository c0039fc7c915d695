// Topic `requests`.
#include "engine/wire/codec.h"
#include "engine/wire/codec_common.h"

namespace postrider::wire {

std::string encode(const Environment& environment, const RequestFact& fact) {
  v1::RequestRecord record;
  record.set_environment(environment.str());
  record.set_key(fact.key);
  record.set_run(fact.run);
  record.set_step(static_cast<v1::RequestRecord::Step>(fact.step));
  record.set_token_id(fact.token_id);
  record.set_fingerprint(fact.fingerprint);
  record.set_origin(fact.origin);
  record.set_tenant(fact.tenant.str());
  record.set_sealed_answer(fact.sealed_answer);
  return serialize(record, fact.unknown);
}

// A step that we do not know keeps its number: it ends nothing that we know of.
Result<RequestFact> decode_request(const Environment& environment, std::string_view bytes) {
  Scratch scratch;
  auto& record = scratch.make<v1::RequestRecord>();
  if (auto opened = open(environment, "requests", bytes, record); !opened) return fail(opened.error());
  RequestFact fact;
  fact.key = record.key();
  fact.run = record.run();
  fact.step = static_cast<RequestFact::Step>(record.step());
  fact.token_id = record.token_id();
  fact.fingerprint = record.fingerprint();
  fact.origin = record.origin();
  fact.tenant = TenantId(record.tenant());
  fact.sealed_answer = record.sealed_answer();
  fact.unknown = keep_unknown(record, {});
  return fact;
}

std::string encode_answer(const StoredAnswer& answer) {
  v1::StoredAnswer message;
  message.set_status(answer.status);
  for (const auto& [name, value] : answer.headers) {
    v1::StoredAnswer::Header& header = *message.add_headers();
    header.set_name(name);
    header.set_value(value);
  }
  message.set_body(answer.body);
  return message.SerializeAsString();
}

std::optional<StoredAnswer> decode_answer(std::string_view bytes) {
  v1::StoredAnswer message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return std::nullopt;
  StoredAnswer answer;
  answer.status = message.status();
  answer.headers.reserve(static_cast<std::size_t>(message.headers_size()));
  for (const auto& header : message.headers()) answer.headers.emplace_back(header.name(), header.value());
  answer.body = message.body();
  return answer;
}

}  // namespace postrider::wire
