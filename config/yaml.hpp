// YAML of the plain kind: maps, lists and scalars with their places; nothing that means something else
// than it looks (anchors, aliases, tags, merge keys, repeated keys, a second document).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/error.hpp"

namespace exeat::config::yaml {

/// Both count from 1; columns count octets.
struct position {
  int line = 0;
  int column = 0;
};

enum class node_kind : std::uint8_t { null, scalar, sequence, map };
/// "nothing", "a value", "a list", "a map".
std::string_view describe(node_kind kind) noexcept;

struct entry;

struct node {
  node_kind kind = node_kind::null;
  /// Of a scalar: it stands in quotes, or is a block scalar.
  bool quoted = false;
  position at;
  std::string text;            ///< of a scalar
  std::vector<node> items;     ///< of a sequence
  std::vector<entry> entries;  ///< of a map, in the order of the file, each key once
};

struct entry {
  std::string key;
  position at;
  node value;
};

/// Collects the errors of one file, up to a bound; what comes beyond is counted in a last one.
class error_list {
 public:
  explicit error_list(std::string file) : file_(std::move(file)) {}
  /// `text` is made printable here.
  void add(position at, std::string_view text, std::string message, std::string nearest = {});
  bool empty() const noexcept { return errors_.empty(); }
  const std::string& file() const noexcept { return file_; }
  allowlist::mark mark(position at) const { return {file_, at.line, at.column}; }
  /// In the order of the file.
  std::vector<error> take();

 private:
  std::string file_;
  std::vector<error> errors_;
  std::size_t surplus_ = 0;
};

/// Parses one document. Empty, with at least one error added, where the text has no usable tree; a tree may
/// come along with errors as well, so that the keys' own errors show in the same run.
std::optional<node> parse(std::string_view text, error_list& errors);

}  // namespace exeat::config::yaml
