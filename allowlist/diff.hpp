// What a change of the policy opens and what it closes, by meaning and not by text.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "allowlist/policy.hpp"

namespace exeat::allowlist {

enum class direction : std::uint8_t {
  wider,
  narrower,
  both,     ///< wider in one part, narrower in another: counts as wider
  neutral,  ///< says nothing about what can be reached
};
/// "wider", "narrower", "wider and narrower", "neither wider nor narrower".
std::string_view to_string(direction direction) noexcept;

/// One attribute that differs. The values are texts of the policies: "any", "20 MiB", "GET, HEAD".
struct term_change {
  std::string_view name;  ///< "tls", "ech", "resolve_in", "mode", ...: as the policy's key has it
  std::string before;
  std::string after;
  allowlist::direction direction = direction::neutral;
  friend bool operator==(const term_change&, const term_change&) = default;
};

/// What a line of the difference is about: names or addresses.
using subject = std::variant<host_pattern, core::cidr>;
std::string to_string(const subject& subject);
bool covers(const subject& subject, const core::host& host) noexcept;

enum class change_kind : std::uint8_t {
  becomes_reachable,
  stops_being_reachable,
  terms,  ///< reachable before and after, but on other terms
};

/// A set of destinations to which the same happens: all that `what` covers and no `except` does, on these
/// ports.
struct reach_change {
  change_kind kind = change_kind::terms;
  subject what;
  /// By name; something else, or nothing, happens to these.
  std::vector<subject> except;
  port_set https;  ///< for CONNECT; may be empty
  port_set http;   ///< for plain HTTP; may be empty
  /// Of kind `terms`, never empty; otherwise empty.
  std::vector<term_change> terms;
  /// The first day on which it is so; empty: now.
  std::optional<std::chrono::sys_days> from;
  /// The last day on which it can be reached, on the side where it can; empty: no end.
  std::optional<std::chrono::sys_days> until;
  /// What governs the destinations, in the old and the new policy: the allow rule, or the deny or near miss
  /// that refuses; null where no rule does. Of several rules one. Live as long as the policies.
  const rule* before = nullptr;
  const rule* after = nullptr;

  bool is_wider() const noexcept;
  bool is_narrower() const noexcept;
  /// True where `host` is one of the destinations; ports apart.
  bool covers(const core::host& host) const noexcept;
};

/// One phase, found by its name.
struct phase_diff {
  std::string name;
  const phase* before = nullptr;  ///< null: added
  const phase* after = nullptr;   ///< null: removed
  /// untrusted, mode, hints, ech, final, canary, canary.action, upload_limit, download_limit, request_limit,
  /// time_limit.
  std::vector<term_change> facts;
  /// By kind, then by name.
  std::vector<reach_change> changes;
  /// In either policy.
  bool is_untrusted() const noexcept;
  bool is_wider() const noexcept;
  bool is_narrower() const noexcept;
  bool is_empty() const noexcept;
};

/// An `addresses` entry, or a part of it, that is in one policy only: not within any single entry of the
/// other.
struct exception_change {
  bool added = false;  ///< else removed
  core::cidr prefix;
  std::vector<host_pattern> hosts;  ///< of the entry, those that the other policy does not except
  bool literal = false;
  const address_exception* entry = nullptr;
};

struct policy_diff {
  std::vector<phase_diff> phases;  ///< those that differ, by name
  /// upload_limit, download_limit and request_limit of the job.
  std::vector<term_change> facts;
  /// Addresses to which a name may resolve, by `cidr` rules under `deny`, for all phases. `becomes_reachable`
  /// is an address that is refused no more. A line about IPv4 holds for the IPv6 addresses that spell them,
  /// too. Ports stand in `https`. Special-purpose addresses that no
  /// `addresses` entry of either policy holds are refused anyway and left out.
  std::vector<reach_change> addresses;
  std::vector<exception_change> exceptions;
  /// Rules that stand in both with another reason, owner, ticket or accept_risk and are the same otherwise.
  std::size_t reworded = 0;

  /// Something that holds for every phase is wider.
  bool is_wider_for_all() const noexcept;
  /// The phases that are untrusted in either policy and wider in the new one, where what holds for all phases
  /// counts for each of the new policy's.
  std::vector<std::string> widened_untrusted;
  bool is_empty() const noexcept;
};

/// "2027-03-31".
std::string day_text(std::chrono::sys_days day);

/// Compares two policies at `now` and on every later day on which a rule expires. Destinations are told apart
/// by the names, prefixes, ports, schemes and days of both; each kind is decided once in both, by `decide`
/// (and, for an address literal, `guard`). A phase's `audit` is reported as such; apart from it its rules
/// are compared as if they were enforced. Limits, `max_names` and `max_name_entropy` are compared rule
/// against rule: that two rules share one budget, or have one each, is not seen. Literals of 6to4, Teredo and
/// ISATAP form stand for their prefix, whatever IPv4 address they hold. Error: rules so entangled (thousands
/// with different ports on the same names) that the comparison would not end; a sentence. No I/O; any thread.
std::expected<policy_diff, std::string> diff(const policy& before, const policy& after,
                                             std::chrono::sys_seconds now);

}  // namespace exeat::allowlist
