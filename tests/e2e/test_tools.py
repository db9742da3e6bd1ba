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
