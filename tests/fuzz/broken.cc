#include <cstdio>
#include <cstdlib>

#include "tests/fuzz/targets.h"

namespace postrider::fuzz {

void broken(std::string_view what, std::string_view bytes) {
  std::fprintf(stderr, "broken: %.*s\ninput, %zu bytes: ", static_cast<int>(what.size()), what.data(),
               bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    std::fprintf(stderr, byte > 0x20 && byte < 0x7f && c != '\\' ? "%c" : "\\x%02x", byte);
  }
  std::fputc('\n', stderr);
  std::abort();
}

}  // namespace postrider::fuzz
