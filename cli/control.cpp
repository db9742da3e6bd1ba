// `exeat phase`, `exeat job` and `exeat state`: orders to a running process, and what it answers.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <cstdlib>

#include "cli/admin_client.hpp"
#include "cli/commands.hpp"
#include "config/error.hpp"
#include "core/safe_text.hpp"
#include "jobs/store.hpp"

namespace exeat::cli {
namespace {

namespace json = boost::json;

int fail(std::string_view command, std::string_view text, int status = exit_error) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  fmt::print(stderr, "exeat {}: {}\n", command, config::printable(text, 2000));
  return status;
}

/// From the file, else from the variable; empty: there is none. The error is a sentence.
std::expected<std::string, std::string> secret_of(const std::string& file, const char* variable) {
  if (!file.empty()) {
    auto read = config::load_secret_file(file);
    if (!read) return std::unexpected(read.error().to_string());
    return std::move(*read);
  }
  const char* value = variable == nullptr ? nullptr : std::getenv(variable);
  if (value == nullptr) return "";
  std::string out(value);
  if (!std::ranges::all_of(out, [](char c) { return c > 0x20 && c < 0x7f; }))
    return std::unexpected(fmt::format("${} holds characters that no secret has", variable));
  return out;
}

/// What goes along: a named file before the environment, the narrower right before the wider one.
std::expected<std::string, std::string> credential(const phase_options& options) {
  if (!options.token_file.empty()) return secret_of(options.token_file, nullptr);
  auto secret = secret_of(options.secret_file, "EXEAT_ADVANCE_SECRET");
  if (!secret || !secret->empty()) return secret;
  return secret_of({}, "EXEAT_OPERATOR_TOKEN");
}

bool is_id(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::ranges::all_of(id, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

std::string object_of(std::initializer_list<std::pair<std::string_view, std::string_view>> members) {
  std::string out;
  for (const auto& [name, value] : members) {
    if (value.empty()) continue;
    out += out.empty() ? '{' : ',';
    core::append_json_string(out, name);
    out += ':';
    core::append_json_string(out, value);
  }
  return out.empty() ? "{}" : out + "}";
}

/// Asks, and prints what keeps from a good answer.
std::expected<json::value, int> order(std::string_view command, const process_choice& process,
                                      const admin_request& request, std::string& body) {
  const auto at = find_process(process);
  if (!at) return std::unexpected(fail(command, at.error()));
  auto reply = ask(*at, request);
  if (!reply) return std::unexpected(fail(command, reply.error()));
  body = std::move(reply->body);
  if (reply->status >= 500) return std::unexpected(fail(command, body));
  if (reply->status >= 400 && reply->status != 421)
    return std::unexpected(fail(command, "refused: " + body, exit_denied));
  boost::system::error_code failed;
  auto value = json::parse(body, failed);
  if (failed || reply->status != 200 || !value.is_object())
    return std::unexpected(
        fail(command, fmt::format("not an answer of exeat's ({}): {}", reply->status, body)));
  return value;
}

// Members of an answer, harmless for a terminal whatever they hold.
std::string text_at(const json::value& of, std::string_view name) {
  const auto* value = of.is_object() ? of.as_object().if_contains(name) : nullptr;
  return value != nullptr && value->is_string()
             ? config::printable(std::string_view(value->as_string()), 2000)
             : std::string();
}
std::uint64_t number_at(const json::value& of, std::string_view name) {
  const auto* value = of.is_object() ? of.as_object().if_contains(name) : nullptr;
  boost::system::error_code failed;
  return value == nullptr ? 0 : value->to_number<std::uint64_t>(failed);
}
bool flag_at(const json::value& of, std::string_view name) {
  const auto* value = of.is_object() ? of.as_object().if_contains(name) : nullptr;
  return value != nullptr && value->is_bool() && value->as_bool();
}
const json::array& list_at(const json::value& of, std::string_view name) {
  static const json::array none;
  const auto* value = of.is_object() ? of.as_object().if_contains(name) : nullptr;
  return value != nullptr && value->is_array() ? value->as_array() : none;
}
std::string joined(const json::array& texts) {
  std::string out;
  for (const auto& one : texts) {
    if (!one.is_string()) continue;
    out += (out.empty() ? "" : "+") + config::printable(std::string_view(one.as_string()));
  }
  return out.empty() ? "the end" : out;
}

std::string name_of(const json::value& job) {
  const auto id = text_at(job, "job");
  return id.empty() ? "the job of exeat.yaml" : "job " + id;
}

void print_status(const json::value& job) {
  const auto ended = text_at(job, "ended");
  fmt::print("{}{}\n", name_of(job), ended.empty() ? "" : ": " + ended + ", all of it is sealed");
  const auto& phases = list_at(job, "phases");
  std::size_t width = 5;
  for (const auto& phase : phases) width = std::max(width, text_at(phase, "phase").size());
  fmt::print("  STEP  {:<{}}  STATE    TUNNELS      BYTES UP    BYTES DOWN\n", "PHASE", width);
  for (const auto& phase : phases) {
    const auto* state = flag_at(phase, "sealed")    ? "sealed"
                        : flag_at(phase, "current") ? "current"
                                                    : "to come";
    fmt::print("  {:<4}  {:<{}}  {:<7}  {:>7}  {:>12}  {:>12}\n", number_at(phase, "step") + 1,
               text_at(phase, "phase"), width, state, number_at(phase, "tunnels"),
               number_at(phase, "bytes_up"), number_at(phase, "bytes_down"));
  }
  const auto* held = job.as_object().if_contains("held");
  if (held != nullptr && held->is_object()) {
    fmt::print(
        "  held: it keeps its policy until it ends, for the one in force is wider ({} finding{}): {}\n",
        number_at(*held, "findings"), number_at(*held, "findings") == 1 ? "" : "s", text_at(*held, "first"));
  }
}

int run_status(const phase_options& options, admin_request request) {
  if (!options.to.empty() || !options.grace.empty())
    return fail("phase", "--to and --grace belong to `exeat phase advance`");
  request.target = "/-/phase/status" + (options.job.empty() ? "" : "?job=" + options.job);
  std::string body;
  const auto value = order("phase status", options.process, request, body);
  if (!value) return value.error();
  if (options.format == "json") {
    fmt::print("{}", body);
    return exit_ok;
  }
  const auto& jobs = list_at(*value, "jobs");
  if (jobs.empty())
    fmt::print("no job is declared in exeat.yaml, and none is open: no phase is ever sealed\n");
  for (const auto& job : jobs) {
    if (job.is_object()) print_status(job);
  }
  return exit_ok;
}

int run_advance(const phase_options& options, admin_request request) {
  request.method = "POST";
  request.target = "/-/phase/advance";
  request.body = object_of({{"job", options.job}, {"to", options.to}, {"grace", options.grace}});
  std::string body;
  const auto value = order("phase advance", options.process, request, body);
  if (!value) return value.error();
  if (options.format == "json") {
    fmt::print("{}", body);
    return exit_ok;
  }
  const auto& from = list_at(*value, "from");
  const auto& to = list_at(*value, "to");
  const auto* job = value->as_object().if_contains("job");
  const auto who = job == nullptr ? std::string("the job") : name_of(*job);
  if (from == to) {
    fmt::print("{} was in {} already\n", who, joined(to));
  } else {
    fmt::print("{}: {} is sealed, now in {}\n", who, joined(from), joined(to));
  }
  return exit_ok;
}

int print_opened(const json::value& opened) {
  fmt::print("job {}\n", text_at(opened, "job"));
  bool any_url = false;
  for (const auto& phase : list_at(opened, "phases")) {
    fmt::print("phase {}\n  token {}\n", text_at(phase, "phase"), text_at(phase, "token"));
    for (const auto& url : list_at(phase, "urls")) {
      any_url = true;
      if (url.is_string())
        fmt::print("  url {}\n", config::printable(std::string_view(url.as_string()), 2000));
    }
  }
  fmt::print("advance-secret {}\n", text_at(opened, "advance_secret"));
  fmt::print(
      stderr,
      "Shown this once: give each phase its own url, and the advance secret to whoever ends a phase.\n");
  if (!any_url)
    fmt::print(stderr,
               "No TCP listener takes these tokens: clients prove the job by their certificate, or come "
               "through a unix socket.\n");
  return exit_ok;
}

}  // namespace

int run_phase(const phase_options& options) {
  if (!options.secret_file.empty() && !options.token_file.empty())
    return fail("phase", "--secret-file and --token-file do not go together");
  if (!options.job.empty() && !is_id(options.job))
    return fail("phase", fmt::format("no job has the id {}", options.job));
  auto bearer = credential(options);
  if (!bearer) return fail("phase", bearer.error());
  admin_request request{.target = {}, .body = {}, .bearer = std::move(*bearer)};
  return options.action == "status" ? run_status(options, std::move(request))
                                    : run_advance(options, std::move(request));
}

int run_job(const job_options& options) {
  const bool opens = options.action == "open";
  const bool closes = options.action == "close";
  if (opens && options.phases.empty())
    return fail("job", "`exeat job open` needs --phases, such as setup,agent+mcp");
  if (!opens && (!options.phases.empty() || !options.time_limit.empty()))
    return fail("job", "--phases and --time-limit belong to `exeat job open`");
  if (closes && options.id.empty())
    return fail("job",
                "`exeat job close` needs the ID of a job; the one of exeat.yaml ends with `exeat job new`");
  if (!closes && !options.id.empty()) return fail("job", "only `exeat job close` takes an ID");
  if (closes && !is_id(options.id)) return fail("job", fmt::format("no job has the id {}", options.id));
  auto bearer = secret_of(options.token_file, "EXEAT_OPERATOR_TOKEN");
  if (!bearer) return fail("job", bearer.error());
  const admin_request request{
      .method = "POST",
      .target = "/-/job/" + options.action,
      .body =
          object_of({{"phases", options.phases}, {"time_limit", options.time_limit}, {"job", options.id}}),
      .bearer = std::move(*bearer)};
  std::string body;
  const auto value = order("job " + options.action, options.process, request, body);
  if (!value) return value.error();
  if (options.format == "json") {
    fmt::print("{}", body);
    return exit_ok;
  }
  if (opens) return print_opened(*value);
  if (closes) {
    fmt::print("job {} is closed: all of it is sealed\n", options.id);
  } else {
    fmt::print("the job of exeat.yaml begins anew: nothing of it is sealed\n");
  }
  return exit_ok;
}

int run_state(const state_options& options) {
  if (const auto made = jobs::init_state(options.directory); !made) return fail("state init", made.error());
  fmt::print("{} is ready: name it as `state_dir` under `job` in exeat.yaml\n",
             config::printable(options.directory, 4096));
  return exit_ok;
}

}  // namespace exeat::cli
