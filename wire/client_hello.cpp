#include "wire/client_hello.hpp"

#include <algorithm>

namespace exeat::wire {
namespace {

using core::reason;
using bytes = std::span<const std::uint8_t>;
using complaint = std::optional<std::string_view>;

constexpr std::size_t record_header = 5;
constexpr std::size_t message_header = 4;
constexpr std::size_t max_extensions = 128;

namespace extension {
constexpr std::uint16_t server_name = 0;
constexpr std::uint16_t alpn = 16;
constexpr std::uint16_t pre_shared_key = 41;
constexpr std::uint16_t supported_versions = 43;
constexpr std::uint16_t ech = 0xfe0d;
}  // namespace extension

bool is_ech(std::uint16_t type) noexcept {
  return type == extension::ech || (type >= 0xfe08 && type <= 0xfe0c) || type == 0xffce;
}

// Takes fields off the front; every failure leaves it failed.
class reader {
 public:
  explicit reader(bytes data) noexcept : data_(data) {}

  bool failed() const noexcept { return failed_; }
  bool empty() const noexcept { return data_.empty(); }
  std::size_t size() const noexcept { return data_.size(); }

  std::uint32_t number(std::size_t octets) noexcept {
    std::uint32_t value = 0;
    for (const auto octet : take(octets)) value = (value << 8) | octet;
    return value;
  }
  bytes take(std::size_t size) noexcept {
    if (failed_ || size > data_.size()) {
      failed_ = true;
      return {};
    }
    const auto out = data_.first(size);
    data_ = data_.subspan(size);
    return out;
  }
  // A vector with a length prefix of `octets`.
  bytes vector(std::size_t octets) noexcept { return take(number(octets)); }

 private:
  bytes data_;
  bool failed_ = false;
};

std::string_view text_of(bytes data) noexcept {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

complaint read_server_name(bytes data, client_hello& out) noexcept {
  reader all(data);
  reader list(all.vector(2));
  if (all.failed() || !all.empty()) return "the lengths of server_name do not add up";
  const auto type = list.number(1);
  const auto name = list.vector(2);
  if (list.failed() || type != 0 || name.empty()) return "server_name is not a host name";
  if (!list.empty()) return "server_name lists more than one name";
  out.has_sni = true;
  const auto text = text_of(name);
  out.sni_text.append(text);
  out.sni_is_address = text.find(':') != std::string_view::npos || core::ends_in_number(text);
  if (!text.ends_with('.')) {
    if (const auto parsed = core::host_name::parse(text)) out.sni = *parsed;
  }
  return std::nullopt;
}

complaint read_alpn(bytes data, client_hello& out) noexcept {
  reader all(data);
  reader list(all.vector(2));
  if (all.failed() || !all.empty() || list.empty()) return "the lengths of ALPN do not add up";
  while (!list.empty()) {
    const auto name = list.vector(1);
    if (list.failed() || name.empty()) return "the lengths of ALPN do not add up";
    if (!out.alpn.empty()) out.alpn.append(",");
    // A comma within one would make two of it.
    for (const char c : text_of(name))
      out.alpn.append(c == ',' ? std::string_view("?") : std::string_view(&c, 1));
  }
  return std::nullopt;
}

complaint read_versions(bytes data, client_hello& out) noexcept {
  reader all(data);
  reader list(all.vector(1));
  if (all.failed() || !all.empty() || list.empty() || list.size() % 2 != 0) {
    return "the lengths of supported_versions do not add up";
  }
  std::uint32_t highest = 0;
  while (!list.empty()) {
    const auto version = list.number(2);
    if (version >= 0x0300 && version <= 0x03FF) highest = std::max(highest, version);
  }
  out.highest_version = static_cast<std::uint16_t>(highest);
  return std::nullopt;
}

complaint read_extensions(bytes data, client_hello& out) noexcept {
  reader all(data);
  std::array<std::uint16_t, max_extensions> seen;
  std::size_t count = 0;
  while (!all.empty()) {
    const auto type = static_cast<std::uint16_t>(all.number(2));
    const auto body = all.vector(2);
    if (all.failed()) return "the lengths of the extensions do not add up";
    const auto end = seen.begin() + static_cast<std::ptrdiff_t>(count);
    if (std::find(seen.begin(), end, type) != end) return "an extension is repeated";
    if (count == seen.size()) return "more than 128 extensions";
    seen[count++] = type;

    complaint wrong;
    if (type == extension::server_name) {
      wrong = read_server_name(body, out);
    } else if (type == extension::alpn) {
      wrong = read_alpn(body, out);
    } else if (type == extension::supported_versions) {
      wrong = read_versions(body, out);
    } else if (type == extension::pre_shared_key && !all.empty()) {
      wrong = "pre_shared_key is not the last extension";
    } else if (is_ech(type)) {
      out.has_ech = true;
    }
    if (wrong) return wrong;
  }
  return std::nullopt;
}

complaint read_hello(bytes body, client_hello& out) noexcept {
  reader all(body);
  const auto version = all.number(2);
  all.take(32);
  const auto session = all.vector(1);
  const auto ciphers = all.vector(2);
  const auto compression = all.vector(1);
  if (all.failed()) return "the ClientHello is cut short";
  if (version < 0x0300 || version > 0x03FF) return "the ClientHello is of no known version";
  if (session.size() > 32) return "the session id is over 32 octets";
  if (ciphers.empty() || ciphers.size() % 2 != 0) return "the cipher list is empty or odd";
  if (std::ranges::find(compression, 0) == compression.end()) return "null compression is not offered";
  out.highest_version = static_cast<std::uint16_t>(version);
  if (all.empty()) return std::nullopt;  // before TLS 1.3 a hello may do without extensions
  const auto extensions = all.vector(2);
  if (all.failed() || !all.empty()) return "the length of the extensions does not add up";
  return read_extensions(extensions, out);
}

}  // namespace

hello_status client_hello_parser::refuse(std::string_view detail) noexcept {
  error_ = {reason::bad_client_hello, detail};
  verdict_ = hello_status::error;
  return *verdict_;
}

hello_status client_hello_parser::finish(bytes message) noexcept {
  reader all(message);
  all.number(1);
  const auto body = all.vector(3);
  if (!all.empty()) return refuse("bytes follow the ClientHello within its record");
  if (const auto wrong = read_hello(body, hello_)) return refuse(*wrong);
  verdict_ = hello_status::done;
  return *verdict_;
}

hello_status client_hello_parser::feed(bytes everything_so_far) {
  if (verdict_) return *verdict_;
  if (everything_so_far.size() > max_client_hello)
    everything_so_far = everything_so_far.first(max_client_hello);

  if ((!everything_so_far.empty() && everything_so_far[0] != 0x16) ||
      (everything_so_far.size() > 1 && everything_so_far[1] != 0x03)) {
    error_ = {reason::not_tls, "the first bytes are not a TLS handshake record"};
    verdict_ = hello_status::not_tls;
    return *verdict_;
  }
  while (true) {
    const auto rest = everything_so_far.subspan(record_start_);
    // Judge as much of the record header as is there: a wrong byte is refused when it comes.
    if (!rest.empty() && rest[0] != 0x16)
      return refuse("a record of another type stands within the ClientHello");
    if (rest.size() > 1 && rest[1] != 0x03) return refuse("a record is of no known version");
    if (rest.size() > 2 && rest[2] > 0x04) return refuse("a record is of no known version");
    if (rest.size() < record_header) break;
    const std::size_t length = (std::size_t{rest[3]} << 8) | rest[4];
    if (length == 0) return refuse("a handshake record is empty");
    if (record_start_ + record_header + length > max_client_hello) {
      return refuse("the ClientHello is larger than 16 KiB");
    }
    // Type and length of the message are judged before the record is complete.
    const auto here = rest.subspan(record_header, std::min(length, rest.size() - record_header));
    const std::size_t before = assembled_.size();
    const auto octet = [&](std::size_t i) { return i < before ? assembled_[i] : here[i - before]; };
    const std::size_t known = before + here.size();
    if (known > 0 && octet(0) != 1) return refuse("the first handshake message is not a ClientHello");
    std::size_t total = 0;
    if (known >= message_header) {
      total = message_header +
              ((std::size_t{octet(1)} << 16) | (std::size_t{octet(2)} << 8) | std::size_t{octet(3)});
      if (total > max_client_hello) return refuse("the ClientHello is larger than 16 KiB");
    }
    if (here.size() < length) break;

    record_start_ += record_header + length;
    if (total != 0 && before + length >= total) {
      if (before == 0) return finish(here);
      assembled_.insert(assembled_.end(), here.begin(), here.end());
      return finish(assembled_);
    }
    if (total != 0) assembled_.reserve(total);
    assembled_.insert(assembled_.end(), here.begin(), here.end());
  }
  if (everything_so_far.size() == max_client_hello) return refuse("the ClientHello is larger than 16 KiB");
  return hello_status::need_more;
}

}  // namespace exeat::wire
