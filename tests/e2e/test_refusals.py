"""What a blocked developer and a program see: status, fields, reason phrase, text or JSON, log and blocked.log."""
import json

import pytest

from harness.client import Client, eventually
from harness.origin import echo
from harness.proxy import free_port, loopback, policy_of, run_exeat

POLICY = policy_of(
    agent=[{"host": "api.corp.example", "reason": "model API"}, {"host": "old.corp.example", "expires": "2020-01-31"},
           {"host": "**.corp.example", "ports": [8443]}],
    setup=[{"host": "api.corp.example"}],
    deny=[{"host": "**.evil.example"}], addresses=[loopback()])


def connect(proxy, target, fields=(), phase="agent"):
    with proxy.client(phase) as client:
        return client.connect(target, fields)


@pytest.mark.parametrize("target, reason", [
    ("elsewhere.example:443", "no-rule"), ("a.evil.example:443", "deny-rule"), ("old.corp.example:443", "rule-expired"),
    ("api.corp.example:22", "port-not-allowed"), ("203.0.113.9:443", "ip-literal")])
def test_each_reason_everywhere_the_same(exeat, target, reason):
    proxy = exeat(POLICY)
    answer = connect(proxy, target)
    assert (answer.status, answer.reason) == (403, f"egress-denied {reason}")
    record = proxy.logged(reason=reason, verdict="deny", event="decision")
    assert answer.fields["exeat-decision"] == record["decision"]
    assert "error=http_request_denied" in answer.fields["proxy-status"].replace(" ", "")
    assert reason.encode() in answer.body and record["decision"].encode() in answer.body
    assert eventually(lambda: proxy.metric("exeat_decisions_total", phase="agent", verdict="deny", reason=reason) == 1)
    assert eventually(lambda: proxy.blocked_file.exists() and "\n" in proxy.blocked_file.read_text())
    blocked = [json.loads(line) for line in proxy.blocked_file.read_text().splitlines()]
    assert [b["decision"] for b in blocked] == [record["decision"]]


@pytest.mark.parametrize("octets", [b"\x05\x01\x00", b"\x04\x01\x00\x50\x01\x01\x01\x01\0"])
def test_a_client_that_speaks_socks_is_known_by_its_first_octet(exeat, octets):
    proxy = exeat(POLICY)
    with proxy.client() as client:
        client.send(octets)
        assert client.read_all().startswith(b"HTTP/1.1 400 bad-request bad-character\r\n")
    assert "SOCKS" in proxy.logged(reason="bad-character")["error"]


def test_proxy_status_is_a_structured_field(exeat):
    proxy = exeat(POLICY)
    value = connect(proxy, "elsewhere.example:443").fields["proxy-status"]
    name, *parameters = [part.strip() for part in value.split(";")]
    assert name and "error=http_request_denied" in parameters
    assert any(p.startswith("details=") and "no-rule" in p for p in parameters), value


def test_json_by_accept(exeat):
    proxy = exeat(POLICY)
    answer = connect(proxy, "elsewhere.example:443", ["Accept: application/json"])
    assert answer.fields["content-type"].startswith("application/json")
    body = json.loads(answer.body)
    assert body["reason"] == "no-rule" and body["phase"] == "agent"
    assert body["destination"] == "elsewhere.example:443" and body["decision"] == answer.fields["exeat-decision"]
    text = connect(proxy, "elsewhere.example:443", ["Accept: */*"])
    assert text.fields["content-type"].startswith("text/plain")


def test_a_refusal_has_an_exact_length_and_closes(exeat):
    proxy = exeat(POLICY)
    with proxy.client() as client:
        answer = client.connect("elsewhere.example:443")
        assert int(answer.fields["content-length"]) == len(answer.body) > 0
        assert client.is_closed()


def test_an_untrusted_phase_learns_no_rules(exeat):
    proxy = exeat(POLICY)
    trusted = connect(proxy, "api.corp.example:22", phase="setup").body
    untrusted = connect(proxy, "api.corp.example:22", phase="agent").body
    assert b"policy.yaml" not in untrusted and b"8443" not in untrusted
    assert len(trusted) > len(untrusted)


def test_a_host_cannot_write_into_the_log_or_the_answer(exeat):
    proxy = exeat(POLICY)
    for target in ('a"b.example:443', "a\x1b[31m.example:443", "a<script>.example:443", "\xffx.example:443"):
        answer = connect(proxy, target)
        assert answer.status == 400
        assert "\x1b" not in answer.reason and b"\x1b" not in answer.body
    assert eventually(lambda: len(proxy.log(event="decision")) == 4)  # each line is JSON, or log() fails
    assert b"\x1b" not in proxy.log_file.read_bytes()


def test_audit_lets_through_and_says_what_it_would_have_done(exeat, origin):
    server = origin(echo)
    port = free_port()
    proxy = exeat(policy_of(phases={"trial": {"mode": "audit", "allow": []}}, addresses=[loopback()]),
                  {"more_listeners": [{"address": f"127.0.0.1:{port}", "phase": "trial"}]})
    with Client(("127.0.0.1", port)) as client:
        assert client.connect(f"origin.corp.example:{server.port}").status == 200
    record = proxy.logged(event="decision", phase="trial")
    assert (record["verdict"], record["reason"]) == ("would_deny", "no-rule")
    rule = f"phases.trial.allow: - {{host: origin.corp.example, ports: [{server.port}]"
    assert rule in record["hint"], "audit is for learning what to add"
    assert eventually(lambda: rule in run_exeat("report", str(proxy.blocked_file)).stdout)
    assert eventually(lambda: proxy.metric("exeat_decisions_total", phase="trial", verdict="would_deny") == 1)
    check = run_exeat("check", "--policy", proxy.policy_file, "--phase", "trial", "https://origin.corp.example/")
    assert "would" in check.stdout


def test_audit_lets_through_what_the_peek_would_cut_and_says_so_once(exeat, origin):
    server = origin(echo)
    port = free_port()
    allow = [{"host": "origin.corp.example", "ports": [server.port]}]
    proxy = exeat(policy_of(phases={"trial": {"mode": "audit", "allow": allow}}, addresses=[loopback()]),
                  {"more_listeners": [{"address": f"127.0.0.1:{port}", "phase": "trial"}]})
    with Client(("127.0.0.1", port)) as client:
        assert client.connect(f"origin.corp.example:{server.port}").status == 200
        client.send(b"no TLS at all")
        assert client.read_exactly(13) == b"no TLS at all"
    end = proxy.logged(event="close", phase="trial")
    assert (end["verdict"], end["reason"], end["bytes_up"]) == ("would_deny", "not-tls", 13)
    assert "tls: any" in end["hint"]
    assert proxy.metric("exeat_decisions_total", phase="trial", verdict="would_deny", reason="not-tls") == 1
    proxy.stop()
    assert len(proxy.log(event="close")) == 1


def test_the_log_line_of_an_allowed_tunnel(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of(agent=[{"host": "origin.corp.example", "ports": [server.port], "tls": "any"}],
                            addresses=[loopback()]))
    with proxy.client() as client:
        client.connect(f"origin.corp.example:{server.port}")
        client.send(b"12345")
        client.read_exactly(5)
        port = client.sock.getsockname()[1]
    close = proxy.logged(event="close")
    decision = proxy.logged(event="decision")
    assert decision["decision"] == close["decision"]
    assert decision["client"] == f"127.0.0.1:{port}" and decision["phase"] == "agent"
    assert (decision["method"], decision["scheme"]) == ("CONNECT", "https")
    assert (decision["host"], decision["port"]) == ("origin.corp.example", server.port)
    assert decision["address"] == "127.0.0.1" and decision["status"] == 200
    assert decision["rule"].startswith("agent/origin.corp.example") and "policy.yaml:" in decision["rule_at"]
    assert decision["dns_ms"] >= 0 and decision["connect_ms"] >= 0
    assert (close["bytes_up"], close["bytes_down"]) == (5, 5) and close["total_ms"] >= 0
    assert len(decision["time"]) == len("2026-01-01T00:00:00.000000Z") and decision["time"].endswith("Z")


def test_report_groups_what_was_blocked(exeat):
    proxy = exeat(POLICY)
    for target in ("elsewhere.example:443", "elsewhere.example:443", "a.evil.example:443"):
        connect(proxy, target)
    assert eventually(lambda: proxy.blocked_file.exists() and len(proxy.blocked_file.read_text().splitlines()) == 3)
    table = run_exeat("report", proxy.blocked_file)
    assert table.returncode == 0 and "elsewhere.example" in table.stdout and "deny-rule" in table.stdout
    markdown = run_exeat("report", "--format", "markdown", proxy.blocked_file).stdout
    assert markdown.count("|") > 6
    rows = json.loads(run_exeat("report", "--format", "json", proxy.blocked_file).stdout)
    assert rows["total"] == 3
    assert {row["host"]: row["count"] for row in rows["refusals"]} == {"elsewhere.example": 2, "a.evil.example": 1}
