#include "identity/judge.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/certificate_pattern.hpp"
#include "config/error.hpp"
#include "identity/cgroup.hpp"
#include "identity/credential.hpp"

namespace exeat::identity {
namespace {

using config::identity_check;
using source = identity_check::source;
using core::reason;

std::unexpected<refusal> refused(reason why, std::string detail) {
  return std::unexpected(refusal{.reason = why, .detail = std::move(detail)});
}

std::unexpected<refusal> silent(std::string detail) {
  return refused(reason::identity_silent, std::move(detail));
}

std::string_view name_of(source kind) noexcept {
  switch (kind) {
    case source::listener:
      return "listener";
    case source::peer:
      return "peer";
    case source::mtls:
      return "mtls";
    case source::credential:
      return "credential";
    case source::source:
      return "source";
    case source::proxy_protocol:
      return "proxy_protocol";
    case source::any_of:
      return "any_of";
  }
  return "";
}

// What has been said, and which source said it first. A phase is absent where nothing but a PROXY header has
// answered, a job where no source names one.
struct statement {
  proven said;
  std::string_view phase_by;
  std::string_view job_by;
};
using verdict = std::expected<statement, refusal>;

statement by(source kind, const proven& said) {
  return {.said = said, .phase_by = name_of(kind), .job_by = name_of(kind)};
}

// Adds what one more source says; the refusal where it contradicts.
std::optional<refusal> add(statement& all, const statement& one) {
  const auto merge = [](std::string_view what, std::string_view& known, std::string_view& known_by,
                        std::string_view more, std::string_view more_by) -> std::optional<refusal> {
    if (more.empty() || more == known) return std::nullopt;
    if (!known.empty()) {
      return refusal{
          .reason = reason::identity_conflict,
          .detail = fmt::format("{} says {} {}, {} says {} {}", known_by, what, known, more_by, what, more)};
    }
    known = more;
    known_by = more_by;
    return std::nullopt;
  };
  if (auto wrong = merge("phase", all.said.phase, all.phase_by, one.said.phase, one.phase_by)) return wrong;
  return merge("job", all.said.job, all.job_by, one.said.job, one.job_by);
}

// What the entries of one check say together: one answer, none, or several.
class entries {
 public:
  explicit entries(source kind) : kind_(kind) {}
  void take(const proven& one) {
    const auto fits = [](std::string_view& known, std::string_view more) {
      if (known.empty()) known = more;
      return more.empty() || known == more;
    };
    const auto before = said_;
    if (!fits(said_.phase, one.phase)) {
      ambiguity_ =
          fmt::format("{}: entries for phases {} and {} match", name_of(kind_), before.phase, one.phase);
    } else if (!fits(said_.job, one.job)) {
      ambiguity_ = fmt::format("{}: names for jobs {} and {} match", name_of(kind_), before.job, one.job);
    }
  }
  const proven& said() const noexcept { return said_; }
  bool is_empty() const noexcept { return said_.phase.empty(); }
  bool is_ambiguous() const noexcept { return !ambiguity_.empty(); }
  verdict result() const {
    if (is_ambiguous()) return refused(reason::identity_ambiguous, ambiguity_);
    return by(kind_, said_);
  }

 private:
  source kind_;
  proven said_;
  std::string ambiguity_;
};

verdict judge_peer(const identity_check& check, const evidence& shown, cgroup_lookup cgroup_of) {
  if (!shown.peer) {
    return silent(fmt::format("peer: {}", shown.no_peer.empty() ? "it is unknown" : shown.no_peer));
  }
  const auto& peer = *shown.peer;
  if (peer.uid == shown.own_uid && !check.allow_own_uid) {
    return refused(reason::own_uid,
                   fmt::format("peer: uid {} is the proxy's own, and `allow_own_uid` is not set", peer.uid));
  }
  entries found(source::peer);
  for (const auto& claim : check.peers) {
    if (claim.uid && *claim.uid != peer.uid) continue;
    if (!claim.cgroup.empty()) {
      // Where nobody can say whether an entry matches, it might be the one that contradicts the others.
      const auto id = cgroup_of(claim.cgroup);
      if (!id) return silent(fmt::format("peer: {}", id.error()));
      if (*id == 0) continue;
      if (peer.cgroup == 0) {
        return silent(fmt::format("peer: the cgroup of its socket is unknown (uid {})", peer.uid));
      }
      if (*id != peer.cgroup) continue;
    }
    found.take({.phase = claim.phase, .job = {}});
  }
  if (found.is_empty()) {
    return silent(peer.cgroup == 0 ? fmt::format("peer: uid {} is mapped to no phase", peer.uid)
                                   : fmt::format("peer: uid {} in cgroup {} is mapped to no phase", peer.uid,
                                                 peer.cgroup));
  }
  return found.result();
}

std::string_view first_name(const certificate_names& names) {
  if (!names.uris.empty()) return names.uris.front();
  if (!names.dns.empty()) return names.dns.front();
  return names.common_name;
}

verdict judge_certificate(const identity_check& check, const evidence& shown, const job_lookup& jobs) {
  if (shown.certificate == nullptr) return silent("mtls: there is no client certificate");
  const auto& names = *shown.certificate;
  entries found(source::mtls);
  const auto try_name = [&](const config::certificate_claim& claim,
                            const config::certificate_pattern& pattern, std::string_view name) {
    const auto values = pattern.match(name);
    if (!values) return;
    const auto phase = claim.phase.empty() ? values->phase : std::string_view(claim.phase);
    if (!phase.empty()) found.take({.phase = phase, .job = values->job});
  };
  for (const auto& claim : check.certificates) {
    const auto pattern = config::certificate_pattern::parse(claim.pattern);
    if (!pattern) return silent(fmt::format("mtls: {}", pattern.error()));
    switch (claim.field) {
      case config::certificate_claim::field::san_uri:
        for (const auto& name : names.uris) try_name(claim, *pattern, name);
        break;
      case config::certificate_claim::field::san_dns:
        for (const auto& name : names.dns) try_name(claim, *pattern, name);
        break;
      case config::certificate_claim::field::common_name:
        try_name(claim, *pattern, names.common_name);
        break;
    }
  }
  if (found.is_empty()) {
    return silent(fmt::format("mtls: no entry matches a name of the certificate (`{}`)",
                              config::printable(first_name(names))));
  }
  const auto job = found.said().job;
  if (!found.is_ambiguous() && !job.empty() &&
      (jobs.find == nullptr || jobs.find(jobs.context, job) == nullptr)) {
    return refused(reason::job_unknown, fmt::format("mtls: job {} is not open", config::printable(job)));
  }
  return found.result();
}

verdict judge_source(const identity_check& check, const evidence& shown) {
  if (!shown.address) return silent("source: a unix socket has no source address");
  const auto address = unmapped(*shown.address);
  entries found(source::source);
  for (const auto& claim : check.sources) {
    if (claim.cidr.contains(address)) found.take({.phase = claim.phase, .job = {}});
  }
  if (found.is_empty()) {
    return silent(fmt::format("source: {} is mapped to no phase", address.to_string()));
  }
  return found.result();
}

struct court {
  const config::listener& listener;
  const evidence& shown;
  const job_lookup& jobs;
  cgroup_lookup cgroup_of;
};

verdict judge_alternatives(const court& court, const std::vector<identity_check>& alternatives);

verdict judge_check(const court& court, const identity_check& check) {
  switch (check.kind) {
    case source::listener:
      if (court.listener.phase.empty()) return silent("listener: it has no phase");
      return by(source::listener, {.phase = court.listener.phase, .job = {}});
    case source::peer:
      return judge_peer(check, court.shown, court.cgroup_of);
    case source::mtls:
      return judge_certificate(check, court.shown, court.jobs);
    case source::credential: {
      auto result = judge_credential(check, court.shown.proxy_authorization, court.jobs);
      if (!result) return std::unexpected(std::move(result.error()));
      return by(source::credential, *result);
    }
    case source::source:
      return judge_source(check, court.shown);
    case source::proxy_protocol:
      if (!court.shown.proxy_header) return silent("proxy_protocol: there is no PROXY header");
      return statement{};
    case source::any_of:
      return judge_alternatives(court, check.any_of);
  }
  return silent("a source that this version does not know");
}

// Only these say that nothing has been said; whatever else is wrong is wrong for good.
bool is_no_answer(reason why) noexcept {
  return why == reason::identity_silent || why == reason::credential_missing;
}

verdict judge_alternatives(const court& court, const std::vector<identity_check>& alternatives) {
  statement all;
  refusal none;
  for (const auto& alternative : alternatives) {
    auto one = judge_check(court, alternative);
    if (one) {
      if (auto wrong = add(all, *one)) return std::unexpected(std::move(*wrong));
    } else if (!is_no_answer(one.error().reason)) {
      return one;
    } else {
      // A missing credential is the one gap that the client can fill: it gets its challenge.
      if (one.error().reason == reason::credential_missing) none.reason = reason::credential_missing;
      none.detail += fmt::format("{}{}", none.detail.empty() ? "" : "; ", one.error().detail);
    }
  }
  if (!all.said.phase.empty()) return all;
  if (none.detail.empty()) none.detail = "any_of: no alternative names a phase";
  return std::unexpected(std::move(none));
}

bool asks_for(const identity_check& check, source kind) noexcept {
  return check.kind == kind ||
         std::ranges::any_of(check.any_of, [&](const auto& one) { return asks_for(one, kind); });
}

bool any_asks_for(const config::listener& listener, source kind) noexcept {
  return std::ranges::any_of(listener.identity, [&](const auto& check) { return asks_for(check, kind); });
}

}  // namespace

core::ip_address unmapped(const core::ip_address& address) noexcept {
  const auto bytes = address.bytes();
  if (address.is_v4()) return address;
  const bool is_mapped = std::ranges::all_of(bytes.first(10), [](auto b) { return b == 0; }) &&
                         bytes[10] == 0xff && bytes[11] == 0xff;
  if (!is_mapped) return address;
  return core::ip_address::v4((std::uint32_t{bytes[12]} << 24) | (std::uint32_t{bytes[13]} << 16) |
                              (std::uint32_t{bytes[14]} << 8) | bytes[15]);
}

std::expected<proven, refusal> judge(const config::listener& listener, const evidence& evidence,
                                     const job_lookup& jobs, cgroup_lookup cgroup_of) {
  const court court{listener, evidence, jobs, cgroup_of};
  statement all;
  // Credentials come last: who fails in anything else learns nothing about a token, and is not invited to
  // send one.
  for (const bool last : {false, true}) {
    for (const auto& check : listener.identity) {
      if (asks_for(check, source::credential) != last) continue;
      auto one = judge_check(court, check);
      if (!one) return std::unexpected(std::move(one.error()));
      if (auto wrong = add(all, *one)) return std::unexpected(std::move(*wrong));
    }
  }
  if (all.said.phase.empty()) return silent("no source of the listener names a phase");
  return all.said;
}

std::expected<proven, refusal> judge(const config::listener& listener, const evidence& evidence,
                                     const job_lookup& jobs) {
  return judge(listener, evidence, jobs, cgroup_id_of);
}

bool may_stand_for_a_phase(std::span<const config::peer_claim> claims, const local_peer& peer,
                           cgroup_lookup cgroup_of) {
  return std::ranges::any_of(claims, [&](const config::peer_claim& claim) {
    if (claim.uid) return *claim.uid == peer.uid;  // in whichever cgroup: it might move
    const auto id = cgroup_of(claim.cgroup);
    return !id || (*id != 0 && (peer.cgroup == 0 || *id == peer.cgroup));
  });
}

bool may_stand_for_a_phase(std::span<const config::peer_claim> claims, const local_peer& peer) {
  return may_stand_for_a_phase(claims, peer, cgroup_id_of);
}

demands demands_of(const config::listener& listener) noexcept {
  return {.peer = any_asks_for(listener, source::peer),
          .credential = any_asks_for(listener, source::credential),
          .proxy_protocol = any_asks_for(listener, source::proxy_protocol),
          .certificate = any_asks_for(listener, source::mtls)};
}

bool is_listener_only(const config::listener& listener) noexcept {
  return std::ranges::all_of(listener.identity,
                             [](const auto& check) { return check.kind == source::listener; });
}

}  // namespace exeat::identity
