#include "tests/fuzz/session/judge.hpp"

#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>

#include "proxy/socket_address.hpp"
#include "tests/fuzz/expect.hpp"
#include "tests/fuzz/session/heads.hpp"
#include "wire/client_hello.hpp"

namespace exeat::fuzz {
namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

// For who looks into a finding: EXEAT_FUZZ_TALKS=1.
const bool talks = std::getenv("EXEAT_FUZZ_TALKS") != nullptr;

std::string line_of(const proxy::event& e) {
  std::string out(e.kind == proxy::event::kind::decision ? "decision " : "close    ");
  out.append(e.id.view()).append(" ").append(e.phase).append(" ").append(e.method).append(" ").append(e.host);
  out.append(" ").append(core::row_of(e.reason).code).append(" ").append(std::to_string(e.status));
  out.append(" up ").append(std::to_string(e.bytes_up)).append(" down ").append(std::to_string(e.bytes_down));
  return out.append(" ").append(e.error);
}

// The world names its sockets in the abstract namespace, the listener's phase last.
bool belongs_to(int fd, phase p) {
  sockaddr_un own{};
  socklen_t size = sizeof own;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) != 0 || own.sun_family != AF_UNIX)
    return false;
  const std::string_view name(own.sun_path, size - offsetof(sockaddr_un, sun_path));
  return name.ends_with(phase_names[static_cast<std::size_t>(p)]);
}

}  // namespace

judge::judge(const world_options& options) noexcept
    : only_named_(!options.others),
      cuts_(options.cuts),
      via_(options.via),
      timed_(options.timed),
      narrow_(options.narrow),
      ways_(options.ways),
      streams_(options.ways) {}

void judge::policy_in_force(std::size_t i) noexcept {
  policy_ = i;
  seen_[i] = true;
}

bool judge::allowed_now(origin o) const noexcept {
  return allows(policy_, phase::setup, o) || allows(policy_, phase::agent, o);
}

bool judge::ever_allowed(origin o) const noexcept {
  // An audit sends on, by its name, what it would deny.
  if (!only_named_) return o != origin::no || ways_.delegates(o);
  for (std::size_t i = 0; i < policy_count; ++i) {
    if (seen_[i] && (allows(i, phase::setup, o) || allows(i, phase::agent, o))) return true;
  }
  return false;
}

void judge::cut_out_of_time() {
  if (timed_ && agent_began_ && time_now() - *agent_began_ >= time_limit) cut_off_ = used_;
}

// Who holds a tunnel holds a seat.
void judge::check_tunnels(const proxy::event& e) {
  if (e.method != "CONNECT") return;
  auto& one = told_[std::string(e.id.view())];
  const bool opens = e.kind == proxy::event::kind::decision && e.status == 200;
  if (opens) {
    one.place = std::string(e.job) + "/" + std::string(e.phase);
    EXPECT(++tunnels_[one.place] <= narrow_.most_of_phase());
    std::uint32_t of_job = 0;
    for (const auto& [place, count] : tunnels_)
      of_job += place.starts_with(std::string(e.job) + "/") ? count : 0;
    EXPECT(of_job <= narrow_.most_of_job());
  } else if (e.kind == proxy::event::kind::close) {
    --tunnels_[one.place];
  }
}

// A bucket of so many, which fills as fast.
void judge::check_rate(const proxy::event& e) {
  if (!narrow_.requests || e.verdict != proxy::outcome::allow || e.kind != proxy::event::kind::decision)
    return;
  const bool local = !e.client || (e.client->is_v4() && e.client->bytes()[0] == 127);
  const auto who = local ? std::string(e.client ? "tcp" : "unix") : e.client->to_string();
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(time_now() - beginning).count();
  EXPECT(++requests_[who] <= few_requests * (1 + static_cast<std::uint32_t>(seconds)));
}

void judge::check_time(const proxy::event& e) {
  if (!timed_ || !only_named_ || (e.verdict != proxy::outcome::allow && e.bytes_up == 0) ||
      e.phase != phase_names[1] || e.kind != proxy::event::kind::decision ||
      (!e.address && e.upstream.empty()))
    return;
  const auto began = time_now() - std::chrono::floor<std::chrono::milliseconds>(e.total);
  if (!agent_began_ || began < *agent_began_) agent_began_ = began;
  EXPECT(began - *agent_began_ < time_limit);
}

void judge::asked(std::string_view name) {
  const auto text = lower(name);
  const auto o = origin_of(text);
  if (o && ways_.by_name && ways_.is_hop(*o)) return;
  EXPECT(!ways_.any || !ways_.delegates(o));
  if (!only_named_) return;  // an audit looks up what it would deny
  EXPECT(o && ever_allowed(*o));
  if (*o == origin::many) use_name(text);
}

void judge::use_name(std::string_view name) {
  names_of_many_.insert(std::string(name));
  EXPECT(names_of_many_.size() <= name_limit);
}

void judge::check_dials_of_hole(int fd) {
  if (!narrow_.dials || !only_named_) return;
  std::erase_if(dials_of_hole_, [](const auto& one) { return cookie_of(one.first) != one.second; });
  EXPECT(dials_of_hole_.empty());
  dials_of_hole_.emplace_back(fd, cookie_of(fd));
}

void judge::connecting(int fd, const sockaddr& to) {
  flush_mark();
  const auto address = proxy::address_from(&to);
  EXPECT(address);
  sockaddr_storage whole{};
  std::memcpy(&whole, &to, sizeof(sockaddr_in));
  const auto o = stage::get().at(*address, proxy::port_from(whole));
  if (!o) {
    EXPECT(!only_named_ &&
           stage::get().is_address(*address));  // an audit lets another port of a name through
    return;
  }
  if (ways_.is_hop(*o)) return;
  EXPECT(*o != origin::no && ever_allowed(*o) && !ways_.toward(*o));
  if (*o == origin::hole) check_dials_of_hole(fd);
}

void judge::sending(int fd) {
  flush_mark();
  peer_ = streams_.find(fd);
  cookie_ = timed_ ? cookie_of(fd) : 0;
  peer_is_over_ =
      peer_.kind == streams::kind::client && only_named_ &&
      ((over_ > 0 && belongs_to(fd, phase::setup)) || (over_ > 1 && belongs_to(fd, phase::agent)));
}

void judge::count_up(std::optional<origin> to, std::size_t octets) {
  if (!to) {
    EXPECT(!only_named_);
    up_elsewhere_ += octets;
    return;
  }
  EXPECT(ever_allowed(*to));
  auto& up = up_[index(behind(*to))];
  up += octets;
  if (!only_named_) return;
  if (*to == origin::budget) EXPECT(up <= up_limit);
  EXPECT(step_of(*to) >= over_);
  if (cuts_) EXPECT(allowed_now(*to));
  if (!timed_ || step_of(*to) != 1) return;
  EXPECT(!cut_off_.contains(cookie_));
  used_.insert(cookie_);
}

void judge::sent_to_hop(hop_stream& stream, const char* data, std::size_t octets) {
  const bool first = !stream.past_head;
  const auto of_origin = stream.take(data, octets, ways_, via_);
  if (!stream.past_head) return;
  if (first) {
    const auto read = read_hop_head(stream.head, ways_, stream.hop, via_);
    if (only_named_) EXPECT(stream.to && *stream.to != origin::no && ever_allowed(*stream.to));
    if (only_named_) EXPECT(read->port_fits);
    if (only_named_ && *stream.to == origin::many && ways_.delegates(stream.to))
      use_name(lower(stream.host->substr(0, stream.host->find(':'))));
  }
  if (of_origin != 0) count_up(stream.to, of_origin);
}

void judge::flush_mark() {
  if (auto* stream = std::exchange(mark_, nullptr)) sent_to_hop(*stream, "", 1);
}

void judge::sent(const char* data, std::size_t octets) {
  switch (peer_.kind) {
    case streams::kind::origin:
      EXPECT(!ways_.toward(*peer_.at));
      EXPECT(data == nullptr || !holds_a_credential({data, octets}));
      return count_up(peer_.at, octets);
    case streams::kind::hop:
      if (peer_.stream->of_tls && octets == 1 && data != nullptr && *data == '\0') {
        mark_ = peer_.stream;
        return;
      }
      return sent_to_hop(*peer_.stream, data, octets);
    case streams::kind::ciphertext:
      return;
    case streams::kind::client:
      break;
  }
  EXPECT(data == nullptr || !holds_a_credential({data, octets}));
  if (!peer_is_over_) return;
  // Refusals still go out; nothing that came from an origin does.
  static const std::string run(64, filler);
  EXPECT(data != nullptr);
  EXPECT(std::string_view(data, octets).find(run) == std::string_view::npos);
}

// What a line says of the way, where something was let through.
void judge::check_way(const proxy::event& e, std::optional<origin> o) const {
  if (!e.address && e.upstream.empty()) {
    EXPECT(e.status == 204 && e.bytes_up == 0);  // answered here (Max-Forwards: 0)
    return;
  }
  const auto hop = ways_.toward(o);
  EXPECT(e.upstream == (hop ? ways_.text(*hop) : std::string()));
  EXPECT(e.delegated == (hop && ways_.delegates(o)));
  EXPECT(e.address.has_value() != e.delegated);
  EXPECT(!ways_.forbids(o));
  if (o && e.address && only_named_) EXPECT(stage::get().at(*e.address, e.port) == behind(*o));
}

void judge::push(unsigned, const proxy::event& e) noexcept {
  flush_mark();
  if (talks) std::fprintf(stderr, "%s\n", line_of(e).c_str());
  EXPECT(!e.id.view().empty());
  auto& one = told_[std::string(e.id.view())];
  if (e.kind == proxy::event::kind::decision) {
    EXPECT(one.decisions == 0 && one.closes == 0);
    ++one.decisions;
    one.verdict = e.verdict;
    one.status = e.status;
    one.connect = e.method == "CONNECT";
    one.host = lower(e.host);
  } else {
    EXPECT(one.decisions == 1 && one.closes == 0);
    ++one.closes;
  }
  one.up = e.bytes_up;
  one.down = e.bytes_down;
  if (e.kind == proxy::event::kind::decision || e.verdict == proxy::outcome::deny ||
      e.verdict == proxy::outcome::error)
    ++counted_[static_cast<std::size_t>(e.verdict)][static_cast<std::size_t>(e.reason)];

  for (const auto text : {e.method, e.host, e.error, e.hint, e.upstream, e.rule, e.sni})
    EXPECT(!holds_a_credential(text));
  const auto o = origin_of(lower(e.host));
  if (e.verdict == proxy::outcome::allow) {
    check_way(e, o);
    check_rate(e);
    EXPECT(o && *o != origin::no);
    if (e.phase == phase_names[0]) EXPECT(*o == origin::set);
    if (e.phase == phase_names[1]) EXPECT(*o != origin::set && ever_allowed(*o));
  }
  check_tunnels(e);
  check_time(e);
  if (e.verdict == proxy::outcome::would_deny) EXPECT(e.phase == phase_names[2]);
}

void judge::client_got(std::string_view octets) const {
  static constexpr std::string_view start = "HTTP/1.";
  const bool begins = octets.substr(0, start.size()) == start.substr(0, octets.size());
  if (!begins) std::fprintf(stderr, "a client got: %.*s\n", static_cast<int>(octets.size()), octets.data());
  EXPECT(begins);
  EXPECT(!holds_a_credential(octets));
  // Each decision that a client was told of stands in the log.
  static constexpr std::string_view field = "\r\nExeat-Decision: ";
  for (auto at = octets.find(field); at != std::string_view::npos; at = octets.find(field, at + 1)) {
    const auto value = octets.substr(at + field.size());
    const auto end = value.find("\r\n");
    if (end == std::string_view::npos) return;
    EXPECT(told_.contains(value.substr(0, end)));
  }
}

std::string_view judge::out_of_tunnel(std::string_view octets) {
  static constexpr std::string_view start = "HTTP/1.1 200 Connection established\r\nExeat-Decision: ";
  if (!octets.starts_with(start)) return {};
  const auto end = octets.find("\r\n\r\n");
  if (end == std::string_view::npos) return {};
  const auto rest = octets.substr(end + 4);
  // Words of our own, where the tunnel was refused after all.
  if (rest.starts_with("\x15\x03") || rest.starts_with("HTTP/1.1 4")) return {};
  return rest;
}

void judge::hop_got(origin hop, std::string_view octets, std::string_view said) const {
  if (octets.empty()) return;
  EXPECT(!ways_.tls || hop != origin::hop || !ways_.impostor);
  const auto head = read_hop_head(octets, ways_, hop, via_);
  if (!head) return;
  if (head->size != 0) {
    EXPECT(octets.size() == head->size || end_of_opening(said));
    if (head->to) origin_got(*head->to, octets.substr(head->size));
    return;
  }
  if (!head->to) return;
  auto authority = head->host;
  if (!ways_.delegates(head->to))
    authority =
        core::to_string(core::destination{stage::get().address(*head->to), origins[index(*head->to)].port});
  const auto fault = fault_in_forwarded(octets, *head->to, authority, ways_.authorization(hop));
  if (!fault.empty()) std::fprintf(stderr, "%.*s\n", static_cast<int>(fault.size()), fault.data());
  EXPECT(fault.empty());
}

void judge::origin_got(origin at, std::string_view octets) const {
  EXPECT(!holds_a_credential(octets));
  if (octets.empty() || origins[index(at)].any_octets) return;
  if (octets[0] == 0x16) {
    wire::client_hello_parser parser;
    const auto status = parser.feed({reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size()});
    EXPECT(status == wire::hello_status::done || status == wire::hello_status::need_more);
    // An audit lets another name through, and none.
    const auto& name = parser.hello().sni;
    if (status == wire::hello_status::done && only_named_) EXPECT(name && origin_of(name->view()) == at);
    return;
  }
  const auto fault = fault_in_requests(octets, at);
  // An audit lets a tunnel through whatever is in it.
  if (!fault.empty() && only_named_)
    std::fprintf(stderr, "%.*s\n", static_cast<int>(fault.size()), fault.data());
  EXPECT(fault.empty() || !only_named_);
}

void judge::conclude(const metrics::worker_counters& counters,
                     const std::vector<std::shared_ptr<proxy::job_counts>>& counts) {
  flush_mark();
  std::array<std::uint64_t, origin_count> up{};
  std::uint64_t up_elsewhere = 0;
  std::uint64_t all_up = 0;
  std::uint64_t all_down = 0;
  std::uint64_t down_of_budget = 0;
  std::uint64_t requests_of_budget = 0;
  for (const auto& [id, one] : told_) {
    EXPECT(one.decisions == 1);
    const bool let_through =
        one.verdict == proxy::outcome::allow || one.verdict == proxy::outcome::would_deny;
    if (one.connect && let_through) EXPECT(one.closes == 1 && one.status == 200);
    if (!let_through) EXPECT(one.closes == 0);
    all_up += one.up;
    all_down += one.down;
    const auto o = origin_of(one.host);
    if (!o) {
      EXPECT((ways_.any && !only_named_) || (one.up == 0 && one.down == 0));
      up_elsewhere += one.up;
      continue;
    }
    up[index(behind(*o))] += one.up;
    if (*o == origin::budget) {
      down_of_budget += one.down;
      requests_of_budget += let_through ? 1 : 0;
    }
  }
  for (std::size_t i = 0; i < up.size(); ++i) {
    if (up[i] != up_[i])
      std::fprintf(stderr, "%s got %llu octets, its lines say %llu\n", std::string(origins[i].host).c_str(),
                   static_cast<unsigned long long>(up_[i]), static_cast<unsigned long long>(up[i]));
  }
  EXPECT(up == up_ && up_elsewhere == up_elsewhere_);
  if (only_named_) EXPECT(down_of_budget <= down_limit && requests_of_budget <= request_limit);

  std::uint64_t counted_up = 0;
  std::uint64_t counted_down = 0;
  std::uint64_t opened = 0;
  std::uint64_t closed = 0;
  auto decisions = counted_;
  for (std::size_t slot = 0; slot < metrics::phase_slot_count; ++slot) {
    const auto& cells = counters.phase(metrics::phase_slot{static_cast<std::uint8_t>(slot)});
    counted_up += cells.bytes_up.value();
    counted_down += cells.bytes_down.value();
    opened += cells.tunnels_opened.value();
    closed += cells.tunnels_closed.value();
    for (std::size_t v = 0; v < decisions.size(); ++v) {
      // What an audit would have cut later on is counted without a line of its own.
      if (v == static_cast<std::size_t>(metrics::verdict::would_deny)) continue;
      for (std::size_t r = 0; r < core::reason_count; ++r) decisions[v][r] -= cells.decisions[v][r].value();
    }
  }
  for (std::size_t v = 0; v < decisions.size(); ++v) {
    if (v == static_cast<std::size_t>(metrics::verdict::would_deny)) continue;
    EXPECT(std::ranges::all_of(decisions[v], [](auto left) { return left == 0; }));
  }
  EXPECT(counted_up == all_up);
  EXPECT(counted_down == all_down);
  EXPECT(opened == closed);
  EXPECT(counters.connections_accepted() == counters.connections_closed());
  std::uint64_t of_jobs_up = 0;
  std::uint64_t of_jobs_down = 0;
  for (const auto& job : counts) {
    for (const auto& worker : *job) {
      for (const auto& cell : worker) {
        of_jobs_up += cell.up.value();
        of_jobs_down += cell.down.value();
        EXPECT(cell.opened.value() == cell.closed.value());
      }
    }
  }
  EXPECT(of_jobs_up == all_up && of_jobs_down == all_down);
}

}  // namespace exeat::fuzz
