// `identity` of a listener.
#pragma once
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "config/settings.hpp"
#include "config/values.hpp"

namespace exeat::config {

/// An element of `identity` or of `any_of`, while it is read.
struct check_draft {
  identity_check check;
  /// The phase of entries that name none: the listener's (empty where that is missing, which is reported
  /// elsewhere). Absent: the listener has none, and each entry must name its own.
  std::optional<std::string_view> phase;
  std::vector<identity_check::source> sources;  ///< those named in the map; one is right
  const yaml::node* own_uid_node = nullptr;     ///< of `allow_own_uid`
};
/// An entry under a source, while it is read.
struct peer_draft {
  peer_claim claim;
  const yaml::node* user_node = nullptr;
};
struct certificate_draft {
  certificate_claim claim;
  bool has_placeholder = false;          ///< `{phase}`
  std::vector<const yaml::node*> names;  ///< of `san_uri`, `san_dns` and `common_name`; one is right
};
struct credential_draft {
  identity_check& check;
  std::optional<std::string_view> phase;  ///< as of check_draft
};

/// Rows of an element of `identity`, and of `any_of` within it.
std::span<const key_row<check_draft>> check_rows() noexcept;
std::span<const key_row<check_draft>> alternative_rows() noexcept;
/// Rows of an entry under the sources.
std::span<const key_row<peer_draft>> peer_rows() noexcept;
std::span<const key_row<certificate_draft>> certificate_rows() noexcept;
std::span<const key_row<credential_draft>> credential_rows() noexcept;
std::span<const key_row<token_claim>> token_rows() noexcept;
std::span<const key_row<source_claim>> source_rows() noexcept;

/// True where the word `listener` stands in the list.
bool names_listener(const yaml::node& identity) noexcept;

/// Reads the list. `phase` is the listener's, empty where it has none.
std::vector<identity_check> read_identity(const yaml::node& identity, std::string_view phase,
                                          yaml::error_list& errors);

/// What shows only beside the rest of the listener: a source that could never answer there, and a listener
/// beyond loopback that nothing guards.
void check_identity(const listener& listener, std::vector<error>& errors);

/// The phases that the entries of a check name.
std::vector<std::string_view> phases_named_in(const identity_check& check);

}  // namespace exeat::config
