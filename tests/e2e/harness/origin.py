"""Origins: TCP servers, plain or TLS, one thread a connection, that remember the octets they were sent."""
import socket
import ssl
import threading


class Connection:
    """What a handler gets: reads are remembered in `received`."""

    def __init__(self, sock):
        self.sock = sock
        self.received = bytearray()
        self._unread = b""

    def read(self, limit=65536):
        """Up to `limit` octets; b"" at the end."""
        if self._unread:
            data, self._unread = self._unread[:limit], self._unread[limit:]
            return data
        data = self.sock.recv(limit)
        self.received += data
        return data

    def read_until(self, mark):
        data = b""
        while mark not in data:
            more = self.read()
            if not more:
                return data
            data += more
        at = data.index(mark) + len(mark)
        self._unread = data[at:] + self._unread
        return data[:at]

    def read_exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.read(min(65536, count - len(data)))
            if not more:
                break
            data += more
        return data

    def read_all(self):
        data = b""
        while more := self.read():
            data += more
        return data

    def write(self, data):
        self.sock.sendall(data)

    def finish_writing(self):
        self.sock.shutdown(socket.SHUT_WR)


class Origin:
    """`handler(connection)` runs once for each connection; `connections` holds them in the order of arrival."""

    def __init__(self, handler, context: ssl.SSLContext = None, family=socket.AF_INET, address=None):
        self._handler, self._context = handler, context
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(address or (("127.0.0.1" if family == socket.AF_INET else "::1"), 0))
        self._listener.listen(128)
        self.port = self._listener.getsockname()[1]
        self.connections = []
        self.errors = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        connection = Connection(sock)
        self.connections.append(connection)
        try:
            sock.settimeout(120)
            if self._context:
                sock = connection.sock = self._context.wrap_socket(sock, server_side=True)
            self._handler(connection)
        except Exception as error:  # pylint: disable=broad-except
            self.errors.append(error)
        finally:
            sock.close()

    @property
    def received(self):
        """All octets of all connections, TLS removed."""
        return b"".join(bytes(connection.received) for connection in self.connections)

    def close(self):
        try:
            self._listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self._listener.close()


def http_handler(respond):
    """A handler that reads HTTP/1.1 requests on one connection and writes what respond(request) gives.

    `request` has method, target, fields (lower-case names; a list of pairs in `raw_fields`) and body. `respond`
    returns octets, and the connection goes on; or None, and it ends.
    """
    def handler(connection):
        while True:
            head = connection.read_until(b"\r\n\r\n")
            if not head.endswith(b"\r\n\r\n"):
                return
            request = Request(head, connection)
            answer = respond(request)
            if answer is None:
                return
            connection.write(answer)
    return handler


class Request:
    def __init__(self, head, connection):
        self.head = head
        self.connection = connection
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        self.raw_fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if line]
        self.fields = {name.lower(): value for name, value in self.raw_fields}
        self.body = b""
        self.trailers = []
        if self.fields.get("expect", "").lower() == "100-continue":
            connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if "content-length" in self.fields:
            self.body = connection.read_exactly(int(self.fields["content-length"]))
        elif self.fields.get("transfer-encoding", "").lower() == "chunked":
            self._read_chunks(connection)

    def _read_chunks(self, connection):
        while True:
            size = int(connection.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                while (line := connection.read_until(b"\r\n")) != b"\r\n":
                    self.trailers.append(line.strip().decode())
                return
            self.body += connection.read_exactly(size)
            connection.read_exactly(2)


def response(body=b"ok\n", status="200 OK", fields=()):
    """A response with a Content-Length."""
    if isinstance(body, str):
        body = body.encode()
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def echo(connection):
    """Sends back what it is sent, until the other side has no more."""
    while data := connection.read():
        connection.write(data)
