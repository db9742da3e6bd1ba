"""Large transfers: every octet arrives, in bounded memory. The size is 1 GiB against a release binary."""
import hashlib
import random

import pytest

from harness.client import eventually
from harness.origin import Origin, echo
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"
BLOCK = random.Random(1).randbytes(1 << 20)
# What one transfer may add to the resident memory: buffers and pipes, not the transfer.
MEMORY = 48 << 20


def pieces(size):
    """`size` octets that do not repeat with the block: each block is turned by its number."""
    for number in range(size >> 20):
        turn = (number * 4099) % len(BLOCK)
        yield BLOCK[turn:] + BLOCK[:turn]


def digest_of(size):
    digest = hashlib.blake2b()
    for piece in pieces(size):
        digest.update(piece)
    return digest.hexdigest()


@pytest.fixture(scope="module")
def wanted(bulk_size):
    return digest_of(bulk_size)


def read_digest(read, size):
    digest, left = hashlib.blake2b(), size
    while left:
        data = read(min(left, 1 << 20))
        if not data:
            break
        digest.update(data)
        left -= len(data)
    return digest.hexdigest(), size - left


class Memory:
    """The growth of the proxy's resident memory, sampled while a transfer runs."""

    def __init__(self, proxy):
        self.proxy, self.before, self.most = proxy, proxy.rss(), 0

    def sample(self):
        self.most = max(self.most, self.proxy.rss() - self.before)

    def check(self, sanitized):
        # A sanitizer's quarantine and shadow grow with every allocation.
        assert sanitized or self.most < MEMORY, f"{self.most >> 20} MiB more than before"


def policy(port, **more):
    return policy_of(agent=[{"host": HOST, "ports": [port], **more}], addresses=[loopback()])


@pytest.fixture
def sender(request, bulk_size):
    """An origin that sends the bulk as soon as it is spoken to."""
    def make(context=None):
        def send(connection):
            connection.read(1)
            for piece in pieces(bulk_size):
                connection.write(piece)
        server = Origin(send, context)
        request.addfinalizer(server.close)
        return server
    return make


@pytest.fixture
def taker(request, bulk_size):
    """An origin that answers the bulk with its digest."""
    def make(context=None):
        def take(connection):
            found, count = read_digest(connection.sock.recv, bulk_size)
            connection.write(f"{found} {count}".encode())
        server = Origin(take, context)
        request.addfinalizer(server.close)
        return server
    return make


@pytest.mark.parametrize("tls", [False, True])
def test_download_through_a_tunnel(exeat, ca, sender, bulk_size, wanted, sanitized, tls):
    server = sender(ca.server_context(HOST) if tls else None)
    proxy = exeat(policy(server.port, **({} if tls else {"tls": "any"})))
    memory = Memory(proxy)
    with proxy.client(timeout=300) as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        if tls:
            client.start_tls(ca.client_context(), HOST)
        client.send(b"g")

        def read(limit, count=[0]):
            count[0] += 1
            if count[0] % 256 == 0:
                memory.sample()
            return client.sock.recv(limit)
        assert read_digest(read, bulk_size) == (wanted, bulk_size)
    memory.check(sanitized)
    if not tls:
        assert proxy.logged(event="close")["bytes_down"] == bulk_size


@pytest.mark.parametrize("tls", [False, True])
def test_upload_through_a_tunnel(exeat, ca, taker, bulk_size, wanted, sanitized, tls):
    server = taker(ca.server_context(HOST) if tls else None)
    proxy = exeat(policy(server.port, **({} if tls else {"tls": "any"})))
    memory = Memory(proxy)
    with proxy.client(timeout=300) as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        if tls:
            client.start_tls(ca.client_context(), HOST)
        for number, piece in enumerate(pieces(bulk_size)):
            client.sock.sendall(piece)
            if number % 32 == 0:
                memory.sample()
        assert client.sock.recv(1000).decode() == f"{wanted} {bulk_size}"
    memory.check(sanitized)


@pytest.mark.parametrize("chunked", [False, True])
def test_plain_http_streams_in_bounded_memory(exeat, bulk_size, wanted, sanitized, chunked, request):
    def both(connection):
        """Reads the upload (framed as the client framed it), answers its digest, then a download of the same."""
        head = connection.read_until(b"\r\n\r\n")
        assert (b"chunked" in head.lower()) == chunked
        digest, left = hashlib.blake2b(), 0
        if chunked:
            while left := int(connection.read_until(b"\r\n").split(b";")[0], 16):
                digest.update(connection.read_exactly(left))
                connection.read_exactly(2)
                connection.received.clear()
            connection.read_until(b"\r\n")
        else:
            left = bulk_size
            while left:
                data = connection.read(min(left, 1 << 16))
                digest.update(data)
                left -= len(data)
                connection.received.clear()
        frame = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {bulk_size}"
        connection.write(f"HTTP/1.1 200 OK\r\n{frame}\r\nX-Digest: {digest.hexdigest()}\r\n\r\n".encode())
        for piece in pieces(bulk_size):
            connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        connection.write(b"0\r\n\r\n" if chunked else b"")
    server = Origin(both)
    request.addfinalizer(server.close)
    proxy = exeat(policy(server.port))
    memory = Memory(proxy)
    with proxy.client(timeout=300) as client:
        frame = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {bulk_size}"
        client.send(f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n{frame}\r\n\r\n")
        for number, piece in enumerate(pieces(bulk_size)):
            client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if number % 32 == 0:
                memory.sample()
        client.send(b"0\r\n\r\n" if chunked else b"")
        head = client.read_until(b"\r\n\r\n").decode()
        assert head.startswith("HTTP/1.1 200") and f"X-Digest: {wanted}" in head
        if chunked:
            digest = hashlib.blake2b()
            while size := int(client.read_until(b"\r\n").split(b";")[0], 16):
                digest.update(client.read_exactly(size))
                client.read_exactly(2)
                memory.sample()
            assert digest.hexdigest() == wanted
        else:
            assert read_digest(client.recv, bulk_size) == (wanted, bulk_size)
            memory.sample()
    memory.check(sanitized)


def test_many_tunnels_at_once(exeat, origin):
    """Two hundred tunnels with data in flight in both directions, each with its own octets back."""
    server = origin(echo)
    proxy = exeat(policy(server.port, tls="any"))
    clients = []
    for number in range(200):
        client = proxy.client(timeout=300)
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(number.to_bytes(4, "big") * 2500)
        clients.append(client)
    assert proxy.metric("exeat_active_tunnels", phase="agent") == 200
    for number, client in enumerate(clients):
        assert client.read_exactly(10_000) == number.to_bytes(4, "big") * 2500
        client.close()
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
