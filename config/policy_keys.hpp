// The keys of policy.yaml but for rules: one table per map, from which the loader, the reference and the
// schema all read.
#pragma once
#include <span>
#include <vector>

#include "allowlist/rule.hpp"
#include "config/values.hpp"

namespace exeat::config {

struct exception_draft {
  allowlist::address_exception exception;
  const yaml::node* cidr = nullptr;
  bool cidr_valid = false;
  bool hosts_written = false;
};

/// An entry under `tests` while it is read.
struct test_draft {
  allowlist::policy_test test{.to = {core::ip_address(), 0}};
  const yaml::node* phase = nullptr;
  const yaml::node* url = nullptr;
  const yaml::node* expect = nullptr;
};

std::span<const key_row<allowlist::policy_source>> policy_rows() noexcept;
std::span<const key_row<allowlist::phase>> phase_rows() noexcept;
std::span<const key_row<exception_draft>> exception_rows() noexcept;
std::span<const key_row<test_draft>> test_rows() noexcept;

/// Keys that are somewhere else, or in no included file, and why.
std::span<const refused_key> keys_refused_in_policy() noexcept;
std::span<const refused_key> keys_refused_in_included() noexcept;

/// The top level of an included file, and a phase in it.
std::span<const key_row<allowlist::policy_source>> included_rows() noexcept;
std::span<const key_row<allowlist::phase>> included_phase_rows() noexcept;

std::vector<allowlist::address_exception> read_exceptions(const yaml::node& list, yaml::error_list& errors);
std::vector<allowlist::policy_test> read_tests(const yaml::node& list, yaml::error_list& errors);

}  // namespace exeat::config
