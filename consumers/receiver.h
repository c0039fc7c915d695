#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "consumers/answer_plan.h"
#include "consumers/verifier.h"

// An HTTP(S) server that takes webhooks: verifies each over its raw bytes, answers as planned, and tells what
// came. One thread, one libevent loop; requests of up to 2 MiB with 64 KiB of headers.
namespace postrider_receive {

struct Failure {
  bool usage = false;  // wrong use or configuration, as against something that went wrong
  std::string code, message, suggestion;
};

// One webhook as it came, and what became of it.
struct Arrival {
  std::int64_t at_ms = 0;  // unix milliseconds
  std::string webhook_id;  // empty: absent
  std::string timestamp;   // as sent; empty: absent
  webhooks::Verdict verdict = webhooks::Verdict::missing_header;
  bool repeat = false;
  std::string challenge;  // given back: the sender asks whether we want its webhooks; else empty
  Answer answer;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, in their order
  std::string body;
  bool verified() const { return verdict == webhooks::Verdict::verified; }
};

struct ReceiverOptions {
  std::string host;         // an address, not a name
  std::uint16_t port = 0;   // 0: any that is free
  std::string certificate;  // PEM files; both empty: plain HTTP
  std::string key;
  std::optional<long> retry_after_seconds;  // sent with every answer that is not 2xx
};

class Receiver {
 public:
  // `verifier` is borrowed. `on_arrival` is called before the answer leaves: what a sender has seen answered,
  // a record holds.
  Receiver(ReceiverOptions options, const webhooks::Verifier& verifier, AnswerPlan plan,
           std::function<void(const Arrival&)> on_arrival);
  ~Receiver();
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  std::optional<Failure> listen();
  std::string url() const;  // "https://127.0.0.1:43127", once listening
  // Until SIGINT or SIGTERM.
  void run();

 private:
  class Server;
  std::unique_ptr<Server> server_;
};

}  // namespace postrider_receive
