#include "cli/doctor_tools.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

namespace exeat::cli {
namespace {

constexpr std::string_view java_source = R"JAVA(import java.net.*;

public class Probe {
  public static void main(String[] urls) {
    for (String url : urls) {
      try {
        var connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setConnectTimeout(5000);
        connection.setReadTimeout(5000);
        System.out.println(connection.getResponseCode());
      } catch (Exception e) {
        System.out.println(e);
      }
    }
  }
}
)JAVA";

constexpr std::string_view python_source =
    "import sys, urllib.request\n"
    "for url in sys.argv[1:]:\n"
    "    try:\n"
    "        urllib.request.urlopen(url, timeout=5)\n"
    "    except OSError as error:\n"
    "        print(error)\n";

constexpr std::string_view node_source =
    "if (typeof fetch !== 'function') { console.log('this Node has no fetch'); process.exit(1); }"
    "for (const url of process.argv.slice(1))"
    " fetch(url).catch((e) => console.log(String(e.cause || e)));";

void write(const std::string& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

std::string find_program(std::string_view names) {
  const char* path = std::getenv("PATH");
  const std::string_view directories = path == nullptr ? "/usr/bin:/bin" : path;
  while (!names.empty()) {
    const auto blank = std::min(names.find(' '), names.size());
    const auto name = names.substr(0, blank);
    names.remove_prefix(std::min(blank + 1, names.size()));
    for (auto rest = directories; !rest.empty();) {
      const auto colon = std::min(rest.find(':'), rest.size());
      const auto file = fmt::format("{}/{}", rest.substr(0, colon), name);
      struct stat status{};
      if (::stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && ::access(file.c_str(), X_OK) == 0)
        return file;
      rest.remove_prefix(std::min(colon + 1, rest.size()));
    }
  }
  return {};
}

std::vector<tool_trial> tool_trials(const std::string& scratch, unsigned seconds) {
  const auto http = fmt::format("http://{}/", plain_name);
  const auto https = fmt::format("https://{}/", tls_name);
  const auto time = std::to_string(seconds);
  const auto java = scratch + "/Probe.java";
  const auto list = scratch + "/sources.list";
  const auto apt = scratch + "/apt.conf";
  write(java, java_source);
  write(list, fmt::format("deb [trusted=yes] {} ./\ndeb [trusted=yes] {} ./\n", http, https));
  // Hooks of the machine are not run.
  write(apt, fmt::format("Dir::Etc::sourcelist \"{0}/sources.list\";\nDir::Etc::sourceparts \"{0}/none\";\n"
                         "Dir::State::Lists \"{0}/lists\";\nDir::Cache \"{0}\";\nDebug::NoLocking \"1\";\n"
                         "Acquire::Retries \"0\";\nAPT::Sandbox::User \"\";\n#clear APT::Update;\n",
                         scratch));
  for (const auto* directory : {"/lists", "/lists/partial", "/archives", "/archives/partial", "/none"})
    ::mkdir((scratch + directory).c_str(), 0700);

  std::vector<tool_trial> out;
  out.push_back({.name = "curl",
                 .program = "curl",
                 .commands = {{"PROGRAM", "-sS", "--max-time", time, "-o", "/dev/null", http, "-o",
                               "/dev/null", https}},
                 .remedy = "curl reads http_proxy in lower case only"});
  out.push_back(
      {.name = "wget",
       .program = "wget",
       .commands = {{"PROGRAM", "-q", "-O", "/dev/null", "--tries=1", "--timeout=" + time, http, https}},
       .remedy = "wget reads the variables in lower case only, and use_proxy, http_proxy, https_proxy of "
                 "~/.wgetrc"});
  out.push_back(
      {.name = "git",
       .program = "git",
       .commands = {{"PROGRAM", "ls-remote", http + "x.git"}, {"PROGRAM", "ls-remote", https + "x.git"}},
       .variables = {"GIT_TERMINAL_PROMPT=0"},
       .remedy = "look for http.proxy and http.<url>.proxy in `git config --list --show-origin`"});
  out.push_back({.name = "python urllib",
                 .program = "python3 python",
                 .commands = {{"PROGRAM", "-c", std::string(python_source), http, https}},
                 .remedy = "the variables, in either case"});
  out.push_back({.name = "pip",
                 .program = "pip3 pip",
                 .commands = {{"PROGRAM", "download", "-q", "--no-deps", "--no-cache-dir",
                               "--disable-pip-version-check", "--no-input", "--retries", "0", "--timeout",
                               time, "-d", scratch, "--index-url", https + "simple", "exeat-doctor"}},
                 .plain = false,
                 .remedy = "look for `proxy` in `pip config list`"});
  out.push_back(
      {.name = "npm",
       .program = "npm",
       .commands = {{"PROGRAM", "view", "--registry=" + http, "--fetch-retries=0", "--logs-max=0",
                     "--update-notifier=false", "--cache=" + scratch + "/npm", "exeat-doctor", "version"},
                    {"PROGRAM", "view", "--registry=" + https, "--fetch-retries=0", "--logs-max=0",
                     "--update-notifier=false", "--cache=" + scratch + "/npm", "exeat-doctor", "version"}},
       .remedy = "look for proxy, https-proxy and noproxy in `npm config list`"});
  out.push_back(
      {.name = "node fetch",
       .program = "node nodejs",
       .commands = {{"PROGRAM", "-e", std::string(node_source), http, https}},
       .remedy =
           "a Node before 22.21 or 24 does not know NODE_USE_ENV_PROXY: take a newer one, or give fetch a "
           "ProxyAgent of undici"});
  out.push_back({.name = "java",
                 .program = "java",
                 .commands = {{"PROGRAM", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", java, http, https}},
                 .remedy = "the JVM reads system properties: JAVA_TOOL_OPTIONS, or its conf/net.properties"});
  out.push_back({.name = "go",
                 .program = "go",
                 .commands = {{"PROGRAM", "mod", "download", "exeat-doctor.test/x@v1.0.0"}},
                 .variables = {"GOPROXY=" + https.substr(0, https.size() - 1) + ",off", "GONOSUMDB=*",
                               "GONOSUMCHECK=1", "GOFLAGS=-modcacherw", "GOTOOLCHAIN=local", "GOWORK=off",
                               "GOMODCACHE=" + scratch + "/go"},
                 .plain = false,
                 .remedy = "go reads the variables, in either case"});
  out.push_back(
      {.name = "cargo",
       .program = "cargo",
       .commands = {{"PROGRAM", "search", "--index", "sparse+" + http, "exeat-doctor"},
                    {"PROGRAM", "search", "--index", "sparse+" + https, "exeat-doctor"}},
       .variables = {"CARGO_NET_RETRY=0", "CARGO_NET_OFFLINE=false"},
       .remedy = "look for http.proxy in the config.toml files of cargo and in `git config --list`"});
  out.push_back(
      {.name = "apt",
       .program = "apt-get",
       .commands = {{"PROGRAM", "-q", "-c", apt, "update"}},
       .remedy =
           "look for Acquire::http::Proxy and Acquire::https::Proxy in `apt-config dump`; sudo drops the "
           "variables unless --preserve-env=http_proxy,https_proxy,no_proxy keeps them"});
  return out;
}

}  // namespace exeat::cli
