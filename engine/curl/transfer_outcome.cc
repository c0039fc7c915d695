// The second half of a Transfer: what libcurl's codes and figures mean to us.
#include <algorithm>
#include <cstdint>

#include "engine/curl/transfer.h"

namespace postrider {

namespace {

std::int32_t phase_between(CURL* easy, CURLINFO begin, CURLINFO end) {
  curl_off_t begun = 0, ended = 0;
  if (begin != CURLINFO_NONE) curl_easy_getinfo(easy, begin, &begun);
  curl_easy_getinfo(easy, end, &ended);
  if (ended <= 0) return -1;  // not reached
  return static_cast<std::int32_t>(std::clamp<curl_off_t>((ended - begun) / 1000, 0, INT32_MAX));
}

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

}  // namespace

AttemptError Transfer::error_of(CURLcode code) const {
  if (answer_.final_status() != 0) {
    if (answer_.fault() == AttemptError::body_too_large) return AttemptError::body_too_large;
    return code == CURLE_OK ? AttemptError::none : AttemptError::body_broken;
  }
  if (withheld_) return AttemptError::ambiguous;
  // Denied for good only if the guard refused every address: beside a dead one it is worth a retry.
  if (denied_) return denials_ == addresses_tried_ ? AttemptError::denied : AttemptError::connect;
  if (answer_.fault() != AttemptError::none) return answer_.fault();
  if (is_tls(code)) return AttemptError::tls;
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return AttemptError::timeout;
    case CURLE_COULDNT_RESOLVE_HOST:  // the pin was no address: cannot be
      return AttemptError::dns;
    case CURLE_OUT_OF_MEMORY:
      // libcurl's word for a header line above its own 100 KiB, which no callback has seen.
      return cleared_to_send_ ? AttemptError::headers_too_large : AttemptError::connect;
    case CURLE_UNSUPPORTED_PROTOCOL:  // no status line (HTTP/0.9), or HTTP/2 unasked
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_FUNCTION_ARGUMENT:  // a header line without a colon
    case CURLE_BAD_CONTENT_ENCODING:
    case CURLE_FILESIZE_EXCEEDED:  // a Content-Length above 2^63
      return AttemptError::malformed;
    default:
      break;
  }
  if (answer_.began()) return AttemptError::malformed;  // half a header, then the end
  return cleared_to_send_ ? AttemptError::reset : AttemptError::connect;
}

void Transfer::read_phases(Phases& phases, PollTime now) const {
  using std::chrono::duration_cast;
  CURL* easy = easy_.get();
  phases.queue = static_cast<std::int32_t>(
      std::min<std::int64_t>(duration_cast<Millis>(started_ - queued_).count(), INT32_MAX));
  phases.total = static_cast<std::int32_t>(
      std::min<std::int64_t>(duration_cast<Millis>(now - started_).count(), INT32_MAX));
  long connections = 0;
  curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connections);
  if (connections > 0) {  // a reused connection has neither phase
    phases.connect = phase_between(easy, CURLINFO_NONE, CURLINFO_CONNECT_TIME_T);
    phases.tls = phase_between(easy, CURLINFO_CONNECT_TIME_T, CURLINFO_APPCONNECT_TIME_T);
  }
  if (answer_.began()) {
    phases.first_byte = phase_between(easy, CURLINFO_PRETRANSFER_TIME_T, CURLINFO_STARTTRANSFER_TIME_T);
  }
}

Outcome Transfer::conclude(CURLcode code, PollTime now) {
  Outcome outcome;
  outcome.error = error_of(code);
  outcome.ours = ours_ && outcome.error == AttemptError::connect;
  if (dialled_) outcome.dialled = pin_ip_;
  read_phases(outcome.phases, now);
  answer_.give(outcome);
  return outcome;
}

Outcome Transfer::cut_off(PollTime now) {
  Outcome outcome = conclude(CURLE_OK, now);
  // With a final status in hand nothing is ambiguous any more: only the body was cut.
  outcome.error = outcome.status != 0 ? AttemptError::body_broken : AttemptError::ambiguous;
  return outcome;
}

}  // namespace postrider
