#include "admin/routes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>
#include <exception>

#include "core/safe_text.hpp"

namespace exeat::admin {
namespace {

namespace beast = boost::beast;

struct reply {
  http::status status = http::status::ok;
  std::string_view type;
  std::string body;
};

constexpr std::string_view text_type = "text/plain; charset=utf-8";
constexpr std::string_view json_type = "application/json";
constexpr std::string_view metrics_type = "text/plain; version=0.0.4; charset=utf-8";

reply index(const callbacks&);

reply metrics(const callbacks& callbacks) {
  return {http::status::ok, metrics_type, callbacks.metrics()};
}

reply healthy(const callbacks& callbacks) {
  return {http::status::ok, json_type, to_json(callbacks.health())};
}

reply ready(const callbacks& callbacks) {
  const readiness state = callbacks.ready();
  const bool ok = std::ranges::all_of(state.checks, &readiness::check::ok);
  return {ok ? http::status::ok : http::status::service_unavailable, json_type, to_json(state)};
}

reply reload(const callbacks& callbacks) {
  const reload_result result = callbacks.reload();
  return {result.ok ? http::status::ok : http::status::unprocessable_entity, json_type, to_json(result)};
}

struct route {
  std::string_view path;
  bool post = false;
  reply (*run)(const callbacks&) = nullptr;
  std::string_view doc;
};

constexpr std::array routes = {
    route{"/", false, index, "this list"},
    route{"/metrics", false, metrics, "Prometheus metrics"},
    route{"/-/healthy", false, healthy, "state of the process as JSON; 200 as long as it answers"},
    route{"/-/ready", false, ready, "200 where requests pass, else 503; JSON says why"},
    route{"/-/reload", true, reload, "load the policy again; on TCP with `Authorization: Bearer TOKEN`"},
};

reply index(const callbacks&) {
  std::string text = "exeat " EXEAT_VERSION ", admin\n\n";
  for (const route& route : routes) {
    fmt::format_to(std::back_inserter(text), "{:<5} {:<12} {}\n", route.post ? "POST" : "GET", route.path,
                   route.doc);
  }
  return {http::status::ok, text_type, std::move(text)};
}

response finish(reply reply, bool head = false) {
  response out{reply.status, 11};
  out.set(http::field::content_type, reply.type);
  out.set(http::field::cache_control, "no-store");
  out.set("X-Content-Type-Options", "nosniff");
  out.content_length(reply.body.size());
  if (!head) out.body() = std::move(reply.body);
  return out;
}

/// The name of `Host`, without port, brackets and one trailing dot; empty where it is none.
std::string_view host_name(std::string_view host) {
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    return end == std::string_view::npos ? std::string_view{} : host.substr(1, end - 1);
  }
  host = host.substr(0, host.find(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  return host;
}

bool is_own_host(std::string_view host, const options& options) {
  const std::string_view name = host_name(host);
  if (beast::iequals(name, "localhost") || core::ip_address::parse(name)) return true;
  return std::ranges::any_of(options.allowed_hosts, [&](const std::string& allowed) {
    return beast::iequals(name, host_name(allowed));
  });
}

/// Absent: go on.
std::optional<response> check_host(const request& request, const options& options) {
  const auto count = request.count(http::field::host);
  if (count > 1 || (count == 0 && request.version() >= 11)) {
    return plain(http::status::bad_request, "A request has exactly one Host field.\n");
  }
  if (count == 0 || is_own_host(request[http::field::host], options)) return std::nullopt;
  std::string shown;
  core::append_visible(shown, host_name(request[http::field::host]).substr(0, 253));
  return plain(
      http::status::misdirected_request,
      fmt::format(
          "This admin endpoint is not known as \"{}\": a name in Host must be one that was configured, "
          "so that a web page cannot reach it through DNS. Use its IP address or localhost, or "
          "allow the name.\n",
          shown));
}

std::optional<response> check_token(const request& request, const options& options) {
  if (options.reload_token.empty()) {
    return plain(
        http::status::forbidden,
        "Reload is not enabled here. Use the control socket (curl --unix-socket PATH -X POST "
        "http://localhost/-/reload), send SIGHUP, or set `reload_token_file` under `admin` in exeat.yaml.\n");
  }
  constexpr std::string_view scheme = "Bearer ";
  const std::string_view given = request[http::field::authorization];
  if (request.count(http::field::authorization) == 1 && given.size() > scheme.size() &&
      beast::iequals(given.substr(0, scheme.size()), scheme) &&
      same_secret(given.substr(scheme.size()), options.reload_token)) {
    return std::nullopt;
  }
  response out = plain(http::status::unauthorized, "Reload wants `Authorization: Bearer TOKEN`.\n");
  out.set(http::field::www_authenticate, "Bearer realm=\"exeat\"");
  return out;
}

response run(const route& route, const callbacks& callbacks, bool head) {
  try {
    return finish(route.run(callbacks), head);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& failed) {
    std::string text;
    core::append_visible(text, failed.what());
    return plain(http::status::internal_server_error, text + "\n");
  }
}

}  // namespace

bool same_secret(std::string_view given, std::string_view secret) noexcept {
  volatile unsigned char difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = secret.empty() ? '\0' : secret[i % secret.size()];
    difference = static_cast<unsigned char>(difference | (given[i] ^ other));
  }
  return difference == 0 && !secret.empty();
}

response plain(http::status status, std::string text) {
  return finish({status, text_type, std::move(text)});
}

response answer(const request& request, door door, const options& options, const callbacks& callbacks) {
  if (door == door::tcp) {
    if (auto refused = check_host(request, options)) return std::move(*refused);
  }
  const std::string_view target = request.target();
  if (!target.starts_with('/')) {
    return plain(http::status::bad_request, "This is the admin endpoint of exeat, not its proxy.\n");
  }
  const std::string_view path = target.substr(0, target.find('?'));
  const auto route = std::ranges::find(routes, path, &route::path);
  if (route == routes.end())
    return plain(http::status::not_found, "No such page; GET / lists what there is.\n");

  const http::verb method = request.method();
  const bool reads = method == http::verb::get || method == http::verb::head;
  if (route->post ? method != http::verb::post : !reads) {
    response out = plain(http::status::method_not_allowed, "That method has no meaning here.\n");
    out.set(http::field::allow, route->post ? "POST" : "GET, HEAD");
    return out;
  }
  if (route->post && door != door::control) {
    if (auto refused = check_token(request, options)) return std::move(*refused);
  }
  return run(*route, callbacks, method == http::verb::head);
}

}  // namespace exeat::admin
