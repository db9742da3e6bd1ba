#include "jobs/secret.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <sys/random.h>

#include <cerrno>
#include <cstddef>
#include <span>

namespace exeat::jobs {
namespace {

bool fill_random(std::span<std::uint8_t> out) noexcept {
  while (!out.empty()) {
    const auto got = ::getrandom(out.data(), out.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out = out.subspan(static_cast<std::size_t>(got));
  }
  return true;
}

std::string base64url(std::span<const std::uint8_t> octets) {
  static constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  std::uint32_t bits = 0;
  int count = 0;
  for (const auto octet : octets) {
    bits = (bits << 8) | octet;
    for (count += 8; count >= 6; count -= 6) out += digits[(bits >> (count - 6)) & 0x3fU];
  }
  if (count > 0) out += digits[(bits << (6 - count)) & 0x3fU];
  return out;
}

}  // namespace

std::optional<digest> sha256_of(std::string_view octets) noexcept {
  digest out{};
  unsigned int size = 0;
  if (EVP_Digest(octets.data(), octets.size(), out.data(), &size, EVP_sha256(), nullptr) != 1 ||
      size != out.size())
    return std::nullopt;
  return out;
}

bool same_digest(const digest& a, const digest& b) noexcept {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::string hex_of(const digest& value) {
  std::string out;
  for (const auto octet : value) {
    out += "0123456789abcdef"[octet >> 4];
    out += "0123456789abcdef"[octet & 0xfU];
  }
  return out;
}

std::optional<digest> digest_of_hex(std::string_view hex) noexcept {
  digest out{};
  if (hex.size() != 2 * out.size()) return std::nullopt;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const char c = hex[i];
    int value = 0;
    if (c >= '0' && c <= '9')
      value = c - '0';
    else if (c >= 'a' && c <= 'f')
      value = c - 'a' + 10;
    else
      return std::nullopt;
    out[i / 2] = static_cast<std::uint8_t>((out[i / 2] << 4) | value);
  }
  return out;
}

std::optional<std::string> new_secret(std::string_view prefix) {
  std::array<std::uint8_t, 32> octets{};
  if (!fill_random(octets)) return std::nullopt;
  auto out = std::string(prefix) + base64url(octets);
  OPENSSL_cleanse(octets.data(), octets.size());
  return out;
}

std::optional<std::string> random_name(std::size_t length) {
  std::string octets(length, '\0');
  if (!fill_random({reinterpret_cast<std::uint8_t*>(octets.data()), octets.size()})) return std::nullopt;
  for (auto& c : octets) c = "abcdefghijklmnopqrstuvwxyz234567"[static_cast<unsigned char>(c) & 0x1fU];
  return octets;
}

}  // namespace exeat::jobs
