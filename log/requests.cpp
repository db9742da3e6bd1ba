#include "log/requests.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <istream>
#include <limits>
#include <system_error>

#include "log/json_line.hpp"

namespace exeat::log {
namespace {

namespace json = boost::json;

bool is_refusal(const json::object& line) {
  const auto verdict = string_at(line, "verdict");
  return verdict == "deny" || verdict == "would_deny";
}

void take(std::string_view text, requests_read& count, const request_visitor& visit,
          const request_visitor& cut) {
  boost::system::error_code failed;
  unsigned char buffer[8192];
  json::monotonic_resource memory(buffer);
  const json::value value = json::parse(text, failed, &memory);
  const json::object* line = failed ? nullptr : value.if_object();
  const auto event = line == nullptr ? std::string_view{} : string_at(*line, "event");
  if (event == "dropped") {
    count.lost += number_at(*line, "count");
  } else if (event == "decision" || (event == "close" && cut && is_refusal(*line))) {
    const auto port = number_at(*line, "port");
    if (port > 65535) {
      ++count.malformed;
      return;
    }
    const bool is_decision = event == "decision";
    if (is_decision) ++count.decisions;
    (is_decision ? visit : cut)({.time = string_at(*line, "time"),
                                 .phase = string_at(*line, "phase"),
                                 .scheme = string_at(*line, "scheme"),
                                 .method = string_at(*line, "method"),
                                 .host = string_at(*line, "host"),
                                 .port = static_cast<std::uint16_t>(port),
                                 .address = string_at(*line, "address"),
                                 .verdict = string_at(*line, "verdict"),
                                 .reason = string_at(*line, "reason"),
                                 .rule = string_at(*line, "rule")});
  } else if (event != "close" && event != "process") {
    ++count.malformed;
  }
}

}  // namespace

requests_read read_requests(std::istream& in, const request_visitor& visit, const request_visitor& cut) {
  requests_read count;
  std::string line(line_max, '\0');
  while (in.getline(line.data(), static_cast<std::streamsize>(line.size())) || in.gcount() > 0) {
    if (in.fail() && !in.eof()) {  // longer than any line of ours
      in.clear();
      in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      ++count.malformed;
      continue;
    }
    const auto read = static_cast<std::size_t>(in.gcount());
    const std::string_view text(line.data(), in.eof() ? read : read - 1);
    if (!text.empty()) take(text, count, visit, cut);
  }
  return count;
}

std::string read_requests(const std::string& file, std::istream& standard_input, requests_read& count,
                          const request_visitor& visit, const request_visitor& cut) {
  const auto add = [&](std::istream& in) {
    const auto more = read_requests(in, visit, cut);
    count.decisions += more.decisions;
    count.malformed += more.malformed;
    count.lost += more.lost;
  };
  if (file == "-") {
    add(standard_input);
    return {};
  }
  std::error_code failed;
  std::ifstream in;
  const bool directory = std::filesystem::is_directory(file, failed);
  if (!directory) in.open(file, std::ios::binary);
  if (!in.is_open()) {
    const int error = directory ? EISDIR : failed ? failed.value() : errno;
    return fmt::format("cannot read {}: {}", file, std::generic_category().message(error));
  }
  add(in);
  return in.bad() ? fmt::format("cannot read all of {}", file) : std::string();
}

}  // namespace exeat::log
