#include "proxy/request_meter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace exeat::proxy {

void request_meter::add(const allowlist::transfer_limits& limits, budget_book& book, std::string_view key,
                        std::string_view whose) {
  if (limits.requests) lines_.push_back({book.requests(key), *limits.requests, std::string(whose)});
}

bool request_meter::charge() const noexcept {
  bool within = true;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const auto& line = lines_[i];
    const auto limit = enforced_ ? line.limit : std::numeric_limits<std::uint64_t>::max();
    if (line.budget->claim(1, limit) == 0) {
      for (std::size_t before = 0; before < i; ++before) lines_[before].budget->settle(1, 0);
      return false;
    }
    within &= line.budget->used() < line.limit;
  }
  for (const auto& line : lines_) line.budget->settle(1, 1);
  return within || enforced_;
}

const meter::line* request_meter::used_up_line() const noexcept {
  const auto found =
      std::ranges::find_if(lines_, [](const meter::line& line) { return line.budget->used() >= line.limit; });
  return found == lines_.end() ? nullptr : &*found;
}

std::string request_meter::shortage() const {
  const auto* line = used_up_line();
  if (line == nullptr) return {};
  return fmt::format("request_limit {} of {} is used up", line->limit, line->whose);
}

}  // namespace exeat::proxy
