#include "log/writer.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

namespace exeat::log {
namespace {

bool wants_colour() {
  const char* no_color = std::getenv("NO_COLOR");  // https://no-color.org: set and not empty
  const char* term = std::getenv("TERM");
  return (no_color == nullptr || *no_color == '\0') && (term == nullptr || std::string_view(term) != "dumb");
}

spdlog::level::level_enum severity(const proxy::event& event) noexcept {
  if (is_alarm(event)) return spdlog::level::err;
  switch (event.verdict) {
    case proxy::outcome::deny:
    case proxy::outcome::would_deny:
      return spdlog::level::warn;
    case proxy::outcome::error:
      return spdlog::level::err;
    case proxy::outcome::allow:
      break;
  }
  return spdlog::level::info;
}

spdlog::level::level_enum severity(level level) noexcept {
  return level == level::info      ? spdlog::level::info
         : level == level::warning ? spdlog::level::warn
                                   : spdlog::level::err;
}

}  // namespace

std::expected<writer, std::string> writer::open(const options& options, metrics::log_counters& counters) {
  if (!options.file.empty() && options.file == options.blocked) {
    return std::unexpected("the log and the log of refusals are the same file: " + options.file);
  }
  const style style = options.format == format::text ? style::text : style::json;
  writer result;
  if (!options.file.empty()) {
    auto sink = open_file_sink(metrics::log_sink::file, counters, options.file, options.rotate_size,
                               options.rotate_keep);
    if (!sink) return std::unexpected(std::move(sink.error()));
    result.targets_.push_back({std::move(*sink), style, false});
  }
  if (options.standard_output) {
    const bool terminal = ::isatty(STDOUT_FILENO) == 1;
    const bool text = options.format == format::text || (options.format == format::automatic && terminal);
    result.targets_.push_back({open_stream_sink(metrics::log_sink::standard_output, counters, STDOUT_FILENO),
                               !text                        ? style::json
                               : terminal && wants_colour() ? style::coloured_text
                                                            : style::text,
                               false});
  }
  if (options.syslog) {
    auto sink = open_syslog_sink(counters);
    if (!sink) return std::unexpected(std::move(sink.error()));
    result.targets_.push_back({std::move(*sink), style, false});
  }
  if (!options.blocked.empty()) {
    auto sink = open_file_sink(metrics::log_sink::blocked, counters, options.blocked, options.rotate_size,
                               options.rotate_keep);
    if (!sink) return std::unexpected(std::move(sink.error()));
    result.targets_.push_back({std::move(*sink), style::json, true});
  }
  return result;
}

template <typename Record>
const std::string& writer::line(const Record& record, style style) {
  std::string& text = lines_[static_cast<std::size_t>(style)];
  if (!text.empty()) return text;
  if (style == style::json) {
    append_json(text, record);
  } else {
    append_text(text, record, style == style::coloured_text);
  }
  return text;
}

template <typename Record>
void writer::send(const Record& record, spdlog::level::level_enum level, const target& to) {
  to.sink->log({record.time, {}, {}, level, line(record, to.style)});
}

void writer::forget_lines() noexcept {
  for (std::string& text : lines_) text.clear();
}

void writer::write(const proxy::event& event) {
  forget_lines();
  for (const target& to : targets_) {
    if (!to.refusals_only || is_refusal(event)) send(event, severity(event), to);
  }
}

void writer::write(const message& message) {
  forget_lines();
  for (const target& to : targets_) {
    if (!to.refusals_only) send(message, severity(message.level), to);
  }
}

void writer::write(const loss& loss) {
  forget_lines();
  for (const target& to : targets_) send(loss, spdlog::level::warn, to);
}

void writer::report_drops() {
  for (const target& to : targets_) {
    if (to.sink->drops() == 0 || to.sink->pending() > line_sink::pending_max / 2) continue;
    const loss loss{std::chrono::system_clock::now(), to.sink->name(), to.sink->drops()};
    to.sink->forget_drops();
    forget_lines();
    send(loss, spdlog::level::warn, to);
  }
}

void writer::flush() {
  for (const target& to : targets_) to.sink->flush();
}

void writer::reopen() {
  std::vector<std::string> errors;
  for (const target& to : targets_) {
    if (auto opened = to.sink->reopen(); !opened) errors.push_back(std::move(opened.error()));
  }
  for (const std::string& error : errors) {
    write(message{std::chrono::system_clock::now(), level::error, "log-reopen-failed", error});
  }
}

bool writer::pending() const noexcept {
  return std::ranges::any_of(targets_, [](const target& to) { return to.sink->pending() > 0; });
}

bool writer::worth_waiting() const noexcept {
  return std::ranges::any_of(targets_,
                             [](const target& to) { return to.sink->pending() > 0 && !to.sink->failed(); });
}

bool writer::owes() const noexcept {
  return std::ranges::any_of(targets_,
                             [](const target& to) { return to.sink->drops() > 0 && !to.sink->failed(); });
}

void writer::abandon() noexcept {
  for (const target& to : targets_) to.sink->abandon();
}

}  // namespace exeat::log
