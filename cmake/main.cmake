# postriderd: the composition root and its few helpers see every room.
file(GLOB daemon_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/engine/daemon/*.cc)
add_executable(postriderd engine/main.cc ${daemon_sources})
target_include_directories(postriderd PRIVATE ${CMAKE_SOURCE_DIR})
target_link_libraries(postriderd PRIVATE postrider_flow postrider_wire postrider_kafka postrider_embedded
  postrider_curl postrider_rocks postrider_crypto postrider_vault postrider_pkcs11 postrider_oidc postrider_api postrider_jsonschema postrider_operations postrider_telemetry
  postrider_config CLI11::CLI11 absl::flat_hash_map absl::flat_hash_set Threads::Threads PkgConfig::TCMALLOC)
