# What producers link, and postrider-publish.
add_library(postrider_producers STATIC
  ${CMAKE_SOURCE_DIR}/producers/first_outcomes.cc
  ${CMAKE_SOURCE_DIR}/producers/http_answer.cc
  ${CMAKE_SOURCE_DIR}/producers/http_outcome_wait.cc
  ${CMAKE_SOURCE_DIR}/producers/http_publisher.cc
  ${CMAKE_SOURCE_DIR}/producers/http_request.cc
  ${CMAKE_SOURCE_DIR}/producers/kafka_client.cc
  ${CMAKE_SOURCE_DIR}/producers/kafka_outcome_wait.cc
  ${CMAKE_SOURCE_DIR}/producers/kafka_publisher.cc
  ${CMAKE_SOURCE_DIR}/producers/outcome_wait.cc
  ${CMAKE_SOURCE_DIR}/producers/publisher.cc)
target_include_directories(postrider_producers PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(postrider_producers PUBLIC postrider_core postrider_wire tl::expected
                      PRIVATE PkgConfig::RDKAFKA PkgConfig::CURL nlohmann_json::nlohmann_json Threads::Threads)

add_executable(postrider-publish ${CMAKE_SOURCE_DIR}/producers/publish_main.cc
                                 ${CMAKE_SOURCE_DIR}/producers/publish_options.cc)
target_link_libraries(postrider-publish PRIVATE postrider_producers CLI11::CLI11 nlohmann_json::nlohmann_json)
