// Destinations that no rule of two policies tells apart. For this floor's own sources only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/diff.hpp"
#include "allowlist/pattern.hpp"
#include "allowlist/policy.hpp"
#include "core/destination.hpp"

namespace exeat::allowlist {

inline constexpr std::uint32_t no_class = 0xffffffffU;

/// What one pattern covers and no more specific one does: whoever asks for one of these destinations meets
/// the same rules as for any other of them.
struct destination_class {
  /// Of a class of names; lives as long as the policies.
  std::string_view name = {};
  depth reach = depth::exact;
  /// Of a class of addresses.
  core::cidr prefix = {};
  /// The next wider class; stands before this one. no_class: none.
  std::uint32_t parent = no_class;
  /// The more specific patterns leave nothing of it.
  bool is_empty = true;
  /// What to put in front of the name, and an address, to have one of the class.
  std::string front = {};
  core::ip_address address = {};

  bool is_of_names() const noexcept { return !name.empty(); }
  subject what() const;
  /// Any one of the class, which must not be empty.
  core::host witness() const;
};

/// The classes of all names that the `host` rules of the lists cover together. Adds to `work` what it takes
/// to find a witness in front of names of the greatest length; past `most_work` such classes count as empty,
/// and the caller must give up.
std::vector<destination_class> classes_of_names(std::span<const std::vector<rule>* const> lists,
                                                std::size_t most_work, std::size_t& work);

/// The classes of all addresses within the prefixes.
std::vector<destination_class> classes_of_addresses(std::vector<core::cidr> prefixes);

}  // namespace exeat::allowlist
