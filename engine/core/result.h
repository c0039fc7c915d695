#pragma once
#include <string>
#include <tl/expected.hpp>
#include <utility>

// Our own failures, named by what the caller does next. A customer's 500 is no failure of ours: that is an
// Outcome (outcome.h).
namespace postrider {

enum class Errc {
  invalid,      // the request is wrong: change it
  not_found,    // there is no such thing
  conflict,     // somebody changed it first: read again
  unavailable,  // not now: try again later
  overloaded,   // a limit is reached: slow down
  corrupt,      // stored bytes are not what was written: stop and look
  denied,       // not allowed
};

// What O7 asks of every error we show: a code in SCREAMING_SNAKE, a sentence of what is wrong, a sentence of
// what to do. Holds nothing secret: whoever makes one takes care.
struct Error {
  Errc errc = Errc::invalid;
  std::string code;        // e.g. "INVALID_REQUEST"
  std::string message;     // what is wrong
  std::string suggestion;  // what to do next

  bool retryable() const { return errc == Errc::unavailable || errc == Errc::overloaded; }
};

template <class T>
using Result = tl::expected<T, Error>;

// return fail(Errc::invalid, "INVALID_REQUEST", "the id is empty", "give --id");
inline tl::unexpected<Error> fail(Errc errc, std::string code, std::string message, std::string suggestion) {
  return tl::unexpected<Error>(Error{errc, std::move(code), std::move(message), std::move(suggestion)});
}
inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace postrider
