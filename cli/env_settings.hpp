// Which variables lead which tools through a proxy, and why each is needed.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/env_way.hpp"

namespace exeat::cli {

struct variable {
  std::string name;
  std::string value;
};
/// Variables with one reason; the reason has neither quotes nor line breaks. It may stand without variables.
struct variable_group {
  std::string why;
  std::vector<variable> variables;
};

/// What goes direct: loopback, and nothing that a policy could be asked about.
inline constexpr std::string_view direct_hosts = "localhost,127.0.0.1,::1";

/// The value of a variable that is set already; nullptr: it is not.
using environment_lookup = std::function<const char*(const char* name)>;

/// `existing` is what JAVA_TOOL_OPTIONS and GIT_CONFIG_* are added to: the environment that the answer is
/// for.
std::vector<variable_group> proxy_variables(const proxy_way& way, const environment_lookup& existing);

}  // namespace exeat::cli
