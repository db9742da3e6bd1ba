"""Names and addresses: what is never looked up, what is never dialled."""
import socket

import pytest

from harness.client import eventually
from harness.dns import REFUSED, SERVFAIL, SILENT, truncated
from harness.origin import echo, http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"


def allow(port, *more, addresses=None):
    return policy_of(agent=[{"host": HOST, "ports": [port], "tls": "any"}, *more],
                     addresses=[loopback()] if addresses is None else addresses)


def connect(proxy, target, phase="agent", fields=()):
    with proxy.client(phase) as client:
        return client.connect(target, fields)


def test_a_denied_name_is_never_looked_up(exeat, dns):
    proxy = exeat(allow(443))
    assert connect(proxy, "denied.corp.example:443").status == 403
    assert connect(proxy, f"{HOST}:444").status == 403
    with proxy.client() as client:
        assert client.get("http://secret-in-the-name.corp.example/").status == 403
    assert proxy.logged(host="secret-in-the-name.corp.example")
    assert dns.queries == []


def test_a_forbidden_address_is_refused_and_the_log_has_the_line_to_add(exeat, dns, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port, addresses=[]))
    assert connect(proxy, f"{HOST}:{server.port}").status == 403
    record = proxy.logged(reason="address-forbidden")
    assert record["address"] == "127.0.0.1"
    assert "cidr: 127.0.0.1/32" in record["hint"] and HOST in record["hint"]
    assert server.connections == []


def test_only_a_trusted_phase_is_told_the_line(exeat, origin):
    server = origin(echo)
    rules = [{"host": HOST, "ports": [server.port]}]
    proxy = exeat(policy_of(agent=rules, setup=rules))
    assert b"127.0.0.1/32" in connect(proxy, f"{HOST}:{server.port}", "setup").body
    told = connect(proxy, f"{HOST}:{server.port}", "agent")
    assert b"127.0.0.1" not in told.body.replace(f"127.0.0.1:{proxy.ports['agent']}".encode(), b"")


@pytest.mark.parametrize("bad", [
    "10.0.0.1", "169.254.169.254", "168.63.129.16", "0.0.0.0", "100.64.0.1", "198.18.0.1", "240.0.0.1",
    "255.255.255.255", "192.0.0.8", "224.0.0.1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "fe80::1", "fc00::1",
    "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::1", "2001:0:4136:e378:8000:63bf:80ff:fffe", "ff02::1",
    "fd00:ec2::254", "2001:db8::1"])
def test_one_bad_address_among_the_answers_refuses_all(exeat, dns, origin, bad):
    server = origin(echo)
    dns.records[HOST] = ["127.0.0.1", bad]
    proxy = exeat(allow(server.port))
    assert connect(proxy, f"{HOST}:{server.port}").status == 403
    assert proxy.logged(reason="address-forbidden")
    assert server.connections == []


@pytest.mark.parametrize("kind", ["forbidden", "denied", "pinned"])
def test_a_bad_address_behind_very_many_good_ones_refuses_all(exeat, dns, origin, kind):
    """None of an answer's addresses is left unjudged."""
    server = origin(echo)
    bad = "10.0.0.1" if kind == "forbidden" else "127.0.1.1"
    dns.records[HOST] = truncated([f"127.0.0.{n}" for n in range(1, 61)] + [bad])
    rule = {"host": HOST, "ports": [server.port], "tls": "any"}
    if kind == "pinned":
        rule["resolve_in"] = ["127.0.0.0/24"]
    policy = policy_of(agent=[rule], addresses=[loopback(cidr="127.0.0.0/8")])
    if kind == "denied":
        policy["deny"] = [{"cidr": "127.0.1.1/32"}]
    proxy = exeat(policy)
    assert connect(proxy, f"{HOST}:{server.port}").status == 403
    record = proxy.logged(event="decision", host=HOST)
    assert record["reason"] == {"forbidden": "address-forbidden", "denied": "address-denied",
                                "pinned": "outside-resolve-in"}[kind]
    assert server.connections == []


def test_a_name_of_more_addresses_than_are_judged_is_not_served(exeat, dns, origin):
    server = origin(echo)
    dns.records[HOST] = truncated([f"127.0.0.{n}" for n in range(1, 66)])
    proxy = exeat(allow(server.port, addresses=[loopback(cidr="127.0.0.0/8")]))
    answer = connect(proxy, f"{HOST}:{server.port}")
    assert (answer.status, answer.reason) == (502, "upstream-failed dns-failure")
    assert "more addresses than are checked" in proxy.logged(reason="dns-failure")["error"]
    assert server.connections == []
    dns.records[HOST] = truncated([f"127.0.0.{n}" for n in range(1, 65)])
    proxy = exeat(allow(server.port, addresses=[loopback(cidr="127.0.0.0/8")]))
    assert connect(proxy, f"{HOST}:{server.port}").status == 200


def test_a_deny_prefix_refuses_what_a_name_resolves_to(exeat, origin):
    server = origin(echo)
    policy = allow(server.port)
    policy["deny"] = [{"cidr": "127.0.0.0/8"}]
    proxy = exeat(policy)
    assert connect(proxy, f"{HOST}:{server.port}").status == 403
    assert proxy.logged(reason="address-denied")["rule"].startswith("deny/")


def test_an_alias_is_followed_but_the_asked_name_decides(exeat, dns, origin):
    server = origin(echo)
    dns.records[HOST] = "CNAME hidden.corp.example"
    dns.records["hidden.corp.example"] = ["127.0.0.1"]
    proxy = exeat(allow(server.port))
    assert connect(proxy, f"{HOST}:{server.port}").status == 200
    assert connect(proxy, f"hidden.corp.example:{server.port}").status == 403


def test_an_ip_literal_needs_a_cidr_rule_and_an_exception(exeat, origin):
    server = origin(echo)
    target = f"127.0.0.1:{server.port}"
    cidr = {"cidr": "127.0.0.1/32", "ports": [server.port], "tls": "any"}
    cases = [(policy_of(agent=[{"host": HOST, "ports": "any"}], addresses=[loopback()]), "ip-literal"),
             (policy_of(agent=[cidr], addresses=[loopback()]), "address-forbidden"),
             (policy_of(agent=[cidr], addresses=[loopback(literal=True)]), "allowed")]
    proxy = exeat(cases[0][0])
    for policy, reason in cases:
        proxy.reload(policy)
        assert connect(proxy, target).status == (200 if reason == "allowed" else 403)
        assert proxy.logged(reason=reason, event="decision")
    assert connect(proxy, f"[::ffff:127.0.0.1]:{server.port}").status == 403


def test_own_listeners_are_refused_under_every_name(exeat, dns):
    dns.records["mapped.corp.example"] = ["::ffff:127.0.0.1"]
    rules = [{"host": "**.corp.example", "ports": "any", "tls": "any"}]
    proxy = exeat(policy_of(agent=rules, addresses=[loopback()]))
    for port in proxy.ports.values():
        answer = connect(proxy, f"{HOST}:{port}")
        assert answer.status == 403, port
        assert proxy.logged(reason="own-listener", port=port)
    assert connect(proxy, f"mapped.corp.example:{proxy.ports['setup']}").status == 403


@pytest.mark.parametrize("record, status, reason, error", [
    ("NXDOMAIN", 502, "dns-not-found", "dns_error"),
    ([], 502, "dns-not-found", "dns_error"),
    (SERVFAIL, 502, "dns-failure", "dns_error"),
    (REFUSED, 502, "dns-failure", "dns_error"),
    (SILENT, 504, "dns-timeout", "dns_timeout"),
])
def test_what_goes_wrong_in_the_look_up(exeat, dns, record, status, reason, error):
    dns.records[HOST] = record
    proxy = exeat(allow(443), {"dns": {"timeout": "200ms", "tries": 2}, "timeouts": {"dns": "2s"}})
    answer = connect(proxy, f"{HOST}:443")
    assert (answer.status, answer.reason) == (status, f"upstream-failed {reason}")
    assert error in answer.fields["proxy-status"]
    said = proxy.logged(reason=reason)
    assert said["verdict"] == "error"
    if record in (SERVFAIL, REFUSED):
        assert "SERVFAIL" in said["error"], "the server was reached: not that it could not be contacted"


def test_a_refused_dial_is_a_502(exeat):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, but not listening: nobody else gets the port
        port = closed.getsockname()[1]
        proxy = exeat(allow(port))
        answer = connect(proxy, f"{HOST}:{port}")
    assert answer.status == 502 and "connection_refused" in answer.fields["proxy-status"]
    assert proxy.logged(reason="connect-refused")


def test_a_dead_address_is_passed_over(exeat, dns, origin):
    """RFC 8305: the first answer refuses, the second one serves."""
    server = origin(echo)
    dns.records[HOST] = ["127.0.0.2", "127.0.0.1"]
    proxy = exeat(allow(server.port, addresses=[loopback(cidr="127.0.0.0/30")]))
    for _ in range(4):
        assert connect(proxy, f"{HOST}:{server.port}").status == 200
    assert eventually(lambda: len(proxy.log(event="decision")) == 4)
    assert {r["address"] for r in proxy.log(event="decision")} == {"127.0.0.1"}


def test_answers_are_cached(exeat, dns, origin):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback()]), {"workers": 1})
    for _ in range(5):
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{server.port}/", ["Connection: close"]).status == 200
    assert dns.asked(HOST) <= 2  # A and AAAA, once each
    assert eventually(lambda: proxy.metric("exeat_dns_lookups_total", result="miss") == 1)


def test_a_name_that_carries_too_much_is_never_looked_up(exeat, dns, origin):
    server = origin(http_handler(lambda request: response()))
    rule = {"host": "**.corp.example", "ports": [server.port], "tls": "any", "max_name_entropy": 40}
    proxy = exeat(policy_of(agent=[rule], setup=[rule], addresses=[loopback()]))
    for name in ("nq2gk3dpo5xxe3deebqw4zba", "de.ad.be.ef", "a-secret"):
        host = f"{name}.corp.example:{server.port}"
        assert connect(proxy, host).reason == "egress-denied name-entropy"
        with proxy.client() as client:
            assert client.get(f"http://{host}/").status == 403
        told = connect(proxy, host, "setup").body.decode()
        assert "40 bits" in told and f"`{name}` ({len(name)} characters)" in told
    assert proxy.logged(reason="name-entropy")["rule"] == f"agent/**.corp.example:{server.port}"
    assert dns.queries == []
    assert connect(proxy, f"{HOST}:{server.port}").status == 200
    # A reload takes the limit away.
    del rule["max_name_entropy"]
    dns.records["a-secret.corp.example"] = ["127.0.0.1"]
    proxy.reload(policy_of(agent=[rule], addresses=[loopback()], phases={"setup": {"untrusted": False, "allow": []}}))
    assert connect(proxy, f"a-secret.corp.example:{server.port}").status == 200
