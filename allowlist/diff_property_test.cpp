// The difference of two policies against brute force: every destination of a small world asked of both.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>

#include "allowlist/address_guard.hpp"
#include "allowlist/diff.hpp"
#include "allowlist/path_pattern.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using exeat::core::reason;
using exeat::core::scheme;

namespace {

constexpr std::uint16_t most_ports = 6;
constexpr std::uint16_t implied_port = 3;

struct generator {
  std::mt19937_64 engine;
  int below(int n) { return static_cast<int>(engine() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return below(n) == 0; }
  template <std::size_t N>
  std::string_view of(const std::array<std::string_view, N>& words) {
    return words[static_cast<std::size_t>(below(static_cast<int>(N)))];
  }

  std::string what() {
    if (one_in(4)) {
      static constexpr std::array<std::string_view, 12> prefixes = {
          "8.8.8.0/29",           "8.8.8.0/30",         "8.8.8.4/30",  "8.8.8.2/31",
          "8.8.8.3/32",           "10.0.0.0/8",         "10.0.0.0/31", "10.0.0.1/32",
          "64:ff9b::808:800/125", "64:ff9b::a00:0/126", "2600::/126",  "2600::2/127"};
      return std::string(of(prefixes));
    }
    static constexpr std::array<std::string_view, 2> labels = {"a", "b"};
    std::string out(of(labels));
    for (int more = below(3); more > 0; --more) out = std::string(of(labels)) + "." + out;
    return std::array{"", "*.", "**."}[static_cast<std::size_t>(below(3))] + out;
  }
  std::vector<port_range> ports() {
    std::vector<port_range> out;
    for (int n = 1 + below(2); n > 0; --n) {
      const auto first = static_cast<std::uint16_t>(1 + below(most_ports));
      out.push_back({first, static_cast<std::uint16_t>(first + below(most_ports + 1 - first))});
    }
    return out;
  }
  std::vector<std::string> some(std::vector<std::string> of) {
    std::erase_if(of, [&](const auto&) { return one_in(2); });
    return of;
  }
  std::shared_ptr<const rule_terms> terms(bool of_wildcard) {
    rule_terms out;
    if (one_in(3))
      out.resolve_in = {exeat::core::cidr::parse(one_in(2) ? "8.8.8.0/30" : "8.8.0.0/16").value()};
    if (one_in(3)) out.resolve_in.push_back(exeat::core::cidr::parse("8.8.8.4/30").value());
    if (of_wildcard && one_in(3)) out.max_names = 1 + below(2);
    if (of_wildcard && one_in(3)) out.max_name_entropy = 4 + 8 * static_cast<std::uint32_t>(below(3));
    if (one_in(4)) out.limits.upload = 1 + below(2);
    if (one_in(4)) out.limits.download = 1 + below(2);
    out.limits.requests = out.limits.download;
    if (one_in(3)) out.methods = some({"GET", "POST"});
    if (one_in(3)) out.paths = some({"/", "/*", "/**", "/a", "/a/", "/a/*", "/a/**", "/a/b", "/*/b"});
    if (out == rule_terms{}) return nullptr;
    return std::make_shared<const rule_terms>(std::move(out));
  }
  rule any_rule(bool denied) {
    const auto text = what();
    rule out = allow(text, one_in(3) ? std::vector<port_range>{} : ports());
    if (!out.ports_written) out.ports = port_set::of({{implied_port, implied_port}});
    if (denied && one_in(2)) out.ports = port_set::any();
    auto* pattern = std::get_if<host_pattern>(&out.what);
    const bool wildcard = pattern != nullptr && pattern->depth != depth::exact;
    if (wildcard) pattern->apex = one_in(3);
    if (one_in(3)) out = until(std::move(out), 2026, 6, static_cast<unsigned>(13 + below(5)));
    if (denied) return out;
    if (one_in(4)) out.tls = tls_mode::any;
    if (one_in(5)) out.ech = one_in(2) ? ech_mode::allow : ech_mode::refuse;
    if (one_in(4)) out.bundle = "node";
    if (pattern != nullptr && one_in(3)) out.terms = terms(wildcard);
    return out;
  }
  phase any_phase(std::string_view name) {
    phase out = phase_with(name, {});
    out.untrusted = one_in(2);
    if (one_in(3)) out.ech = one_in(2) ? ech_mode::allow : ech_mode::refuse;
    if (one_in(4)) out.mode = phase_mode::audit;
    for (int n = below(7); n > 0; --n) out.allow.push_back(any_rule(false));
    return out;
  }
  address_exception any_exception() {
    static constexpr std::array<std::string_view, 3> prefixes = {"10.0.0.0/8", "10.0.0.0/31", "10.0.0.1/32"};
    return {exeat::core::cidr::parse(of(prefixes)).value(),
            {host_pattern::parse("a.b").value()},
            one_in(2),
            "",
            {}};
  }
  policy_source any_source() {
    policy_source out;
    out.phases.push_back(any_phase("agent"));
    if (one_in(4)) out.phases.push_back(any_phase("setup"));
    for (int n = below(4); n > 0; --n) out.deny.push_back(any_rule(true));
    for (int n = below(3); n > 0; --n) out.addresses.push_back(any_exception());
    return out;
  }
  // A pull request: some rules taken out, put in or changed.
  policy_source edited(policy_source source) {
    const auto edit = [&](std::vector<rule>& rules, bool denied) {
      std::erase_if(rules, [&](const rule&) { return one_in(4); });
      if (one_in(2)) rules.push_back(any_rule(denied));
      if (!rules.empty() && one_in(2)) {
        auto& one = rules[static_cast<std::size_t>(below(static_cast<int>(rules.size())))];
        one.tls = one.tls == tls_mode::any ? tls_mode::require : tls_mode::any;
        if (one_in(2)) one.expires.reset();
        if (!denied && std::holds_alternative<host_pattern>(one.what)) one.terms = terms(false);
      }
    };
    for (auto& phase : source.phases) {
      edit(phase.allow, false);
      if (one_in(6)) phase.ech = ech_mode::allow;
    }
    edit(source.deny, true);
    if (one_in(3)) source.addresses.clear();
    if (one_in(3)) source.addresses.push_back(any_exception());
    return source;
  }
  std::optional<policy> compiled(policy_source source) {
    auto out = compile(std::move(source));
    if (!out) return std::nullopt;
    return std::move(*out);
  }
};

std::vector<exeat::core::host> all_hosts() {
  std::vector<exeat::core::host> out;
  std::vector<std::string> names{""};
  for (int depth = 1; depth <= 4; ++depth) {
    std::vector<std::string> longer;
    for (const auto& rest : names) {
      for (const std::string label : {"a", "b", "fresh"})
        longer.push_back(rest.empty() ? label : label + "." + rest);
    }
    for (const auto& text : longer) out.emplace_back(name(text));
    // Two labels in front of what a rule may name.
    if (depth == 3) {
      for (const auto& rest : longer) out.emplace_back(name("fresh.fresh." + rest));
    }
    names = longer;
  }
  for (const std::string_view base : {"8.8.8.", "10.0.0."}) {
    for (int i = 0; i < 9; ++i) out.emplace_back(ip(std::string(base) + std::to_string(i)));
  }
  for (const std::string_view base : {"64:ff9b::808:80", "64:ff9b::a00:", "2600::"}) {
    for (int i = 0; i < 9; ++i) out.emplace_back(ip(std::string(base) + std::to_string(i)));
  }
  return out;
}

const std::vector<std::string> methods{"GET", "POST", "OTHER"};
const std::vector<std::string> paths{"/",     "/a",   "/a/",  "/b",     "/x",     "/x/",   "/a/b",  "/a/x",
                                     "/a/b/", "/x/b", "/x/y", "/a/b/x", "/x/b/x", "/a/x/", "/x/y/z"};

struct answer {
  std::set<std::pair<std::string, std::string>> passes;  // method and path; of CONNECT ("", "")
  const rule* governing = nullptr;
  const phase* of = nullptr;
};

answer ask_all(const policy& p, std::string_view phase, const exeat::core::destination& to, scheme scheme,
               std::chrono::sys_seconds at) {
  answer out;
  const auto id = p.find_phase(phase);
  if (!id) return out;
  out.of = &p.phase_of(*id);
  const auto one = [&](const std::string& method, const std::string& path) {
    const auto d = decide(p, {*id, scheme, &to, at, method, path});
    // Which names pass stands in the terms.
    if (d.reason != reason::allowed && d.reason != reason::name_entropy) return;
    if (const auto* literal = std::get_if<exeat::core::ip_address>(&to.host);
        literal != nullptr && guard(p, to, {literal, 1}, at, d.governing))
      return;
    out.passes.emplace(method, path);
    out.governing = d.governing;
  };
  const auto first = decide(p, {*id, scheme, &to, at});
  if (scheme == scheme::https || first.governing == nullptr || !first.governing->terms) {
    one("", "");  // methods and paths stand in terms
  } else {
    for (const auto& method : methods) {
      for (const auto& path : paths) one(method, path);
    }
  }
  return out;
}

template <class Set>
void expect_sets(std::map<std::string, direction>& out, std::string_view name, const Set& before,
                 const Set& after) {
  if (before == after) return;
  const bool grows = std::ranges::includes(after, before);
  const bool shrinks = std::ranges::includes(before, after);
  out[std::string(name)] = grows ? direction::wider : shrinks ? direction::narrower : direction::both;
}

template <class Number>
void expect_bound(std::map<std::string, direction>& out, std::string_view name,
                  const std::optional<Number>& before, const std::optional<Number>& after) {
  constexpr auto most = std::numeric_limits<Number>::max();
  if (before == after) return;
  out[std::string(name)] =
      after.value_or(most) > before.value_or(most) ? direction::wider : direction::narrower;
}

// The terms that differ where both let it through, from first principles.
std::map<std::string, direction> expected_terms(const answer& before, const answer& after, scheme scheme) {
  static const rule_terms none;
  const auto& x = before.governing->terms ? *before.governing->terms : none;
  const auto& y = after.governing->terms ? *after.governing->terms : none;
  std::map<std::string, direction> out;
  if (scheme == scheme::https) {
    if (before.governing->tls != after.governing->tls)
      out["tls"] = after.governing->tls == tls_mode::any ? direction::wider : direction::narrower;
    const auto ech = ech_of(*after.of, after.governing);
    if (ech != ech_of(*before.of, before.governing) && (before.governing->ech || after.governing->ech))
      out["ech"] = ech == ech_mode::allow ? direction::wider : direction::narrower;
  }
  const auto resolves = [](const rule_terms& t) {
    std::set<int> held;
    for (int i = 0; i < 1024; ++i) {
      const auto address =
          exeat::core::ip_address::v4(0x08080000U + static_cast<unsigned>(i * 4 + i % 4) % 65536);
      const auto near = exeat::core::ip_address::v4(0x08080800U + static_cast<unsigned>(i % 16));
      const auto in = [&](const auto& a) {
        return t.resolve_in.empty() ||
               std::ranges::any_of(t.resolve_in, [&](const auto& c) { return c.contains(a); });
      };
      if (in(address)) held.insert(i);
      if (in(near)) held.insert(2000 + i % 16);
    }
    if (t.resolve_in.empty()) held.insert(-1);
    return held;
  };
  expect_sets(out, "resolve_in", resolves(x), resolves(y));
  expect_bound(out, "max_names", x.max_names, y.max_names);
  // What a bound counts is what stands in front of the name of its rule.
  const auto named = [](const answer& a) {
    const auto* pattern = std::get_if<host_pattern>(&a.governing->what);
    return pattern == nullptr ? std::size_t{0} : pattern->name.view().size();
  };
  if (x.max_name_entropy && y.max_name_entropy && named(before) != named(after)) {
    const bool more = *y.max_name_entropy > *x.max_name_entropy || named(after) > named(before);
    const bool less = *y.max_name_entropy < *x.max_name_entropy || named(after) < named(before);
    out["max_name_entropy"] = more && less ? direction::both : more ? direction::wider : direction::narrower;
  } else {
    expect_bound(out, "max_name_entropy", x.max_name_entropy, y.max_name_entropy);
  }
  expect_bound(out, "upload_limit", x.limits.upload, y.limits.upload);
  expect_bound(out, "download_limit", x.limits.download, y.limits.download);
  expect_bound(out, "request_limit", x.limits.requests, y.limits.requests);
  if (scheme == scheme::https) return out;
  const auto of_methods = [](const rule_terms& t) {
    auto held = t.methods.empty() ? std::set<std::string>{"", "GET", "POST"}
                                  : std::set<std::string>(t.methods.begin(), t.methods.end());
    return held;
  };
  const auto of_paths = [](const rule_terms& t) {
    std::set<std::string> held;
    for (const auto& path : paths) {
      if (t.paths.empty() ||
          std::ranges::any_of(t.paths, [&](const auto& p) { return path_matches(p, path); }))
        held.insert(path);
    }
    if (t.paths.empty()) held.insert("%2e");  // what no pattern takes
    return held;
  };
  expect_sets(out, "methods", of_methods(x), of_methods(y));
  expect_sets(out, "paths", of_paths(x), of_paths(y));
  return out;
}

const std::vector<exeat::core::host>& hosts() {
  static const auto all = all_hosts();
  return all;
}

struct tally {
  std::size_t asked = 0, differing = 0, lines = 0, later = 0, resolved = 0;
};

// Everything that brute force sees at one time stands in a line, and every line holds for all that it covers.
void check_against_brute_force(const policy& a, const policy& b, const policy_diff& found, tally& seen) {
  static const std::vector<reach_change> nothing;
  for (const std::string_view phase : {"agent", "setup"}) {
    const auto entry = std::ranges::find(found.phases, phase, &phase_diff::name);
    const auto& lines = entry == found.phases.end() ? nothing : entry->changes;
    seen.lines += lines.size();
    std::vector<std::size_t> used(lines.size());
    for (const auto& host : hosts()) {
      std::vector<const reach_change*> near;
      for (const auto& line : lines) {
        if (line.covers(host)) near.push_back(&line);
      }
      for (std::uint16_t port = 1; port <= most_ports; ++port) {
        for (const auto scheme : {scheme::https, scheme::http}) {
          const exeat::core::destination to{host, port};
          CAPTURE(phase);
          CAPTURE(exeat::core::to_string(to));
          CAPTURE(static_cast<int>(scheme));
          for (int day = 0; day < 5; ++day) {
            const auto at = now + std::chrono::days(day);
            CAPTURE(day);
            const auto today = std::chrono::floor<std::chrono::days>(at);
            const auto before = ask_all(a, phase, to, scheme, at);
            const auto after = ask_all(b, phase, to, scheme, at);
            ++seen.asked;
            std::optional<change_kind> wanted;
            std::map<std::string, direction> terms;
            if (before.passes.empty() != after.passes.empty()) {
              wanted =
                  after.passes.empty() ? change_kind::stops_being_reachable : change_kind::becomes_reachable;
            } else if (!before.passes.empty()) {
              terms = expected_terms(before, after, scheme);
              if (!terms.empty()) wanted = change_kind::terms;
            }
            seen.differing += wanted ? 1 : 0;
            // What the lines say of this destination on this day.
            bool told = false;
            int beginning = 0;
            for (const auto* line : near) {
              if (!(scheme == scheme::https ? line->https : line->http).contains(port)) continue;
              const bool begins = line->from ? *line->from == today : day == 0;
              const bool began = !line->from || *line->from <= today;
              if (begins) {
                ++used[static_cast<std::size_t>(line - lines.data())];
                if (line->from) ++seen.later;
                CHECK(++beginning == 1);
                const bool only_expires = line->terms.size() == 1 && line->terms[0].name == "expires";
                if (!only_expires) {
                  REQUIRE(wanted.has_value());
                  REQUIRE(line->kind == *wanted);
                }
                if (line->kind == change_kind::terms) {
                  std::map<std::string, direction> said;
                  for (const auto& term : line->terms) said[std::string(term.name)] = term.direction;
                  said.erase("expires");
                  REQUIRE(said == terms);
                }
                told = true;
              } else if (began && wanted) {
                const bool lasts = !line->until || *line->until >= today;
                if (line->kind == *wanted && line->kind != change_kind::terms) told |= lasts;
                if (line->kind == change_kind::terms) {
                  for (const auto& term : line->terms) {
                    if (term.name != "expires") continue;
                    told |= *wanted == change_kind::becomes_reachable && term.direction == direction::wider;
                    told |= *wanted == change_kind::stops_being_reachable &&
                            term.direction == direction::narrower;
                  }
                  told |= *wanted == change_kind::terms;
                }
              }
            }
            if (wanted) REQUIRE(told);
          }
        }
      }
    }
    for (const auto& line : lines) {
      CAPTURE(to_string(line.what));
      CHECK(used[static_cast<std::size_t>(&line - lines.data())] > 0);
      CHECK((line.kind == change_kind::terms) == !line.terms.empty());
    }
  }
}

// Which addresses names may resolve to: by `deny`, where nothing else refuses them anyway.
void check_resolved(const policy& a, const policy& b, const policy_diff& found, tally& seen) {
  const auto excepts = [](const policy& p, const exeat::core::ip_address& address) {
    return std::ranges::any_of(p.source().addresses,
                               [&](const address_exception& e) { return e.prefix.contains(address); });
  };
  for (const auto& host : hosts()) {
    const auto* address = std::get_if<exeat::core::ip_address>(&host);
    if (address == nullptr) continue;
    for (std::uint16_t port = 1; port <= most_ports; ++port) {
      for (int day = 0; day < 5; ++day) {
        const auto at = now + std::chrono::days(day);
        const auto today = std::chrono::floor<std::chrono::days>(at);
        const auto denied = [&](const policy& p) {
          const auto refusal = guard(p, to("a.b", port), {address, 1}, at);
          return refusal && refusal->reason == reason::address_denied;
        };
        std::optional<change_kind> wanted;
        if (denied(a) != denied(b) &&
            (special_range_of(*address) == nullptr || excepts(a, *address) || excepts(b, *address)))
          wanted = denied(b) ? change_kind::stops_being_reachable : change_kind::becomes_reachable;
        bool told = false;
        const auto octets = address->bytes();
        const bool nat64 = address->is_v6() && octets[1] == 0x64;
        const auto inner = nat64 ? exeat::core::ip_address::v4((std::uint32_t{octets[12]} << 24) |
                                                               (std::uint32_t{octets[13]} << 16) |
                                                               (std::uint32_t{octets[14]} << 8) | octets[15])
                                 : *address;
        for (const auto& line : found.addresses) {
          if ((!line.covers(host) && !line.covers(inner)) || !line.https.contains(port)) continue;
          const auto first = line.from.value_or(std::chrono::floor<std::chrono::days>(now));
          if (line.terms.empty() && first <= today && (!line.until || *line.until >= today)) {
            CAPTURE(to_string(line.what));
            CAPTURE(day);
            // What began earlier may have been taken back by a later line.
            if (first == today && line.covers(host)) REQUIRE(wanted == line.kind);
            told |= wanted == line.kind;
          } else if (!line.terms.empty()) {
            REQUIRE(line.terms.size() == 1);
            REQUIRE(line.terms[0].name == "expires");
            told |= wanted ==
                    (line.is_wider() ? change_kind::becomes_reachable : change_kind::stops_being_reachable);
          }
        }
        CAPTURE(address->to_string());
        CAPTURE(port);
        CAPTURE(day);
        if (wanted) REQUIRE(told);
        seen.resolved += wanted ? 1 : 0;
      }
    }
  }
}

// What a line says, without the rules and places that it cites.
std::string digest(const policy_diff& diff, bool reversed) {
  std::set<std::string> out;
  const auto add = [&](const std::string& phase, const reach_change& line) {
    auto kind = line.kind;
    if (reversed && kind != change_kind::terms)
      kind = kind == change_kind::becomes_reachable ? change_kind::stops_being_reachable
                                                    : change_kind::becomes_reachable;
    std::string text = phase + " " + std::to_string(static_cast<int>(kind)) + " " + to_string(line.what);
    if (const auto* p = std::get_if<host_pattern>(&line.what); p != nullptr && p->apex) text += "+apex";
    for (const auto& except : line.except) text += " -" + to_string(except);
    text += " " + line.https.to_string() + "/" + line.http.to_string();
    for (const auto& term : line.terms) {
      auto way = term.direction;
      if (reversed && way != direction::both)
        way = way == direction::wider ? direction::narrower : direction::wider;
      text += " " + std::string(term.name) + ":" + (reversed ? term.after : term.before) + ">" +
              (reversed ? term.before : term.after) + std::string(to_string(way));
    }
    if (line.from) text += " from " + std::to_string(line.from->time_since_epoch().count());
    if (line.until) text += " until " + std::to_string(line.until->time_since_epoch().count());
    out.insert(text);
  };
  for (const auto& phase : diff.phases) {
    for (const auto& line : phase.changes) add(phase.name, line);
  }
  for (const auto& line : diff.addresses) add("*", line);
  std::string all;
  for (const auto& text : out) all += text + "\n";
  return all;
}

}  // namespace

TEST_CASE("diff: what brute force finds stands in a line, and every line is true") {
  generator random{std::mt19937_64(20261121)};
  tally seen;
  std::size_t pairs = 0;
  // More than a build should wait for, by hand.
  const auto* more = std::getenv("EXEAT_DIFF_ROUNDS");
  const int rounds = more == nullptr ? 70 : std::atoi(more);
  for (int round = 0; round < rounds; ++round) {
    const auto source = random.any_source();
    const auto a = random.compiled(source);
    const auto b = random.compiled(random.one_in(4) ? random.any_source() : random.edited(source));
    if (!a || !b) continue;
    CAPTURE(round);
    ++pairs;
    const auto found = diff(*a, *b, now);
    REQUIRE(found.has_value());
    check_against_brute_force(*a, *b, *found, seen);
    check_resolved(*a, *b, *found, seen);
    CHECK(digest(*found, false) == digest(diff(*b, *a, now).value(), true));
  }
  MESSAGE(pairs << " pairs, " << seen.asked << " destinations asked, " << seen.differing << " differ, "
                << seen.lines << " lines; " << seen.later << " destinations differ from a later day on");
  CHECK(pairs > 30);
  CHECK(seen.lines > 100);
  CHECK(seen.later > 50);
  CHECK(seen.resolved > 500);
}

TEST_CASE("diff: a policy does not differ from itself, in whatever order it stands") {
  generator random{std::mt19937_64(7)};
  std::size_t policies = 0;
  for (int round = 0; round < 300; ++round) {
    auto source = random.any_source();
    const auto a = random.compiled(source);
    if (!a) continue;
    ++policies;
    for (auto& phase : source.phases) std::ranges::shuffle(phase.allow, random.engine);
    std::ranges::shuffle(source.deny, random.engine);
    std::ranges::shuffle(source.phases, random.engine);
    std::ranges::shuffle(source.addresses, random.engine);
    for (auto& rule : source.phases[0].allow) rule.where.line += 100;
    const auto b = random.compiled(source);
    REQUIRE(b.has_value());
    const auto found = diff(*a, *b, now);
    REQUIRE(found.has_value());
    CHECK(found->is_empty());
    CHECK(found->reworded == 0);
    CHECK(found->widened_untrusted.empty());
  }
  CHECK(policies > 80);
}
