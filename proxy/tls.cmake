# What stands between an accepted descriptor and its session: the PROXY header and the client's TLS.
add_library(exeat_front STATIC
  ${CMAKE_SOURCE_DIR}/proxy/proxy_header.cpp ${CMAKE_SOURCE_DIR}/proxy/tls_bio.cpp
  ${CMAKE_SOURCE_DIR}/proxy/tls_context.cpp ${CMAKE_SOURCE_DIR}/proxy/tls_front.cpp
  ${CMAKE_SOURCE_DIR}/proxy/tls_names.cpp ${CMAKE_SOURCE_DIR}/proxy/tls_pump.cpp
  ${CMAKE_SOURCE_DIR}/proxy/tls_source.cpp)
target_link_libraries(exeat_front
  PUBLIC exeat_options exeat_net exeat_config exeat_wire exeat_core
  PRIVATE OpenSSL::SSL OpenSSL::Crypto fmt::fmt)
exeat_asio(exeat_front)

exeat_unit_test(front
  SOURCES ${CMAKE_SOURCE_DIR}/proxy/proxy_header_test.cpp ${CMAKE_SOURCE_DIR}/proxy/tls_context_test.cpp
    ${CMAKE_SOURCE_DIR}/proxy/tls_front_test.cpp ${CMAKE_SOURCE_DIR}/proxy/tls_pump_test.cpp
  LINKS exeat_front OpenSSL::SSL OpenSSL::Crypto)
exeat_asio(front_test)
