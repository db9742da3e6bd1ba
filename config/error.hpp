// What is wrong with a file, as a person needs to read it.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/rule.hpp"

namespace exeat::config {

enum class error_kind : std::uint8_t {
  invalid,         ///< the text is not a valid file: syntax, keys, values, contradictions
  unreadable,      ///< the file cannot be opened or read
  untrusted_file,  ///< somebody else may write the file or a directory above it
};
/// "invalid-file", "unreadable-file", "policy-untrusted-file".
std::string_view code_of(error_kind kind) noexcept;

/// One mistake in one place.
struct error {
  error_kind kind = error_kind::invalid;
  /// Line and column count from 1; 0 where the whole file (or a flag of the command line) is meant.
  allowlist::mark where;
  /// The offending text as it stands in the file, cut to 120 octets; may be empty. Escaped: printable.
  std::string text;
  /// One sentence without a full stop.
  std::string message;
  /// The nearest valid word; empty where none is near.
  std::string nearest;

  /// "policy.yaml:4:9: unknown key `hots` (did you mean `host`?)": one line, safe for a terminal.
  std::string to_string() const;
};

/// One line each.
std::string to_string(std::span<const error> errors);

/// The word of `words` that `text` was probably meant to be: the smallest edit distance, at most a third
/// of its length (at least one); empty where none is that near.
std::string nearest_word(std::string_view text, std::span<const std::string_view> words);

/// Printable ASCII and valid UTF-8 stay; controls become \xNN; cut to `limit` octets, with "..." behind.
std::string printable(std::string_view text, std::size_t limit = 120);

}  // namespace exeat::config
