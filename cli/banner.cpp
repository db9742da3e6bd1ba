#include "cli/banner.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

#include "config/upstream_choice.hpp"
#include "identity/identity.hpp"

namespace exeat::cli {
namespace {

std::string url_of(const config::endpoint& endpoint) {
  return "http://" + config::to_string(endpoint);
}

std::string proxy_url_of(const proxy::bound_listener& listener) {
  return (listener.configured.tls ? "https://" : "http://") + config::to_string(listener.bound);
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

std::string identity_of(const proxy::bound_listener& listener) {
  using source = config::identity_check::source;
  if (identity::is_listener_only(listener.configured)) {
    return std::holds_alternative<config::tcp_endpoint>(listener.bound) ? "none" : "unix-socket";
  }
  std::vector<std::string_view> words;
  for (const auto& check : listener.configured.identity) {
    switch (check.kind) {
      case source::listener:
        words.push_back("listener");
        break;
      case source::peer:
        words.push_back("peer");
        break;
      case source::mtls:
        words.push_back("mtls");
        break;
      case source::credential:
        words.push_back("credential");
        break;
      case source::source:
        words.push_back("source");
        break;
      case source::proxy_protocol:
        words.push_back("proxy_protocol");
        break;
      case source::any_of:
        words.push_back("any_of");
        break;
    }
  }
  return fmt::format("{}", fmt::join(words, "+"));
}

std::string identity_of(const std::vector<proxy::bound_listener>& listeners) {
  std::vector<std::string> all;
  for (const auto& listener : listeners) {
    auto word = identity_of(listener);
    if (word == "none") return word;
    if (std::ranges::find(all, word) == all.end()) all.push_back(std::move(word));
  }
  return fmt::format("{}", fmt::join(all, ", "));
}

std::string identity_note(const std::vector<proxy::bound_listener>& listeners) {
  const auto is_open = [](const auto& l) { return identity_of(l) == "none"; };
  const auto open = std::ranges::count_if(listeners, is_open);
  if (open == 0) {
    const auto words = identity_of(listeners);
    if (words == "unix-socket") return "unix sockets: whoever may open a socket's path is in its phase";
    return words + ": whoever does not prove a phase is refused";
  }
  std::string which = "any of these ports";
  if (open != std::ssize(listeners)) {
    which.clear();
    for (const auto& l : listeners) {
      if (is_open(l)) which += (which.empty() ? "" : ", ") + config::to_string(l.bound);
    }
  }
  return fmt::format(
      "none: any local process may use {}, whatever phase it is in; keep them apart by `identity`, unix "
      "sockets, network namespaces or a firewall by uid where that matters",
      which);
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
  out += fmt::format("  job       {}\n", facts.job);
  out += fmt::format("  sandbox   {}\n", facts.sandbox);
  if (facts.upstream != nullptr) {
    for (const auto& proxy : facts.upstream->proxies) {
      out += fmt::format("  upstream  {} for {}{}\n", config::to_string(proxy), config::hosts_text(proxy),
                         proxy.remote ? " (resolve: remote)" : "");
    }
  }
  if (facts.admin) {
    const auto* tcp = std::get_if<config::tcp_endpoint>(&*facts.admin);
    const auto base = tcp != nullptr ? url_of(*facts.admin) : config::to_string(*facts.admin) + " ";
    out += fmt::format("  metrics   {}/metrics\n  health    {}/-/ready\n", base, base);
    if (!facts.login.empty()) {
      out += tcp != nullptr
                 ? fmt::format("  dashboard {}/#/login/{} (good once, for ten minutes)\n", base, facts.login)
                 : fmt::format("  dashboard {}with the token {} (good once, for ten minutes)\n", base,
                               facts.login);
    }
  }
  if (facts.control) out += fmt::format("  control   {}\n", config::to_string(*facts.control));
  for (const auto& warning : facts.warnings) out += fmt::format("  warning   {}\n", warning);

  out += "\nFor a job, by phase:\n";
  const proxy::bound_listener* first_tcp = nullptr;
  const proxy::bound_listener* last_tcp = nullptr;
  for (const auto& l : *facts.listeners) {
    if (l.configured.phase.empty()) {
      out += fmt::format("  {:<8} {} ({} proves the phase)\n", "any", config::to_string(l.bound),
                         identity_of(l));
    } else if (std::holds_alternative<config::tcp_endpoint>(l.bound)) {
      out += fmt::format("  {:<8} export HTTPS_PROXY={} HTTP_PROXY={}\n", l.configured.phase, proxy_url_of(l),
                         proxy_url_of(l));
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
      out += fmt::format("  allowed  curl -sSI --proxy {} https://{}/\n", proxy_url_of(*first_tcp), yes);
    }
    if (!no.empty())
      out += fmt::format("  refused  curl -sSI --proxy {} https://{}/\n", proxy_url_of(refusing), no);
  }
  out += "\n";
  return out;
}

}  // namespace exeat::cli
