#include "tests/fuzz/session/streams.hpp"

#include <sys/socket.h>

#include <algorithm>

#include "proxy/socket_address.hpp"
#include "tests/fuzz/expect.hpp"
#include "tests/fuzz/session/heads.hpp"

namespace exeat::fuzz {
namespace {

constexpr std::size_t longest_head = 20'000;

std::optional<origin> peer_of(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return std::nullopt;
  const auto address = proxy::address_from(reinterpret_cast<const sockaddr*>(&peer));
  return address ? stage::get().at(*address, proxy::port_from(peer)) : std::nullopt;
}

struct target {
  std::optional<origin> at;
  bool by_address = false, port_fits = true;
};

target read_target(std::string_view text) {
  const auto colon = text.rfind(':');
  EXPECT(colon != std::string_view::npos);
  const auto port = std::stoul(std::string(text.substr(colon + 1)));
  const auto host = text.substr(0, colon);
  if (const auto address = core::ip_address::parse(host)) {
    const auto& there = stage::get();
    if (const auto at = there.at(*address, static_cast<std::uint16_t>(port))) return {at, true};
    // An audit lets other ports through; whose address it is decides on the way nevertheless.
    const auto* const of =
        std::ranges::find_if(origins, [&](const auto& one) { return there.address(one.which) == *address; });
    if (of == std::ranges::end(origins)) return {std::nullopt, true, false};
    return {of->which, true, false};
  }
  const auto at = origin_of(host);
  return {at, false, at && origins[index(*at)].port == port};
}

}  // namespace

std::uint64_t cookie_of(int fd) noexcept {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return ::getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

std::optional<hop_head> read_hop_head(std::string_view octets, const ways& ways, origin hop, bool via) {
  const auto end = octets.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    EXPECT(octets.size() < longest_head);
    return std::nullopt;
  }
  hop_head out;
  const auto head = octets.substr(0, end + 4);
  static constexpr std::string_view connect = "CONNECT ";
  if (!head.starts_with(connect)) {
    EXPECT(ways.forwards(hop));
    out.host = host_of(head);
    const auto target = read_target(out.host);
    EXPECT(!target.by_address);
    out.to = target.at;
    out.port_fits = target.port_fits;
    EXPECT(ways.toward(out.to) == hop);
    return out;
  }
  const auto rest = head.substr(connect.size());
  out.host = rest.substr(0, rest.find(' '));
  std::string expected = "CONNECT " + out.host + " HTTP/1.1\r\nHost: " + out.host + "\r\n";
  if (via) expected += "Via: 1.1 exeat\r\n";
  expected.append(ways.authorization(hop)).append("\r\n");
  EXPECT(head == expected);
  const auto target = read_target(out.host);
  out.to = target.at;
  out.port_fits = target.port_fits;
  // An address that was checked, and nothing else, but where that proxy looks names up.
  EXPECT(target.by_address != ways.delegates(out.to));
  EXPECT(out.to || !target.by_address);
  EXPECT(ways.toward(out.to) == hop);
  EXPECT(!ways.forbids(out.to));
  out.size = head.size();
  return out;
}

std::optional<std::size_t> end_of_opening(std::string_view said) noexcept {
  for (std::size_t at = 0;;) {
    const auto rest = said.substr(at);
    const auto end = rest.find("\r\n\r\n");
    if (end == std::string_view::npos || rest.size() < 10) return std::nullopt;
    at += end + 4;
    if (rest[9] == '1') continue;
    return rest[9] == '2' ? std::optional(at) : std::nullopt;
  }
}

std::size_t hop_stream::take(const char* data, std::size_t octets, const ways& ways, bool via) {
  if (past_head) return octets;
  EXPECT(data != nullptr);
  head.append(data, octets);
  const auto read = read_hop_head(head, ways, hop, via);
  if (!read) return 0;
  past_head = true;
  host = read->host;
  to = read->to;
  return head.size() - read->size;
}

streams::found streams::find(int fd) {
  if (const auto peer = peer_of(fd)) {
    if (!ways_.is_hop(*peer)) return {kind::origin, peer};
    if (ways_.tls && *peer == origin::hop) return {kind::ciphertext, peer};
    auto& stream = all_[cookie_of(fd)];
    stream.hop = *peer;
    return {kind::hop, peer, &stream};
  }
  if (!ways_.tls) return {};
  const auto found = all_.find(cookie_of(fd));
  if (found == all_.end()) return {};
  return {kind::hop, found->second.hop, &found->second};
}

void streams::paired(int session) {
  const auto peer = peer_of(last_);
  if (!peer || !ways_.is_hop(*peer)) return;
  EXPECT(ways_.tls && *peer == origin::hop && !ways_.impostor);
  all_[cookie_of(session)] = {.hop = *peer, .of_tls = true};
}

}  // namespace exeat::fuzz
