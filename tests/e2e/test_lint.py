"""`exeat lint` on bundles and risks, as CI runs it: what `use:` brings is one finding, and a risk is accepted in words."""
import json

import pytest

from harness.proxy import run_exeat


@pytest.fixture
def lint(tmp_path):
    """lint(lines of `allow` of an untrusted phase, flags): the finished run; `allow` starts at line 6."""
    path = tmp_path / "policy.yaml"

    def run(*rules, flags=("--format", "json"), trusted=False):
        head = ["version: 1", "phases:", "  agent:", f"    untrusted: {'false' if trusted else 'true'}", "    allow:"]
        tests = ["tests:", "  - {phase: agent, url: 'https://nobody.example/', expect: deny}"]
        path.write_text("\n".join([*head, *(f"      - {rule}" for rule in rules), *tests, ""]))
        path.chmod(0o600)
        return run_exeat("lint", "--policy", path, *flags)
    return run


def codes(done):
    return [(one["code"], one["severity"], one["line"]) for one in map(json.loads, done.stdout.splitlines())]


def test_a_use_line_is_one_error_and_a_reason_settles_it(lint):
    done = lint("{use: node, reason: build}", "{use: swift, reason: build}")
    assert codes(done) == [("upload-sink", "high", 6)] and done.returncode == 1, done.stdout
    text = json.loads(done.stdout)["text"]
    assert text.startswith("`use: node` in phase agent reaches ") and "(multi-tenant, upload)" in text
    done = lint('{use: node, reason: build, accept_risk: "a mirror comes in May"}')
    assert codes(done) == [] and done.returncode == 0
    assert codes(lint("{use: node, reason: build}", trusted=True)) == []


@pytest.mark.parametrize("rule, found", [
    ("{host: github.com, reason: r}", [("upload-sink", "high", 6)]),
    ("{host: raw.githubusercontent.com, reason: r}", [("multi-tenant", "high", 6)]),
    ("{host: github.com, reason: r, accept_risk: token reads only}", []),
    ("{host: a.example, reason: r, accept_risk: why}", [("needless-acceptance", "low", 6)]),
    ("{host: '*.blob.core.windows.net', reason: r}", [("no-max-names", "medium", 6), ("shared-suffix", "high", 6)]),
    ("{host: '*.blob.core.windows.net', reason: r, accept_risk: ours are numbered, max_names: 3}",
     [("no-name-entropy", "info", 6)]),
    ("{host: '**.corp.example', reason: r}", [("wide-wildcard", "medium", 6)]),
    ("{host: '**.corp.example', reason: r, max_names: 20, max_name_entropy: 64}", []),
    ("{host: co.uk, reason: r}", [("public-suffix", "medium", 6)]),
])
def test_what_a_written_rule_risks(lint, rule, found):
    assert codes(lint(rule)) == found


def test_every_bundle_is_clean_once_its_risk_is_accepted(lint):
    bundles = [json.loads(line) for line in run_exeat("bundles", "--format", "json").stdout.splitlines()]
    risky = [one["name"] for one in bundles if {"multi-tenant", "upload"} & set(one["risks"])]
    tame = [one["name"] for one in bundles if one["name"] not in risky]
    assert len(risky) > 50 and "swift" in tame
    done = lint(*(f"{{use: {name}, reason: r}}" for name in risky + tame))
    assert [(line, severity) for _, severity, line in codes(done)] == [(6 + i, "high") for i in range(len(risky))]
    done = lint(*(f"{{use: {name}, reason: r, accept_risk: why}}" for name in risky),
                *(f"{{use: {name}, reason: r}}" for name in tame))
    assert codes(done) == [] and done.returncode == 0, done.stdout


def test_the_same_bundle_twice(lint):
    assert codes(lint("{use: swift, reason: r}", "{use: swift, reason: r}")) == [("duplicate", "low", 7)]


def test_a_comment_for_a_pull_request(lint):
    done = lint("{host: github.com, reason: r}", "{host: old.example, expires: 2020-01-01, reason: r}",
                flags=("--format", "markdown", "--fail-on", "medium"))
    assert done.returncode == 1
    head, rule, *rows = done.stdout.splitlines()
    assert head == "| severity | where | code | finding |" and set(rule) <= set("|-")
    assert rows[0].startswith("| high | `") and ":6` | upload-sink | `agent/github.com:443 reaches " in rows[0]
    assert rows[1].startswith("| low | `") and "| expired | `" in rows[1]
    assert rows[2] == "" and rows[3].startswith("- `expired`: ") and rows[4].startswith("- `upload-sink`: ")
    clean = lint("{host: a.example, reason: r}", flags=("--format", "markdown"))
    assert clean.returncode == 0 and clean.stdout == "`exeat lint`: nothing found\n"


def test_markdown_carries_no_markup_of_the_files_author(lint):
    """A rule's own text appears as its id alone; a path is escaped."""
    done = lint("{host: '*.blob.core.windows.net', reason: '| x | `y` @team <img src=z>'}", flags=("--format", "markdown"))
    assert "<img" not in done.stdout and "@team" not in done.stdout
    assert all(line.count("|") == 5 for line in done.stdout.splitlines() if line.startswith("|"))


def test_reasons_need_not_be_asked_for(lint):
    assert codes(lint("{host: a.example}")) == [("no-reason", "low", 6)]
    assert codes(lint("{host: a.example}", flags=("--format", "json", "--no-require-reason"))) == []


def test_the_reference_has_every_code(lint):
    page = run_exeat("docs", "lint").stdout
    sarif = json.loads(lint("{host: a.example}", flags=("--format", "sarif")).stdout)
    rules = sarif["runs"][0]["tool"]["driver"]["rules"]
    assert len(rules) > 20 and all(f"| `{rule['id']}` |" in page for rule in rules)
