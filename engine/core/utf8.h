#pragma once
#include <cstddef>
#include <string_view>

// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. Pure.
namespace postrider {

bool is_utf8(std::string_view text);
// Length of the valid sequence at `at`; 0: invalid.
std::size_t utf8_length(std::string_view text, std::size_t at);
// Where the first invalid byte stands; npos: it is UTF-8.
std::size_t utf8_flaw(std::string_view text);

}  // namespace postrider
