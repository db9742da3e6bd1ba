// The hosts file, as hosts(5) describes it.
#pragma once
#include <boost/container/small_vector.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "core/host_name.hpp"
#include "proxy/dns_answer.hpp"

namespace exeat::proxy {

/// Names to addresses, aliases included. Lines that are not understood are skipped, as the C library does.
class hosts_table {
 public:
  hosts_table() = default;
  static hosts_table parse(std::string_view text);

  /// In the order of the file; empty where it does not have the name. More than max_addresses, by one, where
  /// it has more.
  std::span<const core::ip_address> find(const core::host_name& name) const noexcept;
  std::size_t size() const noexcept { return names_.size(); }

 private:
  struct text_hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  using addresses = boost::container::small_vector<core::ip_address, 1>;  // the file may be long
  boost::unordered_flat_map<std::string, addresses, text_hash, std::equal_to<>> names_;
};

}  // namespace exeat::proxy
