"""A DNS server that answers as it is told, rightly or wrongly, and remembers what it was asked."""
import dataclasses
import ipaddress
import socket
import socketserver
import struct
import threading

A, CNAME, SOA, PTR, TXT, AAAA = 1, 5, 6, 12, 16, 28
NXDOMAIN, SERVFAIL, REFUSED = "NXDOMAIN", "SERVFAIL", "REFUSED"
SILENT = "SILENT"
_RCODES = {NXDOMAIN: 3, SERVFAIL: 2, REFUSED: 5}


def _encode(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split(".")) + b"\0"


def _question(packet):
    labels, at = [], 12
    while packet[at]:
        labels.append(packet[at + 1:at + 1 + packet[at]].decode("ascii", "replace"))
        at += 1 + packet[at]
    kind = struct.unpack("!H", packet[at + 1:at + 3])[0]
    return ".".join(labels).lower(), kind, packet[12:at + 5]


def resource(owner, kind, data, ttl=60):
    """One record of an answer."""
    return _encode(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def address(owner, text, ttl=60):
    """An A or AAAA record."""
    parsed = ipaddress.ip_address(text)
    return resource(owner, A if parsed.version == 4 else AAAA, parsed.packed, ttl)


def alias(owner, target, ttl=60):
    """A CNAME record."""
    return resource(owner, CNAME, _encode(target), ttl)


@dataclasses.dataclass
class Query:
    """A question as it came; `count` is how often the same name and type had been asked for before."""
    name: str
    kind: int
    id: int
    question: bytes
    over_tcp: bool
    count: int

    def reply(self, records=(), rcode=0, truncated=False, id=None):
        """A message with these records, each of them octets, as the answer to this question."""
        flags = 0x8180 | (0x0200 if truncated else 0) | rcode
        head = struct.pack("!HHHHHH", self.id if id is None else id, flags, 1, len(records), 0, 0)
        return head + self.question + b"".join(records)


# What a record may be besides a list of addresses, "CNAME name" and one of the words above: a function of the query
# that returns any of these, or the octets of a message, or several messages in a list. -----------------------------

def by_turns(*steps):
    """The first for the first question of each type, and so on; the last one stays."""
    return lambda query: steps[min(query.count, len(steps) - 1)]


def by_family(v4, v6):
    """One record for A, another for AAAA."""
    return lambda query: v4 if query.kind == A else v6


def records(*lines, rcode=0):
    """These records, whatever was asked; functions among them take the query."""
    return lambda query: query.reply([line(query) if callable(line) else line for line in lines], rcode)


def truncated(then):
    """Nothing but the TC bit over UDP, `then` over TCP."""
    return lambda query: then if query.over_tcp else query.reply(truncated=True)


def held(event, then):
    """The answer waits for the event."""
    def wait(_query):
        event.wait(60)
        return then
    return wait


class DnsServer:
    """`records` maps a name to a list of addresses, to "CNAME name", to one of the words above, or to a function.

    A name that is not in the table does not exist. `queries` holds (name, type) in the order of arrival.
    """

    def __init__(self, records=None, ttl=60, host="127.0.0.1", port=0):
        self.records = dict(records or {})
        self.ttl = ttl
        self.queries = []
        self.ids, self.sources = [], []  # of the same queries: message id, and address and port of who asked
        self._lock = threading.Lock()
        server = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                packet, sock = self.request
                for message in server.answers(packet, False, self.client_address):
                    sock.sendto(message, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                while len(head := self.request.recv(2, socket.MSG_WAITALL)) == 2:
                    packet = self.request.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                    for message in server.answers(packet, True, self.client_address):
                        self.request.sendall(struct.pack("!H", len(message)) + message)

        for _ in range(20):  # UDP and TCP on one number
            self._udp = socketserver.ThreadingUDPServer((host, port), Udp)
            self._host, self.port = self._udp.server_address
            try:
                self._tcp = socketserver.ThreadingTCPServer((host, self.port), Tcp)
                break
            except OSError:
                self._udp.server_close()
        else:
            raise RuntimeError("no port free for both UDP and TCP")
        for one in (self._udp, self._tcp):
            one.daemon_threads = True
            threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self):
        return f"{self._host}:{self.port}"

    def asked(self, name):
        """How often the name was asked for, whatever the type."""
        return sum(1 for query, _ in list(self.queries) if query == name)

    def answers(self, packet, over_tcp, source):
        """The messages to send back."""
        name, kind, question = _question(packet)
        number = struct.unpack("!H", packet[:2])[0]
        with self._lock:
            count = self.queries.count((name, kind))
            self.queries.append((name, kind))
            self.ids.append(number)
            self.sources.append(source)
        query = Query(name, kind, number, question, over_tcp, count)
        return self._messages(query, self.records.get(name, NXDOMAIN))

    def _messages(self, query, record):
        while callable(record):
            record = record(query)
        if record is None or record == SILENT:
            return []
        if isinstance(record, bytes):
            return [record]
        if isinstance(record, list) and record and isinstance(record[0], bytes):
            return record
        rcode, found = _RCODES.get(record, 0) if isinstance(record, str) else 0, []
        owner = query.name
        while isinstance(record, str) and record.startswith("CNAME "):
            target = record.split(" ", 1)[1]
            found.append(alias(owner, target, self.ttl))
            if len(found) > 16:
                break  # a loop: as far as it goes
            owner, record = target, self.records.get(target, [])
        if isinstance(record, list):
            found += [address(owner, text, self.ttl) for text in record
                      if query.kind == (A if ipaddress.ip_address(text).version == 4 else AAAA)]
        return [query.reply(found, rcode)]

    def close(self):
        for one in (self._udp, self._tcp):
            one.shutdown()
            one.server_close()
