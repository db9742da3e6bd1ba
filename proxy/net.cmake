# Names, dials and deadlines: what a session needs to get from an allowed name to a connected socket.
add_library(exeat_net STATIC
  dialer.cpp dialer_order.cpp
  dns_cache.cpp dns_channel.cpp dns_hosts.cpp dns_query.cpp dns_server.cpp dns_system.cpp
  local_addresses.cpp resolver.cpp timer_wheel.cpp)
target_link_libraries(exeat_net
  PUBLIC exeat_options exeat_core Boost::headers Threads::Threads
  PRIVATE PkgConfig::cares fmt::fmt)
exeat_asio(exeat_net)

exeat_unit_test(net
  SOURCES dialer_test.cpp dialer_order_test.cpp dns_cache_test.cpp dns_hosts_test.cpp dns_query_test.cpp
    dns_server_test.cpp dns_system_test.cpp dns_test_server.cpp local_addresses_test.cpp resolver_test.cpp timer_wheel_test.cpp
  LINKS exeat_net PkgConfig::cares)
exeat_asio(net_test)
