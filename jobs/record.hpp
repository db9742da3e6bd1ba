// One job as its file in the state directory says it.
#pragma once
#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/job.hpp"
#include "jobs/secret.hpp"

namespace exeat::jobs {

struct record {
  std::string id;   ///< empty: the implicit job
  jobs::plan plan;  ///< without steps: of the implicit job alone, made by `exeat state init`, for any plan
  step current = 0;
  ending ended = ending::none;  ///< none, closed or locked_down
  std::optional<std::chrono::sys_seconds> expires;
  std::optional<digest> advance_secret;
  std::optional<digest> policy;  ///< of the text that is kept for it
  std::vector<token> tokens;

  /// Whether something of it is sealed.
  bool has_seals() const noexcept { return current > 0 || ended != ending::none; }
};

/// Lines of `key value`; the last one is the SHA-256 of all before it. `store` is the id of the state
/// directory, so that a file of another one is known as such.
std::expected<std::string, std::string> print_record(const record& of, std::string_view store);
/// Takes exactly what print_record() prints for this store. The error says what is wrong, for the operator.
std::expected<record, std::string> parse_record(std::string_view text, std::string_view store);

/// "j-" and 12 characters of a-z and 2-7.
bool is_job_id(std::string_view id) noexcept;

}  // namespace exeat::jobs
