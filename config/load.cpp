#include "config/load.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "config/builtin_policy.hpp"
#include "config/file_trust.hpp"
#include "config/paths.hpp"
#include "config/settings_table.hpp"
#include "config/yaml.hpp"

namespace exeat::config {
namespace {

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
  const auto text = read_whole_file(path, options);
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

std::expected<std::string, error> load_user_password(const std::string& path) {
  constexpr std::size_t most = 1024;
  auto text = read_trusted_file(path, {.max_size = most, .refuse_writers = true, .refuse_readers = true});
  if (!text) return text;
  if (text->ends_with('\n')) text->pop_back();
  if (text->ends_with('\r')) text->pop_back();
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  const auto colon = text->find(':');
  if (colon == 0 || colon == std::string::npos || colon + 1 == text->size() ||
      std::ranges::any_of(*text, is_control)) {
    return std::unexpected(
        error{.where = {.file = path}, .message = "the file must hold one line of the form user:password"});
  }
  return text;
}

}  // namespace exeat::config
