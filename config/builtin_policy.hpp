// The policy that holds where no file is given.
#pragma once
#include <string_view>

namespace exeat::config {

/// policy.yaml as text: no `addresses` exception, no phase in `audit`. Shown by `exeat docs builtin-policy`.
std::string_view builtin_policy_text() noexcept;

}  // namespace exeat::config
