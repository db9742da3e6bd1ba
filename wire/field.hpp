// Field lines of a head: name, value, and what this proxy has to do with them.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "wire/fault.hpp"
#include "wire/head_scan.hpp"

namespace exeat::wire {

/// The fields that the proxy itself reads, writes or removes; all others are `other`.
enum class field_id : std::uint8_t {
  other,
  accept,
  authorization,
  connection,
  content_length,
  exeat,  ///< Exeat-*: ours alone, so that nobody else can claim a decision
  expect,
  host,
  http2_settings,
  keep_alive,
  max_forwards,
  proxy,                ///< Proxy-* and the bare `Proxy` (httpoxy)
  proxy_authorization,  ///< also Proxy-*
  te,
  trailer,
  transfer_encoding,
  upgrade,
  via,
  www_authenticate,
};
field_id identify(std::string_view name) noexcept;

struct field {
  std::string_view name;
  std::string_view value;  ///< without surrounding white space; may be empty, may hold obs-text
  field_id id = field_id::other;
  bool nominated = false;  ///< a Connection field names it
};

/// Up to max_head_fields fields, in place, in the order in which they came.
class field_list {
 public:
  // Five kilobytes, of which a head uses a few hundred octets: what is not used is not written either.
  field_list() noexcept {}  // NOLINT(modernize-use-equals-default): that would initialize the items
  field_list(const field_list& other) noexcept { *this = other; }
  field_list& operator=(const field_list& other) noexcept {
    if (this == &other) return *this;
    clear();
    for (const auto& one : other) push(one);
    return *this;
  }
  ~field_list() = default;

  void clear() noexcept { size_ = 0; }
  bool push(const field& f) noexcept {
    if (size_ == max_head_fields) return false;
    std::construct_at(&store_.items[size_++], f);
    return true;
  }
  std::size_t size() const noexcept { return size_; }
  const field* begin() const noexcept { return store_.items; }
  const field* end() const noexcept { return store_.items + size_; }
  field* begin() noexcept { return store_.items; }
  field* end() noexcept { return store_.items + size_; }
  /// The first field of this name (any case), or null.
  const field* find(std::string_view name) const noexcept;

 private:
  static_assert(std::is_trivially_copyable_v<field> && std::is_trivially_destructible_v<field>);
  union store {
    store() noexcept {}  // NOLINT(modernize-use-equals-default)
    field items[max_head_fields];
  };

  std::size_t size_ = 0;
  store store_;
};

/// One line without its CRLF: token ":" OWS value OWS. Fault: bad_field.
std::expected<field, fault> parse_field_line(std::string_view line) noexcept;

/// All field lines from behind the start line to the end of the head, as head_scan has found it sound.
/// Faults: bad_field, too_many_fields.
std::optional<fault> parse_fields(std::string_view lines, field_list& out) noexcept;

/// Takes the next element off a comma-separated list (RFC 9110 5.6.1; empty elements are skipped).
/// False at the end. Not for values with quoted strings.
bool next_element(std::string_view& list, std::string_view& element) noexcept;

/// What the Connection fields of a head say (RFC 9110 7.6.1).
struct connection_options {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
};
inline constexpr std::size_t max_connection_options = 32;

/// Reads every Connection field and marks the fields that it nominates. A nomination of a field that is meant
/// for every recipient (Host, Content-Length, Authorization, Cookie, Cache-Control, ...: see
/// is_end_to_end_only) must never be sent: removing that field on its word is a known way to make a proxy
/// drop what the origin relies on. `refuse_end_to_end` makes it a fault (requests); otherwise it has no
/// effect (responses). A nomination of Transfer-Encoding is without effect: framing is written anew on every
/// hop. Fault: bad_field (an option that is no token, too many of them, a nomination that must not be).
std::expected<connection_options, fault> read_connection(field_list& fields, bool refuse_end_to_end) noexcept;

/// What the Connection fields nominate, comma-separated: trailers of these names stay here, too.
std::string nominated_names(const field_list& fields);

/// Fields that no Connection option may name.
bool is_end_to_end_only(std::string_view name) noexcept;

/// True where one of the comma-separated values is `NTLM` or `Negotiate` (with or without a token): they
/// authenticate the connection, not the request, so such a connection is never shared.
bool authenticates_connection(std::string_view value) noexcept;

}  // namespace exeat::wire
