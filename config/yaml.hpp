// YAML of the plain kind: maps, lists and scalars with their places; nothing that means something else
// than it looks (anchors, aliases, tags, merge keys, repeated keys, a second document).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
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
  /// The key whose value is being read, for messages about the value.
  const std::string& key() const noexcept { return key_; }
  bool empty() const noexcept { return errors_.empty(); }
  const std::string& file() const noexcept { return file_; }
  allowlist::mark mark(position at) const { return {file_, at.line, at.column}; }
  /// In the order of the file.
  std::vector<error> take();

 private:
  friend class key_scope;
  std::string file_;
  std::string key_;
  std::vector<error> errors_;
  std::size_t surplus_ = 0;
};

/// Makes `key` the key of an error_list for one scope.
class key_scope {
 public:
  key_scope(error_list& errors, std::string key)
      : errors_(errors), before_(std::exchange(errors.key_, std::move(key))) {}
  ~key_scope() { errors_.key_ = std::move(before_); }
  key_scope(const key_scope&) = delete;
  key_scope& operator=(const key_scope&) = delete;

 private:
  error_list& errors_;
  std::string before_;
};

/// Parses one document. Empty, with at least one error added, where the text has no usable tree; a tree may
/// come along with errors as well, so that the keys' own errors show in the same run.
std::optional<node> parse(std::string_view text, error_list& errors);

}  // namespace exeat::config::yaml
