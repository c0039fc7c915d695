#include "producers/publisher.h"

#include <array>
#include <random>

#include "engine/core/bytes.h"
#include "producers/http_publisher.h"
#include "producers/kafka_publisher.h"

namespace postrider::producers {
namespace {

Error refusal(BadEvent bad, const Event& event, const Environment& environment) {
  switch (bad) {
    case BadEvent::no_tenant:
      return {Errc::invalid, "TENANT_MISSING", "the event names no tenant",
              "give the attribute 'tenant' (--tenant)"};
    case BadEvent::bad_tenant:
      return {Errc::invalid, "TENANT_INVALID", "the tenant is not of the form [A-Za-z0-9_-]{1,64}",
              "use the tenant's id"};
    case BadEvent::foreign_environment:
      return {
          Errc::invalid, "ENVIRONMENT_MISMATCH",
          "the event is of environment '" + event.environment + "', and this is '" + environment.str() + "'",
          "publish it where it belongs, or leave its attribute 'environment' out"};
    case BadEvent::oversize:
      return event_too_large(std::to_string(event.data.size()));
    case BadEvent::bad_attribute:
      return {
          Errc::invalid, "ATTRIBUTE_INVALID",
          "id, source or type is missing, time is not RFC 3339, or an attribute's name or value is not "
          "allowed",
          "names are lower-case letters and digits, values are text without control characters, of up to " +
              std::to_string(kAttributeBytesMax) + " bytes; put everything else into data"};
    case BadEvent::undecodable:
      break;
  }
  return {Errc::invalid, "UNDECODABLE_EVENT", "it is no CloudEvent 1.0", "publish a CloudEvent 1.0"};
}

}  // namespace

std::future<Result<PublishedEvent>> Publisher::publish(Event event) {
  auto promise = std::make_shared<std::promise<Result<PublishedEvent>>>();  // std::function wants it copyable
  auto future = promise->get_future();
  publish(std::move(event),
          [promise](Result<PublishedEvent> result) { promise->set_value(std::move(result)); });
  return future;
}

Result<void> check_event(const Event& event, const Environment& environment) {
  const Environment expected = environment.empty() ? Environment(event.environment) : environment;
  const auto bad = check(event, expected);
  if (!bad) return {};
  return fail(refusal(*bad, event, environment));
}

Error event_too_large(const std::string& bytes) {
  return {Errc::invalid, "EVENT_TOO_LARGE",
          "data of " + bytes + " bytes is over the limit of " + std::to_string(kEventDataBytesMax),
          "publish a reference to the data instead"};
}

Result<std::unique_ptr<Publisher>> open_publisher(PublisherOptions options) {
  if (options.to.starts_with("kafka://")) {
    if (!is_environment_name(options.environment.str())) {
      return fail(Errc::invalid, "ENVIRONMENT_INVALID",
                  "the environment is not of the form [a-z][a-z0-9-]{0,31}",
                  "name the environment whose topics are meant (--environment)");
    }
    return open_kafka_publisher(std::move(options));
  }
  if (options.to.starts_with("http://") || options.to.starts_with("https://")) {
    return open_http_publisher(std::move(options));
  }
  return fail(Errc::invalid, "DESTINATION_INVALID", "events go to kafka://host:port or to http://host:port",
              "an embedded log is reached through its daemon's HTTP address");
}

std::string random_event_id() {
  std::random_device device;
  std::array<char, 16> bytes{};
  for (auto& byte : bytes) byte = static_cast<char>(device());
  bytes[6] = static_cast<char>((bytes[6] & 0x0F) | 0x40);  // RFC 9562 §5.4
  bytes[8] = static_cast<char>((bytes[8] & 0x3F) | 0x80);
  auto text = hex_encode({bytes.data(), bytes.size()});
  for (const std::size_t at : {20U, 16U, 12U, 8U}) text.insert(at, "-");
  return text;
}

}  // namespace postrider::producers
