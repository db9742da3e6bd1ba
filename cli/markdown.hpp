// Text from files and logs in Markdown: their authors' markup takes no effect in a comment on a pull request.
#pragma once
#include <string>
#include <string_view>

namespace exeat::cli {

/// A code span for a cell of a table or a line, on one line, in printable ASCII, cut at `limit` octets; empty
/// for an empty text.
std::string code_span(std::string_view text, std::size_t limit = 400);

}  // namespace exeat::cli
