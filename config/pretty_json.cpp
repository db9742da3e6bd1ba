#include "config/schema.hpp"

namespace exeat::config {
namespace {

constexpr std::size_t widest = 110;

// The end of the value that begins at `at`: behind its bracket, quote or last character.
std::size_t end_of(std::string_view text, std::size_t at) {
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = at; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (depth == 0 && (c == ',' || c == '}' || c == ']')) {
      return i;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return text.size();
}

// On one line, with a blank behind every comma and colon.
std::string on_one_line(std::string_view text) {
  std::string out;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    out += c;
    if (quoted && c == '\\')
      out += text[++i];
    else if (c == '"')
      quoted = !quoted;
    else if (!quoted && (c == ',' || c == ':'))
      out += ' ';
  }
  return out;
}

// `used` columns of the line are taken already, `indent` blanks stand in front of the line.
std::string laid_out(std::string_view value, std::size_t indent, std::size_t used) {
  auto line = on_one_line(value);
  const bool composed = value.starts_with('{') || value.starts_with('[');
  if (!composed || value.size() == 2 || used + line.size() < widest) return line;
  std::string out(1, value.front());
  const auto inner = value.substr(1, value.size() - 2);
  for (std::size_t at = 0; at < inner.size();) {
    const auto end = end_of(inner, at);
    auto item = inner.substr(at, end - at);
    out += '\n' + std::string(indent + 2, ' ');
    std::size_t taken = indent + 2;
    if (value.front() == '{') {
      std::size_t colon = 1;
      while (item[colon] != '"') colon += item[colon] == '\\' ? 2U : 1U;
      out.append(item.substr(0, colon + 1)) += ": ";
      taken += colon + 3;
      item.remove_prefix(colon + 2);
    }
    out += laid_out(item, indent + 2, taken);
    at = end + 1;
    if (at < inner.size()) out += ',';
  }
  return out + '\n' + std::string(indent, ' ') + value.back();
}

}  // namespace

std::string pretty_json(std::string_view text) {
  return laid_out(text, 0, 0) + '\n';
}

}  // namespace exeat::config
