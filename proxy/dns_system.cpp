#include "proxy/dns_system.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <resolv.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/socket_address.hpp"

namespace exeat::proxy {
namespace {

/// getaddrinfo tells no TTL; the cache clamps this one like any other.
constexpr std::chrono::seconds assumed_ttl{30};

/// What a look-up of one name may take at most: glibc asks every server once in each round, and waits longer
/// for those that come later (res_send.c).
int seconds_of_all_tries(const struct __res_state& state) {
  const int servers = std::max(state.nscount, 1);
  int round = 0;
  for (int server = 0; server < servers; ++server)
    round += std::max(1, server == 0 ? state.retrans : (state.retrans << server) / servers);
  return round * state.retry;
}

/// glibc looks names up in the search domains, too, unless the thread's own resolver state says otherwise; a
/// state that was changed is no longer renewed by itself when resolv.conf changes.
void prepare_resolver_state(std::chrono::milliseconds patience) {
  thread_local timespec seen{-1, 0};
  struct stat file{};
  const timespec now = ::stat("/etc/resolv.conf", &file) == 0 ? file.st_mtim : timespec{0, 0};
  if (now.tv_sec == seen.tv_sec && now.tv_nsec == seen.tv_nsec) return;
  seen = now;
  res_init();
  _res.options &= ~static_cast<unsigned long>(RES_DNSRCH | RES_DEFNAMES);
  _res.options |= RES_NOALIASES;  // $HOSTALIASES
  // Nobody waits for what comes later.
  while (_res.retry > 1 && std::chrono::seconds(seconds_of_all_tries(_res)) > patience) --_res.retry;
  while (_res.retrans > 1 && std::chrono::seconds(seconds_of_all_tries(_res)) > patience) --_res.retrans;
}

}  // namespace

dns_answer system_lookup(const core::host_name& name, std::chrono::milliseconds patience) {
  prepare_resolver_state(patience);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const std::string text(name.view());
  const int status = ::getaddrinfo(text.c_str(), nullptr, &hints, &found);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  if (status == EAI_NONAME || status == EAI_NODATA)
    return dns_error(core::reason::dns_not_found, "the name does not exist or has no address");
  if (status == EAI_AGAIN) return dns_error(core::reason::dns_failure, "the name servers fail for now");
  if (status != 0) return dns_error(core::reason::dns_failure, ::gai_strerror(status));

  dns_answer answer;
  for (const auto* at = found; at != nullptr; at = at->ai_next) {
    const auto address = address_from(at->ai_addr);
    if (address && std::ranges::find(answer.addresses, *address) == answer.addresses.end())
      answer.addresses.push_back(*address);
    if (answer.addresses.size() > max_addresses)
      return dns_error(core::reason::dns_failure, too_many_addresses);
  }
  if (answer.addresses.empty())
    return dns_error(core::reason::dns_not_found, "the name does not exist or has no address");
  answer.reason = core::reason::allowed;
  answer.ttl = assumed_ttl;
  return answer;
}

/// Outlives the pool where a thread is held up.
struct system_lookup_pool::shared {
  using clock = std::chrono::steady_clock;
  struct job {
    core::host_name name;
    std::function<void(const dns_answer&)> done;
    clock::time_point until;
  };
  struct asker {
    std::deque<job> queue;
    std::condition_variable wake;
    unsigned threads = 0, idle = 0;
    std::vector<clock::time_point> begun;  // of each look-up that a thread is in
  };

  void work(asker& of) {
    std::unique_lock lock(mutex);
    for (;;) {
      ++of.idle;
      of.wake.wait(lock, [&] { return stopping || !of.queue.empty(); });
      --of.idle;
      if (stopping) break;
      auto next = std::move(of.queue.front());
      of.queue.pop_front();
      const auto now = clock::now();
      if (now >= next.until) continue;  // whoever asked has given up
      of.begun.push_back(now);
      lock.unlock();
      const auto answer = how(next.name, limits.patience);
      lock.lock();
      of.begun.erase(std::ranges::find(of.begun, now));
      if (stopping) break;
      lock.unlock();
      next.done(answer);
      next.done = nullptr;
      lock.lock();
    }
    if (--threads == 0) ended.notify_all();
  }

  bool is_held(const asker& of, clock::time_point now) const {
    return of.begun.size() >= limits.threads &&
           std::ranges::all_of(of.begun, [&](auto begun) { return now - begun > limits.patience; });
  }

  std::mutex mutex;
  std::condition_variable ended;
  std::map<std::uint32_t, asker> askers;  // none is ever removed
  system_lookup_limits limits;
  look_up how;
  unsigned threads = 0;
  bool stopping = false;
};

system_lookup_pool::system_lookup_pool(system_lookup_limits limits)
    : system_lookup_pool(limits, system_lookup) {}

system_lookup_pool::system_lookup_pool(system_lookup_limits limits, look_up how)
    : shared_(std::make_shared<shared>()) {
  shared_->how = std::move(how);
  shared_->limits = limits;
  shared_->limits.threads = std::max(limits.threads, 1U);
}

system_lookup_pool::~system_lookup_pool() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  for (auto& [number, of] : shared_->askers) {
    of.queue.clear();
    of.wake.notify_all();
  }
  // The idle ones end at once; getaddrinfo cannot be interrupted, and nobody waits for it.
  shared_->ended.wait_for(lock, std::chrono::milliseconds(500), [this] { return shared_->threads == 0; });
}

system_lookup_pool::submitted system_lookup_pool::submit(std::uint32_t asker, const core::host_name& name,
                                                         std::function<void(const dns_answer&)> done) {
  const std::lock_guard lock(shared_->mutex);
  auto& of = shared_->askers[asker];
  const auto now = shared::clock::now();
  if (shared_->is_held(of, now)) return submitted::held;
  if (of.queue.size() >= shared_->limits.queued) return submitted::full;
  if (of.idle <= of.queue.size() && of.threads < shared_->limits.threads) {
    try {
      std::thread([state = shared_, &of] { state->work(of); }).detach();
      ++of.threads;
      ++shared_->threads;
    } catch (const std::system_error&) {
      if (of.threads == 0) throw;
    }
  }
  of.queue.push_back({name, std::move(done), now + shared_->limits.patience});
  of.wake.notify_one();
  return submitted::queued;
}

}  // namespace exeat::proxy
