#include "allowlist/pattern.hpp"

#include <idn2.h>
#include <libpsl.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "core/ip_address.hpp"

namespace exeat::allowlist {
namespace {

// Longer than any name can be in UTF-8 before conversion; keeps a hostile file from feeding libidn2
// megabytes.
constexpr std::size_t longest_text = 1024;

bool is_ascii(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// UTS 46 non-transitional, then IDNA 2008: ß stays a character of its own, as browsers have it.
std::optional<std::string> to_a_labels(std::string_view text) {
  const std::string terminated(text);
  std::uint8_t* raw = nullptr;
  const int code = idn2_lookup_u8(reinterpret_cast<const std::uint8_t*>(terminated.c_str()), &raw,
                                  IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL);
  const std::unique_ptr<std::uint8_t, decltype([](std::uint8_t* p) { idn2_free(p); })> owned(raw);
  if (code != IDN2_OK || raw == nullptr) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(raw));
}

bool is_public_suffix(const core::host_name& name) {
  // The built-in list, never a file of the machine that somebody could edit. An unknown
  // top-level domain is a suffix by the list's own prevailing rule `*`.
  const psl_ctx_t* list = psl_builtin();
  if (list == nullptr) return true;
  const std::string text(name.view());
  return psl_is_public_suffix(list, text.c_str()) != 0;
}

bool is_address_text(std::string_view text) {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  return core::cidr::parse(text).has_value() || core::ends_in_number(text);
}

// `text` holds a star somewhere behind the leftmost label's own wildcard.
pattern_error misplaced_star(std::string_view text) {
  std::size_t start = 0;
  while (start <= text.size()) {
    const auto end = std::min(text.find('.', start), text.size());
    const auto label = text.substr(start, end - start);
    if (label == "*" || label == "**") return pattern_error::wildcard_not_leftmost;
    start = end + 1;
  }
  return pattern_error::wildcard_in_label;
}

}  // namespace

std::string_view describe(pattern_error error) noexcept {
  switch (error) {
    case pattern_error::bad_name:
      return "not a host name: labels of letters, digits, '-' and '_' joined by dots, without scheme, port "
             "or "
             "path";
    case pattern_error::bad_idn:
      return "not a valid internationalised name (IDNA 2008, UTS 46 non-transitional)";
    case pattern_error::wildcard_alone:
      return "a wildcard alone would cover every name; put a domain behind it";
    case pattern_error::wildcard_not_leftmost:
      return "a wildcard may stand only as the leftmost label";
    case pattern_error::wildcard_in_label:
      return "a wildcard must be a whole label: '*.' for one label or '**.' for one or more";
    case pattern_error::wildcard_on_suffix:
      return "a wildcard on a public suffix would cover names of unrelated owners; name the domain in front "
             "of "
             "the suffix";
    case pattern_error::ip_literal:
      return "an IP address is never matched by a host rule; use `cidr`";
  }
  return "not a host pattern";
}

std::expected<host_pattern, pattern_error> host_pattern::parse(std::string_view text, bool allow_suffix) {
  if (text.empty() || text.size() > longest_text || text.find('\0') != std::string_view::npos)
    return std::unexpected(pattern_error::bad_name);

  auto reach = depth::exact;
  auto rest = text;
  if (text == "*" || text == "**" || text == "*." || text == "**.")
    return std::unexpected(pattern_error::wildcard_alone);
  if (rest.starts_with("**.")) {
    reach = depth::any_labels;
    rest.remove_prefix(3);
  } else if (rest.starts_with("*.")) {
    reach = depth::one_label;
    rest.remove_prefix(2);
  }
  if (rest.find('*') != std::string_view::npos) return std::unexpected(misplaced_star(rest));
  if (is_address_text(rest)) return std::unexpected(pattern_error::ip_literal);

  std::string converted;
  if (!is_ascii(rest)) {
    auto labels = to_a_labels(rest);
    if (!labels) return std::unexpected(pattern_error::bad_idn);
    converted = std::move(*labels);
    rest = converted;
  }
  const auto name = core::host_name::parse(rest);
  if (!name) {
    return std::unexpected(name.error() == core::host_error::ip_literal ? pattern_error::ip_literal
                                                                        : pattern_error::bad_name);
  }
  if (reach != depth::exact && !allow_suffix && is_public_suffix(*name))
    return std::unexpected(pattern_error::wildcard_on_suffix);
  return host_pattern{*name, reach, false};
}

bool host_pattern::matches(const core::host_name& other) const noexcept {
  const auto mine = name.view();
  const auto theirs = other.view();
  if (depth == depth::exact || (apex && mine == theirs)) return mine == theirs;
  if (theirs.size() < mine.size() + 2 || !theirs.ends_with(mine)) return false;
  const auto front = theirs.substr(0, theirs.size() - mine.size());
  if (front.back() != '.') return false;
  return depth == depth::any_labels || front.find('.') == front.size() - 1;
}

std::string host_pattern::to_string() const {
  std::string out;
  if (depth == depth::one_label) out = "*.";
  if (depth == depth::any_labels) out = "**.";
  return out.append(name.view());
}

}  // namespace exeat::allowlist
