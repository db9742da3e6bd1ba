#include "allowlist/diff_classes.hpp"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <string>
#include <tuple>

#include "allowlist/matcher.hpp"

namespace exeat::allowlist {
namespace {

class name_classes {
 public:
  name_classes(std::span<const std::vector<rule>* const> lists, std::size_t most_work, std::size_t& work)
      : most_work_(most_work), work_(work) {
    for (const auto* list : lists) {
      for (const auto& rule : *list) {
        const auto* pattern = std::get_if<host_pattern>(&rule.what);
        if (pattern == nullptr) continue;
        add(pattern->name.view(), pattern->depth);
        if (pattern->apex) add(pattern->name.view(), depth::exact);
      }
    }
  }

  std::vector<destination_class> take() && {
    // Fewer labels and a longer reach make the wider one: parents come first.
    const auto order = [](const destination_class& c) {
      const auto dots = std::ranges::count(c.name, '.');
      return std::tuple(dots, c.reach == depth::any_labels ? 0 : c.reach == depth::one_label ? 1 : 2);
    };
    std::vector<std::pair<decltype(order(classes_[0])), std::uint32_t>> sorted;
    sorted.reserve(classes_.size());
    for (std::uint32_t i = 0; i < classes_.size(); ++i) sorted.emplace_back(order(classes_[i]), i);
    std::ranges::sort(sorted);
    std::vector<destination_class> out;
    out.reserve(classes_.size());
    for (const auto& [key, i] : sorted) {
      places_[key_of(classes_[i].name, hash_of(classes_[i].name), classes_[i].reach)] =
          static_cast<std::uint32_t>(out.size());
      out.push_back(std::move(classes_[i]));
    }
    classes_ = std::move(out);
    choose_fresh_label();
    for (auto& c : classes_) {
      c.parent = parent_of(c);
      choose_witness(c);
    }
    return std::move(classes_);
  }

 private:
  struct key {
    std::string_view text;
    std::uint64_t hash;
    depth reach;
    friend bool operator==(const key& a, const key& b) noexcept {
      return a.hash == b.hash && a.reach == b.reach && a.text == b.text;
    }
  };
  struct key_hash {
    std::size_t operator()(const key& k) const noexcept {
      return k.hash ^ (static_cast<std::uint64_t>(k.reach) * 0x9e3779b97f4a7c15U);
    }
  };
  static key key_of(std::string_view text, std::uint64_t hash, depth reach) { return {text, hash, reach}; }

  void add(std::string_view name, depth reach) {
    const auto [place, is_new] =
        places_.try_emplace(key_of(name, hash_of(name), reach), static_cast<std::uint32_t>(classes_.size()));
    if (is_new) classes_.push_back({.name = name, .reach = reach});
  }

  std::uint32_t find(std::string_view text, std::uint64_t hash, depth reach) const {
    const auto found = places_.find(key_of(text, hash, reach));
    return found == places_.end() ? no_class : found->second;
  }

  // The most specific class that holds a name which starts `skip` suffixes of `suffixes` in.
  std::uint32_t widest_behind(const name_suffixes& suffixes, std::size_t first) const {
    for (std::size_t i = first; i < suffixes.count(); ++i) {
      if (i == 1) {
        if (const auto c = find(suffixes.text(i), suffixes.hash(i), depth::one_label); c != no_class)
          return c;
      }
      if (const auto c = find(suffixes.text(i), suffixes.hash(i), depth::any_labels); c != no_class) return c;
    }
    return no_class;
  }

  std::uint32_t parent_of(const destination_class& c) const {
    const name_suffixes suffixes(c.name);
    if (c.reach == depth::exact) return widest_behind(suffixes, 1);
    if (c.reach == depth::one_label) {
      if (const auto own = find(c.name, suffixes.hash(0), depth::any_labels); own != no_class) return own;
    }
    // Everything in it stands two labels or more in front of these.
    for (std::size_t i = 1; i < suffixes.count(); ++i) {
      if (const auto wider = find(suffixes.text(i), suffixes.hash(i), depth::any_labels); wider != no_class)
        return wider;
    }
    return no_class;
  }

  std::uint32_t class_of(const core::host_name& name) const {
    const name_suffixes suffixes(name.view());
    const auto exact = find(suffixes.text(0), suffixes.hash(0), depth::exact);
    return exact != no_class ? exact : widest_behind(suffixes, 1);
  }

  // A label that stands nowhere in the policies: whoever chose their names cannot have named it.
  void choose_fresh_label() {
    constexpr std::size_t longest = 8;
    boost::unordered_flat_set<std::string_view> used;
    for (const auto& c : classes_) {
      for (std::size_t start = 0; start <= c.name.size();) {
        const auto end = std::min(c.name.find('.', start), c.name.size());
        if (end - start <= longest) used.insert(c.name.substr(start, end - start));
        start = end + 1;
      }
    }
    for (std::size_t n = 0;; ++n) {
      fresh_.clear();
      for (std::size_t rest = n;; rest = rest / 26 - 1) {
        fresh_.insert(fresh_.begin(), static_cast<char>('a' + rest % 26));
        if (rest < 26) break;
      }
      if (!used.contains(fresh_)) return;
    }
  }

  void choose_witness(destination_class& c) {
    if (c.reach != depth::exact) {
      const bool two =
          c.reach == depth::any_labels && find(c.name, hash_of(c.name), depth::one_label) != no_class;
      c.front = (two ? "a." : "") + fresh_ + ".";
    }
    c.is_empty = c.front.size() + c.name.size() > core::host_name::max_size && !choose_short_witness(c);
  }

  // Where no room is left for the fresh label: whatever still fits.
  bool choose_short_witness(destination_class& c) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyz0123456789_";
    const auto wanted = find(c.name, hash_of(c.name), c.reach);
    const auto fits = [&](std::string front) {
      work_ += 10;  // about as many steps of the comparison
      if (work_ > most_work_) return false;
      const auto name = core::host_name::parse(front + std::string(c.name));
      if (!name || class_of(*name) != wanted) return false;
      c.front = std::move(front);
      return true;
    };
    for (const char first : letters) {
      const std::string near{first, '.'};
      if (fits(near)) return true;
      for (const char second : letters) {
        if (fits(std::string(1, second) + near) || fits(std::string{second, '.'} + near)) return true;
      }
    }
    return false;
  }

  std::vector<destination_class> classes_;
  boost::unordered_flat_map<key, std::uint32_t, key_hash> places_;
  std::string fresh_;
  std::size_t most_work_;
  std::size_t& work_;
};

// The address behind the last one of a prefix; nothing behind the last of all.
std::optional<core::ip_address> behind(const core::cidr& prefix) {
  std::array<std::uint8_t, 16> octets{};
  std::ranges::copy(prefix.base.bytes(), octets.begin());
  for (int bit = prefix.length; bit-- > 0;) {
    auto& octet = octets[static_cast<std::size_t>(bit) / 8];
    const auto mask = static_cast<std::uint8_t>(0x80U >> (bit % 8));
    octet ^= mask;
    if ((octet & mask) == 0) continue;  // it was set: carry
    if (prefix.base.is_v6()) return core::ip_address::v6(octets);
    return core::ip_address::v4((std::uint32_t{octets[0]} << 24) | (std::uint32_t{octets[1]} << 16) |
                                (std::uint32_t{octets[2]} << 8) | octets[3]);
  }
  return std::nullopt;
}

}  // namespace

subject destination_class::what() const {
  if (!is_of_names()) return prefix;
  return host_pattern{core::host_name::parse(name).value(), reach, false};
}

core::host destination_class::witness() const {
  if (!is_of_names()) return address;
  return core::host_name::parse(front + std::string(name)).value();
}

std::vector<destination_class> classes_of_names(std::span<const std::vector<rule>* const> lists,
                                                std::size_t most_work, std::size_t& work) {
  return name_classes(lists, most_work, work).take();
}

std::vector<destination_class> classes_of_addresses(std::vector<core::cidr> prefixes) {
  const auto order = [](const core::cidr& c) { return std::tuple(c.base.is_v6(), c.base, c.length); };
  std::ranges::sort(prefixes, {}, order);
  const auto repeated = std::ranges::unique(prefixes);
  prefixes.erase(repeated.begin(), repeated.end());

  std::vector<destination_class> out;
  out.reserve(prefixes.size());
  // From the widest that is still open to the narrowest, with the first address of each that no narrower
  // prefix has taken so far.
  struct open_class {
    std::uint32_t index;
    std::optional<core::ip_address> next;
  };
  std::vector<open_class> open;
  const auto take = [](destination_class& c, const core::ip_address& address) {
    c.address = address;
    c.is_empty = false;
  };
  const auto close = [&] {
    const auto done = open.back();
    open.pop_back();
    auto& c = out[done.index];
    if (c.is_empty && done.next && c.prefix.contains(*done.next)) take(c, *done.next);
  };
  for (const auto& prefix : prefixes) {
    while (!open.empty() && !out[open.back().index].prefix.contains(prefix)) close();
    destination_class c{.prefix = prefix};
    if (!open.empty()) {
      auto& wider = open.back();
      c.parent = wider.index;
      if (wider.next && *wider.next != prefix.base && out[wider.index].is_empty)
        take(out[wider.index], *wider.next);
      wider.next = behind(prefix);
    }
    open.push_back({static_cast<std::uint32_t>(out.size()), prefix.base});
    out.push_back(std::move(c));
  }
  while (!open.empty()) close();
  return out;
}

}  // namespace exeat::allowlist
