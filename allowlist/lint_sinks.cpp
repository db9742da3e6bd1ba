#include "allowlist/lint_sinks.hpp"

#include <vector>

namespace exeat::allowlist {
namespace {

struct row {
  // `*.x`: names of unrelated owners under x. `**.x`: anything at or under x. `x`: that host.
  std::string_view pattern;
  std::string_view why;
  // A wildcard over it takes in such names, and most of the names under it are the owner's own.
  bool partly = false;
};

// What no bundle brings, and is common in policies or in what attackers use. Small on purpose. Of the
// suffixes of unrelated owners those stand here that Debian's public suffix list lacks (a wildcard right on
// one that it has is refused by the loader) and those below a name on which it allows a wildcard.
constexpr row own[]{
    // Clouds.
    {"*.amazonaws.com", "buckets, functions and queues of every customer"},
    {"*.api.aws", "services of every customer"},
    {"*.on.aws", "functions of every customer"},
    {"*.googleapis.com", "storage and APIs of every customer"},
    {"*.googleusercontent.com", "content of every customer"},
    {"*.google.com", "forms, documents and drives of everybody", true},
    {"*.gcr.io", "registries of every project"},
    {"*.pkg.dev", "registries of every project"},
    {"*.firebaseio.com", "databases of every project"},
    {"*.core.windows.net", "storage of every customer"},
    {"*.blob.core.windows.net", "storage accounts of every customer"},
    {"*.file.core.windows.net", "storage accounts of every customer"},
    {"*.queue.core.windows.net", "storage accounts of every customer"},
    {"*.table.core.windows.net", "storage accounts of every customer"},
    {"*.dfs.core.windows.net", "storage accounts of every customer"},
    {"*.servicebus.windows.net", "queues of every customer"},
    {"*.vault.azure.net", "vaults of every customer"},
    {"*.cognitiveservices.azure.com", "resources of every customer"},
    {"*.azurecr.io", "registries of every customer"},
    {"*.azurewebsites.net", "applications of every customer"},
    {"*.azurefd.net", "front doors of every customer"},
    {"*.azureedge.net", "CDN endpoints of every customer, retired names among them"},
    {"*.trafficmanager.net", "profiles of every customer"},
    {"*.azure.com", "services of every customer", true},
    {"*.visualstudio.com", "accounts of every customer"},
    {"*.microsoft.com", "storage and telemetry services among them", true},
    {"*.sharepoint.com", "sites of every customer"},
    {"*.oraclecloud.com", "services of every customer"},
    {"*.aliyuncs.com", "services of every customer"},
    {"*.myqcloud.com", "buckets of every customer"},
    {"*.cloudfront.net", "distributions of every customer"},
    {"*.fastly.net", "services of every customer"},
    {"*.r2.cloudflarestorage.com", "buckets of every customer"},
    {"*.backblazeb2.com", "buckets of every customer"},
    {"*.wasabisys.com", "buckets of every customer"},
    {"storage.googleapis.com", "buckets of every customer, by path"},
    {"s3.amazonaws.com", "buckets of every customer, by path"},
    // Hosting.
    {"*.workers.dev", "programs of everybody"},
    {"*.pages.dev", "sites of everybody"},
    {"*.github.io", "sites of everybody"},
    {"*.readthedocs.io", "sites of everybody"},
    {"*.sourceforge.net", "projects of everybody"},
    {"*.vercel-storage.com", "stores of every customer"},
    {"*.blob.vercel-storage.com", "stores of every customer"},
    {"*.public.blob.vercel-storage.com", "stores of every customer"},
    {"*.railway.app", "applications of everybody"},
    {"*.up.railway.app", "applications of everybody"},
    {"*.replit.dev", "programs of everybody"},
    {"*.replit.app", "programs of everybody"},
    {"*.val.run", "programs of everybody"},
    {"*.surge.sh", "sites of everybody"},
    {"*.hf.space", "applications of everybody"},
    {"*.jsdelivr.net", "any repository or package, by path"},
    // Tunnels to anybody's machine.
    {"*.ngrok.io", "tunnels of everybody"},
    {"*.ngrok.app", "tunnels of everybody"},
    {"*.ngrok.dev", "tunnels of everybody"},
    {"*.ngrok-free.app", "tunnels of everybody"},
    {"*.loca.lt", "tunnels of everybody"},
    {"*.serveo.net", "tunnels of everybody"},
    {"*.devtunnels.ms", "tunnels of everybody"},
    // People, messages, tickets.
    {"*.slack.com", "workspaces of everybody"},
    {"*.discord.com", "webhooks of everybody"},
    {"*.atlassian.net", "sites of every customer"},
    {"*.zendesk.com", "desks of every customer"},
    {"hooks.slack.com", "messages to any workspace"},
    {"discord.com", "webhooks of anybody"},
    {"api.telegram.org", "messages by any bot"},
    {"docs.google.com", "forms that anybody can read out"},
    // Sources, images, models.
    {"gist.github.com", "gists, with any token"},
    {"uploads.github.com", "release assets, with any token"},
    {"codeberg.org", "git push, with any token"},
    {"salsa.debian.org", "git push, with any account"},
    {"huggingface.co", "repositories, with any token"},
    {"unpkg.com", "any package, by path"},
    {"public.ecr.aws", "images of every customer, by path"},
    {"keyserver.ubuntu.com", "keys, with any text in them, from anybody"},
    {"paste.ubuntu.com", "pastes"},
    // Events and logs.
    {"sentry.io", "events of any project"},
    {"*.sentry.io", "events of any project"},
    {"**.datadoghq.com", "logs and metrics of any account"},
    {"api.honeycomb.io", "events of any account"},
    // Made to receive.
    {"pastebin.com", "pastes, without an account"},
    {"transfer.sh", "files, without an account"},
    {"file.io", "files, without an account"},
    {"**.webhook.site", "requests shown to whoever made the address"},
    {"**.requestbin.com", "requests shown to whoever made the address"},
    {"**.pipedream.net", "requests shown to whoever made the address"},
    {"**.requestcatcher.com", "requests shown to whoever made the address"},
    {"**.beeceptor.com", "requests shown to whoever made the address"},
    {"**.oast.fun", "requests and look-ups shown to whoever made the name"},
    {"**.oastify.com", "requests and look-ups shown to whoever made the name"},
    {"**.interact.sh", "requests and look-ups shown to whoever made the name"},
    {"**.burpcollaborator.net", "requests and look-ups shown to whoever made the name"},
};

std::vector<known_risk> build() {
  std::vector<known_risk> out;
  for (const auto& row : own) {
    auto pattern = host_pattern::parse(row.pattern, true);
    if (!pattern) continue;  // a test counts them
    const bool tenants = pattern->depth == depth::one_label;
    pattern->apex = pattern->depth == depth::any_labels;
    out.push_back({std::move(*pattern), risk::multi_tenant | risk::upload, tenants, row.partly, row.why});
  }
  for (const auto& bundle : bundles()) {
    for (const auto& host : bundle.hosts) {
      if (!has(host.risks, risk::multi_tenant) && !has(host.risks, risk::upload)) continue;
      auto pattern = host_pattern::parse(host.host);
      if (!pattern) continue;
      pattern->apex = host.apex;
      const bool tenants =
          pattern->depth != depth::exact && !host.apex && has(host.risks, risk::multi_tenant);
      out.push_back({std::move(*pattern), host.risks, tenants, host.risks_partly, host.reason});
    }
  }
  return out;
}

}  // namespace

std::span<const known_risk> known_risks() {
  static const auto all = build();
  return all;
}

std::size_t own_risk_count() noexcept {
  return std::size(own);
}

}  // namespace exeat::allowlist
