// The source of identity `credential`: a token in Proxy-Authorization proves a phase, and perhaps a job.
#pragma once
#include <cstddef>
#include <expected>
#include <optional>
#include <string_view>

#include "config/settings.hpp"
#include "identity/identity.hpp"

namespace exeat::identity {

/// Octets of a Proxy-Authorization that anybody looks at; a longer one is wrong.
inline constexpr std::size_t max_credential = 512;

/// What `authorization`, the value of the one Proxy-Authorization of a request, proves to `check` (of kind
/// `credential`). The scheme is compared without regard to case (RFC 9110 11.1).
///
/// - `Basic` (RFC 7617, base64 strict and padded; the first colon ends the user name): the user name is the
///   phase of one of check.tokens, or, where check.job_tokens, the id of an open job; the token must be one
///   of that phase or of that job.
/// - `Bearer` (RFC 6750 2.1): one of check.tokens, or, where check.job_tokens, JOBID.TOKEN.
///
/// A token of a job proves its own phase and the job; one of check.tokens a phase alone. A job that is closed
/// is unknown, one that is sealed still proves: what is sealed is jobs::job's to refuse.
///
/// Refusals: credential_missing (there is none), credential_wrong (malformed, or not known), job_unknown (it
/// names a job that is not open), identity_ambiguous (a token of several phases), internal_error (no
/// SHA-256). No octet that the client sent stands in the detail: somebody's token may be where a user name
/// should be. Digests are compared in constant time, each with all that the user name, or the lack of one,
/// leaves. Any thread; no I/O.
std::expected<proven, refusal> judge_credential(const config::identity_check& check,
                                                std::optional<std::string_view> authorization,
                                                const job_lookup& jobs);

}  // namespace exeat::identity
