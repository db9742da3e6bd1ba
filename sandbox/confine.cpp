#include "sandbox/confine.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <netdb.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <variant>

#include "sandbox/grants.hpp"
#include "sandbox/landlock.hpp"
#include "sandbox/privileges.hpp"
#include "sandbox/syscall_filter.hpp"

namespace exeat::sandbox {
namespace {

// Libraries read these once, and would not find them later.
void read_ahead(const config::settings& settings) {
  ::tzset();
  if (settings.dns.resolver != config::resolver_kind::system) return;
  addrinfo* found = nullptr;
  if (::getaddrinfo("localhost", nullptr, nullptr, &found) == 0) ::freeaddrinfo(found);
}

// A grant on /proc/PID holds as long as the kernel keeps that directory in memory: for as long as we hold it.
void hold_own_proc() {
  static const int held = ::open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  static_cast<void>(held);
}

// Which unix sockets it will make: health looks through our own listeners, sd_notify(3) and syslog(3) take
// datagrams, and modules of nsswitch.conf ask their daemons.
filter_options filter_for(const config::settings& settings) {
  const bool by_system = settings.dns.resolver == config::resolver_kind::system;
  const bool listens = std::ranges::any_of(settings.listeners, [](const auto& one) {
    return std::holds_alternative<config::unix_endpoint>(one.endpoint);
  });
  return {.load_code = by_system,
          .unix_streams = by_system || listens,
          .unix_datagrams = by_system || settings.log.syslog || std::getenv("NOTIFY_SOCKET") != nullptr};
}

bool talks_to_abstract_sockets(const config::settings& settings) {
  const char* const manager = std::getenv("NOTIFY_SOCKET");  // sd_notify(3)
  return (manager != nullptr && *manager == '@') || settings.dns.resolver == config::resolver_kind::system;
}

}  // namespace

std::expected<confinement, std::string> confine(const config::settings& settings,
                                                const std::vector<std::string>& included) {
  if (settings.sandbox == config::sandbox_mode::off) return confinement{.summary = "off", .lacking = {}};
  read_ahead(settings);
  hold_own_proc();
  const auto grants = grants_for(settings, included, real_files());

  if (!drop_capabilities())
    return std::unexpected("`sandbox`: capabilities that are not needed cannot be given up");
  // No core dump, and nobody of the same uid looks in.
  ::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

  confinement out;
  const auto version = landlock_version();
  std::expected<void, std::string> files;
  if (version) {
    files = restrict_files(*version, grants, {.abstract_sockets = talks_to_abstract_sockets(settings)});
  } else {
    files = std::unexpected(version.error());
  }
  if (!files) {
    out.lacking.push_back(fmt::format(
        "{}: whoever took this process over could use every file that its user may", files.error()));
  }
  const auto calls = filter_system_calls(filter_for(settings));
  if (!calls)
    out.lacking.push_back(
        fmt::format("{}: whoever took this process over could start programs", calls.error()));

  if (!out.lacking.empty() && settings.sandbox == config::sandbox_mode::required)
    return std::unexpected(fmt::format("`sandbox: required`: {}", out.lacking.front()));
  out.summary = "no capabilities";
  if (files) {
    const auto open = landlock_lacks(*version);
    out.summary += fmt::format(", Landlock {}{}", *version,
                               open.empty() ? "" : fmt::format(" (which leaves open: {})", open));
  }
  if (calls) out.summary += ", seccomp";
  return out;
}

}  // namespace exeat::sandbox
