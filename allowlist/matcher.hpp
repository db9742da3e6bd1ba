// The look-up structures behind a compiled policy; for this floor's own sources only.
#pragma once
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "allowlist/policy.hpp"
#include "allowlist/rule.hpp"

namespace exeat::allowlist {

/// Whose rules a look-up sees: those of a phase (its index) or, one past the last phase, `deny`.
using scope = std::uint32_t;

/// A hash that can be extended one octet to the left, so that all suffixes of a name cost one pass.
constexpr std::uint64_t hash_seed = 0xcbf29ce484222325U;
constexpr std::uint64_t extend_hash(std::uint64_t hash, char c) noexcept {
  return (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
}

constexpr std::uint64_t hash_of(std::string_view text) noexcept {
  std::uint64_t hash = hash_seed;
  for (std::size_t i = text.size(); i-- > 0;) hash = extend_hash(hash, text[i]);
  return hash;
}

/// The suffixes of a name at its label boundaries, longest (the whole name) first. Lives on the stack.
class name_suffixes {
 public:
  explicit name_suffixes(std::string_view name) noexcept : name_(name) {
    std::uint64_t hash = hash_seed;
    for (std::size_t i = name.size(); i-- > 0;) {
      if (name[i] == '.') found_[count_++] = {hash, i + 1};
      hash = extend_hash(hash, name[i]);
    }
    found_[count_++] = {hash, 0};
  }
  std::size_t count() const noexcept { return count_; }
  std::string_view text(std::size_t i) const noexcept { return name_.substr(at(i).offset); }
  std::uint64_t hash(std::size_t i) const noexcept { return at(i).hash; }

 private:
  struct boundary {
    std::uint64_t hash;
    std::size_t offset;
  };
  const boundary& at(std::size_t i) const noexcept { return found_[count_ - 1 - i]; }
  std::string_view name_;
  std::size_t count_ = 0;
  std::array<boundary, core::host_name::max_size + 1> found_;  // only the first count_ are ever written
};

/// A slice of an index's items.
struct bucket {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

/// A name as one scope sees it.
struct scoped_name {
  std::string_view text;  ///< into the policy's own names, or the request's
  std::uint64_t hash;     ///< hash_of(text)
  allowlist::scope scope;
  friend bool operator==(const scoped_name& a, const scoped_name& b) noexcept {
    return a.hash == b.hash && a.scope == b.scope && a.text == b.text;
  }
};
struct scoped_name_hash {
  std::size_t operator()(const scoped_name& k) const noexcept {
    return k.hash ^ (std::uint64_t{k.scope} * 0x9e3779b97f4a7c15U);
  }
};

/// The host rules of all scopes, keyed by scope and name.
class host_index {
 public:
  /// One way in which a rule matches; a wildcard with `apex` stands here twice.
  struct entry {
    const allowlist::rule* rule;
    depth reach;  ///< `exact` too for the apex of a wildcard
  };

  void build(std::span<const std::pair<scope, const rule*>> rules);

  /// The entries for one suffix, ordered by reach, then from the most specific on.
  std::span<const entry> find(scope scope, std::string_view text, std::uint64_t hash) const noexcept {
    const auto found = buckets_.find(scoped_name{text, hash, scope});
    if (found == buckets_.end()) return {};
    return std::span(entries_).subspan(found->second.first, found->second.count);
  }

  /// Calls `visit(rule)` for every rule whose host matches, the most specific first, until it returns true.
  template <class Visit>
  void visit(scope scope, const name_suffixes& name, Visit&& visit) const noexcept {
    if (buckets_.empty()) return;
    for (std::size_t i = 0; i < name.count(); ++i) {
      for (const auto& entry : find(scope, name.text(i), name.hash(i))) {
        // In front of the suffix stand i labels.
        const bool covers = i == 0   ? entry.reach == depth::exact
                            : i == 1 ? entry.reach != depth::exact
                                     : entry.reach == depth::any_labels;
        if (covers && visit(*entry.rule)) return;
      }
    }
  }

  /// All buckets, for the check of contradictions.
  template <class Visit>
  void each_bucket(Visit&& visit) const {
    for (const auto& [key, slice] : buckets_)
      visit(std::span<const entry>(entries_).subspan(slice.first, slice.count));
  }

 private:
  std::vector<entry> entries_;
  boost::unordered_flat_map<scoped_name, bucket, scoped_name_hash> buckets_;
};

/// Items keyed by scope and prefix; a look-up costs one probe per prefix length in use.
template <class Item>
class prefix_index {
 public:
  struct pending {
    allowlist::scope scope;
    core::cidr prefix;
    const Item* item;
  };

  /// `before` orders the items of one prefix. Defined for build_prefixes and build_exceptions only.
  template <class Before>
  void build(std::vector<pending> items, std::size_t scopes, Before&& before);

  /// Calls `visit(item)` for every item whose prefix holds the address, longest prefix first, until it
  /// returns true.
  template <class Visit>
  void visit(scope scope, const core::ip_address& address, Visit&& visit) const noexcept {
    if (buckets_.empty()) return;
    const auto& lengths = lengths_[scope];
    for (const std::uint8_t length : address.is_v4() ? lengths.v4 : lengths.v6) {
      const auto found = buckets_.find(key{masked(address, length), length, scope});
      if (found == buckets_.end()) continue;
      for (const Item* item : std::span(items_).subspan(found->second.first, found->second.count)) {
        if (visit(*item)) return;
      }
    }
  }

  template <class Visit>
  void each_bucket(Visit&& visit) const {
    for (const auto& [key, slice] : buckets_)
      visit(std::span<const Item* const>(items_).subspan(slice.first, slice.count));
  }

 private:
  struct key {
    core::ip_address base;
    std::uint8_t length;
    allowlist::scope scope;
    friend bool operator==(const key&, const key&) noexcept = default;
  };
  struct key_hash {
    std::size_t operator()(const key& k) const noexcept {
      std::uint64_t hash = hash_seed + k.length + (std::uint64_t{k.scope} << 9);
      for (const std::uint8_t octet : k.base.bytes()) hash = extend_hash(hash, static_cast<char>(octet));
      return hash;
    }
  };
  struct lengths_in_use {
    std::vector<std::uint8_t> v4, v6;  // descending
  };
  static core::ip_address masked(const core::ip_address& address, std::uint8_t length) noexcept {
    if (address.is_v4()) {
      return core::ip_address::v4(length == 0 ? 0 : address.v4_value() & (0xffffffffU << (32 - length)));
    }
    std::array<std::uint8_t, 16> octets{};
    for (std::size_t i = 0; i < octets.size(); ++i) {
      const auto bits = static_cast<int>(length) - static_cast<int>(8 * i);
      const unsigned mask = bits >= 8 ? 0xffU : bits <= 0 ? 0U : 0xffU << (8 - bits);
      octets[i] = static_cast<std::uint8_t>(address.bytes()[i] & mask);
    }
    return core::ip_address::v6(octets);
  }

  std::vector<const Item*> items_;
  std::vector<lengths_in_use> lengths_;  // by scope
  boost::unordered_flat_map<key, bucket, key_hash> buckets_;
};

void build_prefixes(prefix_index<rule>& index, std::span<const std::pair<scope, const rule*>> rules,
                    std::size_t scopes);
void build_exceptions(prefix_index<address_exception>& index, std::span<const address_exception> exceptions);

/// True where `a` governs before `b` although both match by the same host and reach, or the same prefix:
/// written out before from a bundle, then the fewer ports, then an order without meaning but independent of
/// the file's.
bool governs_before(const rule& a, const rule& b) noexcept;

struct policy::compiled {
  policy_source source;
  host_index hosts;
  prefix_index<rule> prefixes;
  prefix_index<address_exception> exceptions;  // scope 0 only
  boost::unordered_flat_map<std::string_view, phase_id> phases;
  boost::unordered_flat_set<scoped_name, scoped_name_hash> canaries;
  scope deny_scope() const noexcept { return static_cast<scope>(source.phases.size()); }
};

/// The `cidr` under `deny` that holds the address or an IPv4 address embedded in it, or null.
const rule* denied_prefix(const policy::compiled& policy, const core::ip_address& address, std::uint16_t port,
                          std::chrono::sys_seconds now) noexcept;

/// True from the first second after the rule's date on.
bool is_expired(const rule& rule, std::chrono::sys_seconds now) noexcept;

}  // namespace exeat::allowlist
