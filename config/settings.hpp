// exeat.yaml as typed values: how this process runs. Every default stands here and nowhere else.
#pragma once
#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "allowlist/policy.hpp"
#include "allowlist/rule.hpp"
#include "config/error.hpp"
#include "core/destination.hpp"
#include "core/ip_address.hpp"

namespace exeat::config {

struct tcp_endpoint {
  core::ip_address address = core::ip_address::v4(0x7f000001);
  std::uint16_t port = 0;  ///< 0: the kernel chooses
  friend bool operator==(const tcp_endpoint&, const tcp_endpoint&) = default;
};
struct unix_endpoint {
  std::string path;
  ::mode_t mode = 0600;
  friend bool operator==(const unix_endpoint&, const unix_endpoint&) = default;
};
using endpoint = std::variant<tcp_endpoint, unix_endpoint>;

/// "127.0.0.1:3128", "[::1]:3128" or "unix:/run/exeat/agent.sock".
std::string to_string(const endpoint& endpoint);
/// Reads what to_string writes. The error is a sentence.
std::expected<endpoint, std::string> parse_endpoint(std::string_view text);
/// 127.0.0.0/8, ::1 and unix sockets (::ffff:127.0.0.1 as well).
bool is_local(const endpoint& endpoint) noexcept;

/// An entry under `peer`: a local process by its socket's uid, its cgroup, or both.
struct peer_claim {
  std::optional<std::uint32_t> uid;
  std::string cgroup;  ///< path of a cgroup v2 directory; empty: any
  std::string phase;
};
/// An entry under `source`.
struct source_claim {
  core::cidr cidr;
  std::string phase;
};
/// An entry under `mtls`: what a name in the verified client certificate proves. `{phase}` and `{job}` in the
/// pattern stand for one or more of [a-z0-9-] each.
struct certificate_claim {
  enum class field : std::uint8_t { san_uri, san_dns, common_name };
  certificate_claim::field field = field::san_uri;
  std::string pattern;
  std::string phase;  ///< empty: what `{phase}` stands for
};
/// An entry under `credential`: a token by its SHA-256.
struct token_claim {
  std::array<std::uint8_t, 32> sha256{};
  std::string phase;
};

/// One element of a listener's `identity`: all of them must answer, and agree.
struct identity_check {
  enum class source : std::uint8_t { listener, peer, mtls, credential, source, proxy_protocol, any_of };
  identity_check::source kind = source::listener;
  std::vector<peer_claim> peers;
  bool allow_own_uid = false;  ///< of `peer`
  std::vector<certificate_claim> certificates;
  std::vector<token_claim> tokens;
  bool job_tokens = false;  ///< of `credential`: those of `exeat job open` are good as well
  std::vector<source_claim> sources;
  std::vector<core::cidr> upstreams;   ///< of `proxy_protocol`: who may send a header
  std::vector<identity_check> any_of;  ///< alternatives; neither `listener`, `proxy_protocol` nor `any_of`
  allowlist::mark where;
};

/// A listener that speaks TLS with its clients (`https://` proxies).
struct tls_settings {
  std::string certificate;  ///< PEM file: the chain
  std::string key;          ///< PEM file
  std::string client_ca;    ///< PEM file of those who sign client certificates; empty: none is asked for
  std::string crl;          ///< PEM file; empty: none
};

struct listener {
  config::endpoint endpoint;
  std::string phase;                            ///< empty where `listener` is not among `identity`
  std::vector<identity_check> identity = {{}};  ///< by default the listener alone
  std::optional<tls_settings> tls;
  allowlist::mark where;  ///< in the file; file "--listen" from the command line; empty by default
};

enum class log_format : std::uint8_t {
  automatic,  ///< text where standard output is a terminal, otherwise JSON; files are always JSON then
  json,
  text,
};

struct log_settings {
  std::string file;                     ///< decisions go to this file; empty: to none
  bool syslog = false;                  ///< and to the local syslog
  std::optional<bool> standard_output;  ///< and to standard output; unset: where there is no other target
  bool to_standard_output() const { return standard_output.value_or(file.empty() && !syslog); }
  std::string blocked;  ///< refusals only, always JSON; empty: none
  bool process = true;  ///< the process behind a refused local request stands in its line
  log_format format = log_format::automatic;
  std::uint64_t rotate_size = 64ULL << 20;  ///< octets, of each file; 0: never
  std::uint32_t rotate_keep = 5;            ///< rotated files kept beside each
};

/// `review:` of exeat.yaml: the store of what was decided.
struct review_settings {
  std::string database;                              ///< the file; empty: no store
  std::chrono::milliseconds max_age{2'592'000'000};  ///< 30 days; since last seen; 0: for ever
  std::uint64_t max_size = 64ULL << 20;              ///< octets
};

enum class resolver_kind : std::uint8_t { c_ares, system };

struct dns_settings {
  resolver_kind resolver = resolver_kind::c_ares;
  std::vector<tcp_endpoint> servers;  ///< port 53 unless written; empty: as /etc/resolv.conf says
  bool hosts_file = true;  ///< look into /etc/hosts first (c-ares; the system resolver does as nsswitch says)
  std::chrono::milliseconds timeout{2'000};  ///< of one try at one server (c-ares)
  std::uint32_t tries = 3;                   ///< per server (c-ares)
  std::uint32_t cache_entries = 10'000;      ///< per worker; 0: no cache
  std::chrono::milliseconds min_ttl{1'000};
  std::chrono::milliseconds max_ttl{300'000};
  std::chrono::milliseconds negative_ttl{5'000};  ///< how long "does not exist" is kept; 0: not at all
};

struct limit_settings {
  std::uint32_t connections = 8'192;  ///< of clients, in the whole process
  std::uint32_t connections_per_client =
      2'000;  ///< of one client address (or uid of a unix socket); 0: no limit
  std::uint32_t connections_per_phase = 4'096;  ///< of one phase of one job; 0: no limit
  std::uint32_t connections_per_job = 4'096;    ///< 0: no limit
  std::uint32_t requests_per_client = 10'000;   ///< in a second; 0: no limit
  std::uint32_t requests_per_phase = 20'000;    ///< of one phase of one job, in a second; 0: no limit
  std::uint32_t requests_per_job = 40'000;      ///< in a second; 0: no limit
  std::uint32_t dials_per_destination = 128;    ///< under way, per worker; 0: no limit
  std::uint32_t lookups = 1'024;                ///< names being looked up, per worker
  std::uint32_t lookups_per_phase = 512;        ///< of these for one phase; 0: no limit
  std::uint64_t buffers = 512ULL << 20;         ///< octets that the buffers of all workers may hold
  std::uint32_t body_rate = 16;              ///< octets a second that a request body must bring; 0: no least
  std::uint32_t head_bytes = 32U << 10;      ///< of a request or response head
  std::uint32_t head_fields = 100;           ///< of a request or response head
  std::uint32_t upstream_idle_per_key = 64;  ///< idle upstream connections kept per worker, phase and origin
  std::uint32_t upstream_idle = 256;         ///< idle upstream connections kept per worker in all; 0: no pool
};

struct timeout_settings {
  std::chrono::milliseconds head{10'000};  ///< from accept, or from the first octet, to the end of the head
  std::chrono::milliseconds client_hello{10'000};  ///< from our 200 to the end of the ClientHello
  std::chrono::milliseconds dns{10'000};           ///< the whole look-up
  std::chrono::milliseconds connect{15'000};       ///< the whole dial, over all addresses
  std::chrono::milliseconds response{300'000};  ///< from the end of a plain HTTP request to the response head
  std::chrono::milliseconds idle{
      60'000};  ///< plain HTTP: a body that stands still, a client between requests
  std::chrono::milliseconds upstream_idle{30'000};  ///< how long an idle upstream connection is kept
  std::chrono::milliseconds tunnel_idle{0};         ///< a tunnel without an octet either way; 0: for ever
  std::chrono::milliseconds tunnel{0};              ///< a tunnel in all; 0: for ever
  std::chrono::milliseconds tunnel_stall{600'000};  ///< a side that takes nothing of what waits; 0: for ever
};

/// An entry under `upstream.proxies`: a proxy that stands between us and some origins.
struct upstream_proxy {
  bool every_host = false;  ///< `*` is among `hosts`: names and addresses
  std::vector<allowlist::host_pattern> hosts;
  core::destination at{core::ip_address{}, 0};
  bool tls = false;             ///< `https://`
  std::string ca;               ///< PEM file of those who sign its certificate; empty: the system's
  std::string credential_file;  ///< "user:password"; empty: none is sent
  bool remote = false;          ///< `resolve: remote`: names go on as they are
  bool tunnels_http = false;    ///< `http: tunnel`: plain HTTP goes through CONNECT, too
  allowlist::mark where;
};
struct upstream_settings {
  std::vector<upstream_proxy> proxies;  ///< the first that matches is the way; empty: everything goes direct
  /// `no_proxy`: what goes direct all the same.
  std::vector<allowlist::host_pattern> direct_hosts;
  std::vector<core::cidr> direct_prefixes;
};

/// `job:` of exeat.yaml: the one job that this process serves besides those of `exeat job open`.
struct job_settings {
  /// In order; the phases of one step run beside one another. Empty: no job is declared, and no phase is ever
  /// sealed.
  std::vector<std::vector<std::string>> phases;
  std::string state_dir;            ///< made by `exeat state init`
  std::string advance_secret_file;  ///< empty: only an operator advances it
  bool hold_policy = true;          ///< a reload that widens an untrusted phase waits for the job's end
};

enum class tighten_action : std::uint8_t { keep, cut };

/// How far the process confines itself (Landlock, seccomp, no capabilities) before it serves.
enum class sandbox_mode : std::uint8_t {
  on,        ///< as far as the kernel goes; what is lacking is said
  required,  ///< no start where something is lacking
  off,
};

/// The sanitizers' run-time libraries call what the sandbox refuses.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr auto default_sandbox = sandbox_mode::off;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
inline constexpr auto default_sandbox = sandbox_mode::off;
#else
inline constexpr auto default_sandbox = sandbox_mode::on;
#endif
#else
inline constexpr auto default_sandbox = sandbox_mode::on;
#endif

struct settings {
  /// The policy file; empty: the built-in policy. Relative paths have been resolved against the directory
  /// of exeat.yaml, as have all others here.
  std::string policy;
  std::vector<listener> listeners = default_listeners();
  /// Metrics and health; empty: none.
  std::optional<endpoint> admin = tcp_endpoint{.port = 9400};
  /// Holds the bearer token that POST /-/reload wants on the admin listener; empty: no reload there.
  std::string reload_token_file;
  /// Names that `Host` may carry on a TCP admin listener, besides localhost and IP addresses.
  std::vector<std::string> admin_hosts;
  /// The control socket; empty: none.
  std::optional<unix_endpoint> control = default_control();
  job_settings job;
  /// Holds the bearer token that makes an operator of whoever sends it; empty: none.
  std::string operator_token_file;
  log_settings log;
  review_settings review{.database = default_review_database()};
  dns_settings dns;
  upstream_settings upstream;
  std::uint32_t workers = 0;  ///< 0: one per core that this process may use; at most 256
  limit_settings limits;
  timeout_settings timeouts;
  std::chrono::milliseconds drain_timeout{30'000};
  bool watch = false;  ///< reload when a file changes
  tighten_action on_tighten = tighten_action::keep;
  bool insecure_policy_file = false;
  /// The user that the process becomes before it opens a file; empty: it stays who started it.
  std::string user;
  sandbox_mode sandbox = default_sandbox;
  /// Pseudonym in `Via` (RFC 9110 7.6.3); empty: one of this process's own making; "none": no Via.
  std::string via;

  /// 127.0.0.1:3128 setup, :3129 agent, :3130 mcp.
  static std::vector<listener> default_listeners();
  /// exeat.sock under the first directory of $RUNTIME_DIRECTORY, or under $XDG_RUNTIME_DIR/exeat; or none.
  static std::optional<unix_endpoint> default_control();
  /// review.sqlite under the first directory of $STATE_DIRECTORY, or under $XDG_STATE_HOME/exeat; or none.
  static std::string default_review_database();
};

/// What only shows between values: one address twice, a TCP listener beyond loopback whose `identity` names
/// no check of who connects, a source of identity that could never answer there, a minimum above its maximum,
/// settings of a resolver that is not chosen. Call it again after the command line has been merged in. Empty:
/// all is well.
std::vector<error> validate(const settings& settings);

/// A listener, or an entry of its `identity`, of a phase that the policy does not have, with the nearest
/// phase; a canary that is to seal what cannot be sealed. At start and at each reload.
std::vector<error> check_phases(const settings& settings, const allowlist::policy& policy);

}  // namespace exeat::config
