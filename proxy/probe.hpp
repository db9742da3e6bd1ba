// A real request through one of our own listeners, for readiness.
#pragma once
#include <chrono>
#include <string>

#include "config/settings.hpp"

namespace exeat::proxy {

/// Connects, asks for `path` and wants a 204, all before `until`; an empty `path`: only connects. Blocks; not
/// for a worker's thread. A wildcard listener is reached by loopback.
bool probe_listener(const config::endpoint& endpoint, const std::string& path,
                    std::chrono::steady_clock::time_point until) noexcept;

}  // namespace exeat::proxy
