#include "config/reference.hpp"

#include <fmt/format.h>

#include "config/builtin_policy.hpp"
#include "config/canary_keys.hpp"
#include "config/identity_keys.hpp"
#include "config/policy_keys.hpp"
#include "config/rule_keys.hpp"
#include "config/settings_table.hpp"
#include "config/tls_keys.hpp"
#include "config/upstream_keys.hpp"
#include "core/reason.hpp"

namespace exeat::config {
namespace {

constexpr std::string_view generated =
    "<!-- Written by `exeat docs`; a test fails when it is stale. Edit the tables in the code. -->\n\n";

std::string cell(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

template <class T>
std::string key_table(std::span<const key_row<T>> rows) {
  std::string out = "| key | value | default | meaning |\n|---|---|---|---|\n";
  for (const auto& row : rows) {
    out +=
        fmt::format("| `{}` | {} | {} | {} |\n", row.key, cell(row.type), cell(row.fallback), cell(row.doc));
  }
  return out + "\n";
}

std::string_view kind_name(core::reason_kind kind) {
  switch (kind) {
    case core::reason_kind::allowed:
      return "Let through";
    case core::reason_kind::policy:
      return "The policy, the address guard or the TLS peek refused";
    case core::reason_kind::request:
      return "Not one unambiguous request";
    case core::reason_kind::limit:
      return "A limit or deadline of the proxy's own";
    case core::reason_kind::upstream:
      return "Allowed, but the name, the origin or the path to it failed";
    case core::reason_kind::internal:
      return "The proxy's own state or fault";
  }
  return "";
}

}  // namespace

std::string configuration_page() {
  std::string out = "# Configuration: exeat.yaml\n\n";
  out += generated;
  out +=
      "How a process runs: `exeat serve --config exeat.yaml`. Every key but `version` has a default, and "
      "without a "
      "file all defaults hold. Relative paths are resolved against the directory of the file. A dot stands "
      "for a map: "
      "`timeouts.head` is written\n\n"
      "```yaml\nversion: 1\ntimeouts:\n  head: 10s\n```\n\n"
      "Durations are digits and one of `ms`, `s`, `m`, `h`, `d`; sizes are octets, or digits and one of "
      "`kB`, `MB`, "
      "`GB`, `KiB`, `MiB`, `GiB`. An unknown key, a repeated key, an anchor, an alias, a tag or a second "
      "document is "
      "an error; all errors of a file are reported at once. The file itself, and every directory and symlink "
      "on the "
      "way to it, must be writable by nobody but root and the user that exeat runs as (a sticky directory of "
      "root's, "
      "such as /tmp, counts as safe).\n\n";
  out += "| key | value | default | meaning |\n|---|---|---|---|\n";
  // Built without the environment, lest the page depend on who writes it.
  settings defaults;
  defaults.control.reset();
  for (const auto& row : setting_rows()) {
    out += fmt::format("| `{}` | {} | {} | {} |\n", row.path, cell(row.type), cell(row.show(defaults)),
                       cell(row.doc));
  }
  out += "\n## An entry under `listeners`\n\n" + key_table(listener_rows());
  out += "## `tls` of a listener\n\n" + key_table(tls_rows());
  out +=
      "## `identity` of a listener\n\nA list of `listener` and maps of one source each; every one of them "
      "must answer, "
      "with one phase "
      "and at most one job, and all must agree.\n\n" +
      key_table(check_rows());
  out += "An entry under `peer`:\n\n" + key_table(peer_rows());
  out += "An entry under `mtls`:\n\n" + key_table(certificate_rows());
  out += "`credential`:\n\n" + key_table(credential_rows());
  out += "An entry under `tokens`:\n\n" + key_table(token_rows());
  out += "An entry under `source`:\n\n" + key_table(source_rows());
  out += "## An entry under `upstream.proxies`\n\n" + key_table(upstream_rows());
  out += "## `admin`\n\n" + key_table(admin_rows());
  out += "## `control`\n\n" + key_table(control_rows());
  out +=
      "## Example\n\n"
      "```yaml\n"
      "version: 1\n"
      "policy: policy.yaml\n"
      "listeners:\n"
      "  - {address: \"127.0.0.1:3128\", phase: setup}\n"
      "  - {address: \"127.0.0.1:3129\", phase: agent}\n"
      "  - {unix: agent.sock, mode: \"0660\", phase: agent, identity: [listener, {peer: [{uid: 1002}]}]}\n"
      "  - address: \"127.0.0.1:3130\"\n"
      "    identity:\n"
      "      - any_of:\n"
      "          - peer: [{uid: 1002, phase: agent}, {cgroup: /sys/fs/cgroup/ci/setup, phase: setup}]\n"
      "          - credential: {jobs: true}\n"
      "admin: {address: \"127.0.0.1:9400\"}\n"
      "log: {file: exeat.log, blocked: blocked.log, format: json}\n"
      "dns: {servers: [\"127.0.0.1:53\"], hosts_file: true}\n"
      "workers: 2\n"
      "```\n";
  return out;
}

std::string policy_page() {
  std::string out = "# Policy: policy.yaml\n\n";
  out += generated;
  out +=
      "Who may reach what. Where nothing is allowed, everything is refused; `deny` beats `allow`; the order "
      "of rules "
      "never matters. Of the rules that match, the most specific one governs and is reported: an exact name "
      "before a "
      "wildcard, a longer suffix before a shorter one, `*` before `**`, a rule that is written out before "
      "one "
      "of a bundle, fewer ports before more. What the rule that governs asks for (`tls`, `methods`, "
      "`paths`, limits, ...) holds, and no other rule's. Two rules that are "
      "equal in host and ports must not differ in anything else.\n\n"
      "Names compare as lower-case ASCII; names with other letters are converted (IDNA 2008). A wildcard "
      "stands only "
      "as the whole leftmost label, never alone and, outside `deny`, never on a public suffix such as `com`, "
      "`co.uk` "
      "or `github.io`. An unknown key, a repeated key, an anchor, an alias, a tag or a second document is an "
      "error; "
      "all errors of a file are reported at once, each with line, column and the nearest valid word.\n\n";
  out += "## Top level\n\n" + key_table(policy_rows());
  out += "## A phase\n\n" + key_table(phase_rows());
  out += "## `canary` of a phase, as a map\n\n" + key_table(canary_rows());
  out += "## A rule under `allow`\n\n" + key_table(allow_rows());
  out += "## A bundle under `allow`\n\n" + key_table(use_rows());
  out += "## A rule under `deny`\n\n" + key_table(deny_rows());
  out += "## An entry under `addresses`\n\n" + key_table(exception_rows());
  out += "## An entry under `tests`\n\n" + key_table(test_rows());
  out += "## An included file\n\n" + key_table(included_rows());
  out += "Of a phase in it:\n\n" + key_table(included_phase_rows());
  out += "## Reserved keys\n\nThis belongs to a later version of the language and is refused by this one: ";
  for (bool first = true; const auto& row : unsupported_keys()) {
    out += fmt::format("{}`{}`", first ? "" : ", ", row.key);
    first = false;
  }
  out += fmt::format(
      ".\n\n## The built-in policy\n\nHolds where exeat.yaml names no `policy` and the command line gives no "
      "`--policy`.\n\n```yaml\n{}```\n",
      builtin_policy_text());
  return out;
}

std::string reason_codes_page() {
  std::string out = "# Reason codes\n\n";
  out += generated;
  out +=
      "One code says why a request went as it went; it is the same string in the log (`reason`), in the "
      "metric label "
      "`reason`, in the reason phrase of a refusal (`egress-denied CODE`) and in `exeat check`. The status "
      "is what a "
      "client is sent where nothing has been sent to it yet; the last column is the error type in "
      "`Proxy-Status` "
      "(RFC 9209).\n";
  auto kind = core::reason_kind::allowed;
  bool first = true;
  for (const auto& row : core::reasons()) {
    if (first || row.kind != kind) {
      kind = row.kind;
      first = false;
      out += fmt::format("\n## {}\n\n| code | status | meaning | `Proxy-Status` |\n|---|---|---|---|\n",
                         kind_name(kind));
    }
    const auto type = row.proxy_error.empty() ? std::string() : fmt::format("`{}`", row.proxy_error);
    out += fmt::format("| `{}` | {} | {} | {} |\n", row.code, row.status, cell(row.doc), type);
  }
  return out;
}

}  // namespace exeat::config
