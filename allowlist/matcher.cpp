#include "allowlist/matcher.hpp"

#include <algorithm>
#include <functional>
#include <tuple>

namespace exeat::allowlist {
namespace {

struct pending_entry {
  allowlist::scope scope;
  std::uint64_t hash;
  std::string_view text;
  host_index::entry entry;
};

// Which bucket comes first means nothing: the hash settles most comparisons without a look at the names.
bool by_bucket(const pending_entry& a, const pending_entry& b) {
  if (a.hash != b.hash) return a.hash < b.hash;
  if (a.scope != b.scope) return a.scope < b.scope;
  if (a.text != b.text) return a.text < b.text;
  if (a.entry.reach != b.entry.reach) return a.entry.reach < b.entry.reach;
  return governs_before(*a.entry.rule, *b.entry.rule);
}

auto what_key(const rule& rule) {
  const auto* pattern = std::get_if<host_pattern>(&rule.what);
  const auto* prefix = std::get_if<core::cidr>(&rule.what);
  return std::tuple(rule.what.index(), pattern ? pattern->name.view() : std::string_view(),
                    pattern ? pattern->depth : depth::exact, pattern && pattern->apex,
                    prefix ? prefix->base : core::ip_address(), prefix ? prefix->length : 0);
}

auto attribute_key(const rule& rule) {
  return std::tuple(rule.tls, rule.ech, rule.expires, std::string_view(rule.reason),
                    std::string_view(rule.owner), std::string_view(rule.ticket), !rule.ports_written,
                    std::string_view(rule.bundle), std::string_view(rule.accept_risk), rule.final);
}

bool terms_before(const rule_terms* a, const rule_terms* b) {
  if (a == nullptr || b == nullptr) return a == nullptr && b != nullptr;
  const auto prefixes = [](const rule_terms& t) {
    std::vector<std::pair<core::ip_address, std::uint8_t>> out;
    for (const auto& p : t.resolve_in) out.emplace_back(p.base, p.length);
    return out;
  };
  const auto rest = [](const rule_terms& t) {
    return std::tie(t.max_names, t.max_name_entropy, t.limits.upload, t.limits.download, t.limits.requests,
                    t.methods, t.paths);
  };
  if (rest(*a) != rest(*b)) return rest(*a) < rest(*b);
  return prefixes(*a) < prefixes(*b);
}

}  // namespace

bool governs_before(const rule& a, const rule& b) noexcept {
  if (a.bundle.empty() != b.bundle.empty()) return a.bundle.empty();
  if (const auto order = a.ports.size() <=> b.ports.size(); order != 0) return order < 0;
  if (const auto order = a.ports.ranges() <=> b.ports.ranges(); order != 0) return order < 0;
  if (const auto order = what_key(a) <=> what_key(b); order != 0) return order < 0;
  if (const auto order = attribute_key(a) <=> attribute_key(b); order != 0) return order < 0;
  return terms_before(a.terms.get(), b.terms.get());
}

void host_index::build(std::span<const std::pair<scope, const rule*>> rules) {
  std::vector<pending_entry> pending;
  pending.reserve(rules.size());
  for (const auto& [owner, rule] : rules) {
    const auto* pattern = std::get_if<host_pattern>(&rule->what);
    if (pattern == nullptr) continue;
    const auto text = pattern->name.view();
    const auto hash = hash_of(text);
    pending.push_back({owner, hash, text, {rule, pattern->depth}});
    if (pattern->apex && pattern->depth != depth::exact)
      pending.push_back({owner, hash, text, {rule, depth::exact}});
  }
  std::ranges::sort(pending, by_bucket);

  entries_.clear();
  entries_.reserve(pending.size());
  buckets_.clear();
  buckets_.reserve(pending.size());
  for (const auto& item : pending) {
    auto& slice = buckets_[scoped_name{item.text, item.hash, item.scope}];
    if (slice.count == 0) slice.first = static_cast<std::uint32_t>(entries_.size());
    ++slice.count;
    entries_.push_back(item.entry);
  }
}

template <class Item>
template <class Before>
void prefix_index<Item>::build(std::vector<pending> items, std::size_t scopes, Before&& before) {
  std::ranges::sort(items, [&](const pending& a, const pending& b) {
    const auto place = [](const pending& p) { return std::tuple(p.scope, p.prefix.base, p.prefix.length); };
    if (place(a) != place(b)) return place(a) < place(b);
    return before(*a.item, *b.item);
  });
  items_.clear();
  buckets_.clear();
  lengths_.assign(scopes, {});
  for (const auto& item : items) {
    auto& slice = buckets_[key{item.prefix.base, item.prefix.length, item.scope}];
    if (slice.count == 0) slice.first = static_cast<std::uint32_t>(items_.size());
    ++slice.count;
    items_.push_back(item.item);
    auto& lengths = item.prefix.base.is_v4() ? lengths_[item.scope].v4 : lengths_[item.scope].v6;
    if (std::ranges::find(lengths, item.prefix.length) == lengths.end())
      lengths.push_back(item.prefix.length);
  }
  for (auto& lengths : lengths_) {
    std::ranges::sort(lengths.v4, std::greater());
    std::ranges::sort(lengths.v6, std::greater());
  }
}

void build_prefixes(prefix_index<rule>& index, std::span<const std::pair<scope, const rule*>> rules,
                    std::size_t scopes) {
  std::vector<prefix_index<rule>::pending> pending;
  for (const auto& [owner, rule] : rules) {
    if (const auto* prefix = std::get_if<core::cidr>(&rule->what)) pending.push_back({owner, *prefix, rule});
  }
  index.build(std::move(pending), scopes, governs_before);
}

void build_exceptions(prefix_index<address_exception>& index, std::span<const address_exception> exceptions) {
  std::vector<prefix_index<address_exception>::pending> pending;
  for (const auto& exception : exceptions) pending.push_back({0, exception.prefix, &exception});
  // Exceptions add up: which of two is found first makes no difference.
  index.build(std::move(pending), 1, [](const auto&, const auto&) { return false; });
}

}  // namespace exeat::allowlist
