#pragma once
#include <curl/curl.h>

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "engine/core/outcome.h"
#include "engine/curl/answer.h"
#include "engine/curl/connection.h"
#include "engine/curl/poller.h"
#include "engine/curl/request_head.h"
#include "engine/ports/transport.h"

// One request at a time over one connection, which is kept for its origin from request to request. First the
// connection is opened, at one address after another, unless it stands; then the request is said, and the
// answer read. A request is said once: when the connection ends under it, the receiver may have taken it. The
// shard's thread only.
namespace postrider {

struct Origin;

class Transfer : public SocketOwner {
 public:
  Transfer(ConnectionContext& context, AnswerLimits limits);

  // Takes the request and writes its head. An error: it may not be sent, and why.
  AttemptError accept(HttpRequest&& request, std::uint64_t token, PollTime queued, PollTime now);
  // Begins to open a connection in the lane's multi, to the preferred address if the request names it, else
  // to its first. False: it cannot, and conclude() says why.
  bool open(Lane& lane, const std::optional<IpAddress>& preferred, PollTime now);
  // libcurl has opened nothing. True: it is at it again, at the next address.
  bool open_next(CURLcode code, PollTime now);

  // The connection stands, and the listener agreed (withhold() else): from here on each returns whether there
  // is something to wait for; false: conclude().
  bool talk(PollTime now);
  bool on_ready(std::uint32_t events);
  void withhold() { withheld_ = true; }
  void time_out() { timed_out_ = true; }
  void lose() { answer_.end_of_stream(); }  // libcurl has closed its connection
  bool is_talking() const { return talking_; }
  PollTime deadline() const { return deadline_; }

  // Ends it. The connection is closed unless it may carry the next request.
  Outcome conclude(PollTime now);
  // We end it, wherever it is.
  Outcome cut_off(PollTime now);
  void let_go() { request_ = HttpRequest{}; }  // of its body

  Connection& connection() { return connection_; }
  std::uint64_t token() const { return token_; }

  // The transport's bookkeeping.
  Origin* origin = nullptr;
  std::size_t active_index = 0;  // among those on their way
  // Its place in a list of those that rest; `place` holds it meanwhile it does not, so that nothing is
  // allocated.
  std::list<Transfer*> place;
  std::list<Transfer*>::iterator place_in_list;
  bool is_bare = true;  // it rests without a connection
  PollTime rested{};    // since when

 private:
  bool set_url(const std::shared_ptr<const Destination>& to);
  bool open_at(Lane& lane, std::size_t address_index, PollTime now);
  std::string_view body() const {
    return request_.body ? std::string_view(*request_.body) : std::string_view();
  }
  bool is_sent() const { return sent_ >= head_.text().size() + body().size(); }
  bool say();     // false: the connection broke
  bool listen();  // false: the answer has ended, one way or another
  AttemptError error() const;
  AttemptError error_of_open() const;
  void read_phases(Phases& phases, PollTime now) const;

  ConnectionContext& context_;
  Connection connection_;
  std::shared_ptr<const Destination> head_is_for_;
  RequestHead head_;

  // The request on its way.
  HttpRequest request_;
  std::uint64_t token_ = 0;
  PollTime queued_{}, started_{}, deadline_{}, spoke_at_{}, first_byte_at_{};
  std::size_t first_index_ = 0, addresses_tried_ = 0, denials_ = 0;
  CURLcode open_failure_ = CURLE_OK;
  bool talking_ = false;   // the first byte has left, or was about to
  bool withheld_ = false;  // the listener said no, before the first byte
  bool timed_out_ = false;
  bool cannot_say_ = false;  // the socket takes no more
  // EPOLLIN or EPOLLOUT: what the rest of the request waits for, 0 when it does not; what its answer does.
  std::uint32_t says_on_ = 0, listens_on_ = EPOLLIN;
  std::size_t sent_ = 0;
  Answer answer_;
};

}  // namespace postrider
