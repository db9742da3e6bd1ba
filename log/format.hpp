// One record as one line, newline included: JSON for programs, short text for people.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "log/log_thread.hpp"
#include "metrics/registry.hpp"
#include "proxy/event.hpp"

namespace exeat::log {

/// A message of the process itself.
struct message {
  std::chrono::system_clock::time_point time;
  log::level level = log::level::info;
  std::string_view code;
  std::string_view text;
};

/// Lines were lost.
struct loss {
  std::chrono::system_clock::time_point time;
  metrics::log_sink sink = metrics::log_sink::ring;
  std::uint64_t count = 0;
};

/// UTC, RFC 3339, microseconds: "2027-03-31T12:03:44.000123Z".
void append_time(std::string& out, std::chrono::system_clock::time_point time);

/// What goes to blocked.log: the verdicts deny and would_deny, and whatever else the policy is the reason of.
bool is_refusal(const proxy::event& event) noexcept;

/// A request for a canary: its line is one at the level `error`.
bool is_alarm(const proxy::event& event) noexcept;

/// Append one line of printable ASCII. `colour` adds ANSI colours; local time.
void append_json(std::string& out, const proxy::event& event);
void append_json(std::string& out, const message& message);
void append_json(std::string& out, const loss& loss);
void append_text(std::string& out, const proxy::event& event, bool colour);
void append_text(std::string& out, const message& message, bool colour);
void append_text(std::string& out, const loss& loss, bool colour);

}  // namespace exeat::log
