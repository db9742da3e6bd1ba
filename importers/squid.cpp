// Squid: the acl and http_access lines of squid.conf, of which the first that matches decides.
//
// `x` in dstdomain is that name, `.x` is x and every name under it. Who asks (src and the like) becomes a
// phase.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "importers/squid_file.hpp"

namespace exeat::importers {
namespace {

using allowlist::port_set;
using squid::access;
using squid::acl;

port_set intersection(const port_set& a, const port_set& b) {
  std::vector<allowlist::port_range> out;
  for (const auto& x : a.ranges()) {
    for (const auto& y : b.ranges()) {
      const auto first = std::max(x.first, y.first);
      const auto last = std::min(x.last, y.last);
      if (first <= last) out.push_back({first, last});
    }
  }
  return port_set::of(std::move(out));
}

port_set complement(const port_set& ports) {
  std::vector<allowlist::port_range> out;
  std::uint32_t next = 1;
  for (const auto& range : ports.ranges()) {
    if (range.first > next)
      out.push_back({static_cast<std::uint16_t>(next), static_cast<std::uint16_t>(range.first - 1)});
    next = std::uint32_t{range.last} + 1;
  }
  if (next <= 65535) out.push_back({static_cast<std::uint16_t>(next), 65535});
  return port_set::of(std::move(out));
}

std::optional<port_set> ports_of(const acl& acl) {
  std::vector<allowlist::port_range> out;
  for (const auto& value : acl.values) {
    const auto dash = value.text.find('-');
    const auto number = [](std::string_view text) -> std::optional<std::uint16_t> {
      std::uint16_t port = 0;
      const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
      if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
      return port;
    };
    const auto first = number(std::string_view(value.text).substr(0, dash));
    const auto last =
        dash == std::string::npos ? first : number(std::string_view(value.text).substr(dash + 1));
    if (!first || !last || *first > *last) return std::nullopt;
    if (*last != 0) out.push_back({std::max<std::uint16_t>(*first, 1), *last});
  }
  return port_set::of(std::move(out));
}

// What the terms of one line ask for, as far as it can be said here.
struct condition {
  std::string who;  ///< names of the ACLs about the client; empty: anybody
  std::vector<const acl*> domains, not_domains, prefixes;
  std::optional<port_set> ports;
  bool only_connect = false, never_connect = false, special = false, manager = false;
  std::string foreign;  ///< the type of an ACL that has no counterpart
};

bool is_about_client(std::string_view type) {
  static const std::set<std::string_view> types{"src",        "localip",    "localport", "myport",
                                                "myip",       "myportname", "arp",       "eui64",
                                                "proxy_auth", "ident",      "src_as",    "srcdomain"};
  return types.contains(type);
}

condition read_condition(const squid::file& file, const access& line) {
  condition out;
  for (const auto& term : line.terms) {
    const auto found = file.acls.find(term.acl);
    const auto type = found == file.acls.end() ? std::string("undefined") : found->second.type;
    const auto* acl = found == file.acls.end() ? nullptr : &found->second;
    if (type == "all") {
      if (term.negated) out.foreign = "none";
    } else if (is_about_client(type)) {
      out.who += fmt::format("{}{}{}", out.who.empty() ? "" : "-", term.negated ? "not-" : "", term.acl);
    } else if (type == "dstdomain") {
      (term.negated ? out.not_domains : out.domains).push_back(acl);
    } else if (type == "dst" && !term.negated) {
      out.prefixes.push_back(acl);
    } else if (type == "special" && !term.negated) {
      out.special = true;
    } else if (type == "manager" && !term.negated) {
      out.manager = true;
    } else if (type == "port") {
      auto ports = ports_of(*acl);
      if (!ports) {
        out.foreign = "port with values that are none";
      } else {
        if (term.negated) ports = complement(*ports);
        out.ports = out.ports ? intersection(*out.ports, *ports) : *ports;
      }
    } else if (type == "method" && acl->values.size() == 1 && acl->values[0].text == "CONNECT") {
      (term.negated ? out.never_connect : out.only_connect) = true;
    } else {
      out.foreign = type;
    }
  }
  if (out.domains.size() > 1) out.foreign = "dstdomain twice in one line";
  if (out.prefixes.size() > 1) out.foreign = "dst twice in one line";
  return out;
}

spelled read_domain(std::string_view text) {
  if (is_address(text)) return {std::string(text), reach::name};
  if (text.starts_with('.')) return {std::string(text.substr(1)), reach::name_below};
  return {std::string(text), reach::name};
}

class translation {
 public:
  explicit translation(const source& from) : from_(from), out_(from), file_(squid::read(from, out_)) {}

  imported run() {
    collect_phases();
    for (const auto& line : file_.accesses) {
      if (ended_) {
        out_.left_out(line.line, "stands behind a line that matches everything");
      } else if (line.allow) {
        allow(line);
      } else {
        deny(line);
      }
    }
    if (!ended_)
      out_.differs(0, "the last http_access is not `deny all`: here what no rule names is refused");
    if (file_.other > 0)
      out_.left_out(0, fmt::format("{} directives that are not about destinations (ports, caches, logs, ...)",
                                   file_.other));
    out_.differs(
        0, "it does not look into tunnels; here a tunnel must carry TLS to the name that was asked for");
    return out_.take();
  }

 private:
  // Each group of clients that has rules of its own is a phase; what holds for all of them stands in each.
  void collect_phases() {
    bool anybody = false;
    for (const auto& line : file_.accesses) {
      if (!line.allow) continue;
      const auto c = read_condition(file_, line);
      if (c.domains.empty() && c.prefixes.empty()) continue;
      if (c.who.empty()) {
        anybody = true;
      } else if (out_.phase(c.who).where.line == 0) {
        out_.phase(c.who).where = {from_.file, line.line, 1};
        whos_.push_back(c.who);
        out_.differs(line.line,
                     fmt::format("clients of `{}` are phase `{}`: give them a listener that only they can "
                                 "reach",
                                 c.who, out_.phase(c.who).name));
      }
    }
    if (anybody || whos_.empty()) {
      out_.phase(from_.phase);
      whos_.push_back(from_.phase);
    }
  }

  void deny(const access& line) {
    const auto c = read_condition(file_, line);
    const bool no_destination = c.domains.empty() && c.not_domains.empty() && c.prefixes.empty();
    if (!c.foreign.empty() || !c.not_domains.empty()) {
      blocked_by_ = line.line;
      return out_.left_out(
          line.line,
          fmt::format("denies by {}, which has no counterpart here: what is allowed behind it is left "
                      "out, for it could be wider",
                      c.foreign.empty() ? "what is not in a list" : c.foreign));
    }
    if (c.manager || (c.special && no_destination))
      return out_.exact();  // no cache manager here; the guard refuses
    if (no_destination && !c.who.empty())
      return out_.differs(line.line,
                          "who may ask is not the policy's to say: it is the listener's `identity`");
    if (no_destination) return deny_ports(c);
    const auto ports = c.ports.value_or(port_set::any());
    const bool same = c.who.empty() && !c.only_connect && !c.never_connect;
    bool lost = false;
    for (const auto* list : c.domains) {
      for (const auto& value : list->values) {
        const auto domain = read_domain(value.text);
        if (!out_.deny(domain.host, domain.reach, ports, value.line)) {
          blocked_by_ = line.line;  // a deny that is missing would open what follows
          continue;
        }
        lost = lost || was_allowed(domain);
      }
    }
    for (const auto* list : c.prefixes) {
      for (const auto& value : list->values) {
        if (!out_.deny(value.text, reach::name, ports, value.line)) blocked_by_ = line.line;
      }
    }
    if (lost) {
      out_.differs(line.line,
                   "an earlier line allows some of it and went first: here deny beats every allow");
    } else if (!same) {
      out_.differs(line.line, "denies only some clients or methods: here it denies all");
    } else {
      out_.exact();
    }
  }

  void deny_ports(const condition& c) {
    if (!c.ports && !c.only_connect && !c.never_connect) {
      ended_ = true;
      return out_.exact();
    }
    // What is left of the ports for what follows.
    const auto left = c.ports ? complement(*c.ports) : port_set();
    if (!c.never_connect) connect_ = intersection(connect_, left);
    if (!c.only_connect) plain_ = intersection(plain_, left);
    out_.exact();
  }

  void allow(const access& line) {
    const auto c = read_condition(file_, line);
    if (blocked_by_ != 0)
      return out_.left_out(
          line.line,
          fmt::format("stands behind line {}, which denies what cannot be said here", blocked_by_));
    if (!c.foreign.empty())
      return out_.left_out(line.line, fmt::format("allows by {}, which has no counterpart here", c.foreign));
    if (c.manager || c.special)
      return out_.left_out(line.line, "the proxy's own addresses cannot be allowed");
    if (c.domains.empty() && c.prefixes.empty()) {
      if (c.who.empty() && !c.ports) ended_ = true;
      return out_.left_out(line.line, "allows every destination, which no rule can: name what is needed");
    }
    if (!c.domains.empty() && !c.prefixes.empty())
      return out_.left_out(line.line, "asks for a name and an address at once: see `resolve_in`");
    for (const auto* list : c.not_domains) {
      for (const auto& value : list->values) {
        const auto domain = read_domain(value.text);
        if (!out_.deny(domain.host, domain.reach, port_set::any(), value.line)) return;
      }
      out_.differs(line.line, "what it excepts is denied here to every line");
    }
    const auto asked = c.ports.value_or(web_ports());
    auto tunnel = intersection(asked, connect_);
    auto plain = intersection(asked, plain_);
    if (c.only_connect) plain = port_set();
    if (c.never_connect) tunnel = port_set();
    if (!c.prefixes.empty()) return allow_prefixes(line, c, intersection(tunnel, plain));
    bool all = true;
    for (const auto& value : c.domains.front()->values) {
      const auto domain = read_domain(value.text);
      allowed_.push_back(domain);
      all = add(c.who, domain, tunnel, plain, value.line) && all;
    }
    if (all) out_.exact();
  }

  void allow_prefixes(const access& line, const condition& c, const port_set& ports) {
    for (const auto& value : c.prefixes.front()->values) {
      each_phase(c.who, [&](const std::string& phase) {
        return out_.allow(phase, value.text, reach::name, ports, value.line);
      });
    }
    out_.differs(line.line,
                 "allows names that resolve into the prefix, too: here a prefix is for addresses that are "
                 "asked for as such");
  }

  // One rule for the ports on which tunnels and plain HTTP pass alike, and one for plain HTTP alone.
  bool add(const std::string& who, const spelled& domain, const port_set& tunnel, const port_set& plain,
           int line) {
    const auto both = intersection(tunnel, plain);
    const auto tls_port = port_set::of({{443, 443}});
    const auto only_tunnel = intersection(tunnel, complement(plain));
    const auto only_plain = intersection(plain, complement(tunnel));
    if (tunnel.size() == 0 && plain.size() == 0) {
      out_.left_out(line, fmt::format("`{}`: neither 80 nor 443 is open to it, and no other port is named",
                                      domain.host));
      return false;
    }
    bool done = true;
    if (!both.ranges().empty())
      done = each_phase(
          who, [&](const std::string& p) { return out_.allow(p, domain.host, domain.reach, both, line); });
    if (only_tunnel.contains(443)) {
      done = each_phase(
                 who,
                 [&](const std::string& p) { return out_.allow_tls(p, domain.host, domain.reach, line); }) &&
             done;
    }
    if (const auto rest = intersection(only_tunnel, complement(tls_port)); !rest.ranges().empty()) {
      out_.differs(line, fmt::format("`{}`: tunnels to port {} without plain HTTP on it cannot be said here",
                                     domain.host, rest.to_string()));
    }
    const auto sayable = intersection(only_plain, complement(tls_port));
    if (!sayable.ranges().empty()) {
      done = each_phase(who,
                        [&](const std::string& p) {
                          return out_.allow_plain(p, domain.host, domain.reach, sayable, line);
                        }) &&
             done;
    }
    return done;
  }

  template <class Add>
  bool each_phase(const std::string& who, Add&& add) {
    if (!who.empty()) return add(who);
    return std::ranges::all_of(whos_, add);
  }

  bool was_allowed(const spelled& domain) const {
    return std::ranges::any_of(allowed_, [&](const spelled& other) { return overlap(other, domain); });
  }

  const source& from_;
  draft out_;
  squid::file file_;
  std::vector<std::string> whos_;
  std::vector<spelled> allowed_;
  port_set connect_ = port_set::any();
  port_set plain_ = port_set::any();
  int blocked_by_ = 0;
  bool ended_ = false;
};

}  // namespace

std::expected<imported, config::errors> from_squid(const source& from) {
  if (from.text.find("http_access") == std::string_view::npos)
    return std::unexpected(config::errors{
        {.where = {.file = from.file, .line = 1}, .message = "no http_access line: this is no squid.conf"}});
  return translation(from).run();
}

}  // namespace exeat::importers
