#include "admin/people.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/error.hpp"
#include "config/file_trust.hpp"
#include "jobs/secret.hpp"

namespace exeat::admin {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t most_tokens = 1000;
constexpr std::size_t longest_name = 64;
constexpr std::size_t most_sources = 1024;
constexpr auto failure_span = 1min;

std::string_view next_word(std::string_view& line) {
  constexpr std::string_view blank = " \t\r";
  const auto first = line.find_first_not_of(blank);
  if (first == std::string_view::npos) {
    line = {};
    return {};
  }
  line.remove_prefix(first);
  const auto end = std::min(line.find_first_of(blank), line.size());
  const auto word = line.substr(0, end);
  line.remove_prefix(end);
  return word;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= longest_name && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("-_.@+").contains(c);
  });
}

}  // namespace

std::expected<std::vector<known_token>, std::string> parse_tokens(std::string_view text,
                                                                  const std::string& file) {
  std::vector<known_token> out;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, text.substr(0, end).find('#'));
    line = line.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const auto fail = [&](std::string_view what) {
      return std::unexpected(fmt::format("{}:{}: {}", config::printable(file), number, what));
    };
    const auto name = next_word(line);
    if (name.empty()) continue;
    const auto role = role_of(next_word(line));
    const auto sum = jobs::digest_of_hex(next_word(line));
    if (!is_name(name)) return fail("a name has letters, digits and -_.@+, at most 64 of them");
    if (!role) return fail("the second word is a role: viewer, developer, reviewer or admin");
    if (!sum)
      return fail("the third word is the SHA-256 of a token, 64 lower-case digits (`exeat token --role`)");
    if (!next_word(line).empty()) return fail("a line has three words: NAME ROLE SHA256");
    if (std::ranges::any_of(out, [&](const auto& other) { return other.sha256 == *sum; }))
      return fail("this token stands in the file already");
    if (out.size() == most_tokens) return fail("more than 1000 tokens");
    out.push_back({.who = {.name = std::string(name), .role = *role}, .sha256 = *sum});
  }
  return out;
}

std::expected<std::vector<known_token>, std::string> load_tokens(const std::string& path) {
  constexpr std::size_t most = 256 * 1024;
  auto text = config::read_trusted_file(path, {.max_size = most, .refuse_writers = true});
  if (!text) return std::unexpected(text.error().to_string());
  return parse_tokens(*text, path);
}

const known_token* people::find(const digest& sum) const {
  const known_token* found = nullptr;  // all of them, whichever it is
  for (const auto& one : tokens_) {
    if (jobs::same_digest(one.sha256, sum)) found = &one;
  }
  return found;
}

void people::set_tokens(std::vector<known_token> tokens) {
  const std::scoped_lock lock(mutex_);
  tokens_ = std::move(tokens);
  std::erase_if(sessions_, [&](const auto& item) {
    const kept& session = item.second;
    return session.by_file && std::ranges::none_of(tokens_, [&](const known_token& token) {
             return token.who.name == session.who.name && token.who.role == session.who.role;
           });
  });
}

std::optional<std::string> people::new_once(role role, time now) {
  auto token = jobs::new_secret("exeat_o_");
  const auto sum = token ? jobs::sha256_of(*token) : std::nullopt;
  if (!sum) return std::nullopt;
  const std::scoped_lock lock(mutex_);
  std::erase_if(once_, [&](const auto& item) { return item.second.until < now; });
  if (once_.size() >= most_once)
    once_.erase(std::ranges::min_element(once_, {}, [](const auto& item) { return item.second.until; }));
  once_.emplace(*sum, once{.role = role, .until = now + once_for});
  return token;
}

std::optional<person> people::of_token(std::string_view token) const {
  const auto sum = jobs::sha256_of(token);
  if (!sum) return std::nullopt;
  const std::scoped_lock lock(mutex_);
  const auto* found = find(*sum);
  return found == nullptr ? std::nullopt : std::optional(found->who);
}

// Who has failed often has to wait; among too many sources that fail, all of them do.
bool people::may_try(const std::string& source, time now) {
  std::erase_if(failures_, [&](const auto& item) { return now - item.second.since > failure_span; });
  const auto found = failures_.find(source);
  if (found != failures_.end()) return found->second.count < most_failures;
  return failures_.size() < most_sources;
}

std::expected<people::session, people::refusal> people::log_in(std::string_view token,
                                                               std::string_view source, time now) {
  const auto sum = jobs::sha256_of(token);
  if (!sum) return std::unexpected(refusal::failed);
  const std::scoped_lock lock(mutex_);
  const std::string from(source);
  if (!may_try(from, now)) return std::unexpected(refusal::too_many);
  if (const auto* known = find(*sum)) return open(known->who, true, now);
  if (const auto found = once_.find(*sum); found != once_.end()) {
    const auto spent = found->second;
    once_.erase(found);
    if (spent.until >= now) return open({.name = "one-time token", .role = spent.role}, false, now);
  }
  auto& failed = failures_[from];
  if (failed.count++ == 0) failed.since = now;
  return std::unexpected(refusal::wrong);
}

std::expected<people::session, people::refusal> people::open(person who, bool by_file, time now) {
  auto cookie = jobs::new_secret("exeat_c_");
  auto key = jobs::new_secret("exeat_k_");
  if (!cookie || !key) return std::unexpected(refusal::failed);
  const auto cookie_sum = jobs::sha256_of(*cookie);
  const auto key_sum = jobs::sha256_of(*key);
  if (!cookie_sum || !key_sum) return std::unexpected(refusal::failed);
  std::erase_if(sessions_, [&](const auto& item) { return item.second.over(now); });
  if (sessions_.size() >= most_sessions)
    sessions_.erase(
        std::ranges::min_element(sessions_, {}, [](const auto& item) { return item.second.used; }));
  sessions_.emplace(*cookie_sum,
                    kept{.key = *key_sum, .who = who, .by_file = by_file, .opened = now, .used = now});
  return session{.cookie = std::move(*cookie), .key = std::move(*key), .who = std::move(who)};
}

std::optional<person> people::of_session(std::string_view cookie, std::string_view key, time now) {
  const auto cookie_sum = jobs::sha256_of(cookie);
  const auto key_sum = jobs::sha256_of(key);
  if (!cookie_sum || !key_sum) return std::nullopt;
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(*cookie_sum);
  if (found == sessions_.end() || !jobs::same_digest(found->second.key, *key_sum)) return std::nullopt;
  if (found->second.over(now)) {
    sessions_.erase(found);
    return std::nullopt;
  }
  found->second.used = now;
  return found->second.who;
}

bool people::is_open(std::string_view cookie, time now) const {
  const auto sum = jobs::sha256_of(cookie);
  if (!sum) return false;
  const std::scoped_lock lock(mutex_);
  const auto found = sessions_.find(*sum);
  return found != sessions_.end() && now - found->second.opened <= longest;
}

void people::log_out(std::string_view cookie) {
  const auto sum = jobs::sha256_of(cookie);
  if (!sum) return;
  const std::scoped_lock lock(mutex_);
  sessions_.erase(*sum);
}

}  // namespace exeat::admin
