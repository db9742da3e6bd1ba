// All jobs of the process, in memory and in the state directory: what was sealed stays so across restarts.
#pragma once
#include <chrono>
#include <cstdint>
#include <expected>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "jobs/job.hpp"
#include "jobs/plan_text.hpp"
#include "jobs/record.hpp"
#include "jobs/secret.hpp"
#include "jobs/store.hpp"

namespace exeat::jobs {

/// Why a call did not do what it was asked for. `text` is one sentence or more for the operator.
struct problem {
  enum class kind : std::uint8_t {
    not_found,  ///< no such job
    refused,    ///< never, or not in this state; nothing has changed
    failed,     ///< the state directory could not be written; what was to be sealed is sealed in memory
  };
  problem::kind kind = kind::refused;
  std::string text;
};

struct opening {
  jobs::plan plan;
  /// Until the job ends by itself: a second to ten years. Empty: only close_job() ends it.
  std::optional<std::chrono::seconds> time_limit;
};

/// Shown once, never kept.
struct issued_token {
  std::string phase;
  std::string text;  ///< token_prefix and 43 characters
};

struct opened {
  std::string id;                    ///< "j-" and 12 characters of a-z and 2-7
  std::vector<issued_token> tokens;  ///< one for each phase, in the order of the plan
  std::string advance_secret;        ///< secret_prefix and 43 characters
};

/// The implicit job (that of exeat.yaml; its id is empty) and those of open_job(). Not thread-safe, blocking
/// I/O: serve's main thread. The jobs that it hands out are thread-safe. What they show never runs ahead of
/// the disk when phases open (new_job, open_job), and never behind it when they seal.
class book {
 public:
  static constexpr std::size_t most_jobs = 4096;           ///< open at once
  static constexpr std::chrono::hours longest{24 * 3652};  ///< ten years

  /// `declared`: the plan of exeat.yaml's job; without steps: none. Locks the directory against a second
  /// process until the book is destroyed.
  /// Succeeds, with the implicit job wholly sealed (ending::state_damaged) and trouble() saying why and what
  /// to do, where the directory is absent, not ours, open to others, or without a marker, and where the
  /// implicit job's file is absent, damaged, of another state directory, or of another plan of which
  /// something is sealed. A changed plan of which nothing is sealed yet is taken over silently.
  /// A damaged file of an explicit job: there is no such job, and trouble() names it; close_job() removes it.
  /// Jobs whose time has run out by now end. Errors: another process has the directory; a plan that
  /// valid_plan() refuses.
  static std::expected<book, std::string> open(const std::string& directory, plan declared);

  /// Without a state directory nothing can hold beyond this process: advance, open_job and close_job are
  /// refused; the implicit job exists, unsealed. `declared` as for open(), not checked.
  static book in_memory(plan declared);

  book(book&&) = default;
  book& operator=(book&&) = default;

  /// Null: none is declared. Another object after new_job().
  const std::shared_ptr<job>& implicit() const noexcept { return implicit_.live; }
  /// The explicit ones that have neither been closed nor run out of time; those locked down are among them.
  std::vector<std::shared_ptr<const job>> open_jobs() const;
  /// Empty: all is well.
  const std::string& trouble() const noexcept { return trouble_; }

  /// On disk when it returns. Errors: refused (plan, time limit, no usable state directory), failed: no job.
  std::expected<opened, problem> open_job(const opening& wanted);

  /// Seals all of the job. An explicit one is forgotten, in memory and on disk; the implicit one (id empty)
  /// stays sealed until new_job(). Also removes what is left of a damaged explicit job.
  /// Errors: not_found, refused (no state directory), failed (sealed, but a restart may know nothing of it:
  /// call again).
  std::expected<void, problem> close_job(std::string_view id);

  /// Seals everything before `to` (empty: the step after the current one), and gives the step of it. id
  /// empty: the implicit job. On disk before the job shows it and before it returns. To the current step:
  /// nothing to do, which is no error. Errors: not_found; refused (going back, a phase that is not in the
  /// plan, no step left, a job that has ended, no state directory); failed: sealed in memory all the same,
  /// but a restart may know nothing of it (call again: without `to` that means the same seal once more).
  std::expected<step, problem> advance(std::string_view id, std::string_view to);

  /// Writes again what is sealed in memory and, after a failure, not yet on disk. False: something still is
  /// not; call again.
  bool keep_seals();

  /// The next implicit job, unsealed; the last one ends. Heals a damaged or absent file of the implicit job.
  /// Never a directory without a marker, since that was never initialised or is not the one that was sealed
  /// in: refused until `exeat state init` has made one, and then takes it into use without a restart.
  /// Errors: refused (as above; none is declared), failed: the last job goes on.
  std::expected<void, problem> new_job();

  /// Seals all of the job, at once and whatever the disk says; an explicit one stays known until it is
  /// closed or out of time. Errors: not_found, failed (also without a state directory): sealed, but a
  /// restart may know nothing of it.
  std::expected<void, problem> lock_down(std::string_view id);

  /// Compares SHA-256 in constant time. False for an unknown job (also one that is closed or out of time) and
  /// one that has no secret.
  bool is_advance_secret(std::string_view id, std::string_view secret) const noexcept;
  /// The implicit job's, from exeat.yaml's advance_secret_file; empty: it has none.
  void set_advance_secret(std::string_view secret);

  /// When expire() has something to do next; empty: never.
  std::optional<std::chrono::system_clock::time_point> next_expiry() const;
  /// Ends the explicit jobs whose time has run out, at once, and removes them from disk, so that a wall clock
  /// set back does not bring them back. Gives their ids, each once. What could not be removed is in trouble()
  /// and tried again by each later call.
  std::vector<std::string> expire(std::chrono::system_clock::time_point now);

  /// The text that keep_policy() was given last for this job, also by an earlier process. A damaged or absent
  /// copy counts as a damaged job: never as none kept.
  std::optional<std::string> kept_policy(std::string_view id) const;
  /// Keeps a text (at most store::largest octets) with the job until it ends. Without a state directory: in
  /// memory. Errors: not_found, refused (too large, state damaged), failed: kept in memory, a restart may
  /// know nothing of it.
  std::expected<void, problem> keep_policy(std::string_view id, std::string_view text);

 private:
  struct entry {
    std::shared_ptr<job> live;
    record kept;                                ///< as on disk
    std::shared_ptr<const std::string> policy;  ///< what keep_policy() was given last
    bool over = false;                          ///< closed or out of time, but the file could not be removed
  };
  book() = default;

  void adopt(store opened);
  void adopt_implicit();
  void adopt_explicit(const std::string& id);
  std::expected<entry, std::string> read_entry(const std::string& name, std::string_view id) const;
  void seal_implicit();
  void tell();

  std::expected<void, problem> usable() const;
  entry* find(std::string_view id);
  const entry* find(std::string_view id) const;
  std::expected<void, std::string> persist(entry& of, record next);
  std::expected<void, problem> seal(std::string_view id, ending why);
  std::expected<void, std::string> forget(const std::string& id);
  std::shared_ptr<const std::string> policy_of(const digest& sum) const;
  void drop_policy(const std::optional<digest>& sum);
  std::expected<opened, problem> issue(const opening& wanted, record& out) const;

  std::string directory_;  ///< empty: in memory
  plan declared_;
  std::optional<store> store_;
  entry implicit_;
  std::map<std::string, entry, std::less<>> open_;
  std::optional<digest> implicit_secret_;
  std::string directory_trouble_;
  std::string implicit_trouble_;
  std::map<std::string, std::string, std::less<>> explicit_trouble_;
  std::string trouble_;
};

}  // namespace exeat::jobs
