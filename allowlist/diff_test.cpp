#include "allowlist/diff.hpp"

#include <doctest/doctest.h>

#include <array>

#include "allowlist/diff_terms.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using exeat::core::cidr;

namespace {

// The lines of a phase, and the facts, as a person might note them down. Policies live as long as the case.
struct pair_of_policies {
  policy before, after;
  policy_diff found;
  pair_of_policies(policy_source a, policy_source b)
      : before(compile(std::move(a)).value()),
        after(compile(std::move(b)).value()),
        found(diff(before, after, now).value()) {}

  static std::string note(const reach_change& line) {
    static constexpr std::array<std::string_view, 3> signs = {"+", "-", "~"};
    std::string out(signs[static_cast<std::size_t>(line.kind)]);
    if (const auto* p = std::get_if<host_pattern>(&line.what); p != nullptr && p->apex) out += "apex ";
    out += to_string(line.what);
    for (const auto& except : line.except) out += " except " + to_string(except);
    if (!line.https.ranges().empty()) out += " https " + line.https.to_string();
    if (!line.http.ranges().empty()) out += " http " + line.http.to_string();
    for (const auto& t : line.terms)
      out += " " + std::string(t.name) + " " + t.before + ">" + t.after + " " +
             std::string(to_string(t.direction));
    if (line.from) out += " from " + day_text(*line.from);
    if (line.until) out += " until " + day_text(*line.until);
    return out;
  }
  std::vector<std::string> lines(std::string_view phase = "agent") const {
    std::vector<std::string> out;
    for (const auto& p : found.phases) {
      if (p.name != phase) continue;
      for (const auto& f : p.facts)
        out.push_back("!" + std::string(f.name) + " " + f.before + ">" + f.after + " " +
                      std::string(to_string(f.direction)));
      for (const auto& line : p.changes) out.push_back(note(line));
    }
    return out;
  }
  std::vector<std::string> addresses() const {
    std::vector<std::string> out;
    for (const auto& line : found.addresses) out.push_back(note(line));
    return out;
  }
};

using notes = std::vector<std::string>;
using rules = std::vector<rule>;

notes lines_between(rules before, rules after, rules denied_before = {}, rules denied_after = {}) {
  return pair_of_policies(source_with(std::move(before), std::move(denied_before)),
                          source_with(std::move(after), std::move(denied_after)))
      .lines();
}

rule_terms& terms_of(rule& r) {
  auto made = std::make_shared<rule_terms>(r.terms ? *r.terms : rule_terms{});
  auto& out = *made;
  r.terms = std::move(made);
  return out;
}

}  // namespace

TEST_CASE("diff: rules that come and go, as a person would write them") {
  CHECK(lines_between({}, {allow("x.com")}) == notes{"+x.com https 443"});
  CHECK(lines_between({allow("x.com", {{80, 80}, {443, 443}})}, {allow("x.com")}) ==
        notes{"-x.com https 80 http 80,443"});
  CHECK(lines_between({}, {allow("**.x.com")}) == notes{"+**.x.com https 443"});
  CHECK(lines_between({}, {with_apex(allow("**.x.com"))}) == notes{"+apex **.x.com https 443"});
  CHECK(lines_between({allow("a.x.com")}, {allow("**.x.com")}) ==
        notes{"+**.x.com except a.x.com https 443"});
  CHECK(lines_between({allow("**.x.com")}, {allow("*.x.com")}) ==
        notes{"-**.x.com except *.x.com https 443"});
  // What a wider line says already is not said again.
  CHECK(lines_between({}, {allow("**.x.com"), allow("a.x.com"), allow("*.b.x.com")}) ==
        notes{"+**.x.com https 443"});
  CHECK(lines_between({}, {allow("1.1.1.0/24")}) == notes{"+1.1.1.0/24 https 443"});
  CHECK(lines_between({allow("1.1.1.0/25")}, {allow("1.1.1.0/24")}) ==
        notes{"+1.1.1.0/24 except 1.1.1.0/25 https 443"});
}

TEST_CASE("diff: denies count for what they let through") {
  CHECK(lines_between({allow("**.x.com")}, {allow("**.x.com")}, {}, {deny("bad.x.com")}) ==
        notes{"-bad.x.com https 443"});
  CHECK(lines_between({allow("**.x.com")}, {allow("**.x.com")}, {deny("**.x.com")}, {}) ==
        notes{"+**.x.com https 443"});
  // Nothing that the deny names is allowed.
  CHECK(lines_between({allow("x.com")}, {allow("x.com")}, {}, {deny("y.com")}).empty());
  CHECK(lines_between({}, {allow("**.x.com")}, {deny("bad.x.com")}, {deny("bad.x.com")}) ==
        notes{"+**.x.com except bad.x.com https 443"});
}

TEST_CASE("diff: another text for the same says nothing") {
  auto one = allow("x.com");
  auto other = allow("x.com");
  other.bundle = "node";
  CHECK(lines_between({one}, {other}).empty());
  CHECK(lines_between({allow("**.x.com"), allow("x.com")}, {with_apex(allow("**.x.com"))}).empty());
  CHECK(lines_between({allow("**.x.com")}, {allow("**.x.com"), allow("a.x.com")}).empty());
  CHECK(lines_between({allow("1.1.1.0/24")}, {allow("1.1.1.0/25"), allow("1.1.1.128/25")}).empty());
  CHECK(lines_between({allow("x.com", {{80, 90}})}, {allow("x.com", {{80, 85}}), allow("x.com", {{86, 90}})})
            .empty());
  // An expired rule is no rule.
  CHECK(lines_between({until(allow("x.com"), 2020, 1, 1)}, {}).empty());
}

TEST_CASE("diff: terms, each with its direction") {
  auto a = allow("*.x.com", {{80, 80}});
  auto b = a;
  b.tls = tls_mode::any;
  CHECK(lines_between({a}, {b}) == notes{"~*.x.com https 80 tls require>any wider"});
  b = a;
  auto& terms = terms_of(b);
  terms.max_names = 4;
  terms.limits.upload = 20 << 20;
  terms.resolve_in = {cidr::parse("1.1.1.0/24").value()};
  CHECK(lines_between({a}, {b}) ==
        notes{"~*.x.com https 80 http 80 resolve_in any>1.1.1.0/24 narrower max_names none>4 narrower "
              "upload_limit none>20MiB narrower"});
  // Of plain HTTP alone: no tunnel any more.
  b = a;
  terms_of(b).methods = {"GET", "HEAD"};
  terms_of(b).paths = {"/v1/**"};
  CHECK(lines_between({a}, {b}) ==
        notes{"-*.x.com https 80",
              "~*.x.com http 80 methods any>GET, HEAD narrower paths any>/v1/** narrower"});
  b = a;
  b.ech = ech_mode::allow;
  CHECK(lines_between({a}, {b}) == notes{"~*.x.com https 80 ech refuse>allow wider"});
  // What stands in a more specific rule is that rule's.
  b.what = host_pattern::parse("a.x.com").value();
  b.tls = tls_mode::any;
  b.ech = std::nullopt;
  CHECK(lines_between({a}, {a, b}) == notes{"~a.x.com https 80 tls require>any wider"});
}

TEST_CASE("diff: dates") {
  CHECK(lines_between({until(allow("x.com"), 2027, 3, 31)}, {allow("x.com")}) ==
        notes{"~x.com https 443 expires 2027-03-31>never wider"});
  CHECK(lines_between({}, {until(allow("x.com"), 2027, 3, 31)}) ==
        notes{"+x.com https 443 until 2027-03-31"});
  // A deny that ends opens what it held shut.
  CHECK(lines_between({allow("x.com")}, {allow("x.com")}, {deny("x.com")},
                      {until(deny("x.com"), 2026, 12, 31)}) == notes{"+x.com https 443 from 2027-01-01"});
  // Where a wider rule takes over, only what it says otherwise counts.
  auto loose = allow("**.x.com");
  loose.tls = tls_mode::any;
  CHECK(lines_between({allow("a.x.com"), loose}, {until(allow("a.x.com"), 2027, 3, 31), loose}) ==
        notes{"~a.x.com https 443 tls require>any wider from 2027-04-01"});
}

TEST_CASE("diff: literals pass the guard, too") {
  auto source = source_with({allow("10.0.0.0/24")});
  auto open = source;
  open.addresses.push_back({cidr::parse("10.0.0.7").value(), {}, true, "", {}});
  const pair_of_policies both(source, open);
  CHECK(both.lines() == notes{"+10.0.0.7/32 https 443"});
  REQUIRE(both.found.exceptions.size() == 1);
  CHECK(both.found.exceptions[0].added);
  CHECK(both.found.exceptions[0].literal);
  CHECK(pair_of_policies(source_with({}), source).lines().empty());
  // IPv6 that spells a denied IPv4 address.
  CHECK(lines_between({}, {allow("64:ff9b::/96")}, {deny("8.0.0.0/8")}, {deny("8.0.0.0/8")})
            .front()
            .find(" except 64:ff9b::800:0/104") != std::string::npos);
}

TEST_CASE("diff: what holds for every phase") {
  auto source = source_with({allow("x.com")}, {deny("1.1.1.0/24"), deny("10.0.0.0/8")});
  auto changed = source_with({allow("x.com")}, {deny("1.1.1.0/25")});
  const pair_of_policies both(source, changed);
  // 10/8 is refused anyway, as long as nobody excepts it.
  CHECK(both.addresses() == notes{"+1.1.1.0/24 except 1.1.1.0/25 https any"});
  CHECK(both.found.widened_untrusted == notes{"agent"});
  CHECK(pair_of_policies(changed, source).found.widened_untrusted.empty());
  source.addresses.push_back(
      {cidr::parse("10.0.0.0/24").value(), {host_pattern::parse("a.x.com").value()}, false, "", {}});
  changed.addresses = source.addresses;
  CHECK(pair_of_policies(source, changed).addresses() ==
        notes{"+1.1.1.0/24 except 1.1.1.0/25 https any", "+10.0.0.0/24 https any"});

  auto limited = source;
  limited.limits.upload = 1000;
  const pair_of_policies limits(limited, source);
  REQUIRE(limits.found.facts.size() == 1);
  CHECK(limits.found.facts[0].direction == direction::wider);
  CHECK(limits.found.widened_untrusted == notes{"agent"});
  CHECK(pair_of_policies(source, limited).found.widened_untrusted.empty());
}

TEST_CASE("diff: fewer requests and less time are narrower") {
  const auto source = source_with({allow("a.com")});
  auto limited = source;
  limited.limits.requests = 1000;
  limited.phases[0].limits.requests = 10;
  limited.phases[0].time_limit = std::chrono::minutes(30);
  auto tighter = limited;
  tighter.phases[0].limits.requests = 9;
  tighter.phases[0].time_limit = std::chrono::seconds(90);
  const pair_of_policies came(source, limited);
  CHECK(came.found.widened_untrusted.empty());
  CHECK(came.found.facts == std::vector<term_change>{{"request_limit", "none", "1000", direction::narrower}});
  CHECK(came.found.phases.at(0).facts ==
        std::vector<term_change>{{"request_limit", "none", "10", direction::narrower},
                                 {"time_limit", "none", "30m", direction::narrower}});
  CHECK(pair_of_policies(limited, tighter).found.phases.at(0).facts ==
        std::vector<term_change>{{"request_limit", "10", "9", direction::narrower},
                                 {"time_limit", "30m", "90s", direction::narrower}});
  CHECK(pair_of_policies(tighter, limited).found.widened_untrusted == notes{"agent"});
  CHECK(pair_of_policies(limited, source).found.widened_untrusted == notes{"agent"});
}

TEST_CASE("diff: address exceptions by what they except") {
  const auto with = [](std::vector<address_exception> entries) {
    auto out = source_with({});
    out.addresses = std::move(entries);
    return out;
  };
  const auto entry = [](std::string_view prefix, std::vector<std::string_view> hosts) {
    address_exception out{cidr::parse(prefix).value(), {}, false, "", {}};
    for (const auto host : hosts) out.hosts.push_back(host_pattern::parse(host).value());
    return out;
  };
  const auto count = [&](const policy_source& a, const policy_source& b) {
    const pair_of_policies both(a, b);
    std::size_t added = 0;
    for (const auto& change : both.found.exceptions) added += change.added ? 1 : 0;
    return std::pair(added, both.found.exceptions.size() - added);
  };
  const auto base = with({entry("10.0.0.0/24", {"a.x.com", "b.x.com"})});
  using counts = std::pair<std::size_t, std::size_t>;
  CHECK(count(base, with({entry("10.0.0.0/24", {"b.x.com"}), entry("10.0.0.0/24", {"a.x.com"})})) ==
        counts{0, 0});
  CHECK(count(base, with({entry("10.0.0.0/24", {"a.x.com"})})) == counts{0, 1});
  CHECK(count(base, with({entry("10.0.0.0/23", {"a.x.com", "b.x.com"})})) == counts{1, 0});
  CHECK(count(base, with({entry("10.0.0.0/24", {"**.x.com"})})) == counts{1, 0});
  CHECK(count(base, with({entry("10.0.0.0/24", {"*.x.com"}), entry("10.0.0.0/25", {"a.x.com"})})) ==
        counts{1, 0});
  CHECK(count(base, with({entry("10.1.0.0/24", {"a.x.com", "b.x.com"})})) == counts{1, 1});
}

TEST_CASE("diff: phases as a whole") {
  auto trusted = source_with({allow("x.com")});
  trusted.phases[0].untrusted = false;
  const auto untrusted = source_with({allow("x.com")});
  const pair_of_policies loosened(untrusted, trusted);
  CHECK(loosened.lines() == notes{"!untrusted true>false wider",
                                  "!hints code>full neither wider nor narrower", "!ech refuse>allow wider"});
  CHECK(loosened.found.widened_untrusted == notes{"agent"});
  CHECK(pair_of_policies(trusted, untrusted).found.widened_untrusted.empty());
  // Trusted in both: whatever opens, nobody need look twice.
  auto wide = trusted;
  wide.phases[0].allow.push_back(allow("y.com"));
  CHECK(pair_of_policies(trusted, wide).found.widened_untrusted.empty());
  // Untrusted in the old one only is untrusted all the same.
  CHECK(pair_of_policies(untrusted, wide).found.widened_untrusted == notes{"agent"});

  auto audit = untrusted;
  audit.phases[0].mode = phase_mode::audit;
  CHECK(pair_of_policies(untrusted, audit).lines() == notes{"!mode enforce>audit wider"});
  CHECK(pair_of_policies(untrusted, audit).found.widened_untrusted == notes{"agent"});

  auto more = untrusted;
  more.phases.push_back(phase_with("mcp", {allow("m.com")}));
  const pair_of_policies added(untrusted, more);
  CHECK(added.lines("agent").empty());
  CHECK(added.lines("mcp") == notes{"+m.com https 443"});
  CHECK(added.found.widened_untrusted == notes{"mcp"});
  CHECK(pair_of_policies(more, untrusted).lines("mcp") == notes{"-m.com https 443"});
  CHECK(pair_of_policies(more, untrusted).found.widened_untrusted.empty());
  // A new phase that lets everything through.
  more.phases[1].allow.clear();
  CHECK(pair_of_policies(untrusted, more).found.widened_untrusted.empty());
  CHECK(pair_of_policies(untrusted, more).found.phases.size() == 1);
  more.phases[1].mode = phase_mode::audit;
  CHECK(pair_of_policies(untrusted, more).found.widened_untrusted == notes{"mcp"});

  auto final = untrusted;
  final.phases[0].final = true;
  CHECK(pair_of_policies(final, untrusted).lines() == notes{"!final true>false neither wider nor narrower"});
  CHECK(pair_of_policies(final, untrusted).found.widened_untrusted.empty());
}

TEST_CASE("diff: what is only worded otherwise is counted") {
  auto a = allow("x.com");
  auto b = a;
  b.reason = "because";
  auto c = allow("y.com");
  auto d = c;
  d.tls = tls_mode::any;
  d.owner = "me";
  const pair_of_policies both(source_with({a, c}), source_with({b, d}));
  CHECK(both.found.reworded == 1);
  CHECK(both.lines().size() == 1);
  REQUIRE(both.found.phases[0].changes[0].before != nullptr);
  CHECK(both.found.phases[0].changes[0].after->owner == "me");
}

TEST_CASE("diff: names of the greatest length") {
  std::string name;
  while (name.size() + 64 < 253) name += std::string(60, 'a') + ".";
  name += std::string(253 - name.size(), 'b');
  REQUIRE(name.size() == 253);
  // Nothing can stand in front of it.
  CHECK(lines_between({}, {allow("**." + name)}).empty());
  CHECK(lines_between({}, {allow(name)}).size() == 1);
  // Room for one label of one octet, and whoever wrote the policy has named most of them.
  const auto shorter = name.substr(2);
  rules all{allow("**." + shorter)};
  rules denied;
  for (const char c : std::string_view("abcdefghijklmnopqrstuvwxyz012345678_"))
    denied.push_back(deny(std::string(1, c) + "." + shorter));
  const auto found = lines_between({}, all, denied, denied);
  REQUIRE(found.size() == 1);
  CHECK(found[0].starts_with("+**." + shorter));
  denied.push_back(deny("9." + shorter));
  CHECK(lines_between({}, all, denied, denied).empty());
}

TEST_CASE("diff: rules too entangled end in an error, not in an hour") {
  rules many;
  for (std::uint16_t i = 0; i < 4000; ++i) {
    const auto port = static_cast<std::uint16_t>(1 + 2 * i);
    many.push_back(until(allow("**.x.com", {{port, port}}), 2030, 1, 1));
    many.push_back(until(deny("n" + std::to_string(i) + ".x.com"), 2027, 1 + i % 12u, 1 + i % 28u));
  }
  rules allowed, denied;
  for (auto& r : many) (std::get<host_pattern>(r.what).depth == depth::exact ? denied : allowed).push_back(r);
  const auto p = policy_with(allowed, denied);
  const auto q = policy_with({allow("**.x.com", {{1, 65535}})}, denied);
  CHECK_FALSE(diff(p, q, now).has_value());
}
