#include "cli/diff_markdown.hpp"

#include <fmt/format.h>

namespace exeat::cli {
namespace {

// More lines of one list are folded.
constexpr std::size_t open_lines = 10;
// For what stands around the lines.
constexpr std::size_t reserve = 500;

class comment {
 public:
  void add(const diff_section& section) {
    if (!take(fmt::format("\n#### {}\n", section.title))) {
      for (const auto& list : section.lists) left_out_ += list.lines.size();
      return;
    }
    for (const auto& list : section.lists) add(list);
  }

  std::size_t left_out() const { return left_out_; }
  const std::string& text() const { return text_; }

 private:
  void add(const diff_list& list) {
    const bool folded = list.lines.size() > open_lines;
    const auto head =
        folded ? fmt::format("\n<details><summary>{}: {} lines</summary>\n\n", list.title, list.lines.size())
               : fmt::format("\n**{}**\n\n", list.title);
    if (!take(head)) {
      left_out_ += list.lines.size();
      return;
    }
    for (const auto& line : list.lines) {
      if (!take("- " + line + "\n")) ++left_out_;
    }
    if (folded) text_ += "\n</details>\n";
  }

  bool take(const std::string& text) {
    if (text_.size() + text.size() + reserve > longest_comment) return false;
    text_ += text;
    return true;
  }

  std::string text_;
  std::size_t left_out_ = 0;
};

}  // namespace

std::string diff_markdown(std::string_view verdict, std::span<const diff_section> sections,
                          std::string_view reworded) {
  comment body;
  for (const auto& section : sections) body.add(section);
  auto out = fmt::format("### exeat diff: {}\n", verdict);
  if (body.left_out() > 0)
    out += fmt::format("\n**{} lines do not fit into a comment: run `exeat diff` for all of them.**\n",
                       body.left_out());
  out += body.text();
  if (!reworded.empty()) out += fmt::format("\n{}\n", reworded);
  return out;
}

}  // namespace exeat::cli
