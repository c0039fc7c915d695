#include "engine/curl/transfer.h"

#include <algorithm>
#include <utility>

namespace postrider {

namespace {

// How often a transfer reads on before others have their turn; what is left the loop tells again.
constexpr int kReadsAtOnce = 4;

Millis since(PollTime begin, PollTime end) {
  return std::chrono::duration_cast<Millis>(end - begin);
}

bool same(const Url& left, const Url& right) {
  return left.path == right.path && left.query == right.query && left.host == right.host &&
         left.port == right.port && left.scheme == right.scheme && left.host_is_ipv6 == right.host_is_ipv6;
}

}  // namespace

Transfer::Transfer(ConnectionContext& context, AnswerLimits limits)
    : SocketOwner(false), context_(context), connection_(context, *this), answer_(limits) {
  place.push_back(this);
}

// What goes out must mean to our strict parser exactly what the caller vetted.
bool Transfer::set_url(const std::shared_ptr<const Destination>& to) {
  if (head_is_for_ == to) return true;
  if (!head_is_for_ || !same(head_is_for_->url, to->url)) {
    const Result<Url> parsed = parse_url(to->url.whole());
    if (!parsed || !same(*parsed, to->url)) return false;
    if (!head_is_for_ && !connection_.set_origin(to->url)) return false;
    head_.set_url(to->url);
  }
  head_is_for_ = to;
  return true;
}

AttemptError Transfer::accept(HttpRequest&& request, std::uint64_t token, PollTime queued, PollTime now) {
  request_ = std::move(request);
  token_ = token;
  queued_ = queued;
  started_ = now;
  deadline_ = now + request_.timeout;
  first_byte_at_ = {};
  addresses_tried_ = denials_ = sent_ = 0;
  open_failure_ = CURLE_OK;
  talking_ = withheld_ = timed_out_ = cannot_say_ = false;
  says_on_ = 0;
  listens_on_ = EPOLLIN;
  answer_.begin();
  if (request_.to->url.scheme != "https" && !context_.guard.admits_plain_http()) return AttemptError::denied;
  if (!set_url(request_.to)) return AttemptError::denied;
  if (!head_.build(request_.headers, request_.shared_headers.get(), body().size()))
    return AttemptError::denied;
  return request_.to->addresses.empty() ? AttemptError::dns : AttemptError::none;
}

// --- opening
// -------------------------------------------------------------------------------------------------

bool Transfer::open(Lane& lane, const std::optional<IpAddress>& preferred, PollTime now) {
  connection_.begin_anew();
  const auto& addresses = request_.to->addresses;
  const auto found = preferred ? std::find(addresses.begin(), addresses.end(), *preferred) : addresses.end();
  first_index_ = found == addresses.end() ? 0 : static_cast<std::size_t>(found - addresses.begin());
  return open_at(lane, first_index_, now);
}

bool Transfer::open_next(CURLcode code, PollTime now) {
  open_failure_ = code;
  Lane* const lane = connection_.lane();
  const bool denied = connection_.was_denied();
  if (denied) ++denials_;
  connection_.note_phases();
  connection_.close();
  const bool another = code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT || denied;
  if (!another || addresses_tried_ >= request_.to->addresses.size()) return false;
  // In the request's order, without the one that was tried first.
  const std::size_t next = addresses_tried_ <= first_index_ ? addresses_tried_ - 1 : addresses_tried_;
  return open_at(*lane, next, now);
}

// One dead address may not eat the time of those behind it: each gets its share to connect (TLS included).
bool Transfer::open_at(Lane& lane, std::size_t address_index, PollTime now) {
  const Millis left = since(now, deadline_);
  if (left <= Millis(0)) {
    timed_out_ = true;
    return false;
  }
  const auto addresses_left = static_cast<long>(request_.to->addresses.size() - addresses_tried_);
  ++addresses_tried_;
  const bool begun = connection_.open(lane, request_.to->addresses[address_index], left,
                                      std::max(Millis(1), left / addresses_left));
  if (!begun) open_failure_ = CURLE_OUT_OF_MEMORY;
  return begun;
}

// --- the request and its answer
// ------------------------------------------------------------------------------

bool Transfer::talk(PollTime now) {
  talking_ = true;
  spoke_at_ = now;
  return say();
}

bool Transfer::say() {
  while (!is_sent() && !cannot_say_) {
    const Connection::Io sent = connection_.send(head_.text(), body(), sent_);
    if (sent.kind == Connection::Io::Kind::later) {
      says_on_ = sent.events;
      connection_.watch(says_on_ | listens_on_);
      return true;
    }
    // It may have answered before it closed: what it said is read, and ends with the same error or its end.
    cannot_say_ = sent.kind != Connection::Io::Kind::some;
    sent_ += sent.bytes;
  }
  if (std::exchange(says_on_, 0) != 0) connection_.watch(listens_on_);
  return !cannot_say_ || listen();
}

bool Transfer::listen() {
  for (int reads = 0; reads < kReadsAtOnce; ++reads) {
    const Connection::Io got = connection_.receive();
    if (got.kind == Connection::Io::Kind::later) {
      if (std::exchange(listens_on_, got.events) != got.events) connection_.watch(says_on_ | listens_on_);
      return true;
    }
    if (got.kind == Connection::Io::Kind::broken) return false;
    if (got.kind == Connection::Io::Kind::ended) {
      answer_.end_of_stream();
      return false;
    }
    if (std::exchange(listens_on_, EPOLLIN) != EPOLLIN) connection_.watch(says_on_ | EPOLLIN);
    if (!answer_.began()) first_byte_at_ = std::chrono::steady_clock::now();
    if (!answer_.take({context_.bytes.data(), got.bytes})) return false;
    if (!connection_.may_have_more(got)) return true;
  }
  return true;
}

bool Transfer::on_ready(std::uint32_t events) {
  // What is broken is found by whoever reads or writes next.
  const std::uint32_t broken = events & ~static_cast<std::uint32_t>(EPOLLIN | EPOLLOUT);
  if ((events & (listens_on_ | broken)) != 0 && !listen()) return false;
  return (events & says_on_) == 0 || say();
}

}  // namespace postrider
