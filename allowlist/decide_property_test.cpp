// The compiled matcher against a reading of DESIGN section 2 that a child could follow.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <random>

#include "allowlist/address_guard.hpp"
#include "allowlist/test_policy.hpp"

using namespace exeat::allowlist;
using namespace exeat::allowlist::testing;
using exeat::core::reason;
using exeat::core::scheme;

namespace {

std::atomic<std::size_t> allocations{0};

struct generator {
  std::mt19937_64 engine;
  int below(int n) { return static_cast<int>(engine() % static_cast<unsigned>(n)); }
  bool one_in(int n) { return below(n) == 0; }

  std::string host() {
    static constexpr std::array labels = {"a", "x", "com"};
    std::string out = labels[static_cast<std::size_t>(below(3))];
    for (int more = below(4); more > 0; --more)
      out.insert(0, ".").insert(0, labels[static_cast<std::size_t>(below(3))]);
    return out;
  }
  std::string literal() {
    if (one_in(4)) return "2600::" + std::to_string(below(4));
    return "8.8." + std::to_string(below(3)) + "." + std::to_string(below(3));
  }
  std::uint16_t port() {
    static constexpr std::array ports = {80, 443, 443, 8080, 8081};
    return static_cast<std::uint16_t>(ports[static_cast<std::size_t>(below(5))]);
  }
  rule any_rule(bool denied) {
    std::string what;
    if (one_in(4)) {
      static constexpr std::array prefixes = {"0.0.0.0/0",  "8.8.0.0/16", "8.8.1.0/24",  "8.8.1.1/32",
                                              "8.8.0.0/23", "2600::/16",  "2600::2/127", "::/0"};
      what = prefixes[static_cast<std::size_t>(below(8))];
    } else {
      what = std::array{"", "*.", "**."}[static_cast<std::size_t>(below(3))] + host();
    }
    std::vector<port_range> ports;
    for (int n = below(3); n > 0; --n) ports.push_back({port(), port()});
    for (auto& r : ports) r = {std::min(r.first, r.last), std::max(r.first, r.last)};
    if (denied && ports.empty()) ports = {{1, 65535}};
    rule out = allow(what, ports);
    if (auto* p = std::get_if<host_pattern>(&out.what); p != nullptr && p->depth != depth::exact)
      p->apex = one_in(3);
    if (one_in(5)) out = until(std::move(out), 2020, 1, 1);
    if (one_in(5)) out = until(std::move(out), 2030, 1, 1);
    if (one_in(8)) out.tls = tls_mode::any;
    if (!denied && one_in(4)) out.bundle = one_in(2) ? "one" : "two";
    if (!denied && one_in(4)) {
      rule_terms terms;
      if (one_in(2)) terms.methods = {"GET", "HEAD"};
      if (one_in(2)) terms.paths = {one_in(2) ? "/a/**" : "/b"};
      if (one_in(4)) terms.max_names = 3;
      if (one_in(3)) terms.max_name_entropy = 4 * static_cast<std::uint32_t>(1 + below(8));
      if (terms != rule_terms{}) out.terms = std::make_shared<const rule_terms>(std::move(terms));
    }
    return out;
  }
  std::string_view method() {
    return std::array{"GET", "HEAD", "POST", ""}[static_cast<std::size_t>(below(4))];
  }
  std::string_view path() {
    return std::array{"/a/x", "/a/", "/a", "/b", "/b/..", "/a/%2e", ""}[static_cast<std::size_t>(below(7))];
  }
};

std::vector<std::string> labels_of(std::string_view name) {
  std::vector<std::string> out{""};
  for (const char c : name) {
    if (c == '.') {
      out.emplace_back();
    } else {
      out.back() += c;
    }
  }
  return out;
}

// {does it match, how specifically: exact before all, then more labels, then * before **}
struct reach {
  bool matches = false;
  bool exact = false;
  std::size_t length = 0;  // labels of the suffix, or bits of the prefix
  bool one = false;
};

reach reach_of(const rule& r, const exeat::core::destination& d) {
  if (const auto* address = std::get_if<exeat::core::ip_address>(&d.host)) {
    const auto* prefix = std::get_if<exeat::core::cidr>(&r.what);
    if (prefix == nullptr || !prefix->contains(*address)) return {};
    return {true, false, prefix->length, false};
  }
  const auto* pattern = std::get_if<host_pattern>(&r.what);
  if (pattern == nullptr) return {};
  const auto mine = labels_of(pattern->name.view());
  const auto theirs = labels_of(std::get<exeat::core::host_name>(d.host).view());
  if (theirs.size() < mine.size()) return {};
  if (!std::equal(mine.rbegin(), mine.rend(), theirs.rbegin())) return {};
  const auto front = theirs.size() - mine.size();
  if (front == 0) return {pattern->depth == depth::exact || pattern->apex, true, mine.size(), false};
  const bool one = pattern->depth == depth::one_label;
  return {(one && front == 1) || pattern->depth == depth::any_labels, false, mine.size(), one};
}

bool more_specific(const rule& a, const rule& b, const exeat::core::destination& d) {
  const auto x = reach_of(a, d);
  const auto y = reach_of(b, d);
  if (x.exact != y.exact) return x.exact;
  if (x.length != y.length) return x.length > y.length;
  if (x.one != y.one) return x.one;
  if (a.bundle.empty() != b.bundle.empty()) return a.bundle.empty();
  return a.ports.size() < b.ports.size();
}

bool naive_expired(const rule& r) {
  return r.expires && *r.expires < std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(now));
}

// The verdict, the reason, and all rules that may rightly be named as governing.
struct answer {
  verdict v = verdict::deny;
  reason r = reason::no_rule;
  std::vector<const rule*> candidates;
};

// What the governing rule's methods and paths say, of the few that the generator writes.
reason by_http(const rule& r, scheme s, std::string_view method, std::string_view path) {
  if (!r.terms || (r.terms->methods.empty() && r.terms->paths.empty())) return reason::allowed;
  if (s == scheme::https) return reason::http_only;
  if (!r.terms->methods.empty() && method != "GET" && method != "HEAD") return reason::method_not_allowed;
  if (r.terms->paths.empty()) return reason::allowed;
  const bool under_a = path == "/a/x" || path == "/a/";
  return (r.terms->paths[0] == "/b" ? path == "/b" : under_a) ? reason::allowed : reason::path_not_allowed;
}

// Of the labels a, x and com.
reason by_terms(const rule& r, const exeat::core::destination& d, scheme s, std::string_view method,
                std::string_view path) {
  if (const auto why = by_http(r, s, method, path); why != reason::allowed) return why;
  if (!r.terms || !r.terms->max_name_entropy) return reason::allowed;
  const auto* pattern = std::get_if<host_pattern>(&r.what);
  if (pattern == nullptr || pattern->depth == depth::exact) return reason::allowed;
  auto labels = labels_of(std::get<exeat::core::host_name>(d.host).view());
  labels.resize(labels.size() - labels_of(pattern->name.view()).size());
  double size = labels.empty() ? 0 : static_cast<double>(labels.size() - 1);
  for (const auto& label : labels) size += static_cast<double>(label.size());
  const bool hexadecimal = std::ranges::all_of(labels, [](const auto& label) { return label == "a"; });
  const double alphabet = labels.size() > 1 ? 39 : hexadecimal ? 16 : 26;
  return size * std::log2(alphabet) > *r.terms->max_name_entropy ? reason::name_entropy : reason::allowed;
}

answer naive(const policy_source& source, const exeat::core::destination& d, scheme s,
             std::string_view method = {}, std::string_view path = {}) {
  const auto keep_best = [&](std::vector<const rule*> rules) {
    std::erase_if(rules, [&, all = rules](const rule* r) {
      return std::ranges::any_of(all, [&](const rule* other) { return more_specific(*other, *r, d); });
    });
    return rules;
  };
  std::vector<const rule*> denied, full, expired, implied, other;
  for (const auto& r : source.deny) {
    if (reach_of(r, d).matches && r.ports.contains(d.port) && !naive_expired(r)) denied.push_back(&r);
  }
  if (!denied.empty()) return {verdict::deny, reason::deny_rule, keep_best(denied)};
  for (const auto& r : source.phases[0].allow) {
    if (!reach_of(r, d).matches) continue;
    if (!r.ports.contains(d.port)) {
      other.push_back(&r);
    } else if (s == scheme::http && !r.ports_written) {
      implied.push_back(&r);
    } else if (naive_expired(r)) {
      expired.push_back(&r);
    } else {
      full.push_back(&r);
    }
  }
  if (!full.empty()) {
    full = keep_best(full);
    const auto why = by_terms(*full.front(), d, s, method, path);
    return {why == reason::allowed ? verdict::allow : verdict::deny, why, full};
  }
  if (!expired.empty()) return {verdict::deny, reason::rule_expired, keep_best(expired)};
  if (!implied.empty()) return {verdict::deny, reason::scheme_not_allowed, keep_best(implied)};
  if (!other.empty()) return {verdict::deny, reason::port_not_allowed, keep_best(other)};
  const bool literal = std::holds_alternative<exeat::core::ip_address>(d.host);
  return {verdict::deny, literal ? reason::ip_literal : reason::no_rule, {}};
}

}  // namespace

void* operator new(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* p = std::malloc(size == 0 ? 1 : size);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}

// A million questions where the build is optimized (`make test`), fewer in a debug build.
#ifdef __OPTIMIZE__
constexpr int rounds = 26'000;
#else
constexpr int rounds = 1'000;
#endif

TEST_CASE("the matcher agrees with the naive reading, and the order of rules changes nothing") {
  generator random{std::mt19937_64(20260615)};
  std::size_t policies = 0, refused_to_load = 0, answers = 0, allowed = 0;
  std::array<std::size_t, exeat::core::reason_count> seen{};
  for (int round = 0; round < rounds; ++round) {
    policy_source source = source_with({});
    for (int n = random.below(12); n > 0; --n) source.phases[0].allow.push_back(random.any_rule(false));
    for (int n = random.below(3); n > 0; --n) source.deny.push_back(random.any_rule(true));
    policy_source shuffled = source;
    std::ranges::shuffle(shuffled.phases[0].allow, random.engine);
    std::ranges::shuffle(shuffled.deny, random.engine);

    const auto a = compile(source);
    const auto b = compile(shuffled);
    REQUIRE(a.has_value() == b.has_value());
    if (!a) {
      ++refused_to_load;
      CHECK(a.error().size() == b.error().size());
      continue;
    }
    ++policies;
    for (int i = 0; i < 40; ++i) {
      const auto d = to(random.one_in(4) ? random.literal() : random.host(), random.port());
      const auto s = random.one_in(3) ? scheme::http : scheme::https;
      const auto method = random.method();
      const auto path = random.path();
      const request asked{
          .phase = phase_id{0}, .scheme = s, .to = &d, .now = now, .method = method, .path = path};
      const auto got = decide(*a, asked);
      const auto turned = decide(*b, asked);
      const auto want = naive(a->source(), d, s, method, path);
      CAPTURE(exeat::core::to_string(d));
      CAPTURE(governing(got));
      REQUIRE(to_string(got.verdict) == to_string(want.v));
      REQUIRE(exeat::core::code_of(got.reason) == exeat::core::code_of(want.r));
      REQUIRE((got.governing == nullptr) == want.candidates.empty());
      if (got.governing != nullptr)
        REQUIRE(std::ranges::find(want.candidates, got.governing) != want.candidates.end());
      REQUIRE(turned.verdict == got.verdict);
      REQUIRE(turned.reason == got.reason);
      REQUIRE(governing(turned) == governing(got));
      ++answers;
      ++seen[static_cast<std::size_t>(got.reason)];
      allowed += got.verdict == verdict::allow ? 1 : 0;
    }
  }
  MESSAGE(answers << " answers of " << policies << " policies, " << allowed << " allowed; " << refused_to_load
                  << " policies in conflict");
  CHECK(policies > 100);
  CHECK(refused_to_load > 10);
  CHECK(allowed > 500);
  CHECK(allowed < answers - 500);
  for (const auto why : {reason::no_rule, reason::deny_rule, reason::rule_expired, reason::port_not_allowed,
                         reason::scheme_not_allowed, reason::ip_literal, reason::http_only,
                         reason::method_not_allowed, reason::path_not_allowed, reason::name_entropy}) {
    CAPTURE(exeat::core::code_of(why));
    CHECK(seen[static_cast<std::size_t>(why)] > 5);
  }
}

TEST_CASE("rules that tie in specificity agree in all that hangs on them") {
  // What compile() promises, checked on what it let through: then which of them governs is only a name.
  generator random{std::mt19937_64(7)};
  for (int round = 0; round < 300; ++round) {
    policy_source source = source_with({});
    for (int n = 6; n > 0; --n) source.phases[0].allow.push_back(random.any_rule(false));
    const auto p = compile(source);
    if (!p) continue;
    for (int i = 0; i < 20; ++i) {
      const auto d = to(random.host(), random.port());
      const auto want = naive(p->source(), d, scheme::https);
      if (want.v != verdict::allow) continue;
      for (const auto* rule : want.candidates) {
        CHECK(rule->tls == want.candidates.front()->tls);
        CHECK(rule->expires == want.candidates.front()->expires);
      }
    }
  }
}

TEST_CASE("deciding and guarding allocate nothing") {
  std::vector<rule> rules;
  rules.reserve(1001);
  for (int i = 0; i < 1000; ++i) rules.push_back(allow("**.h" + std::to_string(i) + ".com"));
  rules.push_back(allow("8.8.0.0/16"));
  rules.push_back(allow("*.bound.com"));
  rules.back().terms = std::make_shared<const rule_terms>(rule_terms{.max_name_entropy = 16});
  const auto p = policy_with(rules, {deny("**.evil.com"), deny("9.0.0.0/8")});
  const auto deep = to("a.b.c.d.e.f.h77.com");
  const auto miss = to("a.b.c.d.e.f.h7777.com");
  const auto literal = to("8.8.1.1");
  const auto carrier = to("nq2gk3dpo5xxe3deebqw4zbaorugs4za.bound.com");
  const auto address = ip("64:ff9b::808:808");
  const auto before = allocations.load();
  const bool ok = ask(p, deep).verdict == verdict::allow && ask(p, miss).verdict == verdict::deny &&
                  ask(p, literal).verdict == verdict::allow &&
                  ask(p, carrier).reason == reason::name_entropy &&
                  !guard(p, deep, std::span(&address, 1)).has_value();
  const auto after = allocations.load();
  CHECK(ok);
  CHECK(after == before);
}
