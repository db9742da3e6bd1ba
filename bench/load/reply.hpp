#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace exeat::bench {

/// Reads one response: the status, and a body that is counted and thrown away. It knows Content-Length,
/// chunked (as far as finding its end takes) and bodies that end with the connection.
class reply {
 public:
  enum class state { more, whole, broken };

  /// The next response; `to_connect`: a 200 has no body, and the octets after its head are not ours.
  void begin(bool to_connect) {
    *this = reply{};
    to_connect_ = to_connect;
  }
  state take(std::string_view octets);
  /// The connection has ended.
  [[nodiscard]] state ended() const { return in_body_ && until_close_ ? state::whole : state::broken; }

  /// Whether an octet of it has come.
  [[nodiscard]] bool begun() const { return in_body_ || !head_.empty(); }
  [[nodiscard]] int status() const { return status_; }
  [[nodiscard]] std::uint64_t body() const { return body_; }
  /// Whether the connection may be used again.
  [[nodiscard]] bool persistent() const { return persistent_ && !until_close_; }

 private:
  state read_head();
  state read_body(std::string_view octets);
  state read_chunks(std::string_view octets);

  std::string head_;
  std::string chunk_;  // the line of a chunk's size, as far as it is there
  int status_ = 0;
  std::uint64_t body_ = 0;
  std::uint64_t left_ = 0;
  bool to_connect_ = false;
  bool in_body_ = false;
  bool chunked_ = false;
  bool until_close_ = false;
  bool persistent_ = true;
};

}  // namespace exeat::bench
