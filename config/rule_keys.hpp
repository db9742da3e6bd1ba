// The keys of rules: one table per map, from which the loader, the reference and the schema all read.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "allowlist/rule.hpp"
#include "config/values.hpp"

namespace exeat::config {

/// An entry under `allow` or `deny` while it is read: what needs a second look waits as a node of the tree,
/// which outlives the draft.
struct rule_draft {
  allowlist::rule rule{.what = core::cidr{}};  // `what` is set once both of its keys are known
  allowlist::rule_terms terms;
  const yaml::node* host = nullptr;
  const yaml::node* cidr = nullptr;
  const yaml::node* apex = nullptr;
  const yaml::node* tls = nullptr;
  const yaml::node* ech = nullptr;
  const yaml::node* max_names = nullptr;
  const yaml::node* max_name_entropy = nullptr;
  const yaml::node* resolve_in = nullptr;
  const yaml::node* http_only = nullptr;  ///< the last of `methods` and `paths`
  const yaml::node* final = nullptr;
  bool apex_value = false;
};

/// An entry `use: BUNDLE` under `allow`.
struct use_draft {
  std::string bundle;
  const yaml::node* name = nullptr;
  allowlist::rule notes{.what = core::cidr{}};  ///< reason, owner, ticket, expires, accept_risk
  allowlist::transfer_limits limits;
};

std::span<const key_row<rule_draft>> allow_rows() noexcept;
std::span<const key_row<use_draft>> use_rows() noexcept;
std::span<const key_row<rule_draft>> deny_rows() noexcept;

/// Keys of the finished language that this version does not read.
std::span<const refused_key> unsupported_keys() noexcept;

/// Where a list of rules stands.
enum class rule_list : std::uint8_t { allow, deny, included_allow, included_deny };

/// The entries of a list under `allow` or `deny`, finished, bundles expanded; faulty ones are left out and
/// reported.
std::vector<allowlist::rule> read_rules(const yaml::node& list, rule_list kind, yaml::error_list& errors);

/// Reads `upload_limit` or `download_limit`.
void read_limit(std::optional<std::uint64_t>& into, const yaml::node& value, yaml::error_list& errors);
/// `request_limit`: a number, at least 1.
void read_request_limit(std::optional<std::uint64_t>& into, const yaml::node& value,
                        yaml::error_list& errors);

inline constexpr std::string_view upload_limit_doc =
    "Octets from client to origin, per job: `20MiB`. What is used up refuses with `upload-limit`; a live "
    "tunnel is cut. Where no job is declared, the process is one; a reload keeps what is used. `audit` "
    "counts and cuts nothing.";
inline constexpr std::string_view download_limit_doc =
    "Octets from origin to client, per job, as `upload_limit`.";

}  // namespace exeat::config
