"""Clients and an origin that do anything, in any pieces, and leave at any time, while the policy is reloaded:
nothing breaks, nobody waits for ever, and the log and the metrics agree to the octet."""
import random
import socket
import struct
import threading

import pytest

from harness.client import eventually
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"
ANSWERS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\nto the close",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"HTTP/1.1 401 X\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n", b"junk\xff\0",
    b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n"]


def linger(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def requests(port):
    url, host = f"http://{HOST}:{port}/", f"Host: {HOST}:{port}\r\n"
    return [text.encode() for text in (
        f"GET {url} HTTP/1.1\r\n{host}\r\n", f"HEAD {url} HTTP/1.1\r\n{host}\r\n", f"GET {url} HTTP/1.0\r\n{host}\r\n",
        f"POST {url} HTTP/1.1\r\n{host}Content-Length: 3000\r\n\r\n" + "x" * 3000,
        f"PUT {url} HTTP/1.1\r\n{host}Content-Length: 90000\r\n\r\n" + "x" * 90000,
        f"POST {url} HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        f"GET {url} HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        f"GET {url} HTTP/1.1\r\n{host}Authorization: NTLM x\r\n\r\n", "GET http://no/ HTTP/1.1\r\nHost: no\r\n\r\n",
        f"CONNECT {HOST}:{port} HTTP/1.1\r\n{host}\r\nzzz")]


@pytest.mark.parametrize("seed", [1, 2])
def test_chaos(exeat, origin, seed):
    numbers = random.Random(seed)  # threads take from it as they come: the seed gives a mixture, not a replay

    def handler(connection):
        for _ in range(numbers.randint(1, 6)):
            if numbers.random() < 0.7:
                connection.read()
            for _ in range(numbers.choice([1, 1, 1, 2])):
                data = numbers.choice(ANSWERS)
                if numbers.random() < 0.15:
                    data = data[:numbers.randint(0, len(data))]
                connection.write(data * (1000 if numbers.random() < 0.1 else 1))
            if numbers.random() < 0.1:
                connection.finish_writing()
        if numbers.random() < 0.3:
            linger(connection.sock)
    server = origin(handler)
    policy = policy_of(agent=[{"host": HOST, "ports": [server.port], "tls": "any"}], addresses=[loopback()])
    times = {name: "200ms" for name in ("head", "idle", "response", "client_hello", "upstream_idle")}
    proxy = exeat(policy, {"timeouts": times, "limits": {"connections_per_client": 0}})
    stuck = []

    def play():
        tunnel = False
        with proxy.client() as client:
            for _ in range(numbers.randint(1, 5)):
                data = numbers.choice(requests(server.port))
                tunnel = tunnel or b"CONNECT" in data or b"Upgrade" in data
                if numbers.random() < 0.2:
                    data = data[:numbers.randint(0, len(data))]
                while data:
                    size = numbers.choice([1, 7, 100, 100_000])
                    client.send(data[:size])
                    data = data[size:]
                    if len(data) < 80_000 and numbers.random() < 0.05:
                        break
            end = numbers.random()
            if end < 0.2:
                client.sock.shutdown(socket.SHUT_WR)
            if end < 0.6 and not tunnel:  # a tunnel in which both wait may live
                client.sock.settimeout(30)
                try:
                    client.read_all()
                except TimeoutError:
                    stuck.append(data)
            if end > 0.8:
                client.reset()

    def player():
        for _ in range(40):
            try:
                play()
            except OSError:
                pass
    players = [threading.Thread(target=player) for _ in range(8)]
    for one in players:
        one.start()
    while any(one.is_alive() for one in players):
        proxy.reload(policy)
    for one in players:
        one.join()
    assert not stuck

    def records():
        return [r for r in proxy.log() if r["event"] in ("decision", "close")]
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
    # Exchanges of clients that are gone end by their deadlines.
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)

    def sums():
        """What the log says, and what the metrics say."""
        of = {}
        for record in records():
            of.setdefault(record["decision"], []).append(record)
        assert all([r["event"] for r in each] in (["decision"], ["decision", "close"]) for each in of.values())
        counted = sum(r["event"] == "decision" or r["verdict"] in ("deny", "error") for r in records())
        moved = [sum(each[-1].get(f"bytes_{way}", 0) for each in of.values()) for way in ("up", "down")]
        return ([counted, *moved], [proxy.metric("exeat_decisions_total"),
                                    *(proxy.metric("exeat_bytes_total", direction=way) for way in ("up", "down"))])
    assert eventually(lambda: len(set(map(tuple, sums()))) == 1), sums()
    assert proxy.metric("exeat_log_lines_dropped_total") == 0
