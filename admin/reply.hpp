// What a route gives back, before it is an HTTP response.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/access.hpp"
#include "admin/routes.hpp"

namespace exeat::admin {

inline constexpr std::string_view text_type = "text/plain; charset=utf-8";
inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view metrics_type = "text/plain; version=0.0.4; charset=utf-8";

struct reply {
  http::status status = http::status::ok;
  std::string_view type = text_type;
  std::string body;
  bool denied = false;  ///< the caller has no right to it; the body says why
  std::vector<std::pair<std::string, std::string>> fields = {};  ///< of the head, besides those of all
};

/// What a route may look at.
struct route_call {
  const admin::request& request;
  const admin::access& access;
  const admin::callbacks& callbacks;
  const api_sources* api = nullptr;
  std::string_view admin = {};  ///< the address of the admin listener
};

/// The fields that every answer has: nothing is kept, guessed at, framed, or readable by another origin.
void harden(response& out);

// The routes of jobs; the right to call them at all has been checked.
reply phase_advance(const route_call& call);
reply phase_status(const route_call& call);
reply job_open(const route_call& call);
reply job_close(const route_call& call);
reply job_new(const route_call& call);

}  // namespace exeat::admin
