#include "proxy/dns_hosts.hpp"

#include <algorithm>

namespace exeat::proxy {
namespace {

constexpr std::string_view blank = " \t\r\v\f";

std::string_view next_word(std::string_view& line) noexcept {
  line.remove_prefix(std::min(line.find_first_not_of(blank), line.size()));
  const auto word = line.substr(0, line.find_first_of(blank));
  line.remove_prefix(word.size());
  return word;
}

}  // namespace

hosts_table hosts_table::parse(std::string_view text) {
  hosts_table table;
  while (!text.empty()) {
    auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    line = line.substr(0, line.find('#'));
    const auto address = core::ip_address::parse(next_word(line));
    if (!address) continue;
    for (auto word = next_word(line); !word.empty(); word = next_word(line)) {
      const auto name = core::host_name::parse(word);
      if (!name) continue;
      auto& addresses = table.names_[std::string(name->view())];
      if (addresses.size() <= max_addresses && std::ranges::find(addresses, *address) == addresses.end())
        addresses.push_back(*address);
    }
  }
  return table;
}

std::span<const core::ip_address> hosts_table::find(const core::host_name& name) const noexcept {
  const auto at = names_.find(name.view());
  if (at == names_.end()) return {};
  return at->second;
}

}  // namespace exeat::proxy
