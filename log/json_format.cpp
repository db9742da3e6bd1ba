#include <fmt/format.h>

#include <array>

#include "core/safe_text.hpp"
#include "log/fields.hpp"
#include "log/format.hpp"

namespace exeat::log {
namespace {

using proxy::event;

/// Exactly `count` decimal digits. (A line is made per request: fmt's parsing would be half its cost.)
void append_digits(std::string& out, unsigned value, std::size_t count) {
  std::array<char, 8> digits;
  for (std::size_t i = count; i > 0; --i, value /= 10) digits[i - 1] = static_cast<char>('0' + value % 10);
  out.append(digits.data(), count);
}

/// One object; a member without a value is left out.
class json_line {
 public:
  explicit json_line(std::string& out) : out_(out) { out_ += '{'; }
  ~json_line() { out_ += "}\n"; }
  json_line(const json_line&) = delete;
  json_line& operator=(const json_line&) = delete;

  /// `value` is a literal of ours, or harmless for another reason.
  void plain(field name, std::string_view value) {
    if (value.empty()) return;
    key(name);
    out_ += '"';
    out_ += value;
    out_ += '"';
  }
  void text(field name, std::string_view value) {
    if (value.empty()) return;
    key(name);
    core::append_json_string(out_, value);
  }
  void time(std::chrono::system_clock::time_point value) {
    key(field::time);
    out_ += '"';
    append_time(out_, value);
    out_ += '"';
  }
  void number(field name, std::uint64_t value) {
    key(name);
    out_.append(fmt::format_int(value).c_str());
  }
  void milliseconds(field name, std::chrono::microseconds value) {
    if (value.count() < 0) return;
    key(name);
    out_.append(fmt::format_int(value.count() / 1000).c_str());
    out_ += '.';
    append_digits(out_, static_cast<unsigned>(value.count() % 1000), 3);
  }

 private:
  void key(field name) {
    if (!first_) out_ += ',';
    first_ = false;
    out_ += '"';
    out_ += name_of(name);
    out_ += "\":";
  }

  std::string& out_;
  bool first_ = true;
};

std::string_view name_of_verdict(proxy::outcome verdict) noexcept {
  switch (verdict) {
    case proxy::outcome::allow:
      return "allow";
    case proxy::outcome::deny:
      return "deny";
    case proxy::outcome::would_deny:
      return "would_deny";
    case proxy::outcome::error:
      return "error";
  }
  return "";
}

std::string client_of(const event& event) {
  if (!event.client) return event.client_uid ? "uid:" + std::to_string(*event.client_uid) : std::string();
  std::string out = event.client->is_v6() ? '[' + event.client->to_string() + ']' : event.client->to_string();
  out += ':';
  return out += fmt::format_int(event.client_port).c_str();
}

}  // namespace

void append_time(std::string& out, std::chrono::system_clock::time_point time) {
  const auto micros = std::chrono::floor<std::chrono::microseconds>(time);
  const auto seconds = std::chrono::floor<std::chrono::seconds>(micros);
  const auto day = std::chrono::floor<std::chrono::days>(seconds);
  const std::chrono::year_month_day date{day};
  const std::chrono::hh_mm_ss clock{seconds - day};
  append_digits(out, static_cast<unsigned>(static_cast<int>(date.year())), 4);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.month()), 2);
  out += '-';
  append_digits(out, static_cast<unsigned>(date.day()), 2);
  out += 'T';
  append_digits(out, static_cast<unsigned>(clock.hours().count()), 2);
  out += ':';
  append_digits(out, static_cast<unsigned>(clock.minutes().count()), 2);
  out += ':';
  append_digits(out, static_cast<unsigned>(clock.seconds().count()), 2);
  out += '.';
  append_digits(out, static_cast<unsigned>((micros - seconds).count()), 6);
  out += 'Z';
}

bool is_alarm(const event& event) noexcept {
  return event.reason == core::reason::canary;
}

bool is_refusal(const event& event) noexcept {
  return event.verdict == proxy::outcome::deny || event.verdict == proxy::outcome::would_deny ||
         core::row_of(event.reason).kind == core::reason_kind::policy;
}

void append_json(std::string& out, const event& event) {
  const bool close = event.kind == event::kind::close;
  json_line line(out);
  line.time(event.time);
  line.plain(field::event, close ? "close" : "decision");
  line.plain(field::decision, event.id.view());
  line.text(field::phase, event.phase);
  line.text(field::job, event.job);
  line.plain(field::client, client_of(event));
  if (event.client_uid) line.number(field::uid, *event.client_uid);
  line.text(field::process, event.process);
  if (event.pid > 0) line.number(field::pid, static_cast<std::uint64_t>(event.pid));
  line.text(field::command, event.command);
  line.text(field::cgroup, event.cgroup);
  line.text(field::method, event.method);
  line.text(field::scheme, event.scheme);
  line.text(field::host, event.host);
  if (event.port != 0) line.number(field::port, event.port);
  if (event.address) line.plain(field::address, event.address->to_string());
  line.text(field::upstream, event.upstream);
  if (event.delegated) line.plain(field::resolve, "remote");
  line.plain(field::verdict, name_of_verdict(event.verdict));
  line.plain(field::reason, core::code_of(event.reason));
  line.text(field::rule, event.rule);
  line.text(field::rule_at, event.rule_where);
  if (event.status != 0) line.number(field::status, event.status);
  if (close || event.bytes_up != 0) line.number(field::bytes_up, event.bytes_up);
  if (close || event.bytes_down != 0) line.number(field::bytes_down, event.bytes_down);
  line.milliseconds(field::dns_ms, event.dns);
  line.milliseconds(field::connect_ms, event.connect);
  line.milliseconds(field::total_ms, event.total);
  line.text(field::sni, event.sni);
  line.text(field::alpn, event.alpn);
  line.text(field::tls, event.tls_version);
  line.text(field::error, event.error);
  line.text(field::hint, event.hint);
  if (is_alarm(event)) line.plain(field::level, "error");
}

void append_json(std::string& out, const message& message) {
  json_line line(out);
  line.time(message.time);
  line.plain(field::event, "process");
  line.plain(field::level, message.level == level::info      ? "info"
                           : message.level == level::warning ? "warning"
                                                             : "error");
  line.text(field::code, message.code);
  line.text(field::text, message.text);
}

void append_json(std::string& out, const loss& loss) {
  json_line line(out);
  line.time(loss.time);
  line.plain(field::event, "dropped");
  line.plain(field::sink, metrics::name_of(loss.sink));
  line.number(field::count, loss.count);
}

}  // namespace exeat::log
