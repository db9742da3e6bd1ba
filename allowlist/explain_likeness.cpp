#include "allowlist/explain_likeness.hpp"

#include <idn2.h>

#include <algorithm>
#include <memory>

#include "allowlist/explain.hpp"
#include "allowlist/pattern.hpp"
#include "core/safe_text.hpp"

namespace exeat::allowlist {
namespace {

struct confusable {
  char32_t letter;
  char32_t looks_like;
};
// The lower-case letters of Cyrillic, Greek and Latin that a browser's font shows like an ASCII one
// (Unicode TR 39, confusables.txt; the ones seen in registered lookalikes).
constexpr confusable table[]{
    {U'0', U'o'},      {U'1', U'l'},      {U'i', U'l'},      {U'\u0131', U'l'}, {U'\u0430', U'a'},
    {U'\u0435', U'e'}, {U'\u043e', U'o'}, {U'\u0440', U'p'}, {U'\u0441', U'c'}, {U'\u0443', U'y'},
    {U'\u0445', U'x'}, {U'\u0455', U's'}, {U'\u0456', U'l'}, {U'\u0458', U'j'}, {U'\u04bb', U'h'},
    {U'\u0501', U'd'}, {U'\u051b', U'q'}, {U'\u051d', U'w'}, {U'\u04cf', U'l'}, {U'\u03b1', U'a'},
    {U'\u03b9', U'l'}, {U'\u03bd', U'v'}, {U'\u03bf', U'o'}, {U'\u03c1', U'p'}, {U'\u03c5', U'u'},
    {U'\u0251', U'a'}, {U'\u0261', U'g'},
};

char32_t folded(char32_t letter) {
  for (const auto& row : table) {
    if (row.letter == letter) return row.looks_like;
  }
  return letter;
}

std::u32string skeleton_of(const std::u32string& letters) {
  std::u32string out;
  for (std::size_t i = 0; i < letters.size(); ++i) {
    const char32_t c = folded(letters[i]);
    const char32_t next = i + 1 < letters.size() ? folded(letters[i + 1]) : U'\0';
    if (c == U'r' && next == U'n') {
      out += U'm';
      ++i;
    } else if (c == U'v' && next == U'v') {
      out += U'w';
      ++i;
    } else {
      out += c;
    }
  }
  return out;
}

bool is_one_away(const std::u32string& a, const std::u32string& b) {
  const auto& shorter = a.size() <= b.size() ? a : b;
  const auto& longer = a.size() <= b.size() ? b : a;
  constexpr std::size_t least = 6;
  if (longer.size() - shorter.size() > 1 || longer.size() < least) return false;
  const auto [at_shorter, at_longer] = std::ranges::mismatch(shorter, longer);
  const auto rest = [](auto from, const std::u32string& text, std::ptrdiff_t skip) {
    return std::u32string_view(text).substr(static_cast<std::size_t>(from - text.begin() + skip));
  };
  if (shorter.size() < longer.size()) return rest(at_shorter, shorter, 0) == rest(at_longer, longer, 1);
  if (at_shorter == shorter.end()) return false;  // equal
  if (rest(at_shorter, shorter, 1) == rest(at_longer, longer, 1)) return true;
  const auto left = rest(at_shorter, shorter, 0);
  const auto right = rest(at_longer, longer, 0);
  return left.size() >= 2 && left[0] == right[1] && left[1] == right[0] && left.substr(2) == right.substr(2);
}

}  // namespace

std::string u_labels_of(const core::host_name& name) {
  if (name.view().find("xn--") == std::string_view::npos) return {};
  const std::string text(name.view());
  char* raw = nullptr;
  const int code = idn2_to_unicode_8z8z(text.c_str(), &raw, 0);
  const std::unique_ptr<char, decltype([](char* p) { idn2_free(p); })> owned(raw);
  if (code != IDN2_OK || raw == nullptr || text == raw) return {};
  // Only what a policy could spell in this way: that leaves out direction marks and the like.
  const auto back = host_pattern::parse(raw);
  if (!back || back->name != name) return {};
  return raw;
}

name_shape shape_of(std::string_view ascii_name) {
  name_shape out;
  out.letters.assign(ascii_name.begin(), ascii_name.end());
  if (ascii_name.find("xn--") != std::string_view::npos) {
    if (const auto name = core::host_name::parse(ascii_name)) {
      const auto unicode = u_labels_of(*name);
      if (!unicode.empty()) out.letters.clear();
      for (std::string_view rest = unicode; !rest.empty();) {
        const auto point = core::detail::decode_utf8(rest);
        if (point.size == 0) break;
        out.letters += point.value;
        rest.remove_prefix(point.size);
      }
    }
  }
  out.skeleton = skeleton_of(out.letters);
  return out;
}

name_shape shape_of(const core::host_name& name) {
  return shape_of(name.view());
}

likeness likeness_of(const name_shape& a, const name_shape& b) {
  if (a.letters == b.letters) return likeness::none;
  if (a.skeleton == b.skeleton) return likeness::reads_alike;
  return is_one_away(a.letters, b.letters) ? likeness::one_away : likeness::none;
}

}  // namespace exeat::allowlist
