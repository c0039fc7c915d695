# room(name SEES rooms… USES libraries…): a static library of engine/<name>/*.cc. Links are public to the linker
# only: a room's includes are kept inward by tests/house, which reads every #include.
function(room name)
  cmake_parse_arguments(ROOM "" "" "SEES;USES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/engine/${name}/*.cc)
  list(TRANSFORM ROOM_SEES PREPEND postrider_)
  if(sources)
    add_library(postrider_${name} STATIC ${sources})
    target_include_directories(postrider_${name} PUBLIC ${CMAKE_SOURCE_DIR})
    target_link_libraries(postrider_${name} PUBLIC ${ROOM_SEES} PRIVATE ${ROOM_USES})
    # Header-only values of core (Result, spans) are seen by everyone.
    target_link_libraries(postrider_${name} PUBLIC tl::expected)
  else()
    add_library(postrider_${name} INTERFACE)
    target_include_directories(postrider_${name} INTERFACE ${CMAKE_SOURCE_DIR})
    target_link_libraries(postrider_${name} INTERFACE ${ROOM_SEES} tl::expected)
  endif()
endfunction()

# room_test(name SEES rooms… USES libraries…): tests/<name>/*.cc as one GoogleTest program.
function(room_test name)
  cmake_parse_arguments(TEST "" "" "SEES;USES" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*.cc)
  if(NOT sources)
    return()
  endif()
  list(TRANSFORM TEST_SEES PREPEND postrider_)
  add_executable(test_${name} ${sources})
  # What cmake/unity.cmake keeps apart is known a directory at a time.
  set_source_files_properties(${apart} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_definitions(test_${name} PRIVATE POSTRIDER_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
  target_link_libraries(test_${name} PRIVATE ${TEST_SEES} ${TEST_USES} GTest::gtest GTest::gtest_main)
  # g++ 12 at -O2 takes moved-from tl::expected values for uninitialised ones.
  target_compile_options(test_${name} PRIVATE -Wno-maybe-uninitialized)
  add_test(NAME ${name} COMMAND test_${name})
endfunction()
