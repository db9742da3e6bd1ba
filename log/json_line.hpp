// Members of a line of the log, as it is read again.
#pragma once
#include <boost/json.hpp>
#include <cstdint>
#include <string_view>

namespace exeat::log {

/// A line longer than this is none of the log's.
inline constexpr std::size_t line_max = 64U << 10;

/// The text of a member; empty where there is none, or it is no text. Lives as long as the object.
inline std::string_view string_at(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  const auto* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view{} : std::string_view(text->data(), text->size());
}

/// The number of a member; 0 where there is none, or it is none that counts something.
inline std::uint64_t number_at(const boost::json::object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr) return 0;
  if (const auto* number = value->if_uint64()) return *number;
  if (const auto* number = value->if_int64()) return *number > 0 ? static_cast<std::uint64_t>(*number) : 0;
  return 0;
}

}  // namespace exeat::log
