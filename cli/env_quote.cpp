#include "cli/env_quote.hpp"

#include <fmt/format.h>

namespace exeat::cli {

std::string quoted_for_sh(std::string_view text) {
  std::string out = "'";
  for (const char c : text) c == '\'' ? out += "'\\''" : out += c;
  return out + "'";
}

std::string quoted_for_fish(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string quoted_for_powershell(std::string_view text) {
  std::string out = "'";
  while (!text.empty()) {
    const bool typographic =
        text.starts_with("\xe2\x80") && text.size() >= 3 && text[2] >= '\x98' && text[2] <= '\x9b';
    const auto one = text.substr(0, typographic ? 3 : 1);
    if (typographic || one == "'") out += one;
    out += one;
    text.remove_prefix(one.size());
  }
  return out + "'";
}

std::string quoted_for_systemd(std::string_view assignment) {
  std::string out = "\"";
  for (const char c : assignment) {
    switch (c) {
      case '"':
      case '\\':
        out += '\\';
        out += c;
        break;
      case '%':
        out += "%%";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += c;
    }
  }
  return out + "\"";
}

std::string line_for_github(std::string_view name, std::string_view value, std::string_view delimiter) {
  if (value.find_first_of("\r\n") == std::string_view::npos) return fmt::format("{}={}\n", name, value);
  return fmt::format("{}<<{}\n{}\n{}\n", name, delimiter, value, delimiter);
}

}  // namespace exeat::cli
