#include "allowlist/diff_lines.hpp"

#include <algorithm>
#include <boost/unordered/unordered_flat_map.hpp>
#include <string_view>
#include <tuple>

namespace exeat::allowlist {
namespace {

bool same_ports(const class_change& a, const class_change& b) {
  return a.https == b.https && a.http == b.http;
}

// Ranges that touch become one, so that two ways to cut the same ports compare equal.
void join(std::vector<port_range>& ranges) {
  ranges = port_set::of(std::move(ranges)).ranges();
}

struct line {
  std::uint32_t owner;  // the class
  std::size_t change;   // which of its changes
  std::vector<std::uint32_t> except;
  bool apex = false;
  bool dropped = false;
};

// `x.com` and `**.x.com` by one rule are one line: the rule says `apex: true`.
void join_apexes(std::vector<line>& lines, const std::vector<destination_class>& classes,
                 const std::vector<std::vector<class_change>>& changes) {
  boost::unordered_flat_map<std::string_view, std::vector<line*>> exact;
  for (auto& line : lines) {
    const auto& owner = classes[line.owner];
    if (owner.is_of_names() && owner.reach == depth::exact) exact[owner.name].push_back(&line);
  }
  for (auto& line : lines) {
    const auto& owner = classes[line.owner];
    if (!owner.is_of_names() || owner.reach == depth::exact) continue;
    const auto found = exact.find(owner.name);
    if (found == exact.end()) continue;
    const auto& mine = changes[line.owner][line.change];
    for (auto* other : found->second) {
      const auto& theirs = changes[other->owner][other->change];
      if (other->dropped || line.apex || mine.before != theirs.before || mine.after != theirs.after ||
          !mine.is_alike(theirs) || !same_ports(mine, theirs))
        continue;
      line.apex = true;
      other->dropped = true;
    }
  }
}

auto order_of(const subject& what) {
  const auto* name = std::get_if<host_pattern>(&what);
  const auto* prefix = std::get_if<core::cidr>(&what);
  return std::tuple(name == nullptr, name ? name->name.view() : std::string_view(),
                    name ? name->depth : depth::exact, prefix ? prefix->base : core::ip_address(),
                    prefix ? prefix->length : 0);
}

bool stands_before(const reach_change& a, const reach_change& b) {
  const auto place = [](const reach_change& c) { return std::tuple(c.kind, order_of(c.what), c.from); };
  const auto ports = [](const reach_change& c) { return std::tie(c.https.ranges(), c.http.ranges()); };
  const auto order = place(a) <=> place(b);
  return order == 0 ? ports(a) < ports(b) : order < 0;
}

}  // namespace

bool class_change::is_alike(const class_change& other) const {
  return kind == other.kind && from == other.from && until == other.until && terms == other.terms;
}

std::vector<reach_change> lines_of(const std::vector<destination_class>& classes,
                                   std::vector<std::vector<class_change>> changes, std::size_t& work) {
  // An exception costs as much memory as so many steps cost time.
  constexpr std::size_t work_per_exception = 200;
  std::vector<line> lines;
  // An empty class stands for the next wider one that is not.
  std::vector<std::uint32_t> stands_for(classes.size());
  for (std::uint32_t i = 0; i < classes.size(); ++i) {
    const auto parent = classes[i].parent == no_class ? no_class : stands_for[classes[i].parent];
    stands_for[i] = classes[i].is_empty ? parent : i;
    if (classes[i].is_empty) continue;
    for (auto& change : changes[i]) {
      join(change.https);
      join(change.http);
    }
    const auto find_in = [](std::vector<class_change>& all, const class_change& wanted) {
      return std::ranges::find_if(
          all, [&](const class_change& c) { return c.is_alike(wanted) && same_ports(c, wanted); });
    };
    if (parent != no_class) {
      for (const auto& wider : changes[parent]) {
        if (find_in(changes[i], wider) != changes[i].end()) continue;
        lines[wider.line].except.push_back(i);
        work += work_per_exception;
      }
      if (work > most_diff_work) return {};
    }
    for (std::size_t k = 0; k < changes[i].size(); ++k) {
      auto& change = changes[i][k];
      if (parent != no_class) {
        if (const auto wider = find_in(changes[parent], change); wider != changes[parent].end()) {
          change.line = wider->line;
          continue;
        }
      }
      change.line = static_cast<std::uint32_t>(lines.size());
      lines.push_back({.owner = i, .change = k, .except = {}});
    }
  }
  join_apexes(lines, classes, changes);

  std::vector<reach_change> out;
  for (const auto& line : lines) {
    if (line.dropped) continue;
    auto& change = changes[line.owner][line.change];
    reach_change made{.kind = change.kind,
                      .what = classes[line.owner].what(),
                      .except = {},
                      .https = port_set::of(std::move(change.https)),
                      .http = port_set::of(std::move(change.http)),
                      .terms = std::move(change.terms),
                      .from = change.from,
                      .until = change.until,
                      .before = change.before,
                      .after = change.after};
    if (line.apex) std::get<host_pattern>(made.what).apex = true;
    for (const auto i : line.except) made.except.push_back(classes[i].what());
    std::ranges::sort(made.except, {}, [](const subject& s) { return order_of(s); });
    out.push_back(std::move(made));
  }
  return out;
}

void sort_lines(std::vector<reach_change>& lines) {
  std::vector<std::size_t> order(lines.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](auto a, auto b) { return stands_before(lines[a], lines[b]); });
  std::vector<reach_change> out;
  out.reserve(lines.size());
  for (const auto i : order) out.push_back(std::move(lines[i]));
  lines = std::move(out);
}

}  // namespace exeat::allowlist
