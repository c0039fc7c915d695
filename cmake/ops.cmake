# The operators' tool. It works through the log and the API, never through RocksDB: the embedded log's room is the only
# one of it that it opens.
file(GLOB ops_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/ops/*.cc)
list(REMOVE_ITEM ops_sources ${CMAKE_SOURCE_DIR}/ops/ops_main.cc)
add_library(postrider_ops STATIC ${CMAKE_SOURCE_DIR}/engine/daemon/key_services.cc ${ops_sources})
target_include_directories(postrider_ops PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(postrider_ops
  PUBLIC postrider_core postrider_ports postrider_operations tl::expected
  PRIVATE postrider_wire postrider_kafka postrider_embedded postrider_crypto postrider_vault postrider_pkcs11 postrider_config postrider_api
          PkgConfig::CURL OpenSSL::Crypto CLI11::CLI11 toml11::toml11 nlohmann_json::nlohmann_json)

add_executable(postrider-ops ${CMAKE_SOURCE_DIR}/ops/ops_main.cc)
target_link_libraries(postrider-ops PRIVATE postrider_ops PkgConfig::TCMALLOC)
