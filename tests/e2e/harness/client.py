"""A raw client of the proxy: what goes over the wire is what the test writes."""
import contextlib
import ctypes
import socket
import ssl
import struct
import time


class Answer:
    """A parsed response head and, where it was asked for, the body."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        self.version, self.status = parts[0], int(parts[1])
        self.reason = parts[2] if len(parts) > 2 else ""
        self.raw_fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        self.fields = {name.lower(): value for name, value in self.raw_fields}
        self.body = b""


@contextlib.contextmanager
def fs_uid(uid):
    """Sockets that this thread makes meanwhile belong to `uid` (None: to whom we are); needs root."""
    if uid is None:
        yield
        return
    libc = ctypes.CDLL(None)
    before = libc.setfsuid(uid)
    assert libc.setfsuid(-1) == uid, "not allowed to become another user"
    try:
        yield
    finally:
        libc.setfsuid(before)


class Client:
    """One connection to a listener of the proxy."""

    def __init__(self, address, timeout=60, uid=None):
        with fs_uid(uid):
            if isinstance(address, str):
                self.sock = socket.socket(socket.AF_UNIX)
                self.sock.settimeout(timeout)
                self.sock.connect(address)
            else:
                self.sock = socket.create_connection(address, timeout)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)

    def recv(self, limit=65536):
        if self.buffer:
            data, self.buffer = self.buffer[:limit], self.buffer[limit:]
            return data
        return self.sock.recv(limit)

    def read_until(self, mark):
        while mark not in self.buffer:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(f"closed after {self.buffer!r}")
            self.buffer += more
        at = self.buffer.index(mark) + len(mark)
        data, self.buffer = self.buffer[:at], self.buffer[at:]
        return data

    def read_exactly(self, count):
        data = bytearray()
        while len(data) < count:
            more = self.recv(min(1 << 20, count - len(data)))
            if not more:
                raise EOFError(f"closed after {len(data)} of {count} octets")
            data += more
        return bytes(data)

    def read_all(self):
        """To the end; a reset counts as the end."""
        data = bytearray()
        try:
            while more := self.recv():
                data += more
        except ConnectionResetError:
            pass
        return bytes(data)

    def answer(self, head_request=False, interim=False):
        """The next response with its body; interim responses (1xx) are passed over unless wanted."""
        while True:
            answer = Answer(self.read_until(b"\r\n\r\n"))
            if not (100 <= answer.status < 200 and answer.status != 101) or interim:
                break
        if head_request or answer.status in (101, 204, 304) or answer.status < 200:
            return answer
        if answer.fields.get("transfer-encoding", "").lower() == "chunked":
            answer.body, answer.trailers = self._chunks()
        elif "content-length" in answer.fields:
            answer.body = self.read_exactly(int(answer.fields["content-length"]))
        else:
            answer.body = self.read_all()
        return answer

    def _chunks(self):
        body = bytearray()
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                trailers = []
                while (line := self.read_until(b"\r\n")) != b"\r\n":
                    trailers.append(line.strip().decode())
                return bytes(body), trailers
            body += self.read_exactly(size)
            self.read_exactly(2)

    def connect(self, target, fields=(), behind=b""):
        """Sends a CONNECT, with `behind` right behind its head, and returns the answer's head (and the body, where
        it is a refusal)."""
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}", *fields]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + behind)
        answer = Answer(self.read_until(b"\r\n\r\n"))
        if answer.status != 200 and "content-length" in answer.fields:
            answer.body = self.read_exactly(int(answer.fields["content-length"]))
        return answer

    def get(self, url, fields=(), host=None):
        """A plain HTTP GET in absolute form on this connection."""
        host = host or url.split("/")[2]
        self.send("\r\n".join([f"GET {url} HTTP/1.1", f"Host: {host}", *fields]) + "\r\n\r\n")
        return self.answer()

    def start_tls(self, context, name):
        """TLS inside the tunnel."""
        assert not self.buffer, f"octets before the handshake: {self.buffer!r}"
        self.sock = context.wrap_socket(self.sock, server_hostname=name)
        return self

    def is_closed(self):
        """Waits for the other side to end the connection; True if it did so without sending anything more."""
        return self.read_all() == b""

    def reset(self):
        """Ends with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()


def client_hello(name, context=None):
    """The octets of a ClientHello for `name` (None: without SNI)."""
    if context is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def eventually(probe, seconds=20):
    """Asks until the answer is true, and returns it; the time only bounds a failure."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)
