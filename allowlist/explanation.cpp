#include "allowlist/explanation.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "allowlist/matcher.hpp"
#include "allowlist/name_entropy.hpp"
#include "core/units.hpp"

namespace exeat::allowlist {
namespace {

// YAML takes a name without quotes, except that one of a single label may be a word of YAML's own, and an
// IPv6 address may begin like a mapping.
std::string yaml(const core::host_name& name) {
  const bool quote = name.view().find('.') == std::string_view::npos;
  return quote ? fmt::format("\"{}\"", name.view()) : std::string(name.view());
}
std::string yaml_single(const core::ip_address& address) {
  return address.is_v4() ? address.to_string() + "/32" : fmt::format("\"{}/128\"", address.to_string());
}

// The key and value that name a destination in a rule.
std::string yaml_what(const core::host& host) {
  if (const auto* name = std::get_if<core::host_name>(&host)) return "host: " + yaml(*name);
  return "cidr: " + yaml_single(std::get<core::ip_address>(host));
}

bool needs_ports(const refused& refused) {
  return refused.to->port != 443 || refused.scheme == core::scheme::http;
}

// A service whose clients never begin with a ClientHello of their own accord.
std::string_view plain_service(std::uint16_t port) {
  switch (port) {
    case 22:
      return "SSH";
    case 25:
    case 587:
      return "SMTP";
    case 1433:
      return "SQL Server";
    case 3306:
      return "MySQL";
    case 5432:
      return "PostgreSQL";
    case 6379:
      return "Redis";
    case 9418:
      return "git://";
    case 27017:
      return "MongoDB";
    default:
      return {};
  }
}

std::string_view tls_service(const refused& refused) {
  return refused.scheme == core::scheme::https ? plain_service(refused.to->port) : std::string_view();
}

std::vector<std::string> rule_block(const refused& refused) {
  std::vector<std::string> lines{"  - " + yaml_what(refused.to->host)};
  if (needs_ports(refused)) {
    lines.push_back(
        fmt::format("    ports: [{}]{}", refused.to->port,
                    refused.scheme == core::scheme::http ? "   # plain HTTP: the port is written down" : ""));
  }
  if (const auto service = tls_service(refused); !service.empty())
    lines.push_back(fmt::format("    tls: any   # {} is not TLS; nobody looks inside", service));
  return lines;
}

std::string rule_line(const refused& refused) {
  return fmt::format("- {{{}{}{}}}", yaml_what(refused.to->host),
                     needs_ports(refused) ? fmt::format(", ports: [{}]", refused.to->port) : "",
                     tls_service(refused).empty() ? "" : ", tls: any");
}

std::string cited(const rule& rule) {
  const auto where = rule.where.to_string();
  return fmt::format("`{}`{}", what_text(rule), where.empty() ? "" : " (" + where + ")");
}

std::string date(const std::chrono::year_month_day& day) {
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(day.year()), static_cast<unsigned>(day.month()),
                     static_cast<unsigned>(day.day()));
}

const phase* phase_in(const refused& refused) {
  if (refused.policy == nullptr) return nullptr;
  const auto& phases = refused.policy->source().phases;
  const auto index = static_cast<std::size_t>(refused.phase);
  return index < phases.size() ? &phases[index] : nullptr;
}

// A rule of the phase that nearly covers the name; told because apex and depth surprise everyone.
std::string near_name(const refused& refused) {
  const auto* host = refused.to == nullptr ? nullptr : std::get_if<core::host_name>(&refused.to->host);
  if (host == nullptr) return {};
  const name_suffixes name(host->view());
  const auto& matcher = refused.policy->matcher();
  for (std::size_t i = 0; i < name.count(); ++i) {
    const auto entries = matcher.hosts.find(static_cast<scope>(refused.phase), name.text(i), name.hash(i));
    if (entries.empty()) continue;
    if (i == 0) {
      return fmt::format("{} does not cover {} itself; `apex: true` beside it would.",
                         cited(*entries.front().rule), name.text(0));
    }
    // Of a deeper name the wildcard that takes one label is nearer than the bare name.
    const auto one = std::ranges::find(entries, depth::one_label, &host_index::entry::reach);
    if (i > 1 && one != entries.end()) {
      return fmt::format("{} covers exactly one label in front of {}; `**.{}` would cover more.",
                         cited(*one->rule), name.text(i), name.text(i));
    }
    return fmt::format("{} covers {} alone, not the names under it.", cited(*entries.front().rule),
                       name.text(i));
  }
  return {};
}

// "`upload_limit` is 20MiB for agent/x.com:443 (policy.yaml:9) and 1GiB for the phase", of those there are.
std::string limits_text(const refused& refused) {
  const bool counts = refused.reason == core::reason::request_limit;
  const auto of = [&](const transfer_limits& l) {
    if (counts) return l.requests;
    return refused.reason == core::reason::upload_limit ? l.upload : l.download;
  };
  std::string out;
  const auto note = [&](const transfer_limits& limits, std::string_view whose) {
    if (!of(limits)) return;
    const auto text = counts ? std::to_string(*of(limits)) : core::size_to_string(*of(limits));
    out += fmt::format("{}{} for {}", out.empty() ? "" : " and ", text, whose);
  };
  if (refused.governing != nullptr && refused.governing->terms)
    note(refused.governing->terms->limits, cited(*refused.governing));
  if (const auto* phase = phase_in(refused); phase != nullptr) {
    note(phase->limits, fmt::format("phase `{}`", phase->name));
    note(refused.policy->source().limits, "the job");
  }
  if (out.empty()) return {};
  const auto key = counts                                         ? "request_limit"
                   : refused.reason == core::reason::upload_limit ? "upload_limit"
                                                                  : "download_limit";
  return fmt::format("`{}` is {}.", key, out);
}

std::string time_limit_text(const refused& refused) {
  const auto* phase = phase_in(refused);
  if (phase == nullptr || !phase->time_limit) return {};
  return fmt::format("`time_limit` is {} for phase `{}`.", core::to_string(*phase->time_limit), phase->name);
}

std::string terms_text(const rule& rule, const refused& refused) {
  const auto& terms = *rule.terms;
  switch (refused.reason) {
    case core::reason::http_only:
      return fmt::format("{} names `methods` or `paths`.", cited(rule));
    case core::reason::method_not_allowed:
      return fmt::format("{} allows {}.", cited(rule), fmt::join(terms.methods, ", "));
    case core::reason::path_not_allowed:
      return fmt::format("{} allows {}.", cited(rule), fmt::join(terms.paths, ", "));
    case core::reason::too_many_names:
      return fmt::format(
          "{} may be used for {} names in one job; a host that has a rule of its own is not counted.",
          cited(rule), terms.max_names.value_or(0));
    case core::reason::name_entropy: {
      const auto* pattern = std::get_if<host_pattern>(&rule.what);
      const auto* name = refused.to == nullptr ? nullptr : std::get_if<core::host_name>(&refused.to->host);
      if (pattern == nullptr || name == nullptr) return {};
      const auto part = wildcard_part(*pattern, name->view());
      return fmt::format(
          "{} lets its wildcard stand for {} bits; `{}` ({} characters) is {}. A host that has a rule of its "
          "own is not held to it.",
          cited(rule), terms.max_name_entropy.value_or(0), part, part.size(), entropy_of(part));
    }
    case core::reason::outside_resolve_in: {
      std::string prefixes;
      for (const auto& prefix : terms.resolve_in) {
        if (!prefixes.empty()) prefixes += ", ";
        prefixes += prefix.to_string();
      }
      return fmt::format("{} holds its names to {}.", cited(rule), prefixes);
    }
    default:
      return {};
  }
}

// One sentence with the particulars that the table's own sentence lacks; empty where there are none.
std::string particulars(const refused& refused) {
  using core::reason;
  const auto* rule = refused.governing;
  switch (refused.reason) {
    case reason::no_rule:
      return near_name(refused);
    case reason::deny_rule:
      return rule == nullptr ? "" : fmt::format("{} stands under `deny`.", cited(*rule));
    case reason::rule_expired:
      return rule == nullptr || !rule->expires
                 ? ""
                 : fmt::format("{} would have matched until {} (UTC).", cited(*rule), date(*rule->expires));
    case reason::port_not_allowed:
    case reason::scheme_not_allowed:
      if (rule == nullptr || refused.to == nullptr) return {};
      if (refused.reason == reason::scheme_not_allowed)
        return fmt::format("{} opens port 443 for TLS only.", cited(*rule));
      return fmt::format("{} covers port {}, not {}.", cited(*rule), rule->ports.to_string(),
                         refused.to->port);
    case reason::address_denied:
      return refused.guard == nullptr || refused.guard->denied_by == nullptr
                 ? ""
                 : fmt::format("{} stands under `deny`.", cited(*refused.guard->denied_by));
    case reason::http_only:
    case reason::method_not_allowed:
    case reason::path_not_allowed:
    case reason::name_entropy:
    case reason::too_many_names:
    case reason::outside_resolve_in:
      return rule == nullptr || !rule->terms ? "" : terms_text(*rule, refused);
    case reason::upload_limit:
    case reason::download_limit:
    case reason::request_limit:
      return limits_text(refused);
    case reason::time_limit:
      return time_limit_text(refused);
    default:
      return {};
  }
}

std::string forbidden(const guard_refusal& guard) {
  if (guard.range == nullptr) return fmt::format("{} is forbidden.", guard.address.to_string());
  return fmt::format("{} is {} ({}){}.", guard.address.to_string(), guard.range->name, guard.range->source,
                     guard.range->metadata ? ", and hands out credentials to whoever asks" : "");
}

bool asks_for_rule(core::reason reason) {
  using core::reason;
  return reason == reason::no_rule || reason == reason::rule_expired || reason == reason::port_not_allowed ||
         reason == reason::scheme_not_allowed || reason == reason::ip_literal;
}

// A literal needs its `addresses` entry beside the rule. (It names nothing that the client did not.)
std::string literal_exception(const refused& refused) {
  const auto* literal = std::get_if<core::ip_address>(&refused.to->host);
  if (literal == nullptr || special_range_of(*literal) == nullptr) return {};
  return exception_line(*refused.to, *literal);
}

// What may be changed about a rule that let the tunnel through but not what was in it.
std::string peek_hint(core::reason reason, std::uint16_t port) {
  using core::reason;
  switch (reason) {
    case reason::not_tls:
      return fmt::format(
          "if it is plain HTTP, set `http_proxy` so that the client asks in absolute form (the rule then "
          "needs `ports: [{}]`); if it is meant not to be TLS (SSH, a database), put `tls: any` on the rule",
          port);
    case reason::sni_missing:
    case reason::sni_mismatch:
      return "the client must name the CONNECT host in its SNI; `tls: any` on the rule would give up the "
             "check";
    case reason::http_only:
      return "ask for it as plain HTTP (`http_proxy`), or write a rule without `methods` and `paths` for TLS";
    case reason::ech_refused:
      return "switch Encrypted ClientHello off in the client, or put `ech: allow` on the rule";
    default:
      return {};
  }
}

std::string ask(const refused& refused) {
  return fmt::format("Show decision {} to whoever owns the policy (`exeat report` lists it).",
                     refused.decision);
}

// The next hop failed, not the origin: its address, credential and CA stand in exeat.yaml.
bool is_of_next_hop(core::reason reason) {
  using core::reason;
  return reason == reason::upstream_unreachable || reason == reason::upstream_timeout ||
         reason == reason::upstream_tls || reason == reason::upstream_refused ||
         reason == reason::upstream_credential || reason == reason::upstream_not_http;
}

std::string kind_hint(const refused& refused) {
  if (is_of_next_hop(refused.reason)) {
    return fmt::format(
        "The policy allows it; the proxy behind this one failed it. Trying again may help; otherwise show "
        "decision {} to whoever runs this one.",
        refused.decision);
  }
  switch (core::row_of(refused.reason).kind) {
    case core::reason_kind::request:
      return fmt::format("Nothing was forwarded: the request itself must change. Decision {} is in the log.",
                         refused.decision);
    case core::reason_kind::upstream:
      return fmt::format(
          "The policy allows it; the failure lies beyond the proxy. Decision {} is in the log.",
          refused.decision);
    case core::reason_kind::limit:
    case core::reason_kind::internal:
      return fmt::format("Try again later, or show decision {} to whoever runs the proxy.", refused.decision);
    case core::reason_kind::policy:
    case core::reason_kind::allowed:
      break;
  }
  return ask(refused);
}

// Policy files are UTF-8 of their authors' choice; what leaves here keeps to one line.
void flatten(std::string& text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
}

void add_full(const refused& refused, const phase& phase, explanation& out) {
  if (const auto more = particulars(refused); !more.empty()) out.message += " " + more;
  if (refused.reason == core::reason::address_forbidden && refused.guard != nullptr &&
      refused.to != nullptr) {
    if (phase.untrusted) {
      out.next.emplace_back("The decision's log line has the exact `addresses:` entry that would lift this.");
    } else {
      out.message += " " + forbidden(*refused.guard);
      out.next.emplace_back("If that is meant, add to the policy, under `addresses:`");
      out.next.push_back("  " + exception_line(*refused.to, refused.guard->address));
    }
  } else if (asks_for_rule(refused.reason) && refused.to != nullptr) {
    out.next.push_back(
        fmt::format("To allow it, add to the policy, in phase `{}` under `allow:`", phase.name));
    for (auto& line : rule_block(refused)) out.next.push_back(std::move(line));
    if (const auto line = literal_exception(refused); !line.empty()) {
      out.next.emplace_back("and, as it is a special-purpose address, under `addresses:`");
      out.next.push_back("  " + line);
    }
  } else if (const auto hint = peek_hint(refused.reason, refused.to == nullptr ? 0 : refused.to->port);
             !hint.empty()) {
    out.next.emplace_back(hint);
  }
  if (refused.governing != nullptr && !refused.governing->owner.empty())
    out.next.push_back(fmt::format("The rule's owner: {}.", refused.governing->owner));
}

}  // namespace

std::string exception_line(const core::destination& to, const core::ip_address& address) {
  const auto* name = std::get_if<core::host_name>(&to.host);
  return fmt::format("- {{cidr: {}, {}, reason: \"why this address is needed\"}}", yaml_single(address),
                     name != nullptr ? fmt::format("hosts: [{}]", yaml(*name)) : "literal: true");
}

explanation explain_to_client(const refused& known) {
  auto refused = known;
  refused.reason = shown_to_client(known.reason, known.governing);
  explanation out{std::string(core::row_of(refused.reason).doc), {}};
  const auto* phase = phase_in(refused);
  if (phase != nullptr && hints_of(*phase) == hint_level::full) add_full(refused, *phase, out);
  out.next.push_back(kind_hint(refused));
  flatten(out.message);
  for (auto& line : out.next) flatten(line);
  return out;
}

std::string hint_for_log(const refused& refused) {
  std::string out;
  const auto* phase = phase_in(refused);
  if (phase == nullptr || refused.to == nullptr || refused.reason == core::reason::canary) return out;
  out = particulars(refused);
  const auto append = [&](std::string_view text) {
    if (!out.empty() && !text.empty()) out += ' ';
    out += text;
  };
  if (refused.reason == core::reason::address_forbidden && refused.guard != nullptr) {
    append(forbidden(*refused.guard));
    append("Add under addresses: " + exception_line(*refused.to, refused.guard->address));
  } else if (asks_for_rule(refused.reason)) {
    append(fmt::format("Add under phases.{}.allow: {}", phase->name, rule_line(refused)));
    if (const auto line = literal_exception(refused); !line.empty()) append("and under addresses: " + line);
  } else {
    append(peek_hint(refused.reason, refused.to->port));
    if (refused.reason == core::reason::outside_resolve_in && refused.guard != nullptr)
      append(fmt::format("It resolved to {}.", refused.guard->address.to_string()));
  }
  flatten(out);
  return out;
}

}  // namespace exeat::allowlist
