#include "log/event_ring.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "log/event_observer.hpp"

namespace exeat::log {
namespace {

using proxy::event;

// A record is the event itself, its views' pointers void, then the octets of the views in this order.
static_assert(std::is_trivially_copyable_v<event>);

struct bounded_view {
  std::string_view event::* member;
  std::size_t bound;
};
constexpr std::array bounded_views = {
    bounded_view{&event::phase, 64},       bounded_view{&event::job, 128},
    bounded_view{&event::method, 32},      bounded_view{&event::scheme, 16},
    bounded_view{&event::host, 253},       bounded_view{&event::rule, 128},
    bounded_view{&event::rule_where, 300}, bounded_view{&event::error, 300},
    bounded_view{&event::hint, 400},       bounded_view{&event::sni, 253},
    bounded_view{&event::alpn, 128},       bounded_view{&event::tls_version, 16},
    bounded_view{&event::process, 256},    bounded_view{&event::command, 512},
    bounded_view{&event::cgroup, 256},     bounded_view{&event::upstream, 280},
};

constexpr std::string_view cut_mark = "...";
constexpr std::uint32_t wrap = 0xffffffff;  // in place of a size: the rest of the ring is unused
constexpr std::size_t size_octets = 8;      // each record starts with its size, aligned to 8

constexpr std::size_t aligned(std::size_t octets) {
  return (octets + 7) & ~std::size_t{7};
}

constexpr std::size_t longest_record() {
  std::size_t sum = size_octets + sizeof(event) + 7;
  for (const bounded_view& view : bounded_views) sum += view.bound;
  return sum;
}
static_assert(longest_record() <= event_ring::record_max);

}  // namespace

event_ring::event_ring(std::size_t size) : size_(size), bytes_(std::make_unique<char[]>(size)) {
  assert(size >= 4 * record_max && (size & (size - 1)) == 0);
}

/// Room for a size and `octets` behind it in one piece, or null. Sets reserved_.
char* event_ring::reserve(std::size_t octets) noexcept {
  const std::uint64_t from = written_.load(std::memory_order_relaxed);
  const std::size_t at = from & (size_ - 1);
  const std::size_t need = size_octets + octets;
  const std::size_t to_end = size_ - at;
  const std::size_t skipped = need > to_end ? to_end : 0;
  reserved_ = from + skipped + need;
  if (reserved_ - read_seen_ > size_) {
    read_seen_ = read_.load(std::memory_order_acquire);
    if (reserved_ - read_seen_ > size_) return nullptr;
  }
  char* place = bytes_.get() + at;
  if (skipped > 0) {
    std::memcpy(place, &wrap, sizeof wrap);
    place = bytes_.get();
  }
  const auto size = static_cast<std::uint32_t>(octets);
  std::memcpy(place, &size, sizeof size);
  return place + size_octets;
}

bool event_ring::push(const event& event) noexcept {
  proxy::event stored = event;
  std::size_t octets = sizeof stored;
  for (const auto& [member, bound] : bounded_views) {
    std::string_view& view = stored.*member;
    view = view.substr(0, bound);
    octets += view.size();
  }
  char* out = reserve(aligned(octets));
  if (out == nullptr) {
    if (counts(event)) {
      auto& lost = lost_[static_cast<std::size_t>(event.verdict)][static_cast<std::size_t>(event.reason)];
      lost.store(lost.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    }
    dropped_.store(dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    return false;
  }
  std::memcpy(out, &stored, sizeof stored);
  out += sizeof stored;
  for (const auto& [member, bound] : bounded_views) {
    const std::string_view view = stored.*member;
    if (view.empty()) continue;
    std::memcpy(out, view.data(), view.size());
    out += view.size();
    if ((event.*member).size() > bound) std::memcpy(out - cut_mark.size(), cut_mark.data(), cut_mark.size());
  }
  written_.store(reserved_, std::memory_order_seq_cst);
  return true;
}

std::optional<event> event_ring::front() noexcept {
  const std::uint64_t from = read_.load(std::memory_order_relaxed);
  if (from == written_.load(std::memory_order_acquire)) return std::nullopt;
  const std::size_t at = from & (size_ - 1);
  const char* in = bytes_.get() + at;
  std::uint32_t size = 0;
  std::memcpy(&size, in, sizeof size);
  std::size_t skipped = 0;
  if (size == wrap) {
    skipped = size_ - at;
    in = bytes_.get();
    std::memcpy(&size, in, sizeof size);
  }
  front_size_ = skipped + size_octets + size;
  in += size_octets;
  event result;
  std::memcpy(&result, in, sizeof result);
  in += sizeof result;
  for (const bounded_view& bounded : bounded_views) {
    std::string_view& view = result.*(bounded.member);
    view = {in, view.size()};
    in += view.size();
  }
  return result;
}

void event_ring::pop() noexcept {
  read_.store(read_.load(std::memory_order_relaxed) + front_size_, std::memory_order_release);
}

bool event_ring::empty() const noexcept {
  return read_.load(std::memory_order_relaxed) == written_.load(std::memory_order_seq_cst);
}

}  // namespace exeat::log
