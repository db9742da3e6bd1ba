#include "identity/credential.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "jobs/secret.hpp"

namespace exeat::identity {
namespace {

std::unexpected<refusal> wrong(std::string detail) {
  return std::unexpected(refusal{core::reason::credential_wrong, std::move(detail)});
}

bool is_same_scheme(std::string_view text, std::string_view lower) noexcept {
  return std::ranges::equal(text, lower, [](char a, char b) {
    return (a >= 'A' && a <= 'Z' ? static_cast<char>(a | 0x20) : a) == b;
  });
}

int base64_value(char c) noexcept {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

/// What a Basic credential says, wiped when it goes.
struct plain_text {
  std::array<char, max_credential> octets;
  std::size_t size = 0;

  plain_text() = default;
  plain_text(const plain_text&) = delete;
  plain_text& operator=(const plain_text&) = delete;
  ~plain_text() { OPENSSL_cleanse(octets.data(), octets.size()); }
  std::string_view view() const noexcept { return {octets.data(), size}; }
};

/// RFC 4648 4 with its padding, and in the one spelling: bits that mean nothing are 0. `in` has at most
/// max_credential octets.
bool decode_base64(std::string_view in, plain_text& out) noexcept {
  if (in.empty() || in.size() % 4 != 0) return false;
  const std::size_t padding = in.ends_with("==") ? 2 : in.ends_with('=') ? 1 : 0;
  std::uint32_t bits = 0;
  unsigned held = 0;
  for (const char c : in.substr(0, in.size() - padding)) {
    const int value = base64_value(c);
    if (value < 0) return false;
    bits = (bits << 6) | static_cast<std::uint32_t>(value);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out.octets[out.size++] = static_cast<char>((bits >> held) & 0xffU);
  }
  return (bits & ((1U << held) - 1)) == 0;
}

/// RFC 9110 11.2; the letters before the padding.
bool is_token68(std::string_view text) noexcept {
  const auto end = text.find_last_not_of('=');
  if (end == std::string_view::npos) return false;
  return std::ranges::all_of(text.substr(0, end + 1), [](char c) {
    return base64_value(c) >= 0 || c == '-' || c == '.' || c == '_' || c == '~';
  });
}

bool names_a_job(std::string_view user) noexcept {
  return user.starts_with("j-");
}

const jobs::job* open_job(const config::identity_check& check, const job_lookup& jobs, std::string_view id) {
  if (!check.job_tokens || jobs.find == nullptr || !names_a_job(id)) return nullptr;
  return jobs.find(jobs.context, id);
}

/// What the candidates that have been compared come to. None ends the comparing.
class verdict {
 public:
  explicit verdict(const jobs::digest& given) noexcept : given_(given) {}

  void compare(const jobs::digest& candidate, const proven& what) noexcept {
    ++compared_;
    if (!jobs::same_digest(given_, candidate)) return;
    if (found_ && *found_ != what) ambiguous_ = true;
    found_ = what;
  }
  void compare_all_of(const jobs::job& job) noexcept {
    for (const auto& token : job.tokens()) compare(token.sha256, {token.phase, job.id()});
  }

  const std::optional<proven>& found() const noexcept { return found_; }
  bool is_ambiguous() const noexcept { return ambiguous_; }
  bool has_compared() const noexcept { return compared_ != 0; }

 private:
  const jobs::digest& given_;
  std::optional<proven> found_;
  bool ambiguous_ = false;
  std::size_t compared_ = 0;
};

std::unexpected<refusal> no_digest() {
  return std::unexpected(refusal{core::reason::internal_error, "SHA-256 cannot be computed"});
}

std::unexpected<refusal> no_such_job() {
  return std::unexpected(refusal{core::reason::job_unknown, "the credential names a job that is not open"});
}

std::unexpected<refusal> several_phases() {
  return std::unexpected(
      refusal{core::reason::identity_ambiguous, "the credential is a token of several phases"});
}

std::expected<proven, refusal> judge_basic(const config::identity_check& check, std::string_view text,
                                           const job_lookup& jobs) {
  plain_text plain;
  if (!decode_base64(text, plain)) return wrong("Basic: what follows is not base64 with its padding");
  const auto pair = plain.view();
  if (std::ranges::any_of(pair, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }))
    return wrong("Basic: a control character stands in it");
  const auto colon = pair.find(':');
  if (colon == std::string_view::npos) return wrong("Basic: no colon between user name and token");
  const auto user = pair.substr(0, colon);
  const auto token = pair.substr(colon + 1);
  if (user.empty()) return wrong("Basic: the user name is empty; it is the phase, or the id of the job");
  if (token.empty()) return wrong("Basic: the token (password) is empty");

  const auto given = jobs::sha256_of(token);
  if (!given) return no_digest();
  verdict verdict(*given);
  for (const auto& claim : check.tokens) {
    if (claim.phase == user) verdict.compare(claim.sha256, {claim.phase, {}});
  }
  const auto* job = open_job(check, jobs, user);
  if (job != nullptr) verdict.compare_all_of(*job);

  if (verdict.is_ambiguous()) return several_phases();
  if (verdict.found()) return *verdict.found();
  if (job == nullptr && !verdict.has_compared()) {
    if (check.job_tokens && names_a_job(user)) return no_such_job();
    return wrong(check.job_tokens ? "Basic: the user name is neither a phase that has a token here nor a job"
                                  : "Basic: the user name is not a phase that has a token here");
  }
  return wrong(job != nullptr ? "Basic: the token is not one of the job that the user name says"
                              : "Basic: the token is not one of the phase that the user name says");
}

std::expected<proven, refusal> judge_bearer(const config::identity_check& check, std::string_view text,
                                            const job_lookup& jobs) {
  if (!is_token68(text)) return wrong("Bearer: what follows is not a token");
  const auto given = jobs::sha256_of(text);
  if (!given) return no_digest();
  verdict plain(*given);
  for (const auto& claim : check.tokens) plain.compare(claim.sha256, {claim.phase, {}});

  // A token of `exeat.yaml` may look like one of a job: the job's is compared all the same.
  const auto dot = text.find('.');
  const bool of_a_job = check.job_tokens && names_a_job(text) && dot != std::string_view::npos;
  const auto* job = of_a_job ? open_job(check, jobs, text.substr(0, dot)) : nullptr;
  const auto given_to_job = jobs::sha256_of(of_a_job ? text.substr(dot + 1) : std::string_view{});
  if (!given_to_job) return no_digest();
  verdict of_job(*given_to_job);
  if (job != nullptr) of_job.compare_all_of(*job);

  if (plain.is_ambiguous() || of_job.is_ambiguous() || (plain.found() && of_job.found()))
    return several_phases();
  if (plain.found()) return *plain.found();
  if (of_job.found()) return *of_job.found();
  if (of_a_job && job == nullptr) return no_such_job();
  return wrong(of_a_job ? "Bearer: the token is not one of the job in front of it"
                        : "Bearer: the token is not known");
}

}  // namespace

std::expected<proven, refusal> judge_credential(const config::identity_check& check,
                                                std::optional<std::string_view> authorization,
                                                const job_lookup& jobs) {
  if (!authorization)
    return std::unexpected(
        refusal{core::reason::credential_missing, "the request has no Proxy-Authorization"});
  if (authorization->size() > max_credential) return wrong("it is longer than 512 octets");
  const auto space = authorization->find(' ');
  const auto scheme = authorization->substr(0, space);
  auto rest = space == std::string_view::npos ? std::string_view{} : authorization->substr(space);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  if (is_same_scheme(scheme, "basic")) return judge_basic(check, rest, jobs);
  if (is_same_scheme(scheme, "bearer")) return judge_bearer(check, rest, jobs);
  return wrong("its scheme is neither Basic nor Bearer");
}

}  // namespace exeat::identity
