// Names that are easily taken for one another. For this floor's own sources only.
#pragma once
#include <string>

#include "core/host_name.hpp"

namespace exeat::allowlist {

enum class likeness : std::uint8_t {
  none,
  one_away,     ///< one character added, left out, changed, or two neighbours swapped
  reads_alike,  ///< the same once 0 and o, 1 and l and i, rn and m, vv and w, and look-alike letters of other
                ///< scripts are taken for each other
};

/// A name prepared for comparison: its U-labels as code points, and the skeleton of those.
struct name_shape {
  std::u32string letters;
  std::u32string skeleton;
};
name_shape shape_of(const core::host_name& name);
name_shape shape_of(std::string_view ascii_name);

/// Of different names; equal ones are none. Names of less than six characters are never `one_away`: nearly
/// all short names are.
likeness likeness_of(const name_shape& a, const name_shape& b);

}  // namespace exeat::allowlist
