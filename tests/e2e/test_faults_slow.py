"""Slow on purpose, in every way a client can be: each ends at its own deadline with its own reason, costs no memory
to speak of, and keeps nobody else waiting."""
import contextlib
import socket
import threading
import time

import pytest

from harness.accounts import assert_accounted, counted, told
from harness.client import Client, client_hello, eventually
from harness.mutual import Mutual
from harness.origin import echo, http_handler, response
from harness.proxy import free_port, loopback, policy_of
from test_limits import hits

HOST = "origin.corp.example"
ATTACKERS = 12
SHORT = {"timeouts": {"head": "2s", "idle": "2s", "client_hello": "2s", "tunnel_stall": "2s"},
         "limits": {"body_rate": 1000}}


class Stage:
    """A proxy with short deadlines, three origins, and an honest client that is served all the time."""

    def __init__(self, exeat, origin, mutual):
        self.web = origin(http_handler(lambda request: response()))
        self.echo = origin(echo)
        self.flood = origin(self._pour)
        self.secure, self.balanced = free_port(), free_port()
        ports = [self.web.port, self.echo.port, self.flood.port]
        rule = {"host": HOST, "ports": ports}
        self.proxy = exeat(
            policy_of(agent=[rule], setup=[{**rule, "tls": "any"}], addresses=[loopback()]),
            {**SHORT, "more_listeners": [
                {"address": f"127.0.0.1:{self.secure}", "phase": "agent", "tls": mutual.settings(False)},
                {"address": f"127.0.0.1:{self.balanced}", "identity": [
                    {"proxy_protocol": ["127.0.0.1/32"]}, {"source": [{"cidr": "10.0.0.0/8", "phase": "agent"}]}]}]})
        self.served, self.failed, self._ended = 0, [], threading.Event()
        self._honest = threading.Thread(target=self._ask, daemon=True)
        self._honest.start()

    @staticmethod
    def _pour(connection):
        connection.read(1)
        with contextlib.suppress(OSError):
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
            for _ in range(64):
                connection.write(b"x" * (1 << 20))
            connection.read()

    def _ask(self):
        while not self._ended.is_set():
            try:
                with self.proxy.client("setup", timeout=30) as client:
                    assert client.get(f"http://{HOST}:{self.web.port}/").status == 200
                with self.proxy.client("setup", timeout=30) as client:
                    assert client.connect(f"{HOST}:{self.echo.port}").status == 200
                    client.send(b"ping")
                    assert client.read_exactly(4) == b"ping"
                self.served += 1
            except Exception as error:  # pylint: disable=broad-except
                self.failed.append(error)
            time.sleep(0.05)

    def end(self):
        """Of the honest client; more than once, if need be."""
        self._ended.set()
        self._honest.join(60)
        assert not self.failed and self.served > 0, self.failed[:3]

    def client(self, port=None):
        client = Client.__new__(Client)
        client.sock, client.buffer = socket.socket(), b""
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.sock.settimeout(60)
        client.sock.connect(("127.0.0.1", port or self.proxy.ports["agent"]))
        return client


@pytest.fixture
def stage(exeat, origin, ca, tmp_path):
    made = Stage(exeat, origin, Mutual(ca, tmp_path))
    yield made
    made.end()


def drip(client, octets, step=1, pause=0.1):
    """Until the other side has had enough; the octets come again and again."""
    end = time.monotonic() + 40
    at = 0
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            client.send(octets[at:at + step])
            at = (at + step) % len(octets)
            time.sleep(pause)


def absolute(stage, more="", method="GET", port=None):
    at = f"{HOST}:{port or stage.web.port}"
    return f"{method} http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{more}"


def slow_head(stage, client):
    drip(client, absolute(stage, "X-Slow: " + "y" * 4000).encode())


def slow_between_fields(stage, client):
    client.send(absolute(stage))
    drip(client, b"X-A: b\r\n", step=8, pause=0.3)


def slow_body(stage, client):
    client.send(absolute(stage, "Content-Length: 1000000\r\n\r\n", "POST"))
    drip(client, b"x")


def slow_chunk_sizes(stage, client):
    client.send(absolute(stage, "Transfer-Encoding: chunked\r\n\r\n", "POST"))
    drip(client, b"1;ext=" + b"e" * 4000)


def slow_trailers(stage, client):
    client.send(absolute(stage, "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "POST"))
    drip(client, b"X-Trailer: " + b"t" * 4000)


def slow_client_hello(stage, client):
    assert client.connect(f"{HOST}:{stage.echo.port}").status == 200
    drip(client, client_hello(HOST)[:-1])


def half_open_after_connect(stage, client):
    assert client.connect(f"{HOST}:{stage.echo.port}").status == 200
    client.read_all()


def slow_proxy_header(_, client):
    drip(client, b"PROXY TCP4 10.1.2.3 192.0.2.7 12345 443\r\n"[:-1], pause=0.2)


def slow_handshake(_, client):
    drip(client, client_hello("proxy.corp.example")[:-1])


def idle_keep_alive(stage, client):
    assert client.get(f"http://{HOST}:{stage.web.port}/").status == 200
    client.read_all()


def silent(_, client):
    client.read_all()


def slow_reader(stage, client):
    client.send(absolute(stage, "\r\n", port=stage.flood.port))
    time.sleep(0.1)
    eventually(lambda: stage.proxy.log(event="close", reason="idle-timeout") or
               stage.proxy.log(reason="idle-timeout"), 40)


def shut_window_in_a_tunnel(stage, client):
    hello = client_hello(HOST)
    assert client.connect(f"{HOST}:{stage.flood.port}").status == 200
    client.send(hello)
    eventually(lambda: stage.proxy.log(reason="tunnel-stalled"), 40)


# name: what it does, at which listener, the reason, whether each has a line of its own in the log
SHAPES = {
    "slow-head": (slow_head, None, "head-timeout", True),
    "slow-between-fields": (slow_between_fields, None, "head-timeout", True),
    "slow-body": (slow_body, None, "body-timeout", True),
    "slow-chunk-sizes": (slow_chunk_sizes, None, "body-timeout", True),
    "slow-trailers": (slow_trailers, None, "body-timeout", True),
    "slow-client-hello": (slow_client_hello, None, "client-hello-timeout", True),
    "half-open-after-connect": (half_open_after_connect, None, "client-hello-timeout", True),
    "slow-proxy-header": (slow_proxy_header, "balanced", "bad-proxy-protocol", True),
    "slow-tls-handshake": (slow_handshake, "secure", "tls-handshake", True),
    "idle-keep-alive": (idle_keep_alive, None, "idle-timeout", False),
    "silent": (silent, None, "head-timeout", False),
    "slow-reader": (slow_reader, None, "idle-timeout", True),
    "shut-window-in-a-tunnel": (shut_window_in_a_tunnel, None, "tunnel-stalled", True),
}


# Those of them that are limits, and not a verdict on what the client says.
LIMITS = {"head-timeout", "body-timeout", "idle-timeout", "tunnel-stalled"}


@pytest.mark.parametrize("shape", SHAPES)
def test_slow_on_purpose(stage, shape, sanitized):
    act, listener, reason, logged = SHAPES[shape]
    port = getattr(stage, listener) if listener else None
    assert eventually(lambda: stage.served > 2)
    before, served = stage.proxy.rss(), stage.served
    clients = [stage.client(port) for _ in range(ATTACKERS)]
    threads = [threading.Thread(target=act, args=(stage, client), daemon=True) for client in clients]
    for thread in threads:
        thread.start()
    if logged:
        assert eventually(lambda: len(stage.proxy.log(reason=reason)) >= ATTACKERS, 60), stage.proxy.log()[-5:]
    else:
        assert eventually(lambda: hits(stage.proxy, reason) >= ATTACKERS, 60)
    grown = stage.proxy.rss() - before
    print(f"{shape}: {grown / ATTACKERS / 1024:.0f} KiB each")
    assert grown < ATTACKERS * (2 << 20) + ((32 << 20) if sanitized else 0)
    for thread in threads:
        thread.join(60)
    for client in clients:
        client.close()
    # Nobody is left, but for the honest one.
    assert eventually(lambda: stage.served > served + 2)
    assert eventually(lambda: stage.proxy.metric("exeat_active_connections") <= 1)
    stage.end()
    # Each of them once, in the log, in the decisions and among the limits that struck; and nobody else was refused.
    assert_accounted(stage.proxy)
    refused = {key: count for key, count in told(stage.proxy).items() if key[1] != "allow"}
    expected = ATTACKERS if logged else 0
    assert {key[2]: count for key, count in refused.items()} == ({reason: expected} if logged else {}), refused
    assert sum(count for key, count in counted(stage.proxy).items() if key[1] != "allow") == expected
    assert hits(stage.proxy, reason) == (ATTACKERS if reason in LIMITS else 0)
