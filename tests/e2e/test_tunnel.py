"""CONNECT (RFC 9110 9.3.6): what passes, in which order, and what the peek into the ClientHello refuses."""
import socket
import threading

import pytest

from harness.client import client_hello, eventually
from harness.origin import echo, http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"


def any_tunnel(port, **more):
    return policy_of(agent=[{"host": HOST, "ports": [port], "tls": "any"}], addresses=[loopback()], **more)


def tls_tunnel(port, **more):
    return policy_of(agent=[{"host": HOST, "ports": [port], **more}], addresses=[loopback()])


def test_early_data_reaches_the_origin_in_order(exeat, origin):
    server = origin(echo)
    proxy = exeat(any_tunnel(server.port))
    early = bytes(range(256)) * 200
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}", behind=early).status == 200
        client.send(b"and the rest")
        expected = early + b"and the rest"
        assert client.read_exactly(len(expected)) == expected
    assert server.received == expected


def test_early_client_hello_behind_the_head(exeat, origin, ca):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    hello = client_hello(HOST)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}", behind=hello).status == 200
        assert eventually(lambda: server.received == hello)


def test_the_answer_survives_the_clients_half_close(exeat, origin):
    def count(connection):
        connection.write(b"%d octets" % len(connection.read_all()))
    server = origin(count)
    proxy = exeat(any_tunnel(server.port))
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        client.send(b"x" * 300_000)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_all() == b"300000 octets"
    close = proxy.logged(event="close")
    assert (close["bytes_up"], close["bytes_down"], close["reason"]) == (300_000, 13, "allowed")


def test_the_client_goes_on_after_the_origins_half_close(exeat, origin):
    def half(connection):
        connection.write(b"greeting")
        connection.finish_writing()
        connection.read_all()
    server = origin(half)
    proxy = exeat(any_tunnel(server.port))
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        assert client.read_all() == b"greeting"
        client.send(b"y" * 200_000)
        client.sock.shutdown(socket.SHUT_WR)
        assert eventually(lambda: server.received == b"y" * 200_000)


def test_no_truncation_under_back_pressure(exeat, origin):
    """The origin sends everything and closes while the client has read nothing yet."""
    size = 8 << 20
    sent = threading.Event()

    def blast(connection):
        connection.write(b"z" * size)
        sent.set()
    server = origin(blast)
    proxy = exeat(any_tunnel(server.port))
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        first = client.read_exactly(1)
        sent.wait(1)  # as far as the buffers between take it; the read below frees the rest
        assert len(first + client.read_all()) == size


def test_a_reset_of_the_origin_ends_the_client(exeat, origin):
    def reset(connection):
        connection.read(1)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    server = origin(reset)
    proxy = exeat(any_tunnel(server.port))
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        client.send(b"x")
        assert client.is_closed()
    assert proxy.logged(event="close")
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)


def test_origin_speaks_first(exeat, origin):
    server = origin(lambda connection: (connection.write(b"220 hello\r\n"), connection.read_all()))
    proxy = exeat(any_tunnel(server.port))
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        assert client.read_exactly(11) == b"220 hello\r\n"


# The peek ------------------------------------------------------------------------------------------------------------

def refused_after_200(proxy, server, first_octets):
    """Sends the octets into a tunnel; returns (what the client got, the log record of the refusal)."""
    with proxy.client() as client:
        answer = client.connect(f"{HOST}:{server.port}")
        assert answer.status == 200
        client.send(first_octets)
        got = client.read_all()
    record = proxy.logged(decision=answer.fields["exeat-decision"], verdict="deny")
    assert server.received == b""
    if record["reason"] != "bad-client-hello":
        assert record["hint"], "whoever reads log or report is told what would help"
    return got, record


def test_sni_of_another_host_is_refused(exeat, origin):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    got, record = refused_after_200(proxy, server, client_hello("other.corp.example"))
    assert record["reason"] == "sni-mismatch" and "SNI" in record["hint"]
    assert record["error"] == "the ClientHello names other.corp.example"
    assert got[:1] == b"\x15", "a TLS alert"
    assert eventually(lambda: proxy.metric("exeat_decisions_total", reason="sni-mismatch") == 1)


def test_a_hello_without_sni_is_refused(exeat, origin):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    got, record = refused_after_200(proxy, server, client_hello(None))
    assert record["reason"] == "sni-missing" and got[:1] == b"\x15"


@pytest.mark.parametrize("octets", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00" * 64])
def test_what_is_not_tls_is_refused(exeat, origin, octets):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    got, record = refused_after_200(proxy, server, octets)
    assert record["reason"] == "not-tls" and got == b""


def test_plain_http_through_connect_is_told_why_and_both_fixes(exeat, origin):
    """What some clients do with http:// URLs on port 80: the answer comes in the HTTP that they speak."""
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    got, record = refused_after_200(proxy, server, b"GET / HTTP/1.1\r\nHost: origin.corp.example\r\n\r\n")
    assert record["reason"] == "not-tls"
    assert got.startswith(b"HTTP/1.1 403 egress-denied not-tls\r\n")
    assert f"ports: [{server.port}]".encode() in got and b"tls: any" in got, got
    assert f"Show decision {record['decision']}".encode() in got and f"[{server.port}]" in record["hint"]
    assert eventually(lambda: proxy.blocked_file.exists() and "not-tls" in proxy.blocked_file.read_text())


def test_garbage_that_starts_like_tls_is_refused(exeat, origin):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    _, record = refused_after_200(proxy, server, b"\x16\x03\x01\x00\x08\x01\x00\x00\x04\xff\xff\xff\xff")
    assert record["reason"] == "bad-client-hello"


def test_a_client_hello_in_single_octets(exeat, origin):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    hello = client_hello(HOST)
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        for octet in hello:
            client.send(bytes([octet]))
        assert eventually(lambda: server.received == hello)


def test_a_client_hello_over_several_records(exeat, origin):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port))
    hello = client_hello(HOST)
    message = hello[5:]
    pieces = [message[at:at + 50] for at in range(0, len(message), 50)]
    records = b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        client.send(records)
        assert eventually(lambda: server.received == records)


def test_a_silent_tunnel_is_ended(exeat, origin):
    server = origin(lambda connection: connection.read_all())
    proxy = exeat(tls_tunnel(server.port), {"timeouts": {"client_hello": "1s"}})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        assert client.is_closed()
    assert proxy.logged(reason="client-hello-timeout")


# Heads ---------------------------------------------------------------------------------------------------------------

def test_octets_behind_a_refused_connect_are_no_request(exeat, origin):
    """RFC 9931: the connection ends, and what stands behind the head is never read as a request."""
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback()]))
    smuggled = f"GET http://{HOST}:{server.port}/smuggled HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n".encode()
    with proxy.client() as client:
        answer = client.connect("denied.corp.example:443", behind=smuggled)
        assert answer.status == 403 and answer.fields["connection"].lower() == "close"
        assert client.is_closed()
    assert server.connections == []
    proxy.stop()  # what was logged is in the file then
    assert len(proxy.log(event="decision")) == 1


def test_proxy_authorization_never_reaches_the_origin(exeat, origin):
    server = origin(http_handler(lambda request: response(request.head)))
    proxy = exeat(any_tunnel(server.port))
    secret = "Proxy-Authorization: Basic c2VjcmV0OnNlY3JldA=="
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}", [secret]).status == 200
        client.send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
        client.answer()
    with proxy.client() as client:
        assert client.get(f"http://{HOST}:{server.port}/", [secret, "Proxy-Connection: keep-alive"]).status == 200
    assert b"proxy-" not in server.received.lower() and b"c2VjcmV0" not in server.received


@pytest.mark.parametrize("target, reason", [
    (f"{HOST}", "bad-port"), (f"{HOST}:0", "bad-port"), (f"{HOST}:65536", "bad-port"), (f"{HOST}:83543", "bad-port"),
    (f"{HOST}:443x", "bad-port"), (f"user@{HOST}:443", "userinfo-in-target"), ("0x7f.1:443", "ambiguous-ip-literal"),
    ("2130706433:443", "ambiguous-ip-literal"), ("a..b:443", "bad-host")])
def test_connect_targets_that_are_not_one_destination(exeat, target, reason):
    proxy = exeat(policy_of())
    with proxy.client() as client:
        answer = client.connect(target, [])
        assert answer.status == 400, answer.raw_fields
        assert client.is_closed()
    assert proxy.logged(reason=reason)


def test_host_may_omit_the_port_of_a_connect(exeat, origin):
    """Java and Python write it so."""
    server = origin(echo)
    proxy = exeat(any_tunnel(server.port))
    with proxy.client() as client:
        client.send(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_ipv6_origin(exeat, origin, dns):
    server = origin(echo, family=socket.AF_INET6)
    dns.records[HOST] = ["::1"]
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port], "tls": "any"}],
                            addresses=[loopback(cidr="::1/128")]))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"six")
        assert client.read_exactly(3) == b"six"
    assert proxy.logged(event="decision")["address"] == "::1"
