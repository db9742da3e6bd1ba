// What a client certificate calls its holder.
#pragma once
#include <openssl/x509.h>

#include <optional>
#include <string>

#include "identity/identity.hpp"

namespace exeat::proxy {

/// SAN URIs and DNS names, and the common name where there is one. Names with anything but printable ASCII
/// (an embedded NUL, a space in a SAN) are left out, and so is the common name where there are several.
/// Empty: more than 256 names, so that nobody can say which ones were meant.
std::optional<identity::certificate_names> names_of(const X509& certificate);

/// `CN "agent"`, or `serial 0A1B` where there is none; printable, bounded. For people.
std::string describe_subject(const X509& certificate);

}  // namespace exeat::proxy
