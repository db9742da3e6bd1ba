// `upstream` of exeat.yaml: the proxies that stand between us and some origins.
#pragma once
#include <string>
#include <vector>

#include "config/settings_table.hpp"

namespace exeat::config {

/// An entry under `upstream.proxies`, while it is read.
struct upstream_draft {
  upstream_proxy proxy;
  bool has_proxy = false;
};
std::span<const key_row<upstream_draft>> upstream_rows() noexcept;

/// The readers of the rows `upstream.proxies` and `upstream.no_proxy`.
void read_upstream_proxies(settings_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_no_proxy(settings_draft& into, const yaml::node& value, yaml::error_list& errors);

/// What shows only between them: an entry that none can reach, and `no_proxy` without a proxy.
void check_upstream(const settings& settings, std::vector<error>& errors);

}  // namespace exeat::config
