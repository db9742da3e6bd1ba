#include "sandbox/grants.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <deque>
#include <map>
#include <utility>

#include "config/paths.hpp"

namespace exeat::sandbox {
namespace {

constexpr file_right log_rights =
    file_right::read | file_right::write | file_right::make | file_right::remove;
constexpr file_right state_rights = log_rights;

void prepend(std::deque<std::string>& left, std::string_view path) {
  std::vector<std::string> parts;
  while (!path.empty()) {
    const auto slash = path.find('/');
    if (slash != 0) parts.emplace_back(path.substr(0, slash));
    path = slash == std::string_view::npos ? std::string_view{} : path.substr(slash + 1);
  }
  left.insert(left.begin(), parts.begin(), parts.end());
}

bool is_or_below(std::string_view path, std::string_view directory) {
  return path == directory || (path.starts_with(directory) && path[directory.size()] == '/');
}

bool is_too_wide(std::string_view directory) {
  return directory == "/" || is_or_below(directory, "/dev") || is_or_below(directory, "/proc") ||
         is_or_below(directory, "/sys");
}

/// One more than the kernel follows (path_resolution(7)).
constexpr int most_links = 40;

// All symlinks resolved; `targets` gets what holds the target of each.
std::string resolve(const std::string& path, const file_view& files, std::vector<std::string>& targets,
                    int& links) {
  std::deque<std::string> left;
  std::string at = path.starts_with('/') ? "/" : files.working_directory;
  prepend(left, path);
  while (!left.empty()) {
    const auto name = std::move(left.front());
    left.pop_front();
    if (name == ".") continue;
    if (name == "..") {
      at = config::directory_of(at);
      continue;
    }
    const auto next = config::resolve_path(name, at);
    // Those of /proc lead where no path does.
    const auto link = is_or_below(next, "/proc") ? std::nullopt : files.link(next);
    if (!link || ++links > most_links) {
      at = next;
      continue;
    }
    const auto end = resolve(config::resolve_path(*link, at), files, targets, links);
    targets.push_back(config::directory_of(end));
    at = end;
  }
  return at;
}

class collection {
 public:
  explicit collection(const file_view& files) : files_(files) {}

  void add(std::string path, file_right rights) {
    const auto [at, fresh] = found_.try_emplace(std::move(path), rights);
    if (!fresh) at->second = at->second | rights;
  }

  // A directory, or `instead` where that is too much.
  void add_directory(const std::string& directory, const std::string& instead, file_right rights) {
    if (!is_too_wide(directory)) return add(directory, rights);
    const auto of_file = (has(rights, file_right::read) ? std::uint8_t{1} : std::uint8_t{0}) |
                         (has(rights, file_right::write) ? std::uint8_t{2} : std::uint8_t{0});
    if (of_file != 0) add(instead, static_cast<file_right>(of_file));
  }

  // A file that may come anew, wherever the symlinks on its way will lead within their own directories.
  void add_readable(const std::string& path) {
    if (path.empty()) return;
    const auto found = way_to(path, files_);
    add_directory(found.holding, found.end, file_right::read);
    if (!path.ends_with('/')) add_directory(config::directory_of(found.end), found.end, file_right::read);
    for (const auto& target : found.targets) {
      if (!is_too_wide(target)) add(target, file_right::read);
    }
  }

  void add_log(const std::string& path) {
    if (path.empty()) return;
    const auto found = way_to(path, files_);
    add_directory(found.holding, found.end, log_rights);
    add_directory(config::directory_of(found.end), found.end, log_rights);
  }

  // For the end of the process, which removes its socket.
  void add_socket(const std::string& path) {
    const auto found = way_to(path, files_);
    if (!is_too_wide(found.holding)) add(found.holding, file_right::remove);
  }

  // `exeat state init` may still have to make it, and `exeat job new` then takes it into use.
  void add_state(const std::string& path) {
    if (path.empty()) return;
    const auto end = way_to(path, files_).end;
    if (files_.exists(end)) return add(end, state_rights);
    const auto above = config::directory_of(end);
    if (!is_too_wide(above)) add(above, state_rights);
  }

  std::vector<grant> take() && {
    std::vector<grant> out;
    out.reserve(found_.size());
    for (auto& [path, rights] : found_) out.push_back({path, rights});
    return out;
  }

 private:
  const file_view& files_;
  std::map<std::string, file_right> found_;
};

// cgroup(7) of a peer comes from /proc/PID, where PID is whoever connects to a unix socket.
bool has_unix_socket(const config::settings& s) {
  const auto is_unix = [](const config::endpoint& at) {
    return std::holds_alternative<config::unix_endpoint>(at);
  };
  return s.control || (s.admin && is_unix(*s.admin)) ||
         std::ranges::any_of(s.listeners, [&](const auto& l) { return is_unix(l.endpoint); });
}

void add_sockets(const config::settings& s, collection& into) {
  const auto add = [&](const config::endpoint& at) {
    if (const auto* path = std::get_if<config::unix_endpoint>(&at)) into.add_socket(path->path);
  };
  for (const auto& listener : s.listeners) add(listener.endpoint);
  if (s.admin) add(*s.admin);
  if (s.control) add(*s.control);
}

void add_upstream(const config::settings& s, collection& into) {
  for (const auto& proxy : s.upstream.proxies) {
    into.add_readable(proxy.ca);
    into.add_readable(proxy.credential_file);
    if (!proxy.tls || !proxy.ca.empty()) continue;
    // The system's authorities: Debian's directory of symlinks, and where they lead.
    for (const auto* const directory :
         {"/usr/lib/ssl", "/etc/ssl/certs", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates"})
      into.add_readable(std::string(directory) + "/-");
    into.add_readable("/etc/pki/tls/certs/ca-bundle.crt");  // Fedora
  }
}

void add_name_service(const config::settings& s, collection& into) {
  if (s.dns.resolver == config::resolver_kind::c_ares) {
    if (s.dns.servers.empty()) {
      // Where who manages it may let it lead, some time.
      for (const auto* const file : {"/etc/resolv.conf", "/run/systemd/resolve/-", "/run/NetworkManager/-",
                                     "/run/resolvconf/-", "/run/connman/-"})
        into.add_readable(file);
    }
    if (s.dns.hosts_file) into.add_readable("/etc/hosts");
    return;
  }
  for (const auto* const file : {"/etc/nsswitch.conf", "/etc/resolv.conf", "/etc/hosts"})
    into.add_readable(file);
  // Modules of nsswitch.conf are loaded when the first name gets to them; these are what they look into.
  for (const auto* const directory : {"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/run/systemd", "/run/nscd",
                                      "/run/avahi-daemon", "/var/lib/sss"})
    into.add_readable(std::string(directory) + "/-");
}

}  // namespace

file_view real_files() {
  file_view out;
  out.link = [](const std::string& path) -> std::optional<std::string> {
    std::array<char, PATH_MAX> target{};
    const auto size = ::readlink(path.c_str(), target.data(), target.size());
    if (size <= 0) return std::nullopt;
    return std::string(target.data(), static_cast<std::size_t>(size));
  };
  out.exists = [](const std::string& path) {
    struct stat status{};
    return ::lstat(path.c_str(), &status) == 0;
  };
  std::array<char, PATH_MAX> here{};
  out.working_directory = ::getcwd(here.data(), here.size()) != nullptr ? here.data() : "/";
  return out;
}

way way_to(const std::string& path, const file_view& files) {
  way out;
  int links = 0;
  const auto slash = path.rfind('/');
  const auto name = slash == std::string::npos ? path : path.substr(slash + 1);
  out.holding =
      resolve(slash == std::string::npos ? "." : path.substr(0, slash + 1), files, out.targets, links);
  out.end = name.empty() ? out.holding : resolve(out.holding + "/" + name, files, out.targets, links);
  std::ranges::sort(out.targets);
  const auto twice = std::ranges::unique(out.targets);
  out.targets.erase(twice.begin(), twice.end());
  return out;
}

std::vector<grant> grants_for(const config::settings& s, const std::vector<std::string>& included,
                              const file_view& files) {
  collection out(files);
  out.add_readable(s.policy);
  for (const auto& file : included) out.add_readable(file);
  for (const auto& listener : s.listeners) {
    if (!listener.tls) continue;
    const auto& tls = *listener.tls;
    for (const auto* file : {&tls.certificate, &tls.key, &tls.client_ca, &tls.crl}) out.add_readable(*file);
  }
  add_upstream(s, out);
  out.add_log(s.log.file);
  out.add_log(s.log.blocked);
  out.add_log(s.review.database);  // SQLite makes and removes its -wal, -shm and -journal beside it
  out.add_state(s.job.state_dir);
  add_sockets(s, out);
  add_name_service(s, out);
  out.add("/dev/null", file_right::read | file_right::write);
  out.add("/dev/urandom", file_right::read);
  if (has_unix_socket(s)) {
    out.add("/proc", file_right::read);
  } else {
    out.add("/proc/self", file_right::read);
    out.add("/proc/stat", file_right::read);  // when the machine was started, for the metrics
  }
  return std::move(out).take();
}

std::vector<exposed_file> exposed_policy_files(const config::settings& s,
                                               const std::vector<std::string>& included,
                                               const file_view& files) {
  std::vector<exposed_file> out;
  const auto grants = grants_for(s, included, files);
  const auto look_at = [&](const std::string& file) {
    if (file.empty()) return;
    auto found = way_to(file, files);
    auto& holding = found.targets;
    holding.push_back(found.holding);
    holding.push_back(file.ends_with('/') ? found.end : config::directory_of(found.end));
    std::ranges::sort(holding);
    const auto twice = std::ranges::unique(holding);
    holding.erase(twice.begin(), twice.end());
    for (const auto& directory : holding) {
      const auto at = std::ranges::find_if(grants, [&](const grant& one) {
        return has(one.rights, file_right::make) && is_or_below(directory, one.path);
      });
      if (at != grants.end()) out.push_back({file, directory, at->path});
    }
  };
  look_at(s.policy);
  for (const auto& file : included) look_at(file);
  return out;
}

}  // namespace exeat::sandbox
