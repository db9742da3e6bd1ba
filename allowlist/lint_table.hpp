// The kinds of findings by name. For lint's own sources only.
#pragma once
#include "allowlist/lint.hpp"

namespace exeat::allowlist {

/// In the order of lint_checks().
enum class check_id : std::uint8_t {
  any_port,
  audit_mode,
  duplicate,
  expired,
  expires_soon,
  file_unusable,
  idle_deny,
  multi_tenant,
  needless_acceptance,
  never_matches,
  no_max_names,
  no_name_entropy,
  no_owner,
  no_reason,
  no_tests,
  pin_delegated,
  plain_http,
  policy_within_reach,
  public_suffix,
  redundant,
  resolve_remote,
  shared_suffix,
  tls_any,
  upload_sink,
  wide_exception,
  wide_prefix,
  wide_wildcard,
  wider_than_trusted,
};

const lint_check& row_of(check_id id) noexcept;

}  // namespace exeat::allowlist
