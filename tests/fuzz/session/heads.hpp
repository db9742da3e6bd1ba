// A second, independent opinion on the requests that an origin got: strict, small, and nothing of wire/.
#pragma once
#include <string_view>

#include "tests/fuzz/session/stage.hpp"

namespace exeat::fuzz {

/// What is wrong with these octets as requests, one behind the other, to this origin; empty where nothing is.
/// The last one may be cut off. What follows an upgrade is not looked at.
std::string_view fault_in_requests(std::string_view octets, origin at);

/// The same of requests that an upstream proxy is to forward: in absolute form, with this authority, and one
/// line of its credential (with CRLF; empty: none).
std::string_view fault_in_forwarded(std::string_view octets, origin at, std::string_view authority,
                                    std::string_view authorization);

/// The value of Host in the first head; empty where there is none.
std::string_view host_of(std::string_view octets) noexcept;

}  // namespace exeat::fuzz
