// `listeners`, `admin` and `control`: the maps of exeat.yaml that name an address.
#include "config/endpoint_keys.hpp"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>

#include "config/identity_keys.hpp"
#include "config/paths.hpp"
#include "config/tls_keys.hpp"
#include "core/host_name.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;

void read_address(endpoint_draft& into, const node& value, error_list& errors) {
  if (value.kind != node_kind::scalar)
    return expected_but_found(value, "an address such as \"127.0.0.1:3128\"", errors);
  auto parsed = parse_endpoint(value.text);
  if (parsed && std::holds_alternative<unix_endpoint>(*parsed)) {
    parsed = std::unexpected("a unix socket stands under `unix`, not under `address`");
  }
  if (!parsed) return errors.add(value.at, value.text, parsed.error());
  into.address = *parsed;
}

void read_socket(endpoint_draft& into, const node& value, error_list& errors) {
  auto path = read_text(value, "the path of a unix socket", sizeof(sockaddr_un::sun_path) - 1, errors);
  if (path) into.socket = std::move(*path);
}

void read_mode(endpoint_draft& into, const node& value, error_list& errors) {
  into.mode_node = &value;
  const auto is_octal = [](char c) { return c >= '0' && c <= '7'; };
  const std::string_view text = value.text;
  const bool shaped = value.kind == node_kind::scalar && std::ranges::all_of(text, is_octal) &&
                      ((text.size() == 4 && text[0] == '0') || text.size() == 3);
  if (!shaped) return expected_but_found(value, "a mode of three octal digits such as \"0600\"", errors);
  into.mode = 0;
  for (const char c : text) into.mode = into.mode * 8 + static_cast<::mode_t>(c - '0');
}

void read_phase(endpoint_draft& into, const node& value, error_list& errors) {
  into.phase_node = &value;
  if (auto phase = read_text(value, "the name of a phase", 63, errors)) into.phase = std::move(*phase);
}

// It is read when the listener's phase is known, wherever that stands.
void note_identity(endpoint_draft& into, const node& value, error_list&) {
  into.identity_node = &value;
}

void read_token_file(endpoint_draft& into, const node& value, error_list& errors) {
  if (auto path = read_text(value, "the path of a file", 4095, errors)) into.token_file = std::move(*path);
}

void read_allowed_hosts(endpoint_draft& into, const node& value, error_list& errors) {
  static constexpr std::string_view wanted = "a list of host names such as [metrics.corp.example]";
  if (value.kind != node_kind::sequence) return expected_but_found(value, wanted, errors);
  for (const auto& item : value.items) {
    if (item.kind != node_kind::scalar) {
      expected_but_found(item, "a host name", errors);
    } else if (auto name = core::host_name::parse(item.text)) {
      into.allowed_hosts.emplace_back(name->view());
    } else {
      errors.add(item.at, item.text, "expected a host name without a port or a wildcard");
    }
  }
}

constexpr value_schema tcp_address{
    .json = R"({"type":"string","pattern":"^([0-9.]+|\\[[0-9A-Fa-f:.]+\\]):[0-9]+$"})"};
constexpr value_schema socket_path{.json = R"({"$ref":"#/$defs/path"})"};
// YAML 1.2 reads 0660 as the number 660.
constexpr value_schema octal_mode{
    .json =
        R"({"anyOf":[{"type":"string","pattern":"^0?[0-7]{3}$"},{"type":"integer","minimum":0,"maximum":777}]})",
    .beside = R"({"required":["unix"]})"};
constexpr value_schema host_names{.json = R"({"type":"array","items":{"$ref":"#/$defs/host_name"}})"};

constexpr value_schema tls_map{.json = R"({"$ref":"#/$defs/tls"})", .beside = R"({"required":["address"]})"};
constexpr value_schema identity_list{
    .json =
        R"({"type":"array","items":{"anyOf":[{"const":"listener"},{"$ref":"#/$defs/identity_check"}]},"minItems":1})"};

constexpr key_row<endpoint_draft> address_row{"address",
                                              tcp_address,
                                              "ADDRESS:PORT",
                                              "one of `address` and `unix`",
                                              "An IP address (IPv6 in brackets) and a port; port 0 lets the "
                                              "kernel choose one, which the ready line shows.",
                                              read_address};
constexpr key_row<endpoint_draft> socket_row{"unix",
                                             socket_path,
                                             "path",
                                             "one of `address` and `unix`",
                                             "A unix socket. Most clients need `exeat connect` to reach one.",
                                             read_socket};
constexpr key_row<endpoint_draft> mode_row{
    "mode", octal_mode, "octal digits", "\"0600\"", "The mode of the unix socket.", read_mode};

constexpr key_row<endpoint_draft> listener_table[]{
    address_row,
    socket_row,
    mode_row,
    {"phase", schema::phase_name, "phase",
     "required where `listener` is in `identity`; no place for it otherwise",
     "The phase of policy.yaml that holds for whoever connects here.", read_phase},
    {"identity", identity_list, "list", "[listener]",
     "What decides the phase (and the job) of a client: `listener`, the phase above, and the sources below. "
     "All of "
     "them must answer, and agree; otherwise the request is refused (`identity-silent`, `identity-conflict`, "
     "...). "
     "`listener` alone proves something only where the kernel limits who can connect.",
     note_identity},
    {"tls", tls_map, "map", "none",
     "Clients speak TLS with the proxy (`https://` in their proxy URL); see `tls` of a listener. Only with "
     "`address`.",
     read_tls}};
constexpr key_row<endpoint_draft> admin_table[]{
    address_row,
    socket_row,
    mode_row,
    {"reload_token_file", schema::path, "path", "none",
     "A file with the bearer token (16 characters or more) that `POST /-/reload` wants here. Without it, "
     "only the control socket reloads.",
     read_token_file},
    {"allowed_hosts", host_names, "list of names", "none",
     "Names under which clients may ask here (`Host`), besides localhost and IP addresses. A request under "
     "any "
     "other name is refused with 421, so that a web page whose name was pointed at this address reads "
     "nothing.",
     read_allowed_hosts}};
constexpr key_row<endpoint_draft> control_table[]{
    {"unix", socket_path.must(), "path", "required",
     "The socket that `POST /-/reload` and the subcommands use.", read_socket},
    mode_row};

// The endpoint that a draft names; reports where it names none or two.
std::optional<endpoint> finish(const endpoint_draft& draft, const node& map, const std::string& directory,
                               error_list& errors) {
  if (draft.address && draft.socket) {
    errors.add(map.at, {}, "`address` and `unix` do not go together");
    return std::nullopt;
  }
  if (draft.socket) {
    unix_endpoint out{.path = resolve_path(*draft.socket, directory), .mode = draft.mode};
    if (out.path.size() >= sizeof(sockaddr_un::sun_path)) {
      errors.add(
          map.at, out.path,
          fmt::format("the path of a unix socket has at most {} octets", sizeof(sockaddr_un::sun_path) - 1));
      return std::nullopt;
    }
    return out;
  }
  if (draft.mode_node != nullptr)
    errors.add(draft.mode_node->at, draft.mode_node->text, "`mode` belongs to `unix`");
  return draft.address;
}

bool names_address(const node& map) {
  return std::ranges::any_of(map.entries,
                             [](const auto& e) { return e.key == "address" || e.key == "unix"; });
}

bool is_none(const node& value) {
  return value.kind == node_kind::scalar && value.text == "none";
}

}  // namespace

std::span<const key_row<endpoint_draft>> listener_rows() noexcept {
  return listener_table;
}
std::span<const key_row<endpoint_draft>> admin_rows() noexcept {
  return admin_table;
}
std::span<const key_row<endpoint_draft>> control_rows() noexcept {
  return control_table;
}

void read_listeners(settings_draft& into, const node& value, error_list& errors) {
  if (value.kind != node_kind::sequence || value.items.empty()) {
    return expected_but_found(value, "a list of at least one listener", errors);
  }
  into.settings.listeners.clear();
  for (const auto& item : value.items) {
    endpoint_draft draft;
    if (!read_map(draft, item, "a listener such as {address: \"127.0.0.1:3129\", phase: agent}",
                  listener_rows(), {}, errors)) {
      continue;
    }
    if (!names_address(item))
      errors.add(item.at, {}, "the listener names neither an `address` nor a `unix` socket");
    const auto* identity = draft.identity_node;
    const bool by_listener = identity == nullptr || identity->items.empty() || names_listener(*identity);
    if (by_listener && draft.phase_node == nullptr) {
      errors.add(item.at, {}, "the listener names no `phase`");
    } else if (!by_listener && draft.phase_node != nullptr) {
      errors.add(draft.phase_node->at, draft.phase_node->text,
                 "`phase` of the listener does nothing where `listener` is not in its `identity`");
    }
    auto tls = finish_tls(draft, item, into.directory, errors);
    listener out{.phase = by_listener ? draft.phase : std::string(),
                 .tls = std::move(tls),
                 .where = errors.mark(item.at)};
    if (identity != nullptr) out.identity = read_identity(*identity, out.phase, errors);
    if (const auto where = finish(draft, item, into.directory, errors)) {
      out.endpoint = *where;
      into.settings.listeners.push_back(std::move(out));
    }
  }
}

void read_admin(settings_draft& into, const node& value, error_list& errors) {
  if (is_none(value)) {
    into.settings.admin.reset();
    return;
  }
  endpoint_draft draft;
  if (!read_map(draft, value, "a map such as {address: \"127.0.0.1:9400\"}, or none", admin_rows(), {},
                errors))
    return;
  if (const auto where = finish(draft, value, into.directory, errors)) into.settings.admin = *where;
  if (!draft.token_file.empty()) {
    into.settings.reload_token_file = resolve_path(draft.token_file, into.directory);
  }
  into.settings.admin_hosts = std::move(draft.allowed_hosts);
}

void read_control(settings_draft& into, const node& value, error_list& errors) {
  if (is_none(value)) {
    into.settings.control.reset();
    return;
  }
  endpoint_draft draft;
  if (!read_map(draft, value, "a map such as {unix: exeat.sock}, or none", control_rows(), {}, errors))
    return;
  if (!names_address(value)) return errors.add(value.at, {}, "the control socket names no `unix` path");
  if (draft.mode_node != nullptr && (draft.mode & 07) != 0) {
    errors.add(draft.mode_node->at, draft.mode_node->text, "the control socket must not be open to others");
  }
  if (const auto where = finish(draft, value, into.directory, errors)) {
    into.settings.control = std::get<unix_endpoint>(*where);
  }
}

}  // namespace exeat::config
