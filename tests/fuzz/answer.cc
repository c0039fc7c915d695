// What a receiver answers, read whole, read in pieces, and read with something behind it.
#include "engine/curl/answer.h"

#include <string>

#include "tests/fuzz/parts.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

constexpr AnswerLimits kLimits{.header_bytes_max = 400, .body_bytes_max = 300, .wire_bytes_max = 1500};

struct Read {
  Outcome outcome;
  bool complete = false, keeps = false, began = false;
  bool operator==(const Read&) const = default;
};

Read read(std::string_view bytes, std::size_t piece) {
  Answer answer(kLimits);
  answer.begin();
  bool more = true;
  for (std::size_t at = 0; at < bytes.size() && more; at += piece)
    more = answer.take(bytes.substr(at, piece));
  if (more) answer.end_of_stream();
  Read result{{}, answer.is_complete(), answer.keeps_connection(), answer.began()};
  result.outcome.error = answer.fault();
  answer.give(result.outcome);
  return result;
}

}  // namespace

void answer(std::string_view bytes) {
  std::string_view rest = bytes;
  const std::size_t piece = 1 + take_choice(rest, 64);
  const Read cut = read(rest, piece);
  if (cut.outcome.status != 0 && cut.outcome.status < 200) broken("a status that is not final", bytes);
  if (cut.complete && cut.outcome.status == 0) broken("an answer without a status", bytes);
  if (cut.keeps && !cut.complete) broken("a connection is kept in the midst of an answer", bytes);
  if (cut.outcome.snippet.size() > kSnippetBytesMax || cut.outcome.headers.size() > 24)
    broken("more is kept than is needed", bytes);
  // Where a limit is met depends on what came with it; all else does not. What stands behind an answer is
  // seen only when it comes with it: the connection itself is looked at then.
  Read whole = read(rest, rest.size() + 1);
  if (cut.complete && !cut.keeps) whole.keeps = false;
  if (whole.complete && !whole.keeps) whole.keeps = cut.keeps;
  if (rest.size() < 250 && !(whole == cut)) broken("bytes mean something else when they are cut", bytes);
}

}  // namespace postrider::fuzz
