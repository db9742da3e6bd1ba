#include "core/destination.hpp"

namespace exeat::core {

std::string to_string(const host& host) {
  if (const auto* name = std::get_if<host_name>(&host)) return std::string(name->view());
  return std::get<ip_address>(host).to_string();
}

std::string to_string(const destination& destination) {
  std::string text;
  if (const auto* name = std::get_if<host_name>(&destination.host)) {
    text.reserve(name->view().size() + sizeof ":65535");
    text.append(name->view());
  } else {
    const auto& address = std::get<ip_address>(destination.host);
    if (address.is_v6()) text += '[';
    text += address.to_string();
    if (address.is_v6()) text += ']';
  }
  text += ':';
  return text += std::to_string(destination.port);
}

}  // namespace exeat::core
