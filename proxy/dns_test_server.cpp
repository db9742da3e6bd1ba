#include "proxy/dns_test_server.hpp"

#include <array>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>

namespace exeat::proxy::testing {
namespace {

using udp = asio::ip::udp;
using tcp = asio::ip::tcp;
using udp_socket = asio::basic_datagram_socket<udp, executor>;
using tcp_acceptor = asio::basic_socket_acceptor<tcp, executor>;

std::optional<question> parse_question(std::string_view octets, bool over_tcp) {
  if (octets.size() < 17) return std::nullopt;
  const auto u16 = [&](std::size_t at) {
    return static_cast<unsigned>(static_cast<unsigned char>(octets[at]) << 8 |
                                 static_cast<unsigned char>(octets[at + 1]));
  };
  question asked;
  asked.id = static_cast<std::uint16_t>(u16(0));
  asked.tcp = over_tcp;
  asked.edns = u16(10) != 0;
  std::size_t at = 12;
  while (at < octets.size() && octets[at] != '\0') {
    const auto size = static_cast<unsigned char>(octets[at]);
    if (at + 1 + size >= octets.size()) return std::nullopt;
    if (!asked.name.empty()) asked.name += '.';
    asked.name += octets.substr(at + 1, size);
    at += 1U + size;
  }
  if (at + 5 > octets.size()) return std::nullopt;
  asked.type = static_cast<int>(u16(at + 1));
  return asked;
}

}  // namespace

struct scripted_server::state : std::enable_shared_from_this<scripted_server::state> {
  state(asio::io_context& context, script with)
      : answers(std::move(with)), datagrams(context.get_executor()), acceptor(context.get_executor()) {}

  void receive() {
    datagrams.async_receive_from(
        asio::buffer(buffer), from, [self = shared_from_this()](error_code error, std::size_t size) {
          if (error) return;
          for (const auto& reply : self->reply_to({self->buffer.data(), size}, false)) {
            error_code ignored;
            self->datagrams.send_to(asio::buffer(reply), self->from, 0, ignored);
          }
          self->receive();
        });
  }
  void accept() {
    acceptor.async_accept([self = shared_from_this()](error_code error, tcp_socket peer) {
      if (error) return;
      const auto on = peer.get_executor();
      asio::co_spawn(on, serve(self, std::move(peer)), asio::detached);
      self->accept();
    });
  }
  static task<void> serve(std::shared_ptr<state> self, tcp_socket peer) {
    for (;;) {
      std::array<unsigned char, 2> size{};
      auto [head_error, head] = co_await asio::async_read(peer, asio::buffer(size), no_throw);
      if (head_error) co_return;
      std::string octets(static_cast<std::size_t>(size[0]) << 8 | size[1], '\0');
      auto [error, count] = co_await asio::async_read(peer, asio::buffer(octets), no_throw);
      if (error) co_return;
      for (const auto& reply : self->reply_to(octets, true)) {
        std::string framed{static_cast<char>(reply.size() >> 8), static_cast<char>(reply.size())};
        framed += reply;
        auto [failed, written] = co_await asio::async_write(peer, asio::buffer(framed), no_throw);
        if (failed) co_return;
      }
    }
  }
  std::vector<std::string> reply_to(std::string_view octets, bool over_tcp) {
    const auto parsed = parse_question(octets, over_tcp);
    if (!parsed) return {};
    asked.push_back(*parsed);
    return answers(*parsed);
  }

  script answers;
  udp_socket datagrams;
  tcp_acceptor acceptor;
  std::vector<question> asked;
  std::array<char, 4096> buffer;
  udp::endpoint from;
};

scripted_server::scripted_server(asio::io_context& context, script answers, std::string_view address)
    : state_(std::make_shared<state>(context, std::move(answers))) {
  const auto on = asio::ip::make_address(std::string(address));
  state_->acceptor.open(on.is_v4() ? tcp::v4() : tcp::v6());
  state_->datagrams.open(on.is_v4() ? udp::v4() : udp::v6());
  // The kernel picks a port that is free for TCP; now and then it is taken for UDP.
  for (int tries = 0;; ++tries) {
    state_->acceptor.bind({on, 0});
    port_ = state_->acceptor.local_endpoint().port();
    error_code error;
    state_->datagrams.bind({on, port_}, error);
    if (!error) break;
    if (tries == 20) throw std::runtime_error("no port is free for both TCP and UDP");
    state_->acceptor.close();
    state_->acceptor.open(on.is_v4() ? tcp::v4() : tcp::v6());
  }
  state_->acceptor.listen();
  text_ = std::string(address) + ":" + std::to_string(port_);
  state_->receive();
  state_->accept();
}

scripted_server::~scripted_server() {
  error_code ignored;
  state_->datagrams.close(ignored);
  state_->acceptor.close(ignored);
}

const std::vector<question>& scripted_server::asked() const {
  return state_->asked;
}

}  // namespace exeat::proxy::testing
