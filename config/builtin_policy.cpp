#include "config/builtin_policy.hpp"

namespace exeat::config {

std::string_view builtin_policy_text() noexcept {
  return R"yaml(# The policy that is built into exeat. Copy it, change it, and name the copy in exeat.yaml.
version: 1
phases:
  # What fetches the tools and dependencies of a job, before anything of the job runs.
  setup:
    untrusted: false
    allow:
      # Registries stand here as wildcards of their domains with the apex: a registry answers under several
      # names (index, files, mirrors by region, names from before a move), which change without notice, and
      # the whole domain is in one hand. Where names of one domain belong to many hands, as with user content,
      # single hosts stand here.
      - {host: "**.debian.org", apex: true, ports: [80, 443], reason: "Debian packages; apt checks signatures, so plain HTTP will do"}
      - {host: "**.npmjs.org", apex: true, reason: npm packages}
      - {host: "**.pypi.org", apex: true, reason: index of Python packages}
      - {host: "**.pythonhosted.org", apex: true, reason: files of Python packages}
      - {host: "**.crates.io", apex: true, reason: Rust crates}
      - {host: github.com, reason: git over https}
      - {host: codeload.github.com, reason: archives of repositories}
      - {host: objects.githubusercontent.com, reason: assets of releases}
      - {host: release-assets.githubusercontent.com, reason: assets of releases}
      - {host: raw.githubusercontent.com, reason: single files of repositories}
  # The coding agent itself: it needs its model and nothing else.
  agent:
    allow:
      - {host: api.anthropic.com, reason: model API}
      - {host: api.openai.com, reason: model API}
      - {host: generativelanguage.googleapis.com, reason: model API}
  # MCP servers: each needs something else, so nothing until somebody says so.
  mcp:
    allow: []
)yaml";
}

}  // namespace exeat::config
