// `exeat doctor`: runs the tools of this machine behind a fence, and says of each whether it asks the proxy.
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <system_error>

#include "cli/answer.hpp"
#include "cli/commands.hpp"
#include "cli/doctor_checks.hpp"
#include "cli/doctor_fence.hpp"
#include "cli/doctor_recorder.hpp"
#include "cli/doctor_tools.hpp"
#include "cli/env_settings.hpp"
#include "config/error.hpp"
#include "config/load.hpp"
#include "core/safe_text.hpp"
#include "core/units.hpp"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX declares it nowhere

namespace exeat::cli {
namespace {

// The signal that asks us to end; 0: none.
volatile std::sig_atomic_t stopped_by = 0;

void stop_on_signals() {
  struct sigaction action{};
  action.sa_handler = [](int number) { stopped_by = number; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(number, &action, nullptr);
}

enum class verdict : std::uint8_t { through, around, fails, untried };

constexpr std::string_view word_of(verdict value) {
  switch (value) {
    case verdict::through:
      return "through";
    case verdict::around:
      return "around";
    case verdict::fails:
      return "fails";
    case verdict::untried:
      return "untried";
  }
  return {};
}

constexpr std::string_view word_of(finding::level value) {
  switch (value) {
    case finding::level::good:
      return "ok";
    case finding::level::warning:
      return "warning";
    case finding::level::bad:
      return "bad";
  }
  return {};
}

struct trial_result {
  std::string tool;
  verdict how = verdict::untried;
  std::string detail;
  std::string fix;
  std::optional<verdict> with_env;  ///< of a second run on the variables of `exeat env`
};

using environment = std::map<std::string, std::string>;

environment current_environment() {
  environment out;
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string_view text(*one);
    const auto equals = text.find('=');
    if (equals != std::string_view::npos && equals != 0)
      out.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return out;
}

// The fence knows addresses: a proxy that the variables name is named there by its address.
void replace_name(environment& variables, const std::string& name, const std::string& address,
                  std::uint16_t port) {
  for (auto& [key, value] : variables) {
    for (const auto& [from, to] :
         {std::pair(fmt::format("{}:{}", name, port), fmt::format("{}:{}", address, port)),
          std::pair("proxyHost=" + name + " ", "proxyHost=" + address + " ")}) {
      for (auto at = value.find(from); at != std::string::npos; at = value.find(from, at + to.size()))
        value.replace(at, from.size(), to);
    }
  }
}

std::string last_line(std::string_view text) {
  while (!text.empty()) {
    while (text.ends_with('\n') || text.ends_with('\r') || text.ends_with(' ')) text.remove_suffix(1);
    const auto line = text.substr(text.rfind('\n') + 1);
    if (line.find_first_not_of(" \t^~") != std::string_view::npos) return without_tokens(line);
    text.remove_suffix(line.size());
  }
  return "it said nothing";
}

std::string joined(const std::vector<std::string>& all) {
  std::string out;
  for (const auto& one : all) out += (out.empty() ? "" : ", ") + one;
  return out;
}

struct session {
  proxy_way way;
  tcp_place at;
  std::string phase;
  std::chrono::milliseconds at_most{};
  recorder* seen = nullptr;
};

trial_result try_once(const session& with, const tool_trial& tool, const std::string& program,
                      environment variables) {
  trial_result out{.tool = tool.name};
  for (const auto& one : tool.variables)
    variables[one.substr(0, one.find('='))] = one.substr(one.find('=') + 1);
  if (with.way.host != with.at.address.to_string())
    replace_name(variables, with.way.host, with.at.address.to_string(), with.at.port);
  std::vector<std::string> lines;
  for (const auto& [name, value] : variables) lines.push_back(fmt::format("{}={}", name, value));

  const auto deadline = std::chrono::steady_clock::now() + with.at_most;
  with.seen->take();
  fenced_result all;
  bool led = true;
  std::string said;
  for (const auto& command : tool.commands) {
    auto words = command;
    std::ranges::replace(words, std::string("PROGRAM"), program);
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    auto done = run_fenced({.words = words, .environment = lines, .at_most = left, .stop = &stopped_by},
                           with.at, with.seen->port());
    if (!done) {
      out.detail = done.error();
      return out;
    }
    for (auto& one : done->attempts)
      if (std::ranges::find(all.attempts, one) == all.attempts.end()) all.attempts.push_back(std::move(one));
    all.proxied += done->proxied;
    all.timed_out = all.timed_out || done->timed_out;
    led = led && done->led;
    if (!done->output.empty()) said = std::move(done->output);
  }
  const auto seen = with.seen->take();
  const bool plain = !tool.plain || seen.contains(std::string(plain_name));
  const bool tls = !tool.tls || seen.contains(std::string(tls_name));
  const bool silent = !with.way.credential.empty() && std::ranges::any_of(seen, [](const auto& one) {
    return one.first.ends_with("exeat-doctor.test") && !one.second.with_token;
  });
  if ((plain && tls) || (!led && all.proxied != 0 && all.attempts.empty())) {
    out.how = silent ? verdict::fails : verdict::through;
    if (silent) {
      out.detail = "asks the proxy, and sends it no token";
    } else {
      out.detail = tool.plain && tool.tls ? "http and https" : "https";
      if (!all.attempts.empty()) out.detail += "; tried besides: " + joined(all.attempts);
    }
    return out;
  }
  const std::string_view what = !plain && tls ? "http: " : plain && !tls && tool.plain ? "https: " : "";
  if (!all.attempts.empty()) {
    out.how = verdict::around;
    out.detail = fmt::format("{}tried {}", what, joined(all.attempts));
  } else {
    out.how = verdict::fails;
    out.detail = fmt::format("{}{}", what, all.timed_out ? "did not end in time" : last_line(said));
  }
  return out;
}

trial_result try_tool(const session& with, const tool_trial& tool, const std::string& program) {
  const auto variables = current_environment();
  auto out = try_once(with, tool, program, variables);
  if (out.how == verdict::through || out.how == verdict::untried || stopped_by != 0) return out;
  auto better = variables;
  for (const auto& group : proxy_variables(with.way, [](const char* name) { return std::getenv(name); }))
    for (const auto& [name, value] : group.variables) better[name] = value;
  const auto again = try_once(with, tool, program, better);
  out.with_env = again.how;
  if (again.how == verdict::through) {
    out.fix = fmt::format("eval \"$(exeat env --phase {})\": with its variables it goes through",
                          with.phase.empty() ? "PHASE" : with.phase);
  } else {
    out.fix = fmt::format("with the variables of `exeat env` it {}: {}",
                          again.how == verdict::around ? "still goes around" : "fails", tool.remedy);
  }
  return out;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const auto* const digits = text.data() + i + 1;
    if (text[i] == '%' && i + 2 < text.size() &&
        std::from_chars(digits, digits + 2, value, 16).ptr == digits + 2) {
      out += static_cast<char>(value);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<tcp_place> place_of_way(const proxy_way& way) {
  if (const auto address = core::ip_address::parse(way.host)) return tcp_place{*address, way.port};
  addrinfo wanted{};
  wanted.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (::getaddrinfo(way.host.c_str(), nullptr, &wanted, &found) != 0) return std::nullopt;
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> held(found, ::freeaddrinfo);
  for (const auto* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET) continue;
    return tcp_place{
        core::ip_address::v4(ntohl(reinterpret_cast<const sockaddr_in*>(one->ai_addr)->sin_addr.s_addr)),
        way.port};
  }
  return std::nullopt;
}

// The first proxy variable that is set, with its token.
std::expected<proxy_way, std::string> way_of_environment() {
  for (const char* name : {"https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') continue;
    std::string text(value);
    std::string credential;
    const auto begin = text.find("//");
    const auto at = text.rfind('@');
    if (begin != std::string::npos && at != std::string::npos && at > begin) {
      credential = text.substr(begin + 2, at - begin - 2);
      text.erase(begin + 2, at - begin - 1);
    }
    auto way = parse_proxy(text);
    if (!way) return std::unexpected(fmt::format("${}: {}", name, way.error()));
    way->credential = percent_decoded(credential);
    return way;
  }
  return std::unexpected("no proxy to look for: name one with --phase or --proxy, or set https_proxy");
}

struct outcome {
  std::vector<finding> checks;
  std::vector<trial_result> tools;
  bool all_well() const {
    return std::ranges::none_of(checks, [](const auto& one) { return one.how == finding::level::bad; }) &&
           std::ranges::all_of(tools, [](const auto& one) { return one.how == verdict::through; });
  }
};

std::string to_json(const session& with, const outcome& all) {
  std::string out = "{\"proxy\":";
  core::append_json_string(out, with.way.address());
  append_member(out, "phase", with.phase);
  append_json_member(out, "ok", all.all_well() ? "true" : "false");
  std::string list;
  for (const auto& one : all.checks) {
    std::string object;
    append_member(object, "name", one.name);
    append_member(object, "result", word_of(one.how));
    append_member(object, "detail", one.detail);
    append_member(object, "fix", one.fix);
    list += (list.empty() ? "" : ",") + object + "}";
  }
  append_json_member(out, "checks", "[" + list + "]");
  list.clear();
  for (const auto& one : all.tools) {
    std::string object;
    append_member(object, "tool", one.tool);
    append_member(object, "result", word_of(one.how));
    append_member(object, "detail", one.detail);
    append_member(object, "fix", one.fix);
    append_json_member(object, "with_env",
                       one.with_env ? fmt::format("\"{}\"", word_of(*one.with_env)) : "null");
    list += (list.empty() ? "" : ",") + object + "}";
  }
  append_json_member(out, "tools", "[" + list + "]");
  return out + "}\n";
}

void print_line(std::string_view name, std::string_view word, std::string_view detail, std::string_view fix) {
  fmt::print("  {:<14} {:<8} {}\n", name, word, detail);
  if (!fix.empty()) fmt::print("  {:<14} {:<8} fix: {}\n", "", "", fix);
}

// A directory that goes with its end.
class scratch_directory {
 public:
  scratch_directory() {
    auto path = (std::filesystem::temp_directory_path() / "exeat-doctor-XXXXXX").string();
    if (::mkdtemp(path.data()) != nullptr) path_ = std::move(path);
  }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  ~scratch_directory() {
    if (path_.empty()) return;
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

int fail(std::string_view what) {
  fmt::print(stderr, "exeat doctor: {}{}", what, what.ends_with('\n') ? "" : "\n");
  return exit_error;
}

}  // namespace

int run_doctor(const doctor_options& options) {
  const auto at_most = core::parse_duration(options.timeout);
  if (!at_most || at_most->count() < 1000 || at_most->count() > 600'000)
    return fail("--timeout: a time from 1s to 10m");
  if (options.phase.empty() && !options.config_file.empty()) return fail("--config: say which --phase of it");
  session with{.phase = options.phase, .at_most = *at_most};
  if (options.phase.empty() && options.proxy.empty()) {
    auto way = way_of_environment();
    if (!way) return fail(way.error());
    with.way = std::move(*way);
  } else if (options.phase.empty()) {
    auto way = parse_proxy(options.proxy);
    if (!way) return fail("--proxy: " + way.error());
    with.way = std::move(*way);
  } else {
    auto way = find_way({.phase = options.phase,
                         .config_file = options.config_file,
                         .proxy = options.proxy,
                         .token_file = options.token_file});
    if (!way) return fail(way.error());
    if (way->tcp.port == 0)
      return fail(fmt::format(
          "the phase `{}` is served on a unix socket: look from behind its bridge, without --phase:\n"
          "  exeat connect --unix {} -- exeat doctor",
          options.phase, config::printable(way->unix_path)));
    with.way = std::move(way->tcp);
  }
  const auto at = place_of_way(with.way);
  if (!at)
    return fail(fmt::format("the proxy's name `{}` has no address here", config::printable(with.way.host)));
  with.at = *at;
  const scratch_directory scratch;
  if (scratch.path().empty()) return fail("no temporary directory");
  stop_on_signals();  // from here on there is something to end and to remove
  recorder seen(!with.way.credential.empty());
  if (const auto started = seen.start(); !started) return fail(started.error());
  with.seen = &seen;
  std::optional<config::settings> settings;
  if (!options.config_file.empty()) {
    auto loaded = config::load_settings(options.config_file, {});
    if (!loaded) return fail(config::to_string(loaded.error()));
    settings = std::move(*loaded);
  }

  const bool text = options.format == "text";
  outcome all;
  const auto add = [&](finding one) {
    if (text) print_line(one.name, word_of(one.how), one.detail, one.fix);
    all.checks.push_back(std::move(one));
  };
  if (text)
    fmt::print("Looking for {}{}{}\n\n", with.way.address(), with.phase.empty() ? "" : ", phase ",
               with.phase);
  add(check_proxy(with.way, with.at, with.phase));
  for (auto& one : check_machine(settings ? &*settings : nullptr)) add(std::move(one));
  for (auto& one : check_variables(with.way, with.phase)) add(std::move(one));
  for (auto& one : check_files(with.way, with.at)) add(std::move(one));
  if (auto docker = check_docker(with.way, with.phase)) add(std::move(*docker));

  if (text) fmt::print("\n");
  std::string absent;
  const auto seconds = static_cast<unsigned>(std::max<std::int64_t>(1, with.at_most.count() / 2000));
  for (const auto& tool : tool_trials(scratch.path(), seconds)) {
    const auto program = find_program(tool.program);
    if (program.empty()) {
      absent += (absent.empty() ? "" : ", ") + tool.name;
      continue;
    }
    if (text) std::fflush(stdout);
    auto result = try_tool(with, tool, program);
    if (stopped_by != 0) return 128 + stopped_by;
    if (text) print_line(result.tool, word_of(result.how), result.detail, result.fix);
    all.tools.push_back(std::move(result));
  }
  if (!text) {
    fmt::print("{}", to_json(with, all));
  } else {
    if (!absent.empty()) fmt::print("\nNot installed: {}\n", absent);
    fmt::print("\n{}\n",
               all.all_well() ? "Everything asks the proxy." : "Not everything asks the proxy, or can.");
  }
  return all.all_well() ? exit_ok : exit_denied;
}

}  // namespace exeat::cli
