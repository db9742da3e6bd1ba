"""Plays the cases of tests/conformance: all of them at one proxy and one recording origin, many at a time; then judges what
each side really received. Silence is never waited for: it shows in a request that follows, in the end of the connection, in
the origin's record and in the log."""
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

from conformance import hello, notation as n

from .dns import DnsServer
from .proxy import Exeat, loopback, policy_of
from .recorder import (PATIENCE, Malformed, Message, Recorder, Stream, answer_ok, answer_with, serve_requests, serve_tunnel)

DOMAINS = ("corp", "any", "ech")
MARKER = "GET http://origin.corp.example:10080/marker HTTP/1.1\r\nHost: origin.corp.example:10080\r\nConnection: close\r\n\r\n"
NAME = re.compile(r"c([0-9]{5})\.(?:%s)\.example$" % "|".join(DOMAINS))


def octets(text, number, port, address=False):
    """The octets of the table with a case's own name and the port, and its address where a target may be one."""
    def name(found):
        return ("c" if found[0][0] == "o" else "C") + f"{number:05d}"
    text = re.sub(r"(?i)origin(?=\.(?:%s)\b)" % "|".join(DOMAINS), name, text)
    text = re.sub(r"(?<![0-9])10080(?![0-9])", str(port), text)
    if address:
        text = text.replace("127.1.0.0", Recorder.address(number))
    return text.encode("latin-1")


class Names(dict):
    """Every case's name leads to its own address."""

    def get(self, name, default=None):
        found = NAME.search(name)
        return [Recorder.address(int(found[1]))] if found else default


class Played:
    """What came of a case on the client's side."""

    def __init__(self):
        self.got = b""
        self.rest = b""       # what a second connection got, where the first one had ended
        self.end = None       # fin, rst
        self.fault = None


class Stage:
    """`change(number, octets)` may alter what a request case sends, the answer of a response case, or the inside of a
    tunnel."""

    def __init__(self, cases, change=None):
        self.cases = cases
        self.change = change or (lambda number, data: data)
        self.go = [threading.Event() for _ in cases]
        self.origin = Recorder([self._act(number, case) for number, case in enumerate(cases)])
        self.dns = DnsServer()
        self.dns.records = Names()
        port = self.origin.port
        rules = [{"host": "**.corp.example", "ports": [port]}, {"cidr": "127.1.0.0/16", "ports": [port]},
                 {"host": "**.any.example", "ports": [port], "tls": "any"},
                 {"host": "**.ech.example", "ports": [port], "ech": "allow"}]
        hosts = [f"**.{domain}.example" for domain in DOMAINS]
        self.proxy = Exeat(policy_of(agent=rules, addresses=[loopback(*hosts, cidr="127.1.0.0/16"), {
            "cidr": "127.1.0.0/16", "literal": True, "reason": "test origin"}]), dns=self.dns.address, settings={
                "via": "gate", "workers": 1, "limits": {"upstream_idle": 100000}})

    def play(self):
        """All cases; then the proxy ends, so that everything is written."""
        self.proxy.start()
        try:
            with ThreadPoolExecutor(16) as pool:
                self.played = list(pool.map(self._play, range(len(self.cases))))
        finally:
            self.proxy.stop()
            self.origin.close()
            self.dns.close()
        self.log = {}
        self.hosts = {}
        for record in self.proxy.log():
            if record["event"] in ("decision", "close"):
                self.log.setdefault(record["decision"], []).append(record)
                if found := NAME.search(record.get("host", "")):
                    self.hosts.setdefault(int(found[1]), []).append(record)
                elif record.get("host", "").startswith("127.1."):
                    third, fourth = map(int, record["host"].split(".")[2:])
                    self.hosts.setdefault(third << 8 | fourth, []).append(record)
        self.asked = {int(found[1]) for name, _ in self.dns.queries if (found := NAME.search(name))}
        self.foreign = {name for name, _ in self.dns.queries if not NAME.search(name)}

    def _act(self, number, case):
        if isinstance(case, n.RequestCase):
            return serve_requests(answer_ok)

        def act(sock, visit):  # the port is known only now
            def own(text):
                return None if text is None else octets(text, number, self.origin.port)
            if isinstance(case, n.ResponseCase):
                first = self.change(number, own(case.answer))
                return answer_with(first, own(case.then), self.go[number], case.after)(sock, visit)
            wanted = len(self.inside(number)) if isinstance(case.outcome, n.Tunnel) else 0
            return serve_tunnel(own(case.banner), wanted)(sock, visit)
        return act

    def inside(self, number):
        case = self.cases[number]
        out = octets(case.inside, number, self.origin.port)
        out = hello.records(out.decode("latin-1"), case.records).encode("latin-1") if case.records else out
        return self.change(number, out)

    def _connect(self):
        sock = socket.create_connection(("127.0.0.1", self.proxy.ports["agent"]), PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _play(self, number):
        case, out = self.cases[number], Played()
        try:
            with self._connect() as sock:
                stream = Stream(sock)
                try:
                    if isinstance(case, n.TunnelCase):
                        self._play_tunnel(number, case, stream)
                    else:
                        self._play_http(number, case, stream)
                    out.end = "fin"
                except ConnectionResetError:
                    out.end = "rst"
                out.got = stream.seen
            if isinstance(case, n.ResponseCase) and case.ends:
                with self._connect() as sock:
                    self._send(sock, octets(MARKER, number, self.origin.port), 0)
                    out.rest = Stream(sock).rest()
        except (OSError, Malformed) as error:
            out.fault = repr(error)
        return out

    @staticmethod
    def _send(sock, data, cut):
        """A proxy that has said no need not read the rest."""
        try:
            for at in range(0, len(data), cut or len(data) or 1):
                sock.sendall(data[at:at + (cut or len(data))])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _play_http(self, number, case, stream):
        port, sock = self.origin.port, stream.sock
        marker = octets(MARKER, number, port)
        if isinstance(case, n.RequestCase):
            self._send(sock, self.change(number, octets(case.send, number, port, address=True)), case.cut)
            if case.finish:
                sock.shutdown(socket.SHUT_WR)
            else:
                self._send(sock, marker, 0)
        else:
            self._send(sock, octets(case.request, number, port) + marker, 0)
            if case.then is not None:
                stream.until(b"\r\n\r\n")
                self.go[number].set()
        while stream.more():
            pass

    def _play_tunnel(self, number, case, stream):
        port, sock = self.origin.port, stream.sock
        inside = self.inside(number)
        connect = octets(case.send, number, port, address=True)
        self._send(sock, connect + (inside if case.early else b""), case.cut if case.early else 0)
        stream.until(b"\r\n\r\n")
        if case.banner:
            stream.exactly(len(case.banner))
        if not case.early:
            self._send(sock, inside, case.cut)
        if case.finish:
            sock.shutdown(socket.SHUT_WR)
        if isinstance(case.outcome, n.Tunnel):
            stream.exactly(len(b"tunnel-ok"))
        else:
            while stream.more():
                pass


HEAD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Z-]{1,32} (\*|/[!-~]*) HTTP/1\.1\r\nHost: ([a-z0-9_.-]+)(:[0-9]+)?\r\n((?:[^\r\n\0]+\r\n)*)\r\n")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): [\t\x20-\x7e\x80-\xff]*")
NEVER = re.compile(rb"(?i)(proxy(-.*)?|exeat-.*|keep-alive|te|http2-settings)$")


def unsound(stage, number):
    """What is wrong with what the origin got of a case that nobody has foreseen: each request is one sound request, to its own
    name, and the log has a decision that let it through."""
    faults, requests = [], 0
    for visit in stage.origin.visits[number]:
        faults += [fault for fault in (visit.fault, visit.surplus) if fault]
        requests += len(visit.requests)
        for request in visit.requests:
            head = HEAD.fullmatch(request.head)
            if not head or not NAME.search(head[2].decode()):
                faults.append(request.head)
                continue
            names = [FIELD.fullmatch(line) for line in head[4].split(b"\r\n")[:-1]]
            if not all(names):
                faults.append(request.head)
                continue
            names = [name[1].lower() for name in names]
            framing = [name for name in names if name in (b"content-length", b"transfer-encoding")]
            if len(framing) > 1 or b"host" in names or any(NEVER.match(name) for name in names):
                faults.append(request.head)
    let_through = [r for r in stage.hosts.get(number, []) if r["event"] == "decision" and r.get("bytes_up")]
    if len(let_through) != requests:
        faults.append(f"{requests} requests at the origin, {len(let_through)} in the log")
    return faults


ANSWER = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2}) [\t\x20-\x7e\x80-\xff]*\r\n((?:[^\r\n\0]+\r\n)*)\r\n")


def unsound_answer(stage, number):
    """What is wrong with what the client got: sound answers to its two requests, the second one the marker's; the first one may
    be cut short, by a reset. `Proxy-Authenticate` is no origin's to send."""
    played, case = stage.played[number], stage.cases[number]
    if played.fault:
        return [played.fault]
    stream, finals = Stream(data=played.got), []
    while stream.data:
        text = stream.until(b"\r\n\r\n")
        head = ANSWER.fullmatch(text)
        names = [FIELD.fullmatch(line) for line in head[2].split(b"\r\n")[:-1]] if head else []
        if not head or not all(names):
            # Of what was cut by a reset the last line may be cut, too.
            return [] if played.end == "rst" and not text.endswith(b"\r\n\r\n") else [text]
        names = [name[1].lower() for name in names]
        status = int(head[1])
        if sum(name in (b"content-length", b"transfer-encoding") for name in names) > 1 or b"proxy-authenticate" in names:
            return [text]
        if status < 200:
            continue
        answer = Message(text)
        bodiless = status in (204, 304) or (case.request.startswith("HEAD ") and not finals)
        try:
            if not answer.read_body(stream, not bodiless):
                return [] if played.end == "rst" and not finals else [text, "cut short by", played.end]
        except Malformed as error:
            return [str(error)]
        finals.append(answer)
    if len(finals) > 2:
        return ["more answers than requests", played.got]
    if len(finals) == 2:
        return [] if finals[1].body == b"marker" else ["another answer than the marker's", finals[1].head, finals[1].body]
    # One answer alone: the connection has ended behind it.
    return [] if played.end == "rst" else ["no answer to the marker", played.got]


class Judge:
    """judge(stage, number) -> sentences about what is not as the table says."""

    def __init__(self, stage, number):
        self.stage, self.number = stage, number
        self.case, self.played = stage.cases[number], stage.played[number]
        self.visits = stage.origin.visits[number]
        self.faults = []

    def check(self, good, *words):
        if not good:
            self.faults.append(" ".join(word if isinstance(word, str) else repr(word) for word in words))
        return good

    def own(self, text):
        return octets(text, self.number, self.stage.origin.port, address=True)

    def run(self):
        self.check(self.played.fault is None, "the client:", self.played.fault)
        for visit in self.visits:
            self.check(visit.fault is None, "the origin:", visit.fault)
            self.check(visit.surplus == b"", "the origin got what is no request:", visit.surplus)
        if not self.faults:
            {n.RequestCase: self.request, n.ResponseCase: self.response, n.TunnelCase: self.tunnel}[type(self.case)]()
        return self.faults

    # What the proxy says itself

    def refusal(self, answer, code, status):
        line = answer.line.decode("latin-1")
        if not self.check(re.fullmatch(rf"HTTP/1\.[01] {status} [a-z-]+ {code}", line), f"wanted {status} {code}, got", line):
            return
        found = re.search(rb"\r\nExeat-Decision: (\S+)\r\n", answer.head)
        records = self.stage.log.get(found[1].decode(), []) if self.check(found, "a refusal without a decision id") else []
        self.check([r for r in records if r["reason"] == code], "the log does not say", code, "but", records)
        self.check(not [r for r in records if r["verdict"] == "allow" and r["event"] == "decision" and r["reason"] != "allowed"],
                   "allowed with a reason", records)

    def answers(self, heads):
        """The client's octets as answers; `heads`: for each whether it is one to HEAD or has no body."""
        stream, out = Stream(data=self.played.got), []
        for bodiless in heads:
            head = stream.until(b"\r\n\r\n")
            if not self.check(head.endswith(b"\r\n\r\n"), "too few answers; left:", head):
                return out, b""
            answer = Message(head)
            closes = b"\r\nConnection: close\r\n" in head and b"\r\nContent-Length:" not in head
            try:
                answer.read_body(stream, not bodiless, closes)
            except Malformed as error:
                self.check(False, "the client got what is no answer:", str(error))
                return out, b""
            out.append(answer)
        return out, stream.data

    def marker(self, rest, lives):
        """Behind everything: the answer to the marker, or nothing."""
        if lives:
            self.check(rest.endswith(b"\r\n\r\nmarker") and rest.count(b"HTTP/1.1 200 OK") == 1, "the connection does not go on:", rest)
        else:
            self.check(rest == b"", "something behind the end:", rest)

    # Requests

    def request(self):
        case = self.case
        lives = not case.ends and not case.finish
        wanted = [o for o in case.outcomes if not (getattr(o, "status", 0) is None or getattr(o, "answered", True) is False)]
        answers, rest = self.answers([case.send.startswith("HEAD ") or isinstance(o, n.Own) for o in wanted])
        if self.faults:
            return
        for outcome, answer in zip(wanted, answers):
            last = outcome is wanted[-1] and case.ends
            if isinstance(outcome, (n.Refused, n.Broken)):
                self.refusal(answer, outcome.code, outcome.status)
            elif isinstance(outcome, n.Own):
                self.check(answer.line.startswith(f"HTTP/1.1 {outcome.status} ".encode()), "answered", answer.line)
            else:
                self.check(answer.line == b"HTTP/1.1 200 OK" and answer.body == b"ok", "answered", answer.line, answer.body)
            self.check((b"\r\nConnection: close\r\n" in answer.head) == last, "Connection: close is not as it should be:", answer.head)
        self.marker(rest, lives)
        self.silent(case.outcomes)
        self.arrived([o for o in case.outcomes if isinstance(o, (n.Onward, n.Broken))], lives)

    def silent(self, outcomes):
        """What nobody is told stands in the log."""
        for outcome in outcomes:
            if getattr(outcome, "answered", True) is False:
                self.check([r for r in self.stage.hosts.get(self.number, []) if r["reason"] == outcome.code], "not in the log:", outcome.code)

    def arrived(self, wanted, lives):
        """What the origin got, over all its connections."""
        got = [request for visit in self.visits for request in visit.requests]
        names = self.number in self.stage.asked
        if lives:
            if self.check(got and got[-1].line == b"GET /marker HTTP/1.1", "no marker at the origin:", [r.line for r in got]):
                got.pop()
        else:
            self.check(names == bool(wanted), "looked up:", names)
            self.check(bool(self.visits) == bool(wanted), "dialled:", len(self.visits), "times")
        if not self.check(len(got) == len(wanted), "the origin got", [r.line for r in got]):
            return
        for request, outcome in zip(got, wanted):
            broken = isinstance(outcome, n.Broken)
            onward = outcome.onward if broken else outcome
            self.check(request.head == self.own(onward.head), "the origin got", request.head, "wanted", self.own(onward.head))
            body = self.own(onward.body)
            if broken:
                self.check(not request.whole, "the origin takes it for a whole request:", request.body)
                self.check(body.startswith(request.body), "the origin got the body", request.body)
            else:
                self.check(request.whole and request.body == body, "the origin got the body", request.body)
                self.check(request.trailers == self.own(onward.trailers), "the origin got the trailers", request.trailers)
        if wanted and isinstance(wanted[-1], n.Broken):
            self.check(self.visits[-1].end == "rst", "the origin's connection ended by", self.visits[-1].end)

    # Responses

    def response(self):
        case, outcome = self.case, self.case.outcome
        asked_head = case.request.startswith("HEAD ")
        aborted = isinstance(outcome, n.Aborted)
        interim = list(getattr(outcome, "interim", ()))
        bodiless = isinstance(outcome, n.Relayed) and (asked_head or outcome.framing == "none")
        answers, rest = self.answers([True] * len(interim) + [bodiless or (asked_head and not aborted)])
        if self.faults:
            return
        for head, answer in zip(interim, answers):
            self.check(answer.head == self.own(head), "the client got", answer.head, "wanted", self.own(head))
        answer = answers[-1]
        if isinstance(outcome, n.BadGateway):
            self.refusal(answer, outcome.code, outcome.status)
        else:
            self.check(answer.head == self.own(outcome.head), "the client got", answer.head, "wanted", self.own(outcome.head))
            body = self.own(outcome.body)
        if isinstance(outcome, n.Relayed):
            self.check(answer.whole and answer.body == body, "the client got the body", answer.body)
            self.check(answer.trailers == self.own(outcome.trailers), "the client got the trailers", answer.trailers)
        if aborted:
            self.check(body.startswith(answer.body), "the client got the body", answer.body)
            self.check(outcome.framing == "close" or not answer.whole, "the client takes it for a whole answer")
            self.check(self.played.end == "rst", "the client's connection ended by", self.played.end)
            self.check([r for r in self.stage.hosts.get(self.number, []) if r["reason"] == outcome.code], "not in the log:", outcome.code)
        else:
            self.check(self.played.end == "fin", "the client's connection ended by", self.played.end)
        self.marker(rest, not case.ends)
        if case.ends:
            self.marker(self.played.rest, True)
        self.kept()

    def kept(self):
        got = [(index, request.line) for index, visit in enumerate(self.visits) for request in visit.requests]
        if not self.check(len(got) == 2 and got[1][1] == b"GET /marker HTTP/1.1", "the origin got", got) or self.case.kept is None:
            return
        self.check((got[1][0] == 0) == self.case.kept, "the origin's connection was", "kept" if got[1][0] == 0 else "not kept")

    # Tunnels

    def tunnel(self):
        outcome, got = self.case.outcome, self.played.got
        head, _, inside = got.partition(b"\r\n\r\n")
        if not self.check(re.match(rb"HTTP/1\.1 200 ", head) and not re.search(rb"(?i)content-length|transfer-encoding", head), "answered", head):
            return
        found = re.search(rb"\r\nExeat-Decision: (\S+)", head)
        records = self.stage.log.get(found[1].decode(), []) if self.check(found, "a 200 without a decision id") else []
        self.check([r for r in records if r["event"] == "decision" and r["verdict"] == "allow"], "not allowed in the log:", records)
        ends = [r for r in records if r["event"] == "close"]
        if not self.check(len(ends) == 1 and len(self.visits) == 1, "ends in the log:", ends, "dials:", len(self.visits)):
            return
        arrived = self.visits[0].octets
        if isinstance(outcome, n.Cut):
            self.check(arrived == b"", "the origin got", arrived)
            self.check(ends[0]["reason"] == outcome.code and ends[0]["verdict"] == "deny", "the log says", ends[0])
            self.check(outcome.code != "sni-mismatch" or ends[0].get("sni"), "no server name in the log:", ends[0])
            self.check(self.played.end == "fin", "the client's connection ended by", self.played.end)
            if outcome.http:
                self.check(re.match(rb"HTTP/1\.1 403 egress-denied not-tls\r\n", inside), "the client got", inside)
            else:
                self.check(inside == (b"" if outcome.alert is None else bytes([0x15, 3, 3, 0, 2, 2, outcome.alert])), "the client got", inside)
            return
        self.check(arrived == self.stage.inside(self.number), "the origin got", arrived)
        self.check(inside == self.own(self.case.banner) + b"tunnel-ok", "the client got", inside)
        self.check(ends[0]["reason"] == "allowed", "the log says", ends[0])
        for field, value in (("sni", outcome.sni), ("alpn", outcome.alpn), ("tls", outcome.version)):
            value = None if value is None else self.own(value).decode("latin-1")
            self.check(ends[0].get(field) == value, f"{field} in the log:", ends[0].get(field))
