// `exeat env`: what must be set so that the tools of a job go through the proxy, for the shell that sets it.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <expected>
#include <string>

#include "cli/commands.hpp"
#include "cli/env_quote.hpp"
#include "cli/env_settings.hpp"
#include "cli/env_way.hpp"
#include "config/error.hpp"
#include "core/safe_text.hpp"
#include "jobs/secret.hpp"

namespace exeat::cli {
namespace {

// The language of the shell that $SHELL names; empty: not one that we write for.
std::string_view shell_of_environment() {
  const char* path = std::getenv("SHELL");
  if (path == nullptr) return {};
  std::string_view name(path);
  name.remove_prefix(name.rfind('/') + 1);  // npos + 1 is 0
  for (const std::string_view one : {"bash", "zsh", "dash", "sh", "ksh", "mksh", "ash"})
    if (name == one) return "bash";
  if (name == "fish") return "fish";
  if (name == "pwsh") return "powershell";
  return {};
}

// `eval "$(exeat env)"` does not see our exit status: what it reads must fail, too.
void print_failure(std::string_view shell) {
  if (shell == "powershell") {
    fmt::print("throw 'exeat env failed'\n");
  } else if (shell == "bash" || shell == "fish") {
    fmt::print("false;\n");
  }
}

int fail(std::string_view shell, std::string_view what) {
  fmt::print(stderr, "exeat env: {}{}", what, what.ends_with('\n') ? "" : "\n");
  if (::isatty(STDOUT_FILENO) == 0) print_failure(shell);
  return exit_error;
}

// `: '...';` is a comment that survives an eval whose argument was not quoted, which joins the lines.
std::string for_shell(const std::vector<variable_group>& groups, std::string_view shell) {
  std::string out;
  for (const auto& group : groups) {
    if (shell == "powershell") {
      out += fmt::format("# {}\n", group.why);
    } else {
      out += fmt::format(": '{}';\n", group.why);
    }
    for (const auto& [name, value] : group.variables) {
      if (shell == "fish") {
        out += fmt::format("set -gx {} {};\n", name, quoted_for_fish(value));
      } else if (shell == "powershell") {
        out += fmt::format("${{env:{}}} = {}\n", name, quoted_for_powershell(value));
      } else {
        out += fmt::format("export {}={};\n", name, quoted_for_sh(value));
      }
    }
  }
  return out;
}

std::expected<std::string, std::string> for_github(const std::vector<variable_group>& groups) {
  const auto random = jobs::random_name(24);
  if (!random) return std::unexpected("the kernel gives no random numbers");
  std::string out;
  for (const auto& group : groups)
    for (const auto& [name, value] : group.variables) out += line_for_github(name, value, "EXEAT_" + *random);
  return out;
}

std::string for_systemd(const std::vector<variable_group>& groups) {
  std::string out = "[Service]\n";
  for (const auto& group : groups) {
    out += fmt::format("# {}\n", group.why);
    for (const auto& [name, value] : group.variables)
      out += fmt::format("Environment={}\n", quoted_for_systemd(name + "=" + value));
  }
  return out;
}

// What ~/.docker/config.json holds for builds and containers of this user's client.
std::string for_docker(const proxy_way& way) {
  std::string url;
  core::append_json_string(url, way.url());
  return fmt::format(
      "{{\n  \"proxies\": {{\n    \"default\": {{\n      \"httpProxy\": {0},\n      \"httpsProxy\": {0},\n"
      "      \"noProxy\": \"{1}\"\n    }}\n  }}\n}}\n",
      url, direct_hosts);
}

void tell_about_docker(const proxy_way& way) {
  fmt::print(
      stderr,
      "exeat env: \"proxies\" belongs into the config.json of ~/.docker: `docker build` and `docker run` set "
      "the "
      "variables from it. For one build:\n"
      "  docker build --build-arg http_proxy={0} --build-arg https_proxy={0} --build-arg no_proxy={1} ...\n"
      "What the daemon pulls goes by its own settings: `exeat env --shell systemd` for docker.service.\n",
      way.credential.empty() ? way.address()
      : way.tls              ? "https://USER:TOKEN@..."
                             : "http://USER:TOKEN@...",
      direct_hosts);
  if (way.on_loopback())
    fmt::print(
        stderr,
        "exeat env: {} is the container itself, seen from inside: name an address that containers reach with "
        "--proxy http://HOST:PORT, or use `--network host`\n",
        way.host);
}

}  // namespace

int run_env(const env_options& options) {
  const std::string shell = options.shell.empty() ? std::string(shell_of_environment()) : options.shell;
  if (shell.empty()) {
    const char* set = std::getenv("SHELL");
    return fail("bash", fmt::format("$SHELL is {}: say with --shell for what to write",
                                    set == nullptr ? "not set" : "`" + config::printable(set) + "`"));
  }
  const auto way = find_way({.phase = options.phase,
                             .config_file = options.config_file,
                             .proxy = options.proxy,
                             .token_file = options.token_file});
  if (!way) return fail(shell, way.error());
  if (way->tcp.port == 0)
    return fail(shell,
                fmt::format("the phase `{}` is served on a unix socket, which variables cannot name. Run the "
                            "command behind a bridge, which sets them:\n"
                            "  exeat connect --unix {} -- COMMAND",
                            options.phase, quoted_for_sh(way->unix_path)));
  const bool secret = !way->tcp.credential.empty();
  if (secret && ::isatty(STDOUT_FILENO) != 0)
    return fail(
        shell,
        "what is to be printed holds the token, and this is a terminal: use eval \"$(exeat env ...)\", "
        "or write it to a file that nobody else reads");
  if (way->wants_certificate)
    fmt::print(
        stderr,
        "exeat env: the listener asks for a client certificate, which no variable gives to a tool: curl has "
        "--proxy-cert, most others cannot show one\n");
  else if (way->tcp.tls)
    fmt::print(stderr,
               "exeat env: the listener speaks TLS: curl, git, npm, Node, Go, cargo and apt can do that with "
               "a proxy; wget, "
               "Python's urllib and the JVM cannot, and fail\n");

  const bool elsewhere = shell == "docker" || shell == "systemd";
  const auto groups = proxy_variables(way->tcp, [elsewhere](const char* name) -> const char* {
    return elsewhere ? nullptr : std::getenv(name);
  });
  if (shell == "docker") {
    fmt::print("{}", for_docker(way->tcp));
    tell_about_docker(way->tcp);
    return exit_ok;
  }
  if (shell == "systemd") {
    fmt::print("{}", for_systemd(groups));
    if (secret)
      fmt::print(stderr,
                 "exeat env: every local user can read a unit's environment: better a unix socket or the "
                 "unit's uid as "
                 "its identity\n");
    return exit_ok;
  }
  if (shell == "github") {
    const auto text = for_github(groups);
    if (!text) return fail(shell, text.error());
    fmt::print("{}", *text);
    // The runner reads commands from standard error as well, and shows none of this one.
    const char* runner = std::getenv("GITHUB_ACTIONS");
    if (secret && runner != nullptr && std::string_view(runner) == "true" && ::isatty(STDERR_FILENO) == 0)
      fmt::print(stderr, "::add-mask::{}\n", way->tcp.credential.substr(way->tcp.credential.find(':') + 1));
    return exit_ok;
  }
  fmt::print("{}", for_shell(groups, shell));
  return exit_ok;
}

}  // namespace exeat::cli
