// Stripe's Smokescreen: an egress ACL of version v1 in YAML; each service becomes a phase.
//
// `x` is that name, `*.x` every name under x. A service's own domains come before the global deny list, that
// one before the global allow list, and the service's action is what is left.
#include <fmt/format.h>

#include <set>

#include "importers/draft.hpp"

namespace exeat::importers {
namespace {

using config::yaml::node;
using config::yaml::node_kind;

template <class Take>
void each_domain(draft& into, const node* list, Take&& take) {
  if (list == nullptr || list->kind == node_kind::null) return;
  if (list->kind != node_kind::sequence) return into.left_out(list->at.line, "expected a list of domains");
  for (const auto& item : list->items) {
    const auto host = read_star(item.text, reach::name);
    if (!host) {
      into.left_out(item.at.line, host.error());
    } else {
      take(*host, item.at.line);
    }
  }
}

struct lists {
  std::vector<std::pair<spelled, int>> denied, allowed;
};

void take_service(draft& into, const std::string& name, const node& service, const lists& global) {
  auto& phase = into.phase(name);
  if (phase.name != name)
    into.differs(service.at.line, fmt::format("service `{}` is phase `{}`", name, phase.name));
  const auto* action = find(service, "action");
  const auto word = action == nullptr ? std::string("enforce") : action->text;
  if (word == "open" || word == "report") {
    if (global.denied.empty()) {
      phase.mode = allowlist::phase_mode::audit;
      if (word == "open")
        into.differs(action->at.line,
                     fmt::format("`{}` is open to everything: its phase is in `mode: audit`, which lets "
                                 "everything through and logs what no rule names",
                                 name));
    } else {
      into.differs(
          action->at.line,
          fmt::format(
              "`{}` lets through what it does not name ({}), but for the global deny list; `mode: audit` "
              "would open that list as well, so the phase enforces",
              name, word));
    }
  } else if (word != "enforce") {
    into.left_out(action->at.line, fmt::format("action `{}` is not known: the phase enforces", word));
  }
  each_domain(into, find(service, "allowed_domains"), [&](const spelled& host, int line) {
    if (!into.allow(name, host.host, host.reach, web_ports(), line)) return;
    for (const auto& [denied, at] : global.denied) {
      if (!overlap(host, denied)) continue;
      return into.differs(
          line, fmt::format("`{}` meets the global deny list (line {}), which a service's own domains "
                            "went before: here deny beats every allow",
                            host.host, at));
    }
    into.exact();
  });
  for (const auto& [host, line] : global.allowed) {
    if (into.allow(name, host.host, host.reach, web_ports(), line)) into.exact();
  }
  for (const auto& entry : service.entries) {
    static const std::set<std::string_view> known{"name", "project", "action", "allowed_domains"};
    if (!known.contains(entry.key))
      into.left_out(entry.at.line, fmt::format("`{}` of service `{}` has no counterpart", entry.key, name));
  }
}

}  // namespace

std::expected<imported, config::errors> from_smokescreen(const source& from) {
  const auto root = parse_tree(from);
  if (!root) return std::unexpected(root.error());
  const auto refuse = [&](std::string text) {
    return std::unexpected(
        config::errors{{.where = {.file = from.file, .line = root->at.line}, .message = std::move(text)}});
  };
  const auto* version = find(*root, "version");
  if (version == nullptr || version->text != "v1")
    return refuse("an ACL of Smokescreen starts with `version: v1`");
  const auto* services = find(*root, "services");
  if (services != nullptr && services->kind != node_kind::sequence && services->kind != node_kind::null)
    return refuse("`services` is not a list");

  draft out(from);
  lists global;
  each_domain(out, find(*root, "global_deny_list"), [&](const spelled& host, int line) {
    if (out.deny(host.host, host.reach, allowlist::port_set::any(), line)) out.exact();
    global.denied.emplace_back(host, line);
  });
  each_domain(out, find(*root, "global_allow_list"),
              [&](const spelled& host, int line) { global.allowed.emplace_back(host, line); });
  if (services != nullptr) {
    for (const auto& service : services->items) {
      const auto* name = find(service, "name");
      if (name == nullptr || name->text.empty()) {
        out.left_out(service.at.line, "a service without a name");
        continue;
      }
      take_service(out, name->text, service, global);
    }
  }
  if (const auto* other = find(*root, "default"); other != nullptr && other->kind == node_kind::map) {
    take_service(out, "default", *other, global);
    out.differs(
        other->at.line,
        "the default service is phase `default`: here a client that no source of identity names is refused");
  }
  out.differs(0, std::string(any_port_remark));
  return out.take();
}

}  // namespace exeat::importers
