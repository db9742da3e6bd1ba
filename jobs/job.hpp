// A job: one run with an ordered list of phases, of which the past ones are sealed.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace exeat::jobs {

/// A place in a job's order, from 0.
using step = std::uint32_t;

/// The order of a job's phases; those of one step run beside one another. Each phase stands in it once.
struct plan {
  std::vector<std::vector<std::string>> steps;

  std::optional<step> step_of(std::string_view phase) const noexcept;
  /// One behind the last step: everything is sealed.
  step end() const noexcept { return static_cast<step>(steps.size()); }
  /// "setup > agent+mcp"; as parse_plan reads it.
  std::string to_string() const;
  friend bool operator==(const plan&, const plan&) = default;
};

/// A token that proves one phase of one job: SHA-256 of its octets.
struct token {
  std::string phase;
  std::array<std::uint8_t, 32> sha256{};
};

/// Why all of a job is sealed.
enum class ending : std::uint8_t { none, closed, expired, locked_down, state_damaged };

/// Thread-safe. What is sealed stays sealed as long as the object lives; jobs/store.hpp keeps it beyond that.
class job {
 public:
  job(std::string id, jobs::plan plan, std::vector<token> tokens = {}, step first = 0);
  job(const job&) = delete;
  job& operator=(const job&) = delete;

  const std::string& id() const noexcept { return id_; }
  const jobs::plan& plan() const noexcept { return plan_; }
  const std::vector<token>& tokens() const noexcept { return tokens_; }

  /// Everything before this step is sealed. Sequentially consistent with seal_before() of another thread.
  step current() const noexcept { return current_.load(); }
  bool is_sealed(step at) const noexcept { return at < current(); }
  /// Never lowers it.
  void seal_before(step target) noexcept;

  /// Seals everything.
  void end(ending why) noexcept;
  ending ended() const noexcept { return ended_.load(); }

 private:
  std::string id_;
  jobs::plan plan_;
  std::vector<token> tokens_;
  std::atomic<step> current_;
  std::atomic<ending> ended_{ending::none};
};

}  // namespace exeat::jobs
