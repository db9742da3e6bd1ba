// GitHub Agentic Workflows: `network:` in the front matter of a workflow, or alone.
//
// `x` is x and every name under it, `*.x` every name under x. A scheme in front narrows to its port. What is
// blocked, with every name under it, goes before what is allowed. A word without a dot is an ecosystem.
#include <fmt/format.h>

#include "allowlist/bundles.hpp"
#include "importers/draft.hpp"

namespace exeat::importers {
namespace {

using config::yaml::node;
using config::yaml::node_kind;

struct entry {
  spelled host;
  allowlist::port_set ports;
};

std::expected<entry, std::string> read_entry(std::string_view text) {
  auto ports = web_ports();
  if (text.starts_with("https://")) {
    ports = allowlist::port_set::of({{443, 443}});
    text.remove_prefix(8);
  } else if (text.starts_with("http://")) {
    ports = allowlist::port_set::of({{80, 80}});
    text.remove_prefix(7);
  }
  if (text.find('/') != std::string_view::npos) return std::unexpected(fmt::format("`{}`: a path", text));
  auto host = read_star(text, reach::name_below);
  if (!host) return std::unexpected(host.error());
  return entry{std::move(*host), std::move(ports)};
}

void take_ecosystem(draft& into, const source& from, const std::string& name, int line) {
  if (into.use(from.phase, name, line)) {
    into.differs(line,
                 fmt::format("the ecosystem `{}` is the bundle `{}`: not the same list (`exeat bundles {}`)",
                             name, name, name));
  } else {
    into.left_out(line,
                  fmt::format("the ecosystem `{}` has no bundle here: name its hosts one by one", name));
  }
}

bool is_ecosystem(std::string_view text) {
  return text.find('.') == std::string_view::npos && text.find(':') == std::string_view::npos;
}

void take_allowed(draft& into, const source& from, const node& list) {
  for (const auto& item : list.items) {
    const int line = item.at.line;
    if (is_ecosystem(item.text)) {
      take_ecosystem(into, from, item.text, line);
      continue;
    }
    const auto read = read_entry(item.text);
    if (!read) {
      into.left_out(line, read.error());
    } else if (into.allow(from.phase, read->host.host, read->host.reach, read->ports, line)) {
      into.exact();
    }
  }
}

void take_blocked(draft& into, const node& list) {
  for (const auto& item : list.items) {
    const int line = item.at.line;
    if (is_ecosystem(item.text)) {
      into.left_out(
          line, fmt::format("the blocked ecosystem `{}`: take its bundle out of `allow` instead", item.text));
      continue;
    }
    const auto read = read_entry(item.text);
    if (!read) {
      into.left_out(line, read.error());
    } else if (into.deny(read->host.host, read->host.reach, allowlist::port_set::any(), line)) {
      into.exact();
    }
  }
}

// The front matter with as many empty lines before it as stood before it, so that lines keep their numbers.
std::string front_matter(std::string_view text) {
  if (!text.starts_with("---")) return std::string(text);
  const auto begin = text.find('\n');
  const auto end = text.find("\n---", begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) return std::string(text);
  return "\n" + std::string(text.substr(begin + 1, end - begin));
}

}  // namespace

std::expected<imported, config::errors> from_gh_aw(const source& from) {
  const auto text = front_matter(from.text);
  auto inner = from;
  inner.text = text;
  const auto root = parse_tree(inner);
  if (!root) return std::unexpected(root.error());
  draft out(from);
  out.phase(from.phase);
  const auto* network = find(*root, "network");
  if (network == nullptr || network->kind == node_kind::scalar) {
    const int line = network == nullptr ? 1 : network->at.line;
    out.left_out(
        line,
        "`network: defaults` stands for certificate authorities, package mirrors and more: name what "
        "is needed");
    return out.take();
  }
  if (const auto* allowed = find(*network, "allowed")) take_allowed(out, from, *allowed);
  if (const auto* blocked = find(*network, "blocked")) take_blocked(out, *blocked);
  for (const auto& entry : network->entries) {
    if (entry.key != "allowed" && entry.key != "blocked")
      out.left_out(entry.at.line, fmt::format("`network.{}` is not about destinations", entry.key));
  }
  out.differs(
      0,
      "its firewall does not look into tunnels; here a tunnel must carry TLS to the name that was asked for");
  return out.take();
}

}  // namespace exeat::importers
