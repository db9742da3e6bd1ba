#include "allowlist/diff_terms.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "allowlist/path_pattern.hpp"
#include "core/units.hpp"

namespace exeat::allowlist {
namespace {

std::string joined(const std::vector<std::string>& words) {
  return words.empty() ? "any" : fmt::format("{}", fmt::join(words, ", "));
}

std::string joined(std::span<const core::cidr> prefixes) {
  std::string out;
  for (const auto& prefix : prefixes) out += (out.empty() ? "" : ", ") + prefix.to_string();
  return out.empty() ? "any" : out;
}

std::optional<direction> direction_of(bool wider, bool narrower) {
  if (wider && narrower) return direction::both;
  if (wider) return direction::wider;
  if (narrower) return direction::narrower;
  return std::nullopt;
}

bool by_base(const core::cidr& a, const core::cidr& b) {
  return std::tuple(a.base.is_v6(), a.base, a.length) < std::tuple(b.base.is_v6(), b.base, b.length);
}

// The next wider prefix.
core::cidr widened(const core::cidr& prefix) {
  const auto bits = static_cast<std::uint8_t>(prefix.length - 1);
  if (prefix.base.is_v4()) {
    const std::uint32_t mask = bits == 0 ? 0 : 0xffffffffU << (32 - bits);
    return {core::ip_address::v4(prefix.base.v4_value() & mask), bits};
  }
  std::array<std::uint8_t, 16> octets{};
  std::ranges::copy(prefix.base.bytes(), octets.begin());
  octets[bits / 8] = static_cast<std::uint8_t>(octets[bits / 8] & ~(0x80U >> (bits % 8)));
  return {core::ip_address::v6(octets), bits};
}

// The same addresses in the fewest prefixes: two sets are equal where these are.
std::vector<core::cidr> normal_form(std::span<const core::cidr> prefixes) {
  std::vector<core::cidr> sorted(prefixes.begin(), prefixes.end());
  std::ranges::sort(sorted, by_base);
  std::vector<core::cidr> out;
  for (const auto& prefix : sorted) {
    if (!out.empty() && out.back().contains(prefix)) continue;
    out.push_back(prefix);
    while (out.size() > 1 && out.back().length > 0 && out.back().length == out[out.size() - 2].length) {
      const auto whole = widened(out.back());
      if (whole.base != out[out.size() - 2].base || !whole.contains(out[out.size() - 2])) break;
      out.resize(out.size() - 2);
      out.push_back(whole);
    }
  }
  return out;
}

// Both in normal form: then a prefix lies in one of the others, or something of it lies in none.
bool covers_all(const std::vector<core::cidr>& outer, const std::vector<core::cidr>& inner) {
  return std::ranges::all_of(inner, [&](const core::cidr& prefix) {
    const auto behind = std::ranges::upper_bound(outer, prefix, by_base);
    return (behind != outer.begin() && std::prev(behind)->contains(prefix)) ||
           (behind != outer.end() && behind->contains(prefix));
  });
}

// Walks over the paths that two sets of patterns can tell apart, segment by segment.
class path_comparison {
 public:
  path_comparison(const std::vector<std::string>& before, const std::vector<std::string>& after)
      : before_(before), after_(after) {
    for (const auto* set : {&before, &after}) {
      for (const auto& pattern : *set) patterns_.push_back(segments_of(pattern));
    }
    while (std::ranges::any_of(patterns_,
                               [&](const auto& p) { return std::ranges::find(p, fresh_) != p.end(); }))
      fresh_ += "-";
  }

  std::optional<direction> result() {
    std::vector<std::size_t> all(patterns_.size());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    if (!walk("", 0, all)) return direction::both;
    return direction_of(wider_, narrower_);
  }

 private:
  using pattern = std::vector<std::string_view>;

  static pattern segments_of(std::string_view text) {
    pattern out;
    while (!text.empty()) {
      text.remove_prefix(1);
      out.push_back(text.substr(0, text.find('/')));
      text.remove_prefix(out.back().size());
    }
    return out;
  }

  void look_at(const std::string& path) {
    const auto held = [&](const std::vector<std::string>& set) {
      return std::ranges::any_of(set, [&](const std::string& p) { return path_matches(p, path); });
    };
    const bool before = held(before_);
    const bool after = held(after_);
    wider_ |= after && !before;
    narrower_ |= before && !after;
  }

  // `alive`: the patterns that may still match what starts with `path`. False where it would take too long.
  bool walk(const std::string& path, std::size_t depth, const std::vector<std::size_t>& alive) {
    if (alive.empty() || (wider_ && narrower_) || !seen_.emplace(depth, alive).second) return true;
    work_ += alive.size() + patterns_.size();
    if (work_ > most_work || depth > most_segments) return false;
    if (!path.empty()) look_at(path);
    look_at(path + "/");
    std::set<std::string_view> next{fresh_};
    bool goes_on = false;
    for (const auto i : alive) {
      goes_on |= depth < patterns_[i].size();
      if (depth < patterns_[i].size()) next.insert(patterns_[i][depth]);
    }
    // Behind every end there is only what `**` takes, and that takes whatever comes.
    if (!goes_on) return true;
    next.erase("");
    next.erase("*");
    next.erase("**");
    for (const auto segment : next) {
      std::vector<std::size_t> left;
      for (const auto i : alive) {
        const auto& p = patterns_[i];
        const bool taken =
            depth < p.size() ? p[depth] == "*" || p[depth] == "**" || p[depth] == segment : p.back() == "**";
        if (taken) left.push_back(i);
      }
      if (!walk(path + "/" + std::string(segment), depth + 1, left)) return false;
    }
    return true;
  }

  static constexpr std::size_t most_work = 2'000'000;
  static constexpr std::size_t most_segments = 200;
  const std::vector<std::string>& before_;
  const std::vector<std::string>& after_;
  std::vector<pattern> patterns_;
  std::string fresh_ = "other";
  std::set<std::pair<std::size_t, std::vector<std::size_t>>> seen_;
  std::size_t work_ = 0;
  bool wider_ = false;
  bool narrower_ = false;
};

std::string limit_text(const std::optional<std::uint64_t>& limit) {
  return limit ? core::size_to_string(*limit) : "none";
}

// Of a bound that may be missing, which is the widest of all.
template <class Number>
direction direction_of_bound(const std::optional<Number>& before, const std::optional<Number>& after) {
  return !after || (before && *after > *before) ? direction::wider : direction::narrower;
}

std::string_view word(tls_mode mode) {
  return mode == tls_mode::any ? "any" : "require";
}
std::string_view word(ech_mode mode) {
  return mode == ech_mode::allow ? "allow" : "refuse";
}
std::string_view word(phase_mode mode) {
  return mode == phase_mode::audit ? "audit" : "enforce";
}
std::string_view word(hint_level level) {
  return level == hint_level::full ? "full" : "code";
}
std::string_view word(bool value) {
  return value ? "true" : "false";
}

std::string_view word(canary_action action) {
  return action == canary_action::lockdown ? "lockdown" : "alert";
}

// A canary is reachable neither before nor after: to take one out opens nothing, but somebody should know.
void compare_canaries(const phase& before, const phase& after, std::vector<term_change>& out) {
  const auto sorted = [](const phase& phase) {
    std::vector<std::string> names;
    names.reserve(phase.canaries.size());
    for (const auto& one : phase.canaries) names.emplace_back(one.name.view());
    std::ranges::sort(names);
    return names;
  };
  const auto text = [](const std::vector<std::string>& names) {
    return names.empty() ? std::string("none") : fmt::format("{}", fmt::join(names, ", "));
  };
  const auto a = sorted(before);
  const auto b = sorted(after);
  if (a != b) {
    out.push_back(
        {"canary", text(a), text(b), std::ranges::includes(a, b) ? direction::neutral : direction::narrower});
  }
  if (a.empty() || b.empty() || before.canary_action == after.canary_action) return;
  out.push_back({"canary.action", std::string(word(before.canary_action)),
                 std::string(word(after.canary_action)),
                 after.canary_action == canary_action::lockdown ? direction::narrower : direction::neutral});
}

template <class Value>
void compare_values(std::string_view name, Value before, Value after, direction change,
                    std::vector<term_change>& out) {
  if (before != after) out.push_back({name, std::string(word(before)), std::string(word(after)), change});
}

}  // namespace

std::optional<direction> compare_prefixes(std::span<const core::cidr> before,
                                          std::span<const core::cidr> after) {
  if (before.empty() && after.empty()) return std::nullopt;
  if (after.empty()) return direction::wider;
  if (before.empty()) return direction::narrower;
  const auto a = normal_form(before);
  const auto b = normal_form(after);
  return direction_of(!covers_all(a, b), !covers_all(b, a));
}

std::optional<direction> compare_methods(const std::vector<std::string>& before,
                                         const std::vector<std::string>& after) {
  if (before == after) return std::nullopt;
  if (after.empty()) return direction::wider;
  if (before.empty()) return direction::narrower;
  const auto lacks = [](const std::vector<std::string>& set, const std::vector<std::string>& of) {
    return std::ranges::any_of(of, [&](const auto& m) { return std::ranges::find(set, m) == set.end(); });
  };
  return direction_of(lacks(before, after), lacks(after, before));
}

std::optional<direction> compare_paths(const std::vector<std::string>& before,
                                       const std::vector<std::string>& after) {
  if (before == after) return std::nullopt;
  if (after.empty()) return direction::wider;
  if (before.empty()) return direction::narrower;
  return path_comparison(before, after).result();
}

std::optional<direction> compare_name_entropy(const rule& before, const rule& after) {
  const auto of = [](const rule& r) { return r.terms ? r.terms->max_name_entropy : std::nullopt; };
  const auto a = of(before);
  const auto b = of(after);
  if (!a && !b) return std::nullopt;
  if (!a) return direction::narrower;
  if (!b) return direction::wider;
  // Of one name the wildcard stands for less, the longer what is written behind it.
  const auto length = [](const rule& r) {
    const auto* pattern = std::get_if<host_pattern>(&r.what);
    return pattern == nullptr ? std::size_t{0} : pattern->name.view().size();
  };
  const auto x = length(before);
  const auto y = length(after);
  if (x == y && *a == *b) return std::nullopt;
  return direction_of(*b > *a || y > x, *b < *a || y < x);
}

std::string number_text(const std::optional<std::uint32_t>& number) {
  return number ? std::to_string(*number) : "none";
}

void compare_limits(const transfer_limits& before, const transfer_limits& after,
                    std::vector<term_change>& out) {
  const auto compare = [&](std::string_view name, const std::optional<std::uint64_t>& a,
                           const std::optional<std::uint64_t>& b) {
    if (a != b) out.push_back({name, limit_text(a), limit_text(b), direction_of_bound(a, b)});
  };
  compare("upload_limit", before.upload, after.upload);
  compare("download_limit", before.download, after.download);
  if (before.requests != after.requests) {
    const auto text = [](const std::optional<std::uint64_t>& n) { return n ? std::to_string(*n) : "none"; };
    out.push_back({"request_limit", text(before.requests), text(after.requests),
                   direction_of_bound(before.requests, after.requests)});
  }
}

std::vector<term_change> compare_terms(const governed& before, const governed& after, core::scheme scheme) {
  std::vector<term_change> out;
  const rule& a = *before.rule;
  const rule& b = *after.rule;
  const bool https = scheme == core::scheme::https;
  if (https) {
    compare_values("tls", a.tls, b.tls, b.tls == tls_mode::any ? direction::wider : direction::narrower, out);
    const auto ech = ech_of(*after.phase, &b);
    if (a.ech || b.ech)
      compare_values("ech", ech_of(*before.phase, &a), ech,
                     ech == ech_mode::allow ? direction::wider : direction::narrower, out);
  }
  if (a.terms == b.terms && (!a.terms || !a.terms->max_name_entropy)) return out;
  static const rule_terms none;
  const rule_terms& x = a.terms ? *a.terms : none;
  const rule_terms& y = b.terms ? *b.terms : none;
  if (const auto change = compare_prefixes(x.resolve_in, y.resolve_in))
    out.push_back({"resolve_in", joined(x.resolve_in), joined(y.resolve_in), *change});
  if (x.max_names != y.max_names) {
    out.push_back({"max_names", number_text(x.max_names), number_text(y.max_names),
                   direction_of_bound(x.max_names, y.max_names)});
  }
  if (const auto change = compare_name_entropy(a, b))
    out.push_back(
        {"max_name_entropy", number_text(x.max_name_entropy), number_text(y.max_name_entropy), *change});
  compare_limits(x.limits, y.limits, out);
  if (https) return out;
  if (const auto change = compare_methods(x.methods, y.methods))
    out.push_back({"methods", joined(x.methods), joined(y.methods), *change});
  if (const auto change = compare_paths(x.paths, y.paths))
    out.push_back({"paths", joined(x.paths), joined(y.paths), *change});
  return out;
}

std::vector<term_change> compare_phases(const phase& before, const phase& after) {
  std::vector<term_change> out;
  compare_values("untrusted", before.untrusted, after.untrusted,
                 after.untrusted ? direction::narrower : direction::wider, out);
  compare_values("mode", before.mode, after.mode,
                 after.mode == phase_mode::audit ? direction::wider : direction::narrower, out);
  compare_values("hints", hints_of(before), hints_of(after), direction::neutral, out);
  const auto ech = ech_of(after, nullptr);
  compare_values("ech", ech_of(before, nullptr), ech,
                 ech == ech_mode::allow ? direction::wider : direction::narrower, out);
  compare_values("final", before.final, after.final, direction::neutral, out);
  compare_canaries(before, after, out);
  compare_limits(before.limits, after.limits, out);
  if (before.time_limit != after.time_limit) {
    const auto text = [](const std::optional<std::chrono::milliseconds>& limit) {
      return limit ? core::to_string(*limit) : "none";
    };
    out.push_back({"time_limit", text(before.time_limit), text(after.time_limit),
                   direction_of_bound(before.time_limit, after.time_limit)});
  }
  return out;
}

std::string day_text(std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  return fmt::format("{:04}-{:02}-{:02}", static_cast<int>(date.year()), static_cast<unsigned>(date.month()),
                     static_cast<unsigned>(date.day()));
}

}  // namespace exeat::allowlist
