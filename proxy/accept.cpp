#include <algorithm>
#include <optional>

#include "proxy/refusal.hpp"

namespace exeat::proxy {
namespace {

constexpr char lower(char c) noexcept {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool equals(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, {}, lower, lower);
}

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// Cuts what stands before the next `separator` outside a quoted string off `rest`.
std::string_view cut(std::string_view& rest, char separator) noexcept {
  bool quoted = false;
  std::size_t i = 0;
  for (; i < rest.size(); ++i) {
    if (quoted && rest[i] == '\\') {
      ++i;
    } else if (rest[i] == '"') {
      quoted = !quoted;
    } else if (!quoted && rest[i] == separator) {
      break;
    }
  }
  i = std::min(i, rest.size());
  const auto piece = rest.substr(0, i);
  rest.remove_prefix(std::min(i + 1, rest.size()));
  return trimmed(piece);
}

// RFC 9110 12.4.2, in thousandths.
std::optional<int> weight_of(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return std::nullopt;
  if (text.size() > 1 && text[1] != '.') return std::nullopt;
  int weight = (text[0] - '0') * 1000;
  int unit = 100;
  for (const char c : text.substr(std::min<std::size_t>(2, text.size()))) {
    if (c < '0' || c > '9') return std::nullopt;
    weight += (c - '0') * unit;
    unit /= 10;
  }
  if (weight > 1000) return std::nullopt;
  return weight;
}

std::optional<int> weight_of_element(std::string_view parameters) noexcept {
  while (!parameters.empty()) {
    const auto parameter = cut(parameters, ';');
    if (parameter.size() >= 2 && lower(parameter[0]) == 'q' && parameter[1] == '=')
      return weight_of(parameter.substr(2));
  }
  return 1000;
}

}  // namespace

bool accept_wants_json(std::string_view accept) noexcept {
  if (accept.empty() || accept == "*/*") return false;
  int json = -1;
  bool json_before_text = false;
  // By how specifically the range names text/plain: */*, text/*, text/plain.
  int text = -1;
  int text_rank = 0;
  while (!accept.empty()) {
    auto element = cut(accept, ',');
    if (element.empty()) continue;
    const auto type = cut(element, ';');
    const auto weight = weight_of_element(element);
    if (!weight) continue;
    if (equals(type, "application/json") ||
        (type.size() > 5 && equals(type.substr(type.size() - 5), "+json"))) {
      json = std::max(json, *weight);
      json_before_text = json_before_text || text_rank < 2;
      continue;
    }
    const int rank = equals(type, "text/plain") ? 3
                     : equals(type, "text/*")   ? 2
                     : equals(type, "*/*")      ? 1
                                                : 0;
    if (rank > text_rank || (rank != 0 && rank == text_rank && *weight > text)) {
      text = *weight;
      text_rank = rank;
    }
  }
  if (json <= 0) return false;
  if (json != text) return json > text;
  return text_rank < 2 || json_before_text;
}

}  // namespace exeat::proxy
