#include "allowlist/lint_table.hpp"

#include <algorithm>
#include <array>

namespace exeat::allowlist {
namespace {

constexpr std::array words{std::string_view("info"), std::string_view("low"), std::string_view("medium"),
                           std::string_view("high")};

using enum severity;

// In the order of check_id.
constexpr lint_check table[]{
    {"any-port", medium, "an allow rule on every port",
     "Every service of the host can be reached, SSH, mail and databases included.",
     "Write down the ports that are needed."},
    {"audit-mode", high, "a phase in `mode: audit`",
     "The phase lets everything through that its rules refuse, deny rules included.",
     "Take `mode: audit` out once the log shows no `would_deny` that is wanted."},
    {"duplicate", low, "a rule that stands twice",
     "Whoever takes one of the two out believes the destination closed, and the other keeps it open.",
     "Keep one of the two."},
    {"expired", low, "an expired rule",
     "It lets nothing through any more, and one changed date brings it back without anybody asking why.",
     "Take it out, or renew it with a new reason."},
    {"expires-soon", low, "a rule that is about to expire",
     "What depends on it will be refused from the next day on.", "Renew it, or tell its owner that it ends."},
    {"file-unusable", medium, "a certificate, key, CA or credential of exeat.yaml that cannot be used",
     "`serve` does not start with it, and a reload keeps what it replaced. Seen with `--config` only, as the "
     "user who runs `lint`.",
     "Put the file in its place, or run `lint` where it is, as the user of the proxy."},
    {"idle-deny", info, "a deny rule of names that nothing allows",
     "It has no effect today, as what no rule allows is refused anyway; it does guard against later rules.",
     "Keep it where it is meant as a guard, else take it out."},
    {"multi-tenant", high, "a host where anybody publishes, in an untrusted phase",
     "What is fetched from there may be an attacker's, instructions and programs included.",
     "Fetch what is needed from there in a trusted phase or through a mirror, or say `accept_risk: "
     "\"why\"`."},
    {"needless-acceptance", low, "`accept_risk` where nothing is known to be risky",
     "It says nothing today, and hides the risk when the rule is changed to something that has one.",
     "Take `accept_risk` out; `reason` is the place for why the rule is there."},
    {"never-matches", medium, "an allow rule that `deny` shadows",
     "It looks as if it opened something, but deny beats every allow and nothing of it gets through.",
     "Take the rule out, or narrow the deny."},
    {"no-max-names", medium, "a wildcard over names of unrelated owners without `max_names`",
     "A job can go through as many names as it likes, those of others and names that carry data out "
     "included.",
     "Add `max_names` with the number that a job needs, or name the hosts one by one."},
    {"no-name-entropy", info, "a wildcard with `max_names` but no `max_name_entropy`, in an untrusted phase",
     "Each of the names may be as long as a name can be, and carry as much out.",
     "Add `max_name_entropy`; `exeat check` shows how many bits the names are that the job needs."},
    {"no-owner", low, "an allow rule without an owner", "Nobody can say whether it may go.", "Add `owner`."},
    {"no-reason", low, "an allow rule or an exception without a reason",
     "Nobody can tell later whether it is still needed, so it stays open for ever.", "Add `reason`."},
    {"no-tests", low, "a policy without tests",
     "A change that opens or closes too much is not noticed before it is in force.",
     "Add `tests` with at least one destination that must stay refused, and run `exeat test` in CI."},
    {"pin-delegated", high, "a rule with `resolve_in` whose names an upstream proxy looks up",
     "Nothing of it gets through (`guard-delegated`): where the proxy says `resolve: remote`, nobody can "
     "hold a name to its addresses. Seen with `--config` only.",
     "Let that proxy say `resolve: local`, take the host back with `no_proxy`, or give up the pin."},
    {"plain-http", medium, "plain HTTP beside https, in an untrusted phase",
     "Whoever sits on the way reads and changes what is sent, and the client is not made to take https.",
     "Leave port 80 out: 443 is open for the same host."},
    {"policy-within-reach", medium, "a policy in a directory where the proxy writes its log or state",
     "The sandbox lets the proxy write there: whoever took it over could replace the policy, where its user "
     "may. Seen with `--config` only.",
     "Give log and state a directory of their own, beside the policy's and not above it."},
    {"public-suffix", medium, "a rule for a name under which anybody can register one, in an untrusted phase",
     "Services at such a name tell their customers apart by path, which a tunnel does not show.",
     "Name the host below it that is needed, or say `accept_risk: \"why\"`."},
    {"redundant", low, "a rule that a wider one covers",
     "Taking it out closes nothing, although it looks like the place to do so.",
     "Take it out, or the wider rule where that was not meant."},
    {"resolve-remote", medium, "an upstream proxy with `resolve: remote`",
     "What it looks up nobody checks here: whoever controls DNS of an allowed name reaches whatever the "
     "proxy can reach, internal and metadata addresses and the proxy itself included. Seen with `--config` "
     "only.",
     "Let it say `resolve: local` where names resolve here, or see to it that the proxy has such a guard."},
    {"shared-suffix", high, "a wildcard over names of unrelated owners, in an untrusted phase",
     "Anybody can open an account, get a name there, and receive what the phase sends.",
     "Name the hosts that are needed, one by one, or say `accept_risk: \"why\"` and set `max_names`."},
    {"tls-any", medium, "`tls: any` in an untrusted phase",
     "Nobody looks into the tunnel: it may carry anything, to any name that the address serves.",
     "Leave `tls` out where TLS is spoken; else name single hosts and the one port."},
    {"upload-sink", high, "a host that takes uploads from anybody, in an untrusted phase",
     "What is stolen in the phase can be sent there, with an account of the attacker's.",
     "Fetch what is needed from there in a trusted phase or through a mirror that only reads, or say "
     "`accept_risk: \"why\"`, at best with an `upload_limit`."},
    {"wide-exception", high, "an address exception wider than /24 (IPv4) or /64 (IPv6)",
     "Whoever controls DNS of the named hosts reaches every machine of the range.",
     "Name the addresses that are needed, at best one by one."},
    {"wide-prefix", medium,
     "a `cidr` under `allow` wider than /24 (IPv4) or /64 (IPv6), in an untrusted phase",
     "Every machine of the range is reachable by its address, whoever rents it tomorrow included.",
     "Name the addresses that are needed, or the host by its name; else say `accept_risk: \"why\"`."},
    {"wide-wildcard", medium, "`**.` over a whole registered domain, in an untrusted phase",
     "Every name that the owner has or will have is reachable, forgotten ones that others can take over "
     "included.",
     "Name the hosts, or the part of the domain that is meant; else bound it with `max_names`, or say "
     "`accept_risk: \"why\"`."},
    {"wider-than-trusted", high, "an untrusted phase that can do all that a trusted one can, and more",
     "The line between the phases holds nothing back: what may be hostile has the wider way out.",
     "Take out of the untrusted phase what only the trusted one needs, and its wildcards."},
};
static_assert(std::size(table) == static_cast<std::size_t>(check_id::wider_than_trusted) + 1);

}  // namespace

std::string_view to_string(severity severity) noexcept {
  return words[static_cast<std::size_t>(severity)];
}

std::optional<severity> severity_of(std::string_view word) noexcept {
  const auto found = std::ranges::find(words, word);
  if (found == words.end()) return std::nullopt;
  return static_cast<severity>(found - words.begin());
}

std::span<const lint_check> lint_checks() noexcept {
  return table;
}

const lint_check& row_of(check_id id) noexcept {
  return table[static_cast<std::size_t>(id)];
}

}  // namespace exeat::allowlist
