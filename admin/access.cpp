#include "admin/access.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>

namespace exeat::admin {

std::string_view bearer_of(const request& request) {
  constexpr std::string_view scheme = "Bearer ";
  if (request.count(http::field::authorization) != 1) return {};
  const std::string_view given = request[http::field::authorization];
  if (!boost::beast::iequals(given.substr(0, scheme.size()), scheme)) return {};
  return given.substr(scheme.size());
}

std::string describe(const caller& caller) {
  if (caller.uid && caller.address.empty()) return fmt::format("uid {}", *caller.uid);
  if (caller.uid) return fmt::format("{} (uid {})", caller.address, *caller.uid);
  return caller.address.empty() ? "an unknown peer" : caller.address;
}

bool is_operator_by_socket(const caller& caller) noexcept {
  return caller.door == door::control && caller.uid && !caller.is_phase;
}

access access_of(const request& request, const caller& caller, const options& options,
                 const callbacks& callbacks) {
  access out{.by = describe(caller)};
  out.shown = request.count(http::field::authorization) != 0;
  out.is_operator = is_operator_by_socket(caller);
  if (out.is_operator) return out;
  const auto token = bearer_of(request);
  if (token.empty()) return out;
  if (same_secret(token, options.operator_token)) {
    out.is_operator = true;
    out.by = "the operator token from " + out.by;
  } else if (same_secret(token, options.reload_token)) {
    out.may_reload = caller.door != door::control;
    out.by = "the reload token from " + out.by;
  } else if ((out.job = callbacks.job_of_secret(token))) {
    out.by = "the advance secret from " + out.by;
  }
  return out;
}

bool same_secret(std::string_view given, std::string_view secret) noexcept {
  volatile unsigned char difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    const char other = secret.empty() ? '\0' : secret[i % secret.size()];
    difference = static_cast<unsigned char>(difference | (given[i] ^ other));
  }
  return difference == 0 && !secret.empty();
}

}  // namespace exeat::admin
