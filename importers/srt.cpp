// Anthropic's sandbox-runtime: settings with network.allowedDomains and network.deniedDomains.
//
// A bare name is that name; `*.x` is every name under x, not x. Denied names beat allowed ones.
#include <fmt/format.h>

#include "importers/draft.hpp"

namespace exeat::importers {
namespace {

using config::yaml::node;
using config::yaml::node_kind;

template <class Take>
void each_host(draft& into, const node* list, Take&& take) {
  if (list == nullptr) return;
  if (list->kind != node_kind::sequence) return into.left_out(list->at.line, "expected a list of names");
  for (const auto& item : list->items) {
    const int line = item.at.line;
    if (item.kind != node_kind::scalar) {
      into.left_out(line, "expected a name");
      continue;
    }
    const auto host = read_star(item.text, reach::name);
    if (!host) {
      into.left_out(line, host.error());
    } else if (take(*host, line)) {
      into.exact();
    }
  }
}

}  // namespace

std::expected<imported, config::errors> from_srt(const source& from) {
  const auto root = parse_tree(from);
  if (!root) return std::unexpected(root.error());
  const auto* network = find(*root, "network");
  if (network == nullptr)
    return std::unexpected(
        config::errors{{.where = {.file = from.file, .line = 1},
                        .message = "the settings of sandbox-runtime have a key `network`"}});
  draft out(from);
  out.phase(from.phase);
  each_host(out, find(*network, "allowedDomains"), [&](const spelled& host, int line) {
    return out.allow(from.phase, host.host, host.reach, web_ports(), line);
  });
  each_host(out, find(*network, "deniedDomains"), [&](const spelled& host, int line) {
    return out.deny(host.host, host.reach, allowlist::port_set::any(), line);
  });
  for (const auto& entry : network->entries) {
    if (entry.key != "allowedDomains" && entry.key != "deniedDomains")
      out.left_out(entry.at.line, fmt::format("`{}` is not about destinations", entry.key));
  }
  out.differs(0, std::string(any_port_remark));
  return out.take();
}

}  // namespace exeat::importers
