// Decisions as the store keeps them: one group for all that differ in nothing but time, client and size.
#pragma once
#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/reason.hpp"
#include "proxy/event.hpp"

namespace exeat::review {

/// One request of a group. All texts but `decision` are the client's choice.
struct sample {
  std::chrono::system_clock::time_point time;
  std::string decision;  ///< the id that the client was shown
  std::string client;    ///< "ADDRESS:PORT" or "uid:N"
  std::string process;   ///< the executable behind it, "unavailable", or empty
  std::string command;   ///< its command line
  std::string method;
  std::string sni;
  std::string error;  ///< one more sentence for the operator; may be empty
};

struct group {
  proxy::outcome verdict = proxy::outcome::deny;
  core::reason reason = core::reason::no_rule;
  bool refused = false;  ///< as log::is_refusal
  std::uint16_t port = 0;
  std::string job, phase, scheme;
  std::string host;  ///< other_host where a bound was met
  std::string rule, rule_at, hint;
  std::uint64_t count = 0;  ///< 0: octets alone, of decisions that were counted before
  std::uint64_t bytes_up = 0, bytes_down = 0;
  std::chrono::system_clock::time_point first_seen, last_seen;
  std::optional<sample> first, last;  ///< of refusals
};

/// Bounds of one aggregate in memory.
struct aggregate_bounds {
  std::size_t groups_per_job = 20'000;  ///< beyond: `(other)`, by job, phase, verdict, reason and rule
  std::size_t groups = 40'000;          ///< of all jobs; beyond likewise
};

/// A bounded number of groups. What is beyond the bounds loses its host and samples, never its count.
/// Not thread-safe.
class aggregate {
 public:
  explicit aggregate(aggregate_bounds bounds = {}) noexcept : bounds_(bounds) {}

  void add(const proxy::event& event);
  /// `count` decisions of which nothing else is known.
  void add_lost(proxy::outcome verdict, core::reason reason, std::uint64_t count,
                std::chrono::system_clock::time_point now);
  /// All that is in `other`; where memory ends on the way, its groups that are not taken keep their counts.
  void merge(aggregate&& other);
  /// Takes the first so many away, in the order of groups(); what detail_lost() says stays.
  void remove_first(std::size_t count);

  bool empty() const noexcept { return groups_.empty(); }
  std::size_t size() const noexcept { return groups_.size(); }
  /// Decisions that lost their detail here, or in what was merged.
  std::uint64_t detail_lost() const noexcept { return detail_lost_; }
  const auto& groups() const noexcept { return groups_; }

 private:
  struct hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  struct parts {
    proxy::outcome verdict;
    core::reason reason;
    std::uint16_t port;
    std::string_view job, phase, scheme, host, rule;
  };

  group& find(const parts& wanted, std::uint64_t count);
  group* seek(const parts& wanted, bool insert);
  bool has_room(std::string_view job) const noexcept;

  aggregate_bounds bounds_;
  boost::unordered_flat_map<std::string, group, hash, std::equal_to<>> groups_;
  boost::unordered_flat_map<std::string, std::size_t, hash, std::equal_to<>> of_job_;
  std::string key_;  ///< scratch
  std::uint64_t detail_lost_ = 0;
};

}  // namespace exeat::review
