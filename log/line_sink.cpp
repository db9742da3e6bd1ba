#include "log/line_sink.hpp"

#include <unistd.h>

namespace exeat::log {

namespace {

std::uint64_t count_lines(std::string_view text) noexcept {
  std::uint64_t lines = 0;
  for (std::size_t at = text.find('\n'); at != text.npos; at = text.find('\n', at + 1)) ++lines;
  return lines;
}

}  // namespace

owned_fd::~owned_fd() {
  if (fd_ >= 0) ::close(fd_);
}

void line_sink::sink_it_(const spdlog::details::log_msg& line) {
  const std::string_view text{line.payload.data(), line.payload.size()};
  before_line(text.size());
  if (pending_.size() + text.size() > pending_max) {
    drop(1);
    return;
  }
  pending_ += text;
  if (!stuck_ && pending_.size() >= batch) flush_();
}

void line_sink::flush_() {
  std::string_view rest = pending_;
  failed_ = false;
  while (!rest.empty()) {
    const std::ptrdiff_t taken = hand_over(rest);
    if (taken < 0) {
      failed_ = true;
      count_error();
      break;
    }
    if (taken == 0) break;
    const std::string_view done = rest.substr(0, static_cast<std::size_t>(taken));
    counters_.written[static_cast<std::size_t>(name_)].add(count_lines(done));
    torn_ = done.back() != '\n';
    rest.remove_prefix(done.size());
  }
  stuck_ = !rest.empty();
  pending_.erase(0, pending_.size() - rest.size());
}

void line_sink::drop(std::uint64_t lines) noexcept {
  counters_.dropped[static_cast<std::size_t>(name_)].add(lines);
  drops_ += lines;
}

void line_sink::abandon() noexcept {
  drop(count_lines(pending_));
  pending_.clear();
  torn_ = stuck_ = false;
}

void line_sink::forget_torn_line() noexcept {
  if (!torn_ || pending_.empty()) return;
  pending_.erase(0, pending_.find('\n') + 1);
  torn_ = false;
  drop(1);
}

}  // namespace exeat::log
