#include "proxy/meter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <new>

#include "core/units.hpp"

namespace exeat::proxy {

void meter::add(const allowlist::transfer_limits& limits, budget_book& book, std::string_view key,
                std::string_view whose) {
  const auto add_one = [&](way way, const std::optional<std::uint64_t>& limit) {
    if (!limit) return;
    lines_[static_cast<std::size_t>(way)].push_back({book.octets(key, way), *limit, std::string(whose)});
  };
  add_one(way::up, limits.upload);
  add_one(way::down, limits.download);
}

std::uint64_t meter::claim(way way, std::uint64_t wanted) const noexcept {
  const auto& lines = of(way);
  auto got = wanted;
  for (std::size_t i = 0; i < lines.size() && got != 0; ++i) {
    const auto limit = enforced_ ? lines[i].limit : std::numeric_limits<std::uint64_t>::max();
    const auto here = lines[i].budget->claim(got, limit);
    if (here == got) continue;
    for (std::size_t before = 0; before < i; ++before) lines[before].budget->settle(got - here, 0);
    got = here;
  }
  return got;
}

void meter::settle(way way, std::uint64_t claimed, std::uint64_t used) const noexcept {
  if (claimed == 0) return;
  for (const auto& line : of(way)) line.budget->settle(claimed, used);
}

const meter::line* meter::short_line(way way, std::uint64_t wanted) const noexcept {
  const auto& lines = of(way);
  const auto found = std::ranges::find_if(lines, [wanted](const line& line) {
    const auto used = line.budget->used();
    return used > line.limit || wanted > line.limit - used;
  });
  return found == lines.end() ? nullptr : &*found;
}

bool meter::is_short(way way, std::uint64_t wanted) const noexcept {
  return short_line(way, wanted) != nullptr;
}

bool meter::is_over(way way) const noexcept {
  return is_short(way, 0);
}

std::string meter::shortage(way way, std::uint64_t wanted) const noexcept try {
  const auto* line = short_line(way, wanted);
  if (line == nullptr) return {};
  const auto used = line->budget->used();
  const auto limit = fmt::format("{} {} of {}", way == way::up ? "upload_limit" : "download_limit",
                                 core::size_to_string(line->limit), line->whose);
  if (used >= line->limit) return limit + " is used up";
  return fmt::format("{}: {} are left, {} were to pass", limit, core::size_to_string(line->limit - used),
                     core::size_to_string(wanted));
} catch (const std::bad_alloc&) {
  return {};
}

}  // namespace exeat::proxy
