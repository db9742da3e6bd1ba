// `exeat connect`: a loopback port for one command, bridged to the unix socket of a listener, for clients
// that know only host and port.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <system_error>
#include <thread>

#include "cli/commands.hpp"
#include "cli/connect_bridge.hpp"
#include "cli/env_settings.hpp"

namespace exeat::cli {
namespace {

int fail(std::string_view what, int code) {
  fmt::print(stderr, "exeat connect: {}: {}\n", what, std::strerror(code));
  return exit_error;
}

// A listening loopback port that the kernel chose; fills `port`.
std::optional<owned_fd> listen_on_loopback(std::uint16_t& port) {
  owned_fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (fd.get() < 0 || ::bind(fd.get(), generic, size) != 0 || ::listen(fd.get(), 128) != 0 ||
      ::getsockname(fd.get(), generic, &size) != 0) {
    return std::nullopt;
  }
  port = ntohs(address.sin_port);
  return fd;
}

// As `exeat env` would.
void set_proxy_variables(std::uint16_t port) {
  for (const auto& group :
       proxy_variables({.port = port}, [](const char* name) { return std::getenv(name); }))
    for (const auto& [name, value] : group.variables) ::setenv(name.c_str(), value.c_str(), 1);
}

[[noreturn]] void become(const std::vector<std::string>& command, const sigset_t& mask) {
  ::sigprocmask(SIG_SETMASK, &mask, nullptr);
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const auto& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execvp(arguments[0], arguments.data());
  const int code = errno;
  fail(command.front(), code);
  ::_exit(code == ENOENT ? 127 : 126);  // as shells say it
}

void accept_all(int listener, const std::string& socket) {
  for (;;) {
    owned_fd client(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (client.get() < 0) return;
    try {
      std::thread([socket, client = std::move(client)]() mutable {
        bridge(std::move(client), socket);
      }).detach();
    } catch (const std::system_error&) {
      // No thread to be had: the client sees its connection closed.
    }
  }
}

// Takes what the signal descriptor holds. The child's exit status once it has ended.
std::optional<int> take_signals(int signals, ::pid_t child) {
  for (;;) {
    signalfd_siginfo info{};
    if (::read(signals, &info, sizeof info) != sizeof info) return std::nullopt;
    const int number = static_cast<int>(info.ssi_signo);
    if (number != SIGCHLD) {
      // What the terminal sends reaches the child by itself; what a process sends to us is for the child.
      if (info.ssi_code <= 0) ::kill(child, number);
      continue;
    }
    int status = 0;
    if (::waitpid(child, &status, WNOHANG) != child) continue;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
}

}  // namespace

int run_connect(const connect_options& options) {
  if (options.command.empty()) {
    fmt::print(stderr, "exeat connect: no command stands behind --\n");
    return exit_error;
  }
  if (const auto probe = connect_unix(options.socket); probe.get() < 0) return fail(options.socket, errno);
  std::uint16_t port = 0;
  const auto listener = listen_on_loopback(port);
  if (!listener) return fail("no loopback port", errno);

  sigset_t ours;
  sigset_t before;
  ::sigemptyset(&ours);
  for (const int number : {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
    ::sigaddset(&ours, number);
  ::sigprocmask(SIG_BLOCK, &ours, &before);
  ::signal(SIGPIPE, SIG_IGN);
  const owned_fd signals(::signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK));
  if (signals.get() < 0) return fail("signalfd", errno);

  set_proxy_variables(port);
  const ::pid_t child = ::fork();
  if (child < 0) return fail("fork", errno);
  if (child == 0) {
    ::signal(SIGPIPE, SIG_DFL);
    become(options.command, before);
  }
  for (;;) {
    std::array<pollfd, 2> wait{{{listener->get(), POLLIN, 0}, {signals.get(), POLLIN, 0}}};
    if (::poll(wait.data(), wait.size(), -1) < 0 && errno != EINTR) return fail("poll", errno);
    if (wait[0].revents != 0) accept_all(listener->get(), options.socket);
    if (wait[1].revents == 0) continue;
    if (const auto status = take_signals(signals.get(), child)) {
      std::fflush(nullptr);
      ::_exit(*status);  // bridges of processes that the command left behind end with us
    }
  }
}

}  // namespace exeat::cli
