#include "load/reply.hpp"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace exeat::bench {

namespace {

/// The value of the field, or an empty view. `head` ends each line with CRLF.
std::string_view field(std::string_view head, std::string_view name) {
  for (auto at = head.find("\r\n"); at != std::string_view::npos; at = head.find("\r\n", at + 2)) {
    const auto line = head.substr(at + 2);
    if (line.size() > name.size() && line[name.size()] == ':' &&
        strncasecmp(line.data(), name.data(), name.size()) == 0) {
      auto value = line.substr(name.size() + 1, line.find("\r\n") - name.size() - 1);
      value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
      return value;
    }
  }
  return {};
}

}  // namespace

reply::state reply::take(std::string_view octets) {
  if (in_body_) {
    return read_body(octets);
  }
  head_ += octets;
  const auto end = head_.find("\r\n\r\n");
  if (end == std::string::npos) {
    return head_.size() > 16384 ? state::broken : state::more;
  }
  const auto rest = head_.substr(end + 4);
  head_.resize(end + 2);
  const auto read = read_head();
  if (read != state::more || rest.empty()) {
    return read;
  }
  return read_body(rest);
}

reply::state reply::read_head() {
  const std::string_view head = head_;
  if (!head.starts_with("HTTP/1.") || head.size() < 12 ||
      std::from_chars(head.data() + 9, head.data() + 12, status_).ec != std::errc{}) {
    return state::broken;
  }
  const auto connection = field(head, "Connection");
  const bool closes = connection.size() >= 5 && strncasecmp(connection.data(), "close", 5) == 0;
  persistent_ = head[7] == '1' && !closes;
  in_body_ = true;
  if (to_connect_ && status_ == 200) {
    return state::whole;
  }
  const auto coding = field(head, "Transfer-Encoding");
  const auto length = field(head, "Content-Length");
  if (!coding.empty()) {
    chunked_ = true;
    return state::more;
  }
  if (length.empty()) {
    until_close_ = true;
    return state::more;
  }
  if (std::from_chars(length.data(), length.data() + length.size(), left_).ec != std::errc{}) {
    return state::broken;
  }
  return left_ == 0 ? state::whole : state::more;
}

reply::state reply::read_body(std::string_view octets) {
  if (chunked_) {
    return read_chunks(octets);
  }
  body_ += octets.size();
  if (until_close_) {
    return state::more;
  }
  if (octets.size() > left_) {
    return state::broken;
  }
  left_ -= octets.size();
  return left_ == 0 ? state::whole : state::more;
}

// `left_` counts the data of a chunk and the CRLF behind it. No trailers: what a bench's origin sends has
// none.
reply::state reply::read_chunks(std::string_view octets) {
  while (!octets.empty()) {
    if (left_ > 0) {
      const auto part = std::min<std::uint64_t>(left_, octets.size());
      body_ += std::min<std::uint64_t>(part, left_ > 2 ? left_ - 2 : 0);
      left_ -= part;
      octets.remove_prefix(part);
      continue;
    }
    chunk_ += octets.front();
    octets.remove_prefix(1);
    if (chunk_.ends_with("0\r\n\r\n") && chunk_.size() == 5) {
      return octets.empty() ? state::whole : state::broken;
    }
    if (chunk_.ends_with("\r\n") && !chunk_.starts_with("0\r\n")) {
      if (std::from_chars(chunk_.data(), chunk_.data() + chunk_.size(), left_, 16).ec != std::errc{}) {
        return state::broken;
      }
      left_ += 2;
      chunk_.clear();
    }
  }
  return state::more;
}

}  // namespace exeat::bench
