# The rendering of refusals: pure text, no Asio.
add_library(exeat_refusal STATIC ${CMAKE_SOURCE_DIR}/proxy/refusal.cpp ${CMAKE_SOURCE_DIR}/proxy/accept.cpp)
target_link_libraries(exeat_refusal PUBLIC exeat_options exeat_core PRIVATE fmt::fmt)
exeat_unit_test(refusal SOURCES ${CMAKE_SOURCE_DIR}/proxy/refusal_test.cpp LINKS exeat_refusal fmt::fmt)
