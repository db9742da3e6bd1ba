"""Limits and deadlines, each by its own reason code, and what stays up while they are hit."""
import contextlib
import resource
import selectors
import socket
import threading
import time
from pathlib import Path

import pytest

from harness.client import Client, client_hello, eventually
from harness.dns import SILENT
from harness.origin import echo, http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"


def allow(port, **more):
    return policy_of(agent=[{"host": "*.corp.example", "ports": [port], "tls": "any", **more}],
                     addresses=[loopback()])


def hits(proxy, reason):
    return proxy.metric("exeat_limit_hits_total", reason=reason)


def echoes(client, octets=b"still here"):
    client.send(octets)
    return client.read_exactly(len(octets)) == octets


def try_connect(proxy, target):
    """The status of a CONNECT, and the client; 0 where it was not even answered."""
    client = proxy.client()
    try:
        return client.connect(target).status, client
    except (OSError, EOFError):
        return 0, client


def cpu_seconds(proxy):
    fields = Path(f"/proc/{proxy.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def descriptors(proxy):
    return len(list(Path(f"/proc/{proxy.process.pid}/fd").iterdir()))


@contextlib.contextmanager
def black_hole():
    """A port that answers no SYN: its queue of finished handshakes is full."""
    with contextlib.ExitStack() as open_sockets:
        listener = open_sockets.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = open_sockets.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


class EchoAll:
    """An echo server for thousands of connections: one thread."""

    def __init__(self):
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        self._listener.setblocking(False)
        self.port = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ended:
            for key, _ in self._selector.select(0.1):
                if key.fileobj is self._listener:
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            self._selector.register(self._listener.accept()[0], selectors.EVENT_READ)
                elif data := key.fileobj.recv(65536):
                    key.fileobj.sendall(data)
                else:
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()

    def close(self):
        self._ended = True
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()


# Connections ---------------------------------------------------------------------------------------------------------

def test_connections_in_all_are_limited_and_the_others_are_served(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"limits": {"connections": 8}})
    clients = [proxy.client() for _ in range(8)]
    for client in clients:
        assert client.connect(f"{HOST}:{server.port}").status == 200
    for _ in range(10):
        with proxy.client() as client:
            client.send(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n")
            answer = client.answer()
        assert answer.status == 503 and "too-many-connections" in answer.reason
        assert "connection_limit_reached" in answer.fields["proxy-status"]
        assert b"`limits.connections`" in answer.body  # of plain HTTP the body is all that curl shows
        assert proxy.logged(decision=answer.fields["exeat-decision"])["reason"] == "too-many-connections"
    assert hits(proxy, "too-many-connections") == 10
    assert len(proxy.log(reason="too-many-connections")) == 10 or eventually(
        lambda: len(proxy.log(reason="too-many-connections")) == 10)
    assert all(echoes(client) for client in clients)
    for client in clients:
        client.close()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    status, client = try_connect(proxy, f"{HOST}:{server.port}")
    assert status == 200 and echoes(client)
    client.close()


def test_a_single_connection_is_a_limit_for_all_workers(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"limits": {"connections": 1}, "workers": 4})
    for _ in range(24):
        with proxy.client() as client:
            assert client.connect(f"{HOST}:{server.port}").status == 200
            with proxy.client() as second:
                second.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
                assert second.answer().status == 503
        assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)


@pytest.mark.parametrize("head, status, reason", [
    ("X-A: " + "a" * 9000, 502, "origin-not-http"), ("\r\n".join(f"X-{n}: a" for n in range(60)), 502, "origin-not-http")])
def test_an_origin_s_head_has_the_same_limits(exeat, origin, head, status, reason):
    server = origin(http_handler(lambda request: response(fields=[head])))
    proxy = exeat(allow(server.port), {"limits": {"head_bytes": "8KiB", "head_fields": 50}})
    with proxy.client() as client:
        assert client.get(f"http://{HOST}:{server.port}/").status == status
    assert proxy.logged(reason=reason)


# Deadlines -----------------------------------------------------------------------------------------------------------

def test_a_tunnel_without_a_client_hello_is_ended(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback()]),
                  {"timeouts": {"client_hello": "500ms"}})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(client_hello(HOST)[:40])
        client.read_all()
    assert proxy.logged(event="close", reason="client-hello-timeout")
    assert proxy.metric("exeat_decisions_total", reason="client-hello-timeout") == 1
    assert server.received == b""


def test_a_silent_name_server_is_not_waited_for(exeat, dns):
    dns.records["slow.corp.example"] = SILENT
    proxy = exeat(allow(443), {"timeouts": {"dns": "500ms"}})
    with proxy.client() as client:
        answer = client.connect("slow.corp.example:443")
    assert answer.status == 504 and "dns-timeout" in answer.reason
    assert "dns_timeout" in answer.fields["proxy-status"]
    assert proxy.logged(reason="dns-timeout")


def test_a_dead_name_server_is_told(exeat, dns):
    proxy = exeat(allow(443), {"timeouts": {"dns": "1s"}})
    dns.close()
    with proxy.client() as client:
        answer = client.connect("origin.corp.example:443")
    assert answer.status in (502, 504) and answer.reason.split()[-1] in ("dns-failure", "dns-timeout")
    with proxy.client() as client:
        assert client.connect("denied.elsewhere.example:443").status == 403


def test_a_dial_without_an_answer_is_ended(exeat):
    with black_hole() as port:
        proxy = exeat(allow(port), {"timeouts": {"connect": "500ms"}})
        with proxy.client() as client:
            answer = client.connect(f"{HOST}:{port}")
        assert answer.status == 504 and "connect-timeout" in answer.reason
        assert proxy.logged(reason="connect-timeout")


def test_an_origin_that_never_answers(exeat, origin):
    asked = threading.Event()

    def silent(connection):
        connection.read_until(b"\r\n\r\n")
        asked.set()
        connection.read()
    server = origin(silent)
    proxy = exeat(allow(server.port), {"timeouts": {"response": "500ms"}})
    with proxy.client() as client:
        answer = client.get(f"http://{HOST}:{server.port}/")
    assert asked.is_set() and answer.status == 504 and "origin-timeout" in answer.reason
    assert proxy.logged(reason="origin-timeout")


def test_a_body_that_stands_still(exeat, origin):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(allow(server.port), {"timeouts": {"idle": "500ms"}})
    with proxy.client() as client:
        client.send(f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
                    "Content-Length: 100\r\n\r\nhalf")
        assert client.answer().status == 408
    assert proxy.logged(reason="body-timeout")
    assert eventually(lambda: hits(proxy, "body-timeout") == 1)


def test_an_answer_s_head_that_drips_has_one_deadline(exeat, origin):
    def drip(connection):
        connection.read_until(b"\r\n\r\n")
        with contextlib.suppress(OSError):
            for octet in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"y" * 400:
                connection.write(bytes([octet]))
                time.sleep(0.05)

    server = origin(drip)
    proxy = exeat(allow(server.port), {"timeouts": {"response": "500ms"}})
    with proxy.client(timeout=15) as client:
        assert client.get(f"http://{HOST}:{server.port}/").status == 504
    assert proxy.logged(event="decision")["reason"] == "origin-timeout"


def test_a_response_that_stands_still_ends_the_client_s_connection(exeat, origin):
    def half(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        connection.read()
    server = origin(half)
    proxy = exeat(allow(server.port), {"timeouts": {"idle": "500ms"}})
    with proxy.client() as client:
        client.send(f"GET http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n")
        assert client.read_all().endswith(b"half")
    assert eventually(lambda: [r for r in proxy.log(host=HOST) if r["reason"] != "allowed"])


def test_a_client_idle_between_requests_is_closed(exeat, origin):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(allow(server.port), {"timeouts": {"idle": "500ms"}})
    with proxy.client() as client:
        assert client.get(f"http://{HOST}:{server.port}/").status == 200
        assert client.is_closed()
    assert eventually(lambda: hits(proxy, "idle-timeout") == 1)


def test_a_tunnel_may_be_silent_for_ever(exeat, origin):
    """tunnel_idle: 0, while every other deadline is short."""
    server = origin(echo)
    short = {name: "300ms" for name in ("head", "client_hello", "dns", "connect", "response", "idle")}
    proxy = exeat(allow(server.port), {"timeouts": {**short, "tunnel_idle": 0}})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        time.sleep(2)
        assert echoes(client)


# Descriptors ---------------------------------------------------------------------------------------------------------

def test_out_of_descriptors(exeat, origin):
    """Everybody gets an answer, nobody spins, and all is well once descriptors come back."""
    server = origin(echo)
    proxy = exeat(allow(server.port))
    # Under UBSan the first look at each type wants a descriptor of its own.
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200 and echoes(client)
    with proxy.client() as client:
        assert client.connect("denied.elsewhere.example:443").status == 403
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
    resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (64, 64))
    answers = [try_connect(proxy, f"{HOST}:{server.port}") for _ in range(80)]
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {200, 502, 503}, statuses
    assert statuses.count(200) >= 1 and statuses.count(503) >= 20, statuses

    before = cpu_seconds(proxy)
    waiting = [socket.create_connection(("127.0.0.1", proxy.ports["agent"])) for _ in range(50)]
    time.sleep(2)
    assert cpu_seconds(proxy) - before < 1
    tunnels = [client for status, client in answers if status == 200]
    assert all(echoes(client) for client in tunnels)

    for client in [client for _, client in answers] + waiting:
        client.close()

    def served():
        status, client = try_connect(proxy, f"{HOST}:{server.port}")
        client.close()
        return status == 200
    assert eventually(served)
    assert eventually(lambda: hits(proxy, "out-of-descriptors") >= 20)
    assert proxy.logged(reason="out-of-descriptors")
    assert descriptors(proxy) < 64


# Many ----------------------------------------------------------------------------------------------------------------

def test_slow_readers_cost_bounded_memory(exeat, origin, sanitized):
    def pour(connection):
        connection.read_until(b"go")
        block = b"x" * (1 << 20)
        with contextlib.suppress(OSError):
            for _ in range(64):
                connection.write(block)
    server = origin(pour)
    proxy = exeat(allow(server.port))
    clients = []
    for _ in range(24):
        client = Client.__new__(Client)
        client.sock, client.buffer = socket.socket(), b""
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sock.settimeout(60)
        client.sock.connect(("127.0.0.1", proxy.ports["agent"]))
        assert client.connect(f"{HOST}:{server.port}").status == 200
        clients.append(client)
    before = proxy.rss()
    for client in clients:
        client.send(b"go")
        client.recv(1)
    time.sleep(1)
    grown = proxy.rss() - before
    print(f"24 slow readers: {grown / 24 / 1024:.0f} KiB each")
    assert grown < (64 if sanitized else 8) << 20
    for client in clients:
        client.close()
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)


def test_two_thousand_idle_tunnels(exeat, sanitized):
    count = 2000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3 * count:
        pytest.skip(f"this machine allows {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3 * count), hard))
    server = EchoAll()
    clients = []
    try:
        proxy = exeat(allow(server.port), {"limits": {"connections_per_client": 2 * count}})
        # The first ones pay for what all share.
        for _ in range(50):
            clients.append(proxy.client())
            assert clients[-1].connect(f"{HOST}:{server.port}").status == 200
        before = proxy.rss()
        while len(clients) < count:
            clients.append(proxy.client())
            assert clients[-1].connect(f"{HOST}:{server.port}").status == 200
        assert all(echoes(client) for client in clients)
        each = (proxy.rss() - before) / (count - 50)
        print(f"{count} idle tunnels: {each / 1024:.2f} KiB resident each")
        assert each < (64 if sanitized else 4) * 1024
        assert proxy.metric("exeat_active_tunnels") == count
        before = cpu_seconds(proxy)
        proxy.reload()
        time.sleep(1)
        assert cpu_seconds(proxy) - before < 1
        assert all(echoes(client) for client in clients)
    finally:
        for client in clients:
            client.close()
        server.close()
