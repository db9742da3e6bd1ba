// The sources of identity: what each entry means.
#include "config/identity_sources.hpp"

#include <pwd.h>

#include <algorithm>
#include <cerrno>

#include "config/certificate_pattern.hpp"
#include "config/policy_values.hpp"

namespace exeat::config {
namespace {

using yaml::error_list;
using yaml::node;
using yaml::node_kind;
using source = identity_check::source;

constexpr std::size_t longest_phase = 63;
constexpr std::size_t longest_path = 4095;
constexpr std::size_t longest_text = 1000;

// Of an entry's own `phase`.
template <auto Phase>
void read_phase(auto& into, const node& value, error_list& errors) {
  if (auto phase = read_text(value, "the name of a phase", longest_phase, errors))
    Phase(into) = std::move(*phase);
}

// Gives an entry that names no phase that of its listener.
void settle_phase(std::string& phase, const std::optional<std::string_view>& fallback, const node& entry,
                  error_list& errors) {
  if (!phase.empty()) return;
  // Written but wrong: that has been reported.
  if (std::ranges::find(entry.entries, "phase", &yaml::entry::key) != entry.entries.end()) return;
  if (!fallback) {
    errors.add(entry.at, {}, "the entry names no `phase`, nor does its listener");
  } else {
    phase = *fallback;
  }
}

// peer

void read_uid(peer_draft& into, const node& value, error_list& errors) {
  // The highest number stands for "none".
  if (const auto uid = read_count(value, 0, 4'294'967'294, errors))
    into.claim.uid = static_cast<std::uint32_t>(*uid);
}

void read_user(peer_draft& into, const node& value, error_list& errors) {
  into.user_node = &value;
  const auto name = read_text(value, "the name of a user", 255, errors);
  if (!name) return;
  ::passwd entry{};
  ::passwd* found = nullptr;
  std::vector<char> text(std::size_t{64} << 10);
  int failure = 0;
  do {
    failure = ::getpwnam_r(name->c_str(), &entry, text.data(), text.size(), &found);
  } while (failure == EINTR);
  if (found == nullptr) return errors.add(value.at, value.text, "this machine has no such user");
  into.claim.uid = found->pw_uid;
}

void read_cgroup(peer_draft& into, const node& value, error_list& errors) {
  auto path = read_text(value, "the path of a cgroup v2 directory", longest_path, errors);
  if (!path) return;
  if (!path->starts_with('/')) {
    return errors.add(value.at, value.text,
                      "the path of a cgroup begins with `/`, as in /sys/fs/cgroup/ci/agent");
  }
  into.claim.cgroup = std::move(*path);
}

// mtls

template <enum certificate_claim::field Field>
void read_pattern(certificate_draft& into, const node& value, error_list& errors) {
  into.names.push_back(&value);
  auto text = read_text(value, "a pattern such as \"{job}.{phase}.ci.example\"", longest_text, errors);
  if (!text) return;
  const auto pattern = certificate_pattern::parse(*text);
  if (!pattern) return errors.add(value.at, value.text, pattern.error());
  into.has_placeholder = pattern->has_phase();
  into.claim.field = Field;
  into.claim.pattern = std::move(*text);
}

// credential

void read_sha256(token_claim& into, const node& value, error_list& errors) {
  const auto digit = [](char c) -> int {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  const std::string_view text = value.text;
  const bool shaped = value.kind == node_kind::scalar && text.size() == 2 * into.sha256.size() &&
                      std::ranges::all_of(text, [&](char c) { return digit(c) >= 0; });
  // What is not the hash may be the token itself: it is not shown.
  if (!shaped) {
    return errors.add(value.at, {},
                      "`sha256`: expected the 64 hex digits that `exeat token` prints, found something else");
  }
  for (std::size_t i = 0; i < into.sha256.size(); ++i) {
    into.sha256[i] = static_cast<std::uint8_t>(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
  }
}

void read_tokens(credential_draft& into, const node& value, error_list& errors) {
  read_items(value, "a list such as [{sha256: ..., phase: agent}]", errors, [&](const node& item) {
    token_claim claim;
    if (!read_map(claim, item, "a map such as {sha256: ..., phase: agent}", token_rows(), {}, errors)) return;
    if (std::ranges::find(item.entries, "sha256", &yaml::entry::key) == item.entries.end()) {
      errors.add(item.at, {}, "the entry names no `sha256`");
    }
    settle_phase(claim.phase, into.phase, item, errors);
    into.check.tokens.push_back(std::move(claim));
  });
}

void read_job_tokens(credential_draft& into, const node& value, error_list& errors) {
  if (const auto good = read_bool(value, errors)) into.check.job_tokens = *good;
}

// source, proxy_protocol

std::optional<core::cidr> read_prefix(const node& value, error_list& errors) {
  const auto prefix = read_cidr(value, errors);
  if (!prefix || prefix->base.is_v4()) return prefix;
  static const auto mapped = *core::cidr::parse("::ffff:0.0.0.0/96");
  if (!mapped.contains(*prefix)) return prefix;
  errors.add(value.at, value.text, "IPv4 clients show as IPv4 addresses: write the prefix as one of IPv4");
  return std::nullopt;
}

void read_claimed_prefix(source_claim& into, const node& value, error_list& errors) {
  if (const auto prefix = read_prefix(value, errors)) into.cidr = *prefix;
}

// The tables

constexpr std::string_view phase_fallback = "the listener's";
constexpr std::string_view phase_doc = "The phase that the entry proves.";
constexpr value_schema uid_number{
    .json =
        R"({"anyOf":[{"type":"integer","minimum":0,"maximum":4294967294},{"type":"string","pattern":"^[0-9]+$"}]})",
    .beside = R"({"not":{"required":["user"]}})"};
constexpr value_schema absolute_path{
    .json = R"({"type":"string","pattern":"^/[^\\u0000-\\u001f\\u007f]*$","maxLength":4095})"};
// Sixty-four decimal digits without quotes are a number to YAML.
constexpr value_schema hex_digits{
    .json = R"({"anyOf":[{"type":"string","pattern":"^[0-9A-Fa-f]{64}$"},{"type":"number"}]})",
    .required = true};
constexpr value_schema token_list{.json =
                                      R"({"type":"array","items":{"$ref":"#/$defs/token"},"minItems":1})"};

constexpr key_row<peer_draft> peer_table[]{
    {"uid", uid_number, "number", "any",
     "The uid of the client's socket, as our user namespace shows it. 65534 is also what the users of other "
     "user "
     "namespaces show as.",
     read_uid},
    {"user", schema::text, "name", "any", "The same by name, looked up when the file is read.", read_user},
    {"cgroup", absolute_path, "path", "any",
     "A cgroup v2 directory, such as /sys/fs/cgroup/ci/agent: that very one, not those below it. It may be "
     "made later. With "
     "`uid`, both must hold.",
     read_cgroup},
    {"phase", schema::phase_name, "phase", phase_fallback, phase_doc,
     read_phase<[](peer_draft& d) -> std::string& { return d.claim.phase; }>}};

constexpr std::string_view pattern_type = "pattern";
constexpr key_row<certificate_draft> certificate_table[]{
    {"san_uri", schema::text, pattern_type, "one of the three",
     "The whole of a URI among the subject's alternative names. `{phase}` and `{job}` stand for one or more "
     "of a-z, 0-9 and -; "
     "the job must be open.",
     read_pattern<certificate_claim::field::san_uri>},
    {"san_dns", schema::text, pattern_type, "one of the three", "The same of a DNS name.",
     read_pattern<certificate_claim::field::san_dns>},
    {"common_name", schema::text, pattern_type, "one of the three", "The same of the subject's common name.",
     read_pattern<certificate_claim::field::common_name>},
    {"phase", schema::phase_name, "phase", "what `{phase}` stands for; without it the listener's", phase_doc,
     read_phase<[](certificate_draft& d) -> std::string& { return d.claim.phase; }>}};

constexpr key_row<credential_draft> credential_table[]{
    {"tokens", token_list, "list", "none", "Tokens that prove a phase.", read_tokens},
    {"jobs", schema::flag, "true or false", "false",
     "The tokens that `exeat job open` prints are good as well.", read_job_tokens}};

constexpr key_row<token_claim> token_table[]{
    {"sha256", hex_digits, "64 hex digits", "required", "The hash of the token, as `exeat token` prints it.",
     read_sha256},
    {"phase", schema::phase_name, "phase", phase_fallback, phase_doc,
     read_phase<[](token_claim& c) -> std::string& { return c.phase; }>}};

constexpr key_row<source_claim> source_table[]{
    {"cidr", schema::prefix.must(), "prefix", "required", "Where clients come from.", read_claimed_prefix},
    {"phase", schema::phase_name, "phase", phase_fallback, phase_doc,
     read_phase<[](source_claim& c) -> std::string& { return c.phase; }>}};

}  // namespace

std::span<const key_row<peer_draft>> peer_rows() noexcept {
  return peer_table;
}
std::span<const key_row<certificate_draft>> certificate_rows() noexcept {
  return certificate_table;
}
std::span<const key_row<credential_draft>> credential_rows() noexcept {
  return credential_table;
}
std::span<const key_row<token_claim>> token_rows() noexcept {
  return token_table;
}
std::span<const key_row<source_claim>> source_rows() noexcept {
  return source_table;
}

void read_peers(check_draft& into, const node& value, error_list& errors) {
  into.sources.push_back(source::peer);
  read_items(value, "a list such as [{uid: 1002}]", errors, [&](const node& item) {
    peer_draft draft;
    if (!read_map(draft, item, "a map such as {uid: 1002}", peer_rows(), {}, errors)) return;
    const auto has = [&](std::string_view key) {
      return std::ranges::find(item.entries, key, &yaml::entry::key) != item.entries.end();
    };
    if (has("uid") && has("user")) {
      errors.add(draft.user_node->at, draft.user_node->text, "`uid` and `user` do not go together");
    }
    if (!has("uid") && !has("user") && !has("cgroup")) {
      errors.add(item.at, {}, "the entry names neither a `uid`, a `user` nor a `cgroup`");
    }
    settle_phase(draft.claim.phase, into.phase, item, errors);
    into.check.peers.push_back(std::move(draft.claim));
  });
}

void read_own_uid(check_draft& into, const node& value, error_list& errors) {
  into.own_uid_node = &value;
  if (const auto allowed = read_bool(value, errors)) into.check.allow_own_uid = *allowed;
}

void read_certificates(check_draft& into, const node& value, error_list& errors) {
  into.sources.push_back(source::mtls);
  read_items(value, "a list such as [{common_name: agent, phase: agent}]", errors, [&](const node& item) {
    certificate_draft draft;
    if (!read_map(draft, item, "a map such as {common_name: agent, phase: agent}", certificate_rows(), {},
                  errors)) {
      return;
    }
    if (draft.names.empty()) {
      return errors.add(item.at, {}, "the entry names neither a `san_uri`, a `san_dns` nor a `common_name`");
    }
    if (draft.names.size() > 1) {
      return errors.add(item.at, {},
                        "`san_uri`, `san_dns` and `common_name` do not go together: write an entry for each");
    }
    if (draft.claim.pattern.empty()) return;  // reported
    if (!draft.has_placeholder) {
      settle_phase(draft.claim.phase, into.phase, item, errors);
    } else if (!draft.claim.phase.empty()) {
      errors.add(item.at, draft.claim.pattern, "`phase` does not go together with the placeholder {phase}");
    }
    into.check.certificates.push_back(std::move(draft.claim));
  });
}

void read_credential(check_draft& into, const node& value, error_list& errors) {
  into.sources.push_back(source::credential);
  credential_draft draft{into.check, into.phase};
  if (!read_map(draft, value, "a map such as {tokens: [{sha256: ..., phase: agent}]}", credential_rows(), {},
                errors)) {
    return;
  }
  const bool has_tokens =
      std::ranges::find(value.entries, "tokens", &yaml::entry::key) != value.entries.end();
  if (!has_tokens && !into.check.job_tokens) {
    errors.add(value.at, {}, "no credential would do: name `tokens`, or say `jobs: true`");
  }
}

void read_sources(check_draft& into, const node& value, error_list& errors) {
  into.sources.push_back(source::source);
  read_items(value, "a list such as [{cidr: 10.1.0.0/16}]", errors, [&](const node& item) {
    source_claim claim;
    if (!read_map(claim, item, "a map such as {cidr: 10.1.0.0/16}", source_rows(), {}, errors)) return;
    if (std::ranges::find(item.entries, "cidr", &yaml::entry::key) == item.entries.end()) {
      errors.add(item.at, {}, "the entry names no `cidr`");
    }
    settle_phase(claim.phase, into.phase, item, errors);
    into.check.sources.push_back(std::move(claim));
  });
}

void read_upstreams(check_draft& into, const node& value, error_list& errors) {
  into.sources.push_back(source::proxy_protocol);
  read_items(value, "a list of prefixes such as [10.0.0.1/32]", errors, [&](const node& item) {
    if (const auto prefix = read_prefix(item, errors)) into.check.upstreams.push_back(*prefix);
  });
}

}  // namespace exeat::config
