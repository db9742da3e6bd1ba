// A policy as it was written: values with the place they came from, not yet compiled.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "allowlist/pattern.hpp"
#include "core/destination.hpp"
#include "core/ip_address.hpp"
#include "core/reason.hpp"

namespace exeat::allowlist {

/// Where something stands in a file; line and column count from 1, 0 = unknown.
struct mark {
  std::string file;
  int line = 0;
  int column = 0;
  /// file:line
  std::string to_string() const;
  friend bool operator==(const mark&, const mark&) = default;
};

struct port_range {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  friend auto operator<=>(const port_range&, const port_range&) = default;
};

/// A set of ports as sorted, disjoint, non-adjacent ranges within 1..65535.
class port_set {
 public:
  static port_set any();
  /// Sorts and joins; 0 and ranges that end before they start are left out (the loader refuses them first).
  static port_set of(std::vector<port_range> ranges);
  bool contains(std::uint16_t port) const noexcept;
  /// True where one port lies in both.
  bool overlaps(const port_set& other) const noexcept;
  /// True where every port of `other` lies in this one.
  bool covers(const port_set& other) const noexcept;
  /// How many ports: the fewer, the more specific the rule.
  std::uint32_t size() const noexcept;
  const std::vector<port_range>& ranges() const noexcept { return ranges_; }
  /// "443", "80,443", "8000-8100", "any".
  std::string to_string() const;
  friend bool operator==(const port_set&, const port_set&) = default;

 private:
  std::vector<port_range> ranges_;
};

enum class tls_mode : std::uint8_t { require, any };
enum class ech_mode : std::uint8_t { refuse, allow };

/// What may pass per job; empty: no limit.
struct transfer_limits {
  std::optional<std::uint64_t> upload;    ///< octets, client to origin
  std::optional<std::uint64_t> download;  ///< octets, origin to client
  std::optional<std::uint64_t> requests;  ///< tunnels, and requests of plain HTTP
  friend bool operator==(const transfer_limits&, const transfer_limits&) = default;
};

/// What a rule asks for beyond host, port and TLS. Most rules have none of it.
struct rule_terms {
  /// Every address that the name resolves to must lie in one of these; empty: the guard alone judges.
  std::vector<core::cidr> resolve_in;
  /// How many distinct names a wildcard may be used for, per job.
  std::optional<std::uint32_t> max_names;
  /// How many bits what stands for the wildcard may carry; allowlist/name_entropy.hpp.
  std::optional<std::uint32_t> max_name_entropy;
  transfer_limits limits;
  /// Upper-case tokens, sorted, each once; empty: any. With `methods` or `paths` the rule is one for plain
  /// HTTP.
  std::vector<std::string> methods;
  /// allowlist/path_pattern.hpp; sorted, each once; empty: any.
  std::vector<std::string> paths;
  bool is_http_only() const noexcept { return !methods.empty() || !paths.empty(); }
  friend bool operator==(const rule_terms&, const rule_terms&) = default;
};

/// One entry under a phase's `allow` or under `deny`.
struct rule {
  std::variant<host_pattern, core::cidr> what;
  /// Allow: 443 unless written. Deny: any unless written.
  port_set ports;
  /// False where `ports` stands by default; plain HTTP needs a port that was written down.
  bool ports_written = false;
  tls_mode tls = tls_mode::require;
  /// Empty: as the phase says.
  std::optional<ech_mode> ech;
  std::string reason;
  std::string owner;
  std::string ticket;
  /// A UTC date, valid to its end.
  std::optional<std::chrono::year_month_day> expires;
  /// Null: none. Never points to terms without content.
  std::shared_ptr<const rule_terms> terms;
  /// Why a host that is tagged multi-tenant or upload is reachable from an untrusted phase all the same.
  std::string accept_risk;
  /// The bundle that the rule comes from, by `use:`; empty: written out.
  std::string bundle;
  /// Of a deny of the base policy: an included file that allows what it refuses is an error.
  bool final = false;
  /// It stands in an included file.
  bool included = false;
  mark where;
  /// Set by compile: "agent/*.x.com:443", "deny/**.webhook.site:any"; unique within a policy, bounded, and
  /// the same wherever the rule stands in the file.
  std::string id;
  /// Set by compile: `where` as text, file:line.
  std::string at;
};

/// What the rule names, as written: "*.x.com", "10.0.0.0/8".
std::string what_text(const rule& rule);

enum class phase_mode : std::uint8_t { enforce, audit };
enum class hint_level : std::uint8_t { code, full };

/// What a request for a canary sets off, besides its refusal and its line in the log.
enum class canary_action : std::uint8_t {
  alert,     ///< nothing more
  lockdown,  ///< every phase of the job is sealed
};

/// A name that no honest process of its phase asks for. Always that name and nothing else.
struct canary {
  core::host_name name;
  mark where;
};

struct phase {
  std::string name;  ///< [a-z][a-z0-9-]*
  bool untrusted = true;
  phase_mode mode = phase_mode::enforce;
  /// Empty: `code` where untrusted, `full` where not.
  std::optional<hint_level> hints;
  /// Empty: `refuse` where untrusted, `allow` where not.
  std::optional<ech_mode> ech;
  /// Over all rules of the phase.
  transfer_limits limits;
  /// From the first request of a job that it lets through; at least a second.
  std::optional<std::chrono::milliseconds> time_limit;
  /// No included file may add rules to it.
  bool final = false;
  std::vector<canary> canaries;
  allowlist::canary_action canary_action = canary_action::alert;
  std::vector<rule> allow;
  mark where;
};

/// One entry under top-level `addresses`: lets the named hosts resolve into a special-purpose prefix.
struct address_exception {
  core::cidr prefix;
  std::vector<host_pattern> hosts;
  /// The prefix may also be asked for as an IP literal (a `cidr` rule must allow it besides).
  bool literal = false;
  std::string reason;
  mark where;
};

/// What an entry under `tests` says that the policy answers.
enum class expectation : std::uint8_t {
  allow,
  deny,
  would_deny,  ///< refused by the rules, let through because the phase is in `audit`
};

/// One entry under `tests`. `decide` never looks at it.
struct policy_test {
  std::string phase;
  std::string url;  ///< as written
  core::scheme scheme = core::scheme::https;
  core::destination to;
  /// Of plain HTTP.
  std::string method = "GET";
  std::string path = "/";
  expectation expect = expectation::deny;
  /// The id of the rule that must govern; empty: any.
  std::string rule;
  /// The reason that must come out; empty: any.
  std::optional<core::reason> reason;
  mark where;
};

/// An entry that says what another one says already; compile left it out.
struct repetition {
  std::string what;
  mark where;
  mark first;  ///< the one that was kept
};

/// A file that the policy took in by `include`.
struct included_file {
  std::string file;
  mark where;  ///< of the entry under `include`
};

/// A whole policy file and what it includes, valid in itself.
struct policy_source {
  std::vector<phase> phases;
  std::vector<rule> deny;
  std::vector<address_exception> addresses;
  std::vector<policy_test> tests;
  /// Over all phases.
  transfer_limits limits;
  std::vector<included_file> includes;
  /// Set by compile.
  std::vector<repetition> repeated;
  /// Hex SHA-256 of the file's octets (with includes: of the files' digests, one after the other), as the
  /// caller computed it; shown in health, metrics and log.
  std::string digest;
  std::string file;
};

}  // namespace exeat::allowlist
