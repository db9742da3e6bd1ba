#include "wire/proxy_protocol.hpp"

#include <algorithm>
#include <string_view>

namespace exeat::wire {
namespace {

using bytes = std::span<const std::uint8_t>;

constexpr std::string_view v1_signature = "PROXY ";
constexpr std::string_view v2_signature("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr std::size_t v2_fixed = 16;
constexpr std::uint8_t tlv_crc32c = 0x03;

std::string_view text_of(bytes data) noexcept {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

std::uint16_t number_of(bytes two) noexcept {
  return static_cast<std::uint16_t>((two[0] << 8) | two[1]);
}

// What stands before the next space, which is taken as well; all where there is none.
std::string_view next_word(std::string_view& line) noexcept {
  const auto space = line.find(' ');
  const auto word = line.substr(0, space);
  line.remove_prefix(space == std::string_view::npos ? line.size() : space + 1);
  return word;
}

std::optional<std::uint16_t> port_of(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text[0] == '0')) return std::nullopt;
  std::uint32_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  }
  if (value > 0xFFFF) return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

core::ip_address address_of(bytes octets) noexcept {
  if (octets.size() == 4) {
    return core::ip_address::v4((std::uint32_t{octets[0]} << 24) | (std::uint32_t{octets[1]} << 16) |
                                (std::uint32_t{octets[2]} << 8) | octets[3]);
  }
  std::array<std::uint8_t, 16> all{};
  std::ranges::copy(octets, all.begin());
  return core::ip_address::v6(all);
}

constexpr auto crc_table = [] {
  std::array<std::uint32_t, 256> out{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    auto value = i;
    for (int bit = 0; bit < 8; ++bit) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82F63B78U : 0U);
    out[i] = value;
  }
  return out;
}();

// The TLVs behind the addresses. `header` is the whole of it, changed only while the sum is taken.
std::string_view fault_of_tlvs(std::span<std::uint8_t> header, std::size_t at) noexcept {
  constexpr std::string_view cut_short = "the TLVs of the PROXY header do not add up to its length";
  std::optional<std::size_t> sum_at;
  while (at < header.size()) {
    if (header.size() - at < 3) return cut_short;
    const auto type = header[at];
    const std::size_t length = number_of(header.subspan(at + 1, 2));
    at += 3;
    if (length > header.size() - at) return cut_short;
    if (type == tlv_crc32c) {
      if (length != 4) return "the CRC32C of the PROXY header is not of four octets";
      if (sum_at) return "the PROXY header has two CRC32C";
      sum_at = at;
    }
    at += length;
  }
  if (!sum_at) return {};
  const auto field = header.subspan(*sum_at, 4);
  std::uint32_t sent = 0;
  for (const auto octet : field) sent = (sent << 8) | octet;
  std::ranges::fill(field, std::uint8_t{0});
  return crc32c(header) == sent ? std::string_view() : "the CRC32C of the PROXY header is wrong";
}

}  // namespace

std::uint32_t crc32c(bytes octets) noexcept {
  std::uint32_t sum = 0xFFFFFFFF;
  for (const auto octet : octets) sum = (sum >> 8) ^ crc_table[(sum ^ octet) & 0xFF];
  return ~sum;
}

proxy_header_parser::step proxy_header_parser::feed(bytes piece) noexcept {
  step out{status_, 0};
  // Judged octet by octet, so that a cut cannot matter.
  while (status_ == parse_status::need_more && out.taken < piece.size()) {
    octets_[size_++] = piece[out.taken++];
    status_ = judge();
  }
  out.status = status_;
  return out;
}

parse_status proxy_header_parser::refuse(std::string_view detail) noexcept {
  error_ = {core::reason::bad_proxy_protocol, detail};
  return parse_status::error;
}

parse_status proxy_header_parser::judge() noexcept {
  const auto seen = text_of(bytes(octets_).first(size_));
  const auto begins = [&](std::string_view signature) {
    return seen.substr(0, signature.size()) == signature.substr(0, seen.size());
  };
  if (begins(v1_signature)) return judge_v1();
  if (begins(v2_signature)) return judge_v2();
  return refuse("the connection does not begin with a PROXY header");
}

parse_status proxy_header_parser::judge_v1() noexcept {
  const auto last = octets_[size_ - 1];
  const bool after_cr = size_ > 1 && octets_[size_ - 2] == '\r';
  if (last == '\n' && after_cr) return read_line();
  if (last == '\n' || after_cr) return refuse("the line of the PROXY header does not end in CR LF");
  if (size_ == max_v1) return refuse("the line of the PROXY header is over 107 octets");
  return parse_status::need_more;
}

parse_status proxy_header_parser::read_line() noexcept {
  auto line = text_of(bytes(octets_).first(size_ - 2));
  line.remove_prefix(v1_signature.size());
  header_.version = 1;
  const auto family = next_word(line);
  if (family == "UNKNOWN") return parse_status::done;
  if (family != "TCP4" && family != "TCP6") return refuse("the PROXY header is of no known family");

  const auto source = core::ip_address::parse(next_word(line));
  const auto destination = core::ip_address::parse(next_word(line));
  const bool is_v6 = family == "TCP6";
  if (!source || !destination || source->is_v6() != is_v6 || destination->is_v6() != is_v6)
    return refuse("the PROXY header does not name two addresses of its family");
  const auto source_port = port_of(next_word(line));
  // A space behind the last word would have been taken with it.
  const auto destination_port = port_of(line);
  if (!source_port || !destination_port) return refuse("the PROXY header does not end in two ports");
  header_.source = {*source, *source_port};
  header_.destination = {*destination, *destination_port};
  return parse_status::done;
}

parse_status proxy_header_parser::judge_v2() noexcept {
  if (size_ == 13) {
    const auto octet = octets_[12];
    if (octet >> 4 != 2) return refuse("the PROXY header is of no known version");
    if ((octet & 0xF) > 1) return refuse("the PROXY header has an unknown command");
    header_.local = (octet & 0xF) == 0;
  }
  if (size_ == 14 && !header_.local) {
    const auto family = octets_[13] >> 4;
    const auto transport = octets_[13] & 0xF;
    if (family > 3 || transport > 2) return refuse("the PROXY header is of no known family");
    if (transport == 2) return refuse("the PROXY header speaks of datagrams");
  }
  if (size_ < v2_fixed) return parse_status::need_more;
  const std::size_t length = number_of(bytes(octets_).subspan(14, 2));
  if (length > max_v2_length) return refuse("the length in the PROXY header is over 512 octets");
  return size_ == v2_fixed + length ? read_block() : parse_status::need_more;
}

parse_status proxy_header_parser::read_block() noexcept {
  header_.version = 2;
  // The specification has the whole block discarded of a LOCAL one, and of an unspecified family.
  if (header_.local) return parse_status::done;
  const auto family = octets_[13] >> 4;
  const auto transport = octets_[13] & 0xF;
  if (family == 0 || transport == 0) return parse_status::done;

  constexpr std::size_t unix_path = 108;
  const std::size_t address = family == 1 ? 4 : family == 2 ? 16 : unix_path;
  const auto all = std::span(octets_).first(size_);
  const auto tlvs = v2_fixed + 2 * address + (family == 3 ? 0 : 4);
  if (size_ < tlvs) return refuse("the PROXY header is too short for its addresses");
  if (family != 3) {
    const auto ports = v2_fixed + 2 * address;
    header_.source = {address_of(all.subspan(v2_fixed, address)), number_of(all.subspan(ports, 2))};
    header_.destination = {address_of(all.subspan(v2_fixed + address, address)),
                           number_of(all.subspan(ports + 2, 2))};
  }
  if (const auto wrong = fault_of_tlvs(all, tlvs); !wrong.empty()) return refuse(wrong);
  return parse_status::done;
}

}  // namespace exeat::wire
