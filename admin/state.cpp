#include "admin/state.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <concepts>
#include <iterator>
#include <string_view>

#include "core/safe_text.hpp"

namespace exeat::admin {
namespace {

/// Members of JSON objects and arrays, commas placed.
class json_writer {
 public:
  void open(char bracket) {
    separate();
    out_ += bracket;
    first_ = true;
  }
  void close(char bracket) {
    out_ += bracket;
    first_ = false;
  }
  json_writer& key(std::string_view name) {
    text(name);
    out_ += ':';
    first_ = true;
    return *this;
  }
  void text(std::string_view value) {
    separate();
    core::append_json_string(out_, value);
  }
  void boolean(bool value) {
    separate();
    out_ += value ? "true" : "false";
  }
  void number(std::unsigned_integral auto value) {
    separate();
    fmt::format_to(std::back_inserter(out_), "{}", value);
  }
  void time(std::chrono::system_clock::time_point value) {
    const auto seconds = std::chrono::floor<std::chrono::seconds>(value);
    text(fmt::format("{:%Y-%m-%dT%H:%M:%S}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(seconds))));
  }
  void texts(const std::vector<std::string>& values) {
    open('[');
    for (const std::string& value : values) text(value);
    close(']');
  }
  std::string take() && { return std::move(out_) + "\n"; }

 private:
  void separate() {
    if (!first_) out_ += ',';
    first_ = false;
  }

  std::string out_;
  bool first_ = true;
};

std::string_view status_of(const health& health) {
  if (health.draining) return "draining";
  const auto& reload = health.policy.last_reload;
  return reload && !reload->ok ? "degraded" : "ok";
}

void write(json_writer& out, const policy_state& policy) {
  out.open('{');
  out.key("file").text(policy.file.empty() ? "(built-in)" : policy.file);
  out.key("digest").text(policy.digest);
  out.key("loaded_at").time(policy.loaded_at);
  out.key("rules").number(policy.rules);
  if (const auto& reload = policy.last_reload) {
    out.key("last_reload").open('{');
    out.key("ok").boolean(reload->ok);
    out.key("at").time(reload->at);
    out.key("errors").texts(reload->errors);
    out.close('}');
  }
  out.close('}');
}

}  // namespace

std::string to_json(const health& health) {
  json_writer out;
  out.open('{');
  out.key("status").text(status_of(health));
  out.key("version").text(health.version);
  out.key("identity").text(health.identity);
  if (!health.identity_note.empty()) out.key("identity_note").text(health.identity_note);
  write(out.key("policy"), health.policy);
  out.key("listeners").open('[');
  for (const listener_state& listener : health.listeners) {
    out.open('{');
    out.key("address").text(listener.address);
    out.key("phase").text(listener.phase);
    out.key("identity").text(listener.identity);
    out.close('}');
  }
  out.close(']');
  out.key("workers").number(health.workers);
  out.key("draining").boolean(health.draining);
  out.close('}');
  return std::move(out).take();
}

std::string to_json(const readiness& readiness) {
  json_writer out;
  out.open('{');
  out.key("ready").boolean(std::ranges::all_of(readiness.checks, &readiness::check::ok));
  out.key("checks").open('[');
  for (const readiness::check& check : readiness.checks) {
    out.open('{');
    out.key("name").text(check.name);
    out.key("ok").boolean(check.ok);
    if (!check.detail.empty()) out.key("detail").text(check.detail);
    out.close('}');
  }
  out.close(']');
  out.close('}');
  return std::move(out).take();
}

std::string to_json(const reload_result& result) {
  json_writer out;
  out.open('{');
  out.key("ok").boolean(result.ok);
  out.key("digest").text(result.digest);
  out.key("rules").number(result.rules);
  out.key("errors").texts(result.errors);
  out.close('}');
  return std::move(out).take();
}

}  // namespace exeat::admin
