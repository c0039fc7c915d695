#pragma once
#include "engine/core/event.h"
#include "engine/core/result.h"

namespace postrider {

// Headers that a customer sets for an endpoint of theirs, judged when they are declared: nothing that frames
// or routes the request, that belongs to one hop (RFC 9110 §7.6.1), that the signature's or the event's own
// headers are called (webhook-…, x-webhook-…, ce-…), or that could be read as two headers. A name with '_' is
// judged as with '-': many servers do not tell them apart.
//
// At most 32, of 8 KiB in all; a name once. Errc::invalid, INVALID_HEADER; no value stands in the message: it
// may be a password. The transport judges again what goes out (header_lines.h).
Result<void> check_customer_headers(const Headers& headers);

}  // namespace postrider
