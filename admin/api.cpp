#include "admin/api.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <charconv>

#include "admin/access.hpp"
#include "admin/json_body.hpp"
#include "admin/json_writer.hpp"

namespace exeat::admin {
namespace {

constexpr std::string_view key_field = "Exeat-Session";

/// One cookie for each port: a host has one jar for all of its ports.
std::string cookie_name(const request& request) {
  const std::string_view host = request[http::field::host];
  const auto colon = host.rfind(':');
  const auto port = colon == std::string_view::npos ? std::string_view() : host.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  return fmt::format("exeat_session_{}", digits ? port : "80");
}

answered finish_api(reply reply, bool head) {
  response out{reply.status, 11};
  out.set(http::field::content_type, reply.type);
  harden(out);
  for (auto& [name, value] : reply.fields) out.set(name, value);
  out.content_length(reply.body.size());
  if (!head) out.body() = std::move(reply.body);
  return {std::move(out), reply.denied, std::nullopt, {}};
}

reply refuse(http::status status, std::string_view text) {
  auto out = api_error(status, text);
  out.denied = true;
  return out;
}

/// A page of another origin has no business here, whatever it sends along.
bool is_foreign(const request& request) {
  const std::string_view site = request["Sec-Fetch-Site"];
  if (!site.empty() && site != "same-origin" && site != "none") return true;
  if (request.count(http::field::origin) == 0) return false;
  const std::string_view origin = request[http::field::origin];
  const std::string_view host = request[http::field::host];
  return request.count(http::field::origin) > 1 || host.empty() ||
         (origin != fmt::format("http://{}", host) && origin != fmt::format("https://{}", host));
}

struct judged {
  person who;
  bool shown = false;  ///< some credential came along
};

judged who_is(const request& request, const caller& caller, const options& options) {
  judged out;
  if (is_operator_by_socket(caller)) {
    out.who = {.name = describe(caller), .role = role::admin};
    return out;
  }
  const auto now = std::chrono::steady_clock::now();
  if (request.count(http::field::authorization) > 0) {
    out.shown = true;
    const auto token = bearer_of(request);
    if (token.empty()) return out;
    if (same_secret(token, options.operator_token)) {
      out.who = {.name = "the operator token", .role = role::admin};
    } else if (auto known = options.api->people->of_token(token)) {
      out.who = std::move(*known);
    }
    return out;
  }
  const auto cookie = session_cookie(request);
  const std::string_view key = request[key_field];
  if (cookie.empty() || request.count(key_field) != 1) return out;
  out.shown = true;
  if (auto known = options.api->people->of_session(cookie, key, now)) out.who = std::move(*known);
  return out;
}

std::optional<reply> check(const api_route& route, const judged& judged) {
  if (judged.who.role >= route.needs) return std::nullopt;
  if (judged.who.role != role::none) {
    return refuse(http::status::forbidden, fmt::format("This is for the role {}; yours is {}.",
                                                       word_of(route.needs), word_of(judged.who.role)));
  }
  auto out =
      api_error(http::status::unauthorized,
                judged.shown ? "This credential is not, or no longer, good here: log in again."
                             : "Log in first: POST /v1/login with a token, or send `Authorization: Bearer`.");
  out.denied = judged.shown;  // a page that has merely not logged in yet is no attempt
  return out;
}

}  // namespace

std::string_view api_call::parameter(std::string_view name) const noexcept {
  for (const auto& [key, value] : query) {
    if (key == name) return value;
  }
  return {};
}

std::expected<query, std::string> parse_query(std::string_view target,
                                              std::span<const std::string_view> known) {
  query out;
  const auto mark = target.find('?');
  if (mark == std::string_view::npos) return out;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  const auto decode = [&](std::string_view text) -> std::optional<std::string> {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '%') {
        decoded += text[i] == '+' ? ' ' : text[i];
        continue;
      }
      if (i + 2 >= text.size() || digit(text[i + 1]) < 0 || digit(text[i + 2]) < 0) return std::nullopt;
      decoded += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    }
    return decoded;
  };
  auto rest = target.substr(mark + 1);
  while (!rest.empty()) {
    const auto end = std::min(rest.find('&'), rest.size());
    const auto part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (part.empty()) continue;
    const auto equals = std::min(part.find('='), part.size());
    const auto name = part.substr(0, equals);
    auto value = decode(part.substr(std::min(equals + 1, part.size())));
    if (!value) return std::unexpected("The query is not percent-encoded as it should be.");
    if (std::ranges::find(known, name) == known.end())
      return std::unexpected("The query has a parameter that this path does not know.");
    if (std::ranges::any_of(out, [&](const auto& other) { return other.first == name; }))
      return std::unexpected(fmt::format("`{}` stands in the query twice.", name));
    out.emplace_back(name, std::move(*value));
  }
  return out;
}

reply api_error(http::status status, std::string_view text) {
  json_writer out;
  out.open('{');
  out.key("error").text(text);
  out.close('}');
  return {.status = status, .type = json_type, .body = std::move(out).take()};
}

std::expected<std::size_t, reply> count_of(const api_call& call, std::string_view name, std::size_t least,
                                           std::size_t most, std::size_t otherwise) {
  const auto text = call.parameter(name);
  if (text.empty()) return otherwise;
  std::size_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc{} || end != text.data() + text.size() || value < least || value > most) {
    return std::unexpected(api_error(http::status::bad_request,
                                     fmt::format("`{}` is a number from {} to {}.", name, least, most)));
  }
  return value;
}

std::string_view session_cookie(const request& request) {
  if (request.count(http::field::cookie) != 1) return {};
  const auto name = cookie_name(request);
  std::string_view rest = request[http::field::cookie];
  while (!rest.empty()) {
    const auto end = std::min(rest.find(';'), rest.size());
    auto one = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    if (one.size() > name.size() && one.starts_with(name) && one[name.size()] == '=')
      return one.substr(name.size() + 1);
  }
  return {};
}

answered answer_api(const request& request, const caller& caller, const options& options,
                    const callbacks& callbacks) {
  const std::string_view target = request.target();
  const std::string_view path = target.substr(0, target.find('?'));
  const bool head = request.method() == http::verb::head;
  const auto failed = [&](http::status status, std::string_view text) {
    return finish_api(api_error(status, text), head);
  };
  const auto routes = api_routes();
  const auto route = std::ranges::find(routes, path, &api_route::path);
  if (route == routes.end())
    return failed(http::status::not_found, "No such endpoint; GET /v1/openapi.json lists what there is.");
  const bool reads = request.method() == http::verb::get || head;
  if (route->post ? request.method() != http::verb::post : !reads) {
    auto out = failed(http::status::method_not_allowed, "That method has no meaning here.");
    out.response.set(http::field::allow, route->post ? "POST" : "GET, HEAD");
    return out;
  }
  if (is_foreign(request))
    return failed(http::status::forbidden, "A page of another origin may not ask this.");
  if (route->post && !boost::beast::iequals(std::string_view(request[http::field::content_type]), json_type))
    return failed(http::status::unsupported_media_type, "Send `Content-Type: application/json`.");

  const auto judged = route->needs == role::none ? admin::judged{} : who_is(request, caller, options);
  auto done = check(*route, judged);
  std::optional<live_filter> watch;
  if (!done) {
    std::vector<std::string_view> known;
    for (const auto& parameter : route->parameters) known.push_back(parameter.name);
    const auto query = parse_query(target, known);
    if (!query) return failed(http::status::bad_request, query.error());
    try {
      done = route->run({request, judged.who, caller, *query, callbacks, *options.api});
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception&) {
      done = api_error(http::status::internal_server_error, "This failed; the log may say why.");
    }
    if (route->schema.empty() && done->status == http::status::ok && !head) watch = live_filter_of(*query);
  }
  if (done->denied) {
    callbacks.denied(
        {.who = judged.who.name.empty() ? describe(caller) : judged.who.name + " from " + describe(caller),
         .what = fmt::format("{} {}", route->post ? "POST" : "GET", route->path),
         .why = std::string(word_of(judged.who.role)) + " is not enough, or the credential is wrong"});
  }
  if (done->status == http::status::unauthorized && judged.shown)
    done->fields.emplace_back("WWW-Authenticate", "Bearer realm=\"exeat\"");
  auto out = finish_api(std::move(*done), head);
  if (watch) {
    out.watch = std::move(watch);
    if (request.count(http::field::authorization) == 0) out.session = std::string(session_cookie(request));
  }
  return out;
}

// Sessions
// ----------------------------------------------------------------------------------------------------

reply log_in(const api_call& call) {
  constexpr std::array<std::string_view, 1> known{"token"};
  const auto body = json_body::parse(call.request.body(), known);
  if (!body) return api_error(http::status::bad_request, body.error());
  const auto* token = body->find("token");
  if (token == nullptr || token->empty()) return api_error(http::status::bad_request, "`token` is missing.");
  const auto source = call.from.uid ? fmt::format("uid {}", *call.from.uid)
                                    : call.from.address.substr(0, call.from.address.rfind(':'));
  auto opened = call.sources.people->log_in(*token, source, std::chrono::steady_clock::now());
  if (!opened) {
    switch (opened.error()) {
      case people::refusal::too_many: {
        auto out = refuse(http::status::too_many_requests, "Too many wrong tokens: wait a minute.");
        out.fields.emplace_back("Retry-After", "60");
        return out;
      }
      case people::refusal::failed:
        return api_error(http::status::internal_server_error, "The kernel gives no random numbers.");
      case people::refusal::wrong:
        break;
    }
    return refuse(http::status::unauthorized,
                  "This token is not good here. A one-time token is good once, for ten minutes.");
  }
  call.sources.note("dashboard-login", fmt::format("{} ({}) from {}", opened->who.name,
                                                   word_of(opened->who.role), describe(call.from)));
  json_writer out;
  out.open('{');
  out.key("name").text(opened->who.name);
  out.key("role").text(word_of(opened->who.role));
  out.key("key").text(opened->key);
  out.close('}');
  reply answer{.type = json_type, .body = std::move(out).take()};
  answer.fields.emplace_back(
      "Set-Cookie",
      fmt::format("{}={}; Path=/v1/; HttpOnly; SameSite=Strict; Max-Age={}", cookie_name(call.request),
                  opened->cookie, std::chrono::duration_cast<std::chrono::seconds>(people::longest).count()));
  return answer;
}

reply log_out(const api_call& call) {
  call.sources.people->log_out(session_cookie(call.request));
  reply answer{.type = json_type, .body = "{}\n"};
  answer.fields.emplace_back(
      "Set-Cookie", cookie_name(call.request) + "=; Path=/v1/; HttpOnly; SameSite=Strict; Max-Age=0");
  return answer;
}

reply session_now(const api_call& call) {
  json_writer out;
  out.open('{');
  out.key("name").text(call.who.name);
  out.key("role").text(word_of(call.who.role));
  out.key("version").text(EXEAT_VERSION);
  out.close('}');
  return {.type = json_type, .body = std::move(out).take()};
}

reply reload_now(const api_call& call) {
  const auto result = call.callbacks.reload();
  return {.status = result.ok ? http::status::ok : http::status::unprocessable_entity,
          .type = json_type,
          .body = to_json(result)};
}

}  // namespace exeat::admin
