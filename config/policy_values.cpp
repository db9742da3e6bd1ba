#include "config/policy_values.hpp"

#include <fmt/format.h>

#include <charconv>

#include "config/values.hpp"

namespace exeat::config {
namespace {

// Digits only, all of `text`.
std::optional<unsigned> digits(std::string_view text) {
  unsigned value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<allowlist::port_range> read_range(const yaml::node& node, yaml::error_list& errors) {
  constexpr std::string_view wanted = "a port from 1 to 65535, a range such as 8000-8100, or any";
  if (node.kind == yaml::node_kind::scalar) {
    const std::string_view text = node.text;
    const auto dash = text.find('-');
    const auto first = digits(text.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : digits(text.substr(dash + 1));
    if (first && last && *first >= 1 && *last <= 65535) {
      if (*first <= *last) {
        return allowlist::port_range{static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)};
      }
      errors.add(node.at, text, "the range ends before it begins");
      return std::nullopt;
    }
  }
  expected_but_found(node, wanted, errors);
  return std::nullopt;
}

bool is_any(const yaml::node& node) {
  return node.kind == yaml::node_kind::scalar && node.text == "any";
}

}  // namespace

std::optional<allowlist::host_pattern> read_host(const yaml::node& node, bool allow_suffix,
                                                 yaml::error_list& errors) {
  if (node.kind != yaml::node_kind::scalar) {
    expected_but_found(node, "a host name", errors);
    return std::nullopt;
  }
  const auto pattern = allowlist::host_pattern::parse(node.text, allow_suffix);
  if (pattern) return *pattern;
  errors.add(node.at, node.text, std::string(describe(pattern.error())));
  return std::nullopt;
}

std::optional<core::cidr> read_cidr(const yaml::node& node, yaml::error_list& errors) {
  if (node.kind != yaml::node_kind::scalar) {
    expected_but_found(node, "a prefix such as 10.20.0.0/24", errors);
    return std::nullopt;
  }
  const auto prefix = core::cidr::parse(node.text);
  if (prefix) return *prefix;
  errors.add(node.at, node.text, std::string(describe(prefix.error())));
  return std::nullopt;
}

std::optional<allowlist::port_set> read_ports(const yaml::node& node, yaml::error_list& errors) {
  if (is_any(node)) return allowlist::port_set::any();
  if (node.kind != yaml::node_kind::sequence) {
    const auto range = read_range(node, errors);
    if (!range) return std::nullopt;
    return allowlist::port_set::of({*range});
  }
  if (node.items.empty()) {
    errors.add(node.at, {}, "an empty list of ports admits nothing: leave `ports` out or name some");
    return std::nullopt;
  }
  std::vector<allowlist::port_range> ranges;
  bool valid = true;
  for (const auto& item : node.items) {
    if (is_any(item)) {
      errors.add(item.at, item.text, "stands alone (`ports: any`), not in a list");
      valid = false;
    } else if (const auto range = read_range(item, errors)) {
      ranges.push_back(*range);
    } else {
      valid = false;
    }
  }
  if (!valid) return std::nullopt;
  return allowlist::port_set::of(std::move(ranges));
}

std::optional<std::chrono::year_month_day> read_date(const yaml::node& node, yaml::error_list& errors) {
  if (node.kind == yaml::node_kind::scalar) {
    const std::string_view text = node.text;
    if (text.size() == 10 && text[4] == '-' && text[7] == '-') {
      const auto year = digits(text.substr(0, 4));
      const auto month = digits(text.substr(5, 2));
      const auto day = digits(text.substr(8, 2));
      if (year && month && day) {
        const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                               std::chrono::month(*month), std::chrono::day(*day)};
        if (date.ok()) return date;
        errors.add(node.at, text, "no such day in the calendar");
        return std::nullopt;
      }
    }
  }
  expected_but_found(node, "a date as YYYY-MM-DD", errors);
  return std::nullopt;
}

}  // namespace exeat::config
