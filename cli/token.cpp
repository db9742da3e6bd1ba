// `exeat token`: a token for `credential: {tokens: [...]}`, of which exeat.yaml holds the SHA-256 alone.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <expected>
#include <memory>

#include "admin/people.hpp"
#include "cli/commands.hpp"
#include "config/error.hpp"
#include "core/safe_text.hpp"
#include "identity/credential.hpp"
#include "jobs/plan_text.hpp"
#include "jobs/secret.hpp"

namespace exeat::cli {
namespace {

// Shorter ones than this may be guessed: 16 random octets in base64 have 22 letters.
constexpr std::size_t short_token = 20;

/// What PHASE:TOKEN may have so that its base64 fits into a credential behind "Basic ".
constexpr std::size_t longest_pair = (identity::max_credential - 6) / 4 * 3;

/// The first line of a file, or of standard input.
std::expected<std::string, std::string> read_token(const std::string& path) {
  const bool standard_input = path == "-";
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> opened(
      standard_input ? nullptr : std::fopen(path.c_str(), "re"), [](std::FILE* f) { return std::fclose(f); });
  if (!standard_input && opened == nullptr)
    return std::unexpected(fmt::format("{}: {}", config::printable(path), std::strerror(errno)));
  std::FILE* const file = standard_input ? stdin : opened.get();
  std::string text(longest_pair + 2, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  if (std::ferror(file) != 0)
    return std::unexpected(fmt::format("{}: {}", standard_input ? "standard input" : config::printable(path),
                                       std::strerror(errno)));
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
  if (text.empty()) return std::unexpected("there is no token to read");
  if (std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return std::unexpected("the token has a control character, or more than one line");
  return text;
}

int fail(std::string_view what) {
  fmt::print(stderr, "exeat token: {}\n", what);
  return exit_error;
}

constexpr std::string_view role_prefix = "exeat_u_";

/// For somebody at the dashboard: a line for `serve --admin-tokens`.
int run_role_token(const token_options& options) {
  const bool is_new = options.hash.empty();
  auto token = is_new ? jobs::new_secret(role_prefix).value_or("") : std::string();
  if (is_new && token.empty()) return fail("the kernel gives no random numbers");
  if (!is_new) {
    auto given = read_token(options.hash);
    if (!given) return fail(given.error());
    token = std::move(*given);
    if (token.size() < short_token)
      return fail(fmt::format("a token of {} characters may be guessed", token.size()));
  }
  const auto digest = jobs::sha256_of(token);
  if (!digest) return fail("SHA-256 cannot be computed");
  const auto line = fmt::format("{} {} {}", options.name, options.role, jobs::hex_of(*digest));
  if (const auto valid = admin::parse_tokens(line, "--name"); !valid)
    return fail("--name is whose token it is: letters, digits and -_.@+, at most 64 of them");
  if (options.format == "json") {
    std::string out;
    if (is_new) append_member(out, "token", token);
    append_member(out, "line", line);
    fmt::print("{}}}\n", out);
    return exit_ok;
  }
  if (is_new) fmt::print("token:  {}\n\n", token);
  fmt::print("Into the file of `exeat serve --admin-tokens`:\n\n    {}\n", line);
  if (is_new) fmt::print("\nThe token is shown this once; the file holds its SHA-256 alone.\n");
  return exit_ok;
}

}  // namespace

int run_token(const token_options& options) {
  if (!options.role.empty()) return run_role_token(options);
  if (!options.name.empty()) return fail("--name belongs to --role");
  if (const auto valid = jobs::valid_plan({{{options.phase}}}); !valid)
    return fail("--phase: " + config::printable(valid.error(), 300));
  const bool is_new = options.hash.empty();
  std::string token;
  if (is_new) {
    auto made = jobs::new_secret(jobs::token_prefix);
    if (!made) return fail("the kernel gives no random numbers");
    token = std::move(*made);
  } else {
    auto given = read_token(options.hash);
    if (!given) return fail(given.error());
    token = std::move(*given);
  }
  if (options.phase.size() + 1 + token.size() > longest_pair)
    return fail(
        fmt::format("the token is too long: phase and token together may have {} octets", longest_pair - 1));
  const auto digest = jobs::sha256_of(token);
  if (!digest) return fail("SHA-256 cannot be computed");
  if (token.size() < short_token)
    fmt::print(stderr,
               "exeat token: a token of {} characters may be guessed; `exeat token` makes one that cannot\n",
               token.size());

  const auto line = fmt::format("- {{sha256: \"{}\", phase: {}}}", jobs::hex_of(*digest), options.phase);
  if (options.format == "json") {
    std::string out = "{";
    if (is_new) {
      out += "\"token\":";
      core::append_json_string(out, token);
      out += ',';
    }
    out += fmt::format("\"sha256\":\"{}\",\"phase\":\"{}\",\"yaml\":", jobs::hex_of(*digest), options.phase);
    core::append_json_string(out, line);
    fmt::print("{}}}\n", out);
    return exit_ok;
  }
  if (is_new) fmt::print("token:  {}\n", token);
  fmt::print(
      "sha256: {}\n\n"
      "Into exeat.yaml, under `credential: {{tokens: [...]}}` of the listener's `identity`:\n\n"
      "    {}\n",
      jobs::hex_of(*digest), line);
  if (is_new)
    fmt::print(
        "\nThe proxy URL of the phase, with the address of the listener:\n\n"
        "    http://{}:{}@HOST:PORT\n\n"
        "The token is shown this once; exeat.yaml holds its SHA-256 alone.\n",
        options.phase, token);
  return exit_ok;
}

}  // namespace exeat::cli
