#include "config/values.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/units.hpp"

namespace exeat::config {

namespace {

std::string expected(std::string_view wanted, const yaml::error_list& errors) {
  const auto& key = errors.key();
  return key.empty() ? fmt::format("expected {}, found", wanted)
                     : fmt::format("`{}`: expected {}, found", printable(key), wanted);
}

}  // namespace

void expected_but_found(const yaml::node& node, std::string_view wanted, yaml::error_list& errors) {
  auto message = expected(wanted, errors);
  if (node.kind == yaml::node_kind::scalar && !node.text.empty()) {
    errors.add(node.at, node.text, std::move(message));
  } else {
    message +=
        node.kind == yaml::node_kind::scalar ? " an empty text" : fmt::format(" {}", describe(node.kind));
    errors.add(node.at, {}, std::move(message));
  }
}

std::optional<bool> read_bool(const yaml::node& node, yaml::error_list& errors) {
  if (node.kind == yaml::node_kind::scalar && !node.quoted) {
    if (node.text == "true") return true;
    if (node.text == "false") return false;
  }
  expected_but_found(node, "true or false", errors);
  return std::nullopt;
}

std::optional<std::string> read_text(const yaml::node& node, std::string_view wanted, std::size_t limit,
                                     yaml::error_list& errors) {
  if (node.kind != yaml::node_kind::scalar || node.text.empty()) {
    expected_but_found(node, wanted, errors);
    return std::nullopt;
  }
  // A quoted scalar may spell controls as escapes, behind the check of the file's octets.
  const auto is_control = [](char c) { return (static_cast<unsigned char>(c) < 0x20) || c == 0x7f; };
  if (std::ranges::any_of(node.text, is_control)) {
    errors.add(node.at, node.text,
               expected(fmt::format("{} in one line without control characters", wanted), errors));
    return std::nullopt;
  }
  if (node.text.size() > limit) {
    errors.add(node.at, node.text, fmt::format("longer than {} octets", limit));
    return std::nullopt;
  }
  return node.text;
}

std::optional<std::uint64_t> read_count(const yaml::node& node, std::uint64_t min, std::uint64_t max,
                                        yaml::error_list& errors) {
  if (node.kind == yaml::node_kind::scalar) {
    std::uint64_t value = 0;
    const auto* end = node.text.data() + node.text.size();
    const auto [stop, error] = std::from_chars(node.text.data(), end, value);
    if (error == std::errc{} && stop == end && value >= min && value <= max) return value;
  }
  expected_but_found(node, fmt::format("a number from {} to {}", min, max), errors);
  return std::nullopt;
}

std::optional<std::chrono::milliseconds> read_duration(const yaml::node& node, std::chrono::milliseconds min,
                                                       std::chrono::milliseconds max, bool zero,
                                                       yaml::error_list& errors) {
  if (node.kind != yaml::node_kind::scalar) {
    expected_but_found(node, "a duration such as 5s", errors);
    return std::nullopt;
  }
  const auto value = core::parse_duration(node.text);
  if (!value) {
    expected_but_found(node, "a duration: digits and one of ms, s, m, h, d (as 250ms, 5s, 10m)", errors);
    return std::nullopt;
  }
  if ((zero && value->count() == 0) || (*value >= min && *value <= max)) return value;
  expected_but_found(node,
                     fmt::format("a duration from {} to {}{}", core::to_string(min), core::to_string(max),
                                 zero ? ", or 0" : ""),
                     errors);
  return std::nullopt;
}

std::optional<std::uint64_t> read_size(const yaml::node& node, std::uint64_t min, std::uint64_t max,
                                       bool zero, yaml::error_list& errors) {
  if (node.kind != yaml::node_kind::scalar) {
    expected_but_found(node, "a size such as 16MiB", errors);
    return std::nullopt;
  }
  const auto value = core::parse_size(node.text);
  if (!value) {
    expected_but_found(node, "a size: digits and one of kB, MB, GB, KiB, MiB, GiB (as 64KiB, 20MiB)", errors);
    return std::nullopt;
  }
  if ((zero && *value == 0) || (*value >= min && *value <= max)) return value;
  expected_but_found(node,
                     fmt::format("a size from {} to {}{}", core::size_to_string(min),
                                 core::size_to_string(max), zero ? ", or 0" : ""),
                     errors);
  return std::nullopt;
}

std::optional<std::size_t> read_word(const yaml::node& node, std::span<const std::string_view> words,
                                     yaml::error_list& errors) {
  if (node.kind == yaml::node_kind::scalar) {
    const auto found = std::ranges::find(words, node.text);
    if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  }
  std::string wanted;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) wanted += i + 1 == words.size() ? " or " : ", ";
    wanted += words[i];
  }
  if (node.kind == yaml::node_kind::scalar) {
    errors.add(node.at, node.text, expected(wanted, errors), nearest_word(node.text, words));
  } else {
    expected_but_found(node, wanted, errors);
  }
  return std::nullopt;
}

void check_version(const yaml::node& root, yaml::error_list& errors) {
  if (root.kind != yaml::node_kind::map) return;
  const auto version = std::ranges::find(root.entries, "version", &yaml::entry::key);
  if (version == root.entries.end()) {
    errors.add({1, 1}, {}, "`version: 1` is missing");
    return;
  }
  const yaml::key_scope scope(errors, "version");
  if (version->value.kind != yaml::node_kind::scalar || version->value.text != "1") {
    expected_but_found(version->value, "version 1, which is what this program reads", errors);
  }
}

void unknown_key(const yaml::entry& entry, std::span<const std::string_view> known,
                 std::span<const refused_key> refused, yaml::error_list& errors) {
  for (const auto& row : refused) {
    if (row.key != entry.key) continue;
    errors.add(entry.at, entry.key, std::string(row.message));
    return;
  }
  errors.add(entry.at, entry.key, "unknown key", nearest_word(entry.key, known));
}

}  // namespace exeat::config
