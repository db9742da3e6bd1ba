#include "config/load.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "config/builtin_policy.hpp"
#include "config/file_trust.hpp"
#include "config/paths.hpp"
#include "config/policy_keys.hpp"
#include "config/settings_table.hpp"
#include "config/yaml.hpp"

namespace exeat::config {
namespace {

std::string sha256_hex(std::string_view octets) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  if (EVP_Digest(octets.data(), octets.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) return {};
  std::string out;
  for (unsigned i = 0; i < size; ++i) out += fmt::format("{:02x}", digest[i]);
  return out;
}

errors of(error e) {
  errors out;
  out.push_back(std::move(e));
  return out;
}

std::expected<std::string, errors> read_whole(const std::string& path, load_options options) {
  auto text = read_trusted_file(path, {.max_size = max_file_size, .refuse_writers = !options.insecure});
  if (text) return std::move(*text);
  return std::unexpected(of(std::move(text.error())));
}

// ADDRESS:PORT or unix:PATH behind "PHASE=".
std::expected<listener, error> parse_listen(const std::string& text) {
  const auto fail = [&](std::string message) {
    return std::unexpected(
        error{.where = {.file = "--listen"}, .text = printable(text), .message = std::move(message)});
  };
  const auto equals = text.find('=');
  if (equals == std::string::npos || equals == 0)
    return fail("expected PHASE=ADDRESS:PORT or PHASE=unix:PATH, found");
  auto where = parse_endpoint(std::string_view(text).substr(equals + 1));
  if (!where) return fail(std::move(where.error()));
  return listener{
      .endpoint = std::move(*where), .phase = text.substr(0, equals), .where = {.file = "--listen"}};
}

void merge(settings& into, const overrides& over, errors& errors) {
  if (!over.policy.empty()) into.policy = over.policy;
  if (over.insecure_policy_file) into.insecure_policy_file = true;
  if (!over.listen.empty()) into.listeners.clear();
  for (const auto& text : over.listen) {
    auto parsed = parse_listen(text);
    if (parsed) {
      into.listeners.push_back(std::move(*parsed));
    } else {
      errors.push_back(std::move(parsed.error()));
    }
  }
  if (over.admin.empty()) return;
  if (over.admin == "none") {
    into.admin.reset();
  } else if (auto where = parse_endpoint(over.admin)) {
    into.admin = std::move(*where);
  } else {
    errors.push_back(
        {.where = {.file = "--admin"}, .text = printable(over.admin), .message = std::move(where.error())});
  }
}

}  // namespace

std::expected<shared_policy, errors> parse_policy(std::string_view text, const std::string& file) {
  yaml::error_list found(file);
  const auto root = yaml::parse(text, found);
  if (!root) return std::unexpected(found.take());

  allowlist::policy_source source{.digest = sha256_hex(text), .file = file};
  const auto has = [&](std::string_view key) {
    return std::ranges::find(root->entries, key, &yaml::entry::key) != root->entries.end();
  };
  if (read_map(source, *root, "a map that starts with `version: 1`", policy_rows(), unsupported_keys(),
               found)) {
    check_version(*root, found);
    if (!has("phases"))
      found.add({1, 1}, {}, "`phases` is missing: without a phase nothing is allowed to anybody");
    if (has("phases") && source.phases.empty() && found.empty())
      found.add(root->at, {}, "`phases` names no phase");
    check_tests(source, found);
  }
  if (!found.empty()) return std::unexpected(found.take());

  auto compiled = allowlist::compile(std::move(source));
  if (compiled) return std::make_shared<const allowlist::policy>(std::move(*compiled));
  for (const auto& conflict : compiled.error()) {
    found.add({conflict.where.line, conflict.where.column}, {}, conflict.text);
  }
  return std::unexpected(found.take());
}

std::expected<shared_policy, errors> load_policy_file(const std::string& path, load_options options) {
  const auto text = read_whole(path, options);
  if (!text) return std::unexpected(text.error());
  return parse_policy(*text, path);
}

shared_policy builtin_policy() {
  static const shared_policy policy = [] {
    auto parsed = parse_policy(builtin_policy_text(), "built-in");
    // The text is part of the program and a test parses it.
    if (!parsed) throw std::logic_error(to_string(parsed.error()));
    return *parsed;
  }();
  return policy;
}

std::expected<shared_policy, errors> load_policy(const settings& settings) {
  auto policy = settings.policy.empty()
                    ? std::expected<shared_policy, errors>(builtin_policy())
                    : load_policy_file(settings.policy, {.insecure = settings.insecure_policy_file});
  if (!policy) return policy;
  if (auto wrong = check_phases(settings, **policy); !wrong.empty()) return std::unexpected(std::move(wrong));
  return policy;
}

std::expected<settings, errors> parse_settings(std::string_view text, const std::string& file,
                                               const std::string& directory) {
  yaml::error_list found(file);
  const auto root = yaml::parse(text, found);
  if (!root) return std::unexpected(found.take());
  settings_draft draft{.directory = directory};
  read_settings(draft, *root, found);
  if (!found.empty()) return std::unexpected(found.take());
  if (auto wrong = validate(draft.settings); !wrong.empty()) {
    for (auto& e : wrong) {
      if (e.where.file.empty()) e.where.file = file;
    }
    return std::unexpected(std::move(wrong));
  }
  return std::move(draft.settings);
}

std::expected<settings, errors> load_settings_file(const std::string& path, load_options options) {
  const auto text = read_whole(path, options);
  if (!text) return std::unexpected(text.error());
  return parse_settings(*text, path, directory_of(path));
}

std::expected<settings, errors> load_settings(const std::string& file, const overrides& overrides) {
  settings out;
  if (!file.empty()) {
    auto loaded = load_settings_file(file, {.insecure = overrides.insecure_policy_file});
    if (!loaded) return loaded;
    out = std::move(*loaded);
  }
  errors wrong;
  merge(out, overrides, wrong);
  if (wrong.empty()) wrong = validate(out);
  if (!wrong.empty()) return std::unexpected(std::move(wrong));
  return out;
}

std::expected<std::string, error> load_secret_file(const std::string& path) {
  constexpr std::size_t least = 16;
  constexpr std::size_t most = 4096;
  auto text = read_trusted_file(path, {.max_size = most, .refuse_writers = true, .refuse_readers = true});
  if (!text) return text;
  constexpr std::string_view blank = " \t\r\n";
  const auto first = text->find_first_not_of(blank);
  const auto secret = first == std::string::npos
                          ? std::string()
                          : text->substr(first, text->find_last_not_of(blank) - first + 1);
  const auto is_graphic = [](char c) { return c > 0x20 && c < 0x7f; };
  if (secret.size() < least || !std::ranges::all_of(secret, is_graphic)) {
    return std::unexpected(error{
        .where = {.file = path},
        .message =
            fmt::format("the file must hold one word of at least {} printable ASCII characters", least)});
  }
  return secret;
}

}  // namespace exeat::config
