// The readers of `listeners`, `admin` and `control`.
#pragma once
#include "config/settings_table.hpp"

namespace exeat::config {

void read_listeners(settings_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_admin(settings_draft& into, const yaml::node& value, yaml::error_list& errors);
void read_control(settings_draft& into, const yaml::node& value, yaml::error_list& errors);

}  // namespace exeat::config
