// What a refusal says to the person it stops: what was blocked, why, and what to do about it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/address_guard.hpp"
#include "allowlist/policy.hpp"
#include "core/destination.hpp"
#include "core/reason.hpp"

namespace exeat::allowlist {

/// No phase of any policy.
inline constexpr phase_id no_phase{0xffff};

/// A refusal as the data path knows it. Pointers may be null where that part was never reached.
struct refused {
  const allowlist::policy* policy = nullptr;
  phase_id phase{};  ///< no_phase where nobody knows who is asking
  core::scheme scheme = core::scheme::https;
  const core::destination* to = nullptr;  ///< null where no destination was understood
  core::reason reason = core::reason::no_rule;
  const rule* governing = nullptr;       ///< decision::governing
  const guard_refusal* guard = nullptr;  ///< for address_forbidden and address_denied
  std::string_view decision;             ///< the decision id's text
};

struct explanation {
  /// Why, in one or two sentences. UTF-8 without control characters.
  std::string message;
  /// What to do, line by line; YAML to paste keeps its indentation.
  std::vector<std::string> next;
};

/// For the client, as `hints` of the phase allows. Of a canary it says what it says of any other name.
/// `code`: the reason's own sentence and whom to show the id. `full`: also the near miss and the YAML to
/// paste. Neither names rules of other phases or upstreams; an address is named only in a phase that is not
/// untrusted, and only to print its `addresses` line.
explanation explain_to_client(const refused& refused);

/// For the decision log's `hint`, always in full, on one line; empty where no line of a policy would help,
/// and for a canary.
std::string hint_for_log(const refused& refused);

}  // namespace exeat::allowlist
