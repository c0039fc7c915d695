// The entry of one fuzzer: built by tests/fuzz/run with -DPOSTRIDER_TARGET=url, …
#include "tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  postrider::fuzz::POSTRIDER_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
