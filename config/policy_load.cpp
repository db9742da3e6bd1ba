// policy.yaml and what it includes, from text to a compiled policy.
#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "config/file_trust.hpp"
#include "config/load.hpp"
#include "config/paths.hpp"
#include "config/policy_keys.hpp"
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

void append(errors& into, errors more) {
  into.insert(into.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// Errors of a file that cannot be read say who wanted it.
errors included_at(errors wrong, const allowlist::mark& where) {
  for (auto& one : wrong) one.message += fmt::format(" (included at {})", printable(where.to_string(), 1000));
  return wrong;
}

// What an included file says, added to the base. Its rules are marked as included already.
void merge(allowlist::policy_source& base, allowlist::policy_source added, errors& wrong) {
  std::vector<std::string_view> names;
  for (const auto& phase : base.phases) names.push_back(phase.name);
  for (auto& phase : added.phases) {
    const auto into = std::ranges::find(base.phases, phase.name, &allowlist::phase::name);
    if (into == base.phases.end()) {
      wrong.push_back({.where = phase.where,
                       .text = printable(phase.name),
                       .message = "an included file adds to phases of the base policy, which has none of "
                                  "that name",
                       .nearest = nearest_word(phase.name, names)});
      continue;
    }
    std::ranges::move(phase.allow, std::back_inserter(into->allow));
  }
  std::ranges::move(added.deny, std::back_inserter(base.deny));
  std::ranges::move(added.tests, std::back_inserter(base.tests));
}

void read_included(allowlist::policy_source& base, const std::string& path, const std::string& text,
                   errors& wrong) {
  yaml::error_list found(path);
  allowlist::policy_source added{.file = path};
  if (const auto root = yaml::parse(text, found);
      root && read_map(added, *root, "a map that starts with `version: 1`", included_rows(),
                       keys_refused_in_included(), found)) {
    check_version(*root, found);
  }
  append(wrong, found.take());
  merge(base, std::move(added), wrong);
}

// Replaces the entries under `include` by the files that they stand for, and takes those in.
void follow_includes(allowlist::policy_source& base, const include_source& from, errors& wrong) {
  const auto directory = directory_of(base.file);
  auto entries = std::move(base.includes);
  base.includes.clear();
  std::set<std::string> seen{std::filesystem::path(base.file).lexically_normal().string()};
  std::string digests = base.digest;
  const auto take = [&](const std::string& path, const allowlist::mark& where) {
    if (!seen.insert(std::filesystem::path(path).lexically_normal().string()).second) {
      wrong.push_back(
          {.where = where, .text = printable(path), .message = "the file is part of this policy already"});
      return;
    }
    base.includes.push_back({path, where});
    auto text = from.read(path);
    if (!text) return append(wrong, included_at(std::move(text.error()), where));
    digests += sha256_hex(*text);
    read_included(base, path, *text, wrong);
  };
  for (const auto& entry : entries) {
    if (!from.read || !from.list) {
      wrong.push_back({.where = entry.where,
                       .text = printable(entry.file),
                       .message = "`include` needs a policy that is read from a file"});
      continue;
    }
    const auto path = resolve_path(entry.file, directory);
    if (!path.ends_with('/')) {
      take(path, entry.where);
      continue;
    }
    base.includes.push_back({path, entry.where});
    auto files = from.list(path);
    if (!files) {
      append(wrong, included_at(std::move(files.error()), entry.where));
      continue;
    }
    for (const auto& file : *files) take(file, entry.where);
  }
  if (!base.includes.empty()) base.digest = sha256_hex(digests);
}

// Once all of the policy is known.
void check_tests(const allowlist::policy_source& source, errors& wrong) {
  std::vector<std::string_view> names;
  for (const auto& phase : source.phases) names.push_back(phase.name);
  const std::set<std::string_view> known(names.begin(), names.end());
  for (const auto& test : source.tests) {
    if (test.phase.empty() || known.contains(test.phase)) continue;  // an empty one was reported
    wrong.push_back({.where = test.where,
                     .text = printable(test.phase),
                     .message = "the test names an unknown phase",
                     .nearest = nearest_word(test.phase, names)});
  }
}

std::expected<std::vector<std::string>, errors> list_directory(const std::string& directory) {
  std::vector<std::string> out;
  std::error_code failure;
  auto entry = std::filesystem::directory_iterator(directory, failure);
  for (; !failure && entry != std::filesystem::directory_iterator(); entry.increment(failure)) {
    const auto& path = entry->path();
    const auto name = path.filename().string();
    const auto extension = path.extension();
    if (name.starts_with('.') || (extension != ".yaml" && extension != ".yml")) continue;
    out.push_back(resolve_path(name, directory));
  }
  constexpr std::size_t most = 1000;
  if (!failure && out.size() > most)
    return std::unexpected(of({.where = {.file = directory}, .message = "more than 1000 files"}));
  if (failure)
    return std::unexpected(
        of({.kind = error_kind::unreadable,
            .where = {.file = directory},
            .message = fmt::format("the directory cannot be read: {}", failure.message())}));
  std::ranges::sort(out);
  return out;
}

}  // namespace

std::expected<std::string, errors> read_whole_file(const std::string& path, load_options options) {
  auto text = read_trusted_file(path, {.max_size = max_file_size, .refuse_writers = !options.insecure});
  if (text) return std::move(*text);
  return std::unexpected(of(std::move(text.error())));
}

std::expected<shared_policy, errors> parse_policy(std::string_view text, const std::string& file,
                                                  const include_source& includes) {
  yaml::error_list found(file);
  auto root = yaml::parse(text, found);
  if (!root) return std::unexpected(found.take());

  allowlist::policy_source source{.digest = sha256_hex(text), .file = file};
  const auto has = [&](std::string_view key) {
    return std::ranges::find(root->entries, key, &yaml::entry::key) != root->entries.end();
  };
  errors more;
  if (read_map(source, *root, "a map that starts with `version: 1`", policy_rows(), keys_refused_in_policy(),
               found)) {
    check_version(*root, found);
    if (!has("phases"))
      found.add({1, 1}, {}, "`phases` is missing: without a phase nothing is allowed to anybody");
    if (has("phases") && source.phases.empty() && found.empty())
      found.add(root->at, {}, "`phases` names no phase");
    if (!source.includes.empty()) follow_includes(source, includes, more);
    check_tests(source, more);
  }
  auto wrong = found.take();
  append(wrong, std::move(more));
  if (!wrong.empty()) return std::unexpected(std::move(wrong));

  root.reset();  // of a large policy the tree is larger than what was made of it
  auto compiled = allowlist::compile(std::move(source));
  if (compiled) return std::make_shared<const allowlist::policy>(std::move(*compiled));
  constexpr std::size_t most = 200;
  auto& conflicts = compiled.error();
  for (std::size_t i = 0; i < std::min(most, conflicts.size()); ++i)
    wrong.push_back({.where = std::move(conflicts[i].where), .message = std::move(conflicts[i].text)});
  if (conflicts.size() > most) {
    wrong.push_back({.where = {.file = file},
                     .message = fmt::format("{} more errors are not shown", conflicts.size() - most)});
  }
  return std::unexpected(std::move(wrong));
}

std::expected<shared_policy, errors> load_policy_file(const std::string& path, load_options options) {
  const auto text = read_whole_file(path, options);
  if (!text) return std::unexpected(text.error());
  const auto read = [&](const std::string& included) { return read_whole_file(included, options); };
  return parse_policy(*text, path, {.read = read, .list = list_directory});
}

}  // namespace exeat::config
