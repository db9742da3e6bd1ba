#include "config/tls_keys.hpp"

#include "config/paths.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;

template <std::string tls_settings::* file>
void read_file(tls_settings& into, const node& value, error_list& errors) {
  if (auto path = read_text(value, "the path of a file", 4095, errors)) into.*file = std::move(*path);
}

constexpr key_row<tls_settings> table[]{
    {"certificate", schema::path.must(), "path", "required",
     "A PEM file with the certificate of the listener, and behind it the intermediate ones.",
     read_file<&tls_settings::certificate>},
    {"key", schema::path.must(), "path", "required",
     "A PEM file with its private key, without a passphrase. Nobody but its owner may read it (mode 0600).",
     read_file<&tls_settings::key>},
    {"client_ca", schema::path, "path", "none: clients are not asked for a certificate",
     "A PEM file of those who sign the certificates of clients. Whoever has no certificate that one of them "
     "(or a CA below it) signed for a TLS client is refused in the handshake. Nobody else is trusted, the "
     "system's CAs included.",
     read_file<&tls_settings::client_ca>},
    {"crl", schema::path.with(R"({"required":["client_ca"]})"), "path", "none",
     "A PEM file of certificate revocation lists: one of every CA that signed something between the client's "
     "certificate and the one in `client_ca`. One that is missing or out of date refuses every client of "
     "that CA.",
     read_file<&tls_settings::crl>},
};

}  // namespace

std::span<const key_row<tls_settings>> tls_rows() noexcept {
  return table;
}

void read_tls(endpoint_draft& into, const node& value, error_list& errors) {
  tls_settings tls;
  if (!read_map(tls, value, "a map such as {certificate: proxy.pem, key: proxy.key}", tls_rows(), {}, errors))
    return;
  const auto has = [&](std::string_view key) {
    for (const auto& entry : value.entries) {
      if (entry.key == key) return true;
    }
    return false;
  };
  if (!has("certificate")) errors.add(value.at, {}, "`tls` names no `certificate`");
  if (!has("key")) errors.add(value.at, {}, "`tls` names no `key`");
  if (has("crl") && !has("client_ca"))
    errors.add(value.at, {}, "`crl` is of no use without `client_ca`: no client is asked for a certificate");
  into.tls = std::move(tls);
}

std::optional<tls_settings> finish_tls(const endpoint_draft& draft, const node& listener,
                                       const std::string& directory, error_list& errors) {
  if (!draft.tls) return std::nullopt;
  if (draft.socket) errors.add(listener.at, {}, "`tls` belongs to `address`: a unix socket needs none");
  auto out = *draft.tls;
  for (auto* path : {&out.certificate, &out.key, &out.client_ca, &out.crl}) {
    if (!path->empty()) *path = resolve_path(*path, directory);
  }
  return out;
}

}  // namespace exeat::config
