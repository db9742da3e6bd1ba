// The body of a POST: one flat JSON object of strings, and nothing that could be read in two ways.
#pragma once
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace exeat::admin {

class json_body {
 public:
  /// Strict RFC 8259; every member is one of `known`, stands once and holds a string of at most 512 octets.
  /// An empty text is an empty object. The error is a sentence.
  static std::expected<json_body, std::string> parse(std::string_view text,
                                                     std::span<const std::string_view> known);

  /// Null where the member does not stand in it.
  const std::string* find(std::string_view name) const noexcept;

 private:
  std::vector<std::pair<std::string, std::string>> members_;
};

}  // namespace exeat::admin
