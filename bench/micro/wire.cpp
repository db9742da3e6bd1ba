// The gate, the writing of a forwarded head, and the ClientHello parser.
#include <benchmark/benchmark.h>

#include <string>
#include <string_view>

#include "wire/client_hello.hpp"
#include "wire/forward_head.hpp"
#include "wire/hello_bytes.hpp"
#include "wire/request_head.hpp"

using namespace exeat;

namespace {

constexpr std::string_view connect_head =
    "CONNECT api.example.com:443 HTTP/1.1\r\nHost: api.example.com:443\r\nUser-Agent: curl/8.5.0\r\n"
    "Proxy-Connection: Keep-Alive\r\n\r\n";
constexpr std::string_view get_head =
    "GET http://mirror.example.com/pool/main/h/hello/hello_2.10-3_amd64.deb HTTP/1.1\r\nHost: "
    "mirror.example.com\r\n"
    "User-Agent: Debian APT-HTTP/1.3 (2.6.1)\r\nAccept: text/*\r\nCache-Control: max-age=0\r\n"
    "If-Modified-Since: Sat, 10 Jun 2023 08:53:33 GMT\r\nConnection: keep-alive\r\n\r\n";

void gate(benchmark::State& state, std::string_view head) {
  wire::request_parser parser;
  wire::request_head out;
  for (auto _ : state) {
    parser.reset();
    if (parser.parse(head, {}, out) != wire::parse_status::done)
      state.SkipWithError("the head did not parse");
    benchmark::DoNotOptimize(out.to.port);
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(head.size()) * state.iterations());
}

void gate_connect(benchmark::State& state) {
  gate(state, connect_head);
}
void gate_get(benchmark::State& state) {
  gate(state, get_head);
}

void write_head(benchmark::State& state) {
  wire::request_parser parser;
  wire::request_head head;
  parser.parse(get_head, {}, head);
  std::string out;
  for (auto _ : state) {
    wire::write_request_head(head, {}, out);
    benchmark::DoNotOptimize(out.data());
  }
}

void client_hello(benchmark::State& state) {
  namespace hb = wire::hello_bytes;
  using wire::hello_bytes::operator+;
  // As long as those of browsers that offer a post-quantum key share.
  const auto octets =
      hb::records(hb::message(hb::server_name("api.example.com") + hb::alpn({"h2", "http/1.1"}) +
                              hb::versions({0x0304, 0x0303}) + hb::extension(51, hb::bytes(1220, 7))));
  for (auto _ : state) {
    wire::client_hello_parser parser;
    if (parser.feed(octets) != wire::hello_status::done) state.SkipWithError("the hello did not parse");
    benchmark::DoNotOptimize(parser.hello().has_sni);
  }
}

}  // namespace

BENCHMARK(gate_connect);
BENCHMARK(gate_get);
BENCHMARK(write_head);
BENCHMARK(client_hello);
