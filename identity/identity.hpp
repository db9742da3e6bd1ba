// Who is asking: from what a listener demands and what a connection shows to one phase of one job, or to a
// refusal.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "core/ip_address.hpp"
#include "core/reason.hpp"
#include "jobs/job.hpp"

namespace exeat::identity {

/// The socket at the other end of a local connection, as the kernel knows it. The uid is that of whoever made
/// the socket; a descriptor that was handed on keeps it.
struct local_peer {
  std::uint32_t uid = 0;
  std::uint64_t cgroup = 0;  ///< cgroup v2 id (the inode of its directory); 0: unknown
  std::uint64_t inode = 0;   ///< of a TCP socket; 0: a unix socket
  ::pid_t pid = 0;           ///< of a unix socket's peer, when it connected; 0: unknown
};

/// The names in a client certificate that has been verified.
struct certificate_names {
  std::vector<std::string> uris;
  std::vector<std::string> dns;
  std::string common_name;
};

/// What a connection shows, and one request on it. Pointers and views live for the call.
struct evidence {
  /// Where it comes from, by the PROXY protocol where the listener demands that; absent: a unix socket.
  std::optional<core::ip_address> address;
  bool proxy_header = false;  ///< a valid PROXY header came from an upstream that may send one
  std::optional<local_peer> peer;
  std::string_view no_peer;  ///< why there is none: a clause for the operator
  const certificate_names* certificate = nullptr;
  std::optional<std::string_view> proxy_authorization;
  std::uint32_t own_uid = 0;
};

struct proven {
  std::string_view phase;  ///< lives as long as the listener's settings, the job or the evidence
  std::string_view job;    ///< its id; empty: the one of exeat.yaml
  friend bool operator==(const proven&, const proven&) = default;
};

struct refusal {
  core::reason reason = core::reason::identity_silent;
  std::string detail;  ///< for the operator's log; never a secret
};

/// Finds an open job by its id; null: there is none.
struct job_lookup {
  const void* context = nullptr;
  const jobs::job* (*find)(const void* context, std::string_view id) = nullptr;
};

/// Every check must answer, with one phase and at most one job, and all that name one must agree. A check
/// that has an answer which cannot be right (a wrong credential, our own uid) refuses, also within `any_of`.
std::expected<proven, refusal> judge(const config::listener& listener, const evidence& evidence,
                                     const job_lookup& jobs);

/// The IPv4 address in an IPv4-mapped one, as a dual-stack listener shows its clients; any other as it is.
core::ip_address unmapped(const core::ip_address& address) noexcept;

/// True where one of `claims` stands for this peer, or may: a cgroup that is unknown, or cannot be looked up,
/// counts as that of the claim. Who may be a phase is no operator.
bool may_stand_for_a_phase(std::span<const config::peer_claim> claims, const local_peer& peer);

/// What judge() will ask for, so that nobody gathers what nobody needs.
struct demands {
  bool peer = false;
  bool credential = false;
  bool proxy_protocol = false;
  bool certificate = false;
};
demands demands_of(const config::listener& listener) noexcept;
/// True where the listener alone decides.
bool is_listener_only(const config::listener& listener) noexcept;

}  // namespace exeat::identity
