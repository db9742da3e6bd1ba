// Who is asking on a connection, and whether the job that it belongs to has sealed that phase.
#include <unistd.h>

#include <utility>

#include "identity/identity.hpp"
#include "proxy/live_tunnel.hpp"
#include "proxy/session.hpp"
#include "proxy/worker.hpp"

namespace exeat::proxy {
namespace {

const jobs::job* find_opened(const void* table, std::string_view id) {
  if (id.empty()) return nullptr;
  const auto* served = static_cast<const job_table*>(table)->find(std::string(id));
  return served == nullptr ? nullptr : served->job.get();
}

bool not_served(request_record& record, core::reason reason, std::string& error, std::string text = {}) {
  record.reason = reason;
  error = std::move(text);
  return false;
}

}  // namespace

bool session::judge(request_record& record, std::string& error) {
  const identity::evidence evidence{.address = peer_.address,
                                    .proxy_header = peer_.proxy_header,
                                    .peer = peer_.local,
                                    .no_peer = peer_.no_local,
                                    .certificate = peer_.certificate.get(),
                                    .proxy_authorization = head_.proxy_authorization,
                                    .own_uid = ::getuid()};
  const auto answer =
      identity::judge(listener_.configured(), evidence, {.context = &worker_.jobs(), .find = find_opened});
  if (!answer) return not_served(record, answer.error().reason, error, answer.error().detail);
  if (!asker_) {
    asker_ = {.phase = std::string(answer->phase), .job = std::string(answer->job), .bound = {}};
    return true;
  }
  if (asker_->phase == answer->phase && asker_->job == answer->job) return true;
  return not_served(record, core::reason::identity_changed, error,
                    "it was phase " + asker_->phase + (asker_->job.empty() ? "" : " of job " + asker_->job) +
                        ", and now is " + std::string(answer->phase) +
                        (answer->job.empty() ? "" : " of job " + std::string(answer->job)));
}

void session::place(request_record& record) const {
  if (!asker_) return;
  const auto* served = worker_.jobs().find(asker_->job);
  if (served == nullptr) return;
  record.policy = served->policy;
  if (const auto phase = record.policy->policy->find_phase(asker_->phase)) {
    record.phase = *phase;
    record.slot = record.policy->slot_of(*phase);
    record.placed = true;
    record.count = worker_.count_of(*served, record.slot);
  }
  if (!served->job) return;
  record.job = served->job;
  // Where the job does not have the phase, identify() refuses.
  record.step = served->job->plan().step_of(asker_->phase).value_or(0);
}

bool session::identify(request_record& record, std::string& error) {
  // A credential comes with each request, the rest with the connection.
  if ((!asker_ || listener_.demands().credential) && !judge(record, error)) return false;
  const auto* served = worker_.jobs().find(asker_->job);
  if (served == nullptr) return not_served(record, core::reason::job_unknown, error);
  if (!asker_->bound) {
    asker_->bound = served->job;
  } else if (*asker_->bound != served->job) {
    return not_served(record, core::reason::identity_changed, error,
                      "the connection belongs to a job that has ended");
  }
  place(record);
  if (!record.placed) {
    // Load refuses a policy without a phase that a listener names: of a job, or a fault of ours.
    return not_served(record, core::reason::phase_not_in_job, error,
                      "the policy has no phase " + asker_->phase);
  }
  if (record.job) {
    if (!record.job->plan().step_of(asker_->phase))
      return not_served(record, core::reason::phase_not_in_job, error);
    if (record.is_sealed()) return not_served(record, core::reason::phase_sealed, error);
  }
  return within_rate_of(record, *served) && take_seat(record, *served, error);
}

bool session::within_rate_of(request_record& record, const served_job& served) noexcept {
  switch (served.rate->admit(worker_.number(), record.slot)) {
    case job_rate::answer::phase_reached:
      record.reason = core::reason::too_many_requests_of_phase;
      return false;
    case job_rate::answer::job_reached:
      record.reason = core::reason::too_many_requests_of_job;
      return false;
    case job_rate::answer::admitted:
      break;
  }
  return true;
}

bool session::take_seat(request_record& record, const served_job& served, std::string& error) {
  if (admission_->is_seated()) return true;
  switch (served.seats->admit(worker_.number(), record.slot)) {
    case job_seats::answer::phase_reached:
      return not_served(record, core::reason::too_many_of_phase, error);
    case job_seats::answer::job_reached:
      return not_served(record, core::reason::too_many_of_job, error);
    case job_seats::answer::admitted:
      break;
  }
  admission_->seat({served.seats, worker_.number(), record.slot});
  return true;
}

task<std::optional<session::process_words>> session::process_behind(core::reason reason) {
  using metrics::process_lookup;
  constexpr std::string_view not_looked_up = "not looked up";
  std::optional<process_words> out;
  if (!worker_.inquiry().is_on() || core::row_of(reason).kind != core::reason_kind::policy) co_return out;
  auto local = peer_.local;
  if (!worker_.inquiry().may_ask()) {
    // Not even for the socket: whoever has himself refused as fast as he can is to cost no more than the
    // refusals.
    if (!local && !peer_.is_loopback()) co_return out;
    out.emplace().exe = not_looked_up;
    worker_.counters().process(process_lookup::skipped);
    co_return out;
  }
  if (!local && peer_.address && !peer_.certificate && !peer_.proxy_header) {
    // The listener does not ask for it; the client waits for our answer, so its socket is still there.
    if (const auto found = worker_.peers().find(client_.native_handle())) local = *found;
  }
  if (!local) co_return out;
  const auto [asked, answer] = co_await worker_.inquiry().find(*local, peer_.connected);
  out.emplace();
  out->uid = local->uid;
  worker_.counters().process(!asked ? process_lookup::skipped
                             : answer && answer->outcome == identity::lookup_outcome::found
                                 ? process_lookup::found
                                 : process_lookup::unavailable);
  if (!asked) {
    out->exe = not_looked_up;
  } else if (answer && answer->outcome == identity::lookup_outcome::found) {
    out->pid = answer->pid;
    out->exe = answer->exe.view().empty() ? "unavailable" : std::string(answer->exe.view());
    out->command = answer->cmdline.view();
    out->cgroup = answer->cgroup.view();
  } else {
    out->exe = "unavailable";
  }
  if (out->cgroup.empty() && local->cgroup != 0) out->cgroup = "id:" + std::to_string(local->cgroup);
  co_return out;
}

void session::lock_down(const request_record& record) const {
  if (!record.placed || !record.job || record.phase_of().canary_action != allowlist::canary_action::lockdown)
    return;
  // Where anybody may use the listener, anybody could end the job.
  if (listener_.is_enough() && peer_.address) return;
  if (worker_.process().on_canary) worker_.process().on_canary(record.job->id());
}

bool session::sealed_since(request_record& record, std::string_view& error) const {
  const bool ended = worker_.jobs().find(record.job.get()) == nullptr;
  if (!ended && !record.is_sealed()) return false;
  record.reason = core::reason::phase_sealed;
  error = ended ? cut_by_end_of_job : cut_by_seal;
  return true;
}

}  // namespace exeat::proxy
