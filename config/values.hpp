// Single values of a file: each reader reports what is wrong and where, and then returns nothing.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "config/value_schema.hpp"
#include "config/yaml.hpp"

namespace exeat::config {

/// "`timeouts.head`: expected a duration, found a list", and the like, with the text of a scalar.
void expected_but_found(const yaml::node& node, std::string_view wanted, yaml::error_list& errors);

/// Only the plain words true and false.
std::optional<bool> read_bool(const yaml::node& node, yaml::error_list& errors);
/// One line of 1 to `limit` octets.
std::optional<std::string> read_text(const yaml::node& node, std::string_view wanted, std::size_t limit,
                                     yaml::error_list& errors);
/// Decimal digits within [min, max].
std::optional<std::uint64_t> read_count(const yaml::node& node, std::uint64_t min, std::uint64_t max,
                                        yaml::error_list& errors);
/// As core::parse_duration, within [min, max]; 0 also where `zero` is set.
std::optional<std::chrono::milliseconds> read_duration(const yaml::node& node, std::chrono::milliseconds min,
                                                       std::chrono::milliseconds max, bool zero,
                                                       yaml::error_list& errors);
/// As core::parse_size, within [min, max]; 0 also where `zero` is set.
std::optional<std::uint64_t> read_size(const yaml::node& node, std::uint64_t min, std::uint64_t max,
                                       bool zero, yaml::error_list& errors);
/// One of `words`: its index.
std::optional<std::size_t> read_word(const yaml::node& node, std::span<const std::string_view> words,
                                     yaml::error_list& errors);

/// The enumerators of E in order, by the words that stand for them in a file.
template <class E, std::size_t N>
std::optional<E> read_choice(const yaml::node& node, const std::array<std::string_view, N>& words,
                             yaml::error_list& errors) {
  const auto index = read_word(node, words, errors);
  if (!index) return std::nullopt;
  return static_cast<E>(*index);
}

/// Reports `version:` where it is missing or not 1.
void check_version(const yaml::node& root, yaml::error_list& errors);

/// A key of a map that this version refuses, and why.
struct refused_key {
  std::string_view key;
  std::string_view message;
};

/// One key of a map in a file: schema, documentation and reader in one row. T is what the map is read into.
template <class T>
struct key_row {
  std::string_view key;
  value_schema schema;
  std::string_view type;      ///< for the reference pages
  std::string_view fallback;  ///< what stands where the key does not; for the reference pages
  std::string_view doc;
  void (*read)(T& into, const yaml::node& value, yaml::error_list& errors);
};

/// Reports an unknown key with the nearest of `known`, or a refused one with its message.
void unknown_key(const yaml::entry& entry, std::span<const std::string_view> known,
                 std::span<const refused_key> refused, yaml::error_list& errors);

/// Reads every entry of a map by its row. False, with an error, where `node` is no map.
template <class T>
bool read_map(T& into, const yaml::node& node, std::string_view wanted, std::span<const key_row<T>> rows,
              std::span<const refused_key> refused, yaml::error_list& errors) {
  if (node.kind != yaml::node_kind::map) {
    expected_but_found(node, wanted, errors);
    return false;
  }
  for (const auto& entry : node.entries) {
    const key_row<T>* row = nullptr;
    for (const auto& candidate : rows) {
      if (candidate.key == entry.key) row = &candidate;
    }
    if (row != nullptr) {
      const yaml::key_scope scope(errors, entry.key);
      row->read(into, entry.value, errors);
      continue;
    }
    std::vector<std::string_view> known;
    for (const auto& candidate : rows) known.push_back(candidate.key);
    unknown_key(entry, known, refused, errors);
  }
  return true;
}

}  // namespace exeat::config
