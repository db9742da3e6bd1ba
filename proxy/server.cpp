#include "proxy/server.hpp"

#include <fmt/format.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/random.h>

#include <algorithm>
#include <future>
#include <stdexcept>
#include <utility>

#include "identity/identity.hpp"
#include "proxy/dns_system.hpp"
#include "proxy/probe.hpp"

namespace exeat::proxy {
namespace {

std::uint64_t random_number() {
  std::uint64_t value = 0;
  if (::getrandom(&value, sizeof value, 0) != sizeof value)
    throw std::runtime_error("the kernel gives no random bytes");
  return value;
}

// What `via` says, or a name that no other process has: loops are found by it.
std::string pseudonym_of(const std::string& configured) {
  if (configured == "none") return {};
  return configured.empty() ? fmt::format("exeat-{:016x}", random_number()) : configured;
}

std::string certificates_text(const config::endpoint& at, const std::expected<void, std::string>& loaded) {
  return loaded ? fmt::format("the certificates of {} have changed", config::to_string(at))
                : fmt::format("the certificates of {} stay as they were: {}", config::to_string(at),
                              loaded.error());
}

// No thread made under it takes a signal: they are the main thread's.
class signals_blocked {
 public:
  signals_blocked() noexcept {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~signals_blocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  signals_blocked(const signals_blocked&) = delete;
  signals_blocked& operator=(const signals_blocked&) = delete;

 private:
  sigset_t before_{};
};

}  // namespace

unsigned worker_count(const config::settings& settings) noexcept {
  if (settings.workers != 0) return std::min(settings.workers, 256U);
  cpu_set_t usable;
  CPU_ZERO(&usable);
  if (::sched_getaffinity(0, sizeof usable, &usable) != 0) return 1;
  return std::clamp(static_cast<unsigned>(CPU_COUNT(&usable)), 1U, 256U);
}

server::server(const config::settings& settings, metrics::registry& registry, event_sink& sink)
    : registry_(registry),
      budget_(settings.limits.connections, settings.limits.connections_per_client, registry.workers()),
      memory_(settings.limits.buffers, registry.workers()),
      requests_(settings.limits.requests_per_client, registry.workers(), random_number()) {
  process_.settings = settings;
  process_.settings.via = pseudonym_of(settings.via);
  process_.sink = &sink;
  process_.budget = &budget_;
  process_.memory = &memory_;
  process_.requests = &requests_;
  process_.id_seed = random_number();
  process_.probe_path = fmt::format("/-/probe/{:016x}{:016x}", random_number(), random_number());
}

std::expected<std::unique_ptr<server>, std::string> server::bind(const config::settings& settings,
                                                                 metrics::registry& registry,
                                                                 event_sink& sink, notice notice) {
  std::unique_ptr<server> out(new server(settings, registry, sink));
  out->notice_ = notice;
  auto hops = next_hops::load(settings.upstream);
  if (!hops) return std::unexpected(std::move(hops.error()));
  out->process_.hops = std::move(*hops);
  for (const auto& listener : settings.listeners) {
    auto bound = bind_listener(listener, registry.workers());
    if (!bound) return std::unexpected(std::move(bound.error()));
    if (listener.tls) {
      auto source = tls_source::open(*listener.tls, [at = bound->bound, notice](const auto& loaded) {
        if (notice) notice(loaded.has_value(), certificates_text(at, loaded));
      });
      if (!source) {
        close_listener(*bound);
        return std::unexpected(
            fmt::format("the listener {}: {}", config::to_string(bound->bound), source.error()));
      }
      bound->tls = std::move(*source);
    }
    out->listeners_.push_back(std::move(*bound));
    out->add_own_endpoint(out->listeners_.back().bound);
  }
  return out;
}

void server::reload_certificates() {
  for (auto& l : listeners_) {
    if (!l.tls) continue;
    const auto loaded = l.tls->reload();
    if (!loaded && notice_) notice_(false, certificates_text(l.bound, loaded));
  }
}

void server::add_own_endpoint(const config::endpoint& endpoint) {
  if (const auto* tcp = std::get_if<config::tcp_endpoint>(&endpoint)) {
    process_.own_endpoints.push_back({tcp->address, tcp->port});
  }
}

std::expected<void, std::string> server::start(std::shared_ptr<const allowlist::policy> policy) {
  policy_ = std::move(policy);
  // Jobs that were there before the policy begin with it.
  implicit_ = begin(implicit_ ? implicit_->served.job : nullptr);
  for (auto& [id, kept] : opened_) kept = begin(kept->served.job);
  const auto jobs = table();
  publish(false);
  const signals_blocked blocked;
  try {
    if (process_.settings.dns.resolver == config::resolver_kind::system) {
      process_.lookup_pool = std::make_shared<system_lookup_pool>(
          system_lookup_limits{.patience = process_.settings.timeouts.dns});
    }
    for (unsigned i = 0; i < registry_.workers(); ++i) {
      workers_.push_back(std::make_unique<worker>(i, process_, registry_.worker(i), jobs));
      for (auto& bound : listeners_) workers_.back()->add_listener(bound);
    }
    for (auto& w : workers_) {
      // By itself: that of another thread goes through a file, which the sandbox does not grant.
      threads_.emplace_back([&w] {
        ::pthread_setname_np(::pthread_self(), "worker");
        w->run();
      });
    }
  } catch (const std::exception& e) {
    return std::unexpected(fmt::format("cannot start the workers: {}", e.what()));
  }
  started_ = true;
  return {};
}

server::~server() {
  stop();
  for (auto& w : workers_) {
    // A session that would not end still works on its worker's members: the process is ending, and those
    // stay.
    if (w->live() != 0) (void)w.release();
  }
  for (auto& l : listeners_) {
    // Once they have started, the workers own the descriptors.
    if (!workers_.empty()) l.descriptors.clear();
    close_listener(l);
  }
}

void server::drain() {
  draining_ = true;
  for (auto& w : workers_) w->drain();
}

std::size_t server::live() const noexcept {
  std::size_t sum = 0;
  for (const auto& w : workers_) sum += w->live();
  return sum;
}

void server::stop() {
  for (auto& w : workers_) w->stop();
  for (auto& t : threads_) {
    if (t.joinable()) t.join();
  }
}

std::string server::probe(std::chrono::milliseconds timeout) {
  if (!started_) return "starting";
  if (draining_) return "stopping";
  const auto until = std::chrono::steady_clock::now() + timeout;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    auto answered = std::make_shared<std::promise<void>>();
    auto answer = answered->get_future();
    asio::post(workers_[i]->context(), [answered] { answered->set_value(); });
    if (answer.wait_until(until) != std::future_status::ready)
      return fmt::format("worker {} does not answer", i);
  }
  for (const auto& l : listeners_) {
    // Whoever wants TLS or a PROXY header first answers no plain request.
    const bool is_plain = !l.configured.tls && !identity::demands_of(l.configured).proxy_protocol;
    if (!probe_listener(l.bound, is_plain ? process_.probe_path : std::string(), until)) {
      return fmt::format("no answer through the listener {} (phase {})", config::to_string(l.bound),
                         l.configured.phase);
    }
  }
  return {};
}

}  // namespace exeat::proxy
