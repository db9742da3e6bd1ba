// The one table of log fields: the formatter and docs/reference/log.md read it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace exeat::log {

// enumerator and name, type, the events whose lines may carry it, meaning; the order is that of a line
// clang-format off
#define EXEAT_LOG_FIELDS(X) \
  X(time,       "string", "all",              "When it happened: UTC, RFC 3339, microseconds.") \
  X(event,      "string", "all",              "`decision`: a request was decided. `close`: a tunnel or upgraded connection that was let through has ended. `process`: a message of the proxy itself. `dropped`: lines were lost.") \
  X(decision,   "string", "decision, close",  "Decision id: 13 characters, the same as in the response field `Exeat-Decision` and in the `close` line.") \
  X(phase,      "string", "decision, close",  "The job's phase.") \
  X(job,        "string", "decision, close",  "The job, where one is known.") \
  X(client,     "string", "decision, close",  "`ADDRESS:PORT` (IPv6 in brackets), or `uid:N` for a client of a unix socket.") \
  X(uid,        "number", "decision, close",  "The uid that made a local client's socket, where the kernel was asked.") \
  X(process,    "string", "decision, close",  "The executable behind a refused local request; `unavailable` where it could not be found in time or may not be looked at, `not looked up` where look-ups have had their share of processor time (one hundredth of a core) for the moment.") \
  X(pid,        "number", "decision, close",  "Its process id.") \
  X(command,    "string", "decision, close",  "Its command line, cut at 512 octets.") \
  X(cgroup,     "string", "decision, close",  "Its cgroup v2: the path, or `id:N` where that was not found.") \
  X(method,     "string", "decision, close",  "The request's method; absent where the head was not understood.") \
  X(scheme,     "string", "decision, close",  "`https` for CONNECT, `http` or `ws` for a plain request.") \
  X(host,       "string", "decision, close",  "Destination name (lower-case A-labels) or address.") \
  X(port,       "number", "decision, close",  "Destination port.") \
  X(address,    "string", "decision, close",  "The address that was dialled, or the one that the guard refused.") \
  X(upstream,   "string", "decision, close",  "The upstream proxy that it goes through, as a URL without credentials; absent where it goes direct. `address` is then what that one was asked for.") \
  X(resolve,    "string", "decision, close",  "`remote`: the upstream proxy looks the name up (`resolve: remote`), and no address was checked here.") \
  X(verdict,    "string", "decision, close",  "`allow`, `deny`, `would_deny` (a phase in audit mode let it through) or `error` (allowed, but a limit, the origin or the proxy failed it).") \
  X(reason,     "string", "decision, close",  "One of the [reason codes](reason-codes.md). On `close`: why the tunnel ended; `allowed` is a regular end.") \
  X(rule,       "string", "decision, close",  "The governing rule, or on a refusal the one that missed nearly.") \
  X(rule_at,    "string", "decision, close",  "`FILE:LINE` of that rule.") \
  X(status,     "number", "decision, close",  "HTTP status that the client was sent.") \
  X(bytes_up,   "number", "decision, close",  "Octets from client to origin; always on `close`, elsewhere where not 0.") \
  X(bytes_down, "number", "decision, close",  "Octets from origin to client; always on `close`, elsewhere where not 0.") \
  X(dns_ms,     "number", "decision, close",  "Duration of the look-up in milliseconds; absent where none took place.") \
  X(connect_ms, "number", "decision, close",  "Duration of the dial in milliseconds; absent where none took place.") \
  X(total_ms,   "number", "decision, close",  "Duration of the whole in milliseconds.") \
  X(sni,        "string", "close",            "Server name of the client's ClientHello.") \
  X(alpn,       "string", "close",            "Protocols that the ClientHello offers.") \
  X(tls,        "string", "close",            "Highest TLS version that the ClientHello offers.") \
  X(error,      "string", "decision, close",  "One more sentence for the operator.") \
  X(hint,       "string", "decision, close",  "What to add to the policy so that it passes.") \
  X(level,      "string", "process, decision", "`info`, `warning` or `error`; of decisions only those on a canary have one: `error`.") \
  X(code,       "string", "process",          "A stable word for the message: `ready`, `reload-failed`, ...") \
  X(text,       "string", "process",          "The message.") \
  X(sink,       "string", "dropped",          "Where the lines were lost: `ring` on the way to the log thread, else the target that took no more.") \
  X(count,      "number", "dropped",          "How many.")
// clang-format on

enum class field : std::uint8_t {
#define EXEAT_LOG_FIELD_ENUMERATOR(name, ...) name,
  EXEAT_LOG_FIELDS(EXEAT_LOG_FIELD_ENUMERATOR)
#undef EXEAT_LOG_FIELD_ENUMERATOR
};

/// One row of the table.
struct field_row {
  std::string_view name;
  std::string_view type;
  std::string_view events;
  std::string_view doc;
};

/// All fields, in the order of the enum.
std::span<const field_row> fields() noexcept;
std::string_view name_of(field value) noexcept;

/// docs/reference/log.md, whole.
std::string log_reference();

}  // namespace exeat::log
