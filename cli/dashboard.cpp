// `exeat dashboard`: a one-time token for the dashboard of a running process, where nobody else reads it.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "cli/admin_client.hpp"
#include "cli/commands.hpp"
#include "config/error.hpp"
#include "core/safe_text.hpp"

namespace exeat::cli {
namespace {

int fail(std::string_view text, int status = exit_error) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  fmt::print(stderr, "exeat dashboard: {}\n", config::printable(text, 2000));
  return status;
}

std::string text_at(const boost::json::value& of, std::string_view name) {
  const auto* value = of.is_object() ? of.as_object().if_contains(name) : nullptr;
  return value != nullptr && value->is_string()
             ? config::printable(std::string_view(value->as_string()), 2000)
             : std::string();
}

/// A file of ours alone, which was not there before. The error is a clause.
std::string write_alone(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return std::strerror(errno);
  const bool whole = ::write(fd, text.data(), text.size()) == static_cast<::ssize_t>(text.size());
  const int failed = errno;
  ::close(fd);
  if (whole) return {};
  ::unlink(path.c_str());
  return std::strerror(failed);
}

}  // namespace

int run_dashboard(const dashboard_options& options) {
  if (options.file.empty() && ::isatty(STDOUT_FILENO) != 1)
    return fail(
        "the token is shown on a terminal alone, for whoever reads this pipe or log could use it: name a "
        "--file, which only you can read");
  const auto at = find_process(options.process);
  if (!at) return fail(at.error());
  std::string body = "{\"role\":";
  core::append_json_string(body, options.role);
  const auto reply =
      ask(*at, {.method = "POST", .target = "/-/login-token", .body = body + "}", .bearer = {}});
  if (!reply) return fail(reply.error());
  if (reply->status != 200)
    return fail("refused: " + reply->body, reply->status < 500 ? exit_denied : exit_error);
  boost::system::error_code failed;
  const auto value = boost::json::parse(reply->body, failed);
  const auto token = failed ? std::string() : text_at(value, "token");
  const auto address = failed ? std::string() : text_at(value, "admin");
  if (token.empty() || address.empty()) return fail("this is not an answer of exeat's");
  const bool tcp = !address.starts_with("unix:") && !address.starts_with('/');
  const auto link = tcp ? fmt::format("http://{}/#/login/{}\n", address, token) : token + "\n";
  if (!options.file.empty()) {
    if (const auto why = write_alone(options.file, link); !why.empty())
      return fail(fmt::format("{}: {}", options.file, why));
    fmt::print("{} holds the link: good once, for ten minutes, as {}\n",
               config::printable(options.file, 4096), options.role);
    return exit_ok;
  }
  if (tcp) {
    fmt::print("{}", link);
  } else {
    fmt::print(
        "The admin listener is {}: bring it to a browser (ssh -L 9400:SOCKET), and log in there with\n{}",
        address, link);
  }
  fmt::print("Good once, for ten minutes, as {}.\n", options.role);
  return exit_ok;
}

}  // namespace exeat::cli
