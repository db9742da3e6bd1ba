#include "config/error.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "config/utf8.hpp"

namespace exeat::config {
namespace {

// Damerau-Levenshtein over single octets, adjacent swaps counted once; both words are short.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), now(b.size() + 1);
  std::iota(last.begin(), last.end(), 0U);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t swap = a[i - 1] == b[j - 1] ? 0 : 1;
      now[j] = std::min({last[j] + 1, now[j - 1] + 1, last[j - 1] + swap});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        now[j] = std::min(now[j], before[j - 2] + 1);
      }
    }
    std::swap(before, last);
    std::swap(last, now);
  }
  return last[b.size()];
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

}  // namespace

std::string_view code_of(error_kind kind) noexcept {
  switch (kind) {
    case error_kind::invalid:
      return "invalid-file";
    case error_kind::unreadable:
      return "unreadable-file";
    case error_kind::untrusted_file:
      return "policy-untrusted-file";
  }
  return "invalid-file";
}

std::string error::to_string() const {
  std::string out = printable(where.file, 1024);
  if (where.line > 0) out += fmt::format(":{}:{}", where.line, where.column);
  if (!out.empty()) out += ": ";
  if (kind == error_kind::untrusted_file) out += fmt::format("{}: ", code_of(kind));
  out += message;
  if (!text.empty()) out += fmt::format(": `{}`", text);
  if (!nearest.empty()) out += fmt::format(" (did you mean `{}`?)", nearest);
  return out;
}

std::string to_string(std::span<const error> errors) {
  std::string out;
  for (const auto& e : errors) {
    out += e.to_string();
    out += '\n';
  }
  return out;
}

std::string nearest_word(std::string_view text, std::span<const std::string_view> words) {
  if (text.empty() || text.size() > 64) return {};
  const auto wanted = lower(text);
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(1, text.size() / 3) + 1;
  for (const auto word : words) {
    const auto distance = edit_distance(wanted, lower(word));
    if (distance < best_distance) {
      best = word;
      best_distance = distance;
    }
  }
  return std::string(best);
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const auto size = utf8_sequence(text.substr(at));
    const auto c = static_cast<unsigned char>(text[at]);
    std::string piece;
    if (size == 0 || c < 0x20 || c == 0x7f || hides_text(utf8_value(text.substr(at, size)))) {
      piece = fmt::format("\\x{:02x}", c);
      ++at;
    } else {
      piece = text.substr(at, size);
      at += size;
    }
    if (out.size() + piece.size() > limit) return out + "...";
    out += piece;
  }
  return out;
}

}  // namespace exeat::config
