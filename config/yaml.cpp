#include "config/yaml.hpp"

#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_map>

#include "config/utf8.hpp"

namespace exeat::config::yaml {
namespace {

constexpr std::size_t max_errors = 200;
constexpr std::size_t max_depth = 32;

// What the parser could not go on from.
struct stopped {
  yaml_mark_t at;
  std::string message;
};

std::string_view text_of(const yaml_char_t* text) {
  return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text));
}

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

class builder {
 public:
  explicit builder(error_list& errors, std::string_view text)
      : errors_(errors),
        text_(text),
        is_ascii_(std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {}

  // Lines and columns of the parser count from 0, and columns count characters.
  position place(const yaml_mark_t& mark) {
    position at{static_cast<int>(mark.line) + 1, static_cast<int>(mark.column) + 1};
    if (is_ascii_) return at;
    const auto line = line_text(at.line);
    std::size_t octets = 0;
    for (std::size_t left = mark.column; left > 0 && octets < line.size(); --left)
      octets += std::max<std::size_t>(utf8_sequence(line.substr(octets)), 1);
    at.column = static_cast<int>(octets) + 1;
    return at;
  }

  void take_event(const yaml_event_t& event) {
    const auto& mark = event.start_mark;
    switch (event.type) {
      case YAML_ALIAS_EVENT:
        errors_.add(place(mark), {}, "aliases (`*name`) are not read: write the value out");
        add(node{.kind = node_kind::scalar, .at = place(mark)});
        break;
      case YAML_SCALAR_EVENT:
        take_scalar(event.data.scalar, mark);
        break;
      case YAML_SEQUENCE_START_EVENT:
        open(mark, event.data.sequence_start.tag, event.data.sequence_start.anchor, node_kind::sequence);
        break;
      case YAML_MAPPING_START_EVENT:
        open(mark, event.data.mapping_start.tag, event.data.mapping_start.anchor, node_kind::map);
        break;
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        close();
        break;
      default:
        break;
    }
  }

  std::optional<node> take() { return std::move(root_); }

 private:
  struct frame {
    yaml::node node;
    // Of a map: the key that waits for its value.
    std::optional<entry> pending;
    bool drop_value = false;
    std::unordered_map<std::string, int> keys;  // of a large map, with their lines
  };

  void take_scalar(const decltype(yaml_event_t::data.scalar)& scalar, const yaml_mark_t& mark) {
    check(mark, scalar.tag, scalar.anchor);
    const std::string_view text(reinterpret_cast<const char*>(scalar.value), scalar.length);
    const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
    constexpr std::array<std::string_view, 5> nothing{"", "~", "null", "Null", "NULL"};
    if (plain && scalar.tag == nullptr && std::ranges::find(nothing, text) != nothing.end())
      return add(node{.at = place(mark)});
    add(node{.kind = node_kind::scalar, .quoted = !plain, .at = place(mark), .text = std::string(text)});
  }

  void check(const yaml_mark_t& mark, const yaml_char_t* tag, const yaml_char_t* anchor) {
    if (anchor != nullptr) errors_.add(place(mark), {}, "anchors (`&name`) are not read");
    if (tag != nullptr && text_of(tag) != "!") errors_.add(place(mark), text_of(tag), "tags are not read");
  }

  void open(const yaml_mark_t& mark, const yaml_char_t* tag, const yaml_char_t* anchor, node_kind kind) {
    check(mark, tag, anchor);
    if (frames_.size() >= max_depth) throw stopped{mark, fmt::format("nested more than {} deep", max_depth)};
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
    // Of an absent value the key is where a person looks.
    if (value.kind == node_kind::null) value.at = top.pending->at;
    top.pending->value = std::move(value);
    if (!top.drop_value) top.node.entries.push_back(std::move(*top.pending));
    top.pending.reset();
  }

  // The line in which the map has the key already; 0 where it is new. Rules are small maps, and there are
  // many of them: those are searched, larger ones get a table.
  static int first_line_of(frame& top, const node& key) {
    constexpr std::size_t few = 16;
    if (top.keys.empty() && top.node.entries.size() < few) {
      const auto found = std::ranges::find(top.node.entries, key.text, &entry::key);
      return found == top.node.entries.end() ? 0 : found->at.line;
    }
    if (top.keys.empty()) {
      for (const auto& known : top.node.entries) top.keys.emplace(known.key, known.at.line);
    }
    const auto [first, is_new] = top.keys.try_emplace(key.text, key.at.line);
    return is_new ? 0 : first->second;
  }

  void take_key(frame& top, const node& key) {
    top.pending = entry{.key = key.text, .at = key.at, .value = {}};
    top.drop_value = true;
    if (key.kind != node_kind::scalar || key.text.empty()) {
      errors_.add(key.at, {}, "a key must be a word");
    } else if (key.text == "<<" && !key.quoted) {
      errors_.add(key.at, key.text, "merge keys are not read: write the entries out");
    } else if (const int first = first_line_of(top, key); first != 0) {
      errors_.add(key.at, key.text, fmt::format("the key stands twice, first in line {}", first));
    } else {
      top.drop_value = false;
    }
  }

  // An absent item stands right behind its dash, which is where a person looks.
  position dash_before(position at) {
    const auto here = offset_of(at);
    const bool written = here < text_.size() && std::string_view("~nN").contains(text_[here]);
    if (!written && at.column > 1 && here > 0 && here <= text_.size() && text_[here - 1] == '-') --at.column;
    return at;
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
  bool is_ascii_;
  std::vector<std::size_t> line_starts_;
  std::vector<frame> frames_;
  std::optional<node> root_;
};

struct parser_end {
  void operator()(yaml_parser_t* parser) const noexcept { yaml_parser_delete(parser); }
};

// The next event, of which the caller frees what it holds.
void next(yaml_parser_t& parser, yaml_event_t& event) {
  if (yaml_parser_parse(&parser, &event) != 0) return;
  const char* problem = parser.problem == nullptr ? "out of memory" : parser.problem;
  std::string message =
      parser.context == nullptr ? std::string(problem) : fmt::format("{}, {}", parser.context, problem);
  // Of what has no end the beginning is where a person looks.
  const bool unended = std::string_view(problem).starts_with("found unexpected end of stream");
  throw stopped{unended ? parser.context_mark : parser.problem_mark, std::move(message)};
}

// Hands the events of the first document to the builder. False where there is none.
bool build(yaml_parser_t& parser, builder& tree, error_list& errors) {
  bool found = false;
  for (;;) {
    yaml_event_t event;
    next(parser, event);
    const std::unique_ptr<yaml_event_t, decltype(&yaml_event_delete)> held(&event, &yaml_event_delete);
    if (event.type == YAML_STREAM_END_EVENT) return found;
    if (event.type == YAML_DOCUMENT_START_EVENT && found) {
      errors.add(tree.place(event.start_mark), {}, "a second document: a file holds one");
      return true;
    }
    found = found || event.type == YAML_DOCUMENT_START_EVENT;
    tree.take_event(event);
  }
}

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
  yaml_parser_t parser;
  if (yaml_parser_initialize(&parser) == 0) {
    errors.add({}, {}, "not readable as YAML: out of memory");
    return std::nullopt;
  }
  const std::unique_ptr<yaml_parser_t, parser_end> held(&parser);
  yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
  yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  try {
    if (!build(parser, tree, errors)) {
      errors.add({1, 1}, {}, "the file is empty; it starts with `version: 1`");
      return std::nullopt;
    }
  } catch (const stopped& e) {
    errors.add(tree.place(e.at), {}, fmt::format("not readable as YAML: {}", e.message));
    return std::nullopt;
  }
  return tree.take();
}

}  // namespace exeat::config::yaml
