#pragma once
#include "engine/core/result.h"

// The error, or "ACCEPTED" where there is none: asking a success for its error is undefined.
template <class T>
postrider::Error error_of(const postrider::Result<T>& result) {
  return result ? postrider::Error{postrider::Errc::invalid, "ACCEPTED", "it was accepted", ""}
                : result.error();
}
