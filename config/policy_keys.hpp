// The keys of policy.yaml: one table per map, from which the loader and docs/reference/policy.md both read.
#pragma once
#include <span>
#include <vector>

#include "allowlist/rule.hpp"
#include "config/values.hpp"

namespace exeat::config {

/// An entry under `allow` or `deny` while it is read: what needs a second look waits as a node of the tree,
/// which outlives the draft.
struct rule_draft {
  allowlist::rule rule{.what = core::cidr{}};  // `what` is set once both of its keys are known
  const yaml::node* host = nullptr;
  const yaml::node* cidr = nullptr;
  const yaml::node* apex = nullptr;
  bool apex_value = false;
};

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
std::span<const key_row<rule_draft>> allow_rows() noexcept;
std::span<const key_row<rule_draft>> deny_rows() noexcept;
std::span<const key_row<exception_draft>> exception_rows() noexcept;
std::span<const key_row<test_draft>> test_rows() noexcept;

/// Keys of the finished language that this version does not read.
std::span<const refused_key> unsupported_keys() noexcept;
/// The same, and what only an `allow` may say.
std::span<const refused_key> keys_refused_in_deny() noexcept;

/// The entries of a list under `allow` or `deny`, finished; faulty ones are left out and reported.
std::vector<allowlist::rule> read_rules(const yaml::node& list, bool deny, yaml::error_list& errors);
std::vector<allowlist::address_exception> read_exceptions(const yaml::node& list, yaml::error_list& errors);
std::vector<allowlist::policy_test> read_tests(const yaml::node& list, yaml::error_list& errors);
/// Reports tests of phases that the policy does not have: once all of it is read.
void check_tests(const allowlist::policy_source& source, yaml::error_list& errors);
std::vector<allowlist::phase> read_phases(const yaml::node& map, yaml::error_list& errors);

}  // namespace exeat::config
