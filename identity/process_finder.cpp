#include "identity/process_finder.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <type_traits>

// glibc 2.36 does not say itself that they are C.
extern "C" {
#include <sys/pidfd.h>
}

#include "identity/process_helper.hpp"

namespace exeat::identity {
namespace {

// Both ends are one program: the values travel as they are.
static_assert(std::is_trivially_copyable_v<process_question>);
static_assert(std::is_trivially_copyable_v<process_answer>);

constexpr int greeting_timeout_ms = 5'000;

// Of the helper, until its answer says what it was; and of a worker, to find the socket, to ask and to be
// told.
constexpr std::chrono::microseconds expected_cost{500};
constexpr std::chrono::microseconds asking_cost{50};

std::string failed(std::string_view call) {
  return fmt::format("{}: {}", call, std::strerror(errno));
}

}  // namespace

std::expected<std::unique_ptr<process_finder>, std::string> process_finder::start(unsigned workers,
                                                                                  lookup_bounds bounds,
                                                                                  bool filter_calls) {
  std::unique_ptr<process_finder> finder(new process_finder(bounds.burst));
  std::vector<int> far_ends;
  const auto close_far_ends = [&] {
    for (const int one : far_ends) ::close(one);
  };
  for (unsigned i = 0; i < workers; ++i) {
    std::array<int, 2> ends{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends.data()) != 0) {
      auto why = failed("socketpair");
      close_far_ends();
      return std::unexpected(std::move(why));
    }
    finder->seats_.push_back({.socket = ends[0]});
    far_ends.push_back(ends[1]);
  }
  if (far_ends.empty()) return std::unexpected("no worker is to ask");

  const auto self = ::getpid();
  const auto child = ::fork();
  if (child == 0) run_process_helper(std::move(far_ends), bounds, filter_calls, self);
  auto why = failed("fork");
  close_far_ends();
  if (child < 0) return std::unexpected(std::move(why));
  finder->pid_ = child;
  finder->process_ = ::pidfd_open(child, 0);
  if (finder->process_ < 0) return std::unexpected(failed("pidfd_open"));

  pollfd first{.fd = finder->seats_.front().socket, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&first, 1, greeting_timeout_ms);
  } while (ready < 0 && errno == EINTR);
  helper_greeting greeting;
  if (ready != 1 || ::recv(first.fd, &greeting, sizeof greeting, 0) != sizeof greeting ||
      greeting.confined != 1)
    return std::unexpected("the helper process could not be confined, and has ended");
  finder->sees_all_ = greeting.sees_all == 1;
  return finder;
}

process_finder::~process_finder() {
  for (const auto& one : seats_) ::close(one.socket);
  if (pid_ == 0) return;
  if (process_ < 0) {  // it ends by itself, now that nobody can ask
    ::waitpid(pid_, nullptr, 0);
    return;
  }
  // A process that has confined itself may not signal another one: then the helper finds its sockets closed,
  // and ends by itself, unless the kernel holds it up. Whoever inherits it then reaps it.
  constexpr int patience_ms = 1'000;
  ::pidfd_send_signal(process_, SIGKILL, nullptr, 0);
  pollfd gone{.fd = process_, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = ::poll(&gone, 1, patience_ms);
  } while (ready < 0 && errno == EINTR);
  siginfo_t ended{};
  if (ready == 1) ::waitid(P_PIDFD, static_cast<id_t>(process_), &ended, WEXITED);
  ::close(process_);
}

bool process_finder::ask(unsigned worker, const process_question& question) noexcept {
  auto& seat = seats_[worker];
  if (seat.gone || seat.waiting >= max_waiting || !may_ask()) return false;
  if (::send(seat.socket, &question, sizeof question, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    seat.gone = errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM;
    return false;
  }
  ++seat.waiting;
  allowance_.take(lookup_allowance::clock::now(), expected_cost + asking_cost);
  return true;
}

std::optional<process_answer> process_finder::receive(unsigned worker) noexcept {
  auto& seat = seats_[worker];
  if (seat.gone) return std::nullopt;
  process_answer answer;
  const auto size = ::recv(seat.socket, &answer, sizeof answer, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  if (size < 0 || static_cast<std::size_t>(size) != sizeof answer) {
    seat.gone = true;
    return std::nullopt;
  }
  if (seat.waiting > 0) --seat.waiting;
  allowance_.settle(std::chrono::microseconds(answer.cpu_microseconds) - expected_cost);
  if (answer.outcome > lookup_outcome::unavailable) answer.outcome = lookup_outcome::unavailable;
  return answer;
}

}  // namespace exeat::identity
