#include "cli/banner.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

namespace exeat::cli {
namespace {

std::string url_of(const config::endpoint& endpoint) {
  return "http://" + config::to_string(endpoint);
}

bool allowed(const allowlist::policy& policy, allowlist::phase_id phase, std::string_view name) {
  const auto host = core::host_name::parse(name);
  if (!host) return false;
  const core::destination to{*host, 443};
  const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
  return allowlist::decide(policy, {phase, core::scheme::https, &to, now}).verdict !=
         allowlist::verdict::deny;
}

// A name that a rule spells out, so that it can be asked for as it stands.
std::string allowed_example(const allowlist::policy& policy, std::string_view phase) {
  const auto id = policy.find_phase(phase);
  if (!id) return {};
  for (const auto& rule : policy.phase_of(*id).allow) {
    const auto* pattern = std::get_if<allowlist::host_pattern>(&rule.what);
    if (pattern == nullptr || pattern->depth != allowlist::depth::exact) continue;
    if (allowed(policy, *id, pattern->name.view())) return std::string(pattern->name.view());
  }
  return {};
}

std::string refused_example(const allowlist::policy& policy, std::string_view phase) {
  const auto id = policy.find_phase(phase);
  if (!id) return {};
  for (const std::string_view name : {"example.org", "example.net", "refused.example"}) {
    if (!allowed(policy, *id, name)) return std::string(name);
  }
  return {};
}

}  // namespace

std::string identity_note(const std::vector<proxy::bound_listener>& listeners) {
  const bool tcp = std::ranges::any_of(
      listeners, [](const auto& l) { return std::holds_alternative<config::tcp_endpoint>(l.bound); });
  if (!tcp) return "unix sockets: whoever may open a socket's path is in its phase";
  return "none: any local process may use any of these ports, whatever phase it is in; keep them apart by "
         "unix sockets, network namespaces or a firewall by uid where that matters";
}

std::string banner(const banner_facts& facts) {
  const auto& source = facts.policy->source();
  std::string out =
      fmt::format("exeat {}, {} worker{}\n", EXEAT_VERSION, facts.workers, facts.workers == 1 ? "" : "s");
  out += fmt::format("  policy    {} ({} rules, digest {})\n", source.file, facts.policy->rule_count(),
                     source.digest.substr(0, 12));
  for (const auto& phase : source.phases) {
    if (phase.mode == allowlist::phase_mode::audit) {
      out += fmt::format("  audit     phase {} lets everything through and only logs what it would deny\n",
                         phase.name);
    }
  }
  out += fmt::format("  identity  {}\n", identity_note(*facts.listeners));
  if (facts.admin) {
    const auto* tcp = std::get_if<config::tcp_endpoint>(&*facts.admin);
    const auto base = tcp != nullptr ? url_of(*facts.admin) : config::to_string(*facts.admin) + " ";
    out += fmt::format("  metrics   {}/metrics\n  health    {}/-/ready\n", base, base);
  }
  if (facts.control) out += fmt::format("  control   {}\n", config::to_string(*facts.control));
  for (const auto& warning : facts.warnings) out += fmt::format("  warning   {}\n", warning);

  out += "\nFor a job, by phase:\n";
  const proxy::bound_listener* first_tcp = nullptr;
  const proxy::bound_listener* last_tcp = nullptr;
  for (const auto& l : *facts.listeners) {
    if (std::holds_alternative<config::tcp_endpoint>(l.bound)) {
      out += fmt::format("  {:<8} export HTTPS_PROXY={} HTTP_PROXY={}\n", l.configured.phase, url_of(l.bound),
                         url_of(l.bound));
      if (first_tcp == nullptr) first_tcp = &l;
      last_tcp = &l;
    } else {
      out += fmt::format("  {:<8} exeat connect --unix {} -- COMMAND\n", l.configured.phase,
                         std::get<config::unix_endpoint>(l.bound).path);
    }
  }
  if (first_tcp != nullptr) {
    const auto& refusing = *last_tcp;
    const auto yes = allowed_example(*facts.policy, first_tcp->configured.phase);
    const auto no = refused_example(*facts.policy, refusing.configured.phase);
    if (!yes.empty() || !no.empty()) out += "\nTo try:\n";
    if (!yes.empty()) {
      out += fmt::format("  allowed  curl -sSI --proxy {} https://{}/\n", url_of(first_tcp->bound), yes);
    }
    if (!no.empty())
      out += fmt::format("  refused  curl -sSI --proxy {} https://{}/\n", url_of(refusing.bound), no);
  }
  out += "\n";
  return out;
}

}  // namespace exeat::cli
