// The JSON API under /v1/: one table, from which the router and the OpenAPI document are made.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/activity.hpp"
#include "admin/history.hpp"
#include "admin/live_feed.hpp"
#include "admin/people.hpp"
#include "admin/reply.hpp"
#include "config/load.hpp"
#include "metrics/registry.hpp"

namespace exeat::admin {

/// What the API shows besides the callbacks; all of it outlives the server.
struct api_sources {
  admin::people* people = nullptr;
  const metrics::registry* registry = nullptr;
  admin::activity* activity = nullptr;
  admin::live_feed* feed = nullptr;
  admin::history* history = nullptr;
  std::function<config::shared_policy()> policy;
  /// What `exeat explain --format json` prints for a URL or HOST:PORT; the error is a sentence.
  std::function<std::expected<std::string, std::string>(const std::string& destination,
                                                        const std::string& method)>
      explain;
  /// For the audit of who came and went: a short stable word and a sentence.
  std::function<void(std::string_view code, const std::string& text)> note;
};

/// The parameters of a target's query, decoded; each once, and none that the route does not know.
using query = std::vector<std::pair<std::string, std::string>>;
std::expected<query, std::string> parse_query(std::string_view target,
                                              std::span<const std::string_view> known);

/// What a route of the API may look at.
struct api_call {
  const admin::request& request;
  const person& who;
  const caller& from;
  const admin::query& query;
  const admin::callbacks& callbacks;
  const api_sources& sources;

  /// Empty where it is not given.
  std::string_view parameter(std::string_view name) const noexcept;
};

struct api_parameter {
  std::string_view name;
  std::string_view schema;  ///< JSON
  std::string_view text;
};

struct api_route {
  std::string_view path;
  bool post = false;
  role needs = role::viewer;
  reply (*run)(const api_call&) = nullptr;
  std::string_view id;       ///< operationId
  std::string_view summary;  ///< a sentence
  std::string_view schema;   ///< of the 200: the name of a component; empty: server-sent events
  std::vector<api_parameter> parameters = {};
  std::string_view body = {};  ///< the name of a component; empty: none
};
std::span<const api_route> api_routes();

/// The OpenAPI 3.1 document, indented, a newline at the end.
std::string openapi_document();
/// Its components/schemas, a JSON object.
std::string_view api_schemas() noexcept;

/// {"error": TEXT}
reply api_error(http::status status, std::string_view text);
/// The value of a decimal parameter within [least, most]; `otherwise` where it is not given.
std::expected<std::size_t, reply> count_of(const api_call& call, std::string_view name, std::size_t least,
                                           std::size_t most, std::size_t otherwise);

/// For paths below /v1/.
answered answer_api(const request& request, const caller& caller, const options& options,
                    const callbacks& callbacks);

/// The session's cookie of a request, whatever it is worth; empty where there is none.
std::string_view session_cookie(const request& request);

// The routes.
reply overview(const api_call& call);
reply policy_in_force(const api_call& call);
reply policy_rules(const api_call& call);
reply policy_findings(const api_call& call);
reply try_it(const api_call& call);
reply jobs_now(const api_call& call);
reply live(const api_call& call);
reply log_in(const api_call& call);
reply log_out(const api_call& call);
reply session_now(const api_call& call);
reply reload_now(const api_call& call);

/// The filter of a call to live(), which has been judged.
live_filter live_filter_of(const query& query);

}  // namespace exeat::admin
