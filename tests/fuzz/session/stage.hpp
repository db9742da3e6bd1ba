// The origins, hosts and policies that the session target plays with, and which of them may meet.
#pragma once
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "allowlist/policy.hpp"
#include "core/ip_address.hpp"

namespace exeat::fuzz {

/// One origin has one address, one port, and one host name that leads to it.
/// The last three are origins as any others, unless they are upstream proxies (ways.hpp): `sly` has the
/// address of `hop`, under a name of its own.
enum class origin : std::uint8_t {
  web,
  tls,
  raw,
  set,
  no,
  budget,
  many,
  method,
  dead,
  hole,
  hop,
  hop_2,
  sly
};
inline constexpr std::size_t origin_count = 13;
struct origin_facts {
  origin which;
  std::string_view host;  ///< of `many`: what its names end in
  std::uint16_t port;
  bool any_octets;  ///< `tls: any`: nobody looks into a tunnel to it
};
inline constexpr std::array<origin_facts, origin_count> origins{{
    {origin::web, "web.test", 18080, false},
    {origin::tls, "tls.test", 18443, false},
    {origin::raw, "raw.test", 18022, true},
    {origin::set, "set.test", 18080, false},
    {origin::no, "no.test", 18080, false},
    {origin::budget, "bud.test", 18080, true},
    {origin::many, ".many.test", 18080, false},
    {origin::method, "meth.test", 18080, false},
    {origin::dead, "dead.test", 18080, true},
    {origin::hole, "hole.test", 18080, true},
    {origin::hop, "hop.test", 13128, true},
    {origin::hop_2, "hop2.test", 13128, true},
    {origin::sly, "sly.test", 13128, true},
}};
constexpr std::size_t index(origin o) noexcept {
  return static_cast<std::size_t>(o);
}
/// Who is there, whatever it is called.
constexpr origin behind(origin o) noexcept {
  return o == origin::sly ? origin::hop : o;
}
/// By a name as it was asked for, or stands in an event.
std::optional<origin> origin_of(std::string_view host) noexcept;

inline constexpr std::uint64_t up_limit = 3000, down_limit = 5000, request_limit = 4, name_limit = 2;
/// Of agent, where the policy is timed.
inline constexpr std::chrono::seconds time_limit{30};

enum class phase : std::uint8_t { setup, agent, watch };
inline constexpr std::array<std::string_view, 3> phase_names{"setup", "agent", "watch"};

inline constexpr std::size_t policy_count = 4;
/// Whether the policy lets the phase (not `watch`, which is an audit) reach the origin; written down by hand.
bool allows(std::size_t policy, phase by, origin to) noexcept;

/// Addresses, and listening sockets on them, of this process alone. One for the life of the process.
class stage {
 public:
  static stage& get();

  const core::ip_address& address(origin o) const noexcept { return addresses_[index(o)]; }
  /// Non-blocking; -1 where nobody listens.
  int listener(origin o) const noexcept { return listeners_[index(o)]; }
  std::optional<origin> at(const core::ip_address& address, std::uint16_t port) const noexcept;
  /// Whether it is an origin's, whatever the port.
  bool is_address(const core::ip_address& address) const noexcept;
  /// `timed`: with a `time_limit` on agent.
  std::shared_ptr<const allowlist::policy> policy(std::size_t i, bool timed) const noexcept {
    return policies_[timed ? i + policy_count : i];
  }

 private:
  stage();
  std::array<core::ip_address, origin_count> addresses_;
  std::array<int, origin_count> listeners_{};
  std::array<std::shared_ptr<const allowlist::policy>, 2 * policy_count> policies_;
};

}  // namespace exeat::fuzz
