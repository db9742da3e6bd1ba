// The jobs that a server serves: each with its policy and its budgets, handed to the workers as one snapshot.
#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "proxy/server.hpp"

namespace exeat::proxy {
namespace {

// A worker that has ended its loop takes nothing any more; nobody waits for it for ever.
constexpr std::chrono::seconds worker_patience{5};

}  // namespace

std::shared_ptr<const loaded_policy> server::load(budget_book& book) {
  auto loaded = std::make_unique<const loaded_policy>(policy_, registry_.phases(), book);
  return {loaded.release(), [to = retired_](const loaded_policy* used_up) noexcept { to->put(used_up); }};
}

std::unique_ptr<server::kept_job> server::begin(std::shared_ptr<const jobs::job> job) {
  auto kept = std::make_unique<kept_job>();
  kept->served.job = std::move(job);
  kept->served.counts = std::make_shared<job_counts>(registry_.workers());
  const auto& limits = process_.settings.limits;
  kept->served.seats = std::make_shared<job_seats>(
      job_seats::limits{.per_phase = limits.connections_per_phase,
                        .per_job = kept->served.job ? limits.connections_per_job : 0},
      registry_.workers());
  kept->served.rate =
      std::make_shared<job_rate>(job_rate::limits{.per_phase = limits.requests_per_phase,
                                                  .per_job = kept->served.job ? limits.requests_per_job : 0},
                                 registry_.workers());
  if (policy_) kept->served.policy = load(kept->book);
  return kept;
}

std::shared_ptr<const job_table> server::table() const {
  auto out = std::make_shared<job_table>();
  out->implicit = implicit_->served;
  for (const auto& [id, kept] : opened_) out->opened.emplace(id, kept->served);
  return out;
}

bool server::on_workers(const std::function<void(worker&)>& work) {
  std::vector<std::future<void>> done;
  for (auto& w : workers_) {
    auto promise = std::make_shared<std::promise<void>>();
    done.push_back(promise->get_future());
    asio::post(w->context(), [&w, work, promise] {
      work(*w);
      promise->set_value();
    });
  }
  const auto until = std::chrono::steady_clock::now() + worker_patience;
  return std::ranges::all_of(done, [&](auto& d) { return d.wait_until(until) == std::future_status::ready; });
}

void server::publish(bool cut) {
  registry_.set_budgets([loaded = implicit_->served.policy] { return loaded->samples(); });
  if (!started_) return;
  on_workers([jobs = table(), cut](worker& w) { w.set_jobs(jobs, cut); });
}

void server::set_policy(std::shared_ptr<const allowlist::policy> policy, bool cut,
                        const std::vector<std::string>& held) {
  policy_ = std::move(policy);
  const auto is_held = [&](std::string_view id) { return std::ranges::find(held, id) != held.end(); };
  if (!is_held({})) implicit_->served.policy = load(implicit_->book);
  for (auto& [id, kept] : opened_) {
    if (!is_held(id)) kept->served.policy = load(kept->book);
  }
  publish(cut);
}

void server::set_jobs(std::shared_ptr<const jobs::job> implicit,
                      std::vector<std::shared_ptr<const jobs::job>> opened) {
  if (!implicit_ || implicit_->served.job != implicit) implicit_ = begin(std::move(implicit));
  std::map<std::string, std::unique_ptr<kept_job>, std::less<>> now;
  for (auto& job : opened) {
    const auto known = opened_.find(job->id());
    const bool same = known != opened_.end() && known->second->served.job == job;
    auto id = job->id();
    now.emplace(std::move(id), same ? std::move(known->second) : begin(std::move(job)));
  }
  opened_ = std::move(now);
  if (policy_) publish(false);
}

bool server::enforce_seals(const std::shared_ptr<const jobs::job>& job, jobs::step from,
                           std::chrono::milliseconds grace) {
  return !started_ || on_workers([job, from, grace](worker& w) { w.enforce_seals(job, from, grace); });
}

std::vector<std::string> server::watch_budgets() {
  const auto now = std::chrono::steady_clock::now();
  std::vector<std::string> out;
  bool any_is_up = false;
  const auto look = [&](std::string_view id, const served_job& served) {
    if (!served.policy) return;
    for (const auto& text : served.policy->due_warnings(now))
      out.push_back(id.empty() ? text : fmt::format("job {}: {}", id, text));
    any_is_up |= served.policy->any_time_is_up(now);
  };
  if (implicit_) look({}, implicit_->served);
  for (const auto& [id, kept] : opened_) look(id, kept->served);
  if (!any_is_up || !started_) return out;
  for (auto& w : workers_) asio::post(w->context(), [&w] { w->cut_out_of_time(); });
  return out;
}

std::vector<server::phase_traffic> server::traffic() const {
  std::vector<phase_traffic> out;
  const auto add = [&](std::string_view id, const served_job& served) {
    for (std::size_t slot = 0; slot < registry_.phases().size(); ++slot) {
      auto phase = registry_.phases().label(metrics::phase_slot{static_cast<std::uint8_t>(slot)});
      if (served.job && !served.job->plan().step_of(phase)) continue;
      phase_traffic sum{.job = std::string(id), .phase = std::move(phase)};
      std::uint64_t opened = 0;
      std::uint64_t closed = 0;
      for (const auto& worker : *served.counts) {
        const auto& count = worker[slot];
        closed += count.closed.value();
        opened += count.opened.value();
        sum.bytes_up += count.up.value();
        sum.bytes_down += count.down.value();
      }
      sum.tunnels = opened > closed ? opened - closed : 0;
      out.push_back(std::move(sum));
    }
  };
  if (implicit_) add({}, implicit_->served);
  for (const auto& [id, kept] : opened_) add(id, kept->served);
  return out;
}

}  // namespace exeat::proxy
