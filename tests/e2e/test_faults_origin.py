"""Origins that reset the connection, at every state that it can be in."""
import contextlib
import socket
import ssl
import struct
import threading

import pytest

from harness.accounts import assert_accounted
from harness.client import Answer, eventually
from harness.origin import echo, http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"


def reset(connection):
    """Ends the connection with RST."""
    sock = connection.sock
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def policy(*ports):
    return policy_of(agent=[{"host": HOST, "ports": list(ports)}], setup=[{"host": HOST, "ports": list(ports), "tls": "any"}],
                     addresses=[loopback()])


def after(mark, *writes):
    """Reads up to `mark`, writes, and resets."""
    def handler(connection):
        if mark:
            connection.read_until(mark)
        for octets in writes:
            connection.write(octets)
        reset(connection)
    return handler


END = b"\r\n\r\n"
HALF_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5\r\nhe"


def ask(proxy, port, more="", method="GET", body=b""):
    """What came back of a plain request, to the end of our refusal or of the connection."""
    at = f"{HOST}:{port}"
    with proxy.client("setup") as client:
        client.send(f"{method} http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{more}\r\n".encode() + body)
        head = b""
        with contextlib.suppress(EOFError, ConnectionResetError):
            head = client.read_until(END)
            if b" 100 " in head[:20]:
                head = client.read_until(END)
            if b" 502 " in head[:20]:
                return head + client.read_exactly(int(Answer(head[:-4]).fields["content-length"]))
        return head + client.read_all()


UPGRADE = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
SWITCH = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: ICX+Yqv66kxgM0FcWaLWlFLwTAI=\r\n\r\n")


@pytest.mark.parametrize("handler, more, whole", [
    (after(b""), "", False),
    (after(END), "", False),
    (after(END, b"HTTP/1.1 200 OK\r\nConte"), "", False),
    (after(END, b"HTTP/1.1 100 Continue\r\n\r\n"), "", False),
    (after(END, b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), "", False),
    (after(END, HALF_CHUNKS), "", False),
    (after(END, HALF_CHUNKS[:-4]), "", False),
    (after(END, b"HTTP/1.1 200 OK\r\n\r\nuntil close"), "", False),
    (after(END), UPGRADE, False),
    (after(END, SWITCH[:40]), UPGRADE, False),
    (after(END, SWITCH), UPGRADE, True),
    (after(END, SWITCH, b"\x81\x05hello"), UPGRADE, True),
], ids=["accept", "request", "head", "interim", "body", "chunk", "between-chunks", "until-close", "before-101", "in-101",
        "behind-101", "frames"])
def test_an_origin_that_resets_a_plain_exchange(exeat, origin, handler, more, whole):
    server, well = origin(handler), origin(http_handler(lambda request: response()))
    proxy = exeat(policy(server.port, well.port))
    answers = [ask(proxy, server.port, more) for _ in range(8)]
    for answer in answers:
        if whole:
            assert answer.startswith(b"HTTP/1.1 101 ")
            continue
        # A 502 of ours, or a part of theirs that cannot be taken for the whole.
        if answer.startswith(b"HTTP/1.1 502 "):
            assert b"Proxy-Status: exeat; error=" in answer and answer.endswith(b"\n")
        else:
            assert not answer or answer.startswith(b"HTTP/1.1 200 "), answer
            assert not answer.endswith(b"\r\n0\r\n\r\n") and b"Content-Length: 4\r\n" not in answer
    if not whole:
        def told():
            return [r for r in proxy.log() if r.get("reason", "").startswith(("origin-", "connect-"))]
        assert eventually(lambda: len(told()) == 8), proxy.log()
    assert ask(proxy, well.port, "Connection: close\r\n").startswith(b"HTTP/1.1 200 ")
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert_accounted(proxy)


def test_an_origin_that_resets_amid_a_request_body(exeat, origin):
    def handler(connection):
        connection.read_until(END)
        connection.read(1000)
        reset(connection)
    server = origin(handler)
    proxy = exeat(policy(server.port))
    for more in ("Content-Length: 50000000\r\n", "Transfer-Encoding: chunked\r\n"):
        with proxy.client("setup") as client:
            with contextlib.suppress(OSError):
                client.send(f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n{more}\r\n")
                for _ in range(400):
                    client.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            client.read_all()
    assert eventually(lambda: sum(r["reason"].startswith("origin-") for r in proxy.log(host=HOST)) == 2)
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert_accounted(proxy)


def test_an_origin_that_resets_between_requests(exeat, origin):
    """Idle in the pool: what comes next is dialled anew, and the client sees nothing of it."""
    idle, go = threading.Event(), threading.Event()
    seen = []

    def handler(connection):
        seen.append(connection)
        connection.read_until(END)
        connection.write(response())
        if len(seen) % 2:
            idle.set()
            go.wait(30)
            reset(connection)
        else:
            connection.read()
    server = origin(handler)
    proxy = exeat(policy(server.port), {"workers": 1})
    with proxy.client("setup") as client:
        for _ in range(5):
            idle.clear()
            go.clear()
            assert client.get(f"http://{HOST}:{server.port}/").status == 200
            if idle.wait(0.2):
                go.set()
            assert client.get(f"http://{HOST}:{server.port}/").status == 200
    assert_accounted(proxy)


@pytest.mark.parametrize("when", ["accept", "hello", "handshake", "data"])
def test_an_origin_that_resets_a_tunnel(exeat, origin, ca, when):
    def plain(connection):
        if when == "hello":
            connection.read(1)
        reset(connection)

    def spoken(connection):
        if when == "data":
            connection.read(4)
            connection.write(b"part")
        # Below TLS: no alert, no close_notify.
        fd = connection.sock.detach()
        bare = socket.socket(fileno=fd)
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        bare.close()
    server = origin(plain) if when in ("accept", "hello") else origin(spoken, ca.server_context(HOST))
    well = origin(echo)
    proxy = exeat(policy(server.port, well.port))
    for _ in range(8):
        with proxy.client() as client:
            answer = client.connect(f"{HOST}:{server.port}")
            if answer.status == 502 and when == "accept":
                continue  # the reset was there before the 200
            assert answer.status == 200
            with contextlib.suppress(OSError, ssl.SSLError, EOFError):
                client.start_tls(ca.client_context(), HOST)
                client.send(b"data")
                while client.recv():
                    pass
    assert eventually(lambda: len(proxy.log(event="close", host=HOST)) + len(proxy.log(verdict="error", event="decision"))
                      == 8), proxy.log()
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
    with proxy.client("setup") as client:
        assert client.connect(f"{HOST}:{well.port}").status == 200
        client.send(b"ping")
        assert client.read_exactly(4) == b"ping"
    assert_accounted(proxy)
