// Patterns of names in client certificates: "spiffe://ci.example/{job}/{phase}".
#pragma once
#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace exeat::config {

/// What the placeholders of a pattern stand for in one name; views into the name, empty where the pattern has
/// no such placeholder.
struct pattern_values {
  std::string_view phase;
  std::string_view job;
  friend bool operator==(const pattern_values&, const pattern_values&) = default;
};

/// A pattern cut at its placeholders. Views into the text that it was parsed from.
class certificate_pattern {
 public:
  /// `{phase}` and `{job}`, each at most once; no other brace. Between two placeholders stands at least one
  /// character that neither can hold, so that a name can be read in one way only. The error is a sentence.
  static std::expected<certificate_pattern, std::string> parse(std::string_view text);

  bool has_phase() const noexcept { return first_ == 'p' || second_ == 'p'; }
  bool has_job() const noexcept { return first_ == 'j' || second_ == 'j'; }

  /// Matches the whole name, octet by octet; a placeholder takes one or more of [a-z0-9-].
  std::optional<pattern_values> match(std::string_view name) const noexcept;

 private:
  std::string_view head_;    // before the first placeholder
  std::string_view middle_;  // between the two
  std::string_view tail_;    // behind the last
  char first_ = 0;           // 'p', 'j', or 0 for none
  char second_ = 0;
};

}  // namespace exeat::config
