// `exeat import`: another product's allowlist as a policy.
#include "importers/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <iterator>

#include "cli/commands.hpp"
#include "config/paths.hpp"

namespace exeat::cli {
namespace {

constexpr std::size_t most = 16U << 20;

std::expected<std::string, std::string> read_all(const std::string& path) {
  std::string text;
  if (path == "-") {
    text.assign(std::istreambuf_iterator<char>(std::cin), {});
  } else {
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::unexpected("it cannot be opened");
    // A directory opens and does not read.
    std::string chunk(1U << 16, '\0');
    while (file.read(chunk.data(), static_cast<std::streamsize>(chunk.size())) || file.gcount() > 0) {
      text.append(chunk, 0, static_cast<std::size_t>(file.gcount()));
      if (text.size() > most) break;
    }
    if (file.bad()) return std::unexpected("it cannot be read");
  }
  if (text.size() > most) return std::unexpected(fmt::format("it is larger than {} MiB", most >> 20));
  return text;
}

void list(std::string_view title, const std::vector<importers::remark>& remarks, const std::string& file) {
  if (remarks.empty()) return;
  fmt::print(stderr, "{}:\n", title);
  for (const auto& one : remarks) {
    fmt::print(stderr, "  {}: {}\n",
               config::printable(one.line == 0 ? file : fmt::format("{}:{}", file, one.line), 400),
               config::printable(one.text, 500));
  }
}

}  // namespace

int run_import(const import_options& options) {
  const auto from = importers::product_of(options.from);
  const auto text = read_all(options.file);
  if (!text) {
    fmt::print(stderr, "exeat import: {}: {}\n", config::printable(options.file), text.error());
    return exit_error;
  }
  const auto directory = config::directory_of(options.file);
  const importers::source source{
      .from = *from,
      .text = *text,
      .file = options.file == "-" ? "standard input" : options.file,
      .phase = options.phase,
      .read = [&](const std::string& path) {
        return read_all(config::resolve_path(path, directory == "." ? "" : directory));
      }};
  const auto result = importers::import(source);
  if (!result) {
    fmt::print(stderr, "{}", config::to_string(result.error()));
    return exit_error;
  }
  const auto printed = importers::print(*result, source);
  fmt::print("{}", printed);
  if (const auto loads = config::parse_policy(printed, "the imported policy"); !loads) {
    fmt::print(stderr, "exeat import: what was printed does not load, which is a fault of exeat's:\n{}",
               config::to_string(loads.error()));
    return exit_error;
  }
  list("not the same as before", result->differs, source.file);
  list("left out", result->left_out, source.file);
  const auto of_lines = [](const std::vector<importers::remark>& remarks) {
    return std::ranges::count_if(remarks, [](const importers::remark& one) { return one.line != 0; });
  };
  const auto differs = of_lines(result->differs);
  const auto left_out = of_lines(result->left_out);
  fmt::print(stderr, "{} entries mean the same, {} differ, {} are left out\n", result->exact, differs,
             left_out);
  return differs == 0 && left_out == 0 ? exit_ok : exit_denied;
}

}  // namespace exeat::cli
