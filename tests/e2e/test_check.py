"""`exeat check` answers as the proxy does: the same matrix through both."""
import json

import pytest

from harness.proxy import policy_of, run_exeat

POLICY = policy_of(
    agent=[{"host": "exact.example"}, {"host": "*.one.example"}, {"host": "**.many.example"},
           {"host": "*.apex.example", "apex": True}, {"host": "web.example", "ports": [80, 443]},
           {"host": "range.example", "ports": ["8000-8100"]}, {"host": "all.example", "ports": "any"},
           {"host": "gone.example", "expires": "2020-01-01"}, {"host": "bücher.example"},
           {"cidr": "198.51.100.0/24"}],
    setup=[{"host": "exact.example", "ports": [80]}],
    deny=[{"host": "bad.many.example"}, {"host": "all.example", "ports": [25]}])

URLS = [
    "https://exact.example/", "https://EXACT.example./", "https://a.exact.example/", "http://exact.example/",
    "https://exact.example:8443/", "https://a.one.example/", "https://one.example/", "https://a.b.one.example/",
    "https://a.many.example/", "https://a.b.many.example/", "https://many.example/", "https://bad.many.example/",
    "https://x.bad.many.example/", "https://apex.example/", "https://a.apex.example/", "http://web.example/",
    "https://web.example/", "https://range.example:8000/", "https://range.example:8101/", "http://range.example:8050/",
    "https://all.example:25/", "https://all.example:26/", "http://all.example/", "https://gone.example/",
    "https://xn--bcher-kva.example/", "https://198.51.100.7/", "https://198.51.101.7/", "https://exact.example.evil.org/",
    "https://notexact.example/", "https://_x.many.example/",
]


def decided_by_proxy(proxy, phase, url):
    """(verdict, reason) of the policy: what comes after it (no such name) counts as allowed."""
    scheme, _, rest = url.partition("://")
    authority = rest.split("/")[0]
    with proxy.client(phase) as client:
        if scheme == "https":
            if ":" not in authority:
                authority += ":443"
            answer = client.connect(authority)
        else:
            answer = client.get(url, host=authority)
    if answer.status == 403:
        return "deny", answer.reason.split(" ")[1]
    return "allow", "allowed"


@pytest.mark.parametrize("phase", ["agent", "setup"])
def test_check_agrees_with_the_proxy(exeat, phase):
    proxy = exeat(POLICY)
    for url in URLS:
        verdict, reason = decided_by_proxy(proxy, phase, url)
        check = run_exeat("check", "--policy", proxy.policy_file, "--phase", phase, url)
        assert check.returncode == (0 if verdict == "allow" else 1), (url, verdict, reason, check.stdout)
        if verdict == "deny":
            assert reason in check.stdout, (url, check.stdout)


def test_the_matrix_has_both_answers(exeat):
    proxy = exeat(POLICY)
    verdicts = [decided_by_proxy(proxy, "agent", url)[0] for url in URLS]
    assert verdicts.count("allow") == 16 and verdicts.count("deny") == 14, list(zip(URLS, verdicts))


def test_json_and_standard_input(exeat):
    proxy = exeat(policy_of(agent=[{"host": "exact.example"}]))
    done = run_exeat("check", "--json", "--config", proxy.config_file, "--phase", "agent", "-",
                     input="https://exact.example/\nhttps://other.example/\n")
    assert done.returncode == 1
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["allow", "deny"]


@pytest.mark.parametrize("arguments", [
    ["--phase", "agnet", "https://exact.example/"], ["--phase", "agent", "not a url"], ["--phase", "agent"],
    ["--phase", "agent", "--policy", "/nonexistent.yaml", "https://exact.example/"]])
def test_wrong_usage_is_2(exeat, arguments):
    proxy = exeat(policy_of())
    done = run_exeat("check", *(["--policy", proxy.policy_file] if "--policy" not in arguments else []), *arguments)
    assert done.returncode == 2 and done.stderr, (done.stdout, done.stderr)


def test_an_unknown_phase_names_the_nearest(exeat):
    proxy = exeat(policy_of())
    assert "agent" in run_exeat("check", "--policy", proxy.policy_file, "--phase", "agnet", "https://a.example/").stderr


def test_the_built_in_policy_has_no_exception_and_no_audit():
    """What `make run` serves without any file."""
    for url in ("https://127.0.0.1/", "http://localhost/", "https://169.254.169.254/", "https://example.com/"):
        assert run_exeat("check", "--phase", "mcp", url).returncode == 1, url


def test_markdown_is_one_table_whatever_the_policy_says(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps(policy_of(agent=[{"host": "a.example", "reason": "x | `y` <b>"}],
                                         deny=[{"host": "bad.example", "reason": "| |"}])))
    done = run_exeat("check", "--policy", path, "--phase", "agent", "--format", "markdown", "https://a.example/",
                     "https://b.example/", "https://bad.example/")
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and len(lines) == 5, done.stdout
    assert all(line.startswith("|") and line.count("|") == 7 for line in lines)
    assert "`agent/a.example:443 " in lines[2] and "no-rule" in lines[3] and "deny-rule" in lines[4]
    done = run_exeat("explain", "--policy", path, "--format", "markdown", "a.example")
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert done.returncode == 0 and done.stdout.startswith("### `a.example:443`")
    assert len(table) == 6 and all(line.count("|") == 6 for line in table), done.stdout


def test_methods_and_paths(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(json.dumps(policy_of(agent=[{"host": "a.example", "ports": 80, "methods": ["GET"], "paths": ["/x/**"]}])))

    def reason(url, *arguments):
        done = run_exeat("check", "--policy", path, "--phase", "agent", "--json", *arguments, url)
        return json.loads(done.stdout)["reason"]
    assert reason("http://a.example/x/y?q") == "allowed"
    assert reason("http://a.example/x/y", "--method", "POST") == "method-not-allowed"
    assert reason("http://a.example/y") == "path-not-allowed"
    assert reason("http://a.example") == "path-not-allowed"
    assert reason("a.example:80") == "http-only"
