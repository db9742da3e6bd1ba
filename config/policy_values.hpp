// Values that only a policy has: hosts, prefixes, ports, dates.
#pragma once
#include <chrono>
#include <optional>

#include "allowlist/pattern.hpp"
#include "allowlist/rule.hpp"
#include "config/yaml.hpp"

namespace exeat::config {

/// `allow_suffix`: a wildcard may stand on a public suffix, as under `deny`.
std::optional<allowlist::host_pattern> read_host(const yaml::node& node, bool allow_suffix,
                                                 yaml::error_list& errors);
std::optional<core::cidr> read_cidr(const yaml::node& node, yaml::error_list& errors);
/// A port, a range "8000-8100", `any`, or a list of the first two.
std::optional<allowlist::port_set> read_ports(const yaml::node& node, yaml::error_list& errors);
/// YYYY-MM-DD.
std::optional<std::chrono::year_month_day> read_date(const yaml::node& node, yaml::error_list& errors);

}  // namespace exeat::config
