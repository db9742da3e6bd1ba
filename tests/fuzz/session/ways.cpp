#include "tests/fuzz/session/ways.hpp"

#include <map>

#include "config/upstream_choice.hpp"
#include "tests/fuzz/expect.hpp"
#include "tests/fuzz/session/certificates.hpp"

namespace exeat::fuzz {
namespace {

// What base64 makes of these holds no octet of a neighbour: their lengths are multiples of three.
constexpr std::string_view credential = "hop:key-1", credential_2 = "hop:key-2";
constexpr std::string_view line = "Proxy-Authorization: Basic aG9wOmtleS0x\r\n";
constexpr std::string_view line_2 = "Proxy-Authorization: Basic aG9wOmtleS0y\r\n";

allowlist::host_pattern pattern(std::string_view text) {
  auto out = allowlist::host_pattern::parse(text);
  EXPECT(out.has_value());
  return *out;
}

core::destination at(const ways& w, origin hop) {
  const auto& facts = origins[index(hop)];
  if (!w.by_name) return {stage::get().address(hop), facts.port};
  return {core::host_name::parse(facts.host).value(), facts.port};
}

proxy::next_hops load(const ways& w) {
  const secret_folder folder;
  config::upstream_settings out;
  config::upstream_proxy first{.at = at(w, origin::hop),
                               .tls = w.tls,
                               .ca = folder.write("ca.pem", certificates::get().pem()),
                               .remote = w.remote,
                               .tunnels_http = w.tunnels};
  if (w.credential) first.credential_file = folder.write("1", credential);
  if (w.second) {
    for (const auto* host : {"web.test", "raw.test", "*.many.test"}) first.hosts.push_back(pattern(host));
  } else {
    first.every_host = true;
  }
  out.proxies.push_back(std::move(first));
  if (w.second) {
    config::upstream_proxy second{
        .every_host = true, .at = at(w, origin::hop_2), .remote = !w.remote, .tunnels_http = !w.tunnels};
    if (w.credential) second.credential_file = folder.write("2", credential_2);
    out.proxies.push_back(std::move(second));
  }
  if (w.no_proxy) {
    out.direct_hosts.push_back(pattern("bud.test"));
    out.direct_prefixes.push_back(
        core::cidr::parse(stage::get().address(origin::tls).to_string() + "/32").value());
  }
  auto hops = proxy::next_hops::load(out);
  if (!hops) std::fprintf(stderr, "%s\n", hops.error().c_str());
  EXPECT(hops.has_value());
  return std::move(*hops);
}

}  // namespace

ways ways::of(unsigned octet) noexcept {
  const auto bit = [octet](unsigned i) { return (octet >> i & 1) != 0; };
  return {.any = true,
          .tls = bit(0),
          .remote = bit(1),
          .tunnels = bit(2),
          .no_proxy = bit(3),
          .by_name = bit(4),
          .credential = bit(5),
          .second = bit(6),
          .impostor = bit(7)};
}

bool ways::is_hop(origin o) const noexcept {
  return any && (o == origin::hop || (second && o == origin::hop_2));
}

std::optional<origin> ways::toward(std::optional<origin> o, bool after_look_up) const noexcept {
  if (!any || (no_proxy && o == origin::budget)) return std::nullopt;
  const bool of_first = !second || o == origin::web || o == origin::raw || o == origin::many;
  const bool is_remote = of_first == remote;
  if (no_proxy && o == origin::tls && !is_remote && after_look_up) return std::nullopt;
  return of_first ? origin::hop : origin::hop_2;
}

bool ways::delegates(std::optional<origin> o) const noexcept {
  const auto hop = toward(o, false);
  return hop && (*hop == origin::hop) == remote;
}

bool ways::forbids(std::optional<origin> o) const noexcept {
  if (!any || !o) return false;
  if (by_name && is_hop(*o)) return true;
  return (is_hop(*o) || *o == origin::sly) && !delegates(o);
}

bool ways::forwards(origin hop) const noexcept {
  return (hop == origin::hop) != tunnels;
}

std::string_view ways::authorization(origin hop) const noexcept {
  if (!credential) return {};
  return hop == origin::hop ? line : line_2;
}

std::string ways::text(origin hop) const {
  return (tls && hop == origin::hop ? "https://" : "http://") + core::to_string(at(*this, hop));
}

// By hand and without instrumentation: libFuzzer takes over into its inputs what it sees compared.
[[clang::no_sanitize("coverage")]] bool holds_a_credential(std::string_view octets) noexcept {
  for (const std::string_view secret : {"aG9wOmtleS", "hop:key-"}) {
    for (std::size_t at = 0; at + secret.size() <= octets.size(); ++at) {
      std::size_t same = 0;
      while (same < secret.size() && octets.data()[at + same] == secret.data()[same]) ++same;
      if (same == secret.size()) return true;
    }
  }
  return false;
}

const proxy::next_hops& hops_of(const ways& w) {
  static std::map<unsigned, proxy::next_hops> known;
  static const proxy::next_hops none;
  if (!w.any) return none;
  const auto key =
      static_cast<unsigned>(w.tls | w.remote << 1 | w.tunnels << 2 | w.no_proxy << 3 | w.by_name << 4 |
                            w.credential << 5 | w.second << 6 | w.impostor << 7);
  const auto found = known.find(key);
  return found != known.end() ? found->second : known.emplace(key, load(w)).first->second;
}

}  // namespace exeat::fuzz
