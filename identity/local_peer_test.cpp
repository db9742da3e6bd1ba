#include "identity/local_peer.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "identity/cgroup.hpp"

using namespace exeat;
using identity::local_peer;

namespace {

using answer = std::expected<local_peer, std::string_view>;

class descriptor {
 public:
  descriptor() = default;
  explicit descriptor(int fd) : fd_(fd) {}
  ~descriptor() { reset(); }
  descriptor(descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  descriptor& operator=(descriptor&& other) noexcept {
    reset();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
  }
  void reset() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  operator int() const { return fd_; }

 private:
  int fd_ = -1;
};

struct address {
  ::sockaddr_storage storage{};
  ::socklen_t size = 0;
  const ::sockaddr* get() const { return reinterpret_cast<const ::sockaddr*>(&storage); }
  ::sockaddr* get() { return reinterpret_cast<::sockaddr*>(&storage); }
};

address address_of(const std::string& text, std::uint16_t port) {
  address out;
  if (text.find(':') == std::string::npos) {
    ::sockaddr_in v4{};
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    REQUIRE(::inet_pton(AF_INET, text.c_str(), &v4.sin_addr) == 1);
    std::memcpy(&out.storage, &v4, sizeof v4);
    out.size = sizeof v4;
  } else {
    ::sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    REQUIRE(::inet_pton(AF_INET6, text.c_str(), &v6.sin6_addr) == 1);
    std::memcpy(&out.storage, &v6, sizeof v6);
    out.size = sizeof v6;
  }
  return out;
}

address own_address(int fd) {
  address out{.size = sizeof(::sockaddr_storage)};
  REQUIRE(::getsockname(fd, out.get(), &out.size) == 0);
  return out;
}

std::uint16_t port_of(const address& at) {
  ::sockaddr_in v4{};
  std::memcpy(&v4, &at.storage, sizeof v4);  // the port stands in the same place in IPv6
  return ntohs(v4.sin_port);
}

// A listener on a port of the kernel's choice.
struct stage {
  explicit stage(const std::string& text) {
    const auto at = address_of(text, 0);
    listening = descriptor(::socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int off = 0;
    if (at.storage.ss_family == AF_INET6)
      ::setsockopt(listening, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    REQUIRE(::bind(listening, at.get(), at.size) == 0);
    REQUIRE(::listen(listening, 16) == 0);
    port = port_of(own_address(listening));
  }

  struct accepted {
    descriptor fd;
    address client;
    address own;
  };
  accepted accept() const {
    accepted out{.client = {.size = sizeof(::sockaddr_storage)}};
    out.fd = descriptor(::accept4(listening, out.client.get(), &out.client.size, SOCK_CLOEXEC));
    REQUIRE(out.fd >= 0);
    out.own = own_address(out.fd);
    return out;
  }

  descriptor listening;
  std::uint16_t port = 0;
};

descriptor connected_to(const std::string& text, std::uint16_t port) {
  const auto at = address_of(text, port);
  descriptor out(::socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::connect(out, at.get(), at.size) == 0);
  return out;
}

std::uint64_t inode_of(int fd) {
  struct ::stat file{};
  REQUIRE(::fstat(fd, &file) == 0);
  return file.st_ino;
}

void wait_for(int fd, short events) {
  ::pollfd one{.fd = fd, .events = events, .revents = 0};
  REQUIRE(::poll(&one, 1, 10'000) == 1);
}

// Another process that runs `work` and then waits until this ends.
class child {
 public:
  explicit child(const std::function<bool()>& work) {
    int ready[2];
    int stay[2];
    REQUIRE(::pipe(ready) == 0);
    REQUIRE(::pipe(stay) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::close(stay[1]);
      char octet = work() ? 'y' : 'n';
      if (::write(ready[1], &octet, 1) != 1) ::_exit(1);
      if (::read(stay[0], &octet, 1) != 0) ::_exit(1);
      ::_exit(0);
    }
    ::close(ready[1]);
    ::close(stay[0]);
    stay_ = descriptor(stay[1]);
    char octet = 'n';
    const auto got = ::read(ready[0], &octet, 1);
    ::close(ready[0]);
    did_ = got == 1 && octet == 'y';
  }
  ~child() { finish(); }
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  void finish() {
    stay_.reset();
    if (pid_ > 0) ::waitpid(std::exchange(pid_, -1), nullptr, 0);
  }
  bool did_its_work() const { return did_; }
  ::pid_t pid() const { return pid_; }

 private:
  ::pid_t pid_ = -1;
  descriptor stay_;
  bool did_ = false;
};

bool is_root(const std::string& what) {
  if (::geteuid() == 0) return true;
  MESSAGE("not run, for it takes root: ", what);
  return false;
}

// In a child: no REQUIRE.
int connect_quietly(const address& at) {
  const int fd = ::socket(at.storage.ss_family, SOCK_STREAM, 0);
  return ::connect(fd, at.get(), at.size) == 0 ? fd : -1;
}

// A directory of cgroup v2, mounted by us where it is not.
class cgroup_root {
 public:
  cgroup_root() {
    std::ifstream mounts("/proc/self/mounts");
    for (std::string device, point, type, rest;
         mounts >> device >> point >> type && std::getline(mounts, rest);) {
      if (type == "cgroup2" && path_.empty()) path_ = point;
    }
    if (!path_.empty()) return;
    char name[] = "/tmp/exeat-cgroup-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    REQUIRE(::mount("none", name, "cgroup2", 0, nullptr) == 0);
    path_ = name;
    is_ours_ = true;
  }
  ~cgroup_root() {
    if (!is_ours_) return;
    ::umount(path_.c_str());
    ::rmdir(path_.c_str());
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool is_ours_ = false;
};

struct cgroup_directory {
  explicit cgroup_directory(const cgroup_root& root)
      : path(root.path() + "/exeat-test-" + std::to_string(::getpid())) {
    REQUIRE(::mkdir(path.c_str(), 0755) == 0);
  }
  ~cgroup_directory() { ::rmdir(path.c_str()); }
  cgroup_directory(const cgroup_directory&) = delete;
  cgroup_directory& operator=(const cgroup_directory&) = delete;
  std::string path;
};

bool enter(const std::string& cgroup) {
  std::ofstream file(cgroup + "/cgroup.procs");
  file << ::getpid() << std::flush;
  return file.good();
}

}  // namespace

TEST_CASE("a TCP peer is found by its addresses, in every family") {
  identity::tcp_peer_lookup lookup;
  struct pair {
    const char* listen;
    const char* connect;
  };
  for (const auto& [listen, connect] : {pair{"127.0.0.1", "127.0.0.1"},
                                        {"0.0.0.0", "127.0.0.3"},
                                        {"::1", "::1"},
                                        {"::", "::1"},
                                        {"::", "127.0.0.1"},
                                        {"::", "::ffff:127.0.0.1"},
                                        {"127.0.0.1", "::ffff:127.0.0.1"}}) {
    CAPTURE(listen);
    CAPTURE(connect);
    const stage stage(listen);
    const auto client = connected_to(connect, stage.port);
    const auto other = connected_to(connect, stage.port);
    const auto accepted = stage.accept();
    const auto found = lookup.find(accepted.fd);
    if (!found) FAIL(found.error());
    CHECK(lookup.find(accepted.client.storage, accepted.own.storage)->inode == found->inode);
    CHECK(found->uid == ::geteuid());
    CHECK(found->inode == inode_of(client));
    CHECK(found->pid == 0);
    // The other way round it is our own end.
    const auto ours = lookup.find(accepted.own.storage, accepted.client.storage);
    REQUIRE(ours);
    CHECK(ours->inode == inode_of(accepted.fd));
  }
}

TEST_CASE("the uid is that of whoever made the socket, whoever holds it") {
  if (!is_root("a client under another uid")) return;
  const stage stage("127.0.0.1");
  const auto at = address_of("127.0.0.1", stage.port);
  const auto uid_from = [&](const std::function<bool()>& work) -> std::uint32_t {
    const child process(work);
    REQUIRE(process.did_its_work());
    const auto accepted = stage.accept();
    const auto found = identity::tcp_peer_lookup().find(accepted.fd);
    REQUIRE(found);
    return found->uid;
  };
  CHECK(uid_from([&] { return ::setuid(65534) == 0 && connect_quietly(at) >= 0; }) == 65534);
  CHECK(uid_from([&] { return connect_quietly(at) >= 0 && ::setuid(65534) == 0; }) == 0);
}

TEST_CASE("a descriptor that was handed on keeps the uid of its maker") {
  if (!is_root("a client under another uid")) return;
  const stage stage("127.0.0.1");
  const auto client = connected_to("127.0.0.1", stage.port);
  const child process([&] { return ::setuid(65534) == 0; });  // it has inherited the connection
  const auto accepted = stage.accept();
  const auto found = identity::tcp_peer_lookup().find(accepted.client.storage, accepted.own.storage);
  REQUIRE(found);
  CHECK(found->uid == 0);
}

TEST_CASE("a client that has closed is unknown, and never uid 0") {
  identity::tcp_peer_lookup lookup;
  const stage stage("127.0.0.1");
  const auto at = address_of("127.0.0.1", stage.port);
  const bool as_other = ::geteuid() == 0;
  constexpr int rounds = 1'000;
  const auto pid = ::fork();
  REQUIRE(pid >= 0);
  if (pid == 0) {
    if (as_other && ::setuid(65534) != 0) ::_exit(1);
    for (int i = 0; i < rounds; ++i) {
      const int fd = connect_quietly(at);
      if (fd < 0) ::_exit(1);
      if (i % 3 == 0) {  // reset instead of FIN
        const ::linger now{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
      }
      const bool has_written = ::write(fd, "GET", 3) == 3;
      if (::close(fd) != 0 || !has_written) ::_exit(1);
    }
    ::_exit(0);
  }
  int found_alive = 0;
  int unknown = 0;
  int verdicts_of_uid_0 = 0;
  for (int i = 0; i < rounds; ++i) {
    const auto accepted = stage.accept();
    const auto found = lookup.find(accepted.fd);
    if (!found) {
      ++unknown;
      continue;
    }
    ++found_alive;
    if (found->uid == 0 || found->inode == 0) ++verdicts_of_uid_0;
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  CHECK(status == 0);
  if (as_other) CHECK(verdicts_of_uid_0 == 0);
  MESSAGE("closed at once: ", unknown, " unknown, ", found_alive, " found in time");
  CHECK(found_alive + unknown == rounds);
}

TEST_CASE("states other than ESTABLISHED and CLOSE_WAIT are unknown") {
  identity::tcp_peer_lookup lookup;
  const stage stage("127.0.0.1");
  auto client = connected_to("127.0.0.1", stage.port);
  auto accepted = stage.accept();
  const auto find = [&] { return lookup.find(accepted.client.storage, accepted.own.storage); };
  SUBCASE("we have ended what we send") {
    REQUIRE(::shutdown(accepted.fd, SHUT_WR) == 0);
    wait_for(client, POLLIN);
    REQUIRE(find());
    CHECK(find()->uid == ::geteuid());
  }
  SUBCASE("the client has ended what it sends") {
    REQUIRE(::shutdown(client, SHUT_WR) == 0);
    wait_for(accepted.fd, POLLIN);
    // FIN_WAIT1 until our kernel has acknowledged it.
    const auto found = find();
    REQUIRE_FALSE(found);
    CHECK(found.error().starts_with("its socket is in state FIN_WAIT"));
  }
  SUBCASE("the client has closed") {
    client.reset();
    wait_for(accepted.fd, POLLIN);
    CHECK(find().error() == "its socket is orphaned: it has closed already");
  }
  SUBCASE("the client has reset the connection") {
    const ::linger now{.l_onoff = 1, .l_linger = 0};
    REQUIRE(::setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
    client.reset();
    wait_for(accepted.fd, POLLIN);
    CHECK(find().error() == "no such socket in this network namespace");
  }
  SUBCASE("both have closed") {
    client.reset();
    wait_for(accepted.fd, POLLIN);
    accepted.fd.reset();
    CHECK_FALSE(find());
  }
}

TEST_CASE("who takes over a dead client's port does not lend it his uid") {
  identity::tcp_peer_lookup lookup;
  const stage stage("127.0.0.1");
  const auto at = address_of("127.0.0.1", stage.port);
  const int on = 1;
  const auto client_at = [&](const address& own) {
    descriptor out(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::setsockopt(out, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    REQUIRE(::bind(out, own.get(), own.size) == 0);
    REQUIRE(::connect(out, at.get(), at.size) == 0);
    return out;
  };
  // The first sends its request and resets; both wait in the queue when we come to accept.
  auto first = client_at(address_of("127.0.0.1", 0));
  const auto taken = own_address(first);
  REQUIRE(::write(first, "GET", 3) == 3);
  const ::linger now{.l_onoff = 1, .l_linger = 0};
  REQUIRE(::setsockopt(first, SOL_SOCKET, SO_LINGER, &now, sizeof now) == 0);
  first.reset();
  const auto second = client_at(taken);

  const auto dead = stage.accept();
  const auto alive = stage.accept();
  CHECK(port_of(dead.client) == port_of(alive.client));
  // By its addresses it seems to live, and what it has sent can still be read.
  CHECK(lookup.find(dead.client.storage, dead.own.storage));
  CHECK(lookup.find(dead.fd).error() == "its connection has ended already");
  char request[3];
  CHECK(::read(dead.fd, request, sizeof request) == 3);
  const auto found = lookup.find(alive.fd);
  REQUIRE(found);
  CHECK(found->inode == inode_of(second));
  CHECK(lookup.find(-1).error() == "its connection has ended already");
}

TEST_CASE("a listener at the client's address is not the client") {
  const stage stage("127.0.0.1");
  const struct stage other("127.0.0.1");
  const auto nobody = address_of("127.0.0.1", other.port);
  const auto own = address_of("127.0.0.1", stage.port);
  CHECK(identity::tcp_peer_lookup().find(nobody.storage, own.storage).error() ==
        "no such socket in this network namespace (its address belongs to a listener)");
}

TEST_CASE("only local connections are looked up") {
  identity::tcp_peer_lookup lookup;
  const auto find = [&](const char* client, const char* own) {
    const auto found = lookup.find(address_of(client, 1).storage, address_of(own, 2).storage);
    REQUIRE_FALSE(found);
    return std::string(found.error());
  };
  CHECK(find("192.0.2.1", "192.0.2.2") == "the connection is not a local one");
  CHECK(find("127.0.0.1", "192.0.2.2") == "the connection is not a local one");
  CHECK(find("192.0.2.1", "127.0.0.1") == "the connection is not a local one");
  CHECK(find("::ffff:192.0.2.1", "127.0.0.1") == "the connection is not a local one");
  CHECK(find("2001:db8::1", "::1") == "the connection is not a local one");
  CHECK(find("192.0.2.1", "192.0.2.1") == "no such socket in this network namespace");
  CHECK(find("2001:db8::1", "2001:db8::1") == "no such socket in this network namespace");
  CHECK(find("127.0.0.1", "::1") == "it is no TCP connection");
  CHECK(lookup.find({}, {}).error() == "it is no TCP connection");
}

TEST_CASE("a look-up survives a move") {
  const stage stage("127.0.0.1");
  const auto client = connected_to("127.0.0.1", stage.port);
  const auto accepted = stage.accept();
  identity::tcp_peer_lookup first;
  CHECK(first.find(accepted.client.storage, accepted.own.storage));
  auto second = std::move(first);
  CHECK(second.find(accepted.client.storage, accepted.own.storage));
  first = std::move(second);
  CHECK(first.find(accepted.client.storage, accepted.own.storage));
}

TEST_CASE("the cgroup of a TCP peer is that of its maker") {
  if (!is_root("cgroups")) return;
  const cgroup_root root;
  const cgroup_directory directory(root);
  const stage stage("127.0.0.1");
  const auto at = address_of("127.0.0.1", stage.port);
  const child process([&] { return enter(directory.path) && connect_quietly(at) >= 0; });
  REQUIRE(process.did_its_work());
  const auto accepted = stage.accept();
  const auto found = identity::tcp_peer_lookup().find(accepted.client.storage, accepted.own.storage);
  REQUIRE(found);
  const auto id = identity::cgroup_id_of(directory.path);
  REQUIRE(id);
  CHECK(*id != 0);
  CHECK(found->cgroup == *id);
  CHECK(identity::cgroup_id_of_process(process.pid()) == *id);
  CHECK(identity::cgroup_id_of_process(::getpid()) != *id);

  const auto client = connected_to("127.0.0.1", stage.port);
  const auto ours = stage.accept();
  const auto own = identity::tcp_peer_lookup().find(ours.client.storage, ours.own.storage);
  REQUIRE(own);
  CHECK(own->cgroup == identity::cgroup_id_of_process(::getpid()));
}

TEST_CASE("only directories of cgroup v2 have an id") {
  CHECK(identity::cgroup_id_of("/no/such/directory") == 0);
  CHECK(identity::cgroup_id_of("/proc/self/status/x") == 0);
  CHECK(identity::cgroup_id_of("/tmp").error() == "/tmp is no directory of cgroup v2");
  CHECK(identity::cgroup_id_of_process(-1) == 0);
}

namespace {

struct unix_stage {
  unix_stage() {
    char name[] = "/tmp/exeat-peer-XXXXXX";
    REQUIRE(::mkdtemp(name) != nullptr);
    directory = name;
    REQUIRE(::chmod(name, 0755) == 0);
    at.sun_family = AF_UNIX;
    std::strcpy(at.sun_path, (directory + "/s").c_str());
    listening = descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(listening, reinterpret_cast<const ::sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::chmod(at.sun_path, 0666) == 0);
    REQUIRE(::listen(listening, 4) == 0);
  }
  ~unix_stage() {
    ::unlink(at.sun_path);
    ::rmdir(directory.c_str());
  }
  unix_stage(const unix_stage&) = delete;
  unix_stage& operator=(const unix_stage&) = delete;
  // In a child as well: no REQUIRE.
  int connect() const {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    return ::connect(fd, reinterpret_cast<const ::sockaddr*>(&at), sizeof at) == 0 ? fd : -1;
  }
  descriptor accept() const { return descriptor(::accept4(listening, nullptr, nullptr, SOCK_CLOEXEC)); }

  std::string directory;
  ::sockaddr_un at{};
  descriptor listening;
};

}  // namespace

TEST_CASE("the peer of a unix socket is whoever connected") {
  const unix_stage stage;
  const descriptor client(stage.connect());
  const auto accepted = stage.accept();
  const auto found = identity::unix_peer(accepted);
  REQUIRE(found);
  CHECK(found->uid == ::geteuid());
  CHECK(found->pid == ::getpid());
  CHECK(found->inode == 0);
  CHECK(found->cgroup == identity::cgroup_id_of_process(::getpid()));
  CHECK_FALSE(identity::unix_peer(-1));
  CHECK(identity::unix_peer(stage.listening));  // its own maker, by unix(7): never asked for
}

TEST_CASE("the uid and cgroup of a unix peer, and none of a process that has ended") {
  if (!is_root("another uid, cgroups")) return;
  const cgroup_root root;
  const cgroup_directory directory(root);
  const unix_stage stage;
  child process([&] { return enter(directory.path) && ::setuid(65534) == 0 && stage.connect() >= 0; });
  REQUIRE(process.did_its_work());
  const auto accepted = stage.accept();
  const auto found = identity::unix_peer(accepted);
  REQUIRE(found);
  CHECK(found->uid == 65534);
  CHECK(found->pid == process.pid());
  CHECK(found->cgroup == *identity::cgroup_id_of(directory.path));
  process.finish();
  const auto late = identity::unix_peer(accepted);
  REQUIRE(late);
  CHECK(late->uid == 65534);
  CHECK(late->cgroup == 0);
}
