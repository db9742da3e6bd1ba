// Host patterns: what one `host:` of a policy covers, never wider than it looks.
#pragma once
#include <compare>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "core/host_name.hpp"

namespace exeat::allowlist {

/// How many labels a pattern takes in front of its name.
enum class depth : std::uint8_t {
  exact,       ///< `x.com`: that name and nothing else
  one_label,   ///< `*.x.com`: exactly one label in front
  any_labels,  ///< `**.x.com`: one or more labels in front
};

enum class pattern_error : std::uint8_t {
  bad_name,               ///< what stands behind the wildcard is no host name
  bad_idn,                ///< a U-label that IDNA 2008 (UTS 46, non-transitional) does not convert
  wildcard_alone,         ///< `*` or `**`
  wildcard_not_leftmost,  ///< `a.*.com`
  wildcard_in_label,      ///< `foo*.com`, `*foo.com`
  wildcard_on_suffix,     ///< `*.com`, `**.co.uk`, `*.github.io`: a public suffix (libpsl)
  ip_literal,             ///< an address needs a `cidr` rule
};

/// A sentence for people.
std::string_view describe(pattern_error error) noexcept;

struct host_pattern {
  /// The name without the wildcard, canonical.
  core::host_name name;
  allowlist::depth depth = depth::exact;
  /// Beside a wildcard: the bare name too.
  bool apex = false;

  /// Reads the text of a `host:` of a policy; U-labels are converted. `apex` is set by the caller.
  /// Wildcards on a public suffix are an error unless `allow_suffix` (a deny may be that wide).
  static std::expected<host_pattern, pattern_error> parse(std::string_view text, bool allow_suffix = false);

  bool matches(const core::host_name& name) const noexcept;
  /// `x.com`, `*.x.com` or `**.x.com`; the apex is not shown.
  std::string to_string() const;
  friend bool operator==(const host_pattern&, const host_pattern&) = default;
};

}  // namespace exeat::allowlist
