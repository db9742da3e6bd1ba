#include "config/settings_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "config/endpoint_keys.hpp"
#include "config/job_keys.hpp"
#include "config/paths.hpp"
#include "config/upstream_choice.hpp"
#include "config/upstream_keys.hpp"
#include "core/units.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;
using namespace std::chrono_literals;

constexpr std::array<std::string_view, 3> format_words{"auto", "json", "text"};
constexpr std::array<std::string_view, 2> resolver_words{"c-ares", "system"};
constexpr std::array<std::string_view, 2> tighten_words{"keep", "cut"};
constexpr std::array<std::string_view, 3> sandbox_words{"on", "required", "off"};

// A number may stand in quotes, with what the pattern lets stand behind it.
std::string number_schema(std::uint64_t min, std::uint64_t max, bool zero, std::string_view pattern) {
  return fmt::format(
      R"({{"anyOf":[{}{{"type":"integer","minimum":{},"maximum":{}}},{{"type":"string","pattern":"{}"}}]}})",
      zero ? R"({"const":0},)" : "", min, max, pattern);
}

// Names a member for reading and for writing.
#define EXEAT_AT(member) [](auto& s) -> auto& { return s.member; }

template <auto At, std::int64_t Min, std::int64_t Max, bool Zero = false>
setting_row duration(std::string_view path, std::string_view doc) {
  using ms = std::chrono::milliseconds;
  return {path,
          fmt::format(R"({{"$ref":"#/$defs/duration{}"}})", Zero ? "_or_0" : ""),
          fmt::format("duration, {} to {}{}", core::to_string(ms(Min)), core::to_string(ms(Max)),
                      Zero ? ", or 0" : ""),
          doc,
          [](settings_draft& d, const node& v, error_list& e) {
            if (const auto value = read_duration(v, ms(Min), ms(Max), Zero, e)) At(d.settings) = *value;
          },
          [](const settings& s) { return core::to_string(At(s)); }};
}

template <auto At, std::uint64_t Min, std::uint64_t Max>
setting_row count(std::string_view path, std::string_view doc) {
  return {path,
          number_schema(Min, Max, false, "^[0-9]+$"),
          fmt::format("number, {} to {}", Min, Max),
          doc,
          [](settings_draft& d, const node& v, error_list& e) {
            if (const auto value = read_count(v, Min, Max, e))
              At(d.settings) = static_cast<std::uint32_t>(*value);
          },
          [](const settings& s) { return std::to_string(At(s)); }};
}

template <auto At, std::uint64_t Min, std::uint64_t Max, bool Zero = false>
setting_row size(std::string_view path, std::string_view doc) {
  return {path,
          number_schema(Min, Max, Zero, "^[0-9]+(kB|MB|GB|KiB|MiB|GiB)?$"),
          fmt::format("size, {} to {}{}", core::size_to_string(Min), core::size_to_string(Max),
                      Zero ? ", or 0" : ""),
          doc,
          [](settings_draft& d, const node& v, error_list& e) {
            using target = std::remove_cvref_t<decltype(At(d.settings))>;
            if (const auto value = read_size(v, Min, Max, Zero, e))
              At(d.settings) = static_cast<target>(*value);
          },
          [](const settings& s) { return core::size_to_string(At(s)); }};
}

template <auto At>
setting_row flag(std::string_view path, std::string_view doc) {
  return {path,
          std::string(schema::flag.json),
          "true or false",
          doc,
          [](settings_draft& d, const node& v, error_list& e) {
            if (const auto value = read_bool(v, e)) At(d.settings) = *value;
          },
          [](const settings& s) -> std::string { return At(s) ? "true" : "false"; }};
}

template <auto At, const auto& Words>
setting_row choice(std::string_view path, std::string_view doc) {
  std::string type;
  for (const auto word : Words) type += (type.empty() ? "" : " or ") + std::string(word);
  return {path,
          to_json(one_of(Words)),
          type,
          doc,
          [](settings_draft& d, const node& v, error_list& e) {
            using target = std::remove_cvref_t<decltype(At(d.settings))>;
            if (const auto value = read_choice<target>(v, Words, e)) At(d.settings) = *value;
          },
          [](const settings& s) { return std::string(Words[static_cast<std::size_t>(At(s))]); }};
}

template <auto At>
setting_row path(std::string_view key, std::string_view doc, std::string (*show)(const settings&)) {
  return {key,
          std::string(schema::path.json),
          "path",
          doc,
          [](settings_draft& d, const node& v, error_list& e) {
            if (const auto value = read_text(v, "a path", 4095, e))
              At(d.settings) = resolve_path(*value, d.directory);
          },
          show};
}

std::string none(const settings&) {
  return "none";
}

void read_servers(settings_draft& into, const node& value, error_list& errors) {
  constexpr std::string_view wanted = "a list of name servers such as [\"127.0.0.1:53\"]";
  constexpr std::size_t most = 8;
  if (value.kind != node_kind::sequence || value.items.empty())
    return expected_but_found(value, wanted, errors);
  if (value.items.size() > most) errors.add(value.at, {}, fmt::format("more than {} name servers", most));
  for (const auto& item : value.items) {
    if (item.kind != node_kind::scalar) {
      expected_but_found(item, "an IP address, with :PORT where it is not 53", errors);
      continue;
    }
    if (const auto address = core::ip_address::parse(item.text)) {
      into.settings.dns.servers.push_back({.address = *address, .port = 53});
      continue;
    }
    const auto parsed = parse_endpoint(item.text);
    const auto* tcp = parsed ? std::get_if<tcp_endpoint>(&*parsed) : nullptr;
    if (tcp == nullptr || tcp->port == 0) {
      expected_but_found(item, "an IP address, with :PORT where it is not 53", errors);
    } else {
      into.settings.dns.servers.push_back(*tcp);
    }
  }
}

void read_via(settings_draft& into, const node& value, error_list& errors) {
  const auto text = read_text(value, "a pseudonym", 64, errors);
  if (!text) return;
  // RFC 9110 5.6.2: a token.
  const auto is_token = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").contains(c);
  };
  if (!std::ranges::all_of(*text, is_token)) {
    return errors.add(value.at, value.text, "a pseudonym has only letters, digits and !#$%&'*+-.^_`|~");
  }
  into.settings.via = *text;
}

void read_review_database(settings_draft& into, const node& value, error_list& errors) {
  const auto text = read_text(value, "a path, or none", 4095, errors);
  if (!text) return;
  into.settings.review.database = *text == "none" ? std::string() : resolve_path(*text, into.directory);
}

void read_user(settings_draft& into, const node& value, error_list& errors) {
  if (const auto text = read_text(value, "the name of a user", 256, errors)) into.settings.user = *text;
}

std::vector<setting_row> make_rows() {
  return {
      {"version", std::string(schema::version.json), "1", "The version of this file's language; required.",
       [](settings_draft&, const node&, error_list&) {},
       [](const settings&) -> std::string { return "required"; }},
      path<EXEAT_AT(policy)>("policy", "The policy file.",
                             [](const settings&) -> std::string { return "the built-in policy"; }),
      {"listeners", R"({"type":"array","items":{"$ref":"#/$defs/listener"},"minItems":1})",
       "list of listeners",
       "Where clients connect, and what decides their phase. A TCP listener beyond loopback needs an "
       "`identity` "
       "that checks who connects.",
       read_listeners,
       [](const settings& s) {
         std::string out;
         for (const auto& l : s.listeners) {
           out += fmt::format("{}{} {}", out.empty() ? "" : ", ", to_string(l.endpoint), l.phase);
         }
         return out;
       }},
      {"admin", R"({"anyOf":[{"const":"none"},{"$ref":"#/$defs/admin"}]})", "map, or none",
       "Metrics and health.", read_admin,
       [](const settings& s) { return s.admin ? to_string(*s.admin) : "none"; }},
      {"control", R"({"anyOf":[{"const":"none"},{"$ref":"#/$defs/control"}]})", "map, or none",
       "The control socket, for `exeat phase`, `exeat job` and `POST /-/reload`.", read_control,
       [](const settings&) -> std::string {
         return "exeat.sock under $RUNTIME_DIRECTORY or $XDG_RUNTIME_DIR/exeat, or none";
       }},
      {"job.phases", job_phases_schema(), "list of phases, or of {parallel: [PHASE, ...]}",
       "The phases of the one job that this process serves besides those of `exeat job open`, in their "
       "order; "
       "those of one `parallel` run beside one another. `exeat phase advance` seals a phase for good.",
       read_job_phases, show_job_phases},
      path<EXEAT_AT(job.state_dir)>(
          "job.state_dir",
          "A directory that `exeat state init` has made: it keeps what is sealed sealed when the process "
          "starts "
          "again. Without it `exeat phase advance` and `exeat job open` are refused.",
          none),
      path<EXEAT_AT(job.advance_secret_file)>(
          "job.advance_secret_file",
          "A file with the secret (16 characters or more) that advances this job and is good for nothing "
          "else.",
          [](const settings&) -> std::string { return "none: only an operator advances it"; }),
      flag<EXEAT_AT(job.hold_policy)>(
          "job.hold_policy",
          "A reload that makes an untrusted phase wider waits, for a job that is in it or comes to it, until "
          "that job ends (`exeat job new` for the one of this file)."),
      path<EXEAT_AT(operator_token_file)>(
          "operator_token_file",
          "A file with the token (16 characters or more) that makes an operator of whoever sends it as a "
          "bearer "
          "token: who opens, advances and ends jobs. On the control socket a uid that no phase has is one "
          "without it.",
          none),
      path<EXEAT_AT(log.file)>(
          "log.file", "Every decision goes to this file, one JSON object per line. Reopened on SIGHUP.",
          none),
      flag<EXEAT_AT(log.syslog)>("log.syslog", "Every decision goes to the local syslog."),
      {"log.stdout", std::string(schema::flag.json), "true or false",
       "Every decision goes to standard output.",
       [](settings_draft& d, const node& v, error_list& e) {
         d.settings.log.standard_output = read_bool(v, e);
       },
       [](const settings&) -> std::string {
         return "true where neither `log.file` nor `log.syslog` is set";
       }},
      path<EXEAT_AT(log.blocked)>("log.blocked", "Refusals go to this file besides; `exeat report` reads it.",
                                  none),
      flag<EXEAT_AT(log.process)>(
          "log.process",
          "The line of a refused local request names the process behind it (executable, command line, "
          "cgroup), "
          "which a small helper process looks for, with the rights that this one had at its start. "
          "`unavailable` where it may not look; `not looked up` where that has had its share of processor "
          "time, "
          "one hundredth of a core, so that whoever has thousands refused costs no more for it."),
      choice<EXEAT_AT(log.format), format_words>(
          "log.format", "`auto`: short text on standard output where that is a terminal, otherwise JSON."),
      size<EXEAT_AT(log.rotate_size), 64ULL << 10, 1ULL << 40, true>(
          "log.rotate_size", "A log file that has grown beyond this is rotated; 0: never."),
      count<EXEAT_AT(log.rotate_keep), 0, 1000>("log.rotate_keep",
                                                "Rotated files that are kept beside each log file."),
      {"review.database", R"({"anyOf":[{"const":"none"},)" + std::string(schema::path.json) + "]}",
       "path, or none",
       "The review store: an SQLite database of what was decided, grouped by job, phase, destination, reason "
       "and rule, which `exeat report` reads. Made where it is not there; its directory must be this "
       "process's to write, for SQLite keeps files beside it.",
       read_review_database,
       [](const settings&) -> std::string {
         return "review.sqlite under $STATE_DIRECTORY or $XDG_STATE_HOME/exeat, or none";
       }},
      duration<EXEAT_AT(review.max_age), 60'000, 31'536'000'000, true>(
          "review.max_age", "Groups that were not seen for so long are forgotten; 0: never."),
      size<EXEAT_AT(review.max_size), 1ULL << 20, 1ULL << 40>(
          "review.max_size",
          "What the database may grow to; beyond it, the groups not seen for longest lose their destination "
          "and are counted together as `(other)`."),
      choice<EXEAT_AT(dns.resolver), resolver_words>(
          "dns.resolver",
          "`c-ares` asks the name servers itself; `system` calls getaddrinfo, for odd nsswitch set-ups."),
      {"dns.servers",
       R"({"type":"array","items":{"type":"string","pattern":"^[0-9A-Fa-f:.\\[\\]]+$"},"minItems":1,"maxItems":8})",
       "list of addresses", "Name servers (c-ares), with :PORT where it is not 53.", read_servers,
       [](const settings&) -> std::string {
         return "those of /etc/resolv.conf, read again when it changes";
       }},
      flag<EXEAT_AT(dns.hosts_file)>("dns.hosts_file", "Whether /etc/hosts answers first (c-ares)."),
      duration<EXEAT_AT(dns.timeout), 50, 60'000>(
          "dns.timeout",
          "How long the first try at a name server may take; less where all tries would not fit into "
          "`timeouts.dns` (c-ares)."),
      count<EXEAT_AT(dns.tries), 1, 10>("dns.tries", "Tries per name server (c-ares)."),
      count<EXEAT_AT(dns.cache_entries), 0, 1'000'000>("dns.cache_entries",
                                                       "Names kept per worker; 0: no cache."),
      duration<EXEAT_AT(dns.min_ttl), 1, 86'400'000, true>("dns.min_ttl",
                                                           "Answers are kept at least this long."),
      duration<EXEAT_AT(dns.max_ttl), 1, 86'400'000, true>("dns.max_ttl",
                                                           "Answers are kept at most this long."),
      duration<EXEAT_AT(dns.negative_ttl), 1, 3'600'000, true>(
          "dns.negative_ttl", "How long \"does not exist\" is kept; 0: not at all."),
      {"upstream.proxies", R"({"type":"array","items":{"$ref":"#/$defs/upstream"},"minItems":1})",
       "list of proxies",
       "Proxies between us and some origins, as in a corporate network. The policy decides as ever; of the "
       "entries the first one whose `hosts` match is the next hop. Nothing is taken from the environment "
       "(`HTTPS_PROXY` and the like).",
       read_upstream_proxies, [](const settings&) -> std::string { return "none: everything goes direct"; }},
      {"upstream.no_proxy",
       R"({"type":"array","items":{"anyOf":[{"$ref":"#/$defs/host"},{"$ref":"#/$defs/prefix"}]},"minItems":1})",
       "list",
       "Host patterns as in a policy, and prefixes, that go direct all the same, through the full guard. A "
       "prefix means destinations that are IP addresses, and names all of whose addresses lie in one; where "
       "the proxy resolves (`resolve: remote`) a name's addresses are not known, and only host patterns take "
       "it back.",
       read_no_proxy, none},
      count<EXEAT_AT(workers), 0, 256>("workers",
                                       "Worker threads; 0: one per core that the process may use."),
      count<EXEAT_AT(limits.connections), 1, 1'000'000>(
          "limits.connections", "Client connections in the whole process (`too-many-connections`)."),
      count<EXEAT_AT(limits.connections_per_client), 0, 1'000'000>(
          "limits.connections_per_client",
          "Connections of one client (`too-many-of-client`): a uid on unix sockets and where `peer` asks for "
          "it, "
          "otherwise an address, of which all of 127.0.0.0/8 are one; 0: no limit."),
      count<EXEAT_AT(limits.connections_per_phase), 0, 1'000'000>(
          "limits.connections_per_phase",
          "Connections of one phase in one job (`too-many-of-phase`), from the moment in which it is known "
          "who "
          "asks; 0: no limit. Half of `limits.connections` leaves the other phases room."),
      count<EXEAT_AT(limits.connections_per_job), 0, 1'000'000>(
          "limits.connections_per_job", "Connections of one job (`too-many-of-job`); 0: no limit."),
      count<EXEAT_AT(limits.requests_per_client), 0, 10'000'000>(
          "limits.requests_per_client",
          "Requests of one client in a second, each CONNECT among them (`too-many-requests`). On a listener "
          "with `tls` a handshake counts for a 500th of this, and for one request at least. 0: no limit."),
      count<EXEAT_AT(limits.requests_per_phase), 0, 10'000'000>(
          "limits.requests_per_phase",
          "Requests of one phase in one job in a second, from all its clients together, as soon as it is "
          "known "
          "who asks (`too-many-requests-of-phase`); 0: no limit."),
      count<EXEAT_AT(limits.requests_per_job), 0, 10'000'000>(
          "limits.requests_per_job",
          "Requests of one job in a second (`too-many-requests-of-job`); 0: no limit. Twice "
          "`limits.requests_per_phase` leaves the other phases some."),
      count<EXEAT_AT(limits.dials_per_destination), 0, 100'000>(
          "limits.dials_per_destination",
          "Connections that a worker opens to one destination for one phase at a time; more wait, for as "
          "long "
          "as `timeouts.connect` lets them (`too-many-dials`); 0: no limit."),
      count<EXEAT_AT(limits.lookups), 1, 100'000>(
          "limits.lookups", "Names that a worker looks up at a time (`too-many-lookups`)."),
      count<EXEAT_AT(limits.lookups_per_phase), 0, 100'000>(
          "limits.lookups_per_phase", "How many of these one phase may have under way; 0: no limit."),
      size<EXEAT_AT(limits.buffers), 4ULL << 20, 1ULL << 40>(
          "limits.buffers",
          "Octets that the buffers of all workers may hold together (`out-of-buffers`): new connections and "
          "requests are refused then, and tunnels go on with what they have. What the kernel keeps for "
          "sockets and pipes comes on top."),
      count<EXEAT_AT(limits.body_rate), 0, 1'000'000>(
          "limits.body_rate",
          "Octets a second that a plain HTTP request body must bring, averaged over `timeouts.idle` "
          "(`body-timeout`); 0: any octet within that time is enough."),
      size<EXEAT_AT(limits.head_bytes), 1024, 1ULL << 20>(
          "limits.head_bytes", "Octets of one request or response head (`head-too-large`)."),
      count<EXEAT_AT(limits.head_fields), 8, 128>(
          "limits.head_fields", "Fields of one request or response head (`too-many-fields`)."),
      count<EXEAT_AT(limits.upstream_idle_per_key), 0, 10'000>(
          "limits.upstream_idle_per_key",
          "Idle connections that a worker keeps to one origin for one phase, for plain HTTP."),
      count<EXEAT_AT(limits.upstream_idle), 0, 100'000>(
          "limits.upstream_idle", "Idle connections to origins that a worker keeps in all; 0: none."),
      duration<EXEAT_AT(timeouts.head), 100, 600'000>("timeouts.head",
                                                      "To receive a request head (`head-timeout`)."),
      duration<EXEAT_AT(timeouts.client_hello), 100, 600'000>(
          "timeouts.client_hello", "To receive a whole ClientHello after our 200 (`client-hello-timeout`)."),
      duration<EXEAT_AT(timeouts.dns), 100, 600'000>("timeouts.dns",
                                                     "The whole look-up of a name (`dns-timeout`)."),
      duration<EXEAT_AT(timeouts.connect), 100, 600'000>(
          "timeouts.connect",
          "The whole dial, over all addresses (`connect-timeout`). The TLS of an upstream proxy, and its "
          "answer "
          "to CONNECT, may take as long again each (`upstream-timeout`)."),
      duration<EXEAT_AT(timeouts.response), 100, 86'400'000>(
          "timeouts.response",
          "From the end of a plain HTTP request to the head of its response (`origin-timeout`)."),
      duration<EXEAT_AT(timeouts.idle), 100, 86'400'000>(
          "timeouts.idle",
          "A plain HTTP body that stands still (`body-timeout`), or a client between two requests."),
      duration<EXEAT_AT(timeouts.upstream_idle), 100, 3'600'000>(
          "timeouts.upstream_idle", "How long an idle connection to an origin is kept."),
      duration<EXEAT_AT(timeouts.tunnel_idle), 1000, 604'800'000, true>(
          "timeouts.tunnel_idle",
          "A tunnel without an octet in either direction (`idle-timeout`); 0: for ever, for event streams "
          "may be "
          "silent for hours. Dead peers are found by TCP keepalive."),
      duration<EXEAT_AT(timeouts.tunnel), 1000, 2'592'000'000, true>(
          "timeouts.tunnel", "A tunnel in all, whatever passes through it (`tunnel-timeout`); 0: for ever."),
      duration<EXEAT_AT(timeouts.tunnel_stall), 1000, 86'400'000, true>(
          "timeouts.tunnel_stall",
          "One side of a tunnel that takes nothing of what waits for it (`tunnel-stalled`): a reader that "
          "has stopped, a window that stays shut, which keepalive does not see; 0: for ever. A tunnel in "
          "which nothing waits may be silent for as long as `timeouts.tunnel_idle` says."),
      duration<EXEAT_AT(drain_timeout), 1, 86'400'000, true>(
          "drain_timeout", "How long tunnels may go on after SIGTERM before they are closed."),
      flag<EXEAT_AT(watch)>("watch", "Reload when the policy file changes (SIGHUP always does)."),
      choice<EXEAT_AT(on_tighten), tighten_words>("on_tighten",
                                                  "`cut` ends live tunnels and plain HTTP requests that a "
                                                  "reload now denies; `keep` lets them live on."),
      flag<EXEAT_AT(insecure_policy_file)>(
          "insecure_policy_file",
          "Accept a policy file that others may write. Whoever may write it decides what gets out."),
      {"user", R"({"type":["string","integer"],"minLength":1,"maxLength":256})", "name of a user",
       "Who the process becomes, with that user's group and no other, where root has started it: before it "
       "opens a file, so that policy, keys, log and state directory have to be that user's to use. Ports "
       "below 1024 may still be listened on. `root`: it stays root, without its capabilities.",
       read_user,
       [](const settings&) -> std::string { return "who has started it; as root, a warning says so"; }},
      {"sandbox", to_json(one_of(sandbox_words)), "on, required or off",
       "Once all is bound and opened the process gives up its capabilities, all files but those that it is "
       "configured with (Landlock), and all system calls that it does not make (seccomp). `on`: as far as "
       "the kernel goes; what is lacking is said at the start, in the log and in health. `required`: no "
       "start without both. `off`: none of it.",
       [](settings_draft& d, const node& v, error_list& e) {
         if (const auto value = read_choice<sandbox_mode>(v, sandbox_words, e)) d.settings.sandbox = *value;
       },
       [](const settings&) -> std::string { return "on"; }},
      {"via",
       R"({"type":["string","number","boolean"],"pattern":"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$","maxLength":64})",
       "token",
       "The pseudonym in `Via` of forwarded plain HTTP messages (RFC 9110 7.6.3), by which a loop through "
       "other "
       "proxies is found. `none`: no Via is added, and only our own addresses are known as loops.",
       read_via,
       [](const settings&) -> std::string { return "`exeat-` and 16 random hex digits, new at each start"; }},
  };
}

#undef EXEAT_AT

// Reads the entries of `map`, whose keys stand under `prefix` ("" or "dns.").
void read_level(settings_draft& into, const node& map, std::string_view prefix, error_list& errors) {
  for (const auto& entry : map.entries) {
    const auto full = std::string(prefix) + entry.key;
    std::vector<std::string_view> known;
    const setting_row* row = nullptr;
    bool is_group = false;
    for (const auto& candidate : setting_rows()) {
      if (!candidate.path.starts_with(prefix)) continue;
      const auto rest = candidate.path.substr(prefix.size());
      const auto word = rest.substr(0, rest.find('.'));
      if (std::ranges::find(known, word) == known.end()) known.push_back(word);
      if (rest == entry.key && word == rest) row = &candidate;  // `timeouts.head:` is no spelling
      if (rest.size() > word.size() && word == entry.key) is_group = true;
    }
    const yaml::key_scope scope(errors, full);
    if (row != nullptr) {
      row->read(into, entry.value, errors);
    } else if (!is_group) {
      unknown_key(entry, known, {}, errors);
    } else if (entry.value.kind != node_kind::map) {
      expected_but_found(entry.value, "a map", errors);
    } else {
      read_level(into, entry.value, full + ".", errors);
    }
  }
}

}  // namespace

std::span<const setting_row> setting_rows() {
  static const auto rows = make_rows();
  return rows;
}

void read_settings(settings_draft& into, const node& root, error_list& errors) {
  if (root.kind != node_kind::map)
    return expected_but_found(root, "a map that starts with `version: 1`", errors);
  check_version(root, errors);
  read_level(into, root, "", errors);
}

}  // namespace exeat::config
