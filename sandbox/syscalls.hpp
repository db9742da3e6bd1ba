// The lists behind the filter, by libseccomp's numbers: negative ones are system calls that this architecture
// does not have.
#pragma once
#include <span>

namespace exeat::sandbox {

/// Allowed whatever their arguments.
std::span<const int> served_calls() noexcept;
/// What the process finder's helper makes.
std::span<const int> finder_calls() noexcept;
/// Whoever makes one of these in our place is not us.
std::span<const int> hostile_calls() noexcept;

}  // namespace exeat::sandbox
