"""Plain HTTP under attack: raw octets on both sides, and what the origin really received."""
import re
import socket
import struct
import threading
import time

import pytest

from harness.client import Client, eventually
from harness.origin import http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"
ONE = {"workers": 1}


def allow(port, *hosts, **more):
    return policy_of(agent=[{"host": host, "ports": [port]} for host in (HOST, *hosts)],
                     **{"addresses": [loopback()], **more})


def request(url, method="GET", *fields, body=b"", version="1.1"):
    lines = [f"{method} {url} HTTP/{version}", f"Host: {url.split('/')[2]}", *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def lines(proxy, **fields):
    """Log records of requests, without those of the process."""
    return [r for r in proxy.log(**fields) if r["event"] in ("decision", "close")]


def reset(connection):
    """The handler's connection ends with RST."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sock.close()


def ending(client):
    """(what came, whether the end was a reset)"""
    data, client.buffer = client.buffer, b""
    try:
        while more := client.sock.recv(65536):
            data += more
    except ConnectionResetError:
        return data, True
    return data, False


@pytest.fixture
def served(exeat, origin):
    def make(respond, *hosts, settings=None, handler=None, **more):
        server = origin(handler or http_handler(respond))
        return exeat(allow(server.port, *hosts, **more), settings), server, f"http://{HOST}:{server.port}"
    return make


# One request, or none -------------------------------------------------------------------------------------------------

BODY = b"0\r\n\r\nGET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("fields", [
    ["Content-Length: 5", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: chunked", "Content-Length: 5"],
    ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
    ["Transfer-Encoding: identity", "Content-Length: 5"],
    ["Transfer-Encoding: chunked, identity"], ["Transfer-Encoding: identity, chunked"],
    ["Transfer-Encoding: xchunked"], ["Transfer-Encoding: \"chunked\""], ["Transfer-Encoding: chunked;q=1"],
    ["Transfer-Encoding: chunked\x00"], ["Transfer-Encoding:\x0bchunked"], ["Transfer-Encoding: chunked\xa0"],
    ["Transfer-Encoding : chunked"], ["Transfer-Encoding:"], ["X: y\rTransfer-Encoding: chunked"],
    ["X: y\nTransfer-Encoding: chunked"], ["X: y", " Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked,"],
    ["Content-Length: 5", "Content-Length: 5"], ["Content-Length: 5", "Content-Length: 6"], ["Content-Length: 5, 5"],
    ["Content-Length: +5"], ["Content-Length: -5"], ["Content-Length: 0x5"], ["Content-Length: 5 5"],
    ["Content-Length: 05"], ["Content-Length: 5\x00"], ["Content-Length:"], ["Content-Length: 5;"],
    ["Content-Length: 99999999999999999999"], ["Content-Length : 5"], ["content-length: 5", "CONTENT-LENGTH: 40"],
    ["Connection: content-length", "Content-Length: 5"], ["Connection: host"], ["Connection: \xff"],
    ["Host: other.corp.example"], ["Expect: 200-ok"], ["X\x00Y: 1"], ["X Y: 1"], [": 1"], ["novalue"], ["X: \x01"],
    ["X: \x7f"],
])
def test_a_head_that_two_readers_would_read_in_two_ways(served, fields):
    proxy, server, url = served(lambda r: response())
    with proxy.client() as client:
        client.send(request(url + "/", "POST", *fields, body=BODY))
        answer = client.answer()
        assert answer.status in (400, 417) and client.is_closed()
    assert server.connections == []
    assert eventually(lambda: len(lines(proxy, event="decision")) == 1)
    assert lines(proxy, event="decision")[0]["verdict"] == "deny"


@pytest.mark.parametrize("chunks, told", [
    (b"5\nhello\r\n0\r\n\r\n", "bad-chunk"), (b"5 \r\nhello\r\n0\r\n\r\n", "bad-chunk"),
    (b" 5\r\nhello\r\n0\r\n\r\n", "bad-chunk"), (b"0x5\r\nhello\r\n0\r\n\r\n", "bad-chunk"),
    (b"+5\r\nhello\r\n0\r\n\r\n", "bad-chunk"), (b"5\rhello\r\n0\r\n\r\n", "bad-chunk"),
    (b"5\r\nhello0\r\n\r\n", "bad-chunk"), (b"5\r\nhello\n0\r\n\r\n", "bad-chunk"),
    (b"5;a=\nhello\r\n0\r\n\r\n", "bad-chunk"), (b"5;" + b"a" * 300 + b"\r\nhello\r\n0\r\n\r\n", "bad-chunk"),
    (b"10000000000000000\r\nhello", "bad-chunk"), (b"7fffffffffffffff\r\nhello", "bad-chunk"),
    (b"5\r\nhello\r\n0\r\nX: y\n\r\n", "bad-chunk"), (b"5\r\nhello\r\n0\r\n X: y\r\n\r\n", "bad-chunk"),
    (b"5\r\nhello\r\n0\r\nnocolon\r\n\r\n", "bad-chunk"), (b"5\r\nhello\r\n0\r\n\rX", "bad-chunk"),
    (b"5\r\nhello\r\n0\r\n" + b"T: 1\r\n" * 40 + b"\r\n", "bad-chunk"),
    (b"\r\n5\r\nhello\r\n0\r\n\r\n", "bad-chunk"), (b"\x00\r\n\r\n", "bad-chunk"), (b"\xff\r\n\r\n", "bad-chunk"),
    (b"5\r\nhello\r\n", "client-closed"), (b"5\r\nhel", "client-closed"), (b"5\r\nhello\r\n0\r\n", "client-closed"),
])
def test_chunk_tricks_never_make_a_whole_request(exeat, origin, chunks, told):
    """The origin gets a prefix of one body, and a reset instead of its end."""
    ended = []

    def read(connection):
        try:
            connection.read_all()
            ended.append("fin")
        except ConnectionResetError:
            ended.append("rst")
    server = origin(read)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.send(request(f"http://{HOST}:{server.port}/", "POST", "Transfer-Encoding: chunked", body=chunks))
        client.sock.shutdown(socket.SHUT_WR)
        got, _ = ending(client)
    assert got == b"" or got.startswith(b"HTTP/1.1 400 ")
    assert proxy.logged(event="decision", reason=told)
    assert eventually(lambda: len(ended) == len(server.connections))
    assert ended in ([], ["rst"])
    assert b"\r\n0\r\n" not in server.received.partition(b"\r\n\r\n")[2]
    assert len(lines(proxy, event="decision")) == 1


@pytest.mark.parametrize("cut", [None, 1])
def test_a_chunked_body_is_followed_by_the_next_request_and_nothing_else(served, cut):
    """Trailers that would change the request are dropped; sizes and extensions are written anew."""
    seen = []
    proxy, server, url = served(lambda r: (seen.append(r), response(r.body))[1], settings=ONE)
    body = (b"0005;x=\"y\"\r\nhello\r\n00;last\r\nTransfer-Encoding: chunked\r\nContent-Length: 7\r\nHost: evil\r\n"
            b"X-Ok: 1\r\n\r\n")
    data = request(url + "/1", "POST", "Transfer-Encoding: chunked", body=body) + request(url + "/2")
    with proxy.client() as client:
        if cut is None:
            client.send(data)
        else:
            for octet in data:
                client.send(bytes([octet]))
        assert [client.answer().body for _ in range(2)] == [b"hello", b""]
    assert [r.target for r in seen] == ["/1", "/2"]
    assert seen[0].trailers == ["X-Ok: 1"]
    assert b"evil" not in server.received and b"x=" not in server.received and b"last" not in server.received


def test_octets_behind_refused_requests(served):
    """Without a body the connection goes on, with one it ends, and no body is ever read as a request."""
    proxy, server, url = served(lambda r: response(r.target))
    denied = f"http://denied.corp.example:{server.port}"
    inner = request(url + "/smuggled")
    with proxy.client() as client:
        client.send(request(denied + "/") + request(url + "/1") + request(denied + "/", "POST", "Content-Length: 0")
                    + request(denied + "/", "POST", f"Content-Length: {len(inner)}", body=inner) + request(url + "/2"))
        answers = [client.answer() for _ in range(4)]
        assert [a.status for a in answers] == [403, 200, 403, 403]
        assert answers[3].fields["connection"].lower() == "close" and client.is_closed()
    assert b"smuggled" not in server.received and b"/2" not in server.received
    assert eventually(lambda: len(lines(proxy, event="decision")) == 4)


def test_a_thousand_pipelined_requests(served):
    proxy, server, url = served(lambda r: response(r.target), settings=ONE)
    denied = f"http://denied.corp.example:{server.port}"
    data = b"".join(request(f"{denied if n % 3 == 2 else url}/{n}") for n in range(1000))
    with proxy.client() as client:
        threading.Thread(target=client.send, args=(data,), daemon=True).start()
        for n in range(1000):
            answer = client.answer()
            if n % 3 == 2:
                assert answer.status == 403
            else:
                assert answer.body == f"/{n}".encode()
    assert len(server.connections) == 1
    assert eventually(lambda: len(lines(proxy, event="decision")) == 1000)
    assert proxy.metric("exeat_decisions_total") == 1000
    assert proxy.metric("exeat_decisions_total", verdict="deny") == 333


@pytest.mark.parametrize("extra, status", [(0, 200), (1, 431)])
def test_a_head_of_exactly_the_limit(served, extra, status):
    proxy, _, url = served(lambda r: response(str(len(r.fields["x-fill"]))), settings={"limits": {"head_bytes": 2048}})
    bare = len(request(url + "/", "GET", "X-Fill: "))
    for step in (4096, 1):
        data = request(url + "/", "GET", "X-Fill: " + "f" * (2048 - bare + extra))
        assert len(data) == 2048 + extra
        with proxy.client() as client:
            for at in range(0, len(data), step):
                client.send(data[at:at + step])
            assert client.answer().status == status


def test_exactly_128_fields(served):
    proxy, _, url = served(lambda r: response(str(len(r.raw_fields))), settings={"limits": {"head_fields": 128}})
    for more, status in ((127, 200), (128, 431)):
        with proxy.client() as client:
            client.send(request(url + "/", "GET", *[f"X-{n}: {n}" for n in range(more)]))
            assert client.answer().status == status


@pytest.mark.parametrize("octet", [b"\x00", b"\xff", b"\x80", b"\x01", b"\x0b", b"\x7f", b"\r", b"\n", b"\xc3\xa9"])
def test_strange_octets_in_every_place(served, octet):
    proxy, server, url = served(lambda r: response())
    whole = request(url + "/path?query", "GET", "X-Name: value")
    refused = 0
    for at in range(0, len(whole) - 4, 3):
        with proxy.client() as client:
            client.send(whole[:at] + octet + whole[at:])
            got, _ = ending_soon(client)
        if got.startswith(b"HTTP/1.1 200"):  # only within a field's value, and only as obs-text
            assert octet in (b"\xff", b"\x80", b"\xc3\xa9") and at >= whole.index(b"X-Name:") + 7, (at, octet)
        else:
            refused += 1
            assert got.startswith(b"HTTP/1.1 4") or got.startswith(b"HTTP/1.1 505"), (at, got)
    assert refused > 20
    assert b"\x00" not in server.received


def ending_soon(client):
    """As ending(), but the client says that it is done."""
    client.sock.shutdown(socket.SHUT_WR)
    return ending(client)


def test_every_spelling_of_ourselves_is_a_loop(exeat, dns):
    proxy = exeat(policy_of(agent=[{"host": "**.corp.example", "ports": "any"}, {"cidr": "127.0.0.0/8", "ports": "any"},
                                   {"cidr": "::/0", "ports": "any"}],
                            addresses=[loopback(), {"cidr": "127.0.0.1/32", "literal": True, "reason": "t"},
                                       {"cidr": "::ffff:127.0.0.1/128", "literal": True, "reason": "t"}]),
                  {"more_listeners": []})
    dns.records["self.corp.example"] = ["127.0.0.1"]
    for host in ("self.corp.example", "127.0.0.1", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"):
        for name in ("agent", "setup", "mcp", "admin"):
            target = f"{host}:{proxy.ports[name]}"
            with proxy.client() as client:
                assert client.connect(target).status in (403, 508, 502), target
            with proxy.client() as client:
                assert client.get(f"http://{target}/").status in (403, 508, 502), target
    assert eventually(lambda: len(lines(proxy, event="decision")) == 32)
    verdicts = [(r["verdict"], r["reason"]) for r in lines(proxy, event="decision")]
    assert all(v == "deny" for v, _ in verdicts)
    assert {reason for _, reason in verdicts} <= {"own-listener", "address-forbidden"}, verdicts


def test_via_loop(served):
    proxy, server, url = served(lambda r: response(), settings={"via": "gate"})
    for fields in (["Via: 1.1 gate"], ["Via: 1.0 a, 1.1 GATE (x)"], ["Via: 1.1 a", "Via: HTTP/1.1 gate"]):
        with proxy.client() as client:
            client.send(request(url + "/", "GET", *fields))
            assert client.answer().status in (403, 508, 502)
    assert server.connections == []
    assert eventually(lambda: len(lines(proxy, reason="proxy-loop")) == 3)


def test_nothing_is_injected_into_the_log(served):
    """Whatever the octets, a log line is one line of printable ASCII and a decision is one line."""
    proxy, server, _ = served(lambda r: response())
    heads = [b'GET http://a"b/ HTTP/1.1\r\nHost: a"b\r\n\r\n', b'G"ET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n',
             b"G\\ET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET http://x\\u000a/ HTTP/1.1\r\nHost: x\r\n\r\n",
             b"GET http://x%0a%22/ HTTP/1.1\r\nHost: x\r\n\r\n", b"GET\x1b[31m http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
             b"A&B'`|~!#$%*+-.^_ http://denied.corp.example/ HTTP/1.1\r\nHost: denied.corp.example\r\n\r\n",
             b"GET http://" + b"a." * 126 + b"b/ HTTP/1.1\r\nHost: " + b"a." * 126 + b"b\r\n\r\n",
             b"CONNECT a\"}{:443 HTTP/1.1\r\nHost: a\r\n\r\n"]
    for head in heads:
        with proxy.client() as client:
            client.send(head)
            assert 400 <= client.answer().status < 500
    assert eventually(lambda: len(lines(proxy, event="decision")) == len(heads))
    for line in proxy.log_file.read_bytes().splitlines():
        assert re.fullmatch(rb"[ -~]+", line), line
    assert server.connections == []


# The answer -----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("answer", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n\r\nabc", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX: a\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 200 OK\r\n Content-Length: 3\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", b"HTTP/1.1 200 OK\r\nX\x00: a\r\n\r\n", b"HTTP/1.1 200 O\x00K\r\n\r\n",
    b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"HTTP/1.1 99 No\r\n\r\n",
    b"HTTP/1.1 100 C\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n",
    b"HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 129 + b"\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 40000,
    b"HTTP/1.1 100 Continue\r\n\r\n" * 50 + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\nContent-Le", b"",
])
def test_an_answer_that_is_not_one_answer_is_a_502(exeat, origin, answer):
    server = origin(lambda c: (c.read_until(b"\r\n\r\n"), c.write(answer), c.finish_writing(), c.read_all()))
    proxy = exeat(allow(server.port), ONE)
    with proxy.client() as client:
        client.send(request(f"http://{HOST}:{server.port}/"))
        while (got := client.answer(interim=True)).status == 100:
            pass
        assert got.status == 502, (got.status, got.raw_fields)
        client.send(request(f"http://{HOST}:{server.port}/", "GET", "Connection: close"))
        while (got := client.answer(interim=True)).status == 100:
            pass
        assert got.status == 502
    assert len(server.connections) == 2, "nothing of it was kept"
    assert eventually(lambda: len(lines(proxy, event="decision")) == 2)
    assert {r["verdict"] for r in lines(proxy)} == {"error"}


CUT = [(b"Content-Length: 10\r\n\r\nhello", "1.1"), (b"Content-Length: 10\r\n\r\nhello", "1.0"),
       (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "1.1"), (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "1.1"),
       (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "1.0"),
       (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "1.1"),
       (b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", "1.1")]


TO_CLOSE = [(b"\r\nhello", "1.1"), (b"\r\nhello", "1.0")]  # a FIN is their regular end


@pytest.mark.parametrize("rest, version, how", [(*cut, "fin") for cut in CUT] + [(*cut, "rst") for cut in CUT + TO_CLOSE])
def test_a_cut_body_is_never_a_clean_end(exeat, origin, rest, version, how):
    go = threading.Event()

    def short(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 200 OK\r\n" + rest)
        go.wait(20)
        if how == "rst":
            reset(connection)
    server = origin(short)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.send(request(f"http://{HOST}:{server.port}/", version=version))
        head = client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        while b"hel" not in client.buffer:
            client.buffer += client.sock.recv(65536)
        go.set()
        got, was_reset = ending(client)
    assert was_reset or b"content-length: 10" in head.lower(), (head, got)
    assert not got.endswith(b"0\r\n\r\n")
    assert proxy.logged(reason="origin-truncated")


def test_a_chunked_answer_for_an_old_client(served):
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\nX: 1\r\n\r\n"
    proxy, _, url = served(lambda r: b"HTTP/1.1 103 Early\r\n\r\n" + answer)
    with proxy.client() as client:
        client.send(request(url + "/", version="1.0") + request(url + "/second", version="1.0"))
        got, was_reset = ending(client)
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and body == b"hello!" and not was_reset
    assert b"chunked" not in head and b"close" in head


@pytest.mark.parametrize("first", [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!",
    b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!",
    b"HTTP/1.1 304 Not\r\nContent-Length: 5\r\n\r\nEVIL!", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nEVIL!",
])
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("fields", [[], ["Authorization: Negotiate YII="]])
def test_surplus_octets_poison_no_connection(exeat, origin, first, late, fields):
    """At once or later, on a pooled connection or one that NTLM binds to its client."""
    at = first.index(b"\r\n\r\n") + 4
    at += {b"ok": 2, b"2\r": 12}.get(first[at:at + 2], 0)
    poisoned = threading.Event()

    def handler(connection):
        head = connection.read_until(b"\r\n\r\n")
        if b"/first" not in head:
            connection.write(response(b"clean"))
            return
        connection.write(first[:at] if late else first)
        if late:
            time.sleep(0.1)
            connection.write(first[at:])
        poisoned.set()
        connection.read_all()
    server = origin(handler)
    proxy = exeat(allow(server.port), ONE)
    url = f"http://{HOST}:{server.port}"
    with proxy.client() as client:
        client.send(request(url + "/first", "GET", *fields))
        assert client.answer().status in (200, 204, 304)
        assert poisoned.wait(20)
        time.sleep(0.05)
        client.send(request(url + "/second", "GET", *fields))
        assert client.answer().body == b"clean"
    assert len(server.connections) == 2


def test_an_early_answer_ends_the_connection_and_its_body_is_no_request(exeat, origin):
    server = origin(lambda c: (c.read_until(b"\r\n\r\n"), c.write(response(b"no", "413 Too Large")), c.read(1), c.read_all()))
    proxy = exeat(allow(server.port), ONE)
    url = f"http://{HOST}:{server.port}"
    inner = request(url + "/smuggled")
    for fields, body in (([f"Content-Length: {len(inner) + 5000}"], inner),
                         (["Transfer-Encoding: chunked"], b"3\r\nabc\r\n")):
        with proxy.client() as client:
            client.send(request(url + "/", "POST", *fields, body=body))
            answer = client.answer()
            assert (answer.status, answer.fields["connection"].lower()) == (413, "close")
            client.send(inner)
            assert ending(client)[0] == b""
    assert server.received.count(b"HTTP/1.1\r\n") <= 3
    assert len(server.connections) == 2
    assert eventually(lambda: len(lines(proxy, event="decision")) == 2)


def test_a_post_is_never_sent_twice(exeat, origin):
    """Neither on a stale pooled connection nor on one bound by NTLM."""
    def once(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(response(b"1"))
        connection.read_until(b"\r\n\r\n")
    server = origin(once)
    proxy = exeat(allow(server.port), ONE)
    url = f"http://{HOST}:{server.port}"
    for fields in ([], ["Authorization: NTLM abc"]):
        with proxy.client() as client:
            client.send(request(url + "/", "GET", *fields))
            assert client.answer().status == 200
            client.send(request(url + "/post", "POST", *fields, "Content-Length: 0"))
            assert client.answer().status in (200, 502)
    assert server.received.count(b"POST /post") == 2
    with proxy.client() as client:  # a GET may be
        assert client.get(url + "/get").status == 200
        assert client.get(url + "/get").status == 200


# Connections to origins across time -----------------------------------------------------------------------------------

def without_exception(port):
    return allow(port, addresses=[])


def test_no_connection_outlives_the_policy_that_checked_it(served):
    """Pooled, or bound to its client by NTLM: after a reload the guard looks at the address again."""
    proxy, server, url = served(lambda r: response(), settings=ONE)
    with proxy.client() as plain, proxy.client() as bound:
        assert plain.get(url + "/").status == 200
        assert bound.get(url + "/", ["Authorization: Negotiate YII="]).status == 200
        proxy.reload(without_exception(server.port))
        assert plain.get(url + "/").status == 403
        assert bound.get(url + "/", ["Authorization: Negotiate YII="]).status == 403
    assert eventually(lambda: len(lines(proxy, reason="address-forbidden")) == 2)


def test_a_second_try_across_a_reload_is_not_pooled(exeat, origin):
    """It was dialled under the policy that admitted the request; the next one has another."""
    waiting, go = threading.Event(), threading.Event()

    def handler(connection):
        first = len(server.connections) == 1
        while connection.read_until(b"\r\n\r\n").endswith(b"\r\n\r\n"):
            if first and b"/hold" in connection.received:
                waiting.set()
                go.wait(20)
                return
            connection.write(response())
    server = origin(handler)
    proxy = exeat(allow(server.port), ONE)
    url = f"http://{HOST}:{server.port}"
    with proxy.client() as client:
        assert client.get(url + "/").status == 200
        client.send(request(url + "/hold"))
        assert waiting.wait(20)
        proxy.reload(without_exception(server.port))
        go.set()
        assert client.answer().status == 200
        assert client.get(url + "/").status == 403


def test_a_slow_second_try_is_a_fresh_start(exeat, origin, dns):
    """The deadline of the first try, on a connection that is gone, does not reach into the second."""
    def handler(connection):
        connection.read_until(b"\r\n\r\n")
        if b"/first" in connection.received:
            connection.write(response())
            connection.read_until(b"\r\n\r\n")
        else:
            connection.write(b"HTTP/1.1 200 OK\r\n\r\nto the close")
    server = origin(handler)
    dns.ttl = 0
    proxy = exeat(allow(server.port), {**ONE, "timeouts": {"response": "300ms", "idle": "300ms", "dns": "10s"},
                                       "dns": {"servers": [dns.address], "hosts_file": False, "min_ttl": "0s",
                                               "timeout": "300ms", "tries": 8}})
    url = f"http://{HOST}:{server.port}"
    with proxy.client() as client:
        assert client.get(url + "/first").status == 200
        asked = dns.asked(HOST)
        dns.records[HOST] = "SILENT"
        client.send(request(url + "/second"))
        assert eventually(lambda: dns.asked(HOST) > asked)
        time.sleep(0.8)
        dns.records[HOST] = ["127.0.0.1"]
        answer = client.answer()
        assert (answer.status, answer.body) == (200, b"to the close")


# Somebody is gone, or slow --------------------------------------------------------------------------------------------

def test_the_client_is_gone_during_the_look_up(exeat, origin, dns):
    """It costs nothing but the look-up's time, and every request has its line."""
    server = origin(http_handler(lambda r: response()))
    dns.records[HOST] = "SILENT"
    proxy = exeat(allow(server.port), {**ONE, "timeouts": {"dns": "1500ms"}})
    url = f"http://{HOST}:{server.port}"
    for data in (request(url + "/"), f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()):
        client = proxy.client()
        client.send(data)
        assert eventually(lambda: dns.asked(HOST) > 0)
        client.reset()
    assert eventually(lambda: len(lines(proxy, event="decision")) == 2)
    assert eventually(lambda: proxy.metric("exeat_decisions_total") == 2)
    assert {r["reason"] for r in lines(proxy)} == {"dns-timeout"}


def test_a_slow_look_up_that_the_guard_refuses_is_one_decision(exeat, dns):
    dns.records[HOST] = "SILENT"
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [80]}]),
                  {**ONE, "timeouts": {"dns": "20s"},
                   "dns": {"servers": [dns.address], "hosts_file": False, "timeout": "300ms", "tries": 8}})
    with proxy.client() as client:
        client.send(request(f"http://{HOST}/"))
        assert eventually(lambda: dns.asked(HOST) > 0)
        time.sleep(1.3)
        dns.records[HOST] = ["10.1.2.3"]
        assert client.answer().status == 403
    assert proxy.logged(reason="address-forbidden")["event"] == "decision"
    assert len(lines(proxy)) == 1 and proxy.metric("exeat_decisions_total") == 1


@pytest.mark.parametrize("data, reason", [
    (b"GET http://", "client-closed"), (b"POST {u}/ HTTP/1.1\r\nHost: {h}\r\nContent-Length: 9\r\n\r\nabc", "client-closed"),
    (b"POST {u}/ HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", "client-closed"),
])
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_the_client_is_gone_within_its_request(served, data, reason, how):
    proxy, server, url = served(lambda r: response())
    client = proxy.client()
    client.send(data.replace(b"{u}", url.encode()).replace(b"{h}", url[7:].encode()))
    if b"POST" in data:
        assert eventually(lambda: b"abc" in server.received)
    else:
        time.sleep(0.1)
    client.close() if how == "fin" else client.reset()
    assert proxy.logged(reason=reason)["verdict"] == "error"
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert len(lines(proxy)) == 1


def test_the_client_is_gone_within_the_answer(exeat, origin):
    size = 32 << 20

    def blast(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        connection.write(b"x" * size)
    server = origin(blast)
    proxy = exeat(allow(server.port))
    client = proxy.client()
    client.send(request(f"http://{HOST}:{server.port}/"))
    client.read_exactly(100_000)
    client.reset()
    record = proxy.logged(reason="client-closed")
    assert record["bytes_down"] < size
    assert eventually(lambda: server.errors), "the origin was told"


def test_what_was_moved_before_a_failure_stands_in_its_line(exeat, origin):
    def handler(connection):
        head = connection.read_until(b"\r\n\r\n")
        connection.read_exactly(90_000)
        connection.write(b"HTTP/1.1 103 Early\r\n\r\n" + (b"junk" if b"/junk" in head else b""))
    server = origin(handler)
    proxy = exeat(allow(server.port), ONE)
    for path in ("/junk", "/closed"):
        with proxy.client() as client:
            client.send(request(f"http://{HOST}:{server.port}{path}", "PUT", "Content-Length: 90000", body=b"x" * 90_000))
            assert client.answer().status == 502
    assert eventually(lambda: len(lines(proxy)) == 2)
    for way in ("up", "down"):
        assert proxy.metric("exeat_bytes_total", direction=way) == sum(r[f"bytes_{way}"] for r in lines(proxy)) > 0


@pytest.mark.parametrize("what", ["head", "body", "next", "origin-silent", "origin-body", "client-reads-nothing"])
def test_whoever_stands_still_is_ended(exeat, origin, what):
    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (99999999 if what == "client-reads-nothing" else 0)

    def handler(connection):
        connection.read_until(b"\r\n\r\n")
        if what == "origin-silent":
            connection.read_all()
        elif what == "origin-body":
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
            connection.read_all()
        elif what == "client-reads-nothing":
            connection.write(flood)
        elif what == "body":
            connection.read_all()
        else:
            connection.write(response())
            connection.read_all()
    server = origin(handler)
    proxy = exeat(allow(server.port), {**ONE, "timeouts": {
        "head": "300ms", "idle": "400ms", "response": "300ms" if what == "origin-silent" else "30s"}})
    url = f"http://{HOST}:{server.port}"
    with proxy.client() as client:
        if what == "head":
            client.send(b"GET http://" + HOST.encode())
            assert client.answer().status == 408
        elif what == "body":
            client.send(request(url + "/", "POST", "Content-Length: 9", body=b"abc"))
            assert client.answer().status == 408
        elif what == "next":
            assert client.get(url + "/").status == 200
        elif what == "origin-silent":
            client.send(request(url + "/", "POST", "Content-Length: 3", "Connection: close", body=b"abc"))
            assert client.answer().status == 504
        elif what == "origin-body":
            client.send(request(url + "/"))
            assert client.read_until(b"abc")
        else:
            client.send(request(url + "/"))
            assert proxy.logged(reason="idle-timeout")
        got, _ = ending(client)
        assert what == "client-reads-nothing" or got == b""
    expected = {"head": "head-timeout", "body": "body-timeout", "next": "allowed", "origin-silent": "origin-timeout",
                "origin-body": "origin-timeout", "client-reads-nothing": "idle-timeout"}
    assert proxy.logged(reason=expected[what])
    assert len(lines(proxy, event="decision")) == 1


def test_a_head_in_drops_has_one_deadline_from_its_first_octet(served):
    """Octets that arrive in the very tick of the deadline do not lift it."""
    proxy, _, url = served(lambda r: response(), settings={**ONE, "timeouts": {"head": "300ms"}})
    clients = [proxy.client() for _ in range(40)]
    data = request(url + "/", "GET", "X: " + "y" * 20_000)[:-4]

    def drip(client):
        try:
            for octet in data[:12_000]:
                client.send(bytes([octet]))
        except OSError:
            pass
    threads = [threading.Thread(target=drip, args=(c,), daemon=True) for c in clients]
    for thread in threads:
        thread.start()
    for client in clients:
        client.sock.settimeout(20)
        got, _ = ending(client)
        assert b"" == got or got.startswith(b"HTTP/1.1 408 "), got
        client.close()
    for thread in threads:
        thread.join(20)


def test_stopping_within_a_request_leaves_its_line(exeat, origin, dns):
    """drain_timeout passes while one request waits for DNS and another for its origin."""
    server = origin(lambda c: c.read_all())
    dns.records["other.corp.example"] = "SILENT"
    proxy = exeat(allow(server.port, "other.corp.example"),
                  {**ONE, "timeouts": {"dns": "60s", "response": "60s"}, "drain_timeout": "300ms",
                   "dns": {"servers": [dns.address], "hosts_file": False, "timeout": "60s"}})
    slow = f"other.corp.example:{server.port}"
    with proxy.client() as a, proxy.client() as b, proxy.client() as c:
        a.send(request(f"http://{slow}/"))
        b.send(f"CONNECT {slow} HTTP/1.1\r\nHost: {slow}\r\n\r\n")
        c.send(request(f"http://{HOST}:{server.port}/"))
        assert eventually(lambda: dns.asked("other.corp.example") and server.connections)
        proxy.stop()
        for client in (a, b, c):
            assert b"200" not in ending(client)[0]
    ends = [r for r in lines(proxy) if r["reason"] == "draining"]
    assert len({r["decision"] for r in ends}) == 3, lines(proxy)


def test_behind_an_interim_answer_there_is_no_second_try(exeat, origin):
    """The origin of a kept connection has seen the request, and ends: the client gets its 103 once."""
    def handler(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(response("first"))
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    server = origin(handler)
    proxy = exeat(allow(server.port), ONE)
    url = f"http://{HOST}:{server.port}/"
    with proxy.client() as client:
        assert client.get(url).body == b"first"
        client.send(request(url))
        assert client.answer(interim=True).status == 103
        assert client.answer(interim=True).status == 502
    assert len(server.connections) == 1
    assert proxy.logged(reason="origin-closed")


# WebSocket ------------------------------------------------------------------------------------------------------------

UPGRADE = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"]
SWITCH = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


def test_websocket_with_early_data_both_ways(exeat, origin):
    def handler(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(SWITCH + b"early down;")
        while data := connection.read():
            connection.write(data)
    server = origin(handler)
    proxy = exeat(allow(server.port), {**ONE, "via": "none"})
    with proxy.client() as client:
        client.send(request(f"http://{HOST}:{server.port}/", "GET", *UPGRADE, body=b"early up;"))
        assert client.answer().status == 101
        assert client.read_exactly(20) == b"early down;early up;"
        client.send(b"later")
        assert client.read_exactly(5) == b"later"
        assert proxy.metric("exeat_active_tunnels") == 1
        client.sock.shutdown(socket.SHUT_WR)
        assert ending(client) == (b"", False)
    close = proxy.logged(event="close")
    decision = proxy.logged(event="decision")
    assert (decision["status"], decision["scheme"], decision["decision"]) == (101, "ws", close["decision"])
    assert close["bytes_down"] == len(SWITCH) + 25 and close["bytes_up"] >= 14
    assert len(lines(proxy)) == 2
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
    assert proxy.metric("exeat_bytes_total", direction="down") == close["bytes_down"]
    assert proxy.metric("exeat_bytes_total", direction="up") == close["bytes_up"]


def test_behind_a_websocket_that_is_refused_the_connection_ends(served):
    """RFC 9931: what a client sends behind it may be meant for the other protocol, and is never read as a request."""
    proxy, server, url = served(lambda r: response(r.target, "426 Upgrade"), settings=ONE)
    with proxy.client() as client:
        client.send(request(url + "/1", "GET", *UPGRADE) + request(url + "/2"))
        answer = client.answer()
        assert (answer.body, answer.fields["connection"].lower()) == (b"/1", "close") and client.is_closed()
    assert b"/2" not in server.received
    assert eventually(lambda: len(lines(proxy, event="decision")) == 1)


@pytest.mark.parametrize("fields", [
    ["Upgrade: websocket"], ["Connection: Upgrade", "Upgrade: websocket", "Content-Length: 3"],
    ["Connection: Upgrade", "Upgrade: websocket", "Upgrade: websocket"],
    ["Connection: Upgrade", "Upgrade: websocket", "Transfer-Encoding: chunked"]])
def test_an_upgrade_that_is_not_sound_is_refused(served, fields):
    proxy, server, url = served(lambda r: response())
    with proxy.client() as client:
        client.send(request(url + "/", "GET", *fields))
        assert client.answer().status == 400
    assert server.connections == []


# IPv6, many addresses ---------------------------------------------------------------------------------------------------

def test_an_ipv6_listener_and_origin(exeat, origin, dns):
    server = origin(http_handler(lambda r: response(r.fields["host"])), family=socket.AF_INET6)
    dns.records[HOST] = ["::1"]
    policy = policy_of(agent=[{"host": HOST, "ports": [server.port]}, {"cidr": "::1/128", "ports": [server.port]}],
                       addresses=[loopback(cidr="::1/128"), {"cidr": "::1/128", "literal": True, "reason": "t"}])
    with socket.socket(socket.AF_INET6) as probe:
        probe.bind(("::1", 0))
        port = probe.getsockname()[1]
    proxy = exeat(policy, {"more_listeners": [{"address": f"[::1]:{port}", "phase": "agent"}]})
    for host in (HOST, "[::1]"):
        with Client(("::1", port)) as client:
            answer = client.get(f"http://{host}:{server.port}/")
            assert (answer.status, answer.body) == (200, f"{host}:{server.port}".encode())
    assert proxy.logged(host="::1")["client"].startswith("[::1]:")
    with Client(("::1", port)) as client:
        assert client.connect(f"[::1]:{port}").status == 403


def test_a_name_with_many_addresses_and_one_that_answers(exeat, origin, dns):
    server = origin(http_handler(lambda r: response()), address=("127.0.0.9", 0))
    dns.records[HOST] = [f"127.0.0.{n}" for n in range(2, 12)]
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback(cidr="127.0.0.0/28")]))
    with proxy.client() as client:
        assert client.get(f"http://{HOST}:{server.port}/").status == 200
    assert proxy.logged(event="decision")["address"] == "127.0.0.9"
