#include "cli/command_shape.hpp"

#include <algorithm>
#include <utility>

#include "cli/command_tree.hpp"

namespace exeat::cli {
namespace {

// An argument is named by what it takes. A test fails for a name that is not here.
constexpr std::pair<std::string_view, value_kind> metavars[]{
    {"ADDRESS", value_kind::free}, {"COMMAND", value_kind::program}, {"DIRECTORY", value_kind::directory},
    {"DOMAIN", value_kind::free},  {"FILE", value_kind::file},       {"HOST", value_kind::free},
    {"LOG", value_kind::file},     {"METHOD", value_kind::free},     {"N", value_kind::free},
    {"NAME", value_kind::free},    {"NEW", value_kind::file},        {"OLD", value_kind::file},
    {"PATH", value_kind::file},    {"PHASE", value_kind::free},      {"PHASE=ADDRESS", value_kind::free},
    {"TEXT", value_kind::free},    {"TIME", value_kind::free},       {"URL", value_kind::free},
    {"ID", value_kind::free},      {"PHASES", value_kind::free},
};

// CLI11 puts the words of IsMember behind the type: "FORMAT:{text,json}".
std::vector<std::string> words_in(std::string_view type) {
  std::vector<std::string> words;
  const auto open = type.find('{');
  const auto close = type.find('}');
  if (open == std::string_view::npos || close == std::string_view::npos) return words;
  auto rest = type.substr(open + 1, close - open - 1);
  while (!rest.empty()) {
    const auto comma = std::min(rest.find(','), rest.size());
    words.emplace_back(rest.substr(0, comma));
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return words;
}

argument_shape shape_of(const CLI::Option& option) {
  argument_shape shape{.doc = option.get_description(), .required = option.get_required()};
  const auto type = option.get_type_name();
  const auto metavar = type.substr(0, type.find(':'));
  shape.positional = option.get_positional();
  if (shape.positional) {
    shape.name = option.get_name(true);
    shape.metavar = metavar.empty() || metavar == "TEXT" ? shape.name : metavar;
  } else {
    shape.name = "--" + option.get_lnames().front();
    if (option.get_items_expected_max() > 0) shape.metavar = metavar;
  }
  shape.repeats = option.get_items_expected_max() > 1;
  if (shape.metavar.empty()) return shape;
  shape.words = words_in(type);
  shape.kind =
      shape.words.empty() ? kind_of_metavar(shape.metavar).value_or(value_kind::free) : value_kind::words;
  return shape;
}

command_shape shape_of(const CLI::App& app) {
  constexpr std::string_view behind = "exit status ";
  command_shape shape{.name = app.get_name(), .about = app.get_description()};
  if (const auto at = shape.about.find("; " + std::string(behind)); at != std::string::npos) {
    shape.status = shape.about.substr(at + 2 + behind.size());
    shape.about.resize(at);
    shape.about += '.';
  } else {
    shape.status = "0 done, 2 error.";
  }
  for (const auto* option : app.get_options()) shape.arguments.push_back(shape_of(*option));
  // CLI11 defines --help first; for people it comes last.
  const auto help = std::ranges::find(shape.arguments, "--help", &argument_shape::name);
  if (help != shape.arguments.end()) std::rotate(help, help + 1, shape.arguments.end());
  return shape;
}

}  // namespace

std::optional<value_kind> kind_of_metavar(std::string_view metavar) noexcept {
  const auto* row = std::ranges::find(metavars, metavar, &std::pair<std::string_view, value_kind>::first);
  if (row == std::end(metavars)) return std::nullopt;
  return row->second;
}

std::vector<command_shape> command_shapes(const CLI::App& app) {
  std::vector<command_shape> shapes{shape_of(app)};
  shapes.front().name.clear();
  for (const auto* sub : listed_commands(app)) shapes.push_back(shape_of(*sub));
  return shapes;
}

}  // namespace exeat::cli
