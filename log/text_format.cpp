#include <fmt/format.h>

#include <ctime>
#include <iterator>

#include "core/safe_text.hpp"
#include "log/format.hpp"

namespace exeat::log {
namespace {

using proxy::event;

struct tag {
  std::string_view word;    ///< padded to five
  std::string_view colour;  ///< SGR parameters
};

tag tag_of(const event& event) noexcept {
  if (is_alarm(event)) return {"ALARM", "1;97;41"};
  switch (event.verdict) {
    case proxy::outcome::deny:
      return {"DENY ", "1;31"};
    case proxy::outcome::error:
      return {"ERROR", "35"};
    case proxy::outcome::would_deny:
      return event.kind == event::kind::close ? tag{"CLOSE", "2"} : tag{"AUDIT", "33"};
    case proxy::outcome::allow:
      break;
  }
  return event.kind == event::kind::close ? tag{"CLOSE", "2"} : tag{"ALLOW", "32"};
}

/// "12:03:44 DENY  "
void append_head(std::string& out, std::chrono::system_clock::time_point time, tag tag, bool colour) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  fmt::format_to(std::back_inserter(out), "{:02}:{:02}:{:02} ", local.tm_hour, local.tm_min, local.tm_sec);
  if (colour) {
    fmt::format_to(std::back_inserter(out), "\x1b[{}m{}\x1b[0m ", tag.colour, tag.word);
  } else {
    fmt::format_to(std::back_inserter(out), "{} ", tag.word);
  }
}

void append_octets(std::string& out, std::uint64_t octets) {
  constexpr std::string_view units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(octets);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(units)) {
    value /= 1024;
    ++unit;
  }
  fmt::format_to(std::back_inserter(out), "{:.{}f} {}", value, unit == 0 ? 0 : 1, units[unit]);
}

void append_destination(std::string& out, const event& event) {
  if (event.host.empty()) {
    out += '-';
    return;
  }
  const bool v6 = event.host.find(':') != std::string_view::npos;
  if (v6) out += '[';
  core::append_visible(out, event.host);
  if (v6) out += ']';
  if (event.port != 0) fmt::format_to(std::back_inserter(out), ":{}", event.port);
}

}  // namespace

void append_text(std::string& out, const event& event, bool colour) {
  append_head(out, event.time, tag_of(event), colour);
  const std::size_t phase_at = out.size();
  core::append_visible(out, event.phase.empty() ? "-" : event.phase);
  while (out.size() < phase_at + 8) out += ' ';
  out += ' ';
  core::append_visible(out, event.method.empty() ? "-" : event.method);
  out += ' ';
  append_destination(out, event);
  out += "  ";
  if (event.verdict == proxy::outcome::allow && event.kind == event::kind::decision) {
    core::append_visible(out, event.rule.empty() ? core::code_of(event.reason) : event.rule);
  } else if (event.kind == event::kind::close) {
    if (event.reason != core::reason::allowed)
      fmt::format_to(std::back_inserter(out), "{}  ", core::code_of(event.reason));
    append_octets(out, event.bytes_up);
    out += " up, ";
    append_octets(out, event.bytes_down);
    out += " down";
    if (event.total.count() >= 0) {
      fmt::format_to(std::back_inserter(out), ", {:.1f} s",
                     std::chrono::duration<double>(event.total).count());
    }
  } else {
    out += core::code_of(event.reason);
    if (!event.rule.empty()) {
      out += ' ';
      core::append_visible(out, event.rule);
    }
  }
  fmt::format_to(std::back_inserter(out), "  ({})", event.id.view());
  if (!event.error.empty()) {
    out += "  ";
    core::append_visible(out, event.error);
  }
  if (!event.process.empty()) {
    out += "  by ";
    core::append_visible(out, event.process);
    if (event.pid > 0) fmt::format_to(std::back_inserter(out), "[{}]", event.pid);
    if (event.client_uid) fmt::format_to(std::back_inserter(out), " uid {}", *event.client_uid);
  }
  if (!event.hint.empty()) {
    out += "  -> ";
    core::append_visible(out, event.hint);
  }
  out += '\n';
}

void append_text(std::string& out, const message& message, bool colour) {
  const tag tag = message.level == level::info      ? log::tag{"INFO ", "36"}
                  : message.level == level::warning ? log::tag{"WARN ", "33"}
                                                    : log::tag{"ERROR", "1;31"};
  append_head(out, message.time, tag, colour);
  core::append_visible(out, message.code);
  out += ": ";
  core::append_visible(out, message.text);
  out += '\n';
}

void append_text(std::string& out, const loss& loss, bool colour) {
  append_head(out, loss.time, {"WARN ", "33"}, colour);
  fmt::format_to(std::back_inserter(out), "{} log lines were lost ({})\n", loss.count,
                 metrics::name_of(loss.sink));
}

}  // namespace exeat::log
