// Proxies in the files of tools, where they go before the variables or beside them.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <system_error>

#include "cli/doctor_checks.hpp"
#include "cli/doctor_tools.hpp"
#include "cli/env_settings.hpp"
#include "config/error.hpp"

namespace exeat::cli {
namespace {

using level = finding::level;
namespace fs = std::filesystem;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

std::string variable_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view around = " \t\r\"';";
  const auto first = text.find_first_not_of(around);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(around) - first + 1);
}

// Where a tool keeps its settings, and which of them name a proxy or what goes around it.
struct tool_file {
  std::string_view tool;
  std::string path;
  std::vector<std::string_view> keys;
  std::vector<std::string_view> around;  ///< keys of the kind of no_proxy
  std::string_view section;              ///< the keys count in sections that begin so alone; empty: anywhere
};

class file_scan {
 public:
  file_scan(std::string name, std::string address) : name_(std::move(name)), address_(std::move(address)) {}

  void scan(const tool_file& file) {
    std::error_code ignored;
    if (!fs::is_regular_file(file.path, ignored) || fs::file_size(file.path, ignored) > (1U << 20)) return;
    std::ifstream in(file.path);
    std::string section;
    std::string line;
    while (std::getline(in, line)) {
      const auto text = trimmed(line);
      if (text.empty() || text.starts_with('#') || text.starts_with("//")) continue;
      if (text.starts_with('[')) {
        section = lower(text);
        continue;
      }
      if (!file.section.empty() && !section.starts_with(file.section)) continue;
      const auto end = text.find_first_of("= \t:\"");
      // apt: Acquire::http::Proxy "..."; the last part is the key.
      const bool apt = file.tool == "apt";
      const auto apt_end = std::min(text.find_first_of(" \t\""), text.size());
      auto key = lower(text.substr(0, apt ? apt_end : end));
      if (apt) key = key.substr(key.rfind(':') + 1);
      while (key.starts_with('-')) key.erase(0, 1);
      const auto rest = apt                             ? text.substr(apt_end)
                        : end == std::string_view::npos ? std::string_view()
                                                        : text.substr(end);
      auto value = trimmed(rest);
      if (value.starts_with('=') || (value.starts_with(':') && !value.starts_with("://")))
        value = trimmed(value.substr(1));
      judge(file, key, value);
    }
  }

  std::vector<finding> found;

 private:
  void judge(const tool_file& file, std::string_view key, std::string_view value) {
    if (value.empty() || value == "null" || value == "false" || value == "on") return;
    if (std::ranges::find(file.around, key) != file.around.end()) {
      for (auto& one : check_no_proxy(fmt::format("{} in {}", key, file.path), value)) {
        one.fix = "take it out of the file";
        found.push_back(std::move(one));
      }
      return;
    }
    if (std::ranges::find(file.keys, key) == file.keys.end()) return;
    const auto place = place_of(value);
    if (place == name_ || place == address_) return;
    found.push_back({.name = std::string(file.tool),
                     .how = level::warning,
                     .detail = fmt::format("{}: {} is {}, not {}", config::printable(file.path), key,
                                           without_tokens(value), name_),
                     .fix = "take it out of the file, or set it to the same"});
  }

  std::string name_;     ///< host:port as the proxy was named
  std::string address_;  ///< the same with the address
};

}  // namespace

std::vector<finding> check_files(const proxy_way& way, const tcp_place& at) {
  const auto home = variable_or("HOME", "/nonexistent");
  const auto config = variable_or("XDG_CONFIG_HOME", home + "/.config");
  file_scan scan(place_of(way.address()), fmt::format("{}:{}", at.address.to_string(), at.port));
  const std::vector<std::string_view> npm{"proxy", "https-proxy", "https_proxy", "http-proxy", "http_proxy"};
  for (const auto& path : {variable_or("npm_config_userconfig", home + "/.npmrc"), std::string(".npmrc"),
                           std::string("/etc/npmrc")})
    scan.scan({.tool = "npm",
               .path = path,
               .keys = npm,
               .around = {"noproxy", "no-proxy", "no_proxy"},
               .section = {}});
  for (const auto& path : {variable_or("PIP_CONFIG_FILE", config + "/pip/pip.conf"), home + "/.pip/pip.conf",
                           std::string("/etc/pip.conf")})
    scan.scan({.tool = "pip", .path = path, .keys = {"proxy"}, .around = {}, .section = {}});
  for (const auto& path : {variable_or("GIT_CONFIG_GLOBAL", home + "/.gitconfig"), config + "/git/config",
                           std::string("/etc/gitconfig"), std::string(".git/config")}) {
    scan.scan({.tool = "git", .path = path, .keys = {"proxy"}, .around = {}, .section = "[http"});
    scan.scan({.tool = "git", .path = path, .keys = {"proxy"}, .around = {}, .section = "[remote"});
  }
  const auto cargo = variable_or("CARGO_HOME", home + "/.cargo");
  for (const auto& path : {cargo + "/config.toml", cargo + "/config"})
    scan.scan({.tool = "cargo", .path = path, .keys = {"proxy"}, .around = {}, .section = "[http"});
  scan.scan({.tool = "curl",
             .path = home + "/.curlrc",
             .keys = {"proxy", "x", "preproxy", "socks5"},
             .around = {"noproxy"},
             .section = {}});
  for (const auto& path : {home + "/.wgetrc", std::string("/etc/wgetrc")})
    scan.scan({.tool = "wget",
               .path = path,
               .keys = {"http_proxy", "https_proxy", "use_proxy"},
               .around = {"no_proxy"},
               .section = {}});
  std::vector<std::string> apt{"/etc/apt/apt.conf"};
  std::error_code ignored;
  for (const auto& one : fs::directory_iterator("/etc/apt/apt.conf.d", ignored)) apt.push_back(one.path());
  std::ranges::sort(apt);
  for (const auto& path : apt)
    scan.scan({.tool = "apt", .path = path, .keys = {"proxy"}, .around = {}, .section = {}});
  if (scan.found.empty())
    scan.found.push_back(
        {.name = "files",
         .detail = "no file of npm, pip, git, cargo, curl, wget or apt names another proxy"});
  return std::move(scan.found);
}

std::optional<finding> check_docker(const proxy_way& way, std::string_view phase) {
  if (find_program("docker").empty()) return std::nullopt;
  const auto path =
      variable_or("DOCKER_CONFIG", variable_or("HOME", "/nonexistent") + "/.docker") + "/config.json";
  finding out{.name = "docker",
              .how = level::warning,
              .fix = fmt::format("exeat env --phase {} --proxy http://HOST:PORT --shell docker, with an "
                                 "address that containers reach; "
                                 "what the daemon pulls goes by its own settings",
                                 phase.empty() ? "PHASE" : phase)};
  std::ifstream in(path);
  const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  boost::system::error_code wrong;
  const auto value = text.empty() ? boost::json::value() : boost::json::parse(text, wrong);
  if (wrong) {
    out.detail = config::printable(path) + " is not JSON";
    return out;
  }
  std::string named;
  for (const auto* key : {"/proxies/default/httpProxy", "/proxies/default/httpsProxy"}) {
    boost::system::error_code missing;
    const auto* found = value.find_pointer(key, missing);
    if (found == nullptr || !found->is_string()) {
      out.detail = config::printable(path) + " names no proxy: builds and containers get none";
      return out;
    }
    named = found->as_string();
  }
  out.how = level::good;
  out.detail = "builds and containers get " + without_tokens(named);
  if (place_of(named) != place_of(way.address())) out.detail += ", by another name than here";
  out.fix.clear();
  return out;
}

}  // namespace exeat::cli
