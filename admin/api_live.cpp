// GET /v1/live: who may watch, and what. The stream itself is the server's.
#include <algorithm>
#include <charconv>

#include "admin/api.hpp"

namespace exeat::admin {

reply live(const api_call& call) {
  const auto show = call.parameter("show");
  if (!show.empty() && show != "all" && show != "refused")
    return api_error(http::status::bad_request, "`show` is all or refused.");
  for (const std::string_view name : {"phase", "q"}) {
    if (call.parameter(name).size() > 256)
      return api_error(http::status::bad_request, "A filter has at most 256 octets.");
  }
  const auto after = count_of(call, "after", 0, SIZE_MAX, 0);
  if (!after) return after.error();
  return {.type = "text/event-stream", .body = {}};
}

live_filter live_filter_of(const query& query) {
  live_filter out;
  for (const auto& [name, value] : query) {
    if (name == "phase") out.phase = value;
    if (name == "show") out.refused_only = value == "refused";
    if (name == "q") {
      out.words = value;
      std::ranges::transform(out.words, out.words.begin(),
                             [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    }
    if (name == "after") {
      std::uint64_t number = 0;
      std::from_chars(value.data(), value.data() + value.size(), number);
      out.after = number;
    }
  }
  return out;
}

}  // namespace exeat::admin
