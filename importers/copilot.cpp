// The custom allowlist of the Copilot coding agent's firewall: names and URLs, one a line or with commas
// between.
//
// A bare name is that name and every name under it. A URL is one scheme and host, and the path with what is
// below it.
#include <fmt/format.h>

#include "allowlist/path_pattern.hpp"
#include "config/destination.hpp"
#include "importers/draft.hpp"

namespace exeat::importers {
namespace {

void take_url(draft& into, const source& from, std::string_view text, int line) {
  const auto wanted = config::parse_destination(text);
  if (!wanted) return into.left_out(line, fmt::format("`{}`: {}", text, wanted.error()));
  const auto behind = text.find("://") + 3;
  const auto slash = text.find('/', behind);
  const auto path = slash == std::string_view::npos ? std::string_view("/") : text.substr(slash);
  const auto host = core::to_string(wanted->to.host);
  if (path != "/") {
    return into.left_out(
        line,
        fmt::format("`{}`: the rule is for one path. Paths of https cannot be seen without inspection; for "
                    "http write `{{host: {}, ports: {}, paths: [...]}}`",
                    text, host, wanted->to.port));
  }
  const allowlist::port_range port{wanted->to.port, wanted->to.port};
  if (into.allow(from.phase, host, reach::name, allowlist::port_set::of({port}), line)) into.exact();
}

void take_entry(draft& into, const source& from, std::string_view text, int line) {
  if (text.find("://") != std::string_view::npos) return take_url(into, from, text, line);
  if (text.find('*') != std::string_view::npos)
    return into.left_out(
        line, fmt::format("`{}`: a bare name covers the names under it; an asterisk is not part of "
                          "the product's language",
                          text));
  const auto host = text.starts_with('.') ? text.substr(1) : text;
  const auto how = is_address(host) ? reach::name : reach::name_below;
  if (into.allow(from.phase, host, how, web_ports(), line)) into.exact();
}

}  // namespace

std::expected<imported, config::errors> from_copilot(const source& from) {
  draft out(from);
  out.phase(from.phase);
  int number = 0;
  auto rest = from.text;
  while (!rest.empty()) {
    const auto end = rest.find('\n');
    auto line = rest.substr(0, end);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    ++number;
    line = line.substr(0, line.find('#'));
    // As a setting: NAME=a,b or NAME: "a,b".
    if (const auto at = line.find("ALLOW_LIST"); at != std::string_view::npos) {
      const auto value = line.find_first_of("=:", at);
      line = value == std::string_view::npos ? std::string_view() : line.substr(value + 1);
    }
    for (const auto entry : split(line, ", \t\"'")) take_entry(out, from, entry, number);
  }
  out.differs(0, std::string(any_port_remark));
  return out.take();
}

}  // namespace exeat::importers
