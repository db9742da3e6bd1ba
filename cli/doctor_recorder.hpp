// A proxy on a loopback port of its own that refuses everything and remembers what it was asked for.
#pragma once
#include <cstdint>
#include <expected>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "cli/connect_bridge.hpp"

namespace exeat::cli {

/// What came for one host: "CONNECT tls.example.test:443" counts for "tls.example.test".
struct recorded {
  bool with_token = false;
  unsigned requests = 0;
};

class recorder {
 public:
  /// `challenge`: who sends no credential is asked for one (407), everybody else is refused (403).
  explicit recorder(bool challenge) : challenge_(challenge), listener_(-1) {}
  recorder(const recorder&) = delete;
  recorder& operator=(const recorder&) = delete;
  ~recorder();

  /// Starts its thread. The error is a sentence.
  std::expected<void, std::string> start();
  std::uint16_t port() const { return port_; }
  /// What came since the last time, by host in lower case. Any thread.
  std::map<std::string, recorded> take();

 private:
  void serve();
  void answer(int client);

  bool challenge_;
  owned_fd listener_;
  owned_fd stop_{-1};
  std::uint16_t port_ = 0;
  std::mutex lock_;
  std::map<std::string, recorded> seen_;
  std::thread thread_;
};

/// The host that a request line asks a proxy for, in lower case; empty: it is none for a proxy.
std::string host_of_request_line(std::string_view line);

}  // namespace exeat::cli
