# The operators' tool. It works through the log and the API, never through RocksDB: the embedded log's room is the only
# one of it that it opens.
add_library(postrider_ops STATIC
  ${CMAKE_SOURCE_DIR}/engine/daemon/key_services.cc
  ${CMAKE_SOURCE_DIR}/ops/api_client.cc
  ${CMAKE_SOURCE_DIR}/ops/command_line.cc
  ${CMAKE_SOURCE_DIR}/ops/dead_letter_filter.cc
  ${CMAKE_SOURCE_DIR}/ops/endpoints_file.cc
  ${CMAKE_SOURCE_DIR}/ops/log_access.cc
  ${CMAKE_SOURCE_DIR}/ops/output.cc
  ${CMAKE_SOURCE_DIR}/ops/progress.cc
  ${CMAKE_SOURCE_DIR}/ops/references.cc
  ${CMAKE_SOURCE_DIR}/ops/session.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_apply.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_audit.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_dead_letters.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_deliveries.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_endpoints.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_key_jobs.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_keys.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_offsets.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_partitions.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_reconcile.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_tokens.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_replay.cc
  ${CMAKE_SOURCE_DIR}/ops/verb_topics.cc)
target_include_directories(postrider_ops PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(postrider_ops
  PUBLIC postrider_core postrider_ports postrider_operations tl::expected
  PRIVATE postrider_wire postrider_kafka postrider_embedded postrider_crypto postrider_vault postrider_pkcs11 postrider_config postrider_api
          PkgConfig::CURL OpenSSL::Crypto CLI11::CLI11 toml11::toml11 nlohmann_json::nlohmann_json)

add_executable(postrider-ops ${CMAKE_SOURCE_DIR}/ops/ops_main.cc)
target_link_libraries(postrider-ops PRIVATE postrider_ops PkgConfig::TCMALLOC)
