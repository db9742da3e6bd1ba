"""A hostile job that tries to use up what the others need: buffers that nobody counts, octets that cost more to handle
than to send. (Connections, requests, dials, look-ups: test_limits_shared.py; slowness: test_faults_slow.py.)"""
import contextlib
import socket
import threading
import time

import pytest

from harness.accounts import assert_accounted
from harness.client import Client, eventually
from harness.mutual import Mutual
from harness.origin import echo, http_handler, response
from harness.proxy import free_port, loopback, policy_of
from test_limits import cpu_seconds, hits
from test_limits_shared import slow_client

HOST = "origin.corp.example"
SMALL = {"limits": {"buffers": "4MiB"}, "workers": 1}


def allow(*ports):
    rules = [{"host": HOST, "ports": list(ports), "tls": "any"}]
    return policy_of(agent=rules, setup=rules, addresses=[loopback()])


def status_of(proxy, port, phase):
    with proxy.client(phase) as client:
        return client.connect(f"{HOST}:{port}").status


@pytest.fixture
def open_clients():
    with contextlib.ExitStack() as stack:
        yield stack


# Buffers that count --------------------------------------------------------------------------------------------------

def test_a_path_that_a_websocket_keeps_is_counted(exeat, origin, open_clients):
    """It may have to be judged again, for as long as the connection lives."""
    def switch(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        connection.read()
    server, well = origin(switch), origin(echo)
    proxy = exeat(allow(server.port, well.port), SMALL)
    path = "/" + "p" * 30000

    def upgrade():
        client = open_clients.enter_context(proxy.client())
        client.send(f"GET http://{HOST}:{server.port}{path} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\nConnection: Upgrade\r\n"
                    "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
        try:
            return client.answer().status
        except (OSError, EOFError):
            return 503  # refused before it was read
    most = (4 << 20) // len(path)
    statuses = [upgrade() for _ in range(most + 20)]
    assert set(statuses) == {101, 503} and 20 < statuses.count(101) <= most
    assert hits(proxy, "out-of-buffers") == statuses.count(503)
    open_clients.close()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert status_of(proxy, well.port, "agent") == 200
    assert_accounted(proxy)


@pytest.fixture
def secure(exeat, ca, tmp_path):
    mutual = Mutual(ca, tmp_path)
    port = free_port()

    def make(policy, settings):
        proxy = exeat(policy, {**settings, "more_listeners": [{"address": f"127.0.0.1:{port}", "phase": "agent",
                                                               "tls": mutual.settings(False)}]})
        return proxy, mutual, port
    return make


def test_a_long_handshake_that_is_only_announced_is_counted(secure, origin, open_clients, sanitized):
    """One record says how much OpenSSL is to hold: 128 KiB."""
    well = origin(echo)
    proxy, _, port = secure(allow(well.port), {**SMALL, "timeouts": {"head": "60s"}})
    announced = b"\x16\x03\x01\x40\x00" + b"\x01\x02\x00\x00" + b"\x03\x03" + b"x" * (16384 - 6)
    before = proxy.rss()
    for _ in range(120):
        client = open_clients.enter_context(Client(("127.0.0.1", port)))
        with contextlib.suppress(OSError):
            client.send(announced)
    most = (4 << 20) // (128 << 10)
    assert eventually(lambda: hits(proxy, "out-of-buffers") >= 120 - most)
    if not sanitized:
        assert proxy.rss() < before + (8 << 20)
    open_clients.close()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert status_of(proxy, well.port, "setup") == 200
    assert_accounted(proxy)


def test_what_piles_up_behind_a_tls_client_that_reads_nothing_is_counted(secure, origin, open_clients):
    """Between TLS and the session the kernel keeps more than we do."""
    def pour(connection):
        connection.read_until(b"go")
        with contextlib.suppress(OSError):
            connection.write(b"x" * (64 << 20))
    server, well = origin(pour), origin(echo)
    proxy, mutual, port = secure(allow(server.port, well.port), SMALL)
    kept = int(open("/proc/sys/net/core/wmem_default", encoding="ascii").read())
    most = (4 << 20) // (kept + (48 << 10))
    for _ in range(3 * most):
        client = open_clients.enter_context(slow_client(proxy, port=port))
        with contextlib.suppress(OSError, EOFError):
            client.sock = mutual.context().wrap_socket(client.sock, server_hostname="proxy.corp.example")
            if client.connect(f"{HOST}:{server.port}").status == 200:
                client.send(b"go")
    time.sleep(2)
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") <= most), proxy.metric("exeat_active_tunnels")
    open_clients.close()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert status_of(proxy, well.port, "setup") == 200


# Octets that cost more than they are -----------------------------------------------------------------------------------

CHUNKS = 40_000


def test_tiny_chunks_of_a_request_go_on_together(exeat, origin):
    def count(connection):
        connection.read_until(b"\r\n\r\n")
        data = b""
        while not data.endswith(b"0\r\n\r\n"):
            more = connection.read()
            if not more:
                return
            data += more
        sizes, body = [], b""
        while data:
            line, data = data.split(b"\r\n", 1)
            sizes.append(int(line, 16))
            body, data = body + data[:sizes[-1]], data[sizes[-1] + 2:]
        connection.write(response(f"{len(sizes)} {body == b'x' * CHUNKS}".encode()))
    server = origin(count)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.send(f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n".encode() + b"1\r\nx\r\n" * CHUNKS + b"0\r\n\r\n")
        chunks, whole = client.answer().body.decode().split()
    assert whole == "True" and int(chunks) < CHUNKS / 20, chunks


def test_tiny_chunks_of_an_answer_come_together(exeat, origin):
    server = origin(http_handler(lambda request: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                 b"1;e=f\r\nx\r\n" * (CHUNKS // 20) + b"1\r\nx\r\n" * CHUNKS + b"0\r\nX-T: 1\r\n\r\n"))
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.send(f"GET http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
        data = client.read_until(b"0\r\nX-T: 1\r\n\r\n")
    chunks = data.count(b"\r\n") // 2
    assert chunks < CHUNKS / 20 and data.count(b"x") == CHUNKS + CHUNKS // 20


def head_by_octets(client, at):
    client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for octet in (f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nX: " + "y" * 6000 + "\r\n\r\n").encode():
        client.send(bytes([octet]))


def many_options(client, at):
    fields = "".join(f"x-{n}: y\r\n" for n in range(80)) + "Connection: " + ", ".join(f"x-{n}" for n in range(30)) + "\r\n"
    client.send(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\n{fields}\r\n" * 50)


def many_via(client, at):
    client.send(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nVia: {'1.1 a,' * 4000}1.1 b\r\n\r\n" * 20)


def many_commas(client, at):
    client.send(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nConnection: {',' * 30000}\r\n\r\n" * 20)


def many_ranges(client, at):
    client.send(f"GET http://{at}/ HTTP/1.1\r\nHost: {at}\r\nAccept: {'a/b;q=0.1,' * 2900}*/*\r\n\r\n" * 20)


def many_labels(client, at):
    host = "a." * 120 + "example"
    client.send(f"GET http://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n" * 500)


@pytest.mark.parametrize("act, least", [(head_by_octets, 1), (many_options, 50), (many_via, 20), (many_commas, 20),
                                        (many_ranges, 20), (many_labels, 500)])
def test_no_head_costs_much(exeat, act, least, sanitized):
    """Of the processor: of the order of what the octets cost, and not of their square."""
    proxy = exeat(policy_of(), {"workers": 1, "log": {"file": "exeat.log", "process": False}})
    with proxy.client() as client:
        before = cpu_seconds(proxy)
        sender = threading.Thread(target=act, args=(client, "denied.elsewhere.example"), daemon=True)
        sender.start()
        for _ in range(least):
            assert client.answer().status in (400, 403)
        sender.join()
    used = cpu_seconds(proxy) - before
    print(f"{act.__name__}: {used:.2f} s")
    assert used < (3 if sanitized else 0.5)
    assert_accounted(proxy)
