#include "importers/squid_file.hpp"

#include <fmt/format.h>

#include <optional>

namespace exeat::importers::squid {
namespace {

// A logical line: what a backslash at the end goes on with belongs to it.
struct logical_line {
  std::string text;
  int number = 0;
};

std::vector<logical_line> lines_of(std::string_view text) {
  std::vector<logical_line> out;
  int number = 0;
  bool goes_on = false;
  while (!text.empty()) {
    const auto end = text.find('\n');
    auto line = trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    ++number;
    if (!goes_on && line.starts_with('#')) continue;
    const bool more = line.ends_with('\\');
    if (more) line.remove_suffix(1);
    if (goes_on) {
      out.back().text.append(" ").append(line);
    } else {
      out.push_back({std::string(line), number});
    }
    goes_on = more;
  }
  return out;
}

// Words between blanks; a quoted one keeps its quotes. A word that starts with # ends the line.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (at < line.size()) {
    if (line[at] == ' ' || line[at] == '\t') {
      ++at;
      continue;
    }
    if (line[at] == '#') break;
    const auto begin = at;
    const char quote = line[at] == '"' || line[at] == '\'' ? line[at] : '\0';
    if (quote != '\0') {
      const auto end = line.find(quote, at + 1);
      at = end == std::string_view::npos ? line.size() : end + 1;
    }
    while (at < line.size() && line[at] != ' ' && line[at] != '\t') ++at;
    out.emplace_back(line.substr(begin, at - begin));
  }
  return out;
}

bool is_quoted(std::string_view word) {
  return word.size() >= 2 && word.front() == '"' && word.back() == '"';
}

// The entries of a list in a file: one a line.
bool add_list(const source& from, draft& into, const std::string& path, int line, acl& to) {
  const auto text = from.read ? from.read(path) : std::unexpected(std::string("it was not looked for"));
  if (!text) {
    into.left_out(line, fmt::format("the list in {} cannot be read: {}", path, text.error()));
    return false;
  }
  for (const auto entry : split(*text, "\n")) {
    const auto plain = trimmed(entry.substr(0, entry.find('#')));
    if (!plain.empty()) to.values.push_back({std::string(plain), line});
  }
  return true;
}

void read_acl(const source& from, draft& into, const std::vector<std::string>& words, int line, file& out) {
  if (words.size() < 3) return into.left_out(line, "an acl without a name or a type");
  auto& to = out.acls[words[1]];
  if (to.line == 0) {
    to.type = words[2];
    to.line = line;
  } else if (to.type != words[2]) {
    into.left_out(line, fmt::format("acl `{}` has two types", words[1]));
    to.type = "unreadable";
    return;
  }
  for (std::size_t i = 3; i < words.size(); ++i) {
    const auto& word = words[i];
    if (word == "-n" || word == "-i" || word == "--") continue;
    if (word.starts_with('-') && word.size() > 1 && to.type != "src") {
      into.left_out(line, fmt::format("acl `{}` has the option {}, which is not known", words[1], word));
      to.type = "unreadable";
    } else if (is_quoted(word)) {
      if (!add_list(from, into, word.substr(1, word.size() - 2), line, to)) to.type = "unreadable";
    } else {
      to.values.push_back({word, line});
    }
  }
}

void read_access(draft& into, const std::vector<std::string>& words, int line, file& out) {
  if (words.size() < 2 || (words[1] != "allow" && words[1] != "deny"))
    return into.left_out(line, "an http_access without allow or deny");
  access made{.allow = words[1] == "allow", .line = line};
  for (std::size_t i = 2; i < words.size(); ++i) {
    const bool negated = words[i].starts_with('!');
    made.terms.push_back({negated, words[i].substr(negated ? 1 : 0)});
  }
  out.accesses.push_back(std::move(made));
}

}  // namespace

file read(const source& from, draft& into) {
  file out;
  out.acls["all"] = {.type = "all"};
  out.acls["localhost"] = {.type = "src"};
  out.acls["manager"] = {.type = "manager"};
  out.acls["to_localhost"] = {.type = "special"};
  out.acls["to_linklocal"] = {.type = "special"};
  out.acls["CONNECT"] = {.type = "method", .values = {{"CONNECT", 0}}};
  for (const auto& [text, number] : lines_of(from.text)) {
    const auto words = words_of(text);
    if (words.empty()) continue;
    if (words[0] == "acl") {
      // `acl CONNECT method CONNECT` and the like repeat what is built in.
      if (words.size() > 2 && out.acls.contains(words[1]) && out.acls[words[1]].line == 0)
        out.acls.erase(words[1]);
      read_acl(from, into, words, number, out);
    } else if (words[0] == "http_access") {
      read_access(into, words, number, out);
    } else if (words[0] == "include") {
      into.left_out(number, "include: import that file as well");
    } else {
      ++out.other;
    }
  }
  return out;
}

}  // namespace exeat::importers::squid
