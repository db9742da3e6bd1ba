// StepSecurity's Harden-Runner: `allowed-endpoints`, in workflows or alone, as HOST:PORT with blanks between.
//
// Each job of a workflow becomes a phase. How deep `*.x` reaches is not documented: one label is taken.
#include <fmt/format.h>

#include <charconv>

#include "importers/draft.hpp"

namespace exeat::importers {
namespace {

using config::yaml::node;
using config::yaml::node_kind;

void take_endpoint(draft& into, std::string_view phase, std::string_view text, int line) {
  const auto colon = text.rfind(':');
  std::uint16_t port = 443;
  const auto host = text.substr(0, colon);
  if (colon != std::string_view::npos) {
    const auto digits = text.substr(colon + 1);
    const auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || stop != digits.data() + digits.size() || port == 0)
      return into.left_out(line, fmt::format("`{}`: not HOST:PORT", text));
  } else {
    into.differs(line, fmt::format("`{}` names no port: 443 is taken", text));
  }
  const auto spelled = read_star(host, reach::name);
  if (!spelled) return into.left_out(line, spelled.error());
  const auto ports = allowlist::port_set::of({{port, port}});
  if (spelled->reach == reach::name) {
    if (into.allow(phase, spelled->host, reach::name, ports, line)) into.exact();
    return;
  }
  if (!into.allow(phase, spelled->host, reach::one_label, ports, line)) return;
  into.differs(
      line, fmt::format("`{}`: one label in front is taken, as nothing says that more are meant (`**.{}` is "
                        "any number)",
                        host, spelled->host));
}

void take_list(draft& into, std::string_view phase, std::string_view text, int line) {
  for (const auto endpoint : split(text, " \t\r\n,")) take_endpoint(into, phase, endpoint, line);
}

bool is_harden_runner(const node& step) {
  const auto* uses = find(step, "uses");
  return uses != nullptr && uses->text.starts_with("step-security/harden-runner");
}

void take_job(draft& into, const std::string& name, const node& job) {
  const auto* steps = find(job, "steps");
  if (steps == nullptr) return;
  for (const auto& step : steps->items) {
    if (!is_harden_runner(step)) continue;
    auto& phase = into.phase(name);
    const auto* with = find(step, "with");
    const auto* egress = with == nullptr ? nullptr : find(*with, "egress-policy");
    if (egress == nullptr || egress->text != "block") {
      phase.mode = allowlist::phase_mode::audit;
      into.differs(step.at.line, "egress-policy is not `block`: the phase is in `mode: audit`");
    }
    if (const auto* list = with == nullptr ? nullptr : find(*with, "allowed-endpoints"); list != nullptr)
      take_list(into, name, list->text, list->at.line);
  }
}

bool looks_like_workflow(std::string_view text) {
  return text.find("jobs:") != std::string_view::npos || text.find("harden-runner") != std::string_view::npos;
}

}  // namespace

std::expected<imported, config::errors> from_harden_runner(const source& from) {
  draft out(from);
  if (looks_like_workflow(from.text)) {
    const auto root = parse_tree(from);
    if (!root) return std::unexpected(root.error());
    const auto* jobs = find(*root, "jobs");
    if (jobs == nullptr || jobs->kind != node_kind::map)
      return std::unexpected(config::errors{
          {.where = {.file = from.file, .line = 1}, .message = "the workflow has no map `jobs`"}});
    for (const auto& job : jobs->entries) take_job(out, job.key, job.value);
  } else {
    int number = 0;
    auto rest = from.text;
    while (!rest.empty()) {
      const auto end = rest.find('\n');
      auto line = rest.substr(0, end);
      rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
      line = line.substr(0, line.find('#'));
      if (const auto key = line.find("allowed-endpoints:"); key != std::string_view::npos)
        line = line.substr(key + std::string_view("allowed-endpoints:").size());
      for (const auto endpoint : split(line, " \t,>|")) take_endpoint(out, from.phase, endpoint, number + 1);
      ++number;
    }
  }
  out.differs(
      0,
      "Harden-Runner lets any protocol through to these ports; here a tunnel must carry TLS to the name that "
      "was asked for (`tls: any` where it may not), and port 80 is plain HTTP");
  return out.take();
}

}  // namespace exeat::importers
