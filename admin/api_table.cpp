// The table of the API, and the OpenAPI document that it makes.
#include <fmt/format.h>

#include <array>

#include "admin/api.hpp"
#include "admin/json_writer.hpp"

namespace exeat::admin {
namespace {

constexpr std::string_view text_schema = R"({"type":"string","maxLength":256})";

reply openapi_now(const api_call&) {
  return {.type = json_type, .body = openapi_document()};
}

const std::vector<api_route>& table() {
  static const std::vector<api_route> rows{
      {"/v1/session", false, role::viewer, session_now, "session", "Who is asking, and in which role.",
       "Session"},
      {"/v1/login",
       true,
       role::none,
       log_in,
       "login",
       "Opens a session: sets its cookie, and gives the key that every request of it shows in "
       "`Exeat-Session`. "
       "Ten wrong tokens in a minute from one source are enough.",
       "LoggedIn",
       {},
       "Login"},
      {"/v1/logout", true, role::viewer, log_out, "logout", "Ends the session.", "Nothing", {}, "Nothing"},
      {"/v1/overview", false, role::viewer, overview, "overview",
       "Health, counts by phase and reason, what the log has lost, and the last half hour for charts.",
       "Overview"},
      {"/v1/policy", false, role::viewer, policy_in_force, "policy",
       "The policy in force: where it comes from, its phases and its exceptions for addresses.", "Policy"},
      {"/v1/policy/rules",
       false,
       role::viewer,
       policy_rules,
       "rules",
       "Its rules, with where they stand and how often each has been used since the start.",
       "Rules",
       {{"phase", text_schema, "A phase, or `deny`; without it all of them."},
        {"q", text_schema, "What rule, reason, owner, ticket, bundle or place must contain."},
        {"use", R"({"enum":["used","unused"]})",
         "Only those that have been used since the start, or have not."},
        {"offset", R"({"type":"integer","minimum":0})", "How many to leave out."},
        {"limit", R"({"type":"integer","minimum":1,"maximum":500})", "How many to give; 100 by default."}}},
      {"/v1/policy/findings", false, role::reviewer, policy_findings, "findings",
       "What `exeat lint` finds in it; the first 500.", "Findings"},
      {"/v1/try",
       false,
       role::viewer,
       try_it,
       "tryIt",
       "What every phase answers to a destination and why: by the functions that decide, without a request.",
       "Explained",
       {{"destination", R"({"type":"string","maxLength":2048})", "A URL or HOST:PORT."},
        {"method", text_schema, "Of plain HTTP; GET by default."}}},
      {"/v1/jobs", false, role::viewer, jobs_now, "jobs",
       "Jobs with their phases, tunnels and octets; what was decided in each; the budgets of the job of "
       "exeat.yaml.",
       "Jobs"},
      {"/v1/live",
       false,
       role::developer,
       live,
       "live",
       "Decisions as they happen, as server-sent events: `decision` holds a line of the log, `gap` how many "
       "events a "
       "slow reader has missed.",
       "",
       {{"phase", text_schema, "Only this phase."},
        {"show", R"({"enum":["all","refused"]})", "`refused`: refusals and failures alone."},
        {"q", text_schema, "What host, reason, rule, process, client or job must contain."},
        {"after", R"({"type":"integer","minimum":0})",
         "The id of the last event seen; without it the stream begins with the latest refusals."}}},
      {"/v1/reload",
       true,
       role::admin,
       reload_now,
       "reload",
       "Loads the policy again; a bad one leaves the one before in force.",
       "Reloaded",
       {},
       "Nothing"},
      {"/v1/openapi.json", false, role::viewer, openapi_now, "openapi", "This document.", "Document"},
  };
  return rows;
}

void write_errors(json_writer& out, const api_route& route) {
  const auto one = [&](std::string_view status, std::string_view text) {
    out.key(status).open('{');
    out.key("description").text(text);
    out.key("content").raw(R"({"application/json":{"schema":{"$ref":"#/components/schemas/Error"}}})");
    out.close('}');
  };
  if (!route.parameters.empty() || route.post) one("400", "The request is not as it should be.");
  one("401", "No credential, or one that is not good here.");
  one("403", "The role is not enough, or the request comes from a page of another origin.");
  if (route.path == "/v1/login") one("429", "Too many wrong tokens.");
}

void write(json_writer& out, const api_route& route) {
  out.open('{');
  out.key(route.post ? "post" : "get").open('{');
  out.key("operationId").text(route.id);
  out.key("summary").text(route.summary);
  if (route.needs != role::none)
    out.key("description").text(fmt::format("For the role {} and those above it.", word_of(route.needs)));
  if (route.needs == role::none) out.key("security").raw("[]");
  if (!route.parameters.empty()) {
    out.key("parameters").open('[');
    for (const auto& parameter : route.parameters) {
      out.open('{');
      out.key("name").text(parameter.name);
      out.key("in").text("query");
      out.key("required").boolean(parameter.name == "destination");
      out.key("description").text(parameter.text);
      out.key("schema").raw(parameter.schema);
      out.close('}');
    }
    out.close(']');
  }
  if (!route.body.empty()) {
    out.key("requestBody")
        .raw(fmt::format(
            R"({{"required":true,"content":{{"application/json":{{"schema":{{"$ref":"#/components/schemas/{}"}}}}}}}})",
            route.body));
  }
  out.key("responses").open('{');
  out.key("200").open('{');
  out.key("description").text("As asked for.");
  out.key("content").raw(
      route.schema.empty()
          ? std::string(R"({"text/event-stream":{"schema":{"type":"string"}}})")
          : fmt::format(R"({{"application/json":{{"schema":{{"$ref":"#/components/schemas/{}"}}}}}})",
                        route.schema));
  out.close('}');
  write_errors(out, route);
  out.close('}');
  out.close('}');
  out.close('}');
}

}  // namespace

std::span<const api_route> api_routes() {
  return table();
}

std::string openapi_document() {
  json_writer out;
  out.open('{');
  out.key("openapi").text("3.1.0");
  out.key("info").open('{');
  out.key("title").text("exeat");
  out.key("version").text("1");
  out.key("description")
      .text(
          "What the dashboard is made of. Served at the admin listener; on the control socket its operators "
          "are admins.");
  out.close('}');
  out.key("security").raw(R"([{"token":[]},{"session":[],"key":[]}])");
  out.key("paths").open('{');
  for (const auto& route : table()) write(out.key(route.path), route);
  out.close('}');
  out.key("components").open('{');
  out.key("securitySchemes")
      .raw(R"({"token":{"type":"http","scheme":"bearer","description":"A token of `exeat token --role`."},)"
           R"("session":{"type":"apiKey","in":"cookie","name":"exeat_session_PORT"},)"
           R"("key":{"type":"apiKey","in":"header","name":"Exeat-Session"}})");
  out.key("schemas").raw(api_schemas());
  out.close('}');
  out.close('}');
  return std::move(out).take();
}

}  // namespace exeat::admin
