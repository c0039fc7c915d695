#pragma once
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/core/event.h"
#include "engine/core/result.h"
#include "engine/core/time.h"

// Publishes CloudEvents to Postrider, straight to Kafka or through the HTTP API of a daemon.
//
//   PublisherOptions options;
//   options.to = "kafka://10.0.0.1:9092";
//   options.environment = Environment("production");
//   auto publisher = open_publisher(options);
//   if (!publisher) return report(publisher.error());
//
//   Event event;
//   event.id = "order-7-created";  // stable: publishing it again is a repeat, which is dropped
//   event.source = "/shop";
//   event.type = "order.created";
//   event.tenant = TenantId("acme");
//   event.datacontenttype = "application/json";
//   event.data = R"({"order": 7})";
//
//   Result<PublishedEvent> published = (*publisher)->publish(event).get();
//
// Published means durable: the log has acknowledged the event, on all replicas in sync. An answer that is an
// error with retryable() leaves open whether the event is on the log: publish it again under the same id and
// source.
namespace postrider::producers {

struct PublishedEvent {
  std::string id;
  WebhookId webhook_id;  // what customers see
  std::string topic;
  Position position;
};

struct PublisherOptions {
  std::string to;           // "kafka://host:port,host:port", "http://host:port" or "https://host:port"
  Environment environment;  // Kafka: names the topic. HTTP: may be empty; else the daemon's must be the same
  std::string token;        // HTTP: bearer token; empty: none
  std::string ca_file;      // HTTPS: PEM of a private authority; empty: the system's
  // Kafka: any librdkafka property, over ours. A value "env:NAME" or "file:PATH" is read from there.
  std::vector<std::pair<std::string, std::string>> kafka_properties;
  Millis timeout{30'000};  // for one event, tries included
  std::string client_cert = {},
              client_key = {};  // HTTPS: PEM files of our certificate and its key; empty: none
};

// Thread-safe. Its destructor fails what has no answer yet: flush() first.
class Publisher {
 public:
  virtual ~Publisher() = default;

  using Done = std::function<void(Result<PublishedEvent>)>;
  // Checks the event (check_event), then sends it. `done` is called exactly once: inside the call if the
  // event is refused, else on a thread of the publisher's; it must not block or call the publisher. Blocks
  // while 1000 events over HTTP, or librdkafka's queue over Kafka, wait for their answers. Kafka keeps a
  // tenant's order; over HTTP up to 16 events are under way at once, in any order.
  virtual void publish(Event event, Done done) = 0;
  std::future<Result<PublishedEvent>> publish(Event event);

  // Waits until every event handed over so far has its answer; false: not within `span`.
  virtual bool flush(Millis span) = 0;
};

// Connects and looks whether the topic is there. Errc::invalid: the options are wrong; unavailable: nobody
// answers (within 10 s); not_found: the topic is missing.
Result<std::unique_ptr<Publisher>> open_publisher(PublisherOptions options);

// What the engine would refuse, said before anything is sent: core's check() with a message and a remedy. An
// empty environment accepts any.
Result<void> check_event(const Event& event, const Environment& environment);

// EVENT_TOO_LARGE; `bytes` says how many there are: "300000", "more than 262144".
Error event_too_large(const std::string& bytes);

// 128 random bits as a UUID, version 4: an id for events that bring none.
std::string random_event_id();

}  // namespace postrider::producers
