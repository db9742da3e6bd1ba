#include "allowlist/lint_sinks.hpp"

#include <boost/unordered/unordered_flat_map.hpp>
#include <string>

namespace exeat::allowlist {
namespace {

struct sink {
  // `*.x`: a wildcard that takes in names of more than one owner under x. `**.x`: anything at or under x.
  // `x`: that host.
  std::string_view pattern;
  std::string_view why;
};

// Small on purpose: what is common in policies for jobs and agents. Suffixes that the public suffix list has
// stand here for the wildcards above them; a wildcard right on them is refused by the loader.
constexpr sink table[]{
    {"*.amazonaws.com", "buckets, functions and queues of every customer"},
    {"*.api.aws", "services of every customer"},
    {"*.googleapis.com", "storage and APIs of every customer"},
    {"*.googleusercontent.com", "content of every customer"},
    {"*.google.com", "forms, documents and drives of everybody"},
    {"*.blob.core.windows.net", "storage accounts of every customer"},
    {"*.azurewebsites.net", "applications of every customer"},
    {"*.azure.com", "services of every customer"},
    {"*.visualstudio.com", "accounts of every customer"},
    {"*.microsoft.com", "storage and telemetry services among them"},
    {"*.cloudfront.net", "distributions of every customer"},
    {"*.r2.cloudflarestorage.com", "buckets of every customer"},
    {"*.workers.dev", "programs of everybody"},
    {"*.pages.dev", "sites of everybody"},
    {"*.vercel-storage.com", "stores of every customer"},
    {"*.gcr.io", "registries of every project"},
    {"*.github.io", "sites of everybody"},
    {"*.readthedocs.io", "sites of everybody"},
    {"*.sourceforge.net", "projects of everybody"},
    {"*.slack.com", "workspaces of everybody"},
    {"*.discord.com", "webhooks of everybody"},
    {"*.ngrok.io", "tunnels of everybody"},
    {"github.com", "git push, with any token"},
    {"api.github.com", "gists, issues and repositories, with any token"},
    {"gist.github.com", "gists, with any token"},
    {"gitlab.com", "git push and snippets, with any token"},
    {"bitbucket.org", "git push and snippets, with any token"},
    {"codeberg.org", "git push, with any token"},
    {"ghcr.io", "pushed images"},
    {"quay.io", "pushed images"},
    {"**.docker.io", "pushed images"},
    {"storage.googleapis.com", "buckets of every customer, by path"},
    {"s3.amazonaws.com", "buckets of every customer, by path"},
    {"sentry.io", "events of any project"},
    {"**.datadoghq.com", "logs and metrics of any account"},
    {"api.honeycomb.io", "events of any account"},
    {"api.telegram.org", "messages by any bot"},
    {"hooks.slack.com", "messages to any workspace"},
    {"discord.com", "webhooks of anybody"},
    {"docs.google.com", "forms that anybody can read out"},
    {"pastebin.com", "pastes, without an account"},
    {"transfer.sh", "files, without an account"},
    {"file.io", "files, without an account"},
    {"**.webhook.site", "requests shown to whoever made the address"},
    {"**.requestbin.com", "requests shown to whoever made the address"},
    {"**.npmjs.org", "packages published with any token"},
    {"**.pypi.org", "packages published with any token"},
    {"**.crates.io", "crates published with any token"},
    {"**.rubygems.org", "gems published with any token"},
};

}  // namespace

std::vector<sink_hit> sinks_reached(const policy::compiled& policy, scope phase,
                                    std::chrono::sys_seconds now) {
  boost::unordered_flat_map<const rule*, const sink*> hits;
  const auto note = [&](const rule& rule, const sink& sink) {
    if (!is_expired(rule, now)) hits.try_emplace(&rule, &sink);
    return false;
  };
  boost::unordered_flat_map<std::string_view, const sink*> domains;
  // Rows over many owners first: the first hit of a rule stays.
  for (const auto& row : table) {
    if (row.pattern.starts_with("**.")) {
      domains.emplace(row.pattern.substr(3), &row);
    } else if (row.pattern.starts_with("*.")) {
      // A name that only a wildcard covers.
      const auto stranger = "another--owner" + std::string(row.pattern.substr(1));
      policy.hosts.visit(phase, name_suffixes(stranger), [&](const rule& rule) {
        const bool one_name = std::get<host_pattern>(rule.what).depth == depth::exact;
        return !one_name && note(rule, row);
      });
    } else {
      policy.hosts.visit(phase, name_suffixes(row.pattern),
                         [&](const rule& rule) { return note(rule, row); });
    }
  }
  std::vector<sink_hit> out;
  for (const auto& rule : policy.source.phases[phase].allow) {
    const auto* pattern = std::get_if<host_pattern>(&rule.what);
    if (pattern == nullptr) continue;
    const name_suffixes names(pattern->name.view());
    for (std::size_t i = 0; i < names.count(); ++i) {
      if (const auto found = domains.find(names.text(i)); found != domains.end()) note(rule, *found->second);
    }
    if (const auto hit = hits.find(&rule); hit != hits.end()) {
      const auto& sink = *hit->second;
      const bool tenants = sink.pattern.starts_with("*.");
      out.push_back({&rule, tenants ? sink.pattern.substr(2) : sink.pattern, sink.why, tenants});
    }
  }
  return out;
}

}  // namespace exeat::allowlist
