// The second half of a Transfer: what came of it.
#include <algorithm>
#include <cstdint>

#include "engine/curl/transfer.h"

namespace postrider {

namespace {

bool is_tls(CURLcode code) {
  switch (code) {
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_ENGINE_INITFAILED:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_SSL_CLIENTCERT:
    case CURLE_USE_SSL_FAILED:
      return true;
    default:
      return false;
  }
}

std::int32_t milliseconds(PollTime begin, PollTime end) {
  const auto count = std::chrono::duration_cast<Millis>(end - begin).count();
  return static_cast<std::int32_t>(std::min<std::int64_t>(count, INT32_MAX));
}

}  // namespace

AttemptError Transfer::error_of_open() const {
  // Denied for good only if the guard refused every address: beside a dead one it is worth a retry.
  if (connection_.was_denied()) {
    return denials_ == addresses_tried_ ? AttemptError::denied : AttemptError::connect;
  }
  if (is_tls(open_failure_)) return AttemptError::tls;
  if (timed_out_ || open_failure_ == CURLE_OPERATION_TIMEDOUT) return AttemptError::timeout;
  // The pin was no address: cannot be.
  return open_failure_ == CURLE_COULDNT_RESOLVE_HOST ? AttemptError::dns : AttemptError::connect;
}

AttemptError Transfer::error() const {
  if (withheld_) return AttemptError::ambiguous;
  if (!talking_) return error_of_open();
  if (answer_.final_status() != 0) {
    if (answer_.fault() == AttemptError::body_too_large) return AttemptError::body_too_large;
    return answer_.is_complete() ? AttemptError::none : AttemptError::body_broken;
  }
  if (answer_.fault() != AttemptError::none) return answer_.fault();
  if (timed_out_) return AttemptError::timeout;
  return answer_.began() ? AttemptError::malformed : AttemptError::reset;  // half a header, then the end
}

void Transfer::read_phases(Phases& phases, PollTime now) const {
  phases.queue = milliseconds(queued_, started_);
  phases.total = milliseconds(started_, now);
  phases.connect = connection_.connect_ms();  // a connection that stood has neither phase
  phases.tls = connection_.tls_ms();
  if (answer_.began()) phases.first_byte = milliseconds(spoke_at_, first_byte_at_);
}

Outcome Transfer::conclude(PollTime now) {
  Outcome outcome;
  outcome.error = error();
  outcome.ours = connection_.was_ours() && outcome.error == AttemptError::connect;
  if (connection_.was_dialled()) outcome.dialled = connection_.pin_text();
  read_phases(outcome.phases, now);
  // What was not said whole, or not answered whole, would be the beginning of the next.
  const bool is_clean = withheld_ || (talking_ && is_sent() && answer_.keeps_connection());
  answer_.give(outcome);
  if (!is_clean) connection_.close();
  talking_ = false;
  let_go();
  return outcome;
}

Outcome Transfer::cut_off(PollTime now) {
  const bool answered = answer_.final_status() != 0;
  connection_.close();
  Outcome outcome = conclude(now);
  // With a final status in hand nothing is ambiguous any more: only the body was cut.
  outcome.error = answered ? AttemptError::body_broken : AttemptError::ambiguous;
  return outcome;
}

}  // namespace postrider
