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
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "proxy/socket_address.hpp"

namespace exeat::proxy {
namespace {

/// getaddrinfo tells no TTL; the cache clamps this one like any other.
constexpr std::chrono::seconds assumed_ttl{30};

/// glibc looks names up in the search domains, too, unless the thread's own resolver state says otherwise; a
/// state that was changed is no longer renewed by itself when resolv.conf changes.
void forbid_search_domains() {
  thread_local timespec seen{-1, 0};
  struct stat file{};
  const timespec now = ::stat("/etc/resolv.conf", &file) == 0 ? file.st_mtim : timespec{0, 0};
  if (now.tv_sec == seen.tv_sec && now.tv_nsec == seen.tv_nsec) return;
  seen = now;
  res_init();
  _res.options &= ~static_cast<unsigned long>(RES_DNSRCH | RES_DEFNAMES);
  _res.options |= RES_NOALIASES;  // $HOSTALIASES
}

}  // namespace

dns_answer system_lookup(const core::host_name& name) {
  forbid_search_domains();
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
  struct job {
    core::host_name name;
    std::function<void(const dns_answer&)> done;
  };

  void work() {
    std::unique_lock lock(mutex);
    for (;;) {
      wake.wait(lock, [this] { return stopping || !queue.empty(); });
      if (stopping) break;
      auto next = std::move(queue.front());
      queue.pop_front();
      lock.unlock();
      const auto answer = system_lookup(next.name);
      lock.lock();
      if (stopping) break;
      lock.unlock();
      next.done(answer);
      next.done = nullptr;
      lock.lock();
    }
    if (--threads == 0) ended.notify_all();
  }

  std::mutex mutex;
  std::condition_variable wake, ended;
  std::deque<job> queue;
  std::size_t limit = 0;
  unsigned threads = 0;
  bool stopping = false;
};

system_lookup_pool::system_lookup_pool(unsigned threads, std::size_t queued)
    : shared_(std::make_shared<shared>()) {
  shared_->limit = queued;
  shared_->threads = std::max(threads, 1U);
  const auto count = shared_->threads;
  for (unsigned i = 0; i < count; ++i) std::thread([state = shared_] { state->work(); }).detach();
}

system_lookup_pool::~system_lookup_pool() {
  std::unique_lock lock(shared_->mutex);
  shared_->stopping = true;
  shared_->queue.clear();
  shared_->wake.notify_all();
  // The idle ones end at once; getaddrinfo cannot be interrupted, and nobody waits for it.
  shared_->ended.wait_for(lock, std::chrono::milliseconds(500), [this] { return shared_->threads == 0; });
}

bool system_lookup_pool::submit(const core::host_name& name, std::function<void(const dns_answer&)> done) {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->queue.size() >= shared_->limit) return false;
    shared_->queue.push_back({name, std::move(done)});
  }
  shared_->wake.notify_one();
  return true;
}

}  // namespace exeat::proxy
