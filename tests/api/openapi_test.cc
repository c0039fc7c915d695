#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "engine/api/api.h"

namespace postrider {
namespace {

// The document's routes, read by its layout: a path stands at two blanks, a method at four.
std::set<std::string> documented_routes() {
  std::ifstream stream(std::string(POSTRIDER_SOURCE_DIR) + "/schemas/openapi.yaml");
  std::set<std::string> routes;
  std::string path;
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("  /")) path = line.substr(2, line.find(':') - 2);
    for (const auto& [name, method] :
         {std::pair{"get", "GET"}, {"put", "PUT"}, {"post", "POST"}, {"delete", "DELETE"}})
      if (line == std::string("    ") + name + ":") routes.insert(std::string(method) + " " + path);
  }
  return routes;
}

TEST(OpenApi, HoldsTheRoutersRoutesAndNoOthers) {
  const auto routes = api_routes();
  EXPECT_EQ(documented_routes(), std::set<std::string>(routes.begin(), routes.end()));
}

}  // namespace
}  // namespace postrider
