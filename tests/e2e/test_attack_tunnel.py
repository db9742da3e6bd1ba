"""CONNECT under attack: hellos made by hand, half-closes and resets in every state, and lines that add up."""
import collections
import itertools
import os
import socket
import struct
import threading
import time

import pytest

from harness.client import client_hello, eventually
from harness.origin import echo
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"
ONE = {"workers": 1}


def tunnel(port, **more):
    return policy_of(agent=[{"host": HOST, "ports": [port], **more}, {"cidr": "127.0.0.1/32", "ports": [port], **more}],
                     addresses=[loopback(), {"cidr": "127.0.0.1/32", "literal": True, "reason": "test origin"}])


def lines(proxy, **fields):
    """Log records of requests, without those of the process."""
    return [r for r in proxy.log(**fields) if r["event"] in ("decision", "close")]


def sized(data, octets):
    return len(data).to_bytes(octets, "big") + data


def server_name(*names):
    return extension(0, sized(b"".join(b"\0" + sized(name, 2) for name in names), 2))


def extension(kind, body):
    return kind.to_bytes(2, "big") + sized(body, 2)


def hello(*extensions, records=16384, behind=b""):
    body = (b"\3\3" + b"r" * 32 + sized(b"s" * 32, 1) + sized(b"\x13\x01", 2) + sized(b"\0", 1)
            + sized(b"".join(extensions), 2))
    message = b"\1" + sized(body, 3) + behind
    return b"".join(b"\x16\3\1" + sized(message[at:at + records], 2) for at in range(0, len(message), records))


SNI = server_name(HOST.encode())


def in_tunnel(proxy, target, octets, shut=False):
    """(the decision id, what came back until the end)"""
    with proxy.client() as client:
        answer = client.connect(target)
        assert answer.status == 200
        client.send(octets)
        if shut:
            client.sock.shutdown(socket.SHUT_WR)
        return answer.fields["exeat-decision"], client.read_all()


@pytest.mark.parametrize("octets, reason", [
    (hello(server_name(HOST.encode() + b".")), "sni-mismatch"), (hello(server_name(b"127.0.0.1")), "sni-mismatch"),
    (hello(server_name(HOST.encode() + b"\0.evil")), "sni-mismatch"), (hello(server_name(b"\xff" * 20)), "sni-mismatch"),
    (hello(server_name(b"a." + HOST.encode())), "sni-mismatch"), (hello(server_name(b"*.corp.example")), "sni-mismatch"),
    (hello(server_name(b'"}\n{"event":"decision"')), "sni-mismatch"), (hello(), "sni-missing"),
    (hello(server_name(HOST.encode(), b"evil.example")), "bad-client-hello"), (hello(SNI, SNI), "bad-client-hello"),
    (hello(server_name(b"")), "bad-client-hello"), (hello(SNI, extension(41, b"x"), extension(5, b"")), "bad-client-hello"),
    (hello(SNI, extension(0xfe0d, b"\0" * 10)), "ech-refused"), (hello(SNI, extension(0xffce, b"")), "ech-refused"),
    (hello(SNI, behind=hello(server_name(b"evil.example"))[5:]), "bad-client-hello"),
    (hello(SNI)[:-1] + b"\0", "sni-mismatch"), (b"\x16\3\1\0\0", "bad-client-hello"),
    (b"\x16\3\1\x40\x01\1\0\x40\0", "bad-client-hello"), (b"\x16\3\1\0\4\2\0\0\0", "bad-client-hello"),
    (b"\x16\3\1\0\4\1\xff\xff\xff", "bad-client-hello"), (hello(SNI, records=7)[:12] + b"\x17\3\3\0\1x", "bad-client-hello"),
    (b"\x80\x2e\1\0\2", "not-tls"), (b"\x17\3\3\0\1x", "not-tls"), (b"\x15\3\1\0\2\2\x28", "not-tls"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "not-tls"), (b"\0", "not-tls"), (b"\xff" * 70000, "not-tls"),
    (b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n", "not-tls"),
], ids=map(str, itertools.count()))
@pytest.mark.parametrize("single", [False, True])
def test_what_the_peek_refuses_never_reaches_the_origin(exeat, origin, octets, reason, single):
    server = origin(echo)
    proxy = exeat(tunnel(server.port), ONE)
    if single and len(octets) > 1000:
        octets = octets[:1000]
    with proxy.client() as client:
        answer = client.connect(f"{HOST}:{server.port}")
        assert answer.status == 200
        try:
            for piece in ([bytes([o]) for o in octets] if single else [octets]):
                client.send(piece)
        except OSError:
            pass  # refused before it was all said
        got = client.read_all()
    close = proxy.logged(event="close", decision=answer.fields["exeat-decision"])
    assert (close["verdict"], close["reason"]) == ("deny", reason)
    assert got[:1] in (b"\x15", b"H", b"")
    assert server.received == b""
    assert len(lines(proxy)) == 2
    assert all(b" " <= line for line in proxy.log_file.read_bytes().splitlines())


@pytest.mark.parametrize("octets", [
    hello(server_name(HOST.upper().encode())), hello(SNI) + b"\x14\3\3\0\1\1" + b"early data" * 3000,
    hello(SNI, extension(0x0a0a, b""), extension(16, sized(sized(b"h2", 1), 2))), hello(SNI, records=1),
    hello(SNI, extension(21, b"\0" * 16000)),
])
def test_what_the_peek_lets_through_arrives_octet_by_octet(exeat, origin, octets):
    server = origin(lambda c: c.read_all())
    proxy = exeat(tunnel(server.port), ONE)
    for early in (True, False):
        before = len(server.received)
        with proxy.client() as client:
            assert client.connect(f"{HOST}:{server.port}", behind=octets if early else b"").status == 200
            if not early:
                client.send(octets)
            client.sock.shutdown(socket.SHUT_WR)
            assert client.read_all() == b""
        assert eventually(lambda: server.received[before:] == octets)
    assert eventually(lambda: [r["bytes_up"] for r in lines(proxy, event="close")] == [len(octets)] * 2)


def test_an_address_has_no_server_name(exeat, origin):
    server = origin(lambda c: c.read_all())
    proxy = exeat(tunnel(server.port), ONE)
    decision, _ = in_tunnel(proxy, f"127.0.0.1:{server.port}", hello(SNI))
    assert proxy.logged(event="close", decision=decision)["reason"] == "sni-mismatch"
    assert server.received == b""
    decision, got = in_tunnel(proxy, f"127.0.0.1:{server.port}", hello(), shut=True)
    assert proxy.logged(event="close", decision=decision)["reason"] == "allowed" and got == b""
    assert server.received == hello()


@pytest.mark.parametrize("first, reason", [
    (client_hello(HOST), "tls-on-plain"), (b"\x16", "tls-on-plain"), (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2-on-plain"),
    (b"\x05\x01\x00", None), (b"\0\0\0\0", None), (b"\xff\xfe", None), (b"GET /\r\n", "bad-version")])
def test_other_protocols_on_the_listener(exeat, first, reason):
    proxy = exeat(policy_of(), {"timeouts": {"head": "500ms"}})
    with proxy.client() as client:
        client.send(first)
        got = client.read_all()
    assert got.startswith(b"HTTP/1.1 ") and 400 <= int(got[9:12]) < 600, got
    record = proxy.logged(event="decision")
    assert reason is None or record["reason"] == reason
    assert len(lines(proxy)) == 1


def test_connect_behind_other_requests(exeat, origin):
    server = origin(echo)
    proxy = exeat(tunnel(server.port, tls="any"), ONE)
    denied = "http://denied.corp.example/"
    with proxy.client() as client:
        client.send(f"GET {denied} HTTP/1.1\r\nHost: denied.corp.example\r\n\r\n" * 3
                    + f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}\r\n\r\nfirst")
        assert [client.answer().status for _ in range(3)] == [403] * 3
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        assert client.read_exactly(5) == b"first"
    assert eventually(lambda: len(lines(proxy)) == 5)


# Somebody is gone -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("said", [b"", b"\x16", hello(SNI)[:40], hello(SNI)])
@pytest.mark.parametrize("tls", ["required", "any"])
def test_a_client_that_leaves_in_any_state_leaves_two_lines(exeat, origin, how, said, tls):
    server = origin(echo)
    proxy = exeat(tunnel(server.port, **({"tls": "any"} if tls == "any" else {})), ONE)
    for early in (True, False):
        client = proxy.client()
        answer = client.connect(f"{HOST}:{server.port}", behind=said if early else b"")
        assert answer.status == 200
        if not early:
            client.send(said)
        if how == "fin":
            client.sock.shutdown(socket.SHUT_WR)
            got = client.read_all()
            assert got in (said, b"") or got[:1] == b"\x15"
            client.close()
        else:
            client.reset()
        assert proxy.logged(event="close", decision=answer.fields["exeat-decision"])
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
    assert len(lines(proxy)) == 4
    if tls == "required" and len(said) < len(hello(SNI)):
        assert server.received == b""
    assert proxy.metric("exeat_bytes_total", direction="up") == sum(r["bytes_up"] for r in lines(proxy, event="close"))


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("when", ["accept", "hello", "answer"])
def test_an_origin_that_leaves_in_any_state(exeat, origin, how, when):
    def handler(connection):
        if when != "accept":
            connection.read_exactly(len(hello(SNI)))
        if when == "answer":
            connection.write(b"x" * 500_000)
        if how == "rst":
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server = origin(handler)
    proxy = exeat(tunnel(server.port), ONE)
    with proxy.client() as client:
        answer = client.connect(f"{HOST}:{server.port}")
        if answer.status == 502 and when == "accept":  # the reset was there before the 200
            assert proxy.logged(event="decision")["verdict"] == "error"
            return
        assert answer.status == 200
        client.send(hello(SNI))
        got = client.read_all()
        assert got == b"x" * len(got)
        if when == "answer" and how == "fin":
            assert len(got) == 500_000
    close = proxy.logged(event="close", decision=answer.fields["exeat-decision"])
    assert close["verdict"] == "allow" and (how == "fin" or close["error"])
    assert len(lines(proxy)) == 2 and eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)


class Deaf:
    """A listener whose backlog is full: a dial to it hangs until free()."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port = self.listener.getsockname()[1]
        self.fill = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self.fill.append(sock)

    def free(self):
        self.listener.listen(64)
        for sock in self.fill:
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.free()
        self.listener.close()


def test_a_dial_that_hangs_is_a_504_and_a_line(exeat):
    with Deaf() as deaf:
        proxy = exeat(tunnel(deaf.port), {**ONE, "timeouts": {"connect": "400ms"}})
        with proxy.client() as client:
            answer = client.connect(f"{HOST}:{deaf.port}")
            assert answer.status == 504
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{deaf.port}/").status == 504
        assert eventually(lambda: [r["reason"] for r in lines(proxy)] == ["connect-timeout"] * 2)


def test_a_client_that_is_gone_before_the_200_leaves_two_lines(exeat):
    """It was let through and dialled: what became of it stands in the log, too."""
    with Deaf() as deaf:
        proxy = exeat(tunnel(deaf.port), {**ONE, "timeouts": {"connect": "30s"}})
        client = proxy.client()
        client.send(f"CONNECT {HOST}:{deaf.port} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
        time.sleep(0.3)  # it dials by now; if it did not yet, the end is the same
        client.reset()
        time.sleep(0.1)
        deaf.free()
        close = proxy.logged(event="close")
        assert (close["verdict"], close["reason"]) == ("error", "client-closed")
        assert [r["event"] for r in lines(proxy)] == ["decision", "close"]
        assert proxy.metric("exeat_active_tunnels") == 0


@pytest.mark.parametrize("said", [b"", hello(SNI)[:40]])
def test_stopping_within_the_peek_leaves_its_line(exeat, origin, said):
    server = origin(echo)
    proxy = exeat(tunnel(server.port), {**ONE, "drain_timeout": "300ms", "timeouts": {"client_hello": "60s"}})
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}", behind=said)
        proxy.stop()
        assert [(r["event"], r["reason"]) for r in lines(proxy)] == [("decision", "allowed"), ("close", "draining")]
    assert server.received == b""


# Sums -----------------------------------------------------------------------------------------------------------------

def test_a_flood_of_refused_tunnels(exeat, sanitized):
    """Nothing is counted twice or lost, no line is missing without being counted, and memory stays where it was."""
    total, threads = (6_000, 6) if sanitized else (20_000, 8)
    proxy = exeat(policy_of(), {"limits": {"connections_per_client": 0}})
    head = "CONNECT denied{}.corp.example:443 HTTP/1.1\r\nHost: denied.corp.example\r\n\r\n"
    wrong = []

    def flood(first):
        for n in range(first, total, threads):
            try:
                with proxy.client() as client:
                    client.send(head.format(n).replace("Host: denied.", f"Host: denied{n}."))
                    if not client.read_all().startswith(b"HTTP/1.1 403 "):
                        wrong.append(n)
            except OSError as error:
                wrong.append((n, error))
            if n == total // 4:
                resident.append(proxy.rss())
    resident = []
    running = [threading.Thread(target=flood, args=(n,)) for n in range(threads)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert not wrong, wrong[:5]
    assert eventually(lambda: proxy.metric("exeat_decisions_total", verdict="deny") == total)
    assert proxy.metric("exeat_decisions_total") == total

    def written():
        dropped = sum(r["count"] for r in proxy.log(event="dropped"))
        return len(lines(proxy)) + dropped >= total
    assert eventually(written)
    records = lines(proxy)
    assert len({r["decision"] for r in records}) == len(records) and {r["verdict"] for r in records} == {"deny"}
    assert len({r["host"] for r in records}) == len(records)
    if not sanitized:  # a sanitizer keeps freed memory in quarantine
        assert proxy.rss() < resident[0] + (16 << 20)


def test_the_log_and_the_metrics_agree(exeat, origin):
    """Tunnels of every fate at once, on two workers: each one decision, each that was let through one close."""
    server = origin(echo)
    proxy = exeat(tunnel(server.port), {"timeouts": {"client_hello": "1s"}})
    target, fates = f"{HOST}:{server.port}", 8

    def play(n):
        fate = n % fates
        try:
            client = proxy.client()
            answer = client.connect("denied.corp.example:443" if fate == 0 else target)
            if fate in (1, 2, 3):
                client.send(hello(SNI))
                if fate == 1:
                    client.sock.shutdown(socket.SHUT_WR)
                    client.read_all()
                if fate == 2:
                    client.reset()
            elif fate == 4:
                client.send(hello(server_name(b"evil.example")))
                client.read_all()
            elif fate == 5:
                client.send(os.urandom(3000))
            elif fate == 6 and answer.status == 200:
                client.read_all()
            client.close()
        except OSError:
            pass
    running = [threading.Thread(target=play, args=(n,)) for n in range(160)]
    for one in running:
        one.start()
    for one in running:
        one.join()
    assert eventually(lambda: len(lines(proxy, event="decision")) == 160 and len(lines(proxy, event="close")) == 140)
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
    per = collections.Counter((r["decision"], r["event"]) for r in lines(proxy))
    assert set(per.values()) == {1}
    counted = [r for r in lines(proxy) if r["event"] == "decision" or r["verdict"] in ("deny", "error")]
    for verdict in ("allow", "deny", "error"):
        assert proxy.metric("exeat_decisions_total", verdict=verdict) == sum(r["verdict"] == verdict for r in counted)
    for way in ("up", "down"):
        assert proxy.metric("exeat_bytes_total", direction=way) == sum(r.get(f"bytes_{way}", 0) for r in lines(proxy))
