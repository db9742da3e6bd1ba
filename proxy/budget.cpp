#include "proxy/budget.hpp"

namespace exeat::proxy {
namespace {

template <typename Budget>
std::shared_ptr<Budget> entry(std::map<std::string, std::shared_ptr<Budget>, std::less<>>& of,
                              std::string_view key) {
  auto found = of.find(key);
  if (found == of.end()) found = of.emplace(key, std::make_shared<Budget>()).first;
  return found->second;
}

}  // namespace

bool name_budget::charge(const core::host_name& name, std::uint32_t most) {
  std::string text(name.view());
  const std::scoped_lock lock(mutex_);
  if (names_.contains(text)) return true;
  if (names_.size() >= most) return false;
  names_.insert(std::move(text));
  return true;
}

std::size_t name_budget::size() const {
  const std::scoped_lock lock(mutex_);
  return names_.size();
}

std::shared_ptr<byte_budget> budget_book::octets(std::string_view scope, way way) {
  const std::scoped_lock lock(mutex_);
  return entry(octets_[static_cast<std::size_t>(way)], scope);
}

std::shared_ptr<byte_budget> budget_book::requests(std::string_view scope) {
  const std::scoped_lock lock(mutex_);
  return entry(requests_, scope);
}

std::shared_ptr<phase_clock> budget_book::clock(std::string_view phase) {
  const std::scoped_lock lock(mutex_);
  return entry(clocks_, phase);
}

std::shared_ptr<name_budget> budget_book::names(std::string_view rule) {
  const std::scoped_lock lock(mutex_);
  return entry(names_, rule);
}

}  // namespace exeat::proxy
