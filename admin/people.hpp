// Who may use the dashboard: the tokens of a file, one-time tokens, and the sessions that either opens.
#pragma once
#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/role.hpp"

namespace exeat::admin {

/// Somebody with a role.
struct person {
  std::string name;
  admin::role role = role::none;
};

/// One line of the tokens file.
struct known_token {
  person who;
  std::array<std::uint8_t, 32> sha256{};
};

/// The lines `NAME ROLE SHA256` of a file; `#` begins a comment. The error is a sentence with the line's
/// place.
std::expected<std::vector<known_token>, std::string> parse_tokens(std::string_view text,
                                                                  const std::string& file);
/// The same of a file that nobody but root and we may write. Blocking.
std::expected<std::vector<known_token>, std::string> load_tokens(const std::string& path);

/// Thread-safe, all in memory: a restart ends every session. Secrets are kept as SHA-256 and compared in
/// constant time; maps are keyed by the digest, which tells nothing of the secret.
class people {
 public:
  using time = std::chrono::steady_clock::time_point;

  static constexpr std::chrono::minutes once_for{10};  ///< how long a one-time token waits
  static constexpr std::chrono::minutes idle{30};      ///< a session that nobody uses ends
  static constexpr std::chrono::hours longest{8};      ///< and every other one
  static constexpr std::size_t most_sessions = 256;
  static constexpr std::size_t most_once = 16;
  static constexpr unsigned most_failures = 10;  ///< of one source in a minute

  /// Replaces the tokens of the file; sessions of whoever is no longer in it under the same role end.
  void set_tokens(std::vector<known_token> tokens);

  /// A token that opens one session. Empty: no random numbers.
  std::optional<std::string> new_once(role role, time now);

  /// Of a token of the file.
  std::optional<person> of_token(std::string_view token) const;

  struct session {
    std::string cookie;  ///< for the cookie, which every server on this host gets to see
    std::string key;     ///< for the page alone: without it the cookie is good for nothing
    person who;
  };
  enum class refusal : std::uint8_t { wrong, too_many, failed };
  /// Opens a session for a token of the file or a one-time token, which is spent then. `source` is who is
  /// counted for wrong ones: an address or a uid. Of more than most_sessions the oldest one ends.
  std::expected<session, refusal> log_in(std::string_view token, std::string_view source, time now);

  /// Both together, or nobody. Counts as use.
  std::optional<person> of_session(std::string_view cookie, std::string_view key, time now);
  /// As above without being use: for a stream that goes on.
  bool is_open(std::string_view cookie, time now) const;
  void log_out(std::string_view cookie);

 private:
  using digest = std::array<std::uint8_t, 32>;
  struct kept {
    digest key{};
    person who;
    bool by_file = false;
    time opened, used;
    bool over(time now) const noexcept { return now - used > idle || now - opened > longest; }
  };
  struct once {
    admin::role role = role::none;
    time until;
  };
  struct failures {
    unsigned count = 0;
    time since;
  };
  const known_token* find(const digest& sum) const;
  bool may_try(const std::string& source, time now);
  std::expected<session, refusal> open(person who, bool by_file, time now);

  mutable std::mutex mutex_;
  std::vector<known_token> tokens_;
  std::map<digest, once> once_;
  std::map<digest, kept> sessions_;
  std::map<std::string, failures, std::less<>> failures_;
};

}  // namespace exeat::admin
