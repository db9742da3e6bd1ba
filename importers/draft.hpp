// A policy that is being put together from another product's entries. For the importers only.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/yaml.hpp"
#include "importers/import.hpp"

namespace exeat::importers {

/// How far a name reaches.
enum class reach : std::uint8_t {
  name,        ///< that name alone
  one_label,   ///< names with one label in front
  below,       ///< names under it, at any depth, not the name itself
  name_below,  ///< both
};

class draft {
 public:
  explicit draft(const source& from) : from_(from) {}

  /// The phase of that name, made where it is missing; other characters become hyphens.
  allowlist::phase& phase(std::string_view name);
  /// Adds an allow rule; of a host that stands in the phase already the ports are joined. `host` may be an
  /// address or a prefix (with `reach::name`). Says itself what cannot be a rule. False where there is none.
  bool allow(std::string_view phase, std::string_view host, reach reach, const allowlist::port_set& ports,
             int line);
  /// TLS on 443 alone, not plain HTTP.
  bool allow_tls(std::string_view phase, std::string_view host, reach reach, int line);
  /// Plain HTTP alone, on ports without 443.
  bool allow_plain(std::string_view phase, std::string_view host, reach reach,
                   const allowlist::port_set& ports, int line);
  bool deny(std::string_view host, reach reach, const allowlist::port_set& ports, int line);
  bool use(std::string_view phase, std::string_view bundle, int line);

  void exact() { ++out_.exact; }
  void differs(int line, std::string text);
  void left_out(int line, std::string text);

  imported take();

 private:
  void drop_contradictions();
  bool add(std::vector<allowlist::rule>& list, std::string_view list_name, allowlist::rule rule,
           const allowlist::port_set& ports);
  std::optional<allowlist::rule> rule_of(std::string_view host, reach reach, bool deny, int line);
  const source& from_;
  imported out_;
  std::map<std::string, std::size_t, std::less<>> phases_;
  std::map<std::string, std::size_t, std::less<>> rules_;  // by phase and what they name
};

/// What every proxy but ours does: any port, and no look at what a tunnel carries.
inline constexpr std::string_view any_port_remark =
    "it restricts no ports and does not look into tunnels; here the rules admit 80 and 443, and a tunnel "
    "must "
    "carry TLS to the name that was asked for (`tls: any` where it may not)";

/// 80 and 443.
allowlist::port_set web_ports();
bool is_address(std::string_view text);

/// `*.x` and `x` as most products spell them: `*.x` is every name under x, x is `bare`. Other places of an
/// asterisk are an error text.
struct spelled {
  std::string host;
  importers::reach reach = reach::name;
};
/// True where one of the two holds a name of the other.
bool overlap(const spelled& a, const spelled& b);
std::expected<spelled, std::string> read_star(std::string_view text, reach bare);

std::string_view trimmed(std::string_view text) noexcept;
/// Parts between any of `separators`, trimmed, without empty ones.
std::vector<std::string_view> split(std::string_view text, std::string_view separators);

std::expected<imported, config::errors> from_smokescreen(const source& from);
std::expected<imported, config::errors> from_squid(const source& from);
std::expected<imported, config::errors> from_gh_aw(const source& from);
std::expected<imported, config::errors> from_copilot(const source& from);
std::expected<imported, config::errors> from_harden_runner(const source& from);
std::expected<imported, config::errors> from_srt(const source& from);

/// The value of a key in a map, or null.
const config::yaml::node* find(const config::yaml::node& map, std::string_view key);
/// Parses YAML or JSON; the errors are the file's.
std::expected<config::yaml::node, config::errors> parse_tree(const source& from);

}  // namespace exeat::importers
