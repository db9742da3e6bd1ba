#include "wire/framing.hpp"

#include "wire/octets.hpp"

namespace exeat::wire {

using core::reason;

std::expected<declared_length, fault> read_framing(const field_list& fields, unsigned minor) noexcept {
  const field* length = nullptr;
  const field* coding = nullptr;
  bool length_repeated = false;
  bool coding_repeated = false;
  for (const auto& f : fields) {
    if (f.id == field_id::content_length) {
      length_repeated = length != nullptr;
      length = &f;
    } else if (f.id == field_id::transfer_encoding) {
      coding_repeated = coding_repeated || coding != nullptr;
      coding = &f;
    }
    if (length_repeated) {
      return std::unexpected(fault{reason::bad_content_length, "Content-Length is repeated"});
    }
  }
  if (coding_repeated) {
    return std::unexpected(fault{reason::bad_transfer_encoding, "Transfer-Encoding is repeated"});
  }
  declared_length out;
  if (coding != nullptr) {
    if (minor == 0) {
      return std::unexpected(fault{reason::bad_transfer_encoding, "Transfer-Encoding stands in HTTP/1.0"});
    }
    if (!same_text(coding->value, "chunked")) {
      return std::unexpected(
          fault{reason::bad_transfer_encoding, "Transfer-Encoding is something other than `chunked`"});
    }
    if (length != nullptr) {
      return std::unexpected(
          fault{reason::length_conflict, "Content-Length and Transfer-Encoding stand together"});
    }
    out.framing = body_framing::chunked;
    return out;
  }
  if (length == nullptr) return out;
  const auto digits = length->value;
  if (digits.empty() || !all(digits, octet_digit)) {
    return std::unexpected(fault{reason::bad_content_length, "Content-Length is not made of digits"});
  }
  if (digits.size() > 18)
    return std::unexpected(fault{reason::bad_content_length, "Content-Length is too long"});
  if (digits.size() > 1 && digits[0] == '0') {
    return std::unexpected(fault{reason::bad_content_length, "Content-Length has leading zeros"});
  }
  out.framing = body_framing::length;
  for (const char c : digits) out.content_length = out.content_length * 10 + static_cast<unsigned>(c - '0');
  return out;
}

}  // namespace exeat::wire
