# What customers need, and a receiver to try it with. Sees nothing of the engine: tests/house keeps it so.
add_library(postrider_consumers STATIC ${CMAKE_SOURCE_DIR}/consumers/answer_plan.cc
                                       ${CMAKE_SOURCE_DIR}/consumers/receiver.cc)
target_include_directories(postrider_consumers PUBLIC ${CMAKE_SOURCE_DIR})
target_link_libraries(postrider_consumers PRIVATE PkgConfig::EVENT OpenSSL::SSL OpenSSL::Crypto)

add_executable(postrider-receive ${CMAKE_SOURCE_DIR}/consumers/receive_main.cc)
target_link_libraries(postrider-receive PRIVATE postrider_consumers OpenSSL::Crypto CLI11::CLI11
                                                nlohmann_json::nlohmann_json)
