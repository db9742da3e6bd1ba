// `job` of exeat.yaml: how its phases are read, and what they have to fit.
#pragma once
#include <vector>

#include "config/settings_table.hpp"

namespace exeat::config {

/// `job.phases`: a list of names in order, where `{parallel: [a, b]}` stands for phases that run beside one
/// another.
void read_job_phases(settings_draft& into, const yaml::node& value, yaml::error_list& errors);
/// As read_job_phases reads it: "[setup, {parallel: [agent, mcp]}]"; "none" where no job is declared.
std::string show_job_phases(const settings& settings);
/// JSON Schema of `job.phases`.
std::string job_phases_schema();

/// What validate() has to say of `job`: keys that need `phases`, and phases that a listener or an entry under
/// `identity` names and the job does not.
void check_job(const settings& settings, std::vector<error>& out);
/// What check_phases() has to say of it: phases of the job that the policy does not have.
void check_job_phases(const settings& settings, const allowlist::policy& policy, std::vector<error>& out);

}  // namespace exeat::config
