#include "cli/diff_replay.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "allowlist/address_guard.hpp"
#include "cli/answer.hpp"
#include "config/error.hpp"
#include "log/requests.hpp"

namespace exeat::cli {
namespace {

constexpr std::size_t most_distinct = 100'000;

// phase, scheme, method, host, port, address
using key = std::tuple<std::string, core::scheme, std::string, std::string, std::uint16_t, std::string>;

struct reply {
  std::string_view words;
  std::string_view reason;
  const allowlist::rule* rule = nullptr;
  bool passes = false;
};

std::optional<core::host> host_of(std::string_view text) {
  if (const auto address = core::ip_address::parse(text)) return *address;
  if (const auto name = core::host_name::parse(text)) return *name;
  return std::nullopt;
}

reply ask(const allowlist::policy& policy, const key& asked, const core::destination& to,
          std::chrono::sys_seconds now) {
  const auto phase = policy.find_phase(std::get<0>(asked));
  if (!phase) return {words_for(allowlist::verdict::deny), "no-phase"};
  const auto decision = allowlist::decide(
      policy,
      {.phase = *phase, .scheme = std::get<1>(asked), .to = &to, .now = now, .method = std::get<2>(asked)});
  if (decision.reason == core::reason::path_not_allowed)
    return {"depends on the path", core::code_of(decision.reason), decision.governing};
  reply out{words_for(decision.verdict), core::code_of(decision.reason), decision.governing,
            decision.verdict != allowlist::verdict::deny};
  auto address = core::ip_address::parse(std::get<5>(asked));
  if (const auto* literal = std::get_if<core::ip_address>(&to.host)) address = *literal;
  if (!out.passes || !address) return out;
  const auto* governing = decision.verdict == allowlist::verdict::allow ? decision.governing : nullptr;
  if (const auto refusal = allowlist::guard(policy, to, {&*address, 1}, now, governing)) {
    out = {words_for(allowlist::verdict::deny), core::code_of(refusal->reason), refusal->denied_by};
  }
  return out;
}

}  // namespace

std::expected<replay, std::string> replay_logs(const std::vector<std::string>& files,
                                               std::istream& standard_input, const allowlist::policy& before,
                                               const allowlist::policy& after, std::chrono::sys_seconds now) {
  replay out;
  std::map<key, std::uint64_t> distinct;
  log::requests_read count;
  for (const auto& file : files) {
    auto failure = log::read_requests(file, standard_input, count, [&](const log::recorded_request& line) {
      if (line.host.empty() || line.port == 0 || line.phase.empty()) return;
      const auto scheme = line.scheme == "https" ? core::scheme::https : core::scheme::http;
      key asked{
          line.phase, scheme,    scheme == core::scheme::http ? line.method : std::string_view("CONNECT"),
          line.host,  line.port, line.address};
      const auto found = distinct.find(asked);
      if (found != distinct.end()) {
        ++found->second;
      } else if (distinct.size() < most_distinct) {
        distinct.emplace(std::move(asked), 1);
      } else {
        ++out.beyond;
      }
    });
    if (!failure.empty()) return std::unexpected(std::move(failure));
  }
  out.malformed = count.malformed;
  out.lost = count.lost;

  // Addresses aside: most names have several, and a reader wants one line.
  std::map<std::tuple<std::string, std::string, std::string, std::string_view, std::string_view, const void*>,
           replayed>
      groups;
  for (const auto& [asked, times] : distinct) {
    const auto& [phase, scheme, method, host, port, address] = asked;
    const auto where = host_of(host);
    if (!where) {
      out.malformed += times;
      continue;
    }
    if (!before.find_phase(phase) && !after.find_phase(phase)) {
      out.without_phase += times;
      continue;
    }
    out.requests += times;
    const core::destination to{*where, port};
    const auto then = ask(before, asked, to, now);
    const auto later = ask(after, asked, to, now);
    if (then.words == later.words) continue;
    out.changed_requests += times;
    auto url = fmt::format("{}://{}", scheme == core::scheme::https ? "https" : "http", core::to_string(to));
    auto& group = groups[{phase, url, method, then.reason, later.reason, later.rule}];
    group.phase = config::printable(phase);
    group.method = config::printable(method);
    group.destination = std::move(url);
    group.before = then.words;
    group.after = later.words;
    group.before_reason = then.reason;
    group.after_reason = later.reason;
    group.rule = later.rule;
    group.count += times;
    group.is_wider = later.passes && !then.passes;
  }
  for (auto& [group_key, group] : groups) out.changed.push_back(std::move(group));
  std::ranges::sort(out.changed, [](const replayed& a, const replayed& b) {
    const auto rest = [](const replayed& r) {
      return std::tie(r.phase, r.destination, r.method, r.before_reason, r.after_reason);
    };
    if (a.is_wider != b.is_wider) return a.is_wider;
    return a.count != b.count ? a.count > b.count : rest(a) < rest(b);
  });
  return out;
}

}  // namespace exeat::cli
