// Stored records: every kind, from any bytes. What decodes is written again as the same bytes, however often.
#include <variant>

#include "engine/wire/codec.h"
#include "tests/fuzz/targets.h"

namespace postrider::fuzz {
namespace {

const Environment kHere("production");

// Once through: bytes of a stranger may be spelt otherwise (order, repeated fields) than ours.
template <class Fact, class Decode>
void judge_fact(const Fact& fact, const Decode& decode, std::string_view bytes) {
  const auto written = wire::encode(kHere, fact);
  const auto again = decode(written);
  if (!again) broken("a record that we wrote is not read", bytes);
  if constexpr (std::is_same_v<std::decay_t<decltype(*again)>, Fact>) {
    if (wire::encode(kHere, *again) != written) broken("a record changes when it is written again", bytes);
  } else {
    const auto* same = std::get_if<Fact>(&*again);
    if (same == nullptr) broken("a record becomes another kind when it is written again", bytes);
    if (wire::encode(kHere, *same) != written) broken("a record changes when it is written again", bytes);
  }
}

template <class Decode>
void judge(const Decode& decode, std::string_view bytes) {
  const auto decoded = decode(bytes);
  if (!decoded) {
    const auto& error = decoded.error();
    const bool known = error.errc == Errc::corrupt || error.errc == Errc::denied;
    if (!known || error.message.empty())
      broken("a record is refused as neither corrupt nor another's", bytes);
    return;
  }
  if constexpr (requires { std::variant_size<std::decay_t<decltype(*decoded)>>::value; }) {
    std::visit(
        [&](const auto& fact) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(fact)>, std::monostate>)
            judge_fact(fact, decode, bytes);
        },
        *decoded);
  } else {
    judge_fact(*decoded, decode, bytes);
  }
}

void judge_restamped(std::string_view bytes) {
  const Stamp stamp{77, 88};
  const auto again = wire::restamp(bytes, stamp);
  const auto before = wire::decode_attempts(kHere, bytes);
  if (again.empty() || !before) return;
  const auto after = wire::decode_attempts(kHere, again);
  if (!after || after->index() != before->index())
    broken("a record under another stamp is another record", bytes);
  std::visit(
      [&](const auto& fact) {
        if constexpr (requires { fact.stamp; })
          if (!(fact.stamp == stamp)) broken("a record keeps its former stamp", bytes);
      },
      *after);
}

}  // namespace

void facts(std::string_view bytes) {
  static const bool quiet = (wire::silence_protobuf(), true);
  (void)quiet;
  judge([](std::string_view b) { return wire::decode_registry(kHere, b); }, bytes);
  judge([](std::string_view b) { return wire::decode_health(kHere, b); }, bytes);
  judge([](std::string_view b) { return wire::decode_key(kHere, b); }, bytes);
  judge([](std::string_view b) { return wire::decode_parked(kHere, b); }, bytes);
  judge([](std::string_view b) { return wire::decode_attempts(kHere, b); }, bytes);
  judge([](std::string_view b) { return wire::decode_dead_letter(kHere, b); }, bytes);
  judge([](std::string_view b) { return wire::decode_audit(kHere, b); }, bytes);
  judge([](std::string_view b) { return wire::decode_request(kHere, b); }, bytes);
  judge_restamped(bytes);
  if (const auto answer = wire::decode_answer(bytes)) {
    const auto again = wire::decode_answer(wire::encode_answer(*answer));
    if (!again || !(*again == *answer)) broken("a kept answer changes when it is written again", bytes);
  }
  if (const auto sealed = wire::decode_sealed(bytes)) {
    const auto written = wire::encode_sealed(*sealed);
    const auto again = wire::decode_sealed(written);
    if (!again || wire::encode_sealed(*again) != written)
      broken("what is sealed changes when it is written again", bytes);
  }
}

}  // namespace postrider::fuzz
