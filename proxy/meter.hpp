// What a request may still move: the limits of its rule, its phase and its job, over what they have used.
#pragma once
#include <array>
#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "allowlist/rule.hpp"
#include "core/reason.hpp"
#include "proxy/budget.hpp"

namespace exeat::proxy {

constexpr core::reason reason_of_limit(way way) noexcept {
  return way == way::up ? core::reason::upload_limit : core::reason::download_limit;
}

/// One for each rule with limits, and one for each phase under a limit; shared by all their requests, on all
/// workers. Octets are claimed before they are read or written, so that no limit is ever exceeded; only a
/// phase in `audit` counts and lets pass. Immutable but for the counts; thread-safe.
class meter {
 public:
  /// One limit, and the count under it.
  struct line {
    std::shared_ptr<byte_budget> budget;
    std::uint64_t limit = 0;
    std::string whose;  ///< a rule's id, "phase agent" or "the job"
  };

  explicit meter(bool enforced) noexcept : enforced_(enforced) {}
  /// Adds what of `limits` is set, counted in `book` under `key`. From the narrowest scope to the widest, at
  /// most three.
  void add(const allowlist::transfer_limits& limits, budget_book& book, std::string_view key,
           std::string_view whose);
  bool empty() const noexcept { return lines_[0].empty() && lines_[1].empty(); }
  bool enforced() const noexcept { return enforced_; }

  /// Up to `wanted` octets; each claim is settled once, and soon. Zero: see is_short().
  std::uint64_t claim(way way, std::uint64_t wanted) const noexcept;
  void settle(way way, std::uint64_t claimed, std::uint64_t used) const noexcept;

  /// True where `wanted` octets more would exceed a limit even if everything that is claimed came back.
  /// (Where a claim fails and this is false, try again later.) In audit, too.
  bool is_short(way way, std::uint64_t wanted = 1) const noexcept;
  /// True where more went than a limit allows: in audit, or after a reload that lowered it.
  bool is_over(way way) const noexcept;
  /// "upload_limit 20MiB of agent/x.com:443 is used up", of the first limit that is short; empty where
  /// none is.
  std::string shortage(way way, std::uint64_t wanted = 1) const noexcept;

 private:
  using lines = boost::container::static_vector<line, 3>;
  const lines& of(way way) const noexcept { return lines_[static_cast<std::size_t>(way)]; }
  const line* short_line(way way, std::uint64_t wanted) const noexcept;

  std::array<lines, way_count> lines_;
  bool enforced_;
};

/// All of `size` octets, claimed until it is settled or destroyed. Null meter: claims nothing, and succeeds.
class octet_claim {
 public:
  octet_claim(const meter* meter, way way, std::uint64_t size) noexcept
      : meter_(meter), way_(way), size_(size) {
    claim();
  }
  octet_claim(const octet_claim&) = delete;
  octet_claim& operator=(const octet_claim&) = delete;
  ~octet_claim() { settle(0); }

  /// Tries (again), where it holds nothing; true = all of it is claimed.
  bool claim() noexcept {
    if (meter_ == nullptr || held_) return true;
    const auto got = meter_->claim(way_, size_);
    held_ = got == size_;
    if (!held_) meter_->settle(way_, got, 0);
    return held_;
  }
  explicit operator bool() const noexcept { return meter_ == nullptr || held_; }
  /// True where no try can succeed any more.
  bool is_short() const noexcept { return meter_ != nullptr && meter_->is_short(way_, size_); }
  /// `used` of them were moved.
  void settle(std::uint64_t used) noexcept {
    if (held_) meter_->settle(way_, size_, used);
    held_ = false;
  }

 private:
  const meter* meter_;
  way way_;
  std::uint64_t size_;
  bool held_ = false;
};

}  // namespace exeat::proxy
