#include "load/modes.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <stdexcept>

#include "load/channel.hpp"
#include "load/conversation.hpp"
#include "load/pump.hpp"
#include "load/visit.hpp"

namespace exeat::bench {

namespace {

constexpr std::uint64_t second = 1'000'000'000;

std::uint64_t nanoseconds(double seconds) {
  return static_cast<std::uint64_t>(seconds * 1e9);
}

/// Turns the loop through warm-up, measurement, and up to half a second in which what was begun may end.
/// `each` runs between turns.
template <typename each_turn, typename read_octets>
void measure(loop& events, const order& wanted, result& found, each_turn each, read_octets octets) {
  if (wanted.operations != 0) {
    found.clients.wanted = wanted.operations;
    const auto start = now();
    while (found.clients.in_all < wanted.operations && found.clients.errors.empty() &&
           now() < start + 120 * second) {
      events.turn(1);
      each();
    }
    found.clients.stopping = true;
    return;
  }
  const auto warm = now() + nanoseconds(wanted.warm_up);
  while (now() < warm) {
    events.turn(1);
    each();
  }
  const auto start = now();
  const auto before = octets();
  found.clients.counting = true;
  const auto end = start + nanoseconds(wanted.seconds);
  auto stopped = start;
  // On a machine that is busy elsewhere the time may pass without anything: some more, then.
  const auto nothing = [&] {
    return found.clients.counted == 0 && found.clients.errors.empty() && octets() == before;
  };
  while ((stopped = now()) < end || (nothing() && stopped < end + 10 * second)) {
    events.turn(1);
    each();
  }
  found.measured = static_cast<double>(stopped - start) / 1e9;
  found.bits = static_cast<double>(octets() - before) * 8 / found.measured;
  found.clients.counting = false;
  found.clients.stopping = true;
}

void let_end(loop& events, const auto& busy) {
  const auto patience = now() + second / 2;
  while (busy() && now() < patience) {
    events.turn(5);
  }
}

/// Starts a visit at each tick, whether or not the earlier ones have come back: a slow proxy is not spared.
class metronome final : public waiter {
 public:
  metronome(loop& events, double rate, std::vector<std::unique_ptr<visit>>& visits, result& found)
      : visits_{visits},
        found_{found},
        interval_{nanoseconds(1 / rate)},
        timer_{timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)} {
    next_ = now() + interval_;
    const timespec at{static_cast<time_t>(next_ / second), static_cast<long>(next_ % second)};
    const itimerspec spec{{static_cast<time_t>(interval_ / second), static_cast<long>(interval_ % second)},
                          at};
    timerfd_settime(timer_, TFD_TIMER_ABSTIME, &spec, nullptr);
    events.add_level(timer_, EPOLLIN, *this);
  }
  ~metronome() override { close(timer_); }
  metronome(const metronome&) = delete;
  metronome& operator=(const metronome&) = delete;

  void ready(std::uint32_t) override {
    std::uint64_t ticks = 0;
    if (read(timer_, &ticks, sizeof ticks) != sizeof ticks) {
      return;
    }
    for (; ticks > 0; --ticks, next_ += interval_) {
      if (!found_.clients.stopping) {
        start();
      }
    }
  }

 private:
  void start() {
    for (std::size_t i = 0; i < visits_.size(); ++i) {
      auto& who = *visits_[turn_++ % visits_.size()];
      if (who.idle()) {
        who.begin(next_);
        return;
      }
    }
    ++found_.late;
  }

  std::vector<std::unique_ptr<visit>>& visits_;
  result& found_;
  std::uint64_t interval_;
  std::uint64_t next_ = 0;
  int timer_;
  std::size_t turn_ = 0;
};

result run_visits(const order& wanted, const offer& what, errand purpose, bool paced) {
  loop events;
  result found;
  const origin there{events, what, wanted.first_port, wanted.last_port};
  route way = wanted.way;
  way.ports = there.ports();
  for (const auto port : way.ports) {
    if (what.what == service::http) {
      purpose.heads.push_back(way.get_head(port, wanted.size, true));
    } else if (!wanted.denied.empty()) {
      purpose.heads.push_back(
          fmt::format("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\nUser-Agent: bench\r\n\r\n", wanted.denied));
    } else if (way.proxy) {
      purpose.heads.push_back(way.connect_head(port));
    }
  }
  const unsigned count = wanted.concurrency != 0 ? wanted.concurrency : paced ? 512 : 32;
  std::vector<std::unique_ptr<visit>> visits;
  visits.reserve(count);
  for (unsigned i = 0; i < count; ++i) {
    visits.push_back(std::make_unique<visit>(events, way, purpose, found.clients, !paced));
  }
  std::optional<metronome> pace;
  if (paced) {
    pace.emplace(events, wanted.rate, visits, found);
  }
  measure(
      events, wanted, found,
      [&] {
        for (const auto& each : visits) {
          if (!paced && each->idle() && !found.clients.stopping) {
            each->begin(now());
          }
        }
      },
      [] { return std::uint64_t{0}; });
  let_end(events, [&] {
    return std::any_of(visits.begin(), visits.end(), [](const auto& each) { return !each->idle(); });
  });
  found.seen = there.seen();
  return found;
}

int tunnel_or_throw(const route& way, std::size_t turn) {
  std::string why;
  const int descriptor = way.tunnel(way.ports[turn % way.ports.size()], why);
  if (descriptor < 0) {
    throw std::runtime_error{why};
  }
  return descriptor;
}

result run_conversations(const order& wanted, bool pages, unsigned count) {
  loop events;
  result found;
  const origin there{events, offer{.what = pages ? service::http : service::echo}, wanted.first_port,
                     wanted.last_port};
  route way = wanted.way;
  way.ports = there.ports();
  std::vector<std::unique_ptr<conversation>> all;
  all.reserve(count);
  for (unsigned i = 0; i < count; ++i) {
    const auto port = way.ports[i % way.ports.size()];
    topic about{.message = std::string(64, 'p'), .page = pages, .body = wanted.size, .redial = [&way, port] {
                  return way.dial(port);
                }};
    if (pages) {
      about.message = way.get_head(port, wanted.size, false);
    }
    const int descriptor = pages ? way.dial(port) : tunnel_or_throw(way, i);
    all.push_back(std::make_unique<conversation>(events, descriptor, std::move(about), found.clients));
  }
  measure(events, wanted, found, [] {}, [] { return std::uint64_t{0}; });
  for (int i = 0; i < 20; ++i) {
    events.turn(2);
  }
  found.seen = there.seen();
  return found;
}

result run_bulk(const order& wanted, bool down, bool up, unsigned count) {
  loop events;
  result found;
  std::uint64_t received = 0;
  const origin there{events, offer{.what = service::stream, .sends = down, .receives = up}, wanted.first_port,
                     wanted.last_port};
  route way = wanted.way;
  way.ports = there.ports();
  for (unsigned i = 0; i < count; ++i) {
    new pump{events, tunnel_or_throw(way, i), up, down,
             received};  // deletes itself, or ends with the process
  }
  const auto octets = [&] { return received + there.seen().octets; };
  measure(events, wanted, found, [] {}, octets);
  found.octets_in_all = static_cast<double>(octets());
  found.seen = there.seen();
  return found;
}

void wait_for_word(loop& events) {
  fmt::print("held\n");
  std::fflush(stdout);
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (poll(&input, 1, 20) == 0) {
    events.turn(0);
  }
}

result run_idle(const order& wanted, unsigned count) {
  loop events;
  result found;
  const origin there{events, offer{.what = service::echo}, wanted.first_port, wanted.last_port};
  route way = wanted.way;
  way.ports = there.ports();
  std::vector<int> tunnels;
  tunnels.reserve(count);
  const auto patience = now() + nanoseconds(wanted.seconds);
  for (unsigned i = 0; i < count && now() < patience; ++i) {
    std::string why;
    const int descriptor = way.tunnel(way.ports[i % way.ports.size()], why);
    events.turn(0);
    if (descriptor < 0) {
      found.clients.failed(why);
      break;  // this is what it can hold
    }
    tunnels.push_back(descriptor);
  }
  found.tunnels = static_cast<unsigned>(tunnels.size());
  found.measured = wanted.seconds - static_cast<double>(static_cast<std::int64_t>(patience - now())) / 1e9;
  if (wanted.hold) {
    wait_for_word(events);
  }
  const std::string word(64, 'i');
  for (std::size_t i = 0; i < tunnels.size(); ++i) {
    send(tunnels[i], word.data(), word.size(), MSG_NOSIGNAL);
    events.turn(0);
  }
  const auto end = now() + 20 * second;
  while (there.seen().octets < 64 * tunnels.size() && now() < end) {
    events.turn(5);
  }
  std::array<char, 128> back{};
  for (const int descriptor : tunnels) {
    pollfd waiting{.fd = descriptor, .events = POLLIN, .revents = 0};
    found.alive += poll(&waiting, 1, now() < end ? 2000 : 0) == 1 &&
                           recv(descriptor, back.data(), back.size(), MSG_DONTWAIT) == 64
                       ? 1U
                       : 0U;
    close(descriptor);
  }
  found.seen = there.seen();
  return found;
}

/// The first flight of a TLS client, as OpenSSL writes it.
std::string client_hello(SSL_CTX* context, const std::string& host) {
  SSL* tls = SSL_new(context);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(tls, BIO_new(BIO_s_mem()), out);
  SSL_set_tlsext_host_name(tls, host.c_str());
  SSL_set_connect_state(tls);
  SSL_do_handshake(tls);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out, &data);
  std::string hello(data, static_cast<std::size_t>(size));
  SSL_free(tls);
  return hello;
}

}  // namespace

const std::vector<std::string>& mode_names() {
  static const std::vector<std::string> names{"connect",   "tls",     "hello",      "paced",
                                              "deny",      "http",    "http-close", "pingpong",
                                              "bulk-down", "bulk-up", "bulk-both",  "idle"};
  return names;
}

result run(const order& wanted) {
  const auto& mode = wanted.mode;
  const auto count = [&](unsigned usual) { return wanted.concurrency != 0 ? wanted.concurrency : usual; };
  if (mode == "http") {
    return run_conversations(wanted, true, count(32));
  }
  if (mode == "pingpong") {
    return run_conversations(wanted, false, count(1));
  }
  if (mode.starts_with("bulk-")) {
    return run_bulk(wanted, mode != "bulk-up", mode != "bulk-down", count(8));
  }
  if (mode == "idle") {
    return run_idle(wanted, count(1000));
  }
  order asked = wanted;
  errand purpose;
  offer what;
  if (mode == "http-close") {
    what.what = service::http;
    purpose.to_connect = false;
    purpose.body = wanted.size;
  } else if (mode == "deny") {
    if (!wanted.way.proxy || wanted.denied.empty()) {
      throw std::runtime_error{"deny needs a proxy and --denied"};
    }
    purpose.refusal = true;
  } else {
    purpose.payload = std::string(64, 'c');
  }
  if (mode != "deny") {
    asked.denied.clear();
  }
  const tls_contexts contexts;
  if (mode == "tls") {
    purpose.tls = contexts.client;
    what.tls = contexts.server;
  } else if (mode == "hello") {
    purpose.payload = client_hello(contexts.client, wanted.way.host);
  }
  return run_visits(asked, what, purpose, mode == "paced");
}

}  // namespace exeat::bench
