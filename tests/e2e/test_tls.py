"""A listener that speaks TLS with its clients."""
import hashlib
import json
import os
import socket
import ssl
import struct
import time

import pytest

from harness.client import eventually
from harness.mutual import Mutual
from harness.origin import http_handler, response
from harness.proxy import free_port, loopback, policy_of, run_exeat

HELLO = http_handler(lambda request: response(f"{request.method} {request.target}\n"))
NAME = "proxy.corp.example"


@pytest.fixture
def mutual(ca, tmp_path):
    return Mutual(ca, tmp_path)


@pytest.fixture
def tls_proxy(exeat, mutual):
    """tls_proxy(policy, ask=True, who=...): a proxy whose `secure_port` is a TLS listener, by default of phase agent."""
    def make(policy, ask=True, who=None, **settings):
        port = free_port()
        listener = {"address": f"127.0.0.1:{port}", "tls": mutual.settings(ask)} | (who or {"phase": "agent"})
        proxy = exeat(policy, settings={"more_listeners": [listener], **settings})
        proxy.secure_port = port
        return proxy
    return make


def allow(port, **terms):
    return policy_of(agent=[{"host": "origin.corp.example", "ports": [port], **terms}], addresses=[loopback()])


def curl(run, proxy, mutual, url, *more, client=None, ca=None):
    certificate = ["--proxy-cert", client] if client else []
    return run("curl", "-sS", "--max-time", "60", "--proxy", f"https://{NAME}:{proxy.secure_port}",
               "--resolve", f"{NAME}:{proxy.secure_port}:127.0.0.1", "--proxy-cacert", mutual.ca.bundle, *certificate,
               *(["--cacert", ca] if ca else []), *more, url)


def connect(proxy, mutual, client=None, **wanted):
    """A TLS connection to the listener, as a Python socket."""
    raw = socket.create_connection(("127.0.0.1", proxy.secure_port), timeout=60)
    return mutual.context(client).wrap_socket(raw, server_hostname=NAME, **wanted)


def open_tunnel(tls, port):
    tls.sendall(f"CONNECT origin.corp.example:{port} HTTP/1.1\r\nHost: origin.corp.example:{port}\r\n\r\n".encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        octet = tls.recv(1)
        assert octet, head
        head += octet
    assert head.startswith(b"HTTP/1.1 200"), head


# Who gets in


def test_a_client_with_a_certificate_gets_both_forms(tls_proxy, run, ca, mutual, origin):
    tls_origin, plain_origin = origin(HELLO, ca.server_context("origin.corp.example")), origin(HELLO)
    proxy = tls_proxy(policy_of(agent=[{"host": "origin.corp.example", "ports": [tls_origin.port, plain_origin.port]}],
                                addresses=[loopback()]))
    agent = mutual.client()
    done = curl(run, proxy, mutual, f"https://origin.corp.example:{tls_origin.port}/a", client=agent, ca=ca.bundle)
    assert (done.returncode, done.stdout) == (0, "GET /a\n"), done.stderr
    done = curl(run, proxy, mutual, f"http://origin.corp.example:{plain_origin.port}/b", client=agent)
    assert (done.returncode, done.stdout) == (0, "GET /b\n"), done.stderr
    done = curl(run, proxy, mutual, "http://denied.corp.example/", client=agent)
    assert "no-rule" in done.stdout


def test_without_a_certificate_nobody_gets_in(tls_proxy, run, mutual, origin, ca):
    upstream = origin(HELLO)
    proxy = tls_proxy(allow(upstream.port))
    url = f"http://origin.corp.example:{upstream.port}/"
    assert curl(run, proxy, mutual, url).returncode != 0
    record = proxy.logged(reason="tls-handshake")
    assert "certificate" in record["error"] and record["client"].startswith("127.0.0.1:")
    stranger = ca.leaf("origin.corp.example")  # of a CA that the proxy does not trust for clients
    assert curl(run, proxy, mutual, url, client=stranger).returncode != 0
    assert eventually(lambda: len(proxy.log(reason="tls-handshake")) == 2)
    assert upstream.connections == []


def test_one_that_asks_for_no_certificate(tls_proxy, run, mutual, origin):
    upstream = origin(HELLO)
    proxy = tls_proxy(allow(upstream.port), ask=False)
    done = curl(run, proxy, mutual, f"http://origin.corp.example:{upstream.port}/x")
    assert (done.returncode, done.stdout) == (0, "GET /x\n"), done.stderr


def test_http_on_a_tls_listener_says_what_is_wrong(tls_proxy, run):
    proxy = tls_proxy(policy_of())
    done = run("curl", "-sS", "-i", "--max-time", "60", "--proxy", f"http://127.0.0.1:{proxy.secure_port}", "http://a.example/")
    assert "400 tls-handshake" in done.stdout and "begins with https://" in done.stdout, done.stderr
    assert "begins with http://" in proxy.logged(reason="tls-handshake")["error"]


def test_the_certificate_says_the_phase(tls_proxy, run, mutual, origin):
    upstream = origin(HELLO)
    proxy = tls_proxy(policy_of(setup=[{"host": "origin.corp.example", "ports": [upstream.port]}], addresses=[loopback()]),
                      who={"identity": [{"mtls": [{"san_uri": "spiffe://ci.example/{phase}"},
                                                  {"common_name": "builder", "phase": "setup"}]}]})
    url = f"http://origin.corp.example:{upstream.port}/x"

    def answer(client):
        return curl(run, proxy, mutual, url, client=client).stdout

    assert answer(mutual.client("spiffe://ci.example/setup")) == "GET /x\n"
    assert answer(mutual.client(name="builder")) == "GET /x\n"
    assert answer(mutual.client("spiffe://ci.example/setup", name="builder")) == "GET /x\n"
    assert proxy.logged(verdict="allow")["phase"] == "setup"
    for client, reason in ((mutual.client("spiffe://ci.example/agent"), "no-rule"),
                           (mutual.client("spiffe://other.example/setup"), "identity-silent"),
                           (mutual.client("spiffe://ci.example/setup/x"), "identity-silent"),
                           (mutual.client(name="builder2"), "identity-silent"),
                           (mutual.client("spiffe://ci.example/agent", name="builder"), "identity-ambiguous")):
        assert reason in answer(client)


# A load balancer in front

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def test_a_load_balancer_says_whom_it_speaks_for(tls_proxy, mutual, origin):
    upstream = origin(HELLO)
    proxy = tls_proxy(allow(upstream.port), ask=False, who={"identity": [
        {"proxy_protocol": ["127.0.0.1/32"]}, {"source": [{"cidr": "10.1.0.0/16", "phase": "agent"}]}]})

    def ask(header):
        with socket.create_connection(("127.0.0.1", proxy.secure_port), timeout=60) as raw:
            raw.sendall(header)
            try:
                with mutual.context().wrap_socket(raw, server_hostname=NAME) as tls:
                    tls.sendall(f"GET http://origin.corp.example:{upstream.port}/y HTTP/1.1\r\nHost: origin.corp.example:"
                                f"{upstream.port}\r\nConnection: close\r\n\r\n".encode())
                    answer = b""
                    while octets := tls.recv(4096):
                        answer += octets
                    return answer
            except (ssl.SSLError, ConnectionResetError):
                return None

    ends = bytes([10, 1, 2, 3, 192, 0, 2, 7]) + struct.pack(">HH", 12345, 443)
    for header in (b"PROXY TCP4 10.1.2.3 192.0.2.7 12345 443\r\n", V2 + b"\x21\x11\0\x0c" + ends):
        assert ask(header).endswith(b"GET /y\n")
    record = proxy.logged(verdict="allow")
    assert record["client"] == "10.1.2.3:12345"
    assert b"identity-silent" in ask(b"PROXY TCP4 10.2.2.3 192.0.2.7 12345 443\r\n")
    for unknown in (b"PROXY UNKNOWN\r\n", V2 + b"\x20\0\0\0"):
        assert b"identity-silent" in ask(unknown)
    seen = len(upstream.connections)
    for wrong in (b"", b"PROXY TCP4 10.1.2.3 192.0.2.7 012345 443\r\n", V2 + b"\x21\x12\0\x0c" + ends):
        assert ask(wrong) is None
    assert eventually(lambda: len(proxy.log(reason="bad-proxy-protocol")) == 3)
    assert len(upstream.connections) == seen


def test_who_may_not_send_a_header_gets_nothing(tls_proxy, origin):
    upstream = origin(HELLO)
    proxy = tls_proxy(allow(upstream.port), ask=False, who={"identity": [
        {"proxy_protocol": ["127.0.0.2/32"]}, {"source": [{"cidr": "10.1.0.0/16", "phase": "agent"}]}]})
    with socket.create_connection(("127.0.0.1", proxy.secure_port), timeout=60) as raw:
        try:
            raw.sendall(b"PROXY TCP4 10.1.2.3 192.0.2.7 12345 443\r\n")
            assert raw.recv(1) == b""
        except (ConnectionResetError, BrokenPipeError):
            pass
    assert "may send" in proxy.logged(reason="bad-proxy-protocol")["error"]


# Files that change


def test_a_renewed_certificate_is_presented_without_a_restart(tls_proxy, run, mutual, origin):
    upstream = origin(HELLO)
    proxy = tls_proxy(allow(upstream.port))
    agent = mutual.client()
    url = f"http://origin.corp.example:{upstream.port}/"
    assert curl(run, proxy, mutual, url, client=agent).returncode == 0
    mutual.present("elsewhere.corp.example")
    assert eventually(lambda: curl(run, proxy, mutual, url, client=agent).returncode != 0, 30)
    mutual.present(NAME)
    assert eventually(lambda: curl(run, proxy, mutual, url, client=agent).returncode == 0, 30)


def test_a_revoked_client_stays_out_without_a_restart(tls_proxy, run, mutual, origin):
    upstream = origin(HELLO)
    proxy = tls_proxy(allow(upstream.port))
    good, bad = mutual.client(), mutual.client()
    url = f"http://origin.corp.example:{upstream.port}/"
    assert curl(run, proxy, mutual, url, client=bad).returncode == 0
    mutual.revoke(bad)
    assert eventually(lambda: curl(run, proxy, mutual, url, client=bad).returncode != 0, 30)
    assert curl(run, proxy, mutual, url, client=good).returncode == 0
    assert "revoked" in proxy.logged(reason="tls-handshake")["error"]
    # A list that cannot be read takes nothing back.
    mutual.crl.write_text("nothing\n")
    time.sleep(1.2)
    assert curl(run, proxy, mutual, url, client=good).returncode == 0
    assert curl(run, proxy, mutual, url, client=bad).returncode != 0


@pytest.mark.parametrize("missing", ["proxy.pem", "proxy.key", "client-ca.pem", "client-ca.crl"])
def test_a_missing_file_stops_the_start(mutual, tmp_path, missing):
    (tmp_path / missing).unlink()
    listener = {"address": "127.0.0.1:0", "phase": "agent", "tls": mutual.settings()}
    config = tmp_path / "exeat.yaml"
    config.write_text(json.dumps({"version": 1, "admin": "none", "control": "none", "listeners": [listener]}))
    done = run_exeat("serve", "--config", config)
    assert done.returncode == 2 and missing in done.stderr, done.stderr


# Octets and ends


def echo(connection):
    while octets := connection.read():
        connection.write(octets)


def test_bulk_through_a_tunnel(tls_proxy, mutual, origin, bulk_size):
    upstream = origin(echo)
    proxy = tls_proxy(allow(upstream.port, tls="any"))
    with connect(proxy, mutual, mutual.client()) as tls:
        open_tunnel(tls, upstream.port)
        block = os.urandom(1 << 16)
        sent, got = hashlib.sha256(), hashlib.sha256()
        for _ in range(bulk_size // 4 // len(block)):
            tls.sendall(block)
            sent.update(block)
            left = len(block)
            while left:
                octets = tls.recv(left)
                assert octets
                got.update(octets)
                left -= len(octets)
        assert sent.digest() == got.digest()


def test_ends_are_what_they_are_on_both_sides(tls_proxy, mutual, origin):
    ends = []

    def listen(connection):
        try:
            octets = connection.read_all()
            ends.append("eof")
            connection.write(b"answer to " + octets)
        except ConnectionResetError:
            ends.append("reset")

    upstream = origin(listen)
    proxy = tls_proxy(allow(upstream.port, tls="any"))
    agent = mutual.client()
    orderly = connect(proxy, mutual, agent, suppress_ragged_eofs=False)
    open_tunnel(orderly, upstream.port)
    orderly.sendall(b"all")
    orderly.setblocking(False)
    with pytest.raises(ssl.SSLWantReadError):
        orderly.unwrap()  # close_notify is out; the other way goes on
    orderly.settimeout(60)
    answer = b""
    with pytest.raises(ssl.SSLZeroReturnError):  # close_notify; an end without it is another error
        while octets := orderly.recv(100):
            answer += octets
    assert answer == b"answer to all"
    orderly.close()

    cut = connect(proxy, mutual, agent)
    open_tunnel(cut, upstream.port)
    cut.sendall(b"half")
    assert eventually(lambda: upstream.connections[-1].received == b"half")
    socket.socket(fileno=cut.detach()).close()  # FIN, and no close_notify
    assert eventually(lambda: len(ends) == 2)
    assert ends == ["eof", "reset"]


def test_a_reset_of_the_origin_is_no_orderly_end_to_the_client(tls_proxy, mutual, origin):
    def reset(connection):
        connection.read_exactly(1)
        connection.write(b"half an answer")
        connection.read_exactly(1)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()

    upstream = origin(reset)
    proxy = tls_proxy(allow(upstream.port, tls="any"))
    tls = connect(proxy, mutual, mutual.client(), suppress_ragged_eofs=False)
    open_tunnel(tls, upstream.port)
    tls.sendall(b"x")
    left = len(b"half an answer")
    while left:
        left -= len(tls.recv(left))
    tls.sendall(b"x")
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        tls.recv(1)


def test_a_stop_leaves_no_client_hanging(tls_proxy, mutual, origin):
    upstream = origin(echo)
    proxy = tls_proxy(allow(upstream.port, tls="any"), drain_timeout="1s")
    tls = connect(proxy, mutual, mutual.client(), suppress_ragged_eofs=False)
    open_tunnel(tls, upstream.port)
    tls.sendall(b"x")
    assert tls.recv(1) == b"x"
    silent = socket.create_connection(("127.0.0.1", proxy.secure_port), timeout=60)
    proxy.stop()
    with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
        tls.recv(1)
    try:
        assert silent.recv(1) == b""
    except ConnectionResetError:
        pass


def test_handshakes_of_one_client_count_as_requests(tls_proxy, mutual):
    proxy = tls_proxy(policy_of(), ask=False, limits={"requests_per_client": 1})

    def handshake():
        try:
            connect(proxy, mutual).close()
            return True
        except (OSError, ssl.SSLError):
            return False
    # One a second fills the bucket again: of many in a row some come too soon, however slow this machine is.
    assert eventually(lambda: not handshake())
    line = proxy.logged(reason="too-many-requests")
    assert line["error"] == "TLS handshakes" and line["client"].startswith("127.0.0.1")
    assert proxy.metric("exeat_decisions_total", reason="too-many-requests") >= 1
    assert eventually(handshake)


def test_http2_is_not_spoken(tls_proxy, run, mutual):
    proxy = tls_proxy(policy_of(), ask=False)
    done = run("openssl", "s_client", "-connect", f"127.0.0.1:{proxy.secure_port}", "-servername", NAME, "-CAfile",
               mutual.ca.bundle, "-alpn", "h2", input="")
    assert "no application protocol" in done.stderr, done.stderr
    assert "ALPN" in proxy.logged(reason="tls-handshake")["error"]
