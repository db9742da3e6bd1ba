"""A forward proxy whose every word a test may choose: CONNECT and absolute form, with a credential, over TLS."""
import base64
import select
import socket
import ssl

from .origin import Connection, Origin, Request


def end(sock):
    """No octet more from this side: close_notify where it is TLS (which waits for the other's), else FIN."""
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.unwrap()
        else:
            sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def relay(client, origin, seen):
    """Both ways until both have ended, on one thread: two may not use one TLS connection at a time."""
    open_ways = {client: origin, origin: client}
    while open_ways:
        ready = [s for s in open_ways if isinstance(s, ssl.SSLSocket) and s.pending()]
        ready = ready or select.select(list(open_ways), [], [], 60)[0]
        if not ready:
            return
        for source in ready:
            data = source.recv(65536)
            if source is client:
                seen += data
            if data:
                open_ways[source].sendall(data)
                continue
            target = open_ways.pop(source)
            if not (isinstance(target, ssl.SSLSocket) and target in open_ways):
                end(target)
            else:  # its close_notify is answered when it comes
                return end(target)


class Upstream:
    """`connects` and `requests` hold what it was asked for; `heads` every head, whole.

    `names` is its own idea of names. `credential` ("user:password") is asked for where it is set. `answer(head)`,
    where it is set and gives octets, is what it says instead of doing its work; the connection ends then, unless they
    are a 1xx, in which case the work follows. `before` goes in front of the octets of a tunnel.
    """

    def __init__(self, context=None, credential=None, names=None, answer=None, before=b"", established=None,
                 address=None):
        self.connects, self.requests, self.heads = [], [], []
        self.credential, self.names, self.answer, self.before = credential, names or {}, answer, before
        self.established = established or b"HTTP/1.1 200 Connection established\r\n\r\n"
        self._server = Origin(self._serve, context, address=address)
        self.port = self._server.port

    @property
    def connections(self):
        return self._server.connections

    @property
    def received(self):
        return self._server.received

    def close(self):
        self._server.close()

    def _serve(self, connection):
        while True:
            head = connection.read_until(b"\r\n\r\n")
            if not head.endswith(b"\r\n\r\n"):
                return
            self.heads.append(head)
            method, target = head.decode("latin-1").split(" ")[:2]
            (self.connects if method == "CONNECT" else self.requests).append(target)
            if self.answer is not None and (said := self.answer(head)) is not None:
                connection.write(said)
                if not said.startswith(b"HTTP/1.1 1"):
                    return
            if self.credential is not None:
                wanted = b"\r\nProxy-Authorization: Basic " + base64.b64encode(self.credential.encode()) + b"\r\n"
                if wanted not in head:
                    connection.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                                     b'Proxy-Authenticate: Basic realm="corp"\r\nContent-Length: 0\r\n\r\n')
                    continue
            if method == "CONNECT":
                return self._tunnel(connection, target)
            if not self._forward(connection, head, target):
                return

    def _reach(self, authority):
        host, _, port = authority.rpartition(":")
        host = host.strip("[]")
        return socket.create_connection((self.names.get(host, host), int(port)), 20)

    def _tunnel(self, connection, target):
        try:
            origin = self._reach(target)
        except OSError:
            connection.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            return
        with origin:
            connection.write(self.established + self.before)
            if connection._unread:
                origin.sendall(connection._unread)
            relay(connection.sock, origin, connection.received)

    def _forward(self, connection, head, target):
        """One request, one connection to the origin, whose answers have a Content-Length."""
        request = Request(head, connection)
        authority, _, path = target.removeprefix("http://").partition("/")
        lines = [f"{request.method} /{path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in request.raw_fields
                  if not name.lower().startswith("proxy-") and name.lower() != "transfer-encoding"]
        if "transfer-encoding" in request.fields:
            lines.append(f"Content-Length: {len(request.body)}")
        with self._reach(authority if authority.rsplit("]")[-1].count(":") else authority + ":80") as origin:
            origin.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + request.body)
            answer = Connection(origin)
            head = answer.read_until(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            connection.write(head + answer.read_exactly(length))
        return True
