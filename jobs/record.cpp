#include "jobs/record.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <utility>

#include "jobs/plan_text.hpp"

namespace exeat::jobs {
namespace {

constexpr std::string_view first_line = "exeat-job 1\n";
constexpr std::string_view trailer = "sha256 ";
constexpr std::string_view none = "-";
constexpr std::array<std::pair<ending, std::string_view>, 3> endings{
    {{ending::none, none}, {ending::closed, "closed"}, {ending::locked_down, "locked-down"}}};

// Takes the value of the next line, which must have this key.
std::optional<std::string_view> take(std::string_view& text, std::string_view key) {
  const auto end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  auto line = text.substr(0, end);
  if (!line.starts_with(key) || line.size() <= key.size() || line[key.size()] != ' ') return std::nullopt;
  text.remove_prefix(end + 1);
  line.remove_prefix(key.size() + 1);
  return line;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number out{};
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return out;
}

// False: neither a dash nor a digest.
bool read_digest(std::optional<std::string_view> text, std::optional<digest>& out) {
  if (!text) return false;
  if (*text == none) return true;
  out = digest_of_hex(*text);
  return out.has_value();
}

std::string print(const std::optional<digest>& value) {
  return value ? hex_of(*value) : std::string(none);
}

bool read_order(std::string_view& text, record& out) {
  const auto id = take(text, "id");
  if (!id || (*id != none && !is_job_id(*id))) return false;
  if (*id != none) out.id = *id;
  const auto order = take(text, "plan");
  if (!order) return false;
  if (*order != none) {
    auto plan = parse_plan(*order);
    if (!plan) return false;
    out.plan = std::move(*plan);
  } else if (!out.id.empty()) {
    return false;
  }
  const auto current = number_of<step>(take(text, "step").value_or(""));
  if (!current || *current > out.plan.end()) return false;
  out.current = *current;
  return true;
}

bool read_end(std::string_view& text, record& out) {
  const auto ended = take(text, "ended").value_or("");
  const auto* const row = std::ranges::find(endings, ended, &std::pair<ending, std::string_view>::second);
  if (row == endings.end()) return false;
  out.ended = row->first;
  const auto expires = take(text, "expires");
  if (!expires) return false;
  if (*expires == none) return true;
  const auto seconds = number_of<std::int64_t>(*expires);
  constexpr std::int64_t last = 253'402'300'799;  // the end of the year 9999
  if (!seconds || *seconds < 0 || *seconds > last) return false;
  out.expires = std::chrono::sys_seconds(std::chrono::seconds(*seconds));
  return true;
}

bool read_tokens(std::string_view& text, record& out) {
  while (text.starts_with("token ")) {
    const auto line = take(text, "token").value_or("");
    const auto blank = line.find(' ');
    const auto hash = digest_of_hex(line.substr(0, blank));
    if (!hash || blank == std::string_view::npos) return false;
    const auto phase = line.substr(blank + 1);
    if (!out.plan.step_of(phase)) return false;
    out.tokens.push_back({.phase = std::string(phase), .sha256 = *hash});
  }
  return true;
}

}  // namespace

bool is_job_id(std::string_view id) noexcept {
  return id.size() == 14 && id.starts_with("j-") && std::ranges::all_of(id.substr(2), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= '2' && c <= '7');
         });
}

std::expected<std::string, std::string> print_record(const record& of, std::string_view store) {
  const auto* const ended = std::ranges::find(endings, of.ended, &std::pair<ending, std::string_view>::first);
  if (ended == endings.end()) return std::unexpected("this ending is never kept");
  std::string out(first_line);
  const auto line = [&](std::string_view key, std::string_view value) {
    out.append(key).append(" ").append(value).append("\n");
  };
  line("store", store);
  line("id", of.id.empty() ? none : of.id);
  line("plan", of.plan.steps.empty() ? std::string(none) : of.plan.to_string());
  line("step", std::to_string(of.current));
  line("ended", ended->second);
  line("expires", of.expires ? std::to_string(of.expires->time_since_epoch().count()) : std::string(none));
  line("secret", print(of.advance_secret));
  line("policy", print(of.policy));
  for (const auto& one : of.tokens) line("token", hex_of(one.sha256) + " " + one.phase);
  const auto sum = sha256_of(out);
  if (!sum) return std::unexpected("OpenSSL has no SHA-256");
  out.append(trailer).append(hex_of(*sum)).append("\n");
  return out;
}

std::expected<record, std::string> parse_record(std::string_view text, std::string_view store) {
  const auto damaged = std::unexpected<std::string>("it is damaged or cut short");
  const auto whole = text;
  if (!text.ends_with('\n')) return damaged;
  const auto last = text.substr(0, text.size() - 1).rfind('\n');
  if (last == std::string_view::npos) return damaged;
  auto end = text.substr(last + 1);
  const auto given = digest_of_hex(take(end, trailer.substr(0, trailer.size() - 1)).value_or(""));
  text = text.substr(0, last + 1);
  const auto sum = sha256_of(text);
  if (!given || !sum || !same_digest(*given, *sum)) return damaged;

  if (!text.starts_with(first_line)) return std::unexpected("another version of Exeat has written it");
  text.remove_prefix(first_line.size());
  const auto of = take(text, "store");
  if (!of) return damaged;
  if (*of != store) return std::unexpected("it belongs to another state directory");
  record out;
  if (!read_order(text, out) || !read_end(text, out)) return damaged;
  if (!read_digest(take(text, "secret"), out.advance_secret)) return damaged;
  if (!read_digest(take(text, "policy"), out.policy)) return damaged;
  if (!read_tokens(text, out) || !text.empty()) return damaged;
  // One text for one state: leading zeros and the like are nothing that we wrote.
  if (const auto ours = print_record(out, store); !ours || *ours != whole) return damaged;
  return out;
}

}  // namespace exeat::jobs
