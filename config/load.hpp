// The two files, from disk or from text, to values; with all their errors at once.
#pragma once
#include <expected>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "allowlist/policy.hpp"
#include "config/error.hpp"
#include "config/settings.hpp"

namespace exeat::config {

using errors = std::vector<error>;
using shared_policy = std::shared_ptr<const allowlist::policy>;

struct load_options {
  /// Read the file although somebody else may write it: `insecure_policy_file: true`.
  bool insecure = false;
};

/// Files larger than this are refused unread.
inline constexpr std::size_t max_file_size = 256ULL << 20;

/// Opens, checks who may write it (on the opened descriptor), reads, parses, validates and compiles.
/// Included files are read the same way. Blocking file I/O; any thread. Never throws for what stands in the
/// file.
std::expected<shared_policy, errors> load_policy_file(const std::string& path, load_options options = {});

/// How parse_policy gets at what a policy includes.
struct include_source {
  std::function<std::expected<std::string, errors>(const std::string& path)> read;
  /// The files of a directory, with their paths, in order.
  std::function<std::expected<std::vector<std::string>, errors>(const std::string& directory)> list;
};
/// As above for a text; `file` is the name in marks and messages, and what included paths are relative to.
/// Without an `include_source` an `include` is an error. No I/O of its own.
std::expected<shared_policy, errors> parse_policy(std::string_view text, const std::string& file,
                                                  const include_source& includes = {});
/// The octets of a file that passes the check of who may write it.
std::expected<std::string, errors> read_whole_file(const std::string& path, load_options options);
/// The policy that is compiled in (config/builtin_policy.hpp); its file is "built-in".
shared_policy builtin_policy();
/// The file where settings name one, else the built-in policy; then check_phases.
std::expected<shared_policy, errors> load_policy(const settings& settings);

/// exeat.yaml. `insecure_policy_file: true` in it vouches for the policy, never for this file itself: a file
/// that anybody may write cannot vouch for itself. Only `options.insecure` does.
std::expected<settings, errors> load_settings_file(const std::string& path, load_options options = {});
/// `directory` is what relative paths are resolved against; empty leaves them.
std::expected<settings, errors> parse_settings(std::string_view text, const std::string& file,
                                               const std::string& directory = {});

/// What the command line says over the file.
struct overrides {
  std::string policy;
  std::vector<std::string>
      listen;         ///< "PHASE=ADDRESS:PORT" or "PHASE=unix:PATH"; any replaces all of the file's
  std::string admin;  ///< "ADDRESS:PORT", "unix:PATH" or "none"
  bool insecure_policy_file = false;
};

/// Defaults, then the file (empty path: none), then the overrides, then validate().
std::expected<settings, errors> load_settings(const std::string& file, const overrides& overrides);

/// A secret of one line: at least 16 printable characters, white space around it removed. Refused where
/// others than root and our own uid may read or write it.
std::expected<std::string, error> load_secret_file(const std::string& path);

/// A file with one line "user:password" (RFC 7617: no colon in the user, no control characters), judged as
/// above; the line without its end.
std::expected<std::string, error> load_user_password(const std::string& path);

}  // namespace exeat::config
