#include "config/upstream_keys.hpp"

#include <algorithm>
#include <array>

#include "config/paths.hpp"
#include "config/policy_values.hpp"
#include "config/upstream_choice.hpp"
#include "wire/authority.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

constexpr std::array<std::string_view, 2> resolve_words{"local", "remote"};
constexpr std::array<std::string_view, 2> http_words{"forward", "tunnel"};
constexpr std::string_view wanted_hosts = "a list of host names such as [\"**.corp.example\"], or [\"*\"]";
constexpr std::string_view wanted_url = "a URL such as http://proxy.corp.example:3128";

bool is_every(const node& item) noexcept {
  return item.kind == node_kind::scalar && item.text == "*";
}

void read_hosts(upstream_draft& into, const node& value, error_list& errors) {
  if (value.kind != node_kind::sequence || value.items.empty())
    return expected_but_found(value, wanted_hosts, errors);
  for (const auto& item : value.items) {
    if (is_every(item)) {
      into.proxy.every_host = true;
    } else if (auto pattern = read_host(item, true, errors)) {
      into.proxy.hosts.push_back(*pattern);
    }
  }
}

bool is_unspecified(const core::host& host) {
  const auto* address = std::get_if<core::ip_address>(&host);
  return address != nullptr && std::ranges::all_of(address->bytes(), [](auto octet) { return octet == 0; });
}

// The text of a URL that may hold a password is not repeated in a message.
void read_url(upstream_draft& into, const node& value, error_list& errors) {
  into.has_proxy = true;
  if (value.kind != node_kind::scalar) return expected_but_found(value, wanted_url, errors);
  std::string_view text = value.text;
  if (text.contains('@')) {
    return errors.add(value.at, {},
                      "a proxy's URL carries no credential here: write it to a `credential_file`");
  }
  const auto fail = [&](std::string message) { errors.add(value.at, value.text, std::move(message)); };
  if (text.starts_with("https://")) {
    into.proxy.tls = true;
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    text.remove_prefix(7);
  } else {
    return expected_but_found(value, wanted_url, errors);
  }
  if (text.ends_with('/')) text.remove_suffix(1);
  const auto authority = wire::parse_authority(text);
  if (!authority) return fail(std::string("not a proxy's URL: ") + std::string(authority.error().detail));
  if (!authority->port) return fail("the URL names no port; proxies have no usual one");
  if (is_unspecified(authority->host)) return fail("nobody can be reached at this address");
  into.proxy.at = {authority->host, *authority->port};
}

template <std::string upstream_proxy::* file>
void read_file(upstream_draft& into, const node& value, error_list& errors) {
  if (auto path = read_text(value, "the path of a file", 4095, errors)) into.proxy.*file = std::move(*path);
}

constexpr value_schema host_list{
    .json = R"({"type":"array","items":{"anyOf":[{"const":"*"},{"$ref":"#/$defs/host"}]},"minItems":1})",
    .required = true};
constexpr value_schema proxy_url{
    .json = R"({"type":"string","pattern":"^https?://([A-Za-z0-9_.-]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]{1,5}/?$"})",
    .required = true};

constexpr key_row<upstream_draft> table[]{
    {"hosts", host_list, "list", "required",
     "Host patterns as in a policy, of the destinations that go this way; `*` means all of them, IP "
     "addresses "
     "too. It says only which way: what the policy refuses is refused before.",
     read_hosts},
    {"proxy", proxy_url, "URL", "required",
     "`http://HOST:PORT`, or `https://HOST:PORT` where the proxy speaks TLS. Its address is no destination "
     "for anybody (`own-upstream`).",
     read_url},
    {"ca", schema::path, "path", "the CA certificates of the system",
     "Of an `https://` proxy: a PEM file of those who sign its certificate; nobody else is trusted then. "
     "Read "
     "again at every reload.",
     read_file<&upstream_proxy::ca>},
    {"credential_file", schema::path, "path", "none",
     "A file with one line `user:password`, which nobody but its owner may read (mode 0600). It goes to this "
     "proxy alone (`Proxy-Authorization: Basic`), never to an origin and never into the log; to an `http://` "
     "proxy it crosses the network as it is. Read again at every reload; one that cannot be read then leaves "
     "the "
     "one before in force.",
     read_file<&upstream_proxy::credential_file>},
    {"resolve", one_of(resolve_words), "local or remote", "local",
     "`local`: a name is looked up here, every address must pass the guard, and the proxy is asked for the "
     "address that was checked. `remote`: the name goes to the proxy as it is, and so does the guard: what "
     "the proxy looks up nobody checks here. Rules with `resolve_in` are refused then (`guard-delegated`), "
     "and a `cidr` under `deny` holds for IP addresses only.",
     [](upstream_draft& d, const node& v, error_list& e) {
       if (const auto word = read_word(v, resolve_words, e)) d.proxy.remote = *word == 1;
     }},
    {"http", one_of(http_words), "forward or tunnel", "forward",
     "How plain HTTP goes through the proxy. `forward`: as a request in absolute form. With `resolve: local` "
     "that names the checked address and `Host` the name, but most proxies write `Host` anew from the "
     "address, as RFC 9112 3.2.2 says, and an origin with several names answers for another one. What the "
     "proxy answers by itself (a 403, an error page; never its 407) reaches the client then as if the origin "
     "had said it. `tunnel`: by CONNECT, as https does; the proxy must allow that for port 80. Upgrades to "
     "WebSocket always go by CONNECT.",
     [](upstream_draft& d, const node& v, error_list& e) {
       if (const auto word = read_word(v, http_words, e)) d.proxy.tunnels_http = *word == 1;
     }},
};

}  // namespace

std::span<const key_row<upstream_draft>> upstream_rows() noexcept {
  return table;
}

void read_upstream_proxies(settings_draft& into, const node& value, error_list& errors) {
  if (value.kind != node_kind::sequence || value.items.empty())
    return expected_but_found(value, "a list of at least one proxy", errors);
  into.settings.upstream.proxies.clear();
  for (const auto& item : value.items) {
    upstream_draft draft;
    if (!read_map(draft, item, "a map such as {hosts: [\"*\"], proxy: \"http://proxy.corp.example:3128\"}",
                  upstream_rows(), {}, errors))
      continue;
    auto& proxy = draft.proxy;
    proxy.where = errors.mark(item.at);
    const bool has_hosts = std::ranges::any_of(item.entries, [](const auto& e) { return e.key == "hosts"; });
    if (!has_hosts) errors.add(item.at, {}, "the entry names no `hosts`; [\"*\"] means all of them");
    if (!draft.has_proxy) errors.add(item.at, {}, "the entry names no `proxy`");
    if (!proxy.ca.empty() && draft.has_proxy && !proxy.tls)
      errors.add(item.at, {}, "`ca` belongs to an `https://` proxy: nothing of this one is verified");
    for (auto* path : {&proxy.ca, &proxy.credential_file}) {
      if (!path->empty()) *path = resolve_path(*path, into.directory);
    }
    into.settings.upstream.proxies.push_back(std::move(proxy));
  }
}

void read_no_proxy(settings_draft& into, const node& value, error_list& errors) {
  if (value.kind != node_kind::sequence || value.items.empty()) {
    return expected_but_found(value, "a list of host names and prefixes such as [\"**.internal.example\"]",
                              errors);
  }
  auto& upstream = into.settings.upstream;
  upstream.direct_hosts.clear();
  upstream.direct_prefixes.clear();
  for (const auto& item : value.items) {
    if (is_every(item)) {
      errors.add(item.at, item.text,
                 "with `*` nothing would go through a proxy: leave `proxies` out instead");
    } else if (item.kind == node_kind::scalar && core::cidr::parse(item.text)) {
      upstream.direct_prefixes.push_back(*core::cidr::parse(item.text));
    } else if (item.kind == node_kind::scalar &&
               (item.text.contains('/') || item.text.contains(':') || core::ends_in_number(item.text))) {
      (void)read_cidr(item, errors);  // says what is wrong with it
    } else if (auto pattern = read_host(item, true, errors)) {
      upstream.direct_hosts.push_back(*pattern);
    }
  }
}

void check_upstream(const settings& s, std::vector<error>& out) {
  const auto& proxies = s.upstream.proxies;
  if (proxies.empty() && (!s.upstream.direct_hosts.empty() || !s.upstream.direct_prefixes.empty())) {
    out.push_back(
        {.message = "`upstream.no_proxy` without `upstream.proxies`: everything goes direct anyway"});
  }
  const auto every = std::ranges::find(proxies, true, &upstream_proxy::every_host);
  if (every == proxies.end() || std::next(every) == proxies.end()) return;
  out.push_back({.where = std::next(every)->where,
                 .text = to_string(*std::next(every)),
                 .message = "the proxy is never used: an entry before it has `*` among its `hosts`"});
}

}  // namespace exeat::config
