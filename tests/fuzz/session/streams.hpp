// What the proxy sends to upstream proxies, connection by connection: whose octets they are.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "tests/fuzz/session/ways.hpp"

namespace exeat::fuzz {

/// SO_COOKIE of a socket; 0: it is none.
std::uint64_t cookie_of(int fd) noexcept;

/// One connection to an upstream proxy, in the clear.
struct hop_stream {
  origin hop{};
  bool of_tls = false;
  std::string head = {};                 ///< until it is whole
  bool past_head = false;                ///< then this is true
  std::optional<std::string> host = {};  ///< what the head asks for, as it says it; none: not known yet
  std::optional<origin> to = {};         ///< who that is, where that is known; by its name alone
  /// Takes what is sent. Gives how many of the octets are for the origin: all but those of a CONNECT.
  std::size_t take(const char* data, std::size_t octets, const ways& ways, bool via);
};

/// Reads one head that stands in front, whole: a CONNECT, which must be ours to the last octet, or a request
/// to be forwarded. Aborts where the way, the form of the target or the credential is wrong.
struct hop_head {
  std::size_t size = 0;  ///< of a CONNECT; 0: of a request, which is the origin's
  std::string host;      ///< "name:port" or "address:port"
  std::optional<origin> to;
  bool port_fits = false;
};
std::optional<hop_head> read_hop_head(std::string_view octets, const ways& ways, origin hop, bool via);

/// Where the final answer to a CONNECT ends, of what an upstream proxy said; none: it has not let it through.
std::optional<std::size_t> end_of_opening(std::string_view said) noexcept;

/// Whom each descriptor leads to.
class streams {
 public:
  explicit streams(const ways& ways) noexcept : ways_(ways) {}
  enum class kind : std::uint8_t { client, origin, hop, ciphertext };
  struct found {
    streams::kind kind = kind::client;
    std::optional<fuzz::origin> at = {};
    hop_stream* stream = nullptr;
  };
  found find(int fd);
  void received_from(int fd) noexcept { last_ = fd; }
  void paired(int session);

 private:
  ways ways_;
  int last_ = -1;
  /// By SO_COOKIE of the socket that the session writes to.
  std::map<std::uint64_t, hop_stream> all_;
};

}  // namespace exeat::fuzz
