#include "log/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <functional>
#include <istream>
#include <limits>
#include <map>
#include <system_error>
#include <tuple>
#include <unordered_set>

#include "core/units.hpp"
#include "log/format.hpp"
#include "log/json_line.hpp"

namespace exeat::log {
namespace {

namespace json = boost::json;

constexpr std::size_t group_max = 100'000;

/// "2027-03-31T12:03:44.000123Z": of one length, so that text order is time order.
bool is_time(std::string_view text) {
  constexpr std::string_view shape = "dddd-dd-ddTdd:dd:dd.ddddddZ";
  return std::ranges::equal(text, shape,
                            [](char c, char form) { return form == 'd' ? c >= '0' && c <= '9' : c == form; });
}

class collection {
 public:
  explicit collection(const report_options& options) : options_(options) {
    if (options.since) append_time(since_, *options.since);
  }

  void read(std::istream& in) {
    std::string line(line_max, '\0');
    while (in.getline(line.data(), static_cast<std::streamsize>(line.size())) || in.gcount() > 0) {
      if (in.fail() && !in.eof()) {  // longer than any line of ours
        in.clear();
        in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
        ++result_.malformed;
        continue;
      }
      const auto read = static_cast<std::size_t>(in.gcount());
      const std::string_view text(line.data(), in.eof() ? read : read - 1);
      if (!text.empty()) take(text);
    }
  }

  void unreadable(std::string sentence) { result_.unreadable.push_back(std::move(sentence)); }

  report finish() && {
    for (auto& [key, row] : groups_) result_.rows.push_back(std::move(row));
    std::ranges::sort(result_.rows, [](const report_row& a, const report_row& b) {
      return std::tie(b.count, a.host, a.port, a.phase, a.reason) <
             std::tie(a.count, b.host, b.port, b.phase, b.reason);
    });
    return std::move(result_);
  }

 private:
  using key = std::tuple<std::string, std::uint16_t, std::string, std::string>;

  void take(std::string_view text) {
    boost::system::error_code failed;
    unsigned char buffer[8192];
    json::monotonic_resource memory(buffer);
    const json::value value = json::parse(text, failed, &memory);
    const json::object* line = failed ? nullptr : value.if_object();
    const std::string_view time = line == nullptr ? std::string_view{} : string_at(*line, "time");
    if (!is_time(time)) {
      ++result_.malformed;
      return;
    }
    if (time < since_) return;
    const std::string_view event = string_at(*line, "event");
    if (event == "dropped") {
      result_.lost += number_at(*line, "count");
    } else if (event == "decision" || event == "close") {
      take_event(*line, time);
    } else if (event != "process") {
      ++result_.malformed;
    }
  }

  void take_event(const json::object& line, std::string_view time) {
    const std::string_view verdict = string_at(line, "verdict");
    const std::string_view reason = string_at(line, "reason");
    const std::string_view id = string_at(line, "decision");
    const std::uint64_t port = number_at(line, "port");
    if (id.empty() || reason.empty() || verdict.empty() || port > 65535) {
      ++result_.malformed;
      return;
    }
    if (options_.phase && string_at(line, "phase") != *options_.phase) return;
    if (options_.job && string_at(line, "job") != *options_.job) return;
    const auto known = core::reason_of(reason);
    const bool of_policy = known && core::row_of(*known).kind == core::reason_kind::policy;
    if (verdict != "deny" && verdict != "would_deny" && !of_policy) return;
    const std::hash<std::string_view> hash;
    if (!seen_.insert(hash(id) * 31 + hash(reason)).second) return;
    ++result_.total;

    key group{string_at(line, "host"), static_cast<std::uint16_t>(port), string_at(line, "phase"), reason};
    auto found = groups_.find(group);
    if (found == groups_.end()) {
      if (groups_.size() == group_max) {
        ++result_.other;
        return;
      }
      report_row row;
      std::tie(row.host, row.port, row.phase, row.reason) = group;
      row.first_seen = time;
      found = groups_.emplace(std::move(group), std::move(row)).first;
    }
    report_row& row = found->second;
    ++row.count;
    if (verdict == "would_deny") ++row.would_deny;
    if (time < row.first_seen) row.first_seen = time;
    if (time < row.last_seen) return;
    row.last_seen = time;
    row.hint = string_at(line, "hint");
  }

  const report_options& options_;
  std::string since_;
  std::map<key, report_row> groups_;
  std::unordered_set<std::size_t> seen_;
  report result_;
};

/// False where the file is not there.
bool read_file(collection& into, const std::string& path) {
  std::error_code failed;
  if (!std::filesystem::exists(path, failed) && !failed) return false;
  std::ifstream in;
  if (!failed && !std::filesystem::is_directory(path, failed)) in.open(path, std::ios::binary);
  if (!in.is_open()) {
    const int error = failed ? failed.value() : std::filesystem::is_directory(path, failed) ? EISDIR : errno;
    into.unreadable(fmt::format("cannot read {}: {}", path, std::generic_category().message(error)));
    return true;
  }
  into.read(in);
  if (in.bad()) into.unreadable(fmt::format("cannot read all of {}", path));
  return true;
}

}  // namespace

std::expected<std::chrono::system_clock::time_point, std::string> parse_since(
    std::string_view text, std::chrono::system_clock::time_point now) {
  if (const auto before = core::parse_duration(text)) return now - *before;
  constexpr std::string_view shape = "dddd-dd-ddTdd:dd:ddZ";
  const bool date_only = text.size() == 10;
  const auto fits = [](char c, char form) { return form == 'd' ? c >= '0' && c <= '9' : c == form; };
  if (std::ranges::equal(text, date_only ? shape.substr(0, 10) : shape, fits)) {
    const auto number = [&](std::size_t at, std::size_t size) {
      int value = 0;
      std::from_chars(text.data() + at, text.data() + at + size, value);
      return value;
    };
    const std::chrono::year_month_day date{std::chrono::year{number(0, 4)},
                                           std::chrono::month{static_cast<unsigned>(number(5, 2))},
                                           std::chrono::day{static_cast<unsigned>(number(8, 2))}};
    const int hour = date_only ? 0 : number(11, 2);
    const int minute = date_only ? 0 : number(14, 2);
    const int second = date_only ? 0 : number(17, 2);
    if (date.ok() && hour < 24 && minute < 60 && second < 60) {
      return std::chrono::sys_days{date} + std::chrono::hours{hour} + std::chrono::minutes{minute} +
             std::chrono::seconds{second};
    }
  }
  return std::unexpected(fmt::format(
      "\"{}\" is no time: write a duration like 24h, a date like 2027-03-31, or 2027-03-31T12:00:00Z (UTC)",
      text));
}

report make_report(const report_options& options, std::istream& standard_input) {
  collection all(options);
  for (const std::string& file : options.files) {
    if (file == "-") {
      all.read(standard_input);
      continue;
    }
    bool found = read_file(all, file);
    for (unsigned i = 1; options.rotated; ++i) {
      if (!read_file(all, fmt::format("{}.{}", file, i))) break;
      found = true;
    }
    if (!found) all.unreadable(fmt::format("cannot read {}: No such file or directory", file));
  }
  return std::move(all).finish();
}

}  // namespace exeat::log
