#include <iterator>

#include "review/report.hpp"
#include "review/report_words.hpp"

namespace exeat::review {
namespace {

/// RFC 3339, microseconds, as in the log.
std::string time_of(time_point time) {
  const auto micros =
      std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch()).count() % 1'000'000;
  return fmt::format(
      "{:%FT%T}.{:06}Z",
      fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::floor<std::chrono::seconds>(time))),
      micros);
}

/// One object; texts without a value are left out.
class object {
 public:
  object& text(std::string_view name, std::string_view value) {
    if (value.empty()) return *this;
    key(name);
    core::append_json_string(out_, value);
    return *this;
  }
  object& number(std::string_view name, std::uint64_t value) {
    key(name);
    out_ += std::to_string(value);
    return *this;
  }
  /// What is JSON already.
  object& json(std::string_view name, std::string_view value) {
    key(name);
    out_ += value;
    return *this;
  }
  std::string take() && { return out_.empty() ? "{}" : std::move(out_) + '}'; }

 private:
  void key(std::string_view name) {
    out_ += out_.empty() ? '{' : ',';
    fmt::format_to(std::back_inserter(out_), "\"{}\":", name);
  }
  std::string out_;
};

template <typename Rows, typename Write>
std::string list(const Rows& rows, const Write& write) {
  std::string out = "[";
  for (bool first = true; const auto& row : rows) {
    out += first ? "\n" : ",\n";
    first = false;
    object one;
    write(one, row);
    out += std::move(one).take();
  }
  return out + ']';
}

void write_refusal(object& out, const blocked_group& row) {
  out.text("host", row.host);
  if (row.port != 0) out.number("port", row.port);
  out.text("scheme", row.scheme)
      .text("phase", row.phase)
      .text("reason", row.reason)
      .text("first_seen", time_of(row.first_seen))
      .text("last_seen", time_of(row.last_seen))
      .text("rule", row.rule)
      .text("rule_at", row.rule_at)
      .text("hint", row.hint);
  if (row.jobs != 0) out.number("jobs", row.jobs);
  out.number("count", row.count).number("would_deny", row.would_deny);
}

std::string rule_of(const blocked_group& row) {
  return row.would_deny == row.count ? "audit/" + row.reason : "blocked/" + row.reason;
}

std::string message_of(const std::string& text) {
  return std::move(object().text("text", visible(text))).take();
}

std::string location_of(const std::string& rule_at, const std::string& policy) {
  const auto colon = rule_at.rfind(':');
  std::string file = colon == std::string::npos ? policy : rule_at.substr(0, colon);
  std::uint64_t line = 0;
  if (colon != std::string::npos) {
    for (const char c : std::string_view(rule_at).substr(colon + 1))
      line = c >= '0' && c <= '9' && line < 100'000'000 ? line * 10 + static_cast<std::uint64_t>(c - '0') : 0;
  }
  std::string uri = file.starts_with('/') ? "file://" : "";
  for (const char c : file) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       std::string_view("-._~/").find(c) != std::string_view::npos;
    uri += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  object place;
  place.json("artifactLocation", std::move(object().text("uri", uri)).take());
  place.json("region", fmt::format("{{\"startLine\":{}}}", line == 0 ? 1 : line));
  return "[" + std::move(object().json("physicalLocation", std::move(place).take())).take() + "]";
}

void write_result(object& out, const blocked_group& row, const std::string& policy) {
  const bool audit = row.would_deny == row.count;
  auto text = fmt::format("{} {} ({} times, phase {}): {}.", destination(row),
                          audit ? "would have been refused" : "was refused", row.count,
                          row.phase.empty() ? "unknown" : row.phase, row.reason);
  if (!row.hint.empty()) text += " To allow: " + row.hint;
  out.text("ruleId", rule_of(row)).text("level", audit ? "warning" : "error");
  out.json("message", message_of(text)).json("locations", location_of(row.rule_at, policy));
  out.json(
      "partialFingerprints",
      std::move(object().text("exeat/v1", destination(row) + ' ' + row.phase + ' ' + row.reason)).take());
}

}  // namespace

std::string json_report(const report& report) {
  std::vector<blocked_group> all = report.blocked;
  all.insert(all.end(), report.would_deny.begin(), report.would_deny.end());
  object out;
  out.json("refusals", list(all, write_refusal));
  if (report.fresh) {
    out.json(
        "new", list(*report.fresh, [](object& to, const new_destination& row) {
          to.text("host", row.host).number("port", row.port).text("phase", row.phase).text("rule", row.rule);
          to.text("rule_at", row.rule_at).text("first_seen", time_of(row.first_seen));
          to.text("last_seen", time_of(row.last_seen)).number("count", row.count).number("jobs", row.jobs);
          to.number("bytes_up", row.bytes_up).number("bytes_down", row.bytes_down);
        }));
  }
  if (report.budgets) {
    out.json("budgets", list(*report.budgets, [](object& to, const budget_use& use) {
               to.text("kind", use.kind).text("phase", use.phase).text("rule", use.rule);
               to.number("used", use.used).number("limit", use.limit).text("at", time_of(use.at));
             }));
  }
  if (report.unused) {
    out.json("unused", list(*report.unused, [](object& to, const unused_rule& one) {
               to.text("phase", one.phase)
                   .text("rule", one.rule)
                   .text("rule_at", one.rule_at)
                   .text("text", one.text);
             }));
  }
  out.number("total", report.total).number("other", report.other).number("more_groups", report.more_groups);
  out.number("lost", report.lost).number("malformed", report.malformed);
  return std::move(out).take() + '\n';
}

std::string sarif_report(const report& report, const std::string& policy) {
  std::vector<std::string> rules;
  const auto add_rules = [&](const std::vector<blocked_group>& rows) {
    std::set<std::string> codes;
    for (const auto& row : rows) {
      if (!codes.insert(rule_of(row)).second) continue;
      const auto known = core::reason_of(row.reason);
      object rule;
      rule.text("id", rule_of(row));
      rule.json("shortDescription",
                message_of(known ? std::string(core::row_of(*known).doc) : "A reason of another version."));
      rules.push_back(std::move(rule).take());
    }
  };
  add_rules(report.blocked);
  add_rules(report.would_deny);
  std::vector<std::string> results;
  for (const auto* rows : {&report.blocked, &report.would_deny}) {
    for (const auto& row : *rows) {
      object one;
      write_result(one, row, policy);
      results.push_back(std::move(one).take());
    }
  }
  if (report.fresh && !report.fresh->empty()) {
    rules.emplace_back(
        R"({"id":"new","shortDescription":{"text":"A destination that was let through and never seen before."}})");
    for (const auto& row : *report.fresh) {
      object one;
      one.text("ruleId", "new").text("level", "note");
      one.json("message",
               message_of(fmt::format("{} was let through {} times in phase {}, and never before, by {}.",
                                      destination(row), row.count, row.phase, row.rule)));
      one.json("locations", location_of(row.rule_at, policy));
      results.push_back(std::move(one).take());
    }
  }
  const auto joined = [](const std::vector<std::string>& parts) {
    std::string out = "[";
    for (const auto& part : parts) out += (out.size() == 1 ? "\n" : ",\n") + part;
    return out + ']';
  };
  object driver;
  driver.text("name", "exeat").text("version", EXEAT_VERSION).json("rules", joined(rules));
  object run;
  run.json("tool", std::move(object().json("driver", std::move(driver).take())).take());
  run.json("results", joined(results));
  object out;
  out.text("$schema", "https://json.schemastore.org/sarif-2.1.0.json").text("version", "2.1.0");
  return std::move(out.json("runs", "[" + std::move(run).take() + "]")).take() + '\n';
}

}  // namespace exeat::review
