// What a look-up of one name comes to.
#pragma once
#include <boost/container/small_vector.hpp>
#include <chrono>
#include <string_view>

#include "core/ip_address.hpp"
#include "core/reason.hpp"

namespace exeat::proxy {

/// A name may have so many addresses of one family, and so many in all. All of them are judged, so none may
/// be dropped: one that has more is not served (`dns_failure`).
inline constexpr std::size_t max_of_family = 64;
inline constexpr std::size_t max_addresses = 2 * max_of_family;
inline constexpr std::string_view too_many_addresses = "the name has more addresses than are checked";
/// At most max_addresses; most names have few.
using address_list = boost::container::small_vector<core::ip_address, 8>;

/// Either addresses, with reason `allowed`, or one of dns_not_found, dns_failure, dns_timeout without any.
struct dns_answer {
  address_list addresses;
  core::reason reason = core::reason::dns_failure;
  std::string_view detail;      ///< static text: one more clause for the operator; may be empty
  std::chrono::seconds ttl{0};  ///< of the addresses, as the server said; failures are timed by the cache

  explicit operator bool() const noexcept { return reason == core::reason::allowed; }
};

inline dns_answer dns_error(core::reason reason, std::string_view detail) noexcept {
  dns_answer a;
  a.reason = reason;
  a.detail = detail;
  return a;
}

}  // namespace exeat::proxy
