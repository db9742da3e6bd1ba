#include "cli/admin_client.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <cstring>
#include <memory>

#include "cli/connect_bridge.hpp"
#include "config/load.hpp"

namespace exeat::cli {
namespace {

namespace http = boost::beast::http;

constexpr timeval patience{.tv_sec = 60, .tv_usec = 0};
constexpr std::size_t largest_answer = 16UL << 20;

std::string why_no_socket(const std::string& path, int code) {
  switch (code) {
    case ENOENT:
      return fmt::format("{} does not exist: no `exeat serve` runs that has it as `control`", path);
    case ECONNREFUSED:
      return fmt::format("nobody listens on {}: the `exeat serve` that made it is not running", path);
    case EACCES: {
      struct stat found{};
      const auto owner = ::stat(path.c_str(), &found) == 0
                             ? fmt::format(" (it belongs to uid {})", found.st_uid)
                             : std::string();
      return fmt::format(
          "{} may not be opened by uid {}{}: run this as that user, or use --url with a secret or "
          "token",
          path, ::geteuid(), owner);
    }
    default:
      return fmt::format("{}: {}", path, std::strerror(code));
  }
}

std::expected<owned_fd, std::string> connect_tcp(const admin_url& url) {
  const addrinfo hints{.ai_flags = AI_NUMERICSERV, .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
  addrinfo* found = nullptr;
  if (const int failed = ::getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found); failed != 0)
    return std::unexpected(fmt::format("{}: {}", url.host, ::gai_strerror(failed)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, ::freeaddrinfo);
  int code = ECONNREFUSED;
  for (const auto* one = found; one != nullptr; one = one->ai_next) {
    owned_fd fd(::socket(one->ai_family, one->ai_socktype | SOCK_CLOEXEC, one->ai_protocol));
    if (fd.get() >= 0) ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (fd.get() >= 0 && ::connect(fd.get(), one->ai_addr, one->ai_addrlen) == 0) return fd;
    code = errno;
  }
  if (code != ECONNREFUSED)
    return std::unexpected(fmt::format("{} port {}: {}", url.host, url.port, std::strerror(code)));
  return std::unexpected(
      fmt::format("nobody listens on {} port {}: is `exeat serve` running, with this `admin` address?",
                  url.host, url.port));
}

std::expected<owned_fd, std::string> connect_to(const admin_address& at) {
  if (const auto* url = std::get_if<admin_url>(&at)) return connect_tcp(*url);
  const auto& path = std::get<std::string>(at);
  auto fd = connect_unix(path);
  if (fd.get() < 0) return std::unexpected(why_no_socket(path, errno));
  return fd;
}

std::string text_of(const admin_address& at, const admin_request& request) {
  std::string host = "localhost";
  if (const auto* url = std::get_if<admin_url>(&at)) {
    host = url->host.contains(':') ? fmt::format("[{}]:{}", url->host, url->port)
                                   : fmt::format("{}:{}", url->host, url->port);
  }
  auto out = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", request.method,
                         request.target, host);
  if (!request.bearer.empty()) out += fmt::format("Authorization: Bearer {}\r\n", request.bearer);
  if (request.method != "GET")
    out += fmt::format("Content-Type: application/json\r\nContent-Length: {}\r\n", request.body.size());
  return out + "\r\n" + request.body;
}

bool send_all(int to, std::string_view text) {
  while (!text.empty()) {
    const auto sent = ::send(to, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

}  // namespace

std::expected<admin_url, std::string> parse_admin_url(std::string_view text) {
  const auto wrong = [] {
    return std::unexpected("--url is http://HOST:PORT, the `admin` address of exeat.yaml");
  };
  constexpr std::string_view scheme = "http://";
  if (!text.starts_with(scheme)) return wrong();
  text.remove_prefix(scheme.size());
  if (text.ends_with('/')) text.remove_suffix(1);
  admin_url out{.host = {}, .port = "80"};
  const auto close = text.starts_with('[') ? text.find(']') : std::string_view::npos;
  if (text.starts_with('[') && close == std::string_view::npos) return wrong();
  const auto colon = text.find(':', close == std::string_view::npos ? 0 : close);
  if (colon != std::string_view::npos) out.port = text.substr(colon + 1);
  auto host = text.substr(0, colon);
  if (close != std::string_view::npos) {
    if (host.size() != close + 1) return wrong();
    host = host.substr(1, close - 1);
  }
  out.host = host;
  const auto is_host = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
           c == '-' || c == ':' || c == '_';
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (out.host.empty() || !std::ranges::all_of(out.host, is_host) || out.port.empty() ||
      out.port.size() > 5 || !std::ranges::all_of(out.port, is_digit))
    return wrong();
  return out;
}

std::expected<admin_address, std::string> find_process(const process_choice& choice) {
  if (!choice.url.empty()) {
    auto url = parse_admin_url(choice.url);
    if (!url) return std::unexpected(std::move(url.error()));
    return std::move(*url);
  }
  if (!choice.control.empty()) return choice.control;
  if (!choice.config_file.empty()) {
    const auto settings = config::load_settings(choice.config_file, {});
    if (!settings) return std::unexpected(config::to_string(settings.error()));
    if (settings->control) return settings->control->path;
    return std::unexpected(
        fmt::format("{} has no `control` socket: name the admin API with --url", choice.config_file));
  }
  if (const auto control = config::settings::default_control()) return control->path;
  return std::unexpected(
      "there is no telling which process is meant: name its control socket with --control, its exeat.yaml "
      "with "
      "--config, or its admin API with --url");
}

std::expected<admin_reply, std::string> ask(const admin_address& at, const admin_request& request) {
  auto fd = connect_to(at);
  if (!fd) return std::unexpected(std::move(fd.error()));
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO})
    ::setsockopt(fd->get(), SOL_SOCKET, option, &patience, sizeof patience);
  // What could not be sent was perhaps answered all the same.
  const bool sent = send_all(fd->get(), text_of(at, request));

  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(largest_answer);
  std::string buffer;
  std::array<char, 16384> piece;  // NOLINT(cppcoreguidelines-pro-type-member-init): recv fills it
  boost::system::error_code failed;
  while (!parser.is_done()) {
    const auto got = ::recv(fd->get(), piece.data(), piece.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
      return std::unexpected("no answer within a minute: the process hangs, or is no exeat");
    if (got <= 0) {
      if (parser.got_some()) parser.put_eof(failed);
      if (failed || !parser.is_done())
        return std::unexpected(
            sent ? "the process closed the connection without an answer: it is stopping, or is no exeat"
                 : "the process took no request: it is stopping, or is no exeat");
      break;
    }
    buffer.append(piece.data(), static_cast<std::size_t>(got));
    const auto used = parser.put(boost::asio::buffer(buffer), failed);
    buffer.erase(0, used);
    if (failed == http::error::need_more) failed = {};
    if (failed) return std::unexpected("the answer is no HTTP of exeat's: " + failed.message());
  }
  return admin_reply{.status = parser.get().result_int(), .body = std::move(parser.get().body())};
}

}  // namespace exeat::cli
