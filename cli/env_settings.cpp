#include "cli/env_settings.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

namespace exeat::cli {
namespace {

constexpr std::array<std::string_view, 5> java_properties{
    "-Dhttp.proxyHost=", "-Dhttp.proxyPort=", "-Dhttps.proxyHost=", "-Dhttps.proxyPort=",
    "-Dhttp.nonProxyHosts="};

// The words of JAVA_TOOL_OPTIONS, quotes left in: blanks inside of '...' or "..." split nothing.
std::vector<std::string> java_words(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  char quote = '\0';
  for (const char c : text) {
    if (quote == '\0' && std::strchr(" \t\n\v\f\r", c) != nullptr && c != '\0') {
      if (!word.empty()) words.push_back(std::move(word));
      word.clear();
      continue;
    }
    if (quote == c) {
      quote = '\0';
    } else if (quote == '\0' && (c == '\'' || c == '"')) {
      quote = c;
    }
    word += c;
  }
  if (!word.empty()) words.push_back(std::move(word));
  return words;
}

std::string java_options(const proxy_way& way, const char* existing) {
  std::string out;
  bool changed = false;
  std::string kept;
  for (const auto& word : java_words(existing == nullptr ? "" : existing)) {
    if (std::ranges::any_of(java_properties, [&](auto name) { return word.starts_with(name); })) {
      changed = true;
    } else {
      kept += word + " ";
    }
  }
  // What is not ours stays as it is, blanks included.
  if (existing != nullptr && !changed && *existing != '\0') kept = std::string(existing) + " ";
  return fmt::format(
      "{0}-Dhttp.proxyHost={1} -Dhttp.proxyPort={2} -Dhttps.proxyHost={1} -Dhttps.proxyPort={2} "
      "-Dhttp.nonProxyHosts=localhost|127.*|[::1]",
      kept, way.host, way.port);
}

int number_of(const char* text) {
  int value = 0;
  if (text == nullptr) return 0;
  const auto* end = text + std::strlen(text);
  const auto read = std::from_chars(text, end, value);
  return read.ec == std::errc{} && read.ptr == end && value > 0 && value < 1000 ? value : 0;
}

// `http.proxy` in the configuration that git takes from the environment, behind what is there already.
std::vector<variable> git_variables(const proxy_way& way, const environment_lookup& existing) {
  const int count = number_of(existing("GIT_CONFIG_COUNT"));
  int index = 0;
  while (index < count) {
    const char* key = existing(fmt::format("GIT_CONFIG_KEY_{}", index).c_str());
    if (key != nullptr && ::strcasecmp(key, "http.proxy") == 0) break;
    ++index;
  }
  return {{"GIT_CONFIG_COUNT", std::to_string(std::max(count, index + 1))},
          {fmt::format("GIT_CONFIG_KEY_{}", index), "http.proxy"},
          {fmt::format("GIT_CONFIG_VALUE_{}", index), way.url()}};
}

}  // namespace

std::vector<variable_group> proxy_variables(const proxy_way& way, const environment_lookup& existing) {
  const auto url = way.url();
  const std::string direct(direct_hosts);
  std::vector<variable_group> out;
  out.push_back(
      {"curl ignores HTTP_PROXY in upper case and other tools one spelling or the other: both are set. "
       "These are for curl, wget, git, pip, Python, Go, apt",
       {{"http_proxy", url},
        {"HTTP_PROXY", url},
        {"https_proxy", url},
        {"HTTPS_PROXY", url},
        {"all_proxy", url},
        {"ALL_PROXY", url}}});
  out.push_back(
      {"Loopback alone goes direct. A host that is added here is one that no policy sees and that a closed "
       "network does not reach; never a whole domain",
       {{"no_proxy", direct}, {"NO_PROXY", direct}}});
  out.push_back(
      {"Node: fetch and http look at the variables from 22.21 and 24 on, with this; an older Node goes "
       "around",
       {{"NODE_USE_ENV_PROXY", "1"}}});
  out.push_back(
      {"npm: over a proxy that some .npmrc names",
       {{"npm_config_proxy", url}, {"npm_config_https_proxy", url}, {"npm_config_noproxy", direct}}});
  out.push_back(
      {"git: over http.proxy of some .gitconfig. Remotes of ssh go around whatever is set: use https",
       git_variables(way, existing)});
  out.push_back({"cargo: over http.proxy of its config.toml", {{"CARGO_HTTP_PROXY", url}}});
  out.push_back({way.credential.empty()
                     ? std::string("The JVM reads no proxy variable")
                     : std::string("The JVM reads no proxy variable, and sends no token to a proxy "
                                   "either: it needs a listener that knows it otherwise"),
                 {{"JAVA_TOOL_OPTIONS", java_options(way, existing("JAVA_TOOL_OPTIONS"))}}});
  out.push_back(
      {"sudo drops all of this: sudo --preserve-env=http_proxy,https_proxy,no_proxy apt-get ...; containers "
       "and "
       "docker build do not see it: exeat env --shell docker",
       {}});
  return out;
}

}  // namespace exeat::cli
