// Job values as members of other JSON.
#pragma once
#include <string_view>

#include "admin/job_state.hpp"
#include "admin/json_writer.hpp"

namespace exeat::admin {

void write(json_writer& out, const held_state& held);
void write(json_writer& out, const job_state& job, bool with_traffic);
void write(json_writer& out, const job_health& health);

}  // namespace exeat::admin
