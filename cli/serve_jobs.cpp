#include "cli/serve_jobs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "cli/answer.hpp"
#include "config/print_policy.hpp"

namespace exeat::cli {
namespace {

using namespace std::chrono_literals;
using proxy::error_code;

// A wall clock may be set: the time is looked at again at least this often.
constexpr std::chrono::system_clock::duration longest_wait = 60s;

}  // namespace

std::vector<config::peer_claim> phase_peers(const config::settings& settings) {
  std::vector<config::peer_claim> out;
  const auto visit = [&](const auto& self, const config::identity_check& check) -> void {
    out.insert(out.end(), check.peers.begin(), check.peers.end());
    for (const auto& other : check.any_of) self(self, other);
  };
  for (const auto& listener : settings.listeners) {
    for (const auto& check : listener.identity) visit(visit, check);
  }
  return out;
}

served_jobs::served_jobs(const config::settings& settings, log::log_thread& log, metrics::registry& metrics,
                         proxy::asio::io_context& main, jobs::book book)
    : settings_(settings),
      log_(log),
      metrics_(metrics),
      expiry_(main.get_executor()),
      keep_(main.get_executor()),
      book_(std::move(book)) {}

std::expected<std::unique_ptr<served_jobs>, std::string> served_jobs::open(const config::settings& settings,
                                                                           log::log_thread& log,
                                                                           metrics::registry& metrics,
                                                                           proxy::asio::io_context& main) {
  const jobs::plan declared{settings.job.phases};
  std::string secret;
  if (!settings.job.advance_secret_file.empty()) {
    auto read = config::load_secret_file(settings.job.advance_secret_file);
    if (!read) return std::unexpected(read.error().to_string());
    secret = std::move(*read);
  }
  auto book = settings.job.state_dir.empty()
                  ? std::expected<jobs::book, std::string>(jobs::book::in_memory(declared))
                  : jobs::book::open(settings.job.state_dir, declared);
  if (!book) return std::unexpected(std::move(book.error()));
  book->set_advance_secret(secret);
  return std::unique_ptr<served_jobs>(new served_jobs(settings, log, metrics, main, std::move(*book)));
}

std::vector<served_jobs::shared_job> served_jobs::live_jobs() const {
  std::vector<shared_job> out;
  if (const auto& implicit = book_.implicit(); implicit && implicit->ended() == jobs::ending::none)
    out.push_back(implicit);
  std::ranges::copy_if(book_.open_jobs(), std::back_inserter(out),
                       [](const shared_job& job) { return job->ended() == jobs::ending::none; });
  return out;
}

std::vector<std::string> served_jobs::held_ids() const {
  std::vector<std::string> out;
  for (const auto& [id, held] : held_) out.push_back(id);
  return out;
}

std::string served_jobs::name_of(std::string_view id) {
  return id.empty() ? "the job of exeat.yaml" : fmt::format("job {}", id);
}

void served_jobs::adopt(const std::string& id) {
  held_.erase(id);
  policies_[id] = policy_;
  if (!settings_.job.hold_policy || settings_.job.state_dir.empty()) return;
  const auto kept = book_.kept_policy(id);
  if (kept && *kept == policy_text()) return;
  if (const auto done = book_.keep_policy(id, policy_text()); !done) {
    log_.post(
        log::level::warning, "policy-not-kept",
        fmt::format("the policy of {} is not kept, so a restart under a wider one will not be held back: {}",
                    name_of(id), done.error().text));
  }
}

config::shared_policy served_jobs::kept_policy(const shared_job& job, parsed_texts& known) {
  if (!settings_.job.hold_policy) return policy_;
  const auto text = book_.kept_policy(job->id());
  if (!text || *text == policy_text()) return policy_;
  if (const auto found = known.find(*text); found != known.end()) return found->second;
  auto parsed = config::parse_policy(*text, "kept of " + name_of(job->id()));
  if (parsed) return known[*text] = *parsed;
  // What it was allowed nobody knows any more.
  const auto sealed = book_.lock_down(job->id());
  log_.post(
      log::level::error, "kept-policy-unreadable",
      fmt::format("{} is sealed: the policy that it was left under does not load: {}{}", name_of(job->id()),
                  config::to_string(parsed.error()), sealed ? "" : "; " + sealed.error().text));
  return policy_;
}

const std::string& served_jobs::policy_text() {
  if (policy_text_.empty()) policy_text_ = config::print_policy(policy_->source());
  return policy_text_;
}

bool served_jobs::hold(const shared_job& job, const config::shared_policy& kept, changes& known) {
  if (!settings_.job.hold_policy || kept == policy_) return false;
  const auto change = known.try_emplace(kept, kept, policy_, current_time()).first;
  auto wider = change->second.widening(*job);
  if (!wider) return false;
  log_.post(
      log::level::warning, "policy-held",
      fmt::format("{} keeps its policy until it ends{}: {} finding{} would make a phase of it wider, the "
                  "first: {}",
                  name_of(job->id()), job->id().empty() ? " (`exeat job new`)" : "", wider->findings,
                  wider->findings == 1 ? "" : "s", wider->first));
  policies_[job->id()] = kept;
  held_[job->id()] = std::move(*wider);
  return true;
}

std::expected<void, std::string> served_jobs::start(proxy::server& server, config::shared_policy policy) {
  server_ = &server;
  policy_ = std::move(policy);
  policy_text_.clear();
  say_trouble();
  parsed_texts parsed;
  changes known;
  for (const auto& job : live_jobs()) {
    const auto kept = kept_policy(job, parsed);
    if (job->ended() == jobs::ending::none && !hold(job, kept, known)) adopt(job->id());
  }
  return introduce(server);
}

std::expected<void, std::string> served_jobs::introduce(proxy::server& server) {
  // A job begins under the server's newest policy. So those that are held come one policy after the other,
  // and nobody is under another one than his own for a moment.
  const auto implicit = book_.implicit();
  auto now = held_.contains("") ? policies_.find("")->second : policy_;
  std::vector<shared_job> known;
  std::vector<std::string> settled{""};
  const auto settle = [&](const config::shared_policy& under) {
    for (const auto& job : live_jobs()) {
      const auto own = policies_.find(job->id());
      if (job->id().empty() || own == policies_.end() || own->second != under) continue;
      if (under == policy_) continue;  // those come last, all at once
      known.push_back(job);
      settled.push_back(job->id());
    }
    server.set_jobs(implicit, known);
  };
  settle(now);
  if (auto ok = server.start(now); !ok) return ok;
  for (const auto& [id, held] : held_) {
    if (std::ranges::find(settled, id) != settled.end()) continue;
    now = policies_.find(id)->second;
    server.set_policy(now, false, settled);
    settle(now);
  }
  if (now != policy_) {
    server.set_policy(policy_, false, held_ids());
  }
  publish();
  return {};
}

std::vector<admin::held_job> served_jobs::put_in_force(config::shared_policy policy, bool cut) {
  policy_ = std::move(policy);
  policy_text_.clear();
  changes known;
  for (const auto& job : live_jobs()) {
    const auto before = policies_.find(job->id());
    if (before == policies_.end() || !hold(job, config::shared_policy(before->second), known))
      adopt(job->id());
  }
  server_->set_policy(policy_, cut, held_ids());
  publish();
  std::vector<admin::held_job> out;
  for (const auto& [id, held] : held_) out.push_back({.job = id, .held = held});
  return out;
}

void served_jobs::publish() {
  const auto live = live_jobs();
  const auto is_over = [&](const auto& entry) {
    return std::ranges::none_of(live, [&](const shared_job& job) { return job->id() == entry.first; });
  };
  std::erase_if(policies_, is_over);
  std::erase_if(held_, is_over);
  auto open = book_.open_jobs();
  const auto count = open.size();
  server_->set_jobs(book_.implicit(), std::move(open));
  {
    const std::scoped_lock lock(mutex_);
    shown_ = {.declared = book_.implicit(), .open = count, .held = held_, .trouble = book_.trouble()};
  }
  say_trouble();
  wait_for_expiry();
}

void served_jobs::say_trouble() {
  if (book_.trouble() == said_trouble_) return;
  said_trouble_ = book_.trouble();
  if (!said_trouble_.empty()) log_.post(log::level::error, "job-state", said_trouble_);
}

void served_jobs::keep_trying() {
  keep_.expires_after(std::chrono::seconds{1});
  keep_.async_wait([this](error_code cancelled) {
    if (cancelled) return;
    if (!book_.keep_seals()) {
      keep_trying();
      return;
    }
    log_.post(log::level::info, "seal-kept", "what is sealed is in the state directory now");
    publish();
  });
}

void served_jobs::wait_for_expiry() {
  const auto next = book_.next_expiry();
  if (!next) {
    expiry_.cancel();
    return;
  }
  const auto wait = std::clamp<std::chrono::system_clock::duration>(
      *next - std::chrono::system_clock::now(), std::chrono::milliseconds{1}, longest_wait);
  expiry_.expires_after(std::chrono::duration_cast<std::chrono::steady_clock::duration>(wait));
  expiry_.async_wait([this](error_code cancelled) {
    if (cancelled) return;
    const auto over = book_.expire(std::chrono::system_clock::now());
    for (const auto& id : over)
      log_.post(log::level::info, "job-expired",
                fmt::format("{} has had its time: all of it is sealed", name_of(id)));
    over.empty() ? wait_for_expiry() : publish();
  });
}

std::string served_jobs::summary() const {
  const auto& job = book_.implicit();
  if (!job) {
    return "none is declared (`job` in exeat.yaml): no phase is ever sealed, but in jobs of `exeat job open`";
  }
  auto out = job->plan().to_string();
  if (job->ended() != jobs::ending::none) return out + ", all of it sealed";
  if (job->current() < job->plan().end()) {
    const jobs::plan now{{job->plan().steps[job->current()]}};
    out += ", now in " + now.to_string();
  }
  if (settings_.job.state_dir.empty()) out += "; without `job.state_dir` it cannot be advanced";
  return out;
}

admin::job_health served_jobs::health() const {
  shown now;
  {
    const std::scoped_lock lock(mutex_);
    now = shown_;
  }
  admin::job_health out{
      .declared = std::nullopt, .open = now.open, .held = now.held.size(), .trouble = std::move(now.trouble)};
  if (now.declared) {
    out.declared = state_of(*now.declared);
    if (const auto held = now.held.find(now.declared->id()); held != now.held.end())
      out.declared->held = held->second;
  }
  return out;
}

}  // namespace exeat::cli
