#include "proxy/resolver.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>
#include <unordered_map>
#include <utility>

#include "proxy/dns_cache.hpp"
#include "proxy/dns_channel.hpp"
#include "proxy/dns_hosts.hpp"
#include "proxy/dns_query.hpp"
#include "proxy/dns_server.hpp"
#include "proxy/dns_system.hpp"

namespace exeat::proxy {
namespace {

using clock = std::chrono::steady_clock;

/// How often at most the hosts file and resolv.conf are looked at, and on a miss only.
constexpr std::chrono::seconds files_interval{1};
/// A busy channel keeps its UDP sockets, and so the ports that whoever forges an answer has to guess. After
/// so many names a new one takes over.
constexpr unsigned names_per_channel = 64;
constexpr std::streamoff file_limit = 16 << 20;

/// Tells whether a file is another one than before.
class file_watch {
 public:
  explicit file_watch(std::string path) : path_(std::move(path)) {}
  const std::string& path() const noexcept { return path_; }
  bool changed() noexcept {
    struct stat now{};
    if (::stat(path_.c_str(), &now) != 0) now = {};
    const bool same = now.st_mtim.tv_sec == last_.st_mtim.tv_sec && now.st_size == last_.st_size &&
                      now.st_mtim.tv_nsec == last_.st_mtim.tv_nsec && now.st_ino == last_.st_ino;
    last_ = now;
    return !same;
  }

 private:
  std::string path_;
  struct stat last_{};
};

/// Empty where it cannot be read.
std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto size = file ? std::clamp<std::streamoff>(file.tellg(), 0, file_limit) : 0;
  std::string text(static_cast<std::size_t>(size), '\0');
  file.seekg(0);
  file.read(text.data(), size);
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

bool is_or_below(std::string_view name, std::string_view domain) noexcept {
  if (!name.ends_with(domain)) return false;
  return name.size() == domain.size() || name[name.size() - domain.size() - 1] == '.';
}

/// Names whose meaning is fixed, so that nobody is asked (RFC 6761 6.3, RFC 7686 2). The hosts file may know
/// more about localhost, and so may nsswitch.conf.
std::optional<dns_answer> special_use(std::string_view name, bool system) {
  if (!system && is_or_below(name, "localhost")) {
    dns_answer loopback;
    loopback.reason = core::reason::allowed;
    std::array<std::uint8_t, 16> one{};
    one.back() = 1;
    loopback.addresses = {core::ip_address::v6(one), core::ip_address::v4(0x7f000001)};
    return loopback;
  }
  if (is_or_below(name, "onion"))
    return dns_error(core::reason::dns_not_found, ".onion names are not looked up in the DNS");
  return std::nullopt;
}

resolve_result result_of(const dns_answer& answer, bool from_cache) {
  resolve_result result{std::unexpected(answer.reason), from_cache, answer.detail};
  if (answer) result.addresses = answer.addresses;
  return result;
}

/// A coroutine that waits; the timer serves as its wake-up and never expires.
struct waiting : dns_waiter {
  explicit waiting(asio::io_context& context)
      : dns_waiter([](dns_waiter& self, const dns_answer& given) noexcept {
          auto& me = static_cast<waiting&>(self);
          me.answer = given;
          me.timer.cancel();
        }),
        timer(context.get_executor(), steady_timer::time_point::max()) {}
  std::optional<dns_answer> answer;
  steady_timer timer;
};

}  // namespace

struct resolver::state {
  /// How a thread of the pool finds back to a worker that may be gone.
  struct mailbox {
    std::mutex mutex;
    asio::io_context* context;  // null once the resolver is gone; under the mutex
    state* owner;               // the same, on the worker's thread only
  };
  struct flight {
    flight(state& of, const core::host_name& asked, lookup_share* whose)
        : owner(of),
          name(asked),
          share(whose),
          limit(of.wheel, [](void* self) noexcept { static_cast<flight*>(self)->out_of_time(); }, this) {}
    void out_of_time() noexcept {
      owner.finish(*this, query ? query->so_far()
                                : dns_error(core::reason::dns_timeout, "getaddrinfo does not answer"));
    }
    state& owner;
    core::host_name name;
    lookup_share* share;
    clock::time_point started = clock::now();
    deadline limit;
    std::optional<dns_query> query;
  };

  state(asio::io_context& io, timer_wheel& of, resolver_options with,
        std::shared_ptr<system_lookup_pool> threads);
  ~state();
  void open_channel();
  void replace_channel();
  void renew_channel() noexcept;
  void refresh_files(clock::time_point now);
  void start(const core::host_name& name, lookup_share* share);
  void start_system(flight& started);
  void finish(flight& ended, const dns_answer& answer) noexcept;

  asio::io_context& context;
  timer_wheel& wheel;
  resolver_options options;
  std::shared_ptr<system_lookup_pool> pool;
  std::shared_ptr<mailbox> box;
  dns_cache cache;
  hosts_table hosts;
  file_watch hosts_file, resolv_conf;
  std::vector<name_server> servers;
  clock::time_point files_seen{};
  // The channel in use, and older ones that still have questions open.
  std::unique_ptr<dns_channel> channel;
  unsigned names_asked = 0;  // over this channel, since it was idle
  std::vector<std::unique_ptr<dns_channel>> retired;
  std::unordered_map<core::host_name, flight> flights;  // before the channels: forgets its questions
  resolver_stats stats;
};

resolver::state::state(asio::io_context& io, timer_wheel& of, resolver_options with,
                       std::shared_ptr<system_lookup_pool> threads)
    : context(io),
      wheel(of),
      options(std::move(with)),
      pool(std::move(threads)),
      cache({.entries = options.cache_entries,
             .in_flight = options.in_flight,
             .min_ttl = options.min_ttl,
             .max_ttl = options.max_ttl,
             .negative_ttl = options.negative_ttl}),
      hosts_file(options.hosts_path),
      resolv_conf(options.resolv_conf_path) {
  if (options.timeout <= options.timeout.zero())
    throw std::runtime_error("the time limit of a look-up must be above zero");
  if (options.system) {
    if (pool == nullptr) throw std::runtime_error("the system resolver needs a pool of threads");
    box = std::make_shared<mailbox>();
    box->context = &context;
    box->owner = this;
    return;
  }
  for (const auto& server : options.servers) {
    const auto parsed = name_server::parse(server);
    if (!parsed)
      throw std::runtime_error(fmt::format("name server '{}': {}", server, name_server_error(server)));
    servers.push_back(*parsed);
  }
  resolv_conf.changed();
  open_channel();
}

resolver::state::~state() {
  if (box) {
    const std::lock_guard lock(box->mutex);
    box->context = nullptr;
    box->owner = nullptr;
  }
  flights.clear();
  cache.abandon(dns_error(core::reason::dns_failure, "the proxy is stopping"));
}

void resolver::state::open_channel() {
  if (options.servers.empty()) servers = servers_of_resolv_conf(read_file(resolv_conf.path()));
  replace_channel();
}

void resolver::state::renew_channel() noexcept {
  if (channel->idle()) names_asked = 0;  // its sockets are closed
  if (++names_asked <= names_per_channel) return;
  try {
    replace_channel();
  } catch (const std::exception&) {
    // Short of memory or descriptors: the channel that we have stays.
  }
}

void resolver::state::replace_channel() {
  auto opened = dns_channel::open(context, {.servers = servers,
                                            .timeout = options.timeout,
                                            .try_timeout = options.try_timeout,
                                            .tries = options.tries});
  if (!opened) throw std::runtime_error(opened.error());
  if (channel && !channel->idle()) retired.push_back(std::move(channel));
  channel = std::move(*opened);
  names_asked = 0;
}

void resolver::state::refresh_files(clock::time_point now) {
  if (options.system || now < files_seen + files_interval) return;
  const bool first = files_seen == clock::time_point{};
  files_seen = now;
  if (options.hosts_file && (hosts_file.changed() || first))
    hosts = hosts_table::parse(read_file(hosts_file.path()));
  if (options.servers.empty() && resolv_conf.changed()) {
    try {
      open_channel();
    } catch (const std::runtime_error&) {
      // Short of memory or descriptors: the servers that we have stay.
    }
  }
}

void resolver::state::start(const core::host_name& name, lookup_share* share) {
  std::erase_if(retired, [](const auto& old) { return old->idle(); });
  auto& started = flights.try_emplace(name, *this, name, share).first->second;
  if (share != nullptr) ++share->under_way;
  started.limit.arm(options.timeout);
  if (options.system) return start_system(started);
  started.query.emplace(
      dns_query::events{.done =
                            [](void* self, const dns_answer& answer) noexcept {
                              auto& ended = *static_cast<flight*>(self);
                              ended.owner.finish(ended, answer);
                            },
                        // One family of addresses is worth more than the last tries for the other one.
                        .half =
                            [](void* self) noexcept {
                              auto& flight = *static_cast<state::flight*>(self);
                              const auto left = flight.owner.options.timeout -
                                                std::chrono::floor<std::chrono::milliseconds>(clock::now() -
                                                                                              flight.started);
                              flight.limit.arm(std::max(std::chrono::milliseconds(1),
                                                        std::min(flight.owner.options.timeout / 5, left)));
                            }},
      &started);
  renew_channel();
  started.query->start(*channel, name);  // may have finished and be gone
}

void resolver::state::start_system(flight& started) {
  const auto asker = started.share != nullptr ? started.share->asker : 0;
  auto done = [to = box, name = started.name](const dns_answer& answer) {
    const std::lock_guard lock(to->mutex);
    if (to->context == nullptr) return;
    asio::post(to->context->get_executor(), [to, name, answer] {
      if (to->owner == nullptr) return;
      const auto at = to->owner->flights.find(name);
      if (at == to->owner->flights.end()) return;  // timed out meanwhile
      to->owner->finish(at->second, answer);
    });
  };
  using submitted = system_lookup_pool::submitted;
  auto taken = submitted::full;
  try {
    taken = pool->submit(asker, started.name, std::move(done));
  } catch (const std::system_error&) {
    return finish(started, dns_error(core::reason::dns_failure, "no thread for getaddrinfo can be begun"));
  }
  if (taken == submitted::full)
    finish(started, dns_error(core::reason::too_many_lookups, "too many look-ups wait for getaddrinfo"));
  if (taken == submitted::held)
    finish(started, dns_error(core::reason::dns_timeout,
                              "names that do not answer hold all threads for getaddrinfo of this phase"));
}

void resolver::state::finish(flight& ended, const dns_answer& answer) noexcept {
  // Copies: both may lie in the flight that is erased here.
  const auto name = ended.name;
  const auto result = answer;  // NOLINT(performance-unnecessary-copy-initialization)
  if (result.reason == core::reason::dns_not_found) ++stats.not_found;
  if (result.reason == core::reason::dns_failure) ++stats.failures;
  if (result.reason == core::reason::dns_timeout) ++stats.timeouts;
  if (ended.share != nullptr) --ended.share->under_way;
  flights.erase(name);
  cache.complete(name, result, clock::now());
}

resolver::resolver(asio::io_context& context, timer_wheel& wheel, resolver_options options,
                   std::shared_ptr<system_lookup_pool> pool)
    : state_(std::make_unique<state>(context, wheel, std::move(options), std::move(pool))) {}

resolver::~resolver() = default;

task<resolve_result> resolver::resolve(core::host_name name, lookup_share* share) {
  auto& s = *state_;
  const auto now = clock::now();
  if (const auto known = s.cache.find(name, now)) {
    ++(*known ? s.stats.hits : s.stats.negative);
    co_return result_of(*known, true);
  }
  s.refresh_files(now);
  if (s.options.hosts_file && !s.options.system) {
    if (const auto listed = s.hosts.find(name); !listed.empty()) {
      if (listed.size() > max_addresses)
        co_return result_of(dns_error(core::reason::dns_failure, too_many_addresses), true);
      ++s.stats.hits;
      co_return resolve_result{address_list(listed.begin(), listed.end()), true, {}};
    }
  }
  if (const auto fixed = special_use(name.view(), s.options.system)) co_return result_of(*fixed, true);
  waiting me(s.context);
  const bool may_start = share == nullptr || share->most == 0 || share->under_way < share->most;
  switch (s.cache.join(name, me, may_start)) {
    case dns_cache::joined::full:
      co_return result_of(dns_error(core::reason::too_many_lookups,
                                    may_start ? "too many look-ups are under way"
                                              : "too many look-ups of this phase are under way"),
                          false);
    case dns_cache::joined::shared:
      ++s.stats.shared;
      break;
    case dns_cache::joined::started:
      ++s.stats.misses;
      s.start(name, share);
      break;
  }
  // The resolver may be gone when this resumes.
  if (!me.answer) co_await me.timer.async_wait(no_throw);
  if (!me.answer) co_return result_of(dns_error(core::reason::dns_failure, "cancelled"), false);
  co_return result_of(*me.answer, false);
}

const resolver_stats& resolver::stats() const noexcept {
  state_->stats.evictions = state_->cache.evictions();
  return state_->stats;
}

std::size_t resolver::cached_names() const noexcept {
  return state_->cache.size();
}

void resolver::flush() noexcept {
  state_->cache.clear();
}

const char* name_server_error(std::string_view text) noexcept {
  if (name_server::parse(text)) return nullptr;
  return "not an IP address with an optional port (192.0.2.53, 192.0.2.53:53, [2001:db8::53]:53)";
}

}  // namespace exeat::proxy
