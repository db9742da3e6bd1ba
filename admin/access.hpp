// Who a request comes from, and what that may do. Three credentials: an operator's (uid on the control
// socket, or token), the reload token, and a job's advance secret.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "admin/routes.hpp"

namespace exeat::admin {

struct access {
  bool is_operator = false;
  bool may_reload = false;  ///< by the reload token alone; an operator may anyway
  std::optional<std::string>
      job;             ///< the job whose advance secret came along; empty text: that of exeat.yaml
  bool shown = false;  ///< some credential came along, right or wrong
  std::string by;      ///< "uid 0", "the operator token from 127.0.0.1:40000": for the log
};

/// On the control socket, and no phase: an operator without a token.
bool is_operator_by_socket(const caller& caller) noexcept;

/// Asks `callbacks.job_of_secret` where a bearer token is neither of the others.
access access_of(const request& request, const caller& caller, const options& options,
                 const callbacks& callbacks);

/// "uid 1000", "127.0.0.1:40000 (uid 1000)", or the address alone.
std::string describe(const caller& caller);

/// Empty where there is no bearer token, or more than one field that could hold one.
std::string_view bearer_of(const request& request);

/// As fast whatever the texts have in common; only their length shows.
bool same_secret(std::string_view given, std::string_view secret) noexcept;

}  // namespace exeat::admin
