// What an input chooses of the world that it plays in.
#pragma once
#include <cstddef>
#include <cstdint>

#include "tests/fuzz/session/ways.hpp"

namespace exeat::fuzz {

/// Limits that an input can reach with the few clients it has.
struct narrow {
  bool requests = false;  ///< `requests_per_client: 3`
  bool dials = false;     ///< `dials_per_destination: 1`
  bool lookups = false;   ///< `lookups: 2`, `lookups_per_phase: 1`
  bool seats = false;     ///< `connections_per_phase: 2`, `connections_per_job: 3`
  bool buffers = false;   ///< `buffers: 400KiB`
  std::uint32_t most_of_phase() const noexcept { return seats ? 2 : 4; }
  std::uint32_t most_of_job() const noexcept { return seats ? 3 : 5; }
};
inline constexpr std::uint32_t few_requests = 3;

struct world_options {
  bool cuts = false;    ///< `on_tighten: cut`
  bool others = false;  ///< listeners of an audited phase, with credentials, and with a PROXY header
  bool idle = false;    ///< a limit on idle tunnels
  bool via = false;
  std::size_t policy = 0;
  fuzz::ways ways = {};
  bool tls = false;     ///< a listener of agent that speaks TLS
  bool proves = false;  ///< one whose clients prove their phase by a certificate
  bool timed = false;   ///< a `time_limit` on agent
  fuzz::narrow narrow = {};
};

}  // namespace exeat::fuzz
