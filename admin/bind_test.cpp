#include "admin/bind.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "admin/test_client.hpp"

using namespace exeat;
using namespace exeat::admin;

namespace {

::mode_t mode_of(const std::string& path) {
  struct stat status{};
  REQUIRE(::lstat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

}  // namespace

TEST_CASE("a taken TCP port is explained") {
  auto first = open_socket(config::tcp_endpoint{}, "admin");
  REQUIRE(first);
  const auto at = std::get<config::tcp_endpoint>(first->endpoint());
  CHECK(at.port != 0);
  auto second = open_socket(at, "admin");
  REQUIRE_FALSE(second);
  CHECK(second.error() ==
        "cannot listen on " + config::to_string(at) +
            " (`admin:`): Address already in use; another process, perhaps another exeat, listens "
            "there: stop it, or set `admin:` to another address");
}

TEST_CASE("IPv6 loopback") {
  auto bound = open_socket(config::tcp_endpoint{.address = *core::ip_address::parse("::1")}, "admin");
  if (!bound && bound.error().find("no such address") != std::string::npos) return;  // a machine without IPv6
  REQUIRE(bound);
  CHECK(std::get<config::tcp_endpoint>(bound->endpoint()).port != 0);
}

TEST_CASE("a unix socket has the mode that was asked for, whatever the umask") {
  const temporary_directory directory;
  for (const ::mode_t mask : {0U, 022U, 0177U, 0777U}) {
    for (const ::mode_t mode : {0600U, 0660U, 0666U}) {
      const ::mode_t before = ::umask(mask);
      auto bound = open_socket(config::unix_endpoint{directory / "s", mode}, "control");
      ::umask(before);
      REQUIRE(bound);
      CHECK(mode_of(directory / "s") == mode);
    }
  }
  CHECK_FALSE(std::filesystem::exists(directory / "s"));
}

TEST_CASE("a stale socket file is replaced, a live one and anything else is left alone") {
  const temporary_directory directory;
  const config::unix_endpoint at{directory / "s"};
  {
    const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, at.path.data(), at.path.size());
    REQUIRE(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    ::close(dead);
  }
  auto first = open_socket(at, "control");
  REQUIRE(first);
  auto second = open_socket(at, "control");
  REQUIRE_FALSE(second);
  CHECK(second.error().find("Address already in use") != std::string::npos);
  CHECK(std::filesystem::exists(at.path));

  std::ofstream(directory / "file") << "precious";
  auto third = open_socket(config::unix_endpoint{directory / "file"}, "control");
  REQUIRE_FALSE(third);
  CHECK(third.error().find("no socket stands there") != std::string::npos);
  CHECK(std::filesystem::file_size(directory / "file") == 8);
  std::filesystem::create_symlink(at.path, directory / "link");
  CHECK_FALSE(open_socket(config::unix_endpoint{directory / "link"}, "control"));
}

TEST_CASE("at the end only the own socket file goes") {
  const temporary_directory directory;
  const config::unix_endpoint at{directory / "s"};
  auto mine = open_socket(at, "control");
  REQUIRE(mine);
  std::filesystem::rename(at.path, directory / "moved");
  auto successor = open_socket(at, "control");
  REQUIRE(successor);
  *mine = {};
  CHECK(std::filesystem::exists(at.path));
  *successor = {};
  CHECK_FALSE(std::filesystem::exists(at.path));
}

TEST_CASE("paths that cannot be") {
  const temporary_directory directory;
  CHECK_FALSE(open_socket(config::unix_endpoint{directory / std::string(200, 'x')}, "control"));
  CHECK_FALSE(open_socket(config::unix_endpoint{""}, "control"));
  auto missing = open_socket(config::unix_endpoint{directory / "no/s"}, "control");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().find("the directory does not exist") != std::string::npos);
}
