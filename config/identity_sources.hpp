// The readers of the sources of identity, one each, for the rows of config/identity_keys.cpp.
#pragma once
#include <fmt/format.h>

#include <string_view>

#include "config/identity_keys.hpp"

namespace exeat::config {

void read_peers(check_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_own_uid(check_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_certificates(check_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_credential(check_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_sources(check_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_upstreams(check_draft& into, const yaml::node& value, yaml::error_list& errors);

/// Calls `read` with every item of a list that has some.
void read_items(const yaml::node& value, std::string_view wanted, yaml::error_list& errors,
                const auto& read) {
  if (value.kind != yaml::node_kind::sequence || value.items.empty()) {
    if (value.kind == yaml::node_kind::sequence) {
      return errors.add(value.at, {}, fmt::format("`{}`: the list is empty", printable(errors.key())));
    }
    return expected_but_found(value, wanted, errors);
  }
  for (const auto& item : value.items) read(item);
}

}  // namespace exeat::config
