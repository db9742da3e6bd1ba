#include "review/aggregate.hpp"

#include <algorithm>
#include <utility>

#include "log/event_observer.hpp"
#include "review/schema.hpp"

namespace exeat::review {
namespace {

// Beyond aggregate_bounds::groups there is room for groups of `(other)`: their phases and rules are the
// policy's, their jobs the operator's choice, and nothing in them a client's.
constexpr std::size_t room_for_other = 4'096;

void append_part(std::string& out, std::string_view part) {
  const auto size = static_cast<std::uint32_t>(part.size());
  out.append(reinterpret_cast<const char*>(&size), sizeof size);
  out.append(part);
}

bool is_refusal(const proxy::event& event) noexcept {
  return event.verdict == proxy::outcome::deny || event.verdict == proxy::outcome::would_deny ||
         core::row_of(event.reason).kind == core::reason_kind::policy;
}

std::string client_of(const proxy::event& event) {
  if (!event.client) return event.client_uid ? "uid:" + std::to_string(*event.client_uid) : std::string();
  auto out = event.client->is_v6() ? '[' + event.client->to_string() + ']' : event.client->to_string();
  return out += ':' + std::to_string(event.client_port);
}

sample sample_of(const proxy::event& event) {
  return {.time = event.time,
          .decision = std::string(event.id.view()),
          .client = client_of(event),
          .process = std::string(event.process),
          .command = std::string(event.command),
          .method = std::string(event.method),
          .sni = std::string(event.sni),
          .error = std::string(event.error)};
}

void note_time(group& in, std::chrono::system_clock::time_point first,
               std::chrono::system_clock::time_point last) {
  if (in.first_seen == std::chrono::system_clock::time_point{} || first < in.first_seen)
    in.first_seen = first;
  in.last_seen = std::max(in.last_seen, last);
}

}  // namespace

bool aggregate::has_room(std::string_view job) const noexcept {
  if (groups_.size() >= bounds_.groups) return false;
  const auto found = of_job_.find(job);
  return found == of_job_.end() || found->second < bounds_.groups_per_job;
}

group* aggregate::seek(const parts& wanted, bool insert) {
  key_.clear();
  key_ += static_cast<char>(wanted.verdict);
  key_.append(reinterpret_cast<const char*>(&wanted.reason), sizeof wanted.reason);
  key_.append(reinterpret_cast<const char*>(&wanted.port), sizeof wanted.port);
  for (const auto part : {wanted.job, wanted.phase, wanted.scheme, wanted.host, wanted.rule})
    append_part(key_, part);
  if (const auto found = groups_.find(std::string_view(key_)); found != groups_.end()) return &found->second;
  if (!insert) return nullptr;
  group fresh{.verdict = wanted.verdict,
              .reason = wanted.reason,
              .port = wanted.port,
              .job = std::string(wanted.job),
              .phase = std::string(wanted.phase),
              .scheme = std::string(wanted.scheme),
              .host = std::string(wanted.host),
              .rule = std::string(wanted.rule),
              .rule_at = {},
              .hint = {},
              .first_seen = {},
              .last_seen = {},
              .first = {},
              .last = {}};
  auto& count = of_job_[fresh.job];
  auto* made = &groups_.emplace(key_, std::move(fresh)).first->second;
  ++count;
  return made;
}

/// The group, or the `(other)` that takes its place.
group& aggregate::find(const parts& wanted, std::uint64_t count) {
  if (wanted.host == other_host) return *seek(wanted, true);
  if (auto* found = seek(wanted, has_room(wanted.job))) return *found;
  detail_lost_ += count;
  parts other{.verdict = wanted.verdict,
              .reason = wanted.reason,
              .port = 0,
              .job = wanted.job,
              .phase = wanted.phase,
              .scheme = {},
              .host = other_host,
              .rule = wanted.rule};
  if (auto* found = seek(other, groups_.size() < bounds_.groups + room_for_other)) return *found;
  other.job = other_host;
  other.rule = {};
  return *seek(other, true);
}

void aggregate::add(const proxy::event& event) {
  const bool counted = log::counts(event);
  if (!counted && event.bytes_up == 0 && event.bytes_down == 0) return;
  group& in = find({.verdict = event.verdict,
                    .reason = event.reason,
                    .port = event.port,
                    .job = event.job,
                    .phase = event.phase,
                    .scheme = event.scheme,
                    .host = event.host,
                    .rule = event.rule},
                   counted ? 1 : 0);
  in.refused = is_refusal(event);
  if (counted && in.rule_at.empty() && in.host != other_host) in.rule_at = event.rule_where;
  if (counted && in.refused && in.host != other_host) {  // what may throw, before what counts
    if (!event.hint.empty()) in.hint = event.hint;
    (in.first ? in.last : in.first) = sample_of(event);
  }
  if (counted) ++in.count;
  in.bytes_up += event.bytes_up;
  in.bytes_down += event.bytes_down;
  note_time(in, event.time, event.time);
}

void aggregate::add_lost(proxy::outcome verdict, core::reason reason, std::uint64_t count,
                         std::chrono::system_clock::time_point now) {
  proxy::event event;
  event.verdict = verdict;
  event.reason = reason;
  group& in = *seek({.verdict = verdict,
                     .reason = reason,
                     .port = 0,
                     .job = other_host,
                     .phase = other_host,
                     .scheme = {},
                     .host = other_host,
                     .rule = {}},
                    true);
  in.refused = is_refusal(event);
  in.count += count;
  detail_lost_ += count;
  note_time(in, now, now);
}

void aggregate::merge(aggregate&& other) {
  if (empty()) {
    const auto lost = detail_lost_;
    *this = std::move(other);
    detail_lost_ += lost;
    return;
  }
  detail_lost_ += other.detail_lost_;
  for (auto& [key, from] : other.groups_) {
    group& in = find({.verdict = from.verdict,
                      .reason = from.reason,
                      .port = from.port,
                      .job = from.job,
                      .phase = from.phase,
                      .scheme = from.scheme,
                      .host = from.host,
                      .rule = from.rule},
                     from.count);
    in.refused = from.refused;
    in.count += std::exchange(from.count, 0);
    in.bytes_up += from.bytes_up;
    in.bytes_down += from.bytes_down;
    note_time(in, from.first_seen, from.last_seen);
    if (in.host == other_host) continue;
    if (!from.rule_at.empty()) in.rule_at = std::move(from.rule_at);
    if (!from.hint.empty()) in.hint = std::move(from.hint);
    for (auto* each : {&from.first, &from.last}) {
      if (*each) (in.first ? in.last : in.first) = std::move(*each);
    }
  }
  other = aggregate(other.bounds_);
}

void aggregate::remove_first(std::size_t count) {
  for (auto at = groups_.begin(); count > 0 && at != groups_.end(); --count) {
    if (const auto job = of_job_.find(std::string_view(at->second.job));
        job != of_job_.end() && --job->second == 0)
      of_job_.erase(job);
    groups_.erase(at++);
  }
}

}  // namespace exeat::review
