#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "load/origin.hpp"
#include "load/route.hpp"
#include "load/tally.hpp"

namespace exeat::bench {

/// What the command line asks for.
struct order {
  std::string mode;
  route way;
  std::string denied;  // HOST:PORT that the proxy must refuse
  std::uint16_t first_port = 0;
  std::uint16_t last_port = 0;
  double seconds = 1;
  double warm_up = 0.2;
  unsigned concurrency = 0;      // 0: what the mode is used to
  std::size_t size = 1024;       // http: octets of a body
  double rate = 1000;            // paced: connects a second
  std::uint64_t operations = 0;  // this many, however long it takes; 0: as the time says
  bool hold = false;             // idle: say "held" and wait for a line on standard input
};

struct result {
  tally clients;
  served seen;
  double measured = 0;       // seconds between warm-up and end
  double bits = 0;           // bulk: a second
  double octets_in_all = 0;  // bulk: delivered, warm-up included
  unsigned tunnels = 0;      // idle: opened
  unsigned alive = 0;        // idle: answered at the end
  unsigned late = 0;         // paced: starts that had no client left to make them
};

/// The names of all modes.
const std::vector<std::string>& mode_names();
/// Runs one mode, clients and origin both, in this thread. Throws std::runtime_error where nothing can be
/// measured.
result run(const order& wanted);

}  // namespace exeat::bench
