#include "jobs/job.hpp"

#include <algorithm>
#include <utility>

namespace exeat::jobs {

std::optional<step> plan::step_of(std::string_view phase) const noexcept {
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (std::ranges::find(steps[i], phase) != steps[i].end()) return static_cast<step>(i);
  }
  return std::nullopt;
}

std::string plan::to_string() const {
  std::string out;
  for (const auto& phases : steps) {
    if (!out.empty()) out += " > ";
    bool first = true;
    for (const auto& phase : phases) {
      if (!std::exchange(first, false)) out += '+';
      out += phase;
    }
  }
  return out;
}

job::job(std::string id, jobs::plan plan, std::vector<token> tokens, step first)
    : id_(std::move(id)), plan_(std::move(plan)), tokens_(std::move(tokens)), current_(first) {}

void job::seal_before(step target) noexcept {
  auto now = current_.load();
  while (now < target && !current_.compare_exchange_weak(now, target)) {
  }
}

void job::end(ending why) noexcept {
  auto none = ending::none;
  ended_.compare_exchange_strong(none, why);
  seal_before(plan_.end());
}

}  // namespace exeat::jobs
