// For tests: a scripted name server on loopback, and a loop that runs one coroutine to its end.
#pragma once
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/host_name.hpp"
#include "core/ip_address.hpp"
#include "proxy/asio.hpp"
#include "proxy/timer_wheel.hpp"

namespace exeat::proxy::testing {

inline core::host_name name(std::string_view text) {
  return core::host_name::parse(text).value();
}
inline core::ip_address ip(std::string_view text) {
  return core::ip_address::parse(text).value();
}

inline constexpr int type_a = 1, type_cname = 5, type_soa = 6, type_aaaa = 28;

/// A DNS message under construction, without compression (RFC 1035 4.1).
class message {
 public:
  /// The answer's head and question.
  message(std::uint16_t id, std::string_view question, int type, int rcode = 0, bool truncated = false) {
    u16(id);
    u16(static_cast<unsigned>(0x8180 | (truncated ? 0x0200 : 0) | rcode));
    for (const unsigned count : {1U, 0U, 0U, 0U}) u16(count);
    domain(question);
    u16(static_cast<unsigned>(type));
    u16(1);
  }
  message& address(std::string_view owner, std::string_view address, unsigned ttl = 60) {
    const auto parsed = ip(address);
    record(owner, parsed.is_v4() ? type_a : type_aaaa, ttl);
    u16(static_cast<unsigned>(parsed.bytes().size()));
    for (const auto octet : parsed.bytes()) octets_.push_back(static_cast<char>(octet));
    return *this;
  }
  message& cname(std::string_view owner, std::string_view target, unsigned ttl = 60) {
    record(owner, type_cname, ttl);
    u16(static_cast<unsigned>(target.size() + 2));
    domain(target);
    return *this;
  }
  std::string octets() const { return octets_; }

 private:
  void u16(unsigned value) {
    octets_.push_back(static_cast<char>(value >> 8));
    octets_.push_back(static_cast<char>(value));
  }
  void domain(std::string_view text) {
    while (!text.empty()) {
      const auto label = text.substr(0, text.find('.'));
      octets_.push_back(static_cast<char>(label.size()));
      octets_ += label;
      text.remove_prefix(std::min(label.size() + 1, text.size()));
    }
    octets_.push_back('\0');
  }
  void record(std::string_view owner, int type, unsigned ttl) {
    octets_[7] = static_cast<char>(octets_[7] + 1);
    domain(owner);
    u16(static_cast<unsigned>(type));
    u16(1);
    u16(ttl >> 16);
    u16(ttl & 0xffff);
  }
  std::string octets_;
};

struct question {
  std::uint16_t id = 0;
  std::string name;
  int type = 0;
  bool tcp = false;
  bool edns = false;
  message answer(int rcode = 0) const { return {id, name, type, rcode}; }
};

/// Answers on UDP and TCP, same port, on the io_context of the test.
class scripted_server {
 public:
  /// Each string is one datagram (or one length-prefixed message over TCP); none = silence.
  using script = std::function<std::vector<std::string>(const question&)>;

  scripted_server(asio::io_context& context, script answers, std::string_view address = "127.0.0.1");
  ~scripted_server();
  std::string text() const { return text_; }
  std::uint16_t port() const { return port_; }
  /// All questions so far, in order.
  const std::vector<question>& asked() const;

 private:
  struct state;
  std::shared_ptr<state> state_;
  std::string text_;
  std::uint16_t port_ = 0;
};

/// An io_context with a running wheel.
struct loop {
  loop() : wheel(context) { wheel.start(); }
  /// Runs until `done` holds; throws after 60 s, which no passing test comes near.
  void until(const std::function<bool()>& done) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done()) {
      if (std::chrono::steady_clock::now() > limit) throw std::runtime_error("the test's loop ran too long");
      context.run_one_for(std::chrono::milliseconds(100));
    }
  }
  void for_a_while(std::chrono::milliseconds duration) { context.run_for(duration); }
  template <typename T>
  T run(task<T> work) {
    std::optional<T> result;
    std::exception_ptr thrown;
    bool ended = false;  // `result` is set earlier than this handler is called
    asio::co_spawn(context, keep(std::move(work), result), [&](std::exception_ptr error) {
      thrown = error;
      ended = true;
    });
    until([&] { return ended; });
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*result);
  }
  /// A coroutine that leaves what `work` returns in `result`, which outlives it.
  template <typename T>
  static task<void> keep(task<T> work, std::optional<T>& result) {
    result.emplace(co_await std::move(work));
  }
  asio::io_context context{1};
  timer_wheel wheel;
};

}  // namespace exeat::proxy::testing
