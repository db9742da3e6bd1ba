# exeat_floor(NAME SOURCES ... [LINKS ...] [PUBLIC_LINKS ...])
#   The static library exeat_NAME. LINKS stay private, PUBLIC_LINKS are what its headers need.
function(exeat_floor name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS;PUBLIC_LINKS" ${ARGN})
  add_library(exeat_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(exeat_${name} PUBLIC exeat_options ${ARG_PUBLIC_LINKS} PRIVATE ${ARG_LINKS})
endfunction()

# exeat_unit_test(NAME SOURCES ... [LINKS ...])
#   One doctest binary NAME_test, registered with ctest as unit.NAME.
function(exeat_unit_test name)
  if(NOT EXEAT_TESTS)
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  if(NOT TARGET exeat_unit_main)
    add_library(exeat_unit_main OBJECT ${CMAKE_SOURCE_DIR}/tests/unit_main.cpp)
    target_link_libraries(exeat_unit_main PUBLIC exeat_options doctest::doctest)
  endif()
  add_executable(${name}_test ${ARG_SOURCES})
  target_link_libraries(${name}_test PRIVATE exeat_options exeat_unit_main ${ARG_LINKS} doctest::doctest)
  add_test(NAME unit.${name} COMMAND ${name}_test)
  set_tests_properties(unit.${name} PROPERTIES LABELS unit TIMEOUT 120)
endfunction()

# exeat_asio(TARGET)
#   Gives TARGET the precompiled proxy/asio.hpp (built once, in exeat_asio_library) and, but for release builds, an
#   Asio whose non-template code is compiled once: together a coroutine of ten lines takes 1.5 s instead of 4.3 s
#   under the sanitizers. TARGET must see the same flags as exeat_options gives; for the floors from proxy up and
#   for tests that include Asio.
function(exeat_asio target)
  if(NOT EXEAT_TESTS AND target MATCHES "_test$")
    return()
  endif()
  if(NOT TARGET exeat_asio_library)
    add_library(exeat_asio_library STATIC ${CMAKE_SOURCE_DIR}/cmake/asio_library.cpp)
    target_link_libraries(exeat_asio_library PUBLIC exeat_options)
    target_compile_definitions(exeat_asio_library
      PUBLIC $<$<NOT:$<CONFIG:Release>>:BOOST_ASIO_SEPARATE_COMPILATION>)
    target_precompile_headers(exeat_asio_library PRIVATE ${CMAKE_SOURCE_DIR}/proxy/asio.hpp)
    # Without the time of day in it, ccache can recognise the same header again.
    target_compile_options(exeat_asio_library PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
  endif()
  target_link_libraries(${target} PUBLIC exeat_asio_library)
  target_precompile_headers(${target} REUSE_FROM exeat_asio_library)
  target_compile_options(${target} PRIVATE "SHELL:-Xclang -fno-pch-timestamp")
endfunction()
