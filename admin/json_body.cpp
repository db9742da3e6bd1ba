#include "admin/json_body.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <cstddef>

#include "core/safe_text.hpp"

namespace exeat::admin {
namespace {

namespace json = boost::json;
using json::error_code;

constexpr std::string_view only_strings = "The body is one JSON object whose members are strings.";

/// What boost::json::basic_parser calls. False ends the parse, and `wrong` says why.
struct handler {
  static constexpr std::size_t max_object_size = 16;
  static constexpr std::size_t max_array_size = 0;
  static constexpr std::size_t max_key_size = 64;
  static constexpr std::size_t max_string_size = 512;

  std::span<const std::string_view> known;
  std::vector<std::pair<std::string, std::string>> members;
  std::string key;
  std::string value;
  int depth = 0;
  std::string wrong;

  bool refuse(std::string text, error_code& failed) {
    wrong = std::move(text);
    failed = json::error::syntax;
    return false;
  }
  bool refuse(error_code& failed) { return refuse(std::string(only_strings), failed); }

  static bool on_document_begin(error_code&) { return true; }
  static bool on_document_end(error_code&) { return true; }
  bool on_object_begin(error_code& failed) { return ++depth == 1 || refuse(failed); }
  static bool on_object_end(std::size_t, error_code&) { return true; }
  bool on_array_begin(error_code& failed) { return refuse(failed); }
  static bool on_array_end(std::size_t, error_code&) { return true; }
  bool on_key_part(json::string_view part, std::size_t, error_code&) {
    key.append(part);
    return true;
  }
  bool on_key(json::string_view part, std::size_t, error_code& failed) {
    key.append(part);
    const auto shown = [&] {
      std::string out;
      core::append_visible(out, key);
      return out;
    };
    if (std::ranges::find(known, key) == known.end()) {
      return refuse(fmt::format("Unknown member \"{}\"; there is {}.", shown(),
                                known.empty() ? "none" : fmt::format("{}", fmt::join(known, ", "))),
                    failed);
    }
    if (std::ranges::find(members, key, &std::pair<std::string, std::string>::first) != members.end())
      return refuse(fmt::format("The member \"{}\" stands twice.", shown()), failed);
    return true;
  }
  bool on_string_part(json::string_view part, std::size_t, error_code&) {
    value.append(part);
    return true;
  }
  bool on_string(json::string_view part, std::size_t, error_code& failed) {
    if (depth != 1) return refuse(failed);
    value.append(part);
    members.emplace_back(std::move(key), std::move(value));
    key.clear();
    value.clear();
    return true;
  }
  static bool on_number_part(json::string_view, error_code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, error_code& failed) { return refuse(failed); }
  bool on_uint64(std::uint64_t, json::string_view, error_code& failed) { return refuse(failed); }
  bool on_double(double, json::string_view, error_code& failed) { return refuse(failed); }
  bool on_bool(bool, error_code& failed) { return refuse(failed); }
  bool on_null(error_code& failed) { return refuse(failed); }
  static bool on_comment_part(json::string_view, error_code&) { return true; }
  static bool on_comment(json::string_view, error_code&) { return true; }
};

}  // namespace

std::expected<json_body, std::string> json_body::parse(std::string_view text,
                                                       std::span<const std::string_view> known) {
  json_body out;
  if (text.empty()) return out;
  json::basic_parser<handler> parser(json::parse_options{});
  parser.handler().known = known;
  error_code failed;
  const auto read = parser.write_some(false, text.data(), text.size(), failed);
  if (failed || read != text.size() || !parser.done()) {
    auto& wrong = parser.handler().wrong;
    return std::unexpected(wrong.empty() ? "The body is no JSON object, or not one alone."
                                         : std::move(wrong));
  }
  out.members_ = std::move(parser.handler().members);
  return out;
}

const std::string* json_body::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(members_, name, &std::pair<std::string, std::string>::first);
  return found == members_.end() ? nullptr : &found->second;
}

}  // namespace exeat::admin
