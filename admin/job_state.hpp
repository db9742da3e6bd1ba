// Jobs as the admin endpoints show them and take orders about them: plain values.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace exeat::admin {

/// A reload that waits for a job's end.
struct held_state {
  std::size_t findings = 0;  ///< what would become wider
  std::string first;         ///< the first of them, in words
};

struct phase_state {
  std::string name;
  std::size_t step = 0;  ///< its place in the order; those of one step run beside one another
  bool sealed = false;
  bool current = false;
  std::uint64_t tunnels = 0;   ///< live now
  std::uint64_t bytes_up = 0;  ///< since the job began, client to origin
  std::uint64_t bytes_down = 0;
};

struct job_state {
  std::string id;     ///< empty: the one of exeat.yaml
  std::string ended;  ///< "closed", "expired", "locked-down", "state-damaged"; empty: it has not
  std::vector<phase_state> phases;
  std::optional<held_state> held;
};

/// Of GET /-/healthy.
struct job_health {
  std::optional<job_state> declared;  ///< without traffic; none: no phase is ever sealed
  std::size_t open = 0;               ///< those of `exeat job open`
  std::size_t held = 0;               ///< jobs that keep their policy
  std::string trouble;                ///< why the state directory sealed everything; may be empty
};

/// Why an order was not carried out, for whoever gave it.
struct job_problem {
  enum class kind : std::uint8_t {
    not_found,  ///< 404
    refused,    ///< 409
    failed,     ///< 500
  };
  job_problem::kind kind = kind::refused;
  std::string text;
};

/// POST /-/phase/advance.
struct advance_request {
  std::string job;  ///< empty: the one of exeat.yaml
  std::string to;   ///< a phase; empty: the next step
  std::chrono::milliseconds grace{0};
  std::string by;  ///< who, for the log
};
struct advance_result {
  std::vector<std::string> from;  ///< the phases of the step that was left
  job_state job;
};

/// POST /-/job/open.
struct open_request {
  std::string phases;  ///< "setup,agent+mcp"
  std::optional<std::chrono::seconds> time_limit;
  std::string by;
};
struct opened_phase {
  std::string phase;
  std::string token;
  std::vector<std::string> urls;  ///< one per listener that takes the tokens of jobs; they hold the token
};
struct open_result {
  std::string id;
  std::vector<opened_phase> phases;
  std::string advance_secret;
};

/// POST /-/job/close, and /-/job/new with an empty id.
struct job_order {
  std::string job;
  std::string by;
};

std::string to_json(const std::vector<job_state>& jobs);
std::string to_json(const advance_result& result);
std::string to_json(const open_result& result);

}  // namespace exeat::admin
