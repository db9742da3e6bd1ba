// What the policy answers to one destination, as `check`, `test` and `explain` show it.
#pragma once
#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "allowlist/address_guard.hpp"
#include "allowlist/explanation.hpp"
#include "allowlist/policy.hpp"
#include "config/destination.hpp"
#include "config/load.hpp"

namespace exeat::cli {

/// Pointers live as long as the policy.
struct answer {
  allowlist::verdict verdict = allowlist::verdict::deny;
  core::reason reason = core::reason::no_rule;
  const allowlist::rule* rule = nullptr;
  std::optional<allowlist::guard_refusal> guarded;  ///< only for an address literal
  allowlist::explanation told;                      ///< to the client; empty where it is let through
  std::string hint;                                 ///< what to add to the policy; may be empty
};

/// allowlist::decide and, for an address literal, allowlist::guard: the proxy's own functions in the proxy's
/// own order. Names are not looked up. `method` counts for plain HTTP only.
answer judge(const allowlist::policy& policy, allowlist::phase_id phase, const config::wanted& wanted,
             std::chrono::sys_seconds now, std::string_view method = "GET");

/// What every phase answers and why, one JSON object: `exeat explain --format json`, and the API's /v1/try.
/// Defined in cli/explain.cpp.
std::string explain_json(const allowlist::policy& policy, const config::wanted& wanted,
                         std::chrono::sys_seconds now, std::string_view method = "GET");

/// The clock's, as a policy compares it with `expires`.
std::chrono::sys_seconds current_time();

/// "allowed", "denied" or "would be denied (audit)".
std::string_view words_for(allowlist::verdict verdict) noexcept;

/// Where a command takes its policy from.
struct policy_choice {
  std::string config_file;  ///< where the policy is read from its `policy:`; empty: none
  std::string policy;       ///< over the above; both empty: the built-in policy
  bool insecure_policy_file = false;
};
std::expected<config::shared_policy, config::errors> load_chosen(const policy_choice& choice);

/// Appends one member to an object that is being written, `{` included; `name` is a literal of ours.
void append_member(std::string& object, std::string_view name, std::string_view text);
/// As above for a value that is JSON already.
void append_json_member(std::string& object, std::string_view name, std::string_view json);

}  // namespace exeat::cli
