"""`exeat report`: beside the running process, from the store and from logs, in each format."""
import json
import re
import xml.etree.ElementTree as xml
from contextlib import closing

import pytest

from harness.client import eventually
from harness.origin import echo
from harness.proxy import loopback, policy_of, run_exeat
from test_review import HOST, STORE, refuse, stored


def tunnel(proxy, port, host=HOST, phase="agent"):
    with closing(proxy.client(phase)) as client:
        assert client.connect(f"{host}:{port}").status == 200
        client.send(b"ping")
        assert client.read_exactly(4) == b"ping"


@pytest.fixture
def reported(exeat, origin):
    """A process with refusals, something allowed, a rule that nobody needs, and a budget."""
    server = origin(echo)
    rule = {"host": HOST, "ports": [server.port], "tls": "any", "upload_limit": "1MiB"}
    proxy = exeat(policy_of(agent=[rule, {"host": "never.corp.example"}], addresses=[loopback()]), STORE)
    refuse(proxy, "denied.corp.example", 3)
    refuse(proxy, "denied.corp.example", 1, "setup")
    tunnel(proxy, server.port)
    assert eventually(lambda: stored(proxy) == 5)
    proxy.port_of_origin = server.port
    return proxy


def report(proxy, *arguments, status=0, config=True):
    done = run_exeat("report", *(("--config", proxy.config_file) if config else ()), *arguments)
    assert done.returncode == status, done.stderr
    return done


def test_beside_the_running_process(reported):
    text = report(reported).stdout
    assert re.search(r"^ +3  denied\.corp\.example:443 +agent +no-rule ", text, re.M), text
    assert "\n4 refused\n" in text and "To allow:\n  denied.corp.example:443: " in text
    assert re.search(rf"Allowed, and never seen before:\n.*\n +1  {HOST}:{reported.port_of_origin}  agent", text), text
    assert "never.corp.example:443 (" in text and "never needed" in text
    assert eventually(lambda: re.search(r"0%  4 of 1MiB +upload +agent/", report(reported).stdout))
    # It reads, and that is all: the process goes on writing.
    refuse(reported, "denied.corp.example")
    assert eventually(lambda: "5 refused" in report(reported).stdout)
    # Other ways to name it, and after the end of the process.
    reported.stop()
    assert "5 refused" in report(reported, "--database", reported.folder / "review.sqlite", config=False).stdout
    (reported.folder / "exeat").mkdir()
    (reported.folder / "review.sqlite").rename(reported.folder / "exeat" / "review.sqlite")
    assert "5 refused" in run_exeat("report", XDG_STATE_HOME=str(reported.folder)).stdout


def test_filters(reported):
    def total(*arguments):
        return json.loads(report(reported, "--format", "json", *arguments).stdout)["total"]
    assert total("--phase", "setup") == 1
    assert total("--job", "") == 4 and total("--job", "none") == 0
    assert total("--since", "1h") == 4 and total("--since", "2126-01-01") == 0
    assert "--since" in report(reported, "--since", "yesterday", status=2).stderr


def test_fail_on(reported):
    report(reported, "--fail-on", "none")
    report(reported, "--fail-on", "blocked", status=1)
    report(reported, "--fail-on", "new", status=1)
    report(reported, "--fail-on", "blocked", "--fail-on", "new", "--phase", "mcp")
    # A later start has seen it before.
    reported.stop()
    reported.restart()
    tunnel(reported, reported.port_of_origin)
    assert eventually(lambda: stored(reported) == 6)
    report(reported, "--fail-on", "new")
    report(reported, "--fail-on", "new", "--since", "1h", status=1)


def test_what_audit_mode_let_through_is_told_apart(exeat, origin):
    server = origin(echo)
    policy = policy_of(addresses=[loopback()])
    policy["phases"]["agent"]["mode"] = "audit"
    proxy = exeat(policy, STORE)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"ping")
        assert client.read_exactly(4) == b"ping"
    assert eventually(lambda: stored(proxy, verdict=2) == 1)
    text = report(proxy, "--fail-on", "blocked").stdout
    assert text.startswith("Would have been refused, but for audit mode:\n"), text
    assert "1 refused, 1 of them let through in audit mode\n" in text


def test_each_format(reported):
    rows = json.loads(report(reported, "--format", "json").stdout)
    assert [(row["host"], row["phase"], row["count"]) for row in rows["refusals"]] == [
        ("denied.corp.example", "agent", 3), ("denied.corp.example", "setup", 1)]
    assert [row["host"] for row in rows["new"]] == [HOST]
    assert {"agent/never.corp.example:443"} == {row["rule"] for row in rows["unused"]}
    markdown = report(reported, "--format", "markdown").stdout
    assert "| 3 | `denied.corp.example:443` | `agent` | `no-rule` |" in markdown and "4 refused.\n" in markdown
    sarif = json.loads(report(reported, "--format", "sarif").stdout)["runs"][0]
    assert [result["level"] for result in sarif["results"]] == ["error", "error", "note"]
    uris = {result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in sarif["results"]}
    assert all(uri.endswith("policy.yaml") for uri in uris)
    suite = xml.fromstring(report(reported, "--format", "junit").stdout).find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), len(suite.findall("testcase"))) == ("3", "2", 3)
    commands = report(reported, "--annotations", "--format", "json").stderr.splitlines()
    assert [line.split(" ")[0] for line in commands] == ["::error", "::error", "::warning"]


HOSTILE = ["::error::owned", "x##[set-env name=PATH]y", "a`|b<img src=x>", "\x1b[31m\u202e", "</failure>", "%0A::stop"]


def test_hostile_names_in_a_log_are_harmless_in_each_format(tmp_path):
    log = tmp_path / "blocked.log"
    log.write_text("".join(json.dumps({
        "time": "2027-03-31T12:03:44.000123Z", "event": "decision", "decision": str(n), "phase": name, "host": name,
        "port": 443, "verdict": "deny", "reason": name, "hint": name}) + "\n" for n, name in enumerate(HOSTILE)))
    for form in ("text", "markdown", "json", "sarif", "junit"):
        done = run_exeat("report", log, "--format", form, "--annotations")
        assert done.returncode == 0 and done.stdout.isascii() and "\x1b" not in done.stdout
        if form not in ("json", "sarif"):
            assert "##[" not in done.stdout
            assert not [line for line in done.stdout.splitlines() if line.strip().startswith("::")]
        assert len(done.stderr.splitlines()) == len(HOSTILE)
        assert all(line.startswith("::error title=blocked%3A ") for line in done.stderr.splitlines())
    xml.fromstring(run_exeat("report", log, "--format", "junit").stdout)


def test_logs_still_serve_where_there_is_no_store(exeat, tmp_path):
    proxy = exeat(policy_of())
    refuse(proxy, "denied.corp.example", 2)
    assert proxy.logged(host="denied.corp.example")
    assert eventually(lambda: "2 refused" in report(proxy, proxy.blocked_file, config=False).stdout)
    assert "2 refused" in report(proxy).stdout  # `log.blocked` of exeat.yaml
    assert "only the review store knows" in report(proxy, "--fail-on", "new", status=2).stderr
    report(proxy, "--fail-on", "blocked", status=1)
    assert "0 refused" in report(proxy, "--phase", "setup").stdout
    missing = run_exeat("report", "--database", tmp_path / "none.sqlite")
    assert missing.returncode == 2 and "No such file" in missing.stderr
    nothing = run_exeat("report", "--config", tmp_path / "none.yaml")
    assert nothing.returncode == 2
