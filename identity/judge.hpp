// The judgement with its look-up of cgroups in the open, for tests.
#pragma once
#include <cstdint>
#include <expected>
#include <string>

#include "identity/identity.hpp"

namespace exeat::identity {

/// As cgroup_id_of.
using cgroup_lookup = std::expected<std::uint64_t, std::string> (*)(const std::string& path);

std::expected<proven, refusal> judge(const config::listener& listener, const evidence& evidence,
                                     const job_lookup& jobs, cgroup_lookup cgroup_of);

bool may_stand_for_a_phase(std::span<const config::peer_claim> claims, const local_peer& peer,
                           cgroup_lookup cgroup_of);

}  // namespace exeat::identity
