// JSON of the admin endpoints, written member by member.
#pragma once
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <chrono>
#include <concepts>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/safe_text.hpp"

namespace exeat::admin {

/// Members of JSON objects and arrays, commas placed; printable ASCII.
class json_writer {
 public:
  void open(char bracket) {
    separate();
    out_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    first_ = false;
  }
  json_writer& key(std::string_view name) {
    text(name);
    out_ += ':';
    first_ = true;
    return *this;
  }
  void text(std::string_view value) {
    separate();
    core::append_json_string(out_, value);
  }
  /// A value that is JSON already.
  void raw(std::string_view json) {
    separate();
    out_ += json;
  }
  void boolean(bool value) {
    separate();
    out_ += value ? "true" : "false";
  }
  void null() {
    separate();
    out_ += "null";
  }
  void number(std::unsigned_integral auto value) {
    separate();
    fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  void time(std::chrono::system_clock::time_point value) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(value);
    text(fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds))));
  }
  void texts(const std::vector<std::string>& values) {
    open('[');
    for (const std::string& value : values) text(value);
    close(']');
  }
  /// With a newline at the end.
  std::string take() && { return std::move(out_) + "\n"; }

 private:
  void separate() {
    if (!first_) out_ += ',';
    first_ = false;
  }

  std::string out_;
  bool first_ = true;
};

}  // namespace exeat::admin
