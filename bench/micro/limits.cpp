// What the limits of a rule, a phase and a job cost: a claim by itself, and a message through the relay.
#include <benchmark/benchmark.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>

#include "proxy/relay.hpp"

using namespace exeat;

namespace {

constexpr std::uint64_t plenty = std::uint64_t{1} << 60U;

/// Limits of this many levels, shared by all threads of a benchmark.
std::unique_ptr<proxy::meter> meter_of(std::int64_t levels) {
  static proxy::budget_book book;
  auto out = std::make_unique<proxy::meter>(true);
  for (std::int64_t i = 0; i < levels; ++i)
    out->add({.upload = plenty, .download = plenty}, book, std::to_string(i), "bench");
  return out;
}

void claim_and_settle(benchmark::State& state) {
  static std::array<std::unique_ptr<proxy::meter>, 4> meters;
  if (state.thread_index() == 0) meters[static_cast<std::size_t>(state.range(0))] = meter_of(state.range(0));
  const proxy::meter* meter = nullptr;
  for (auto _ : state) {
    if (meter == nullptr) meter = meters[static_cast<std::size_t>(state.range(0))].get();
    const auto got = meter->claim(proxy::way::up, 65'536);
    meter->settle(proxy::way::up, got, 100);
  }
}
BENCHMARK(claim_and_settle)->Arg(1)->Arg(3)->Threads(1)->Threads(2);

class silent_owner final : public proxy::tunnel_owner {
 public:
  void moved(std::uint64_t, std::uint64_t) noexcept override {}
  void ended(const proxy::tunnel_end&) noexcept override {}
};

// One message of 100 octets up, and the relay's part of it alone: recv, send, and what is counted between.
void relay_message(benchmark::State& state) {
  proxy::asio::io_context context{1};
  proxy::timer_wheel wheel(context);
  proxy::relay relay(context, wheel, {});
  std::array<int, 2> client{};
  std::array<int, 2> origin{};
  ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, client.data());
  ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, origin.data());
  const auto limits = state.range(0) == 0 ? nullptr : meter_of(state.range(0));
  relay.add(std::make_unique<silent_owner>(), client[1], origin[1], {.limits = limits.get()});
  const std::string message(100, 'x');
  std::array<char, 256> got{};
  for (auto _ : state) {
    ::send(client[0], message.data(), message.size(), 0);
    context.poll();
    if (::recv(origin[0], got.data(), got.size(), 0) != 100) state.SkipWithError("the message did not pass");
  }
  ::close(client[0]);
  ::close(origin[0]);
}
BENCHMARK(relay_message)->Arg(0)->Arg(1)->Arg(3);

}  // namespace
