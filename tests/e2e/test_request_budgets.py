"""How many requests a rule, a phase and a job may make, and for how long a phase may be used; and who is told."""
import time

import pytest

from harness.client import eventually
from harness.origin import echo, http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"
OTHER = "other.corp.example"
MIB = 1 << 20


def rule(port, host=HOST, **terms):
    return {"host": host, "ports": [port], "tls": "any", **terms}


def policy(*rules, phase=None, **top):
    out = {**policy_of(agent=rules, mcp=[{"host": "**.corp.example", "ports": "any", "tls": "any"}], addresses=[loopback()]), **top}
    out["phases"]["agent"] |= phase or {}
    return out


def status(proxy, port, host=HOST, phase="agent"):
    with proxy.client(phase) as client:
        answer = client.connect(f"{host}:{port}")
        return answer.status, answer.reason


def test_a_rule_lets_so_many_through_and_no_more(exeat, origin, dns):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port, request_limit=3), rule(server.port, host=OTHER)))
    assert [status(proxy, server.port)[0] for _ in range(3)] == [200] * 3
    asked = dns.asked(HOST)
    assert status(proxy, server.port) == (403, "egress-denied request-limit")
    assert dns.asked(HOST) == asked
    told = proxy.logged(event="decision", reason="request-limit")
    assert told["error"] == f"request_limit 3 of agent/{HOST}:{server.port} is used up"
    assert "`request_limit` is 3" in told["hint"]
    assert status(proxy, server.port, OTHER)[0] == 200
    labels = {"phase": "agent", "rule": f"agent/{HOST}:{server.port}"}
    assert proxy.metric("exeat_budget_requests", **labels) == 3 == proxy.metric("exeat_budget_requests_limit", **labels)


def test_each_request_of_a_kept_connection_counts_once(exeat, origin):
    server = origin(http_handler(lambda request: response("ok")))
    proxy = exeat(policy(rule(server.port, request_limit=3)))
    with proxy.client() as client:
        for _ in range(3):
            assert client.get(f"http://{HOST}:{server.port}/").status == 200
        assert client.get(f"http://{HOST}:{server.port}/").status == 403
    # A tunnel is a request like another.
    assert status(proxy, server.port) == (403, "egress-denied request-limit")
    assert eventually(lambda: len(proxy.log(event="decision", verdict="allow")) == 3)


def test_what_is_refused_is_not_charged(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port, host="*.corp.example", max_names=1), rule(server.port, host="nowhere.example"),
                         phase={"request_limit": 3}, deny=[{"host": "evil.example"}]))
    for host in ("unknown.example", "evil.example"):
        for _ in range(3):
            assert status(proxy, server.port, host)[0] == 403
    assert status(proxy, server.port)[0] == 200
    for _ in range(3):
        assert status(proxy, server.port, OTHER)[1] == "egress-denied too-many-names"
    assert proxy.metric("exeat_budget_requests", phase="agent", rule="") == 1
    # What is let through counts, even where the name does not resolve.
    assert status(proxy, server.port, "nowhere.example")[0] == 502
    assert proxy.metric("exeat_budget_requests", phase="agent", rule="") == 2


def test_phase_and_job_and_a_reload(exeat, origin):
    server = origin(echo)
    rules = policy(rule(server.port), phase={"request_limit": 2}, request_limit=4)
    proxy = exeat(rules)
    assert [status(proxy, server.port)[0] for _ in range(3)] == [200, 200, 403]
    assert proxy.logged(reason="request-limit")["error"] == "request_limit 2 of phase agent is used up"
    proxy.reload(rules)
    assert status(proxy, server.port)[0] == 403
    assert [status(proxy, server.port, phase="mcp")[0] for _ in range(3)] == [200, 200, 403]
    assert proxy.logged(reason="request-limit", phase="mcp")["error"] == "request_limit 4 of the job is used up"


def test_audit_counts_and_lets_pass(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port, request_limit=1), phase={"mode": "audit", "time_limit": "1h"}))
    assert [status(proxy, server.port)[0] for _ in range(3)] == [200] * 3
    assert eventually(lambda: len(proxy.log(verdict="would_deny", reason="request-limit", event="decision")) == 2)
    assert proxy.metric("exeat_budget_requests", phase="agent", rule=f"agent/{HOST}:{server.port}") == 3


def test_when_the_time_has_passed_all_ends(exeat, origin):
    server = origin(echo)
    web = origin(http_handler(lambda request: time.sleep(30) or response("late")))
    proxy = exeat(policy(rule(server.port), rule(web.port), phase={"time_limit": "1s"}))
    assert proxy.metric("exeat_budget_time_limit_seconds", phase="agent") == 1
    assert proxy.metric("exeat_budget_time_seconds", phase="agent") == 0
    time.sleep(1.2)  # nothing was let through yet: the time does not run
    tunnel, mcp, waiting = proxy.client(), proxy.client("mcp"), proxy.client()
    assert tunnel.connect(f"{HOST}:{server.port}").status == 200
    assert mcp.connect(f"{HOST}:{server.port}").status == 200
    waiting.send(f"GET http://{HOST}:{web.port}/ HTTP/1.1\r\nHost: {HOST}:{web.port}\r\n\r\n")
    tunnel.send(b"ping")
    assert tunnel.read_exactly(4) == b"ping"
    with pytest.raises(ConnectionResetError):
        tunnel.sock.recv(1)
    end = proxy.logged(event="close", reason="time-limit", method="CONNECT")
    assert end["verdict"] == "deny" and end["error"] == "the time_limit of the phase has passed" and end["bytes_up"] == 4
    assert waiting.answer().reason == "egress-denied time-limit"
    assert status(proxy, server.port) == (403, "egress-denied time-limit")
    told = proxy.logged(event="decision", reason="time-limit", method="CONNECT")
    assert "`time_limit` is 1s for phase `agent`" in told["hint"]
    mcp.send(b"ping")
    assert mcp.read_exactly(4) == b"ping"
    assert proxy.metric("exeat_budget_time_seconds", phase="agent") >= 1


def test_a_reload_gives_more_time(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port), phase={"time_limit": "1s"}))
    assert status(proxy, server.port)[0] == 200
    assert eventually(lambda: status(proxy, server.port)[1] == "egress-denied time-limit")
    proxy.reload(policy(rule(server.port), phase={"time_limit": "1h"}))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"ping")
        assert client.read_exactly(4) == b"ping"


def warnings(proxy):
    return sorted(line["text"] for line in proxy.log(event="process", level="warning", code="budget"))


def test_four_fifths_of_a_budget_are_told_once(exeat, origin):
    server = origin(echo)
    by = f"agent/{HOST}:{server.port}"
    proxy = exeat(policy(rule(server.port, request_limit=5, upload_limit="1MiB"), phase={"time_limit": "1h"}, download_limit="2MiB"))
    for _ in range(3):
        assert status(proxy, server.port)[0] == 200
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"u" * MIB)
        assert len(client.read_exactly(MIB)) == MIB
        wanted = [f"request_limit 5 of {by}: 80 % is used", f"upload_limit 1MiB of {by}: 100 % is used"]
        assert eventually(lambda: warnings(proxy) == wanted), warnings(proxy)
    assert status(proxy, server.port)[1] == "egress-denied upload-limit"
    proxy.reload(policy(rule(server.port, request_limit=5, upload_limit="1MiB"), download_limit="3MiB", phase={"time_limit": "1h"}))
    time.sleep(2.5)  # two more looks
    assert warnings(proxy) == wanted
