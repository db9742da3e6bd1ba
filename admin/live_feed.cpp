#include "admin/live_feed.hpp"

#include <fmt/format.h>

#include <chrono>
#include <iterator>
#include <utility>

namespace exeat::admin {
namespace {

constexpr std::size_t batch_octets = 256 * 1024;

std::size_t size_of(const live_item& item) {
  return item.phase.size() + item.words.size() + item.line.size() + 64;
}

bool fits(const live_item& item, const live_filter& filter) {
  if (filter.refused_only && !item.refused) return false;
  if (!filter.phase.empty() && item.phase != filter.phase) return false;
  return filter.words.empty() || item.words.contains(filter.words);
}

}  // namespace

bool live_feed::wants(bool refused) noexcept {
  if (watchers_.load(std::memory_order_relaxed) > 0) return true;
  if (refused) {
    const auto now =
        std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    if (std::exchange(second_, now) != now) in_second_ = 0;
    if (in_second_++ < unwatched_in_a_second) return true;
  }
  ++skipped_;
  return false;
}

void live_feed::publish(live_item item) {
  {
    const std::scoped_lock lock(mutex_);
    octets_ += size_of(item);
    items_.push_back({.number = ++last_, .skipped = std::exchange(skipped_, 0), .item = std::move(item)});
    while (items_.size() > most_items || octets_ > most_octets) {
      octets_ -= size_of(items_.front().item);
      items_.pop_front();
    }
  }
  if (watchers_.load(std::memory_order_relaxed) == 0) return;
  const std::scoped_lock lock(bell_mutex_);
  if (bell_) bell_();
}

live_feed::batch live_feed::read(const live_filter& filter) const {
  const std::scoped_lock lock(mutex_);
  // A number from before a restart of ours says nothing.
  const bool resumes = filter.after && *filter.after <= last_;
  batch out{.text = {}, .next = resumes ? *filter.after : 0};
  if (items_.empty() || out.next >= last_) {
    out.next = last_;
    return out;
  }
  const auto oldest = items_.front().number;
  std::uint64_t missed = resumes && out.next + 1 < oldest ? oldest - out.next - 1 : 0;
  const auto into = std::back_inserter(out.text);
  for (auto at = out.next + 1 > oldest ? out.next + 1 - oldest : 0; at < items_.size(); ++at) {
    const auto& [number, skipped, item] = items_[at];
    if (resumes) missed += skipped;
    out.next = number;
    if (!fits(item, filter)) continue;
    if (missed > 0) fmt::format_to(into, "event: gap\ndata: {{\"missed\":{}}}\n\n", std::exchange(missed, 0));
    fmt::format_to(into, "id: {}\nevent: decision\ndata: {}\n\n", number, item.line);
    if (out.text.size() >= batch_octets) break;
  }
  if (missed > 0) fmt::format_to(into, "id: {}\nevent: gap\ndata: {{\"missed\":{}}}\n\n", out.next, missed);
  return out;
}

}  // namespace exeat::admin
