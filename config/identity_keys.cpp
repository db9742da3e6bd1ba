// `identity` of a listener: the sources that must answer.
#include "config/identity_keys.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "config/identity_sources.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;
using source = identity_check::source;

// The lists

constexpr std::string_view source_words[]{"listener", "peer",           "mtls",  "credential",
                                          "source",   "proxy_protocol", "any_of"};

std::string_view word_of(source kind) noexcept {
  return source_words[static_cast<std::size_t>(kind)];
}

std::optional<identity_check> read_check(const node& item, const std::optional<std::string_view>& phase,
                                         bool is_alternative, error_list& errors) {
  static constexpr std::string_view inside =
      "may not stand inside `any_of`: it answers whatever the other alternatives say";
  static constexpr refused_key refused[]{
      {"listener", "`listener` stands alone, without a value"},
      {"any_of", "`any_of` may not stand inside `any_of`: write its alternatives beside the others"},
      {"proxy_protocol", "`proxy_protocol` may not stand inside `any_of`: it names no phase"}};
  check_draft draft{.phase = phase};
  draft.check.where = errors.mark(item.at);
  if (item.kind == node_kind::scalar) {
    if (item.text == "listener" && !is_alternative) return draft.check;
    if (item.text == "listener") {
      errors.add(item.at, item.text, std::string(inside));
    } else {
      errors.add(item.at, item.text,
                 is_alternative ? "expected a map such as {peer: [{uid: 1002}]}, found"
                                : "expected `listener`, or a map such as {peer: [{uid: 1002}]}, found",
                 nearest_word(item.text, source_words));
    }
    return std::nullopt;
  }
  if (!read_map(draft, item, "a map such as {peer: [{uid: 1002}]}",
                is_alternative ? alternative_rows() : check_rows(),
                is_alternative ? std::span(refused) : std::span(refused).first(1), errors)) {
    return std::nullopt;
  }
  if (draft.sources.size() > 1) {
    errors.add(item.at, {},
               fmt::format("`{}` and `{}` are two sources: write each as an item of its own",
                           word_of(draft.sources[0]), word_of(draft.sources[1])));
    return std::nullopt;
  }
  if (draft.sources.empty()) {
    const bool is_known_fault = std::ranges::any_of(item.entries, [&](const auto& entry) {
      return std::ranges::find(source_words, entry.key) != std::end(source_words);
    });
    if (!is_known_fault) errors.add(item.at, {}, "the item names no source");
    return std::nullopt;
  }
  draft.check.kind = draft.sources.front();
  if (draft.own_uid_node != nullptr && draft.check.kind != source::peer) {
    errors.add(draft.own_uid_node->at, {}, "`allow_own_uid` belongs to `peer`");
  }
  return std::move(draft.check);
}

std::vector<identity_check> read_list(const node& value, const std::optional<std::string_view>& phase,
                                      bool is_alternative, error_list& errors) {
  std::vector<identity_check> out;
  read_items(value, is_alternative ? "a list of sources" : "a list of sources such as [listener]", errors,
             [&](const node& item) {
               auto check = read_check(item, phase, is_alternative, errors);
               if (!check) return;
               if (std::ranges::find(out, check->kind, &identity_check::kind) != out.end()) {
                 errors.add(item.at, word_of(check->kind),
                            "the source stands twice in one list: name it once, with all entries");
               }
               out.push_back(std::move(*check));
             });
  return out;
}

void read_alternatives(check_draft& into, const node& value, error_list& errors) {
  into.sources.push_back(source::any_of);
  into.check.any_of = read_list(value, into.phase, true, errors);
}

// The table

constexpr value_schema peer_list{.json = R"({"type":"array","items":{"$ref":"#/$defs/peer"},"minItems":1})"};
constexpr value_schema certificate_list{
    .json = R"({"type":"array","items":{"$ref":"#/$defs/certificate_name"},"minItems":1})"};
constexpr value_schema credential_map{.json = R"({"$ref":"#/$defs/credential"})"};
constexpr value_schema source_list{.json =
                                       R"({"type":"array","items":{"$ref":"#/$defs/source"},"minItems":1})"};
constexpr value_schema upstream_list{
    .json = R"({"type":"array","items":{"$ref":"#/$defs/prefix"},"minItems":1})"};
constexpr value_schema alternative_list{
    .json = R"({"type":"array","items":{"$ref":"#/$defs/alternative"},"minItems":1})"};

constexpr key_row<check_draft> check_table[]{
    {"peer", peer_list, "list", "",
     "Local clients, by what the kernel knows of the socket at the other end. On loopback TCP: uid and "
     "cgroup of the "
     "socket, looked up right after accept; on a unix socket: the uid of whoever connected, and the cgroup "
     "that it is in. "
     "The uid is that of the process that made the socket: a descriptor that was handed on keeps it.",
     read_peers},
    {"allow_own_uid", schema::flag.with(R"({"required":["peer"]})"), "true or false", "false",
     "Of `peer`: accept clients that run under the proxy's own uid (`own-uid` otherwise). Whoever has that "
     "uid can "
     "change the proxy itself.",
     read_own_uid},
    {"mtls", certificate_list, "list", "",
     "A name in the verified client certificate. Needs `tls.client_ca` of the listener.", read_certificates},
    {"credential", credential_map, "map", "",
     "A token in `Proxy-Authorization`. Without `tls` it crosses the network as it is.", read_credential},
    {"source", source_list, "list", "",
     "The source address; behind a load balancer, that of the PROXY header. It proves as much as the network "
     "between does.",
     read_sources},
    {"proxy_protocol", upstream_list, "list of prefixes", "",
     "Every connection begins with a PROXY header (version 1 or 2) and comes from one of these. Names no "
     "phase.",
     read_upstreams},
    {"any_of", alternative_list, "list", "",
     "Alternatives: at least one must answer, and all that do must agree. A wrong answer, such as a wrong "
     "credential, "
     "refuses whatever the others say. `listener`, `proxy_protocol` and another `any_of` may not stand in "
     "it.",
     read_alternatives}};

}  // namespace

std::span<const key_row<check_draft>> check_rows() noexcept {
  return check_table;
}
std::span<const key_row<check_draft>> alternative_rows() noexcept {
  return std::span(check_table).first(5);  // up to `source`
}
bool names_listener(const node& identity) noexcept {
  return std::ranges::any_of(identity.items, [](const auto& item) {
    return item.kind == node_kind::scalar && item.text == "listener";
  });
}

std::vector<identity_check> read_identity(const node& identity, std::string_view phase, error_list& errors) {
  const yaml::key_scope scope(errors, "identity");
  const auto fallback = names_listener(identity) ? std::optional(phase) : std::nullopt;
  auto out = read_list(identity, fallback, false, errors);
  const bool only_headers =
      !out.empty() && out.size() == identity.items.size() &&
      std::ranges::all_of(out, [](const auto& check) { return check.kind == source::proxy_protocol; });
  if (only_headers)
    errors.add(identity.at, {}, "no source in the list names a phase: a PROXY header does not");
  return out;
}

}  // namespace exeat::config
