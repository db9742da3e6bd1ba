// Formats each record once per style and hands it to every target; the log thread's inside.
#pragma once
#include <array>
#include <expected>
#include <memory>
#include <string>
#include <vector>

#include "log/format.hpp"
#include "log/line_sink.hpp"
#include "log/log_thread.hpp"

namespace exeat::log {

/// Not thread-safe: the log thread alone calls it.
class writer {
 public:
  /// Opens all targets. The error is a sentence.
  static std::expected<writer, std::string> open(const options& options, metrics::log_counters& counters);

  void write(const proxy::event& event);
  void write(const message& message);
  /// To every target.
  void write(const loss& loss);
  /// Tells each target how many lines it has lost, where it has room again.
  void report_drops();
  void flush();
  /// Opens the targets again and writes a line for each that cannot be.
  void reopen();
  /// Octets that some target has not taken.
  bool pending() const noexcept;
  /// The same, without the targets that fail: worth waiting for.
  bool worth_waiting() const noexcept;
  /// Some target has lost lines, and can be told of it.
  bool owes() const noexcept;
  void abandon() noexcept;

 private:
  enum class style : std::uint8_t { json, text, coloured_text };
  static constexpr std::size_t style_count = 3;
  struct target {
    std::shared_ptr<line_sink> sink;
    log::writer::style style = style::json;
    bool refusals_only = false;
  };

  template <typename Record>
  const std::string& line(const Record& record, style style);
  template <typename Record>
  void send(const Record& record, spdlog::level::level_enum level, const target& to);
  void forget_lines() noexcept;

  std::vector<target> targets_;
  std::array<std::string, style_count> lines_;  ///< of the record at hand; empty: not formatted yet
};

}  // namespace exeat::log
