// What each admin request is answered with; no socket here.
#pragma once
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>

#include "admin/admin_server.hpp"

namespace exeat::admin {

namespace http = boost::beast::http;
using request = http::request<http::string_body>;
using response = http::response<http::string_body>;

/// Which socket a request came by.
enum class door : std::uint8_t {
  tcp,      ///< reload wants the token; Host is checked
  socket,   ///< a unix socket: reload wants the token
  control,  ///< the control socket: reload wants nothing
};

/// Never throws but std::bad_alloc. The response is complete, Content-Length included; a HEAD's has no body.
response answer(const request& request, door door, const options& options, const callbacks& callbacks);

/// An answer of text alone; where there is no request to look at, too.
response plain(http::status status, std::string text);

/// As fast whatever the texts have in common; only their length shows.
bool same_secret(std::string_view given, std::string_view secret) noexcept;

}  // namespace exeat::admin
