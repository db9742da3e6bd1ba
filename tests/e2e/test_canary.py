"""Canaries: the operator hears of a request for one, the client cannot tell it from any other name."""
import json
import re

import pytest

from harness.client import eventually
from harness.proxy import loopback, policy_of, run_exeat

CANARY = "vault-3fa9c27be01d5748.corp.example"
OTHER = "vault-3fa9c27be01d5749.corp.example"  # as long, and nobody's canary


def policy(denied=(), canary=(CANARY,), **agent):
    rules = policy_of(agent=[{"host": "api.corp.example"}], setup=[{"host": "**.corp.example"}], deny=denied,
                      addresses=[loopback()])
    rules["phases"]["agent"] |= {"canary": list(canary), **agent}
    return rules


def octets(proxy, host, how, fields):
    """All that a client is sent until the connection ends, but for the host that it asked for, the decision's id
    and the time."""
    port = 80 if how == "GET" else 443
    target = f"http://{host}/a" if how == "GET" else f"{host}:{port}"
    with proxy.client() as client:
        client.send("\r\n".join([f"{how} {target} HTTP/1.1", f"Host: {host}:{port}", "Connection: close", *fields]) + "\r\n\r\n")
        sent = client.read_all().decode()
    assert sent.startswith("HTTP/1.1 403 ")
    decision = re.search(r"Exeat-Decision: (\w+)", sent)[1]
    return re.sub(r"(?m)^Date: .*$", "Date:", sent.replace(host, "HOST").replace(decision, "ID"))


@pytest.mark.parametrize("hints", ["code", "full"])
@pytest.mark.parametrize("denied", [(), ({"host": "**.corp.example", "ports": [443]},)])
@pytest.mark.parametrize("how", ["CONNECT", "GET"])
@pytest.mark.parametrize("fields", [(), ("Accept: application/json",)])
def test_the_client_sees_what_any_unknown_name_gets(exeat, hints, denied, how, fields):
    rules = policy(denied, hints=hints)
    rules["phases"]["setup"]["allow"] = []
    proxy = exeat(rules)
    assert octets(proxy, CANARY, how, fields) == octets(proxy, OTHER, how, fields)
    assert "canary" not in octets(proxy, CANARY, how, fields)


@pytest.mark.parametrize("mode", ["enforce", "audit"])
def test_the_operator_hears_of_it(exeat, dns, mode):
    proxy = exeat(policy(mode=mode))
    assert proxy.metric("exeat_canary_requests_total", phase="agent") == 0
    with proxy.client() as client:
        answer = client.connect(f"{CANARY.upper()}.:22")
    assert (answer.status, answer.reason) == (403, "egress-denied no-rule")
    line = proxy.logged(reason="canary")
    assert (line["level"], line["verdict"], line["host"], line["port"]) == ("error", "deny", CANARY, 22)
    assert line["decision"] == answer.fields["exeat-decision"] and "hint" not in line
    assert eventually(lambda: proxy.metric("exeat_canary_requests_total", phase="agent") == 1)
    assert eventually(lambda: CANARY in proxy.blocked_file.read_text())
    with proxy.client() as client:
        client.connect(f"{OTHER}:22")
    assert "level" not in proxy.logged(host=OTHER)
    assert proxy.metric("exeat_canary_requests_total") == 1
    assert dns.asked(CANARY) == 0


def test_it_is_a_canary_of_its_phase_alone(exeat, dns):
    proxy = exeat(policy())
    with proxy.client("mcp") as client:
        assert client.connect(f"{CANARY}:443").reason == "egress-denied no-rule"
    with proxy.client("setup") as client:
        client.connect(f"{CANARY}:443")
    assert eventually(lambda: dns.asked(CANARY) > 0)  # the rule of setup lets it
    assert proxy.log(reason="canary") == []
    assert proxy.metric("exeat_canary_requests_total") == 0


def test_a_name_that_becomes_a_canary_is_one_at_once(exeat):
    proxy = exeat(policy(canary=["other.example"]))
    with proxy.client() as client:
        client.connect(f"{CANARY}:443")
    proxy.logged(reason="no-rule", host=CANARY)
    proxy.reload(policy())
    with proxy.client() as client:
        client.connect(f"{CANARY}:443")
    proxy.logged(reason="canary", host=CANARY)


def test_a_reload_that_allows_a_canary_fails(exeat):
    proxy = exeat(policy())
    wrong = policy()
    wrong["phases"]["agent"]["allow"].append({"host": "*.corp.example"})
    proxy.reload(wrong)
    line = proxy.logged(code="reload-failed")
    assert "a name cannot be both" in line["text"] and line["level"] == "error"


def test_the_operators_tools_name_it_and_say_what_the_client_sees(tmp_path):
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps({**policy(), "tests": [
        {"phase": "agent", "url": CANARY, "expect": "deny", "reason": "canary"}]}, indent=1))
    done = run_exeat("check", "--policy", file, "--phase", "agent", f"{CANARY}:443")
    assert done.returncode == 1
    assert f"in phase agent: canary" in done.stdout and "told: egress-denied no-rule" in done.stdout
    told = json.loads(run_exeat("check", "--policy", file, "--phase", "agent", "--json", f"{CANARY}:443").stdout)
    assert (told["reason"], told["reason_phrase"]) == ("canary", "egress-denied no-rule") and "hint" not in told
    text = run_exeat("explain", "--policy", file, CANARY).stdout
    assert "agent: denied, canary" in text and "setup: allowed" in text and "the client is told egress-denied no-rule" in text
    explained = json.loads(run_exeat("explain", "--policy", file, "--format", "json", CANARY).stdout)
    agent = next(p for p in explained["phases"] if p["phase"] == "agent")
    assert agent["reason"] == "canary" and agent["canary_at"].startswith(str(file))
    assert "canary" in run_exeat("explain", "--policy", file, "--format", "markdown", CANARY).stdout
    done = run_exeat("test", "--policy", file)
    assert done.returncode == 0, done.stdout + done.stderr


def test_suggest_and_report_propose_no_canary(exeat):
    proxy = exeat(policy())
    for host in (CANARY, "docs.corp.example", "files.corp.example"):
        for _ in range(3):
            with proxy.client() as client:
                client.connect(f"{host}:443")
    assert eventually(lambda: proxy.blocked_file.read_text().count("\n") == 9)
    for arguments in ((), ("--policy", proxy.policy_file)):
        done = run_exeat("suggest", *arguments, "--wildcards", "2", proxy.blocked_file)
        assert "docs.corp.example" in done.stdout and "vault" not in done.stdout + done.stderr, done
        assert "*.corp.example" not in done.stdout
    shown = run_exeat("report", proxy.blocked_file).stdout
    assert f"- {{host: {CANARY}" not in shown


def test_a_fresh_name_for_every_asker_and_a_line_that_loads(tmp_path):
    seen = set()
    for arguments, domain in (((), "internal"), (("--under", "Corp.Example."), "corp.example"), (("--under", "übung.example"), "xn--bung-zra.example")):
        done = run_exeat("canary", *arguments)
        assert done.returncode == 0
        name = done.stdout.splitlines()[0]
        assert re.fullmatch(r"[a-z]+-[0-9a-f]{16}\." + re.escape(domain), name)
        line = next(line for line in done.stdout.splitlines() if line.startswith("    canary: "))
        file = tmp_path / "policy.yaml"
        file.write_text(f"version: 1\nphases:\n  agent:\n{line}\n    allow: []\n")
        assert f"phase agent: canary" in run_exeat("check", "--policy", file, name).stdout
        seen.add(name)
    assert len(seen) == 3
    for wrong in ("*.corp.example", "10.0.0.1", "a..b", "x" * 64, "x." * 120 + "example"):
        done = run_exeat("canary", "--under", wrong)
        assert done.returncode == 2 and done.stdout == "" and "exeat canary: `" in done.stderr
