// What a book does with its directory.
#include <utility>

#include "jobs/book.hpp"

namespace exeat::jobs {
namespace {

constexpr std::string_view policy_prefix = "policy-";

}  // namespace

void book::adopt(store opened) {
  store_.emplace(std::move(opened));
  directory_trouble_.clear();
  adopt_implicit();
  const auto names = store_->names();
  if (!names) {
    directory_trouble_ = "the jobs in " + directory_ + " cannot be found: " + names.error();
    return;
  }
  for (const auto& name : *names) {
    if (is_job_id(name) && !open_.contains(name)) adopt_explicit(name);
  }
  for (const auto& name : *names) {
    if (name.starts_with(policy_prefix))
      drop_policy(digest_of_hex(std::string_view(name).substr(policy_prefix.size())));
  }
}

std::expected<book::entry, std::string> book::read_entry(const std::string& name, std::string_view id) const {
  const auto text = store_->read(name);
  if (!text) return std::unexpected(text.error().text);
  auto kept = parse_record(*text, store_->id());
  if (!kept) return std::unexpected(std::move(kept.error()));
  if (kept->id != id) return std::unexpected("it is the file of another job");
  entry out;
  out.kept = std::move(*kept);
  if (out.kept.policy) {
    out.policy = policy_of(*out.kept.policy);
    if (!out.policy) {
      auto policy = store_->read(std::string(policy_prefix) + hex_of(*out.kept.policy));
      if (!policy)
        return std::unexpected("the policy that was kept for it cannot be read: " + policy.error().text);
      if (sha256_of(*policy) != out.kept.policy)
        return std::unexpected("the policy that was kept for it is damaged");
      out.policy = std::make_shared<const std::string>(std::move(*policy));
    }
  }
  return out;
}

void book::adopt_implicit() {
  implicit_ = {};
  implicit_trouble_.clear();
  const auto file = directory_ + "/" + std::string(store::implicit_job);
  auto found = read_entry(std::string(store::implicit_job), "");
  std::string wrong;
  if (!found) {
    wrong = file + " cannot be used: " + found.error();
  } else {
    implicit_ = std::move(*found);  // also of another order, and while none is declared: it may come back
    if (implicit_.kept.plan != declared_ && implicit_.kept.has_seals())
      wrong = file + " is of another order of phases (" + implicit_.kept.plan.to_string() +
              "), and something of it is sealed";
  }
  if (declared_.steps.empty()) return;
  if (!wrong.empty()) {
    implicit_trouble_ = wrong + ": every phase is sealed; `exeat job new` starts the next job";
    seal_implicit();
    return;
  }
  implicit_.kept.plan = declared_;
  implicit_.live = std::make_shared<job>("", declared_, std::vector<token>(), implicit_.kept.current);
  if (implicit_.kept.ended != ending::none) implicit_.live->end(implicit_.kept.ended);
}

void book::seal_implicit() {
  if (declared_.steps.empty()) return;
  implicit_.live = std::make_shared<job>("", declared_);
  implicit_.live->end(ending::state_damaged);
}

void book::adopt_explicit(const std::string& id) {
  auto found = read_entry(id, id);
  if (!found) {
    explicit_trouble_[id] = directory_ + "/" + id + " cannot be used: " + found.error() +
                            ": there is no such job; `exeat job close " + id + "` removes the file";
    return;
  }
  found->live = std::make_shared<job>(id, found->kept.plan, found->kept.tokens, found->kept.current);
  if (found->kept.ended != ending::none) found->live->end(found->kept.ended);
  open_.emplace(id, std::move(*found));
}

void book::tell() {
  trouble_ = directory_trouble_;
  const auto add = [&](const std::string& text) {
    if (!text.empty()) trouble_ += (trouble_.empty() ? "" : ". ") + text;
  };
  add(implicit_trouble_);
  for (const auto& [id, text] : explicit_trouble_) add(text);
}

std::expected<void, problem> book::usable() const {
  if (store_) return {};
  return std::unexpected(problem{
      .kind = problem::kind::refused,
      .text = directory_.empty() ? "this needs a state directory (`job.state_dir` in exeat.yaml, made by "
                                   "`exeat state init`): a seal that a restart forgets is none"
                                 : directory_trouble_});
}

book::entry* book::find(std::string_view id) {
  return const_cast<entry*>(std::as_const(*this).find(id));
}

const book::entry* book::find(std::string_view id) const {
  if (id.empty()) return implicit_.live ? &implicit_ : nullptr;
  const auto at = open_.find(id);
  return at == open_.end() || at->second.over ? nullptr : &at->second;
}

std::expected<void, std::string> book::persist(entry& of, record next) {
  const auto text = print_record(next, store_->id());
  if (!text) return std::unexpected(text.error());
  const auto name = next.id.empty() ? std::string(store::implicit_job) : next.id;
  if (auto done = store_->write(name, *text); !done) return done;
  of.kept = std::move(next);
  return {};
}

std::expected<void, std::string> book::forget(const std::string& id) {
  if (auto done = store_->remove(id); !done) return done;
  std::optional<digest> dropped;
  if (const auto at = open_.find(id); at != open_.end()) {
    dropped = at->second.kept.policy;
    open_.erase(at);
  }
  explicit_trouble_.erase(id);
  drop_policy(dropped);
  return {};
}

std::shared_ptr<const std::string> book::policy_of(const digest& sum) const {
  // Not one that is only in memory: the file must be there.
  if (implicit_.policy && implicit_.kept.policy == sum && sha256_of(*implicit_.policy) == sum)
    return implicit_.policy;
  for (const auto& [id, one] : open_) {
    if (one.policy && one.kept.policy == sum && sha256_of(*one.policy) == sum) return one.policy;
  }
  return nullptr;
}

// Removes the file of a policy that no job refers to any more. One that stays behind goes at the next start.
void book::drop_policy(const std::optional<digest>& sum) {
  if (!sum || implicit_.kept.policy == sum) return;
  for (const auto& [id, one] : open_) {
    if (one.kept.policy == sum) return;
  }
  (void)store_->remove(std::string(policy_prefix) + hex_of(*sum));
}

}  // namespace exeat::jobs
