// The PROXY protocol, versions 1 and 2: whom a load balancer in front speaks for (HAProxy,
// doc/proxy-protocol.txt, sections 2.1 and 2.2).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "core/ip_address.hpp"
#include "wire/fault.hpp"

namespace exeat::wire {

/// One end of the connection that the header speaks of. An IPv4-mapped IPv6 address stays what it is.
struct proxied_end {
  core::ip_address address;
  std::uint16_t port = 0;
  friend bool operator==(const proxied_end&, const proxied_end&) = default;
};

struct proxy_header {
  std::uint8_t version = 0;                ///< 1 or 2
  bool local = false;                      ///< v2 LOCAL: the upstream speaks for itself (a health check)
  std::optional<proxied_end> source;       ///< absent: local, or unknown (v1 UNKNOWN; v2 UNSPEC and AF_UNIX)
  std::optional<proxied_end> destination;  ///< there where `source` is
  friend bool operator==(const proxy_header&, const proxy_header&) = default;
};

/// Strict incremental parser of the header at the start of a connection. The outcome does not depend on how
/// the octets are cut, and no octet behind the header is taken. Owns what it keeps. Not thread-safe.
///
/// Refused beyond what the specification demands: v1 lines over 107 octets or with other spacing than single
/// spaces, or where CR stands anywhere but before LF at the end; v2 with a length over 512 octets, of
/// datagrams, with TLVs that do not fill it to the last octet, or with a CRC32C that is repeated or wrong.
class proxy_header_parser {
 public:
  static constexpr std::size_t max_v1 = 107;
  static constexpr std::size_t max_v2_length = 512;
  static constexpr std::size_t max_size = 16 + max_v2_length;

  struct step {
    parse_status status = parse_status::need_more;
    std::size_t taken = 0;  ///< octets of the piece that belong to the header; all of them on need_more
  };
  /// The next piece; once done or in error it takes nothing more.
  step feed(std::span<const std::uint8_t> piece) noexcept;

  /// Valid on done.
  const proxy_header& header() const noexcept { return header_; }
  /// Valid on error; reason bad_proxy_protocol.
  const fault& error() const noexcept { return error_; }

 private:
  parse_status judge() noexcept;
  parse_status judge_v1() noexcept;
  parse_status judge_v2() noexcept;
  parse_status read_line() noexcept;
  parse_status read_block() noexcept;
  parse_status refuse(std::string_view detail) noexcept;

  std::array<std::uint8_t, max_size> octets_{};
  std::size_t size_ = 0;
  parse_status status_ = parse_status::need_more;
  proxy_header header_;
  fault error_;
};

/// CRC-32C (Castagnoli; RFC 3720 appendix B.4) as the PP2_TYPE_CRC32C TLV carries it.
std::uint32_t crc32c(std::span<const std::uint8_t> octets) noexcept;

}  // namespace exeat::wire
