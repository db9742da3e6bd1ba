#include "identity/secret.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <span>

namespace exeat::identity {
namespace {

std::string base64url_of(std::span<const std::uint8_t> octets) {
  constexpr std::string_view letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const auto octet : octets) {
    bits = (bits << 8) | octet;
    for (held += 8; held >= 6; held -= 6) out += letters[(bits >> (held - 6)) & 0x3fU];
  }
  if (held > 0) out += letters[(bits << (6 - held)) & 0x3fU];
  return out;
}

}  // namespace

std::optional<digest> sha256_of(std::string_view octets) noexcept {
  digest out;
  unsigned size = 0;
  const bool done = EVP_Digest(octets.data(), octets.size(), out.data(), &size, EVP_sha256(), nullptr) == 1;
  if (!done || size != out.size()) return std::nullopt;
  return out;
}

bool is_equal(const digest& one, const digest& other) noexcept {
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string hex_of(const digest& digest) {
  std::string out;
  for (const auto octet : digest) {
    out += "0123456789abcdef"[octet >> 4];
    out += "0123456789abcdef"[octet & 0xfU];
  }
  return out;
}

std::optional<std::string> fresh_token() {
  std::array<std::uint8_t, 32> octets;
  if (RAND_bytes(octets.data(), static_cast<int>(octets.size())) != 1) return std::nullopt;
  auto token = std::string(token_prefix) + base64url_of(octets);
  OPENSSL_cleanse(octets.data(), octets.size());
  return token;
}

}  // namespace exeat::identity
