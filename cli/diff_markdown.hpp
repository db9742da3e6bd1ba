// The difference as a comment on a pull request.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "cli/diff_words.hpp"

namespace exeat::cli {

/// A comment holds no more than this at the usual hosts (65536 characters), with room for what a workflow
/// puts around it.
inline constexpr std::size_t longest_comment = 60'000;

/// The verdict, then section by section; long lists folded, what does not fit counted right below the
/// verdict. The pieces are Markdown already.
std::string diff_markdown(std::string_view verdict, std::span<const diff_section> sections,
                          std::string_view reworded);

}  // namespace exeat::cli
