// For book_property_test: what a book must do, said a second time and as simply as can be.
#pragma once
#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "jobs/book.hpp"

namespace exeat::jobs {

enum class deed : std::uint8_t { open, advance, close, next_job, lock_down, expire, keep_policy };

/// One call. Of fixed size, so that a child can send it through a pipe at once.
struct call {
  deed what{};
  std::array<char, 16> job{};  ///< an id; empty: the implicit one
  std::array<char, 16> to{};   ///< of advance: a phase, or empty
  std::uint32_t number =
      0;  ///< open: hours, 0 for ever; expire: hours and a half; keep_policy: which text; open: plan
  std::uint32_t plan = 0;  ///< open
};

inline std::string text_in(const std::array<char, 16>& from) {
  return from.data();
}
inline void put_in(std::array<char, 16>& to, std::string_view text) {
  to = {};
  std::ranges::copy(text.substr(0, to.size() - 1), to.begin());
}

inline const std::vector<plan>& plans() {
  static const std::vector<plan> all{parse_plan("setup,agent+mcp,report").value(),
                                     parse_plan("setup,agent").value(), parse_plan("agent,setup").value(),
                                     parse_plan("a,b,c,d,e,f").value()};
  return all;
}

struct model_job {
  jobs::plan plan;
  step current = 0;
  ending ended = ending::none;
  std::uint32_t hours = 0;  ///< 0: for ever
  std::optional<std::string> policy;
  friend bool operator==(const model_job&, const model_job&) = default;
};

struct model {
  jobs::plan declared;
  model_job implicit;  ///< as kept
  std::map<std::string, model_job> open;

  bool implicit_is_foreign() const {
    return implicit.plan != declared && (implicit.current > 0 || implicit.ended != ending::none);
  }

  void reopen(const jobs::plan& with) {
    declared = with;
    if (!implicit_is_foreign()) implicit.plan = declared;
  }

  model_job* find(const std::string& id) {
    if (id.empty()) return &implicit;
    const auto at = open.find(id);
    return at == open.end() ? nullptr : &at->second;
  }

  /// Does it, and tells whether the book must say that it did. `given`: the id of a job that was opened.
  bool perform(const call& one, const std::string& given) {
    const auto id = text_in(one.job);
    auto* const job = find(id);
    const bool foreign = id.empty() && implicit_is_foreign();
    switch (one.what) {
      case deed::open:
        open[given] = {.plan = plans()[one.plan],
                       .current = 0,
                       .ended = ending::none,
                       .hours = one.number,
                       .policy = {}};
        return true;
      case deed::advance: {
        if (job == nullptr || foreign || job->ended != ending::none) return false;
        const auto to = text_in(one.to);
        const auto target = to.empty() ? std::optional(job->current + 1) : job->plan.step_of(to);
        if (!target || *target < job->current || *target >= job->plan.end()) return false;
        job->current = *target;
        return true;
      }
      case deed::close:
        if (id.empty()) return foreign || end(*job, ending::closed);
        return open.erase(id) == 1;
      case deed::lock_down:
        return job != nullptr && (foreign || end(*job, ending::locked_down));
      case deed::next_job:
        implicit = {.plan = declared, .current = 0, .ended = ending::none, .hours = 0, .policy = {}};
        return true;
      case deed::expire:
        std::erase_if(open, [&](const auto& entry) {
          return entry.second.hours != 0 && entry.second.hours <= one.number;
        });
        return true;
      case deed::keep_policy:
        if (job == nullptr || foreign) return false;
        job->policy = "policy " + std::to_string(one.number);
        return true;
    }
    return false;
  }

  static bool end(model_job& job, ending why) {
    if (job.ended == ending::none) job.ended = why;
    job.current = job.plan.end();
    return true;
  }
};

/// A call that makes sense more often than not.
inline call random_call(std::mt19937& random, const model& of) {
  const auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(random() % n); };
  call out;
  const auto dice = below(100);
  out.what = dice < 12   ? deed::open
             : dice < 60 ? deed::advance
             : dice < 68 ? deed::close
             : dice < 76 ? deed::next_job
             : dice < 82 ? deed::lock_down
             : dice < 88 ? deed::expire
                         : deed::keep_policy;
  if (of.open.size() > 8 && out.what == deed::open) out.what = deed::close;
  const auto whose = below(10);
  if (whose == 0) {
    put_in(out.job, "j-aaaaaaaaaaaa");
  } else if (whose > 4 && !of.open.empty()) {
    put_in(out.job, std::next(of.open.begin(), below(of.open.size()))->first);
  }
  if (below(2) == 0) {
    static const std::vector<std::string> phases{"setup", "agent", "mcp", "report", "deploy", "a", "c", "f"};
    put_in(out.to, phases[below(phases.size())]);
  }
  out.number = below(6);
  out.plan = below(plans().size());
  return out;
}

/// Of the test process: limits are counted from here in whole hours, and tested half an hour behind them.
inline std::chrono::system_clock::time_point model_start() {
  static const auto start = std::chrono::system_clock::now();
  return start;
}

/// The same call to the book. `given`: the id of a job that was opened.
inline bool perform(book& on, const call& one, std::string& given) {
  const auto id = text_in(one.job);
  switch (one.what) {
    case deed::open: {
      opening wanted{.plan = plans()[one.plan], .time_limit = {}};
      if (one.number > 0) wanted.time_limit = std::chrono::hours(one.number);
      const auto done = on.open_job(wanted);
      if (done) given = done->id;
      return done.has_value();
    }
    case deed::advance:
      return on.advance(id, text_in(one.to)).has_value();
    case deed::close:
      return on.close_job(id).has_value();
    case deed::next_job:
      return on.new_job().has_value();
    case deed::lock_down:
      return on.lock_down(id).has_value();
    case deed::expire:
      on.expire(model_start() + std::chrono::hours(one.number) + std::chrono::minutes(30));
      return true;
    case deed::keep_policy:
      return on.keep_policy(id, "policy " + std::to_string(one.number)).has_value();
  }
  return false;
}

/// What a job shows, beside its id. `hours` is not shown.
inline model_job shown(const book& of, const job& live) {
  return {.plan = live.plan(),
          .current = live.current(),
          .ended = live.ended(),
          .hours = 0,
          .policy = of.kept_policy(live.id())};
}

/// What the implicit job of the model must show.
inline model_job implicit_view(const model& of) {
  auto out = of.implicit;
  if (of.implicit_is_foreign())
    out = {.plan = of.declared,
           .current = of.declared.end(),
           .ended = ending::state_damaged,
           .hours = 0,
           .policy = out.policy};
  return out;
}

}  // namespace exeat::jobs
