#include "config/yaml.hpp"

#include <fmt/format.h>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <istream>
#include <streambuf>
#include <unordered_map>

#include "config/utf8.hpp"

namespace exeat::config::yaml {
namespace {

constexpr std::size_t max_errors = 200;
constexpr std::size_t max_depth = 32;

position place(const YAML::Mark& mark) {
  return mark.is_null() ? position{} : position{mark.line + 1, mark.column + 1};
}

// Reads a text where it lies: an istringstream would copy it.
class view_buffer : public std::streambuf {
 public:
  explicit view_buffer(std::string_view text) {
    char* begin = const_cast<char*>(text.data());  // a get area is never written to
    setg(begin, begin, begin + text.size());
  }
};

// Judges the octets before the parser sees them; the parser guesses at encodings, we do not.
void check_octets(std::string_view text, error_list& errors) {
  position at{1, 1};
  for (std::size_t i = 0; i < text.size();) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto size = utf8_sequence(text.substr(i));
    if (size == 0) {
      errors.add(at, text.substr(i, 1), "the file is not UTF-8 here");
    } else if (c == '\r') {
      if (text.substr(i + 1, 1) != "\n") errors.add(at, {}, "a carriage return without a line feed");
    } else if ((c < 0x20 && c != '\t' && c != '\n') || c == 0x7f) {
      errors.add(at, text.substr(i, 1), "a control character");
    } else if (size > 1 && hides_text(utf8_value(text.substr(i, size)))) {
      errors.add(at, text.substr(i, size),
                 "an invisible character that changes how the text looks (control, direction or line "
                 "separator)");
    }
    const auto step = std::max<std::size_t>(size, 1);
    if (c == '\n') {
      ++at.line;
      at.column = 1;
    } else {
      at.column += static_cast<int>(step);
    }
    i += step;
  }
}

class builder : public YAML::EventHandler {
 public:
  explicit builder(error_list& errors, std::string_view text) : errors_(errors), text_(text) {}

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    check(mark, "?", anchor);
    add(node{.at = place(mark)});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    errors_.add(place(mark), {}, "aliases (`*name`) are not read: write the value out");
    add(node{.kind = node_kind::scalar, .at = place(mark)});
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    check(mark, tag, anchor);
    if (is_cut_short(place(mark))) errors_.add(place(mark), {}, "the quoted text has no end");
    add(node{.kind = node_kind::scalar, .quoted = tag == "!", .at = place(mark), .text = value});
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, node_kind::sequence);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, node_kind::map);
  }
  void OnMapEnd() override { close(); }

  std::optional<node> take() { return std::move(root_); }

 private:
  struct frame {
    yaml::node node;
    // Of a map: the key that waits for its value.
    std::optional<entry> pending;
    bool drop_value = false;
    std::unordered_map<std::string, int> keys;  // with their lines
  };

  void check(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (anchor != YAML::NullAnchor) errors_.add(place(mark), {}, "anchors (`&name`) are not read");
    if (!tag.empty() && tag != "?" && tag != "!") errors_.add(place(mark), tag, "tags are not read");
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, node_kind kind) {
    check(mark, tag, anchor);
    if (frames_.size() >= max_depth) {
      throw YAML::ParserException(mark, fmt::format("nested more than {} deep", max_depth));
    }
    frames_.push_back({.node = {.kind = kind, .at = place(mark)}});
  }

  void close() {
    auto done = std::move(frames_.back().node);
    frames_.pop_back();
    add(std::move(done));
  }

  void add(node value) {
    if (frames_.empty()) {
      root_ = std::move(value);
      return;
    }
    auto& top = frames_.back();
    if (top.node.kind == node_kind::sequence) {
      if (value.kind == node_kind::null) value.at = dash_before(value.at);
      top.node.items.push_back(std::move(value));
      return;
    }
    if (!top.pending) {
      take_key(top, value);
      return;
    }
    // An absent value is reported by the parser at whatever follows it; its key is where a person looks.
    if (value.kind == node_kind::null) value.at = top.pending->at;
    top.pending->value = std::move(value);
    if (!top.drop_value) top.node.entries.push_back(std::move(*top.pending));
    top.pending.reset();
  }

  void take_key(frame& top, const node& key) {
    top.pending = entry{.key = key.text, .at = key.at, .value = {}};
    top.drop_value = true;
    if (key.kind != node_kind::scalar || key.text.empty()) {
      errors_.add(key.at, {}, "a key must be a word");
    } else if (key.text == "<<" && !key.quoted) {
      errors_.add(key.at, key.text, "merge keys are not read: write the entries out");
    } else if (const auto [first, is_new] = top.keys.try_emplace(key.text, key.at.line); !is_new) {
      errors_.add(key.at, key.text, fmt::format("the key stands twice, first in line {}", first->second));
    } else {
      top.drop_value = false;
    }
  }

  // An absent item (`-` and nothing) is reported by the parser at what follows it; this finds its dash.
  position dash_before(position at) {
    const auto here = offset_of(at);
    if (here < text_.size() && std::string_view("~nN").contains(text_[here])) return at;
    for (int line = at.line; line >= 1; --line) {
      const auto text = line_text(line);
      const auto first = text.find_first_not_of(" \t\r");
      if (first == std::string_view::npos || text[first] == '#') continue;
      if (line == at.line && static_cast<int>(first) + 1 >= at.column) continue;
      const auto dash = text.find('-', first);
      return dash == std::string_view::npos ? at : position{line, static_cast<int>(dash) + 1};
    }
    return at;
  }

  // The parser takes the end of the file for the end of a quoted scalar: a file that was cut short would
  // load with a shorter name in it.
  bool is_cut_short(position at) {
    const auto begin = offset_of(at) + 1;
    if (begin > text_.size() || (text_[begin - 1] != '"' && text_[begin - 1] != '\'')) return false;
    const char quote = text_[begin - 1];
    for (auto i = begin; i < text_.size(); ++i) {
      if (text_[i] == '\\' && quote == '"') {
        ++i;
      } else if (text_[i] == quote) {
        if (quote == '"' || text_.substr(i + 1, 1) != "'") return false;
        ++i;
      }
    }
    return true;
  }

  // The end of the text for a line behind it.
  std::size_t line_start(int line) {
    if (line_starts_.empty()) {
      line_starts_.push_back(0);
      for (auto i = text_.find('\n'); i != std::string_view::npos; i = text_.find('\n', i + 1)) {
        line_starts_.push_back(i + 1);
      }
    }
    const auto index = static_cast<std::size_t>(line - 1);
    return index < line_starts_.size() ? line_starts_[index] : text_.size();
  }

  std::size_t offset_of(position at) { return line_start(at.line) + static_cast<std::size_t>(at.column - 1); }

  std::string_view line_text(int line) {
    const auto begin = line_start(line);
    return text_.substr(begin, std::min(text_.find('\n', begin), text_.size()) - begin);
  }

  error_list& errors_;
  std::string_view text_;
  std::vector<std::size_t> line_starts_;
  std::vector<frame> frames_;
  std::optional<node> root_;
};

// Swallows a second document; only its being there counts.
class second_document : public YAML::EventHandler {
 public:
  explicit second_document(error_list& errors) : errors_(errors) {}
  void OnDocumentStart(const YAML::Mark& mark) override {
    errors_.add(place(mark), {}, "a second document: a file holds one");
    throw YAML::ParserException(mark, "");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}

 private:
  error_list& errors_;
};

}  // namespace

std::string_view describe(node_kind kind) noexcept {
  switch (kind) {
    case node_kind::null:
      return "nothing";
    case node_kind::scalar:
      return "a value";
    case node_kind::sequence:
      return "a list";
    case node_kind::map:
      return "a map";
  }
  return "something else";
}

void error_list::add(position at, std::string_view text, std::string message, std::string nearest) {
  if (errors_.size() >= max_errors) {
    ++surplus_;
    return;
  }
  const auto order = [](const error& e) { return std::pair(e.where.line, e.where.column); };
  const auto behind = std::ranges::upper_bound(errors_, std::pair(at.line, at.column), {}, order);
  errors_.insert(behind, {.where = mark(at),
                          .text = printable(text),
                          .message = std::move(message),
                          .nearest = std::move(nearest)});
}

std::vector<error> error_list::take() {
  if (surplus_ > 0) {
    errors_.push_back(
        {.where = {.file = file_}, .message = fmt::format("{} more errors are not shown", surplus_)});
    surplus_ = 0;
  }
  return std::move(errors_);
}

std::optional<node> parse(std::string_view text, error_list& errors) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark, as some editors leave it
  check_octets(text, errors);
  if (!errors.empty()) return std::nullopt;

  builder tree(errors, text);
  try {
    view_buffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    if (!parser.HandleNextDocument(tree)) {
      errors.add({1, 1}, {}, "the file is empty; it starts with `version: 1`");
      return std::nullopt;
    }
    second_document rest(errors);
    if (errors.empty()) parser.HandleNextDocument(rest);
  } catch (const YAML::Exception& e) {
    // second_document has said it already and throws only to stop the parser.
    if (!e.msg.empty()) {
      errors.add(place(e.mark), {}, fmt::format("not readable as YAML: {}", e.msg));
      return std::nullopt;
    }
  } catch (const std::exception& e) {
    errors.add({}, {}, fmt::format("not readable as YAML: {}", e.what()));
    return std::nullopt;
  }
  return tree.take();
}

}  // namespace exeat::config::yaml
