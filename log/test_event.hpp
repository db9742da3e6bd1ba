// What the tests of this floor share.
#pragma once
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "proxy/event.hpp"

namespace exeat::log {

/// A directory of the test's own, gone at its end.
class temporary_directory {
 public:
  temporary_directory() {
    std::string name = std::filesystem::temp_directory_path() / "exeat-test-XXXXXX";
    path_ = ::mkdtemp(name.data());
  }
  ~temporary_directory() { std::filesystem::remove_all(path_); }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

inline std::string read_all(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

inline std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::size_t at = 0;
  while (at < text.size()) {
    const std::size_t end = text.find('\n', at);
    lines.push_back(text.substr(at, end - at));
    if (end == std::string::npos) break;
    at = end + 1;
  }
  return lines;
}

/// A refused CONNECT.
inline proxy::event refusal(std::string_view host = "evil.example") {
  proxy::event event;
  event.time = std::chrono::system_clock::time_point{std::chrono::microseconds{1'806'494'624'000'123}};
  event.id = core::decision_id{42};
  event.phase = "agent";
  event.client = core::ip_address::v4(0x7f000001);
  event.client_port = 40000;
  event.method = "CONNECT";
  event.scheme = "https";
  event.host = host;
  event.port = 443;
  event.status = 403;
  event.total = std::chrono::microseconds{1234};
  return event;
}

}  // namespace exeat::log
