#include "log/fields.hpp"

#include <fmt/format.h>

#include <array>
#include <iterator>

namespace exeat::log {
namespace {

constexpr std::array table = {
#define EXEAT_LOG_FIELD_ROW(name, type, events, doc) field_row{#name, type, events, doc},
    EXEAT_LOG_FIELDS(EXEAT_LOG_FIELD_ROW)
#undef EXEAT_LOG_FIELD_ROW
};

constexpr std::string_view preface = R"(# Log

<!-- Generated from log/fields.hpp by `exeat docs log`; a test fails when this page is stale. -->

One JSON object per line (`format: json`, and always in files under `format: auto`). Each request has one
line of the event `decision`, written when it is decided; a tunnel has a second one, `close`, at its end, with
the same `decision` id. `blocked.log` holds refusals only (verdict `deny` or `would_deny`), always as JSON;
`exeat report` groups them.

- A field that has no value is **absent**, never `null` or empty. Fields stand in the order below.
- Lines are printable ASCII: every other character is escaped as `\uXXXX`, octets that are not UTF-8 read as
  `\ufffd`. Hosts, methods, server names and error texts are the client's or origin's choice: a program that
  shows them must escape them again for its medium.
- Texts are cut, ending in `...`: names at 253 octets, `rule_at`, `error` at 300, `hint` at 400, `text` at 2000,
  others shorter.
- Lines may be lost under a flood, or where a target takes no more (disk full, a pipe that nobody reads); they
  are counted per target in `exeat_log_lines_dropped_total`, and a line `dropped` tells how many as soon as
  there is room. What was refused is counted in `exeat_decisions_total` all the same.
- Lines of one worker keep their order; those of several workers interleave within some 10 ms.
- Files rotate by size: `exeat.log` becomes `exeat.log.1`, that one `exeat.log.2`, and so on. After an outside
  rotation send SIGHUP: the files are opened again.

| Field | Type | Events | Meaning |
|---|---|---|---|
)";

constexpr std::string_view text_part = R"(
## Text

On a terminal (`format: auto` or `text`) a line is short and in local time; colours are off where
`NO_COLOR` is set or the output is no terminal:

```
12:03:44 DENY  agent    CONNECT evil.example:443  no-rule  (0N6M4ZVY5F3QK)
12:03:45 ALLOW agent    CONNECT api.anthropic.com:443  agent/api.anthropic.com:443  (0N6M4ZVY5F3QM)
12:03:59 CLOSE agent    CONNECT api.anthropic.com:443  1.2 KiB up, 83.0 KiB down, 14.2 s  (0N6M4ZVY5F3QM)
```

A refusal that knows what would help ends in `-> HINT`. `AUDIT` is the verdict `would_deny`; `ALARM` is a refusal with
the reason `canary`.
)";

}  // namespace

std::span<const field_row> fields() noexcept {
  return table;
}

std::string_view name_of(field value) noexcept {
  return table[static_cast<std::size_t>(value)].name;
}

std::string log_reference() {
  std::string page{preface};
  for (const field_row& row : table) {
    fmt::format_to(std::back_inserter(page), "| `{}` | {} | {} | {} |\n", row.name, row.type, row.events,
                   row.doc);
  }
  page += text_part;
  return page;
}

}  // namespace exeat::log
