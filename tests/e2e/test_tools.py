"""The policy as a language: `exeat test`, `explain` and `lint`, on files, as people and CI run them."""
import json

import pytest

from harness.proxy import policy_of, run_exeat


@pytest.fixture
def policy_file(tmp_path):
    """policy_file(value or text): the path of a policy that the tool will trust."""
    def make(policy):
        path = tmp_path / "policy.yaml"
        path.write_text(policy if isinstance(policy, str) else json.dumps(policy, indent=1))
        path.chmod(0o600)
        return path
    return make


def with_tests(*tests, **policy):
    return {**policy_of(**policy), "tests": list(tests)}


RULES = dict(agent=[{"host": "exact.example"}, {"host": "*.one.example", "ports": [80, 443]},
                    {"cidr": "198.51.100.0/24"}, {"cidr": "127.0.0.1"}],
             deny=[{"host": "bad.one.example"}])
PASSING = [
    {"phase": "agent", "url": "https://exact.example/x", "expect": "allow", "rule": "agent/exact.example:443"},
    {"phase": "agent", "url": "http://exact.example/", "expect": "deny", "reason": "port-not-allowed"},
    {"phase": "agent", "url": "https://bad.one.example/", "expect": "deny", "reason": "deny-rule"},
    {"phase": "agent", "url": "https://198.51.100.7/", "expect": "deny", "reason": "address-forbidden"},
    {"phase": "agent", "url": "https://127.0.0.1/", "expect": "deny", "reason": "address-forbidden"},
    {"phase": "mcp", "url": "exact.example:443", "expect": "deny"},
]


# exeat test


def test_tests_that_pass(policy_file):
    done = run_exeat("test", "--policy", policy_file(with_tests(*PASSING, **RULES)))
    assert done.returncode == 0 and done.stdout.count("ok  ") == 6, (done.stdout, done.stderr)
    assert "6 tests, all pass" in done.stdout


@pytest.mark.parametrize("test, said", [
    ({"expect": "deny"}, "expected deny, got allow (allowed)"),
    ({"expect": "allow", "rule": "agent/*.one.example:443"}, "expected the rule agent/*.one.example:443, got agent/exact"),
    ({"expect": "allow", "url": "https://other.example/"}, "expected allow, got deny (no-rule)"),
    ({"expect": "deny", "url": "https://other.example/", "reason": "deny-rule"},
     "expected the reason deny-rule, got no-rule"),
    ({"expect": "deny", "url": "https://other.example/", "rule": "deny/x"}, "expected the rule deny/x, got none"),
])
def test_a_test_that_fails(policy_file, test, said):
    one = {"phase": "agent", "url": "https://exact.example/", **test}
    path = policy_file(with_tests(*PASSING, one, **RULES))
    text = run_exeat("test", "--policy", path)
    assert text.returncode == 1 and said in text.stdout and "7 tests, 1 failed" in text.stdout, text.stdout
    lines = [json.loads(line) for line in run_exeat("test", "--policy", path, "--format", "json").stdout.splitlines()]
    assert [line["pass"] for line in lines] == [True] * 6 + [False]
    assert said in lines[-1]["failure"] and lines[-1]["at"].startswith(str(path) + ":")
    markdown = run_exeat("test", "--policy", path, "--format", "markdown")
    assert markdown.returncode == 1 and markdown.stdout.count("| `agent` |") == 1 and said in markdown.stdout


def test_audit_is_neither_allow_nor_deny(policy_file):
    def verdict(expect):
        one = {"phase": "watched", "url": "https://x.example/", "expect": expect}
        return run_exeat("test", "--policy", policy_file(with_tests(one, phases={"watched": {"mode": "audit"}})))
    assert [verdict(word).returncode for word in ("would_deny", "deny", "allow")] == [0, 1, 1]
    assert "is in audit and lets it through" in verdict("deny").stdout


def test_a_policy_without_tests_says_so(policy_file):
    path = policy_file(policy_of())
    done = run_exeat("test", "--policy", path)
    assert done.returncode == 0 and "has no `tests`" in done.stderr and not done.stdout
    assert run_exeat("test", "--policy", path, "--require").returncode == 2


def test_faulty_tests_are_errors_with_a_place(policy_file):
    path = policy_file("version: 1\nphases: {agent: {}}\ntests:\n  - {phase: agnet, url: a.example, expect: deny}\n")
    done = run_exeat("test", "--policy", path)
    assert done.returncode == 2 and ":4:5:" in done.stderr and "did you mean `agent`" in done.stderr


def test_no_markup_of_the_file_reaches_a_markdown_comment(policy_file):
    one = {"phase": "agent", "url": "https://a.example/`|<img>\u202e", "expect": "allow"}
    done = run_exeat("test", "--policy", policy_file(with_tests(one)), "--format", "markdown")
    row = done.stdout.splitlines()[-1]
    assert done.returncode == 1 and row.count("|") == 6 and row.count("`") == 8 and "\u202e" not in row, row


def test_serve_accepts_tests_and_does_not_run_them(exeat):
    proxy = exeat(with_tests({"phase": "agent", "url": "https://a.example/", "expect": "allow"}))
    assert run_exeat("test", "--config", proxy.config_file).returncode == 1


# exeat explain


def explained(path, destination):
    done = run_exeat("explain", "--policy", path, "--format", "json", destination)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def in_phase(path, destination, phase="agent"):
    """(verdict, reason, [(relation, rule)]) of one phase."""
    found = next(one for one in explained(path, destination)["phases"] if one["phase"] == phase)
    return found["verdict"], found["reason"], [(one["relation"], one["rule"]) for one in found["rules"]]


@pytest.mark.parametrize("destination, wanted", [
    ("one.example", ("deny", "no-rule", [("needs-apex", "agent/*.one.example:80,443")])),
    ("a.b.one.example", ("deny", "no-rule", [("too-deep", "agent/*.one.example:80,443")])),
    ("a.exact.example", ("deny", "no-rule", [("only-apex", "agent/exact.example:443")])),
    ("exact.example:8443", ("deny", "port-not-allowed", [("other-port", "agent/exact.example:443")])),
    ("http://exact.example:443/", ("deny", "scheme-not-allowed", [("other-scheme", "agent/exact.example:443")])),
    ("exact.example", ("allow", "allowed", [("governs", "agent/exact.example:443")])),
    ("bad.one.example", ("deny", "deny-rule", [("overruled", "agent/*.one.example:80,443")])),
    ("exacl.example", ("deny", "no-rule", [("lookalike", "agent/exact.example:443")])),
    ("198.51.100.7", ("deny", "address-forbidden", [("governs", "agent/198.51.100.0/24:443")])),
])
def test_explain_names_what_governs_and_what_nearly_would(policy_file, destination, wanted):
    assert in_phase(policy_file(policy_of(**RULES)), destination) == wanted


def test_explain_agrees_with_check(policy_file):
    path = policy_file(policy_of(**RULES, setup=[{"host": "exact.example", "ports": [80], "expires": "2020-01-01"}],
                                 phases={"watched": {"mode": "audit"}}))
    for url in ("https://exact.example/", "http://exact.example/", "https://a.one.example/", "https://bad.one.example/",
                "http://a.one.example/", "https://one.example/", "https://127.0.0.1/", "https://192.0.2.1/"):
        for phase in ("agent", "setup", "mcp", "watched"):
            check = json.loads(run_exeat("check", "--policy", path, "--json", "--phase", phase, url).stdout)
            assert in_phase(path, url, phase)[:2] == (check["verdict"], check["reason"]), (url, phase)


def test_explain_shows_a_name_both_ways(policy_file):
    path = policy_file(policy_of(agent=[{"host": "bücher.example"}]))
    for spelling in ("bücher.example", "xn--bcher-kva.example", "https://BÜCHER.example/x"):
        found = explained(path, spelling)
        assert (found["host"], found["host_unicode"]) == ("xn--bcher-kva.example", "bücher.example")
        assert found["phases"][1]["verdict"] == "allow"
    assert "reads bücher.example" in run_exeat("explain", "--policy", path, "bücher.example").stdout


def test_explain_in_words(policy_file):
    path = policy_file(policy_of(**RULES, addresses=[{"cidr": "10.0.0.0/24", "hosts": ["exact.example"]}]))
    done = run_exeat("explain", "--policy", path, "one.example")
    assert done.returncode == 0 and "agent: denied, no-rule" in done.stdout, done.stdout
    assert "`apex: true` beside it would" in done.stdout and f"({path}:" in done.stdout
    assert "no rule comes near" in done.stdout
    assert "10.0.0.0/24 is where this name may resolve to" in run_exeat("explain", "--policy", path, "exact.example").stdout
    assert "denies it, in every phase" in run_exeat("explain", "--policy", path, "bad.one.example").stdout


@pytest.mark.parametrize("arguments", [(), ("not a host",), ("https://0x7f.1/",), ("a.example", "b.example"),
                                       ("--format", "yaml", "a.example"), ("--policy", "/nonexistent.yaml", "a.example")])
def test_explain_wrong_usage_is_2(arguments):
    done = run_exeat("explain", *arguments)
    assert done.returncode == 2 and done.stderr and not done.stdout


# exeat lint

RISKY = """version: 1
phases:
  setup:
    untrusted: false
    allow:
      - {host: a.corp.example, reason: build cache, owner: platform}
  agent:
    mode: audit
    allow:
      - {host: "**.corp.example", reason: everything internal}
      - {host: "x.corp.example", reason: again}
      - {host: github.com}
      - {host: db.example, ports: any, tls: any, reason: database}
      - {host: web.example, ports: [80, 443], reason: site}
      - {host: old.example, expires: 2020-01-01, reason: trial}
      - {host: shut.example, reason: was needed once}
deny:
  - {host: "**.shut.example", apex: true}
  - {host: nobody.example}
addresses:
  - {cidr: 10.0.0.0/8, hosts: ["**.corp.example"], reason: internal}
"""
RISKY_FOUND = {
    ("no-tests", 1), ("audit-mode", 7), ("wider-than-trusted", 7), ("wide-wildcard", 10), ("redundant", 11), ("upload-sink", 12),
    ("no-reason", 12), ("any-port", 13), ("tls-any", 13), ("plain-http", 14), ("expired", 15), ("never-matches", 16),
    ("idle-deny", 19), ("wide-exception", 21),
}
CLEAN = {"version": 1, "phases": {"agent": {"allow": [{"host": "a.example", "reason": "why"}]}},
         "tests": [{"phase": "agent", "url": "https://b.example/", "expect": "deny"}]}


def test_lint_finds_each_thing_in_its_line(policy_file):
    path = policy_file(RISKY)
    done = run_exeat("lint", "--policy", path, "--format", "json")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {(one["code"], one["line"]) for one in lines} == RISKY_FOUND, done.stdout
    assert all(one["file"] == str(path) and one["danger"] and one["fix"] for one in lines)
    assert [one["line"] for one in lines] == sorted(one["line"] for one in lines)
    text = run_exeat("lint", "--policy", path).stdout
    assert text.count("  danger: ") == text.count("  fix: ") == len(RISKY_FOUND)
    assert f"{path}:21: high: the exception 10.0.0.0/8 [wide-exception]" in text
    assert "14 found: 4 high, 5 medium, 4 low, 1 info" in text


def test_lint_statuses(policy_file):
    risky = policy_file(RISKY)
    assert [run_exeat("lint", "--policy", risky, "--fail-on", word).returncode
            for word in ("low", "medium", "high", "never")] == [1, 1, 1, 0]
    assert run_exeat("lint", "--policy", risky).returncode == 1
    low = policy_file({**CLEAN, "tests": []})
    assert [run_exeat("lint", "--policy", low, "--fail-on", word).returncode
            for word in ("low", "medium", "high")] == [1, 0, 0]
    clean = run_exeat("lint", "--policy", policy_file(CLEAN), "--fail-on", "low")
    assert clean.returncode == 0 and clean.stdout == "nothing found\n"
    owners = run_exeat("lint", "--policy", policy_file(CLEAN), "--fail-on", "low", "--require-owner")
    assert owners.returncode == 1 and "[no-owner]" in owners.stdout


@pytest.mark.parametrize("arguments", [("--fail-on", "info"), ("--expires-within", "soon"), ("--format", "xml"),
                                       ("--expires-within", "-3d"), ("--policy", "/nonexistent.yaml"), ("word",)])
def test_lint_wrong_usage_is_2(arguments):
    done = run_exeat("lint", *arguments)
    assert done.returncode == 2 and done.stderr and not done.stdout


def test_lint_expires_within(policy_file):
    import datetime
    day = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=10)).strftime("%Y-%m-%d")
    policy = {**CLEAN, "phases": {"agent": {"allow": [{"host": "a.example", "reason": "why", "expires": day}]}}}
    found = [run_exeat("lint", "--policy", policy_file(policy), "--expires-within", within).stdout
             for within in ("30d", "5d", "0", "20d")]
    assert ["expires-soon" in text for text in found] == [True, False, False, True]


def test_lint_sarif(policy_file):
    path = policy_file(RISKY)
    done = run_exeat("lint", "--policy", path, "--format", "sarif")
    log = json.loads(done.stdout)
    assert done.returncode == 1 and log["version"] == "2.1.0" and log["$schema"].endswith("sarif-2.1.0.json")
    run, = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "exeat" and len({rule["id"] for rule in rules}) == len(rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note") and result["message"]["text"]
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] == path.as_uri() and place["region"]["startLine"] >= 1
    assert {(one["ruleId"], one["locations"][0]["physicalLocation"]["region"]["startLine"])
            for one in run["results"]} == RISKY_FOUND
    empty = json.loads(run_exeat("lint", "--policy", policy_file(CLEAN), "--format", "sarif").stdout)
    assert empty["runs"][0]["results"] == []


def test_lint_sarif_keeps_a_relative_path_and_escapes_it(policy_file, monkeypatch):
    path = policy_file(RISKY)
    odd = path.rename(path.with_name("my policy#1.yaml"))
    monkeypatch.chdir(odd.parent)
    log = json.loads(run_exeat("lint", "--policy", "./my policy#1.yaml", "--format", "sarif").stdout)
    assert (log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            == "my%20policy%231.yaml")


def test_the_built_in_policy_has_nothing_worse_than_low():
    done = run_exeat("lint", "--fail-on", "medium")
    assert done.returncode == 0, done.stdout


def test_a_hundred_thousand_rules(policy_file):
    """Every rule is judged; how long it takes is reported by bench, not asserted here."""
    allow = "\n".join(f"      - {{host: h{i}.team{i % 100}.example, reason: r}}" for i in range(100_000))
    deny = "\n".join(f"  - {{host: h{i}.team{i % 100}.example}}" for i in range(0, 100_000, 100))
    path = policy_file(f"version: 1\nphases:\n  agent:\n    allow:\n{allow}\n      - {{host: '**.team7.example', reason: r}}\n"
                       f"deny:\n{deny}\n")
    done = run_exeat("lint", "--policy", path, "--format", "json")
    codes = [json.loads(line)["code"] for line in done.stdout.splitlines()]
    assert codes.count("never-matches") == 1000 and codes.count("redundant") == 1000, (len(codes), done.stderr)
    assert run_exeat("explain", "--policy", path, "--format", "json", "h12345.team45.exampel").returncode == 0
