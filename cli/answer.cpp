#include "cli/answer.hpp"

#include "core/safe_text.hpp"

namespace exeat::cli {

// A literal is its own address, so the guard needs no look-up. Names are not looked up here.
answer judge(const allowlist::policy& policy, allowlist::phase_id phase, const config::wanted& wanted,
             std::chrono::sys_seconds now, std::string_view method) {
  const allowlist::request request{.phase = phase,
                                   .scheme = wanted.scheme,
                                   .to = &wanted.to,
                                   .now = now,
                                   .method = method,
                                   .path = wanted.path};
  const auto decision = allowlist::decide(policy, request);
  answer out;
  out.verdict = decision.verdict;
  out.reason = decision.reason;
  out.rule = decision.governing;
  if (const auto* literal = std::get_if<core::ip_address>(&wanted.to.host);
      literal != nullptr && decision.verdict != allowlist::verdict::deny) {
    out.guarded =
        allowlist::guard(policy, wanted.to, {literal, 1}, now,
                         decision.verdict == allowlist::verdict::allow ? decision.governing : nullptr);
    if (out.guarded) {
      out.verdict = allowlist::verdict::deny;
      out.reason = out.guarded->reason;
    }
  }
  if (out.verdict == allowlist::verdict::allow) return out;
  const allowlist::refused refused{.policy = &policy,
                                   .phase = phase,
                                   .scheme = wanted.scheme,
                                   .to = &wanted.to,
                                   .reason = out.reason,
                                   .governing = out.rule,
                                   .guard = out.guarded ? &*out.guarded : nullptr,
                                   .decision = "<id>"};
  out.told = allowlist::explain_to_client(refused);
  // With full hints the client has been told the same.
  if (allowlist::hints_of(policy.phase_of(phase)) == allowlist::hint_level::code) {
    out.hint = allowlist::hint_for_log(refused);
  }
  return out;
}

std::chrono::sys_seconds current_time() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

std::string_view words_for(allowlist::verdict verdict) noexcept {
  switch (verdict) {
    case allowlist::verdict::allow:
      return "allowed";
    case allowlist::verdict::would_deny:
      return "would be denied (audit)";
    case allowlist::verdict::deny:
      break;
  }
  return "denied";
}

std::expected<config::shared_policy, config::errors> load_chosen(const policy_choice& choice) {
  if (choice.policy.empty() && choice.config_file.empty()) return config::builtin_policy();
  if (choice.config_file.empty()) {
    return config::load_policy_file(choice.policy, {.insecure = choice.insecure_policy_file});
  }
  const auto settings = config::load_settings(
      choice.config_file, {.policy = choice.policy, .insecure_policy_file = choice.insecure_policy_file});
  if (!settings) return std::unexpected(settings.error());
  return config::load_policy(*settings);
}

void append_json_member(std::string& object, std::string_view name, std::string_view json) {
  object += object.empty() ? "{\"" : ",\"";
  object.append(name).append("\":").append(json);
}

void append_member(std::string& object, std::string_view name, std::string_view text) {
  append_json_member(object, name, {});
  core::append_json_string(object, text);
}

}  // namespace exeat::cli
