#include "jobs/book.hpp"

#include <algorithm>
#include <utility>

namespace exeat::jobs {
namespace {

using std::chrono::system_clock;

std::unexpected<problem> refused(std::string text) {
  return std::unexpected(problem{.kind = problem::kind::refused, .text = std::move(text)});
}
std::unexpected<problem> failed(std::string text) {
  return std::unexpected(problem{.kind = problem::kind::failed, .text = std::move(text)});
}
std::unexpected<problem> no_such_job(std::string_view id) {
  return std::unexpected(
      problem{.kind = problem::kind::not_found,
              .text = id.empty() ? "exeat.yaml declares no job" : "there is no job of this id"});
}

constexpr std::string_view only_here =
    ": this holds in the running process, but a restart may know nothing of it; put that right and call "
    "again";

std::string_view words_of(ending why) {
  switch (why) {
    case ending::closed:
      return "has been closed";
    case ending::expired:
      return "is out of time";
    case ending::locked_down:
      return "is locked down";
    case ending::state_damaged:
      return "is sealed, since its state is damaged";
    case ending::none:
      break;
  }
  return "goes on";
}

}  // namespace

std::expected<book, std::string> book::open(const std::string& directory, jobs::plan declared) {
  book out;
  if (!declared.steps.empty()) {
    if (auto valid = valid_plan(declared); !valid) return std::unexpected(std::move(valid.error()));
  }
  out.directory_ = directory;
  out.declared_ = std::move(declared);
  auto opened = store::open(directory);
  if (opened) {
    out.adopt(std::move(*opened));
    out.expire(system_clock::now());
  } else if (opened.error().locked) {
    return std::unexpected(std::move(opened.error().text));
  } else {
    out.directory_trouble_ = std::move(opened.error().text);
    out.seal_implicit();
  }
  out.tell();
  return out;
}

book book::in_memory(jobs::plan declared) {
  book out;
  out.declared_ = std::move(declared);
  if (!out.declared_.steps.empty()) out.implicit_.live = std::make_shared<job>("", out.declared_);
  return out;
}

std::vector<std::shared_ptr<const job>> book::open_jobs() const {
  std::vector<std::shared_ptr<const job>> out;
  for (const auto& [id, one] : open_) {
    if (!one.over) out.emplace_back(one.live);
  }
  return out;
}

std::expected<opened, problem> book::open_job(const opening& wanted) {
  if (auto able = usable(); !able) return std::unexpected(std::move(able.error()));
  if (auto valid = valid_plan(wanted.plan); !valid) return refused(std::move(valid.error()));
  if (wanted.time_limit && (*wanted.time_limit < std::chrono::seconds(1) || *wanted.time_limit > longest))
    return refused("a job's time limit is a second to ten years");
  if (open_.size() >= most_jobs) return refused("4096 jobs are open: close some");
  entry one;
  record next;
  auto out = issue(wanted, next);
  if (!out) return out;
  if (auto done = persist(one, next); !done) {
    // Where only the last fsync failed, the file may be there, with secrets that nobody has been given.
    (void)store_->remove(next.id);
    return failed("no job has been opened: " + done.error());
  }
  one.live = std::make_shared<job>(next.id, next.plan, next.tokens);
  open_.emplace(next.id, std::move(one));
  return out;
}

std::expected<opened, problem> book::issue(const opening& wanted, record& out) const {
  opened shown;
  const auto no_luck = failed("no job has been opened: the kernel or OpenSSL gives no secrets");
  do {
    const auto name = random_name(12);
    if (!name) return no_luck;
    shown.id = "j-" + *name;
  } while (open_.contains(shown.id) || explicit_trouble_.contains(shown.id));
  for (const auto& phases : wanted.plan.steps) {
    for (const auto& phase : phases) {
      auto text = new_secret(token_prefix);
      const auto sum = text ? sha256_of(*text) : std::nullopt;
      if (!sum) return no_luck;
      out.tokens.push_back({.phase = phase, .sha256 = *sum});
      shown.tokens.push_back({.phase = phase, .text = std::move(*text)});
    }
  }
  auto secret = new_secret(secret_prefix);
  if (secret) out.advance_secret = sha256_of(*secret);
  if (!out.advance_secret) return no_luck;
  shown.advance_secret = std::move(*secret);
  out.id = shown.id;
  out.plan = wanted.plan;
  if (wanted.time_limit)
    out.expires = std::chrono::ceil<std::chrono::seconds>(system_clock::now() + *wanted.time_limit);
  return shown;
}

std::expected<void, problem> book::close_job(std::string_view id) {
  if (id.empty()) {
    if (!implicit_.live) return no_such_job(id);
    if (directory_.empty()) return usable();
    return seal(id, ending::closed);
  }
  const std::string name(id);
  if (const auto at = open_.find(name); at != open_.end()) {
    at->second.live->end(ending::closed);
    at->second.over = true;
  } else if (!explicit_trouble_.contains(name)) {
    return no_such_job(id);
  }
  auto done = forget(name);
  tell();
  if (!done)
    return failed("the end of job " + name + " cannot be kept: " + done.error() + std::string(only_here));
  return {};
}

std::expected<step, problem> book::advance(std::string_view id, std::string_view to) {
  auto* const one = find(id);
  if (one == nullptr) return no_such_job(id);
  if (auto able = usable(); !able) return std::unexpected(std::move(able.error()));
  auto& live = *one->live;
  if (live.ended() != ending::none)
    return refused("the job " + std::string(words_of(live.ended())) + ": all of it is sealed");
  const auto now = live.current();
  const auto& order = live.plan();
  // A seal that is not on disk yet comes first: who calls again after a failure means that one.
  const bool is_unkept = one->kept.current < now;
  const auto target = to.empty() ? std::optional(is_unkept ? now : now + 1) : order.step_of(to);
  if (!target) return refused("the phase is not in the order of the job (" + order.to_string() + ")");
  if (*target >= order.end())
    return refused("the job is in the last step of its order (" + order.to_string() + ")");
  if (*target < now) return refused("the phase is sealed, and no job goes back (" + order.to_string() + ")");
  if (*target == now && one->kept.current == now) return now;
  auto next = one->kept;
  next.current = *target;
  const auto done = persist(*one, std::move(next));
  live.seal_before(*target);
  if (!done) return failed("the seal cannot be kept: " + done.error() + std::string(only_here));
  return *target;
}

bool book::keep_seals() {
  if (!store_) return true;
  bool all = true;
  const auto keep = [&](entry& one) {
    const auto& live = one.live;
    if (!live || one.over || live->ended() == ending::state_damaged) return;
    if (one.kept.current >= live->current() && one.kept.ended == live->ended()) return;
    auto next = one.kept;
    next.current = live->current();
    next.ended = live->ended();
    all = persist(one, std::move(next)).has_value() && all;
  };
  keep(implicit_);
  for (auto& [id, one] : open_) keep(one);
  return all;
}

std::expected<void, problem> book::new_job() {
  if (declared_.steps.empty()) return no_such_job("");
  if (!directory_.empty()) {
    if (!store_) {
      auto opened = store::open(directory_);
      if (!opened) return refused(std::move(opened.error().text));
      adopt(std::move(*opened));
    }
    record next;
    next.plan = declared_;
    const auto dropped = implicit_.kept.policy;
    if (auto done = persist(implicit_, std::move(next)); !done) {
      tell();
      return failed("the last job goes on: " + done.error());
    }
    implicit_.policy.reset();
    drop_policy(dropped);
  }
  implicit_.policy.reset();
  if (implicit_.live) implicit_.live->end(ending::closed);
  implicit_.live = std::make_shared<job>("", declared_);
  implicit_trouble_.clear();
  tell();
  return {};
}

std::expected<void, problem> book::lock_down(std::string_view id) {
  return seal(id, ending::locked_down);
}

// In memory first: what calls for it does not wait for a disk.
std::expected<void, problem> book::seal(std::string_view id, ending why) {
  auto* const one = find(id);
  if (one == nullptr) return no_such_job(id);
  one->live->end(why);
  if (one->live->ended() == ending::state_damaged) return {};
  if (!store_) return failed("without a state directory (`job.state_dir`) the seal ends with the process");
  auto next = one->kept;
  next.current = one->live->current();
  next.ended = one->live->ended();
  if (auto done = persist(*one, std::move(next)); !done)
    return failed("the seal cannot be kept: " + done.error() + std::string(only_here));
  return {};
}

bool book::is_advance_secret(std::string_view id, std::string_view secret) const noexcept {
  const auto* const one = find(id);
  const auto& kept = id.empty()       ? implicit_secret_
                     : one != nullptr ? one->kept.advance_secret
                                      : std::optional<digest>();
  const auto given = sha256_of(secret);
  const bool same = same_digest(given.value_or(digest{}), kept.value_or(digest{}));
  return same && given && kept && one != nullptr;
}

void book::set_advance_secret(std::string_view secret) {
  implicit_secret_ = secret.empty() ? std::nullopt : sha256_of(secret);
}

std::optional<system_clock::time_point> book::next_expiry() const {
  std::optional<system_clock::time_point> out;
  for (const auto& [id, one] : open_) {
    if (!one.over && one.kept.expires && (!out || *one.kept.expires < *out)) out = *one.kept.expires;
  }
  return out;
}

std::vector<std::string> book::expire(system_clock::time_point now) {
  std::vector<std::string> out;
  std::vector<std::string> over;  // also those of an earlier failure
  for (auto& [id, one] : open_) {
    if (!one.over && one.kept.expires && *one.kept.expires <= now) {
      one.live->end(ending::expired);
      one.over = true;
      out.push_back(id);
    }
    if (one.over) over.push_back(id);
  }
  for (const auto& id : over) {
    if (auto done = forget(id); !done)
      explicit_trouble_[id] = "the end of job " + id + " cannot be kept: " + done.error();
  }
  tell();
  return out;
}

std::optional<std::string> book::kept_policy(std::string_view id) const {
  const auto* const one = find(id);
  if (one == nullptr || !one->policy) return std::nullopt;
  return *one->policy;
}

std::expected<void, problem> book::keep_policy(std::string_view id, std::string_view text) {
  auto* const one = find(id);
  if (one == nullptr) return no_such_job(id);
  if (text.size() > store::largest) return refused("the policy is larger than 16 MiB");
  if (one->live->ended() == ending::state_damaged)
    return refused("the job " + std::string(words_of(ending::state_damaged)));
  const auto sum = sha256_of(text);
  if (!sum) return failed("OpenSSL has no SHA-256");
  const auto known = policy_of(*sum);
  one->policy = known ? known : std::make_shared<const std::string>(text);
  if (!store_ || one->kept.policy == sum) return {};
  auto next = one->kept;
  next.policy = sum;
  const auto dropped = one->kept.policy;
  auto done = known ? std::expected<void, std::string>() : store_->write("policy-" + hex_of(*sum), text);
  if (done) done = persist(*one, std::move(next));
  if (!done) return failed("the policy of the job cannot be kept: " + done.error() + std::string(only_here));
  drop_policy(dropped);
  return {};
}

}  // namespace exeat::jobs
