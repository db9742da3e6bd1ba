#include <array>
#include <charconv>
#include <cstring>

#include "core/safe_text.hpp"
#include "log/fields.hpp"
#include "log/format.hpp"

namespace exeat::log {
namespace {

using proxy::event;

// A line is made for each request, two for a tunnel: it is written in one go into room for the longest it can
// be. Formatting was a third of all that a tunnel costs before.

struct key_text {
  std::array<char, 16> text;  ///< `,"name":`
  std::size_t size;
};

constexpr key_text key_of(std::string_view name) {
  key_text out{};
  const auto put = [&](char c) { out.text.at(out.size++) = c; };
  put(',');
  put('"');
  for (const char c : name) put(c);
  put('"');
  put(':');
  return out;
}

constexpr std::array keys = {
#define EXEAT_LOG_KEY(name, ...) key_of(#name),
    EXEAT_LOG_FIELDS(EXEAT_LOG_KEY)
#undef EXEAT_LOG_KEY
};

/// Room that is there.
class cursor {
 public:
  explicit cursor(char* at) noexcept : at_(at) {}
  char* at() const noexcept { return at_; }
  cursor& operator+=(char c) noexcept {
    *at_++ = c;
    return *this;
  }
  cursor& operator+=(std::string_view text) noexcept {
    append(text);
    return *this;
  }
  void append(std::string_view text) noexcept {
    std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }
  /// Exactly `count` decimal digits.
  void digits(unsigned value, std::size_t count) noexcept {
    for (std::size_t i = count; i > 0; --i, value /= 10) at_[i - 1] = static_cast<char>('0' + value % 10);
    at_ += count;
  }
  void number(std::uint64_t value) noexcept {
    constexpr std::size_t most = 20;
    at_ = std::to_chars(at_, at_ + most, value).ptr;
  }
  void address(const core::ip_address& value) noexcept { at_ = value.to_chars(at_); }
  void key(field name) noexcept {
    const auto& key = keys[static_cast<std::size_t>(name)];
    std::memcpy(at_, key.text.data(), key.text.size());
    at_ += key.size;
  }
  void time(std::chrono::system_clock::time_point value) noexcept {
    const auto micros = std::chrono::floor<std::chrono::microseconds>(value);
    const auto seconds = std::chrono::floor<std::chrono::seconds>(micros);
    const auto day = std::chrono::floor<std::chrono::days>(seconds);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{seconds - day};
    digits(static_cast<unsigned>(static_cast<int>(date.year())), 4);
    *this += '-';
    digits(static_cast<unsigned>(date.month()), 2);
    *this += '-';
    digits(static_cast<unsigned>(date.day()), 2);
    *this += 'T';
    digits(static_cast<unsigned>(clock.hours().count()), 2);
    *this += ':';
    digits(static_cast<unsigned>(clock.minutes().count()), 2);
    *this += ':';
    digits(static_cast<unsigned>(clock.seconds().count()), 2);
    *this += '.';
    digits(static_cast<unsigned>((micros - seconds).count()), 6);
    *this += 'Z';
  }

 private:
  char* at_;
};

/// One object; a member without a value is left out. Every one begins with its time.
class json_line {
 public:
  /// What all members take at most but for the texts, of which an octet takes six.
  static constexpr std::size_t fixed_room = 2048;

  json_line(char* at, std::chrono::system_clock::time_point time) : out_(at) {
    out_ += R"({"time":")";
    out_.time(time);
    out_ += '"';
  }
  char* end() {
    out_ += "}\n";
    return out_.at();
  }

  /// `value` is a literal of ours, or harmless for another reason.
  void plain(field name, std::string_view value) {
    if (value.empty()) return;
    out_.key(name);
    out_ += '"';
    out_ += value;
    out_ += '"';
  }
  void text(field name, std::string_view value) {
    if (value.empty()) return;
    out_.key(name);
    core::append_json_string(out_, value);
  }
  void number(field name, std::uint64_t value) {
    out_.key(name);
    out_.number(value);
  }
  void milliseconds(field name, std::chrono::microseconds value) {
    if (value.count() < 0) return;
    const auto micros = static_cast<std::uint64_t>(value.count());
    out_.key(name);
    out_.number(micros / 1000);
    out_ += '.';
    out_.digits(static_cast<unsigned>(micros % 1000), 3);
  }
  void address(field name, const core::ip_address& value) {
    out_.key(name);
    out_ += '"';
    out_.address(value);
    out_ += '"';
  }
  void client(const event& event) {
    if (!event.client && !event.client_uid) return;
    out_.key(field::client);
    out_ += '"';
    if (!event.client) {
      out_ += "uid:";
      out_.number(*event.client_uid);
    } else {
      if (event.client->is_v6()) out_ += '[';
      out_.address(*event.client);
      if (event.client->is_v6()) out_ += ']';
      out_ += ':';
      out_.number(event.client_port);
    }
    out_ += '"';
  }

 private:
  cursor out_;
};

/// Appends one line whose texts have `octets` in all; `fill` adds its members.
template <typename Fill>
void append_line(std::string& out, std::size_t octets, std::chrono::system_clock::time_point time,
                 Fill&& fill) {
  const auto before = out.size();
  out.resize_and_overwrite(before + json_line::fixed_room + 6 * octets, [&](char* text, std::size_t) {
    json_line line(text + before, time);
    fill(line);
    return static_cast<std::size_t>(line.end() - text);
  });
}

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

}  // namespace

void append_time(std::string& out, std::chrono::system_clock::time_point time) {
  std::array<char, 32> text;
  cursor at(text.data());
  at.time(time);
  out.append(text.data(), at.at());
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
  const std::array texts = {event.phase,    event.job,         event.process,    event.command,
                            event.cgroup,   event.method,      event.scheme,     event.host,
                            event.upstream, event.rule,        event.rule_where, event.sni,
                            event.alpn,     event.tls_version, event.error,      event.hint};
  std::size_t octets = 0;
  for (const auto text : texts) octets += text.size();
  append_line(out, octets, event.time, [&](json_line& line) {
    line.plain(field::event, close ? "close" : "decision");
    line.plain(field::decision, event.id.view());
    line.text(field::phase, event.phase);
    line.text(field::job, event.job);
    line.client(event);
    if (event.client_uid) line.number(field::uid, *event.client_uid);
    line.text(field::process, event.process);
    if (event.pid > 0) line.number(field::pid, static_cast<std::uint64_t>(event.pid));
    line.text(field::command, event.command);
    line.text(field::cgroup, event.cgroup);
    line.text(field::method, event.method);
    line.text(field::scheme, event.scheme);
    line.text(field::host, event.host);
    if (event.port != 0) line.number(field::port, event.port);
    if (event.address) line.address(field::address, *event.address);
    line.text(field::upstream, event.upstream);
    if (event.delegated) line.plain(field::resolve, "remote");
    line.plain(field::verdict, name_of_verdict(event.verdict));
    line.plain(field::reason, core::code_of(event.reason));
    line.text(field::rule, event.rule);
    line.text(field::rule_at, event.rule_where);
    if (event.status != 0) line.number(field::status, static_cast<std::uint64_t>(event.status));
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
  });
}

void append_json(std::string& out, const message& message) {
  append_line(out, message.code.size() + message.text.size(), message.time, [&](json_line& line) {
    line.plain(field::event, "process");
    line.plain(field::level, message.level == level::info      ? "info"
                             : message.level == level::warning ? "warning"
                                                               : "error");
    line.text(field::code, message.code);
    line.text(field::text, message.text);
  });
}

void append_json(std::string& out, const loss& loss) {
  append_line(out, 0, loss.time, [&](json_line& line) {
    line.plain(field::event, "dropped");
    line.plain(field::sink, metrics::name_of(loss.sink));
    line.number(field::count, loss.count);
  });
}

}  // namespace exeat::log
