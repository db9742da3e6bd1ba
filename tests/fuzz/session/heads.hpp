// A second, independent opinion on the requests that an origin got: strict, small, and nothing of wire/.
#pragma once
#include <string_view>

#include "tests/fuzz/session/stage.hpp"

namespace exeat::fuzz {

/// What is wrong with these octets as requests, one behind the other, to this origin; empty where nothing is.
/// The last one may be cut off. What follows an upgrade is not looked at.
std::string_view fault_in_requests(std::string_view octets, origin at);

}  // namespace exeat::fuzz
