// What the admin endpoints show and do: plain values that `serve` fills.
#pragma once
#include <chrono>
#include <cstddef>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/job_state.hpp"
#include "metrics/registry.hpp"

namespace exeat::admin {

struct reload_state {
  bool ok = false;
  std::chrono::system_clock::time_point at;
  std::vector<std::string> errors;  ///< FILE:LINE:COLUMN: TEXT, one each
};

struct policy_state {
  std::string file;  ///< empty: the built-in policy
  std::string digest;
  std::chrono::system_clock::time_point loaded_at;
  std::size_t rules = 0;
  std::optional<reload_state> last_reload;  ///< none since the start
};

struct listener_state {
  std::string address;
  std::string phase;
  std::string identity;  ///< "none" where any local process may use it
};

struct upstream_state {
  std::string proxy;  ///< its URL, without a credential
  std::string hosts;
  std::string resolve;  ///< "local", or "remote": the address guard is that proxy's
};

/// GET /-/healthy. `status` is derived: "draining", else "degraded" after a reload that failed or where the
/// state of the jobs, or the review store, is in trouble, else "ok".
struct health {
  std::string identity;       ///< the weakest of the listeners'
  std::string identity_note;  ///< a sentence on what that means; may be empty
  std::string sandbox;        ///< how far the process confines itself: "off", or what is in force
  std::vector<std::string> sandbox_lacks;  ///< sentences: what the kernel refused
  policy_state policy;
  job_health job;
  std::optional<metrics::review_sample> review;  ///< none: no store
  std::vector<listener_state> listeners;
  std::vector<upstream_state> upstreams;
  unsigned workers = 0;
  bool draining = false;
  std::string version;
};

/// GET /-/ready: 200 where every check is ok, else 503.
struct readiness {
  struct check {
    std::string name;  ///< "policy", "listeners", "probe", "draining"
    bool ok = false;
    std::string detail;  ///< may be empty
  };
  std::vector<check> checks;
};

/// A job that goes on under the policy before.
struct held_job {
  std::string job;  ///< empty: the one of exeat.yaml
  held_state held;
};

/// POST /-/reload: 200, or 422 with the errors; the policy before stays in force then.
struct reload_result {
  bool ok = false;
  std::string digest;  ///< of the policy in force afterwards
  std::size_t rules = 0;
  std::vector<std::string> errors;
  std::vector<held_job> held;
};

/// An attempt at what the caller may not do; nothing of its credential is in it.
struct denial {
  std::string who;   ///< "uid 1002", "the advance secret from 127.0.0.1:40000"
  std::string what;  ///< "POST /-/job/open"
  std::string why;   ///< a sentence
};

/// Called on the admin thread, one at a time; each may take a while, in which other admin requests wait. An
/// exception is answered with 500 and its text.
struct callbacks {
  std::function<std::string()> metrics;  ///< the Prometheus text format
  std::function<admin::health()> health;
  std::function<admin::readiness()> ready;
  std::function<admin::reload_result()> reload;
  /// The job whose advance secret this is, empty text for that of exeat.yaml; in constant time for each job.
  std::function<std::optional<std::string>(std::string_view secret)> job_of_secret;
  /// One job, all of them without one.
  std::function<std::expected<std::vector<job_state>, job_problem>(std::optional<std::string> job)> status;
  std::function<std::expected<advance_result, job_problem>(const advance_request&)> advance;
  std::function<std::expected<open_result, job_problem>(const open_request&)> open_job;
  std::function<std::expected<void, job_problem>(const job_order&)> close_job;
  std::function<std::expected<void, job_problem>(const job_order&)> new_job;
  std::function<void(const denial&)> denied;  ///< to count and to log
};

/// One JSON object each, printable ASCII, a newline at the end.
std::string to_json(const health& health);
std::string to_json(const readiness& readiness);
std::string to_json(const reload_result& result);

}  // namespace exeat::admin
