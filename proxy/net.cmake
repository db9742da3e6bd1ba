# Names, dials and deadlines: what a session needs to get from an allowed name to a connected socket.
add_library(exeat_net STATIC
  dialer.cpp dialer_order.cpp
  dns_cache.cpp dns_channel.cpp dns_hosts.cpp dns_query.cpp dns_system.cpp
  local_addresses.cpp resolver.cpp timer_wheel.cpp)
target_link_libraries(exeat_net
  PUBLIC exeat_options exeat_core Boost::headers Threads::Threads
  PRIVATE PkgConfig::cares fmt::fmt)
exeat_asio(exeat_net)
