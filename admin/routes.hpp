// What each admin request is answered with; no socket here.
#pragma once
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "admin/admin_server.hpp"
#include "admin/live_feed.hpp"

namespace exeat::admin {

namespace http = boost::beast::http;
using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

/// Which socket a request came by.
enum class door : std::uint8_t {
  tcp,      ///< a token says who it is; Host is checked
  socket,   ///< a unix socket: a token says who it is
  control,  ///< the control socket: the peer's uid says who it is, or a token
};

/// Who sends a request, as the kernel tells it.
struct caller {
  admin::door door = door::tcp;
  std::optional<std::uint32_t> uid;  ///< of a local peer
  /// It stands for a phase, or nobody can tell that it does not.
  bool is_phase = false;
  std::string address;  ///< of a TCP peer: "127.0.0.1:40000"
};

struct answered {
  /// Complete, Content-Length included; a HEAD's has no body.
  admin::response response;
  /// The caller had no right to it; `callbacks.denied` has been told, and the answer is to wait.
  bool denied = false;
  /// The head is that of an endless stream of what the feed holds for this filter.
  std::optional<live_filter> watch = std::nullopt;
  std::string session = {};  ///< the cookie of the session that the stream ends with; empty: none
};

/// Never throws but std::bad_alloc.
answered answer(const request& request, const caller& caller, const options& options,
                const callbacks& callbacks);

/// An answer of text alone; where there is no request to look at, too.
response plain(http::status status, std::string text);

}  // namespace exeat::admin
