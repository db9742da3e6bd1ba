// From what was refused to the narrowest rules that would have let it pass. Whoever is refused chooses the
// names: what looks like an attempt to get a rule written is held back for a person.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "allowlist/policy.hpp"

namespace exeat::allowlist {

/// A recorded request. Any octets may stand in the texts.
struct observation {
  std::string_view phase;
  std::string_view host;
  std::uint16_t port = 0;
  bool plain = false;  ///< http or ws, not a CONNECT
  std::string_view method;
  core::reason reason = core::reason::no_rule;
  std::string_view date;  ///< YYYY-MM-DD, as it stands in the log
};

struct suggest_options {
  /// Propose `*.parent` where at least so many names under it were asked for; 0: never.
  std::uint64_t wildcards = 0;
  /// Requests below which a name is held back; empty: 2 in an untrusted phase, else 1.
  std::optional<std::uint64_t> min_count;
  std::chrono::sys_seconds now;
};

struct suggestion {
  std::string phase;
  allowlist::rule rule;
  std::uint64_t count = 0;
  std::string first;  ///< date
  std::string near;   ///< the id of the rule that nearly let it pass; may be empty
};

struct held_back {
  std::string phase;
  std::string destination;  ///< HOST:PORT as recorded: any octets, escape before showing
  std::uint64_t count = 0;
  std::string first;
  std::string why;  ///< a clause in printable ASCII
};

struct suggestions {
  std::vector<suggestion> rules;  ///< by phase, then name
  std::vector<held_back> held_back;
  std::map<std::string_view, std::uint64_t> other_reasons;  ///< by code: what no rule would change
  std::uint64_t already_allowed = 0;
  std::uint64_t left_out = 0;  ///< requests beyond the bound of 100,000 distinct ones
};

/// Collects and proposes. `base` is the policy in force, or null where it is not known: then nothing counts
/// as allowed already and every phase as untrusted. Not thread-safe. No I/O.
class suggester {
 public:
  explicit suggester(const policy* base) : base_(base) {}
  /// A request that was refused, or would have been.
  void refused(const observation& one);
  suggestions propose(const suggest_options& options) const;

 private:
  // phase, host, port, plain
  using key = std::tuple<std::string, std::string, std::uint16_t, bool>;
  struct tally {
    std::uint64_t count = 0;
    std::string first;
    std::set<std::string> methods;
    core::reason reason = core::reason::no_rule;
  };
  bool is_canary(std::string_view phase, const core::host_name& name) const;
  bool covers_canary(std::string_view phase, const host_pattern& pattern) const;

  const policy* base_;
  std::map<key, tally> seen_;
  /// By phase and name, as the log has them: nothing is ever proposed that would let one pass.
  std::set<std::pair<std::string, std::string>> canaries_;
  std::uint64_t left_out_ = 0;
  std::map<std::string_view, std::uint64_t> other_;
};

/// Why a label looks like data rather than a name; empty where it does not. A clause.
std::string_view odd_label(std::string_view label) noexcept;

/// What of a policy a log never needed.
struct unused_rule {
  const allowlist::rule* rule = nullptr;
  std::string phase;
  /// Of a wildcard that was needed: the names that were asked for, at most 20 of them.
  std::vector<std::string> names;
};

/// Counts which rules let something through.
class usage {
 public:
  explicit usage(const policy& policy) : policy_(policy) {}
  /// `rule` is the id in the line of a request that was let through.
  void allowed(std::string_view rule, std::string_view host);
  /// Rules without a hit (of a bundle only where no host of the same `use` had one), and wildcards that few
  /// names needed.
  std::vector<unused_rule> find() const;

 private:
  const policy& policy_;
  std::map<std::string, std::set<std::string>, std::less<>> names_;  // by rule id, bounded
};

}  // namespace exeat::allowlist
