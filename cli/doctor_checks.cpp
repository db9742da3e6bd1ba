#include "cli/doctor_checks.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "allowlist/policy.hpp"
#include "cli/connect_bridge.hpp"
#include "cli/env_settings.hpp"
#include "config/error.hpp"
#include "config/load.hpp"

namespace exeat::cli {
namespace {

using level = finding::level;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Nothing of this program is older; a clock that says so has not been set.
constexpr std::time_t earliest = 1'767'225'600;  // 2026-01-01

std::string base64(std::string_view octets) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < octets.size(); i += 3) {
    std::uint32_t value = 0;
    for (std::size_t j = 0; j < 3; ++j)
      value = value << 8 | (i + j < octets.size() ? static_cast<unsigned char>(octets[i + j]) : 0U);
    for (std::size_t j = 0; j < 4; ++j)
      out += i + j > octets.size() ? '=' : letters[value >> (18 - 6 * j) & 0x3f];
  }
  return out;
}

int left_of(steady_clock::time_point deadline) {
  return static_cast<int>(std::max<std::int64_t>(
      0, std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()).count()));
}

// A connected socket, or errno in its place.
owned_fd connect_in_time(const tcp_place& at, steady_clock::time_point deadline) {
  sockaddr_storage to{};
  socklen_t size = 0;
  const auto bytes = at.address.bytes();
  if (at.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(at.port);
    std::memcpy(&in.sin_addr, bytes.data(), bytes.size());
    std::memcpy(&to, &in, size = sizeof in);
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(at.port);
    std::memcpy(&in.sin6_addr, bytes.data(), bytes.size());
    std::memcpy(&to, &in, size = sizeof in);
  }
  owned_fd fd(::socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.get() < 0 || ::connect(fd.get(), reinterpret_cast<sockaddr*>(&to), size) == 0) return fd;
  int code = errno;
  if (code == EINPROGRESS) {
    pollfd wait{fd.get(), POLLOUT, 0};
    socklen_t length = sizeof code;
    code = ETIMEDOUT;
    if (::poll(&wait, 1, left_of(deadline)) == 1)
      ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &code, &length);
    if (code == 0) return fd;
  }
  errno = code;
  return owned_fd(-1);
}

std::string exchange(int fd, std::string_view request, steady_clock::time_point deadline) {
  if (::send(fd, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<::ssize_t>(request.size()))
    return {};
  std::string answer;
  std::array<char, 4096> buffer{};
  while (answer.size() < 65536) {
    pollfd wait{fd, POLLIN, 0};
    if (::poll(&wait, 1, left_of(deadline)) != 1) break;
    const auto got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) break;
    answer.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return answer;
}

// What stands between `before` and the next `end`; empty: `before` is not there.
std::string between(std::string_view text, std::string_view before, std::string_view end) {
  const auto at = text.find(before);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + before.size());
  return std::string(text.substr(0, text.find(end)));
}

const char* set_value(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? nullptr : value;
}

}  // namespace

std::string without_tokens(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto slashes = text.find("//");
    if (slashes == std::string_view::npos) break;
    out += text.substr(0, slashes + 2);
    text.remove_prefix(slashes + 2);
    const auto at = text.substr(0, text.find_first_of(" \t\r\n/\"'<>")).rfind('@');
    if (at == std::string_view::npos) continue;
    out += "...";
    text.remove_prefix(at);
  }
  out += text;
  return config::printable(out, 300);
}

std::string place_of(std::string_view setting) {
  if (const auto slashes = setting.find("//"); slashes != std::string_view::npos)
    setting.remove_prefix(slashes + 2);
  setting = setting.substr(0, setting.find_first_of("/?#"));
  if (const auto at = setting.rfind('@'); at != std::string_view::npos) setting.remove_prefix(at + 1);
  return std::string(setting);
}

finding check_proxy(const proxy_way& way, const tcp_place& at, std::string_view phase) {
  finding out{.name = "proxy"};
  const auto bad = [&](std::string detail, std::string fix) {
    out.how = level::bad;
    out.detail = std::move(detail);
    out.fix = std::move(fix);
    return out;
  };
  const auto deadline = steady_clock::now() + milliseconds(3000);
  const auto socket = connect_in_time(at, deadline);
  if (socket.get() < 0)
    return bad(fmt::format("{}: {}", way.address(), std::strerror(errno)),
               "start it (`exeat serve`), or name the one that runs with --proxy or --config");
  if (way.tls) {
    out.detail = way.address() + " takes connections (TLS: it was asked for nothing)";
    return out;
  }
  const auto credential = way.credential.empty()
                              ? std::string()
                              : "Proxy-Authorization: Basic " + base64(way.credential) + "\r\n";
  const auto answer = exchange(socket.get(),
                               "GET http://exeat-doctor.invalid/ HTTP/1.1\r\nHost: exeat-doctor.invalid\r\n"
                               "Accept: application/json\r\nConnection: close\r\n" +
                                   credential + "\r\n",
                               deadline);
  const auto status = config::printable(between(answer, "HTTP/1.1 ", "\r\n"));
  const auto decision = config::printable(between(answer, "Exeat-Decision: ", "\r\n"));
  const auto answering = config::printable(between(answer, "\"phase\":\"", "\""));
  if (status.empty())
    return bad(way.address() + " does not answer as a proxy", "name the right one with --proxy");
  if (status.starts_with("407"))
    return bad(way.address() + " asks for a token: " + status,
               "the token of the phase: --token-file FILE or $EXEAT_TOKEN, for `exeat env` as well");
  if (decision.empty())
    return bad(fmt::format("{} answers {}, and is not Exeat", way.address(), status),
               "name the right one with --proxy");
  out.detail = fmt::format("{} answers {}, decision {}{}{}", way.address(), status, decision,
                           answering.empty() ? "" : ", phase ", answering);
  if (!phase.empty() && !answering.empty() && answering != phase)
    return bad(out.detail, fmt::format("this is not the phase `{}`: take its own listener", phase));
  if (status.starts_with("2"))
    return bad(out.detail,
               "a name that cannot exist was let through: look for a rule that allows everything");
  if (!status.starts_with("403") && !status.starts_with("50"))
    return bad(out.detail, "the reason is in the status line; see docs/reference/reason-codes.md");
  return out;
}

std::vector<finding> check_no_proxy(std::string_view name, std::string_view value) {
  std::vector<finding> out;
  std::string beyond;
  for (auto rest = value; !rest.empty();) {
    const auto comma = std::min(rest.find_first_of(", "), rest.size());
    auto entry = rest.substr(0, comma);
    rest.remove_prefix(std::min(comma + 1, rest.size()));
    if (entry.empty() || entry == "localhost" || entry == "127.0.0.1" || entry == "::1" || entry == "[::1]" ||
        entry == "127.0.0.0/8")
      continue;
    const auto bare = entry.substr(std::min(entry.size(), entry.find_first_not_of("*.")));
    if (bare.empty() || (!bare.contains('.') && bare != entry) || entry == "0.0.0.0/0" || entry == "::/0") {
      out.push_back(
          {.name = std::string(name),
           .how = level::bad,
           .detail = fmt::format("`{}` makes {} go around the proxy", config::printable(entry),
                                 bare.empty() || bare == entry ? "everything" : "a whole top-level domain"),
           .fix = fmt::format("{}={}", name, direct_hosts)});
    } else {
      beyond += (beyond.empty() ? "" : ", ") + config::printable(entry);
    }
  }
  if (!beyond.empty())
    out.push_back({.name = std::string(name),
                   .how = level::warning,
                   .detail = fmt::format("goes around the proxy and its policy for {}", beyond),
                   .fix = "what the job must reach belongs into the policy, not here"});
  return out;
}

std::vector<finding> check_variables(const proxy_way& way, std::string_view phase) {
  std::vector<finding> out;
  const auto set_up = fmt::format("eval \"$(exeat env --phase {})\"", phase.empty() ? "PHASE" : phase);
  const auto wanted = place_of(way.address());
  std::string missing;
  for (const auto [small, large] :
       {std::pair("http_proxy", "HTTP_PROXY"), std::pair("https_proxy", "HTTPS_PROXY")}) {
    const char* a = set_value(small);
    const char* b = set_value(large);
    for (const auto& [name, value] : {std::pair(small, a), std::pair(large, b)}) {
      if (value == nullptr) {
        missing += (missing.empty() ? "" : ", ") + std::string(name);
      } else if (place_of(value) != wanted) {
        out.push_back({.name = name,
                       .how = level::warning,
                       .detail = "names " + without_tokens(value) + ", not " + way.address(),
                       .fix = set_up});
      }
    }
    if (a != nullptr && b != nullptr && std::string_view(a) != b)
      out.push_back({.name = small,
                     .how = level::warning,
                     .detail = fmt::format("and {} disagree: tools differ in which they read", large),
                     .fix = set_up});
  }
  const char* http = set_value("http_proxy");
  const char* https = set_value("https_proxy");
  if (http != nullptr && https != nullptr && std::string_view(http) != https)
    out.push_back({.name = "https_proxy",
                   .how = level::warning,
                   .detail = "and http_proxy disagree: one phase has one listener",
                   .fix = set_up});
  if (!missing.empty())
    out.push_back(
        {.name = "variables", .how = level::warning, .detail = "not set: " + missing, .fix = set_up});
  for (const char* name : {"no_proxy", "NO_PROXY"})
    if (const char* value = set_value(name); value != nullptr)
      for (auto& one : check_no_proxy(name, value)) out.push_back(std::move(one));
  if (out.empty()) out.push_back({.name = "variables", .detail = "set in both spellings, and agree"});
  return out;
}

std::vector<finding> check_machine(const config::settings* settings) {
  std::vector<finding> out;
  const auto now = std::time(nullptr);
  std::array<char, 32> text{};
  std::tm utc{};
  std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", ::gmtime_r(&now, &utc));
  finding clock{.name = "clock", .detail = text.data()};
  struct stat status{};
  const bool before_policy = settings != nullptr && !settings->policy.empty() &&
                             ::stat(settings->policy.c_str(), &status) == 0 && status.st_mtime > now + 60;
  if (now < earliest || before_policy) {
    clock.how = level::bad;
    clock.detail += before_policy ? ", before the policy was written" : ", before this program was";
    clock.fix = "set it: `expires` and the certificates of origins are judged by it";
  }
  out.push_back(std::move(clock));

  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  finding files{.name = "open files",
                .detail = fmt::format("{} of at most {}", limit.rlim_cur, limit.rlim_max)};
  if (settings == nullptr) {
    if (limit.rlim_cur < 256) {
      files.how = level::warning;
      files.fix = "ulimit -n 1024";
    }
    out.push_back(std::move(files));
    return out;
  }
  const rlim_t wanted = 2ULL * settings->limits.connections + settings->limits.upstream_idle + 512;
  if (limit.rlim_max < wanted) {
    files.how = level::warning;
    files.detail += fmt::format("; limits.connections {} takes {}", settings->limits.connections, wanted);
    files.fix = "LimitNOFILE= of the unit or `ulimit -Hn`, or lower limits.connections";
  }
  out.push_back(std::move(files));

  const auto policy = config::load_policy(*settings);
  if (policy) {
    out.push_back(
        {.name = "policy", .detail = (settings->policy.empty() ? "built-in" : settings->policy) + ", loads"});
  } else {
    auto words = config::to_string(policy.error());
    while (words.ends_with('\n')) words.pop_back();
    out.push_back({.name = "policy", .how = level::bad, .detail = words, .fix = "exeat lint --config FILE"});
  }
  return out;
}

}  // namespace exeat::cli
