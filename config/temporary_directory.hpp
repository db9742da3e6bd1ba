// For tests: a directory that nobody else may write to, gone at the end of the scope.
#pragma once
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace exeat::config {

class temporary_directory {
 public:
  temporary_directory() {
    std::string text = (std::filesystem::temp_directory_path() / "exeat-XXXXXX").string();
    REQUIRE(::mkdtemp(text.data()) != nullptr);
    path_ = text;
  }
  ~temporary_directory() { std::filesystem::remove_all(path_); }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;

  std::string operator/(std::string_view name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

  /// Writes a file of mode 0644 and returns its path.
  std::string write(std::string_view name, std::string_view text) const {
    const auto path = *this / name;
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    REQUIRE(::chmod(path.c_str(), 0644) == 0);
    return path;
  }
  std::string make_directory(std::string_view name, ::mode_t mode = 0755) const {
    const auto path = *this / name;
    REQUIRE(::mkdir(path.c_str(), 0700) == 0);
    REQUIRE(::chmod(path.c_str(), mode) == 0);
    return path;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace exeat::config
