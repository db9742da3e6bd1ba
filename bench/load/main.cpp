// load: a load generator and the origin behind the proxy, in one process and one thread. Works against any
// HTTP proxy; prints one JSON object. See bench/README.md.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

#include "load/descriptors.hpp"
#include "load/modes.hpp"

namespace {

using exeat::bench::order;
using exeat::bench::result;

double own_cpu() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
    }
    out += static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7e ? '?' : c;
  }
  return out + '"';
}

void print(const order& wanted, const result& found) {
  const auto& clients = found.clients;
  std::string errors;
  for (const auto& [why, count] : clients.errors) {
    errors += fmt::format("{}{}: {}", errors.empty() ? "" : ", ", quoted(why), count);
  }
  const auto us = [&](double fraction) { return static_cast<double>(clients.latency.at(fraction)) / 1e3; };
  fmt::print(
      "{{\"mode\": {}, \"seconds\": {:.4f}, \"operations\": {}, \"operations_in_all\": {}, \"rate\": "
      "{:.2f}, ",
      quoted(wanted.mode), found.measured, clients.counted, clients.in_all,
      found.measured > 0 ? static_cast<double>(clients.counted) / found.measured : 0);
  fmt::print(
      "\"latency_us\": {{\"mean\": {:.1f}, \"p50\": {:.1f}, \"p90\": {:.1f}, \"p99\": {:.1f}, \"p999\": "
      "{:.1f}, \"max\": {:.1f}}}, ",
      static_cast<double>(clients.latency.mean()) / 1e3, us(0.5), us(0.9), us(0.99), us(0.999),
      static_cast<double>(clients.latency.longest()) / 1e3);
  fmt::print(
      "\"bits_per_second\": {:.0f}, \"octets_in_all\": {:.0f}, \"tunnels\": {}, \"alive\": {}, \"late\": {}, "
      "\"redials\": {}, ",
      found.bits, found.octets_in_all, found.tunnels, found.alive, found.late, clients.redials);
  fmt::print(
      "\"origin\": {{\"connections\": {}, \"requests\": {}, \"octets\": {}}}, \"load_cpu_seconds\": {:.3f}, "
      "\"errors\": {{{}}}}}\n",
      found.seen.connections, found.seen.requests, found.seen.octets, own_cpu(), errors);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Load on an HTTP proxy, with the origin behind it. One JSON object on standard output."};
  order wanted;
  std::string proxy;
  std::string ports;
  bool direct = false;
  app.option_defaults()->take_last();
  app.add_option("mode", wanted.mode)->required()->check(CLI::IsMember(exeat::bench::mode_names()));
  auto* to = app.add_option("--proxy", proxy, "ADDRESS:PORT of the proxy");
  app.add_flag("--direct", direct, "no proxy at all")->excludes(to);
  app.add_option("--host", wanted.way.host, "name of the origin, which the proxy resolves to 127.0.0.1")
      ->required();
  app.add_option("--denied", wanted.denied, "deny: HOST:PORT that the proxy refuses");
  app.add_option("--ports", ports, "FIRST-LAST: the origin's ports (default: eight that the kernel chooses)");
  app.add_option("--seconds", wanted.seconds, "to measure; idle: to open all tunnels")
      ->check(CLI::Range(0.01, 3600.0));
  app.add_option("--warm-up", wanted.warm_up, "seconds before that")->check(CLI::Range(0.0, 3600.0));
  app.add_option("--concurrency", wanted.concurrency, "connections at a time; idle: tunnels");
  app.add_option("--size", wanted.size, "http: octets of a body")->check(CLI::Range(0, 16 << 20));
  app.add_option("--rate", wanted.rate, "paced: connects a second")->check(CLI::Range(1.0, 1e5));
  app.add_option("--operations", wanted.operations,
                 "this many instead of a time, one at a time with --concurrency 1");
  app.add_flag("--hold", wanted.hold, "idle: print \"held\", and wait for a line on standard input");
  CLI11_PARSE(app, argc, argv);

  if (!direct && !(wanted.way.proxy = exeat::bench::address_of(proxy))) {
    fmt::print(stderr, "load: --proxy ADDRESS:PORT with an IPv4 address, or --direct\n");
    return 2;
  }
  if (!ports.empty() && (std::sscanf(ports.c_str(), "%hu-%hu", &wanted.first_port, &wanted.last_port) != 2 ||
                         wanted.first_port == 0 || wanted.last_port < wanted.first_port)) {
    fmt::print(stderr, "load: --ports FIRST-LAST\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  exeat::bench::take_all_descriptors();
  try {
    print(wanted, exeat::bench::run(wanted));
    std::fflush(stdout);
    std::_Exit(0);  // the origin's connections that are still open end here
  } catch (const std::exception& failed) {
    fmt::print(stderr, "load: {}\n", failed.what());
    return 1;
  }
}
