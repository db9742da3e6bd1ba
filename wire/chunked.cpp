#include "wire/chunked.hpp"

#include <algorithm>
#include <cstring>

#include "wire/field.hpp"
#include "wire/octets.hpp"

namespace exeat::wire {
namespace {

constexpr std::uint64_t max_chunk = std::uint64_t{1} << 62;

std::uint64_t hex_value(char c) noexcept {
  if (c <= '9') return static_cast<std::uint64_t>(c - '0');
  return static_cast<std::uint64_t>(lower(c) - 'a') + 10;
}

bool is_listed(std::string_view list, std::string_view name) noexcept {
  std::string_view element;
  while (next_element(list, element)) {
    if (same_text(element, name)) return true;
  }
  return false;
}

}  // namespace

bool is_forbidden_trailer(std::string_view name) noexcept {
  switch (identify(name)) {
    case field_id::other:
      break;
    default:
      return true;  // every field that the proxy itself reads, writes or removes
  }
  static constexpr std::string_view exact[] = {"age",
                                               "allow",
                                               "alt-svc",
                                               "authentication-info",
                                               "cache-control",
                                               "cdn-loop",
                                               "clear-site-data",
                                               "cookie",
                                               "date",
                                               "early-data",
                                               "expires",
                                               "forwarded",
                                               "location",
                                               "origin",
                                               "pragma",
                                               "prefer",
                                               "priority",
                                               "range",
                                               "referer",
                                               "retry-after",
                                               "set-cookie",
                                               "strict-transport-security",
                                               "user-agent",
                                               "vary",
                                               "warning",
                                               "x-method-override",
                                               "x-original-url",
                                               "x-real-ip",
                                               "x-rewrite-url"};
  return starts_with_text(name, "content-") || starts_with_text(name, "if-") ||
         starts_with_text(name, "accept-") || starts_with_text(name, "access-control-") ||
         starts_with_text(name, "sec-") || starts_with_text(name, "x-forwarded-") ||
         starts_with_text(name, "x-http-method") ||
         std::ranges::any_of(exact, [&](std::string_view item) { return same_text(name, item); });
}

chunk_step chunked_decoder::refuse(std::string_view detail, std::size_t consumed) noexcept {
  state_ = state::refused;
  detail_ = detail;
  return {chunk_step::kind::error, consumed, {}};
}

void chunked_decoder::reset() noexcept {
  state_ = state::size;
  digits_ = 0;
  left_ = 0;
  extension_line_ = extensions_ = trailer_count_ = trailer_bytes_ = 0;
  line_.clear();
  trailers_.clear();
  detail_ = {};
}

void chunked_decoder::skip(std::uint64_t octets) noexcept {
  left_ -= std::min(octets, chunk_left());
  if (state_ == state::data && left_ == 0) state_ = state::data_cr;
}

bool chunked_decoder::take_trailer() {
  const auto parsed = parse_field_line(line_);
  if (!parsed) {
    detail_ = parsed.error().detail;
    return false;
  }
  if (!is_forbidden_trailer(parsed->name) && !is_listed(nominated_, parsed->name)) {
    trailers_.append(parsed->name).append(": ").append(parsed->value).append("\r\n");
  }
  line_.clear();
  return true;
}

chunk_step chunked_decoder::next(std::string_view input) {
  using kind = chunk_step::kind;
  if (state_ == state::complete) return {kind::end, 0, {}};
  if (state_ == state::refused) return {kind::error, 0, {}};
  std::size_t i = 0;
  while (i < input.size()) {
    const char c = input[i];
    switch (state_) {
      case state::size:
        ++i;
        if (is(c, octet_hex)) {
          if (++digits_ > 16) return refuse("a chunk size has more than 16 digits", i);
          left_ = (left_ << 4) | hex_value(c);
          break;
        }
        if (digits_ == 0) return refuse("a chunk size is not made of hex digits", i);
        if (left_ >= max_chunk) return refuse("a chunk size is too large", i);
        if (c == '\r') {
          state_ = state::size_lf;
        } else if (c == ';') {
          extension_line_ = 1;
          if (++extensions_ > max_extensions) return refuse("chunk extensions are too large", i);
          state_ = state::extension;
        } else {
          return refuse("a chunk size is followed by something other than CRLF or `;`", i);
        }
        break;
      case state::extension:
        ++i;
        if (c == '\r') {
          state_ = state::size_lf;
          break;
        }
        if (!is(c, octet_printable) && c != '\t') return refuse("a chunk extension is malformed", i);
        if (++extension_line_ > max_extension_line || ++extensions_ > max_extensions) {
          return refuse("chunk extensions are too large", i);
        }
        break;
      case state::size_lf:
        ++i;
        if (c != '\n') return refuse("a chunk size line does not end in CRLF", i);
        digits_ = 0;
        state_ = left_ == 0 ? state::trailer_start : state::data;
        break;
      case state::data: {
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size() - i));
        left_ -= size;
        if (left_ == 0) state_ = state::data_cr;
        return {kind::data, i + size, input.substr(i, size)};
      }
      case state::data_cr:
        ++i;
        if (c != '\r') return refuse("a chunk is longer than its size says", i);
        state_ = state::data_lf;
        break;
      case state::data_lf:
        ++i;
        if (c != '\n') return refuse("a chunk does not end in CRLF", i);
        state_ = state::size;
        break;
      case state::trailer_start:
        if (c == '\r') {
          ++i;
          state_ = state::last_lf;
          break;
        }
        if (c == ' ' || c == '\t') return refuse("a trailer line starts with white space", i);
        if (++trailer_count_ > max_trailers) return refuse("too many trailers", i);
        state_ = state::trailer;
        break;
      case state::trailer: {
        const std::size_t from = i;
        while (i < input.size() && is(input[i], octet_text)) ++i;
        trailer_bytes_ += i - from;
        if (trailer_bytes_ > max_trailer_bytes) return refuse("the trailers are too large", i);
        line_.append(input, from, i - from);
        if (i == input.size()) break;
        if (input[i] != '\r') return refuse("a control character or a bare LF stands in a trailer", i);
        ++i;
        state_ = state::trailer_lf;
        break;
      }
      case state::trailer_lf:
        ++i;
        if (c != '\n') return refuse("a trailer line does not end in CRLF", i);
        if (!take_trailer()) return refuse(detail_, i);
        state_ = state::trailer_start;
        break;
      case state::last_lf:
        ++i;
        if (c != '\n') return refuse("the body does not end in CRLF", i);
        state_ = state::complete;
        return {kind::end, i, {}};
      case state::complete:
      case state::refused:
        return {kind::error, i, {}};
    }
  }
  return {kind::need_more, i, {}};
}

chunked_decoder::gathered chunked_decoder::gather(std::span<char> input) {
  gathered out;
  char* first = nullptr;
  std::size_t size = 0;
  for (;;) {
    const auto step = next({input.data() + out.consumed, input.size() - out.consumed});
    out.consumed += step.consumed;
    if (step.what != chunk_step::kind::data) {
      out.then = step.what;
      break;
    }
    char* const here = input.data() + (step.data.data() - input.data());
    if (first == nullptr) {
      first = here;
    } else {
      std::memmove(first + size, here, step.data.size());
    }
    size += step.data.size();
  }
  if (first != nullptr) out.data = {first, size};
  return out;
}

chunk_header::chunk_header(std::uint64_t size) noexcept : start_(text_.size() - 2) {
  text_[16] = '\r';
  text_[17] = '\n';
  do {
    text_[--start_] = "0123456789abcdef"[size & 15U];
    size >>= 4;
  } while (size != 0);
}

void append_last_chunk(std::string& out, std::string_view trailers) {
  out.append("0\r\n").append(trailers).append("\r\n");
}

}  // namespace exeat::wire
