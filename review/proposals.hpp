// Requests for a rule, and what became of them: each decision stands in a table that only grows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "review/query.hpp"

namespace exeat::review {

/// What somebody asks for. `why` and `requester` are theirs: any octets.
struct wish {
  bool by_job = false;    ///< with the job's own credential: asked by whoever runs in it
  std::string job;        ///< where it is known
  std::string requester;  ///< "uid 1002", a user's name; empty where `by_job`
  std::string phase;
  std::string host;  ///< a name or an address as core:: reads it
  std::uint16_t port = 443;
  std::string why;
};

enum class proposal_state : std::uint8_t { open, approved, rejected };

struct proposal {
  std::int64_t id = 0;
  proposal_state state = proposal_state::open;
  wish wanted;
  std::uint64_t times = 1;  ///< asked for by the same, while it was open
  time_point made, changed;
};

/// A job may ask in vain, but not for ever: whoever runs in it chooses what it asks.
struct proposal_bounds {
  std::size_t open = 1'000;        ///< of all
  std::size_t open_of_job = 20;    ///< asked by one job itself
  std::size_t hourly_of_job = 30;  ///< new ones of one job itself within an hour
  std::size_t why = 500;           ///< octets; what is longer is cut
};

/// Files it, or counts it once more where the same has asked for the same and nobody has decided. The error
/// is a sentence: no host, or a bound was met. On a connection that may write (store::call).
answer<proposal> file(database& into, wish wanted, const proposal_bounds& bounds, time_point now);

/// The latest first; with `state` only those.
answer<std::vector<proposal>> proposals(database& from, std::optional<proposal_state> state,
                                        const page& page = {});
answer<std::optional<proposal>> proposal_by_id(database& from, std::int64_t id);

/// One line of the audit table.
struct audit_entry {
  std::int64_t id = 0;
  time_point time;
  std::string who;
  std::string what;  ///< "approved", "rejected", ...
  std::int64_t proposal = 0;
  std::string seen;                         ///< what the reviewer was shown, and why the decision
  std::string digest_before, digest_after;  ///< of the policy
};

/// Takes an open proposal to `state` and writes the audit line, both or neither. The error is a sentence:
/// there is none, it is decided already, or the requester is the one who approves. `entry.what` and `.time`
/// are set here.
answer<proposal> decide(database& into, std::int64_t id, proposal_state state, audit_entry entry,
                        time_point now);

/// The oldest first, from `after` on.
answer<std::vector<audit_entry>> audit(database& from, std::int64_t after = 0, std::size_t limit = 1'000);

}  // namespace exeat::review
