#include "admin/routes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/beast/core/string.hpp>
#include <exception>

#include "admin/access.hpp"
#include "admin/api.hpp"
#include "admin/assets.hpp"
#include "admin/json_body.hpp"
#include "admin/json_writer.hpp"
#include "admin/reply.hpp"
#include "core/safe_text.hpp"

namespace exeat::admin {
namespace {

namespace beast = boost::beast;

/// What a caller must be.
enum class right : std::uint8_t {
  everybody,
  reload,  ///< an operator, or the reload token
  job,     ///< an operator, or the advance secret of the job in question
  an_operator,
};

reply index(const route_call&);

reply metrics(const route_call& call) {
  return {http::status::ok, metrics_type, call.callbacks.metrics()};
}

reply healthy(const route_call& call) {
  auto state = call.callbacks.health();
  if (!call.access.is_operator) {
    // These texts cite the policy: rules of other phases, and names that nobody is to know.
    if (state.policy.last_reload && !state.policy.last_reload->errors.empty())
      state.policy.last_reload->errors = {"the log says what is wrong, and health on the control socket"};
    if (state.job.declared && state.job.declared->held) state.job.declared->held->first.clear();
  }
  return {http::status::ok, json_type, to_json(state)};
}

reply ready(const route_call& call) {
  const readiness state = call.callbacks.ready();
  const bool ok = std::ranges::all_of(state.checks, &readiness::check::ok);
  return {ok ? http::status::ok : http::status::service_unavailable, json_type, to_json(state)};
}

reply reload(const route_call& call) {
  const reload_result result = call.callbacks.reload();
  return {result.ok ? http::status::ok : http::status::unprocessable_entity, json_type, to_json(result)};
}

reply login_token(const route_call& call) {
  constexpr std::array<std::string_view, 1> known{"role"};
  const auto body = json_body::parse(call.request.body(), known);
  if (!body) return {.status = http::status::bad_request, .body = body.error() + "\n"};
  const auto* word = body->find("role");
  const auto wanted = word == nullptr ? std::optional(role::admin) : role_of(*word);
  if (!wanted)
    return {.status = http::status::bad_request, .body = "`role` is viewer, developer, reviewer or admin.\n"};
  if (call.api == nullptr)
    return {.status = http::status::conflict, .body = "There is no dashboard: set `admin` in exeat.yaml.\n"};
  const auto token = call.api->people->new_once(*wanted, std::chrono::steady_clock::now());
  if (!token)
    return {.status = http::status::internal_server_error, .body = "The kernel gives no random numbers.\n"};
  call.api->note("login-token",
                 fmt::format("a one-time token for the role {}; by {}", word_of(*wanted), call.access.by));
  json_writer out;
  out.open('{');
  out.key("token").text(*token);
  out.key("role").text(word_of(*wanted));
  out.key("admin").text(call.admin);
  out.close('}');
  return {.type = json_type, .body = std::move(out).take()};
}

struct route {
  std::string_view path;
  bool post = false;
  right needs = right::everybody;
  reply (*run)(const route_call&) = nullptr;
  std::string_view doc;
};

constexpr std::array routes = {
    route{"/", false, right::everybody, index, "this list"},
    route{"/metrics", false, right::everybody, metrics, "Prometheus metrics"},
    route{"/-/healthy", false, right::everybody, healthy,
          "state of the process as JSON; 200 as long as it answers"},
    route{"/-/ready", false, right::everybody, ready, "200 where requests pass, else 503; JSON says why"},
    route{"/-/reload", true, right::reload, reload,
          "load the policy again; for operators, and on TCP with the reload token"},
    route{"/-/phase/status", false, right::job, phase_status,
          "phases, tunnels and bytes of ?job=ID or of all; for operators, and with a job's advance secret"},
    route{"/-/phase/advance", true, right::job, phase_advance,
          "seal what lies before {\"job\", \"to\", \"grace\"}; for operators, and with the job's advance "
          "secret"},
    route{"/-/job/open", true, right::an_operator, job_open,
          "a job of {\"phases\", \"time_limit\"}; for operators"},
    route{"/-/job/close", true, right::an_operator, job_close, "end {\"job\"}; for operators"},
    route{"/-/job/new", true, right::an_operator, job_new,
          "end the job of exeat.yaml and begin the next one; for operators"},
    route{"/-/login-token", true, right::an_operator, login_token,
          "a token that opens one session of the dashboard with {\"role\"}; for operators"},
};

reply index(const route_call&) {
  std::string text = "exeat " EXEAT_VERSION
                     ", admin\n\nAn operator is a uid on the control socket that no phase "
                     "has, or `Authorization: Bearer` with the operator token.\n\n";
  for (const route& route : routes) {
    fmt::format_to(std::back_inserter(text), "{:<5} {:<17} {}\n", route.post ? "POST" : "GET", route.path,
                   route.doc);
  }
  text += "GET   /                 the dashboard, for browsers\nGET   /v1/openapi.json  its API\n";
  return {http::status::ok, text_type, std::move(text)};
}

response finish(reply reply, bool head = false) {
  response out{reply.status, 11};
  out.set(http::field::content_type, reply.type);
  harden(out);
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

reply denial_of(http::status status, std::string text) {
  return {.status = status, .type = text_type, .body = std::move(text), .denied = true};
}

/// Absent: the caller may.
std::optional<reply> check_right(right needs, const access& access, const caller& caller,
                                 const options& options) {
  if (needs == right::everybody || access.is_operator) return std::nullopt;
  if (needs == right::reload && access.may_reload) return std::nullopt;
  if (needs == right::job && access.job) return std::nullopt;
  if (access.job)
    return denial_of(http::status::forbidden,
                     "An advance secret is good for advancing its own job, and for nothing else.\n");
  if (access.may_reload)
    return denial_of(http::status::forbidden, "The reload token is good for reload, and for nothing else.\n");
  if (caller.door == door::control && !access.shown) {
    return denial_of(
        http::status::forbidden,
        "Your uid or cgroup stands for a phase (`peer` of a listener; a cgroup that is unknown, which on "
        "Linux "
        "before 6.5 is any, may stand for one), so you are no operator here: come as another uid, or send "
        "`Authorization: Bearer` with the token of `operator_token_file`.\n");
  }
  if (needs == right::reload && options.reload_token.empty() && options.operator_token.empty()) {
    return denial_of(
        http::status::forbidden,
        "Reload is not enabled here. Use the control socket (curl --unix-socket PATH -X POST "
        "http://localhost/-/reload), send SIGHUP, or set `reload_token_file` under `admin` in exeat.yaml.\n");
  }
  if (needs == right::an_operator && options.operator_token.empty()) {
    return denial_of(
        http::status::forbidden,
        "This is for operators. Use the control socket, or set `operator_token_file` in exeat.yaml.\n");
  }
  const std::string_view what = needs == right::reload ? "Reload wants"
                                : needs == right::job
                                    ? "This wants the job's advance secret, or an operator's token, as"
                                    : "This wants an operator's token as";
  return denial_of(http::status::unauthorized,
                   fmt::format("{}{} `Authorization: Bearer TOKEN`.\n",
                               access.shown ? "The credential is not one that is good here. " : "", what));
}

reply run(const route& route, const route_call& call) {
  try {
    return route.run(call);
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& failed) {
    reply out{.status = http::status::internal_server_error};
    core::append_visible(out.body, failed.what());
    out.body += '\n';
    return out;
  }
}

}  // namespace

void harden(response& out) {
  out.set(http::field::cache_control, "no-store");
  out.set("X-Content-Type-Options", "nosniff");
  out.set("X-Frame-Options", "DENY");
  out.set("Referrer-Policy", "no-referrer");
  out.set("Cross-Origin-Opener-Policy", "same-origin");
  out.set("Cross-Origin-Resource-Policy", "same-origin");
  out.set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
}

response plain(http::status status, std::string text) {
  return finish({status, text_type, std::move(text)});
}

answered answer(const request& request, const caller& caller, const options& options,
                const callbacks& callbacks) {
  if (caller.door == door::tcp) {
    if (auto refused = check_host(request, options)) return {std::move(*refused)};
  }
  const std::string_view target = request.target();
  if (!target.starts_with('/')) {
    return {plain(http::status::bad_request, "This is the admin endpoint of exeat, not its proxy.\n")};
  }
  const std::string_view path = target.substr(0, target.find('?'));
  if (options.api != nullptr) {
    const auto* page = find_asset(path, request[http::field::accept]);
    const bool api = path.starts_with("/v1/");
    // Whatever it may have got hold of: what a phase runs as is not who reviews it.
    if ((api || page != nullptr) && caller.door == door::tcp && caller.uid && caller.is_phase) {
      callbacks.denied(
          {.who = describe(caller), .what = std::string(path), .why = "its uid stands for a phase"});
      return {plain(http::status::forbidden, "Your uid or cgroup stands for a phase: this is not for it.\n"),
              true};
    }
    if (api) return answer_api(request, caller, options, callbacks);
    if (page != nullptr) return {answer_asset(*page, request)};
  }
  const auto route = std::ranges::find(routes, path, &route::path);
  if (route == routes.end())
    return {plain(http::status::not_found, "No such page; GET / lists what there is.\n")};

  const http::verb method = request.method();
  const bool reads = method == http::verb::get || method == http::verb::head;
  if (route->post ? method != http::verb::post : !reads) {
    response out = plain(http::status::method_not_allowed, "That method has no meaning here.\n");
    out.set(http::field::allow, route->post ? "POST" : "GET, HEAD");
    return {std::move(out)};
  }
  // No secret is looked at where none is needed: nobody shall try them there without being told of.
  access access{.is_operator = is_operator_by_socket(caller)};
  std::optional<reply> done;
  if (route->needs != right::everybody) {
    access = access_of(request, caller, options, callbacks);
    done = check_right(route->needs, access, caller, options);
  }
  if (!done) {
    std::string address;
    if (options.address) address = config::to_string(*options.address);
    done = run(*route, {request, access, callbacks, options.api, address});
  }
  const bool denied = done->denied;
  if (denied) {
    std::string_view why = done->body;
    why.remove_suffix(1);
    callbacks.denied({.who = access.by,
                      .what = fmt::format("{} {}", route->post ? "POST" : "GET", route->path),
                      .why = std::string(why)});
  }
  const bool unauthorized = done->status == http::status::unauthorized;
  answered out{finish(std::move(*done), method == http::verb::head), denied};
  if (unauthorized) out.response.set(http::field::www_authenticate, "Bearer realm=\"exeat\"");
  return out;
}

}  // namespace exeat::admin
