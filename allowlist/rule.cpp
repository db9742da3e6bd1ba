#include "allowlist/rule.hpp"

#include <algorithm>

namespace exeat::allowlist {

std::string mark::to_string() const {
  if (line == 0) return file;
  return (file.empty() ? "line " : file + ":") + std::to_string(line);
}

port_set port_set::any() {
  return of({{1, 65535}});
}

port_set port_set::of(std::vector<port_range> ranges) {
  std::erase_if(ranges, [](const port_range& r) { return r.last == 0 || r.first > r.last; });
  for (auto& range : ranges) range.first = std::max<std::uint16_t>(range.first, 1);
  std::ranges::sort(ranges);
  port_set out;
  for (const auto& range : ranges) {
    if (!out.ranges_.empty() && range.first <= std::uint32_t{out.ranges_.back().last} + 1) {
      out.ranges_.back().last = std::max(out.ranges_.back().last, range.last);
    } else {
      out.ranges_.push_back(range);
    }
  }
  return out;
}

bool port_set::contains(std::uint16_t port) const noexcept {
  return std::ranges::any_of(ranges_,
                             [port](const port_range& r) { return r.first <= port && port <= r.last; });
}

bool port_set::overlaps(const port_set& other) const noexcept {
  auto a = ranges_.begin();
  auto b = other.ranges_.begin();
  while (a != ranges_.end() && b != other.ranges_.end()) {
    if (a->last < b->first) {
      ++a;
    } else if (b->last < a->first) {
      ++b;
    } else {
      return true;
    }
  }
  return false;
}

bool port_set::covers(const port_set& other) const noexcept {
  // Ranges are disjoint and never adjacent, so that each of the other's must lie in one of ours.
  return std::ranges::all_of(other.ranges_, [this](const port_range& r) {
    return std::ranges::any_of(
        ranges_, [&](const port_range& mine) { return mine.first <= r.first && r.last <= mine.last; });
  });
}

std::uint32_t port_set::size() const noexcept {
  std::uint32_t count = 0;
  for (const auto& range : ranges_) count += std::uint32_t{range.last} - range.first + 1U;
  return count;
}

std::string port_set::to_string() const {
  if (ranges_.size() == 1 && ranges_[0].first == 1 && ranges_[0].last == 65535) return "any";
  std::string out;
  for (const auto& range : ranges_) {
    if (!out.empty()) out += ',';
    out += std::to_string(range.first);
    if (range.last != range.first) out.append("-").append(std::to_string(range.last));
  }
  return out;
}

std::string what_text(const rule& rule) {
  if (const auto* pattern = std::get_if<host_pattern>(&rule.what)) return pattern->to_string();
  return std::get<core::cidr>(rule.what).to_string();
}

}  // namespace exeat::allowlist
