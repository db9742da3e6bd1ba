"""A DNS server that answers from a table and remembers what it was asked."""
import ipaddress
import socket
import socketserver
import struct
import threading

A, CNAME, AAAA = 1, 5, 28
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


class DnsServer:
    """`records` maps a name to a list of addresses, to "CNAME name", or to one of the words above.

    A name that is not in the table does not exist. `queries` holds (name, type) in the order of arrival.
    """

    def __init__(self, records=None, ttl=60):
        self.records = dict(records or {})
        self.ttl = ttl
        self.queries = []
        server = self

        class Udp(socketserver.BaseRequestHandler):
            def handle(self):
                packet, sock = self.request
                answer = server.answer(packet)
                if answer is not None:
                    sock.sendto(answer, self.client_address)

        class Tcp(socketserver.BaseRequestHandler):
            def handle(self):
                head = self.request.recv(2, socket.MSG_WAITALL)
                if len(head) == 2:
                    packet = self.request.recv(struct.unpack("!H", head)[0], socket.MSG_WAITALL)
                    answer = server.answer(packet)
                    if answer is not None:
                        self.request.sendall(struct.pack("!H", len(answer)) + answer)

        for _ in range(20):  # UDP and TCP on one number
            self._udp = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Udp)
            self.port = self._udp.server_address[1]
            try:
                self._tcp = socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Tcp)
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
        return f"127.0.0.1:{self.port}"

    def asked(self, name):
        """How often the name was asked for, whatever the type."""
        return sum(1 for query, _ in self.queries if query == name)

    def answer(self, packet):
        name, kind, question = _question(packet)
        self.queries.append((name, kind))
        record = self.records.get(name, NXDOMAIN)
        if record == SILENT:
            return None
        rcode, answers = _RCODES.get(record, 0) if isinstance(record, str) else 0, []
        owner = name
        while isinstance(record, str) and record.startswith("CNAME "):
            target = record.split(" ", 1)[1]
            answers.append(self._resource(owner, CNAME, _encode(target)))
            owner, record = target, self.records.get(target, [])
        if isinstance(record, list):
            for text in record:
                address = ipaddress.ip_address(text)
                if kind == (A if address.version == 4 else AAAA):
                    answers.append(self._resource(owner, kind, address.packed))
        head = packet[:2] + struct.pack("!HHHHH", 0x8180 | rcode, 1, len(answers), 0, 0)
        return head + question + b"".join(answers)

    def _resource(self, owner, kind, data):
        return _encode(owner) + struct.pack("!HHIH", kind, 1, self.ttl, len(data)) + data

    def close(self):
        for one in (self._udp, self._tcp):
            one.shutdown()
            one.server_close()
