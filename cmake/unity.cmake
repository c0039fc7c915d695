# -DCMAKE_UNITY_BUILD=ON: a room is compiled as one file, so that its headers are read once. A build of everything from
# nothing takes a fifth of the time; ops/quickstart and the sanitizer builds use it. Files whose local names meet those
# of a neighbour are compiled alone: a name that is new here is added here.
#
# No warnings: what one file's `using` does to the next is nothing to mend. The ordinary builds have them all.
set(CMAKE_UNITY_BUILD_BATCH_SIZE 0)
add_compile_options(-w)
set(apart
  consumers/receiver.cc
  engine/api/http_server.cc
  engine/api/json_text.cc
  engine/api/route_dead_letters.cc
  engine/api/route_replays.cc
  engine/api/views.cc
  engine/config/keys.cc
  engine/config/rules.cc
  engine/core/customer_headers.cc
  engine/core/replay_ledger.cc
  engine/core/target_check.cc
  engine/core/url.cc
  engine/crypto/file_record_cipher.cc
  engine/crypto/signer.cc
  engine/curl/curl_transport.cc
  engine/daemon/error_text.cc
  engine/embedded/storage.cc
  engine/wire/cloud_event_kafka.cc
  engine/wire/codec_attempts_kin.cc
  engine/wire/event_attributes.cc
  engine/wire/json_text.cc
  ops/verb_replay.cc
  producers/kafka_publisher.cc
  tests/core/customer_headers_test.cc
  tests/core/health_test.cc
  tests/core/replay_ledger_test.cc
  tests/core/request_ledger_test.cc
  tests/core/request_limiter_test.cc
  tests/core/retry_policy_test.cc
  tests/core/signature_test.cc
  tests/core/target_check_test.cc
  tests/ops/verbs_on_log_test.cc)
list(TRANSFORM apart PREPEND ${CMAKE_SOURCE_DIR}/)
set_source_files_properties(${apart} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
# Generated files have local names that are all alike.
cmake_language(DEFER CALL set_target_properties postrider_schemas PROPERTIES UNITY_BUILD OFF)
