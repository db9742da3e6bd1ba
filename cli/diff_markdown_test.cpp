#include "cli/diff_markdown.hpp"

#include <doctest/doctest.h>

using namespace exeat::cli;

namespace {

diff_section section(std::string title, std::size_t lines) {
  diff_section out{.title = std::move(title), .lists = {{"becomes reachable", {}}}};
  for (std::size_t i = 0; i < lines; ++i)
    out.lists[0].lines.push_back("`h" + std::to_string(i) + ".example`");
  return out;
}

std::size_t count(std::string_view text, std::string_view what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

}  // namespace

TEST_CASE("a comment folds long lists and no others") {
  const std::vector<diff_section> sections{section("few", 10), section("many", 11)};
  const auto text = diff_markdown("verdict", sections, "1 rule changed");
  CHECK(text.starts_with("### exeat diff: verdict\n\n#### few\n\n**becomes reachable**\n\n- `h0.example`\n"));
  CHECK(count(text, "<details><summary>becomes reachable: 11 lines</summary>\n\n- ") == 1);
  CHECK(count(text, "\n\n</details>\n") == 1);
  CHECK(count(text, "- `h") == 21);
  CHECK(text.ends_with("\n\n1 rule changed\n"));
  CHECK(text.find("do not fit") == std::string::npos);
}

TEST_CASE("a comment is bounded, and says how much it leaves out") {
  std::vector<diff_section> sections;
  for (int i = 0; i < 3000; ++i) sections.push_back(section("s" + std::to_string(i), 20));
  const auto text = diff_markdown("verdict", sections, "");
  CHECK(text.size() <= longest_comment);
  CHECK(text.size() > longest_comment - 2000);
  CHECK(count(text, "<details>") == count(text, "</details>"));
  const auto left = 3000 * 20 - count(text, "- `h");
  CHECK(text.find("**" + std::to_string(left) + " lines do not fit into a comment") < 100);
  // One line that is too long alone does not take the others with it.
  sections.assign(1, section("one", 3));
  sections[0].lists[0].lines[1] = std::string(longest_comment, 'x');
  const auto rest = diff_markdown("verdict", sections, "");
  CHECK(count(rest, "- `h") == 2);
  CHECK(rest.find("**1 lines do not fit") != std::string::npos);
}
