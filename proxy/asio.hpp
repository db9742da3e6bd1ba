// The Asio types of a worker: one io_context(1) each, concrete executors (no type erasure on the hot path).
#pragma once
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <chrono>

namespace exeat::proxy {

namespace asio = boost::asio;
using error_code = boost::system::error_code;

using executor = asio::io_context::executor_type;
/// A coroutine that runs on its worker's thread from start to end.
template <typename T>
using task = asio::awaitable<T, executor>;

/// co_await f(..., no_throw) yields tuple<error_code, result...>.
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<executor>> no_throw{};
/// co_await f(..., awaiting) yields the result or throws.
inline constexpr asio::use_awaitable_t<executor> awaiting{};

/// TCP or unix: both ends of a session are of this type.
using stream_socket = asio::basic_stream_socket<asio::generic::stream_protocol, executor>;
using tcp_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using descriptor = asio::posix::basic_stream_descriptor<executor>;
using steady_timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                                asio::wait_traits<std::chrono::steady_clock>, executor>;

}  // namespace exeat::proxy
