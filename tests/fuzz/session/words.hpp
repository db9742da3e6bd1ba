// What clients and origins of the session target say by a single octet of the input.
#pragma once
#include <string>
#include <vector>

namespace exeat::fuzz {

/// Whole heads, parts of bodies, hellos; in an order that seeds rely on: append, never insert.
const std::vector<std::string>& words_of_clients();
const std::vector<std::string>& words_of_origins();

}  // namespace exeat::fuzz
