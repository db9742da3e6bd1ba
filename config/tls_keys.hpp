// `tls` of a listener: files of the certificate, its key, and those who sign client certificates.
#pragma once
#include "config/settings_table.hpp"

namespace exeat::config {

std::span<const key_row<tls_settings>> tls_rows() noexcept;
/// The reader of the row `tls`.
void read_tls(endpoint_draft& into, const yaml::node& value, yaml::error_list& errors);
/// What `tls` says, with its paths resolved; reports where it does not belong to the listener.
std::optional<tls_settings> finish_tls(const endpoint_draft& draft, const yaml::node& listener,
                                       const std::string& directory, yaml::error_list& errors);

}  // namespace exeat::config
