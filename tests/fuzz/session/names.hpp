// The name server of the session target: driven by hand, on loopback, over UDP and TCP.
#pragma once
#include <netinet/in.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace exeat::fuzz {

/// How it answers.
enum class answering : std::uint8_t {
  truth,
  nothing,  ///< no records
  no_name,  ///< NXDOMAIN
  failure,  ///< SERVFAIL
  silence,
  later,      ///< the truth, when it is told to
  lie,        ///< the address of an origin that the policy denies
  metadata,   ///< 169.254.169.254
  mixed,      ///< the truth, and a private address
  alias,      ///< a CNAME to a denied name, and the truth as that one's address
  truncated,  ///< over UDP; the truth over TCP
  garbage,
  other_name,  ///< the truth, of another name
  many,        ///< forty addresses
};
inline constexpr std::size_t answering_count = 14;

/// One for the life of the process.
class name_server {
 public:
  static name_server& get();

  std::uint16_t port() const noexcept { return port_; }
  /// Forgets what is left of the last input.
  void reset();
  /// Takes what was asked and answers; false where there was nothing to do. `asked` is told of each name.
  bool step(answering how, const std::function<void(std::string_view)>& asked);
  /// Answers what was kept for later; false where there is none.
  bool release();

 private:
  struct kept {
    sockaddr_in to;
    std::string reply;
  };
  name_server();
  void accept();
  std::string reply_to(std::string_view question, answering how, bool tcp,
                       const std::function<void(std::string_view)>& asked);

  int udp_ = -1;
  int tcp_ = -1;
  std::uint16_t port_ = 0;
  std::vector<int> clients_;
  std::deque<kept> later_;
};

}  // namespace exeat::fuzz
