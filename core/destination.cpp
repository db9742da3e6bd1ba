#include "core/destination.hpp"

namespace exeat::core {

std::string to_string(const host& host) {
  if (const auto* name = std::get_if<host_name>(&host)) return std::string(name->view());
  return std::get<ip_address>(host).to_string();
}

std::string to_string(const destination& destination) {
  const auto* address = std::get_if<ip_address>(&destination.host);
  auto text = to_string(destination.host);
  if (address != nullptr && address->is_v6()) text = "[" + text + "]";
  return text + ":" + std::to_string(destination.port);
}

}  // namespace exeat::core
