#include "proxy/tls_names.hpp"

#include <openssl/x509v3.h>

#include <algorithm>
#include <memory>
#include <string_view>

namespace exeat::proxy {
namespace {

constexpr int most_names = 256;
constexpr std::size_t longest_name = 1024;
constexpr std::size_t longest_shown = 80;

bool is_printable(std::string_view text, char lowest) noexcept {
  return !text.empty() && text.size() <= longest_name &&
         std::ranges::all_of(text, [lowest](char c) { return c >= lowest && c < 0x7f; });
}

std::string_view text_of(const ASN1_STRING* value) noexcept {
  const auto size = ASN1_STRING_length(value);
  if (size <= 0) return {};
  return {reinterpret_cast<const char*>(ASN1_STRING_get0_data(value)), static_cast<std::size_t>(size)};
}

std::string common_name_of(const X509& certificate) {
  const auto* subject = X509_get_subject_name(&certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0 || X509_NAME_get_index_by_NID(subject, NID_commonName, at) >= 0) return {};
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
  if (size < 0) return {};
  std::string out(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return is_printable(out, ' ') ? out : std::string();
}

}  // namespace

std::optional<identity::certificate_names> names_of(const X509& certificate) {
  identity::certificate_names out;
  const std::unique_ptr<GENERAL_NAMES, void (*)(GENERAL_NAMES*)> names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)),
      GENERAL_NAMES_free);
  const int count = names == nullptr ? 0 : sk_GENERAL_NAME_num(names.get());
  if (count > most_names) return std::nullopt;
  for (int i = 0; i < count; ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI && name->type != GEN_DNS) continue;
    const auto text = text_of(name->d.ia5);
    if (!is_printable(text, '!')) continue;
    (name->type == GEN_URI ? out.uris : out.dns).emplace_back(text);
  }
  out.common_name = common_name_of(certificate);
  return out;
}

std::string describe_subject(const X509& certificate) {
  if (auto name = common_name_of(certificate); !name.empty()) {
    if (name.size() > longest_shown) name = name.substr(0, longest_shown) + "...";
    std::ranges::replace(name, '"', '\'');
    return "CN \"" + name + '"';
  }
  static constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out = "serial ";
  for (const char c : text_of(X509_get0_serialNumber(&certificate)).substr(0, 20)) {
    const auto octet = static_cast<unsigned char>(c);
    out += digits[octet >> 4];
    out += digits[octet & 0xF];
  }
  return out;
}

}  // namespace exeat::proxy
