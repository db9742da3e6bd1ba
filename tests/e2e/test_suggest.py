"""`exeat suggest`: from what a running proxy refused to a file that it includes."""
import json

import pytest

from harness.client import eventually
from harness.origin import echo
from harness.proxy import loopback, policy_of, run_exeat

LINE = {"time": "2026-11-20T09:12:03.123456Z", "event": "decision", "phase": "agent", "method": "CONNECT", "scheme": "https",
        "host": "a.example", "port": 443, "verdict": "deny", "reason": "no-rule", "status": 403}


def log_of(*lines):
    return "".join(json.dumps({**LINE, **line}) + "\n" if isinstance(line, dict) else line for line in lines)


def decided(proxy, count):
    log = proxy.folder / "exeat.log"
    assert eventually(lambda: log.exists() and log.read_text().count('"event":"decision"') >= count)
    return log


def test_what_was_refused_is_suggested_and_then_allowed(exeat):
    proxy = exeat(policy_of(), {"log": {"file": "exeat.log", "format": "json"}})
    for host in ("one.example", "one.example", "api.githab.com", "api.githab.com"):
        with proxy.client() as client:
            assert client.connect(f"{host}:443").status == 403
    done = run_exeat("suggest", "--policy", proxy.policy_file, decided(proxy, 4))
    assert done.returncode == 0 and "{host: one.example, reason: \"observed 2 times" in done.stdout, done.stdout
    assert "githab" in done.stdout and "{host: api.githab" not in done.stdout
    (proxy.folder / "suggested.yaml").write_text(done.stdout)
    base = proxy.folder / "base.yaml"
    base.write_text(json.dumps({**policy_of(), "include": "suggested.yaml"}))
    for host, status in (("one.example", 0), ("api.githab.com", 1), ("x.one.example", 1)):
        assert run_exeat("check", "--policy", base, "--phase", "agent", f"https://{host}/").returncode == status
    assert run_exeat("check", "--policy", base, "--phase", "setup", "https://one.example/").returncode == 1


def test_what_audit_let_through_is_suggested(exeat, origin):
    server = origin(echo)
    policy = policy_of(addresses=[loopback()])
    policy["phases"]["agent"]["mode"] = "audit"
    proxy = exeat(policy, {"log": {"file": "exeat.log", "format": "json"}})
    for _ in range(2):
        with proxy.client() as client:
            assert client.connect(f"origin.corp.example:{server.port}").status == 200
    done = run_exeat("suggest", "--policy", proxy.policy_file, decided(proxy, 2))
    assert f"{{host: origin.corp.example, ports: {server.port}, reason: \"observed 2 times" in done.stdout, done.stdout


def test_what_the_peek_refused_is_counted_and_not_suggested(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of(agent=[{"host": "origin.corp.example", "ports": [server.port]}], addresses=[loopback()]))
    for _ in range(2):
        with proxy.client() as client:
            assert client.connect(f"origin.corp.example:{server.port}").status == 200
            client.send(b"SSH-2.0-OpenSSH_9.2\r\n")
            assert client.read_all() == b""
    for log in ("exeat.log", "blocked.log"):
        assert eventually(lambda log=log: (proxy.folder / log).read_text().count("not-tls") == 2)
        done = run_exeat("suggest", proxy.folder / log)
        assert done.returncode == 0 and "host:" not in done.stdout, done.stdout
        assert "2 refused requests: 0 rules" in done.stderr and "2 x not-tls: no rule is proposed" in done.stderr, done.stderr
        assert "0 refused requests" in run_exeat("suggest", "--phase", "setup", proxy.folder / log).stderr


def test_nothing_of_a_log_gets_out_of_its_place(tmp_path):
    hosts = ["a\n    allow: [{host: '**.evil.example'}]", "a.example #", "'", "*.b.example", "**", "a\u2028b", "\x1b[31m", "x" * 300]
    text = log_of(*[{"host": host, "phase": phase} for host in hosts for phase in ("agent", "p\nversion: 2", "mode: audit")] * 3,
                  "garbage\n", '{"event":"decision","host":5,"port":"x","verdict":"deny"}\n', "[1]\n", "\n",
                  {"port": 70000}, {"host": "ok.example"}, {"host": "ok.example"})
    done = run_exeat("suggest", "-", input=text)
    assert done.returncode == 0 and "malformed" in done.stderr
    assert done.stdout.isascii() and "\x1b" not in done.stdout
    rules = [line for line in done.stdout.splitlines() if not line.startswith("#")]
    assert rules == ["version: 1", "phases:", "  agent:", "    allow:",
                     '      - {host: ok.example, reason: "observed 2 times, first 2026-11-20"}'], done.stdout
    markdown = run_exeat("suggest", "-", "--format", "markdown", input=text).stdout
    assert "\n|" in markdown and "**.evil" in markdown and "<" not in markdown
    for line in run_exeat("suggest", "-", "--format", "json", input=text).stdout.splitlines():
        json.loads(line)


def test_options(tmp_path):
    text = log_of(*[{"host": f"e{i}.cdn.example"} for i in range(4)] * 2, {"host": "old.example", "time": "2020-01-01T00:00:00Z"},
                  {"host": "s.example", "phase": "setup"}, {"host": "s.example", "phase": "setup"})
    assert '"*.cdn.example", max_names: 4' in run_exeat("suggest", "-", "--wildcards", "3", input=text).stdout
    assert "setup" not in run_exeat("suggest", "-", "--phase", "agent", input=text).stdout
    assert "old.example" not in run_exeat("suggest", "-", "--since", "2026-01-01", input=text).stdout
    assert "{host: old.example" in run_exeat("suggest", "-", "--min-count", "1", input=text).stdout
    assert run_exeat("suggest", "-", input="").stdout.endswith("version: 1\n")


@pytest.mark.parametrize("arguments", [("/nonexistent",), ("--unused", "-"), ("--since", "soon", "-"), ("--wildcards", "1", "-"),
                                       ("--format", "xml", "-"), ("--policy", "/nonexistent", "-")])
def test_wrong_usage_is_2(arguments):
    done = run_exeat("suggest", *arguments, input="")
    assert done.returncode == 2 and done.stderr and not done.stdout
