#include "config/builtin_policy.hpp"

namespace exeat::config {

std::string_view builtin_policy_text() noexcept {
  return R"yaml(# The policy that is built into exeat. Copy it, change it, and name the copy in exeat.yaml.
# `exeat bundles NAME` shows what a `use` stands for.
version: 1
phases:
  # What fetches the tools and dependencies of a job, before anything of the job runs.
  setup:
    untrusted: false
    allow:
      - use: debian
      - use: node
      - use: python
      - use: rust
      - use: github
  # The coding agent itself: it needs its model and nothing else. Keep the one that is yours.
  agent:
    allow:
      - {use: anthropic, accept_risk: "an agent needs its model; with an attacker's key it can be sent secrets, too"}
      - {use: openai, accept_risk: "an agent needs its model; with an attacker's key it can be sent secrets, too"}
      - {use: google, accept_risk: "an agent needs its model; with an attacker's key it can be sent secrets, too"}
  # MCP servers: each needs something else, so nothing until somebody says so.
  mcp:
    allow: []
tests:
  - {phase: setup, url: "https://github.com/", expect: allow}
  - {phase: agent, url: "https://api.anthropic.com/", expect: allow}
  - {phase: agent, url: "https://github.com/", expect: deny}
  - {phase: mcp, url: "https://api.anthropic.com/", expect: deny}
)yaml";
}

}  // namespace exeat::config
