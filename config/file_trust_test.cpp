#include "config/file_trust.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "config/load.hpp"
#include "config/temporary_directory.hpp"

using namespace exeat;
using config::error_kind;
using config::temporary_directory;

namespace {

constexpr config::read_options careful{.max_size = 1000};

// What is wrong with reading `path`; empty where nothing is.
std::optional<error_kind> fault(const std::string& path, config::read_options options = careful) {
  const auto text = config::read_trusted_file(path, options);
  if (text) return std::nullopt;
  CHECK(text.error().where.file == path);
  CHECK_FALSE(text.error().message.empty());
  return text.error().kind;
}

bool is_root() {
  if (::geteuid() == 0) return true;
  MESSAGE("not root: cases with files of other owners are left out");
  return false;
}

constexpr ::uid_t somebody = 12345;

}  // namespace

TEST_CASE("a file that only we may write is read") {
  const temporary_directory dir;
  const auto path = dir.write("p", "text");
  const auto text = config::read_trusted_file(path, careful);
  REQUIRE(text);
  CHECK(*text == "text");
}

TEST_CASE("a file that others may write is refused, unless told otherwise") {
  const temporary_directory dir;
  const auto path = dir.write("p", "text");
  for (const ::mode_t mode : {0664U, 0646U, 0666U, 0620U}) {
    CAPTURE(mode);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    CHECK(fault(path) == error_kind::untrusted_file);
    CHECK_FALSE(fault(path, {.max_size = 1000, .refuse_writers = false}));
  }
}

TEST_CASE("a directory on the way that others may write is refused") {
  const temporary_directory dir;
  const auto upper = dir.make_directory("upper");
  dir.make_directory("upper/lower");
  const auto path = dir.write("upper/lower/p", "text");
  CHECK_FALSE(fault(path));
  for (const ::mode_t mode : {0775U, 0757U, 0777U, 02775U}) {
    CAPTURE(mode);
    REQUIRE(::chmod(upper.c_str(), mode) == 0);
    CHECK(fault(path) == error_kind::untrusted_file);
    CHECK_FALSE(fault(path, {.max_size = 1000, .refuse_writers = false}));
  }
  if (!is_root()) return;
  REQUIRE(::chmod(upper.c_str(), 01777) == 0);
  CHECK_FALSE(fault(path));  // as /tmp
  REQUIRE(::chown(upper.c_str(), somebody, 0) == 0);
  CHECK(fault(path) ==
        error_kind::untrusted_file);  // the owner of a sticky directory may replace what is there
}

TEST_CASE("other owners are refused") {
  if (!is_root()) return;
  const temporary_directory dir;
  const auto inner = dir.make_directory("inner");
  const auto path = dir.write("inner/p", "text");
  REQUIRE(::chown(path.c_str(), somebody, 0) == 0);
  CHECK(fault(path) == error_kind::untrusted_file);
  REQUIRE(::chown(path.c_str(), 0, 0) == 0);
  CHECK_FALSE(fault(path));
  REQUIRE(::chown(inner.c_str(), somebody, 0) == 0);
  CHECK(fault(path) == error_kind::untrusted_file);
}

TEST_CASE("symlinks are followed step by step, as a ConfigMap has them") {
  const temporary_directory dir;
  dir.make_directory("..2026_01");
  dir.write("..2026_01/policy.yaml", "one");
  std::filesystem::create_symlink("..2026_01", dir / "..data");
  std::filesystem::create_symlink("..data/policy.yaml", dir / "policy.yaml");
  const auto path = dir / "policy.yaml";
  const auto text = config::read_trusted_file(path, careful);
  REQUIRE(text);
  CHECK(*text == "one");

  // The way through the link counts, not only the text of the path.
  REQUIRE(::chmod((dir / "..2026_01").c_str(), 0777) == 0);
  CHECK(fault(path) == error_kind::untrusted_file);
  REQUIRE(::chmod((dir / "..2026_01").c_str(), 0755) == 0);
  CHECK_FALSE(fault(path));

  std::filesystem::create_symlink((dir / "..data").c_str(), dir / "absolute");
  CHECK_FALSE(fault(dir / "absolute/policy.yaml"));
  CHECK_FALSE(fault(dir / "..2026_01/../policy.yaml"));
  if (!is_root()) return;
  REQUIRE(::lchown((dir / "..data").c_str(), somebody, 0) == 0);
  CHECK(fault(path) == error_kind::untrusted_file);
}

TEST_CASE("what is no readable file is said to be so") {
  const temporary_directory dir;
  dir.write("p", "text");
  CHECK(fault(dir / "absent") == error_kind::unreadable);
  CHECK(fault(dir / "p/below") == error_kind::unreadable);
  CHECK(fault(dir.path().string()) == error_kind::unreadable);
  CHECK(fault("/") == error_kind::unreadable);
  CHECK(fault("/dev/null", {.max_size = 1, .refuse_writers = false}) == error_kind::unreadable);
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(fault(dir / "fifo") == error_kind::unreadable);
  std::filesystem::create_symlink("loop", dir / "loop");
  CHECK(fault(dir / "loop") == error_kind::unreadable);
  CHECK(fault(dir.write("large", std::string(1001, 'x'))) == error_kind::unreadable);
  CHECK_FALSE(fault(dir.write("full", std::string(1000, 'x'))));
  CHECK_FALSE(config::read_trusted_file("", careful));
}

TEST_CASE("a relative path counts from the working directory, whose own way counts too") {
  const temporary_directory dir;
  dir.write("p", "text");
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  const auto good = fault("p");
  REQUIRE(::chmod(dir.path().c_str(), 0777) == 0);
  const auto bad = fault("./p");
  std::filesystem::current_path(before);
  CHECK_FALSE(good);
  CHECK(bad == error_kind::untrusted_file);
}

TEST_CASE("a configuration file cannot vouch for itself, but for the policy") {
  const temporary_directory dir;
  const auto policy = dir.write("policy.yaml", "version: 1\nphases: {setup: {}, agent: {}, mcp: {}}\n");
  const auto file = dir.write("exeat.yaml", "version: 1\npolicy: policy.yaml\ninsecure_policy_file: true\n");
  REQUIRE(::chmod(policy.c_str(), 0666) == 0);
  const auto settings = config::load_settings_file(file);
  REQUIRE(settings);
  CHECK(settings->policy == policy);
  CHECK(config::load_policy(*settings));
  auto strict = *settings;
  strict.insecure_policy_file = false;
  const auto refused = config::load_policy(strict);
  REQUIRE_FALSE(refused);
  CHECK(refused.error()[0].kind == error_kind::untrusted_file);
  CHECK(refused.error()[0].to_string().find("policy-untrusted-file") != std::string::npos);

  REQUIRE(::chmod(file.c_str(), 0666) == 0);
  CHECK_FALSE(config::load_settings_file(file));
  CHECK(config::load_settings_file(file, {.insecure = true}));
}

TEST_CASE("a secret is one word that nobody else may read") {
  const temporary_directory dir;
  const auto path = dir.write("token", "  0123456789abcdef\n");
  const auto open_to_all = config::load_secret_file(path);
  REQUIRE_FALSE(open_to_all);
  CHECK(open_to_all.error().kind == error_kind::untrusted_file);
  REQUIRE(::chmod(path.c_str(), 0600) == 0);
  const auto secret = config::load_secret_file(path);
  REQUIRE(secret);
  CHECK(*secret == "0123456789abcdef");
  for (const std::string bad : {"", "short", "two words of some length", "0123456789abcdef\x01"}) {
    CAPTURE(bad);
    const auto other = dir.write("bad", bad);
    REQUIRE(::chmod(other.c_str(), 0600) == 0);
    CHECK_FALSE(config::load_secret_file(other));
  }
}
