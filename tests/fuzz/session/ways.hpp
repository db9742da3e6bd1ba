// The upstream proxies that the session target may have between itself and the origins, and which way each
// origin must go through them; written down by hand.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/next_hop.hpp"
#include "tests/fuzz/session/stage.hpp"

namespace exeat::fuzz {

/// What `upstream` of exeat.yaml says: a first proxy (origin::hop), and maybe a second one (origin::hop_2).
struct ways {
  bool any = false;
  bool tls = false;         ///< of the first: `https://`
  bool remote = false;      ///< of the first: `resolve: remote`; the second does the opposite
  bool tunnels = false;     ///< of the first: `http: tunnel`; the second does the opposite
  bool no_proxy = false;    ///< bud.test by its name, tls.test by its address
  bool by_name = false;     ///< they are named, else addresses
  bool credential = false;  ///< each wants its own
  bool second = false;      ///< the first is for web, raw and many, the second for all else
  bool impostor = false;    ///< of the first: it proves another name
  /// Of one octet of an input.
  static ways of(unsigned octet) noexcept;

  /// Whether we look for a proxy there.
  bool is_hop(origin o) const noexcept;
  /// The proxy that leads to an origin of this name; none: direct. With `after_look_up` also what only its
  /// address shows.
  std::optional<origin> toward(std::optional<origin> o, bool after_look_up = true) const noexcept;
  /// Its name is looked up by the proxy that leads to it, not here.
  bool delegates(std::optional<origin> o) const noexcept;
  /// An origin that is one of the proxies in truth, and must never be reached as an origin.
  bool forbids(std::optional<origin> o) const noexcept;
  bool forwards(origin hop) const noexcept;
  /// "Proxy-Authorization: Basic ...", with CRLF; empty: none.
  std::string_view authorization(origin hop) const noexcept;
  /// As it stands in the log.
  std::string text(origin hop) const;
};

/// What of a credential must never be seen but by its proxy.
bool holds_a_credential(std::string_view octets) noexcept;

/// As the product reads them; loaded once for each value.
const proxy::next_hops& hops_of(const ways& ways);

}  // namespace exeat::fuzz
