// The compiled policy, and the one function that decides.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/rule.hpp"
#include "core/destination.hpp"
#include "core/reason.hpp"

namespace exeat::allowlist {

/// Index of a phase within one policy.
enum class phase_id : std::uint16_t {};

/// What cannot be compiled: a contradiction between entries, each of them valid alone.
struct conflict {
  mark where;
  std::string text;  ///< one sentence, names the other place
};

struct request {
  phase_id phase{};
  core::scheme scheme = core::scheme::https;
  const core::destination* to = nullptr;
  /// UTC; compared with `expires` only.
  std::chrono::sys_seconds now;
  /// Of plain HTTP: the method, and the path without its query. Where they are empty, a rule with `methods`
  /// or `paths` refuses.
  std::string_view method = {};
  std::string_view path = {};
};

enum class verdict : std::uint8_t {
  allow,
  deny,
  would_deny,  ///< refused by the policy, let through because the phase is in `audit`
};
std::string_view to_string(verdict verdict) noexcept;

struct decision {
  allowlist::verdict verdict = verdict::deny;
  /// Why; for would_deny, why it would have been denied.
  core::reason reason = core::reason::no_rule;
  /// The governing rule of an allow, the deny rule (also one that covers a canary), or the near miss
  /// (expired, other port). Null otherwise, and for would_deny without a near miss. Lives as long as the
  /// policy.
  const rule* governing = nullptr;
};

class policy {
 public:
  ~policy();
  policy(policy&&) noexcept;
  policy& operator=(policy&&) noexcept;

  /// The source with every rule's id set.
  const policy_source& source() const noexcept;
  std::optional<phase_id> find_phase(std::string_view name) const noexcept;
  const phase& phase_of(phase_id id) const noexcept;
  std::size_t rule_count() const noexcept;

  struct compiled;  // the matcher; policy.cpp
  const compiled& matcher() const noexcept { return *compiled_; }

 private:
  friend std::expected<policy, std::vector<conflict>> compile(policy_source source);
  explicit policy(std::unique_ptr<compiled> c) noexcept;
  std::unique_ptr<compiled> compiled_;
};

/// Builds the matcher. Errors: two rules of one phase (or of `deny`) that can match the same request, are
/// equally specific (same host and reach, both written out or both from bundles, as many ports, one in
/// common) and differ in an attribute, of bundles in one that counts for the request; two phases of one name;
/// a canary that a rule of its phase allows, on whatever port; an included rule in a phase that is `final`,
/// or within a `deny` that is; an `addresses` prefix wider than one address over a cloud metadata address.
/// All of them at once, by place. A repetition with the same attributes is folded into the one that stands
/// first; 443 implied and 443 written fold into the written one.
std::expected<policy, std::vector<conflict>> compile(policy_source source);

/// THE decision: no I/O, no allocation, never throws; O(labels) look-ups. A canary of the phase is refused
/// before everything else, on every port and also in `audit`. Deny beats allow; of the matching
/// allow rules the most specific governs (exact name, then the longest suffix with `*` before `**`, then
/// written out before from a bundle, then fewer ports); expired rules do not match. The `methods`, `paths`
/// and `max_name_entropy` of the rule that governs must hold the request, whatever a wider rule says. An
/// address literal is matched by `cidr` rules only, the longest prefix first; `deny` also sees an IPv4
/// address embedded in it. Where nothing matches, the reason is that of the nearest miss: expired, then plain
/// HTTP on an implied 443, then another port, then none. In a phase in `audit` everything that the policy
/// refuses, `deny` included, becomes would_deny; the address guard is not audited. Thread-safe: the policy is
/// immutable.
decision decide(const policy& policy, const request& request) noexcept;

/// The reason that a refusal gives to the client, for what decide() found: of a canary that of any other name
/// nearby, in every octet. `governing`: decision::governing.
core::reason shown_to_client(core::reason reason, const rule* governing = nullptr) noexcept;

/// Effective settings of a phase and of a governing rule in it (rule may be null: the phase's own).
hint_level hints_of(const phase& phase) noexcept;
ech_mode ech_of(const phase& phase, const rule* rule) noexcept;

}  // namespace exeat::allowlist
