#include "tests/fuzz/session/world.hpp"

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "jobs/secret.hpp"
#include "tests/fuzz/expect.hpp"

namespace exeat::fuzz {
namespace {

using std::chrono::milliseconds;
constexpr std::size_t most_clients = 8, most_origins = 24, most_kept = 128 * 1024, most_said = 4096;
constexpr std::string_view opened_id = "j-aaaaaaaaaaaa";

std::size_t open_descriptors() {
  std::size_t count = 0;
  auto* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

void no_delay(int fd) {
  const int yes = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

// Of the origins all end so but those that an input closes: no port of this machine waits for them
// afterwards.
void abort(int fd) {
  const linger now{1, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  ::close(fd);
}

config::settings settings_of(const world_options& options) {
  config::settings s;
  s.listeners.clear();
  s.admin.reset();
  s.dns.servers = {{core::ip_address::v4(0x7f000001), name_server::get().port()}};
  s.dns.hosts_file = false;
  s.limits.connections = 6;
  s.limits.connections_per_client = 5;
  s.limits.head_bytes = 4096;
  s.limits.head_fields = 20;
  s.timeouts.response = milliseconds(30'000);
  s.timeouts.idle = milliseconds(20'000);
  s.timeouts.tunnel_idle = milliseconds(options.idle ? 25'000 : 0);
  s.on_tighten = options.cuts ? config::tighten_action::cut : config::tighten_action::keep;
  if (options.via) s.via = "exeat";
  if (options.narrow.requests) s.limits.requests_per_client = few_requests;
  if (options.narrow.dials) s.limits.dials_per_destination = 1;
  if (options.narrow.lookups) {
    s.limits.lookups = 2;
    s.limits.lookups_per_phase = 1;
  }
  if (options.narrow.buffers) s.limits.buffers = std::uint64_t{400} * 1024;
  return s;
}

}  // namespace

world::world(const world_options& options)
    : options_(options), descriptors_(open_descriptors()), judge_(options_) {
  name_server::get().reset();
  set_time(beginning);
  job_ = std::make_shared<jobs::job>("", jobs::plan{{{"setup"}, {"agent", "watch"}}});
  opened_ = std::make_shared<jobs::job>(std::string(opened_id), jobs::plan{{{"agent"}}},
                                        std::vector<jobs::token>{{"agent", jobs::sha256_of("u").value()}});
  for (auto& seats : seats_) {
    counts_.push_back(std::make_shared<proxy::job_counts>(1));
    seats = std::make_shared<proxy::job_seats>(
        proxy::job_seats::limits{.per_phase = options.narrow.most_of_phase(),
                                 .per_job = options.narrow.most_of_job()},
        1);
  }
  for (auto& rate : rates_)
    rate = std::make_shared<proxy::job_rate>(proxy::job_rate::limits{.per_phase = 60, .per_job = 90}, 1);
  process_.settings = settings_of(options);
  const auto& limits = process_.settings.limits;
  budget_ = std::make_unique<proxy::connection_budget>(limits.connections, limits.connections_per_client, 1);
  process_.sink = &judge_;
  process_.budget = budget_.get();
  memory_ = std::make_unique<proxy::memory_budget>(limits.buffers, 1);
  requests_ = std::make_unique<proxy::request_rate>(limits.requests_per_client, 1, 1);
  process_.memory = memory_.get();
  process_.requests = requests_.get();
  process_.probe_path = "/-/probe";
  process_.hops = hops_of(options.ways);
  process_.id_seed = 1;
  policy_ = options.policy % policy_count;
  judge_.policy_in_force(policy_);
  worker_ = std::make_unique<proxy::worker>(0, process_, *counters_, table());
  add_listeners();
  // run() sets all going and comes back at once; from here on the loop is ours.
  proxy::asio::post(worker_->context(), [this] { worker_->context().stop(); });
  worker_->run();
  settle();
}

void world::add_listener(const config::listener& configured, int fd, config::endpoint bound,
                         std::shared_ptr<proxy::tls_source> tls) {
  if (const auto* tcp = std::get_if<config::tcp_endpoint>(&bound))
    process_.own_endpoints.push_back({tcp->address, tcp->port});
  listeners_.push_back({configured, std::move(bound), {fd}, {}, std::move(tls)});
  worker_->add_listener(listeners_.back());
}

void world::on_path(const config::listener& configured, std::string_view end) {
  static unsigned serial = 0;
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  const auto name =
      "exeat-fuzz-" + std::to_string(::getpid()) + "-" + std::to_string(++serial) + "-" + std::string(end);
  std::memcpy(at.sun_path + 1, name.data(), name.size());
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  EXPECT(::bind(fd, reinterpret_cast<const sockaddr*>(&at), size) == 0 && ::listen(fd, 64) == 0);
  add_listener(configured, fd, config::unix_endpoint{name});
}

void world::on_port(config::listener configured, std::shared_ptr<proxy::tls_source> tls) {
  configured.endpoint = config::tcp_endpoint{};
  if (tls) configured.tls.emplace();
  auto bound = proxy::bind_listener(configured, 1);
  EXPECT(bound.has_value());
  add_listener(configured, bound->descriptors[0], bound->bound, std::move(tls));
}

void world::add_listeners() {
  config::listener of_setup{.phase = "setup"};
  config::listener of_agent{.phase = "agent"};
  on_path(of_setup, "setup");
  on_path(of_agent, "agent");
  on_port(of_agent);
  if (options_.others) add_other_listeners();
  if (options_.tls) on_port(of_agent, certificates::get().source(false));
  if (!options_.proves) return;
  config::identity_check proof;
  proof.kind = config::identity_check::source::mtls;
  proof.certificates.push_back({.pattern = "spiffe://fuzz/{phase}", .phase = {}});
  on_port({.identity = {proof}}, certificates::get().source(true));
}

void world::add_other_listeners() {
  on_path({.phase = "watch"}, "watch");
  config::identity_check token;
  token.kind = config::identity_check::source::credential;
  token.tokens.push_back({.sha256 = jobs::sha256_of("t").value(), .phase = "agent"});
  token.job_tokens = true;
  on_path({.identity = {token}}, "token");
  config::identity_check header;
  header.kind = config::identity_check::source::proxy_protocol;
  header.upstreams = {core::cidr::parse("127.0.0.0/8").value()};
  on_port({.phase = "agent", .identity = {{}, header}});
}

std::shared_ptr<const proxy::job_table> world::table() {
  const auto policy = stage::get().policy(policy_, options_.timed);
  auto out = std::make_shared<proxy::job_table>();
  out->implicit = {job_, std::make_shared<const proxy::loaded_policy>(policy, slots_, book_), counts_[0],
                   seats_[0], rates_[0]};
  if (serves_opened_)
    out->opened.emplace(
        std::string(opened_id),
        proxy::served_job{opened_,
                          std::make_shared<const proxy::loaded_policy>(policy, slots_, book_of_opened_),
                          counts_[1], seats_[1], rates_[1]});
  return out;
}

world::end* world::pick(side whose, unsigned who) noexcept {
  auto& all = whose == side::client ? clients_ : origins_;
  return all.empty() ? nullptr : &all[who % all.size()];
}

void world::connect(unsigned which) {
  if (clients_.size() >= most_clients) return;
  const auto& bound = listeners_[which % listeners_.size()].bound;
  sockaddr_storage at{};
  socklen_t size = 0;
  int family = AF_INET;
  if (const auto* tcp = std::get_if<config::tcp_endpoint>(&bound)) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(tcp->port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size = sizeof in;
    std::memcpy(&at, &in, size);
  } else {
    const auto& name = std::get<config::unix_endpoint>(bound).path;
    sockaddr_un un{};
    family = un.sun_family = AF_UNIX;
    std::memcpy(un.sun_path + 1, name.data(), name.size());
    size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    std::memcpy(&at, &un, sizeof un);
  }
  const int fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (family == AF_INET) no_delay(fd);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&at), size) != 0 && errno != EINPROGRESS) {
    ::close(fd);
    return;
  }
  clients_.push_back({.fd = fd, .to_tls = listeners_[which % listeners_.size()].tls != nullptr});
}

void world::begin_tls(unsigned who, bool proves) {
  auto* one = pick(side::client, who);
  if (one == nullptr || one->fd < 0 || one->tls || !one->to_tls) return;
  one->owed = 0;
  one->tls = tls_end::client(one->fd, proves);
}

ssize_t world::send(end& to, std::string_view octets) noexcept {
  const auto n = to.tls ? to.tls->send(octets.data(), octets.size())
                        : ::send(to.fd, octets.data(), octets.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (n > 0 && to.said.size() < most_said)
    to.said.append(octets.substr(0, std::min(static_cast<std::size_t>(n), most_said - to.said.size())));
  return n;
}

// What comes out of a tunnel is what one of the origins said, from its first octet on.
void world::check_tunnel(const end& client) const {
  const auto got = judge::out_of_tunnel(client.got);
  if (got.empty()) return;
  const bool any = std::ranges::any_of(origins_, [&](const end& one) {
    std::string_view said = one.said;
    if (options_.ways.is_hop(one.of)) {
      const auto at = end_of_opening(said);
      if (!at) return false;
      said.remove_prefix(*at);
    }
    const auto both = std::min(got.size(), said.size());
    return both != 0 && got.substr(0, both) == said.substr(0, both);
  });
  EXPECT(any || !keeps_all_);
}

void world::say(side whose, unsigned who, std::string_view octets) {
  auto* one = pick(whose, who);
  if (one == nullptr || one->fd < 0 || one->owed != 0) return;
  (void)send(*one, octets);
}

void world::say_much(side whose, unsigned who, unsigned kibibytes) {
  auto* one = pick(whose, who);
  if (one != nullptr && one->fd >= 0 && one->owed == 0) one->owed = std::size_t{kibibytes} * 1024;
}

void world::half_close(side whose, unsigned who) {
  auto* one = pick(whose, who);
  if (one == nullptr || one->fd < 0) return;
  if (one->tls && one->tls->is_open()) return one->tls->end();
  ::shutdown(one->fd, SHUT_WR);
}

void world::let_go(side whose, end& which, bool abruptly) {
  if (which.fd < 0) return;
  which.tls.reset();
  const int fd = std::exchange(which.fd, -1);
  abruptly ? abort(fd) : static_cast<void>(::close(fd));
  if (whose == side::client) {
    judge_.client_got(which.got);
    check_tunnel(which);
  } else if (options_.ways.is_hop(which.of))
    judge_.hop_got(which.of, which.got, which.said);
  else
    judge_.origin_got(which.of, which.got);
  which.got.clear();
}

void world::reset(side whose, unsigned who) {
  if (auto* one = pick(whose, who)) let_go(whose, *one, true);
}

void world::close(side whose, unsigned who) {
  if (auto* one = pick(whose, who)) let_go(whose, *one, false);
}

void world::set_reading(side whose, unsigned who, bool reads) {
  if (auto* one = pick(whose, who)) one->reads = reads;
}

void world::release_answers() {
  name_server::get().release();
}

void world::publish(bool cut) {
  worker_->set_jobs(table(), cut);
}

void world::load(std::size_t policy) {
  policy_ = policy % policy_count;
  judge_.policy_in_force(policy_);
  watch(&judge_);
  publish(options_.cuts);
  watch(nullptr);
}

void world::seal() {
  job_->seal_before(job_->current() + 1);
}

void world::enforce(milliseconds grace) {
  const auto from = enforced_;
  enforced_ = job_->current();
  watch(&judge_);
  worker_->enforce_seals(job_, from, grace);
  watch(nullptr);
  if (grace <= milliseconds::zero()) {
    judge_.sealed_before(enforced_);
  } else if (from < enforced_) {
    graces_.emplace_back(time_now() + grace, enforced_);
  }
}

void world::check_seals() {
  for (const auto& [when, step] : graces_) {
    if (time_now() >= when) judge_.sealed_before(step);
  }
}

void world::end_job() {
  job_->end(jobs::ending::closed);
}

void world::toggle_opened_job() {
  serves_opened_ = !serves_opened_;
  publish(false);
}

void world::pass(milliseconds duration) {
  pass_time(duration);
}

void world::drain() {
  worker_->drain();
}

void world::stop() {
  worker_->stop();
  stopping_ = true;
}

void world::cut_out_of_time() {
  watch(&judge_);
  worker_->cut_out_of_time();
  watch(nullptr);
  judge_.cut_out_of_time();
}

void world::forget_names() {
  worker_->resolver().flush();
}

unsigned world::run(unsigned most) {
  if (worker_->context().stopped()) {
    if (stopping_) return 0;
    worker_->context().restart();
  }
  unsigned ran = 0;
  watch(&judge_);
  while (ran < most && worker_->context().poll_one() != 0) ++ran;
  watch(nullptr);
  return ran;
}

void world::turn(unsigned turns) {
  run(turns);
}

bool world::accept() {
  bool any = false;
  for (const auto& one : origins) {
    const int listener = stage::get().listener(one.which);
    if (listener < 0) continue;
    for (;;) {
      const int fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) break;
      EXPECT(one.which != origin::no);
      any = true;
      no_delay(fd);
      if (closing_ || origins_.size() >= most_origins) {
        abort(fd);
        keeps_all_ = false;
        continue;
      }
      origins_.push_back({.fd = fd, .of = one.which});
      if (options_.ways.tls && one.which == origin::hop)
        origins_.back().tls = tls_end::server(fd, options_.ways.impostor);
    }
  }
  return any;
}

bool world::move(side whose) {
  static const std::string much_of_client(16384, 'c');
  static const std::string much_of_origin(16384, filler);
  const auto& much = whose == side::client ? much_of_client : much_of_origin;
  bool any = false;
  static std::array<char, 65536> buffer;
  for (auto& one : whose == side::client ? clients_ : origins_) {
    if (one.fd >= 0 && one.tls) any |= one.tls->shake();
    while (one.fd >= 0 && one.owed != 0) {
      errno = 0;
      const auto n = send(one, {much.data(), std::min(much.size(), one.owed)});
      if (n < 0 && errno == EAGAIN) break;
      any = true;
      one.owed = n < 0 ? 0 : one.owed - static_cast<std::size_t>(n);
    }
    while (one.fd >= 0 && one.reads) {
      const auto n = one.tls ? one.tls->recv(buffer.data(), buffer.size())
                             : ::recv(one.fd, buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n <= 0) break;
      any = true;
      if (one.to_tls && !one.tls) continue;  // an alert, or a word to whoever speaks HTTP without TLS
      const auto room = most_kept - std::min(most_kept, one.got.size());
      one.got.append(buffer.data(), std::min(room, static_cast<std::size_t>(n)));
    }
  }
  return any;
}

void world::settle() {
  constexpr unsigned most_turns = 5000, most_rounds = 1000;
  const auto asked = [this](std::string_view name) { judge_.asked(name); };
  unsigned round = 0;
  for (bool any = true; any; ++round) {
    EXPECT(round < most_rounds);
    const auto turns = run(most_turns);
    EXPECT(turns < most_turns);  // it spins
    any = turns != 0;
    any |= name_server::get().step(answering_, asked);
    any |= accept();
    any |= move(side::client);
    any |= move(side::origin);
  }
  check_seals();
}

world::~world() {
  settle();
  for (auto& one : clients_) let_go(side::client, one, false);
  settle();
  closing_ = true;
  for (auto& one : origins_) let_go(side::origin, one, true);
  answering_ = answering::truth;
  name_server::get().release();
  const auto over = [this] {
    return worker_->live() == 0 && worker_->upstreams().size() == 0 && worker_->relay().size() == 0 &&
           worker_->sessions().empty() && worker_->fronts().empty() && worker_->hop_fronts().empty();
  };
  settle();
  for (int i = 0; i < 60 && !over() && !stopping_; ++i) {
    pass(milliseconds(i < 20 ? 200 : 10'000));
    settle();
  }
  if (!stopping_ && !over())
    std::fprintf(stderr, "still there: %zu connections, %zu sessions, %zu idle upstreams, %zu tunnels\n",
                 worker_->live(), worker_->sessions().size(), worker_->upstreams().size(),
                 worker_->relay().size());
  if (!stopping_) EXPECT(over());
  worker_->stop();
  if (worker_->context().stopped()) worker_->context().restart();
  stopping_ = true;
  for (int i = 0; i < 1000 && !worker_->context().stopped(); ++i) {
    pass(milliseconds(5));
    settle();
  }
  EXPECT(worker_->context().stopped());
  EXPECT(worker_->live() == 0);

  judge_.conclude(*counters_, counts_);
  // What was claimed of a limit has been settled.
  constexpr std::uint64_t all = 1ULL << 60;
  for (const auto way : {proxy::way::up, proxy::way::down}) {
    const auto used = book_.octets("rule/agent/bud.test:18080", way);
    EXPECT(used->claim(all, all) == all - used->used());
  }
  worker_.reset();
  // So have the buffers been given back.
  EXPECT(memory_->take(process_.settings.limits.buffers) == process_.settings.limits.buffers);
  name_server::get().reset();
  accept();
  EXPECT(open_descriptors() == descriptors_);
}

}  // namespace exeat::fuzz
