#include "jobs/plan_text.hpp"

#include <algorithm>
#include <cstddef>
#include <set>
#include <utility>
#include <vector>

namespace exeat::jobs {
namespace {

constexpr std::size_t longest_name = 63;
constexpr std::size_t most_phases = 64;

bool is_phase_name(std::string_view name) {
  const auto lower = [](char c) { return c >= 'a' && c <= 'z'; };
  return !name.empty() && name.size() <= longest_name && lower(name.front()) &&
         std::ranges::all_of(name, [&](char c) { return lower(c) || (c >= '0' && c <= '9') || c == '-'; });
}

std::string_view without_blanks(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> out;
  for (;;) {
    const auto end = text.find_first_of(separators);
    out.push_back(without_blanks(text.substr(0, end)));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

// What a text from outside may look like in a message.
std::string quoted(std::string_view name) {
  std::string out = "`";
  for (const char c : name.substr(0, longest_name)) out += c > ' ' && c < '\x7f' ? c : '?';
  return out + (name.size() > longest_name ? "...`" : "`");
}

}  // namespace

std::expected<void, std::string> valid_plan(const plan& of) {
  if (of.steps.empty()) return std::unexpected("the order of phases is empty");
  std::set<std::string_view> seen;
  for (const auto& phases : of.steps) {
    if (phases.empty()) return std::unexpected("a step of the order has no phase");
    for (const auto& phase : phases) {
      if (!is_phase_name(phase)) {
        return std::unexpected(
            "a phase's name is a lower-case letter, then letters, digits and hyphens, 63 at most, not " +
            quoted(phase));
      }
      if (!seen.insert(phase).second)
        return std::unexpected("the phase " + quoted(phase) + " stands twice in the order");
      if (seen.size() > most_phases) return std::unexpected("the order has more than 64 phases");
    }
  }
  return {};
}

std::expected<plan, std::string> parse_plan(std::string_view text) {
  plan out;
  if (without_blanks(text).empty()) return std::unexpected("the order of phases is empty");
  for (const auto step : split(text, ",>")) {
    auto& phases = out.steps.emplace_back();
    for (const auto phase : split(step, "+")) {
      if (phase.empty()) {
        return std::unexpected(
            "a phase is missing: write `,` between steps and `+` between the phases of one step, as in "
            "`setup,agent+mcp`");
      }
      phases.emplace_back(phase);
    }
  }
  if (auto valid = valid_plan(out); !valid) return std::unexpected(std::move(valid.error()));
  return out;
}

}  // namespace exeat::jobs
