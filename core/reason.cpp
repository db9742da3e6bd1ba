#include "core/reason.hpp"

#include <array>

namespace exeat::core {
namespace {
constexpr std::array<reason_row, reason_count> table{{
#define EXEAT_REASON_ROW(name, code, kind, status, proxy_error, doc) \
  {reason::name, code, reason_kind::kind, status, proxy_error, doc},
    EXEAT_REASONS(EXEAT_REASON_ROW)
#undef EXEAT_REASON_ROW
}};
}  // namespace

std::span<const reason_row> reasons() noexcept {
  return table;
}

const reason_row& row_of(reason value) noexcept {
  return table[static_cast<std::size_t>(value)];
}

std::optional<reason> reason_of(std::string_view code) noexcept {
  for (const auto& row : table) {
    if (row.code == code) return row.value;
  }
  return std::nullopt;
}

}  // namespace exeat::core
