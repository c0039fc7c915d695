#include "engine/core/outcome.h"

#include <gtest/gtest.h>

#include <set>

namespace postrider {
namespace {

TEST(AttemptError, CodesAreSpelledForEver) {
  using enum AttemptError;
  const std::vector<std::pair<AttemptError, std::string_view>> codes{{none, "none"},
                                                                     {dns, "dns"},
                                                                     {denied, "denied"},
                                                                     {connect, "connect"},
                                                                     {tls, "tls"},
                                                                     {timeout, "timeout"},
                                                                     {reset, "reset"},
                                                                     {malformed, "malformed"},
                                                                     {body_broken, "body_broken"},
                                                                     {headers_too_large, "headers_too_large"},
                                                                     {ambiguous, "ambiguous"},
                                                                     {body_too_large, "body_too_large"}};
  for (const auto& [error, code] : codes) EXPECT_EQ(code_of(error), code);
}

}  // namespace
}  // namespace postrider
