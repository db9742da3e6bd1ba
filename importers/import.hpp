// Allowlists of other products as policies: what they mean, never their text, and never wider.
#pragma once
#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/rule.hpp"
#include "config/load.hpp"

namespace exeat::importers {

enum class product : std::uint8_t { smokescreen, squid, gh_aw, copilot, harden_runner, srt };
/// "smokescreen", "squid", "gh-aw", "copilot", "harden-runner", "srt".
std::span<const std::string_view> product_names() noexcept;
std::optional<product> product_of(std::string_view name) noexcept;

/// A remark on one line of the source. UTF-8 of the file's author; escape before showing.
struct remark {
  int line = 0;  ///< 0: the file as a whole
  std::string text;
};

struct imported {
  allowlist::policy_source policy;
  std::size_t exact = 0;         ///< entries whose meaning is the same
  std::vector<remark> differs;   ///< translated, and narrower or otherwise not the same
  std::vector<remark> left_out;  ///< not translated, and why
};

struct source {
  product from = product::squid;
  std::string_view text;
  std::string file;             ///< for remarks and reasons
  std::string phase = "agent";  ///< where the product has no such thing
  /// Reads a file that the source names (Squid's lists); its error is a sentence. Empty: none can be read.
  std::function<std::expected<std::string, std::string>(const std::string& path)> read;
};

/// The error is why the file cannot be read at all. No I/O but `read`.
std::expected<imported, config::errors> import(const source& from);

/// A policy file: the remarks as comments, then the policy with tests that hold for it. Loads, or is a bug.
std::string print(const imported& result, const source& from);

}  // namespace exeat::importers
