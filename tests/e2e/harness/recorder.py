"""The origin of the conformance cases: one server on many addresses, one for each case, that reads strictly and writes down
what it really received."""
import re
import socket
import struct
import threading

MARKER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nmarker"
PATIENCE = 60


class Malformed(Exception):
    """What a strict reader does not take."""


class Stream:
    """A socket, or octets, read piece by piece."""

    def __init__(self, sock=None, data=b""):
        self.sock, self.data, self.seen = sock, data, b""

    def more(self):
        piece = self.sock.recv(65536) if self.sock else b""
        self.data += piece
        self.seen += piece
        return piece

    def until(self, mark):
        """Up to and with the mark; what there is where the end comes before."""
        while mark not in self.data:
            if not self.more():
                out, self.data = self.data, b""
                return out
        at = self.data.index(mark) + len(mark)
        out, self.data = self.data[:at], self.data[at:]
        return out

    def exactly(self, count):
        while len(self.data) < count and self.more():
            pass
        out, self.data = self.data[:count], self.data[count:]
        return out

    def rest(self):
        while self.more():
            pass
        out, self.data = self.data, b""
        return out


def read_chunks(stream, into):
    """Chunks as a strict proxy writes them; fills body and trailers of `into` as far as they come. False: cut short."""
    while True:
        line = stream.until(b"\r\n")
        if not line.endswith(b"\r\n"):
            return False
        if not re.fullmatch(rb"(0|[1-9a-f][0-9a-f]*)\r\n", line):
            raise Malformed(f"chunk size {line!r}")
        size = int(line, 16)
        if size == 0:
            while (line := stream.until(b"\r\n")) != b"\r\n":
                if not line.endswith(b"\r\n"):
                    return False
                into.trailers += line
            return True
        data = stream.exactly(size)
        into.body += data
        if len(data) < size:
            return False
        end = stream.exactly(2)
        if len(end) < 2:
            return False
        if end != b"\r\n":
            raise Malformed(f"behind a chunk {end!r}")


class Message:
    """A request or an answer: the head as it stands, and what is left without its framing."""

    def __init__(self, head):
        self.head, self.body, self.trailers, self.whole = head, b"", b"", False
        self.line = head.split(b"\r\n", 1)[0]

    def read_body(self, stream, has_body=True, to_close=False):
        if not has_body:
            self.whole = True
        elif b"\r\nTransfer-Encoding: chunked\r\n" in self.head:
            self.whole = read_chunks(stream, self)
        elif found := re.search(rb"\r\nContent-Length: ([0-9]+)\r\n", self.head):
            size = int(found[1])
            self.body = stream.exactly(size)
            self.whole = len(self.body) == size
        elif to_close:
            self.body = stream.rest()
            self.whole = True
        else:
            self.whole = True
        return self.whole


class Visit:
    """One connection to the origin."""

    def __init__(self):
        self.requests = []
        self.octets = b""       # of a tunnel
        self.surplus = b""      # what was no request
        self.end = "open"       # fin, rst
        self.fault = None


class Recorder:
    """`acts[n]` says what happens on the n-th address, 127.1.(n / 256).(n % 256); `visits[n]` what came there."""

    def __init__(self, acts):
        self.acts = acts
        self.visits = {n: [] for n in range(len(acts))}
        self._listener = socket.socket()
        # On every loopback address, and on nothing else.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        self._listener.bind(("0.0.0.0", 0))
        self.port = self._listener.getsockname()[1]
        assert self.port >= 10000, "the table counts on a port of five digits"
        self._listener.listen(512)
        self._sockets = []
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def address(n):
        return f"127.1.{n >> 8}.{n & 255}"

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        third, fourth = map(int, sock.getsockname()[0].split(".")[2:])
        n = third << 8 | fourth
        visit = Visit()
        self.visits[n].append(visit)
        try:
            sock.settimeout(PATIENCE)
            self.acts[n](sock, visit)
        except ConnectionResetError:
            visit.end = "rst"
        except Exception as error:  # pylint: disable=broad-except
            if visit.end == "open":
                visit.fault = str(error) or repr(error)
        finally:
            sock.close()

    def close(self):
        self._listener.close()
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def serve_requests(answer):
    """An act: reads requests as a strict origin does, and answers each by answer(sock, visit, request), until that says False."""
    def act(sock, visit):
        stream = Stream(sock)
        while True:
            head = stream.until(b"\r\n\r\n")
            if not head.endswith(b"\r\n\r\n"):
                visit.surplus, visit.end = head, "fin"
                return
            request = Message(head)
            visit.requests.append(request)
            if not request.read_body(stream):
                visit.end = "fin"
                return
            if not answer(sock, visit, request):
                return
    return act


def answer_ok(sock, visit, request):
    """To whatever came."""
    if request.line.startswith(b"GET /marker "):
        sock.sendall(MARKER)
    else:
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if request.line.startswith(b"HEAD ") else b"ok"))
    return True


def answer_with(first, then, go, after):
    """To the first request on the address these octets, and `then` when `go` is set; to a marker the marker."""
    def answer(sock, visit, request):
        if request.line.startswith(b"GET /marker "):
            sock.sendall(MARKER)
            return True
        if first:
            sock.sendall(first)
        if then is not None:
            if not go.wait(PATIENCE):
                raise Malformed("the client never had the head")
            sock.sendall(then)
        if after == "rst":
            visit.end = "own"
            reset(sock)
            return False
        if after == "fin":
            visit.end = "own"
            sock.shutdown(socket.SHUT_WR)
            return False
        return True
    return serve_requests(answer)


def serve_tunnel(banner, wanted):
    """Reads so many octets and answers; then waits for the end."""
    def act(sock, visit):
        if banner:
            sock.sendall(banner)
        while len(visit.octets) < wanted:
            piece = sock.recv(65536)
            if not piece:
                visit.end = "fin"
                return
            visit.octets += piece
        if wanted:
            sock.sendall(b"tunnel-ok")
        while piece := sock.recv(65536):
            visit.octets += piece
        visit.end = "fin"
    return act
