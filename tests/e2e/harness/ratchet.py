"""The parts of a proof that a seal holds: marks that are sent and marks that arrive, jobs as a model knows them,
connections of a job, and the orders that an operator or the holder of an advance secret gives."""
import base64
import dataclasses
import itertools
import json
import re
import select
import socket
import threading
import time

from .client import Answer, Client
from .proxy import free_port, loopback, policy_of

HOST, WIDE = "origin.corp.example", "other.corp.example"
UIDS = {"setup": 20001, "agent": 20002, "mcp": 20003}
PLAN = [["setup"], ["agent", "mcp"]]
MARK = re.compile(rb"mark-(\d{9});")
PATIENCE = 30  # seconds until something that must happen counts as failed


# Marks -------------------------------------------------------------------------------------------------------------

@dataclasses.dataclass
class Mark:
    """Some octets that are sent once. `forbidden`: sent when the phase had been sealed for certain."""
    number: int
    what: str
    sent: float
    forbidden: bool = False

    @property
    def octets(self):
        return b"mark-%09d;" % self.number


class Ledger:
    """All marks of a test. Any thread."""

    def __init__(self):
        self._numbers = itertools.count(1)
        self.marks = {}

    def issue(self, what, forbidden=False):
        mark = Mark(next(self._numbers), what, time.monotonic(), forbidden)
        self.marks[mark.number] = mark
        return mark


class Witness:
    """An origin that answers CONNECT tunnels and WebSockets with an echo, plain requests with 200, and remembers every
    mark in what it is sent, wherever it stands."""

    def __init__(self, make_origin):
        self.seen = {}  # by number: when
        self._open = 0
        self._lock = threading.Lock()
        self.server = make_origin(self._handle)
        self.port = self.server.port

    def saw(self, mark):
        return mark.number in self.seen

    def dials(self):
        """How often it was connected to."""
        return len(self.server.connections)

    def is_quiet(self):
        """No connection is open: what is seen is all that there will ever be."""
        return self._open == 0

    def _handle(self, connection):
        with self._lock:
            self._open += 1
        try:
            self._serve(connection)
        except OSError:
            pass  # cut, which is what the tests are about
        finally:
            with self._lock:
                self._open -= 1

    def _serve(self, connection):
        plain_read, looked = connection.read, 0

        def read(limit=65536):
            nonlocal looked
            data = plain_read(limit)
            for found in MARK.finditer(connection.received, looked):
                self.seen.setdefault(int(found[1]), time.monotonic())
                looked = found.end()
            return data

        connection.read = read
        while True:
            head = connection.read_until(b"\r\n\r\n")
            if not head.endswith(b"\r\n\r\n"):
                return
            lines = head.decode("latin-1").split("\r\n")
            fields = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:] if line}
            if lines[0].startswith("RAW"):
                break
            if "upgrade" in fields:
                connection.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 b"Connection: Upgrade\r\n\r\n")
                break
            if fields.get("transfer-encoding") == "chunked":
                while b"0\r\n\r\n" not in (data := connection.read()) and data:
                    pass
            else:
                connection.read_exactly(int(fields.get("content-length", "0")))
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n")
        while data := connection.read():
            connection.write(data)


# Jobs, as the model knows them ---------------------------------------------------------------------------------------

@dataclasses.dataclass(eq=False)
class Job:
    """What has been confirmed of a job; the next job of exeat.yaml is another object."""
    id: str
    plan: list
    tokens: dict = dataclasses.field(default_factory=dict)
    secret: str = ""
    current: int = 0  # steps before this one admit nothing new
    cut: int = 0      # nor has anything of the steps before this one been left alive
    over: bool = False
    wide: bool = False  # its policy lets `agent` reach WIDE

    def step_of(self, phase):
        return next((i for i, phases in enumerate(self.plan) if phase in phases), None)

    def phases(self):
        return [phase for phases in self.plan for phase in phases]

    def is_sealed(self, phase):
        return self.over or self.step_of(phase) < self.current

    def is_cut(self, phase):
        return self.over or self.step_of(phase) < self.cut

    def target_of(self, to):
        """The step that an advance leads to; None: it is refused."""
        target = self.current + 1 if to is None else self.step_of(to)
        return target if not self.over and target is not None and self.current <= target < len(self.plan) else None

    def advance(self, target, grace):
        self.current = max(self.current, target)
        if not grace:
            self.cut = self.current

    def end(self):
        self.over = True

    def __str__(self):
        return self.id or "implicit"


# Orders --------------------------------------------------------------------------------------------------------------

def call(address, path, body=None, token=None, method="POST"):
    """(status, text) of a request to the control socket (a path) or the admin listener (a pair)."""
    with socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address)
        text = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Connection: close", f"Content-Length: {len(text)}"]
        if token:
            lines.append(f"Authorization: Bearer {token}")
        sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + text)
        got = b""
        while more := sock.recv(65536):
            got += more
    head, mark, rest = got.partition(b"\r\n\r\n")
    if not mark:
        raise EOFError("no whole answer")
    answer = Answer(head)
    if len(rest) != int(answer.fields["content-length"]):
        raise EOFError("half an answer")
    return answer.status, rest.decode()


class Controls:
    """Orders to one proxy, by its operator or by who holds a secret."""

    def __init__(self, proxy):
        self.proxy = proxy

    def operator(self, path, body=None, method="POST"):
        return call(self.proxy.control, path, body, method=method)

    def holder(self, secret, path, body=None, method="POST"):
        return call(("127.0.0.1", self.proxy.ports["admin"]), path, body, secret, method)

    def advance(self, job, to=None, grace=None, secret=None):
        body = {**({"job": job.id} if job.id else {}), **({"to": to} if to else {}),
                **({"grace": f"{grace}ms"} if grace else {})}
        return self.holder(secret, "/-/phase/advance", body) if secret else \
            self.operator("/-/phase/advance", body)

    def open(self, plan):
        text = ",".join("+".join(phases) for phases in plan)
        status, answer = self.operator("/-/job/open", {"phases": text})
        assert status == 200, answer
        told = json.loads(answer)
        return Job(told["job"], plan, {p["phase"]: p["token"] for p in told["phases"]}, told["advance_secret"])

    def close(self, job):
        return self.operator("/-/job/close", {"job": job.id})

    def new(self):
        return self.operator("/-/job/new")

    def status(self):
        """By the id of the job: its current step (one behind the last: all is sealed)."""
        status, answer = self.operator("/-/phase/status", method="GET")
        assert status == 200, answer
        return {job["job"]: 1 + max([p["step"] for p in job["phases"] if p["sealed"]], default=-1)
                for job in json.loads(answer)["jobs"]}


# Connections of a job ------------------------------------------------------------------------------------------------

class Refused(Exception):
    """The proxy said no, with this reason."""


KINDS = ("connect", "websocket", "upload", "chunked", "http")


class Stream:
    """A connection of one phase of one job, alive for as long as the proxy leaves it alive. Opening it sends a first
    mark; Refused where it may not."""

    def __init__(self, arena, job, phase, kind, mark, way):
        self.arena, self.job, self.phase, self.kind = arena, job, phase, kind
        self.client, self.fields = arena.connection(job, phase, way)
        try:
            self._open(mark)
        except BaseException:
            self.client.close()
            raise

    def __str__(self):
        return f"{self.kind} of {self.job}/{self.phase}"

    @property
    def is_http(self):
        """Each mark on it is a request of its own."""
        return self.kind == "http"

    def _request(self, method, mark, fields=(), behind=b""):
        authority = f"{HOST}:{self.arena.witness.port}"
        lines = [f"{method} http://{authority}/{mark.octets.decode()} HTTP/1.1", f"Host: {authority}", *self.fields,
                 *fields]
        self.client.send("\r\n".join(lines).encode() + b"\r\n\r\n" + behind)

    def _open(self, mark):
        if self.kind == "connect":
            answer = self.client.connect(f"{HOST}:{self.arena.witness.port}", self.fields)
            self._want(answer, 200)
            self.client.send(b"RAW " + mark.octets + b"\r\n\r\n")
            self._arrival(mark)
        elif self.kind == "websocket":
            self._request("GET", mark, ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
                                        "Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC=="))
            self._want(self.client.answer(), 101)
        elif self.kind == "http":
            self._request("GET", mark)
            self._want(self.client.answer(), 200)
        else:
            self._request("POST", mark, ["Transfer-Encoding: chunked" if self.kind == "chunked" else
                                         "Content-Length: 1000000"])
            self._arrival(mark)

    def send(self, mark):
        """Sends a mark and waits until the origin has it. EOFError, OSError: cut. Refused: a request that may not."""
        if self.kind == "http":
            self._request("GET", mark)
            self._want(self.client.answer(), 200)
        elif self.kind in ("connect", "websocket"):
            self.client.send(mark.octets)
            self.client.read_until(mark.octets)
        else:
            self._send_body(mark)
            self._arrival(mark)

    def push(self, mark):
        """Sends a mark whatever has become of the connection, and waits for nothing."""
        try:
            if self.kind == "http":
                self._request("GET", mark)
            else:
                self._send_body(mark)
        except OSError:
            pass

    def _send_body(self, mark):
        self.client.send(b"%x\r\n%s\r\n" % (len(mark.octets), mark.octets) if self.kind == "chunked" else mark.octets)

    def ends(self):
        """Waits until the proxy has ended it; False: it is alive."""
        self.client.sock.settimeout(PATIENCE)
        try:
            while self.client.recv():
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def close(self):
        self.client.close()

    def _is_readable(self):
        return bool(self.client.buffer) or bool(select.select([self.client.sock], [], [], 0.002)[0])

    def _arrival(self, mark):
        """Of a body nothing comes back while it goes up: the origin has it, or the proxy answers."""
        end = time.monotonic() + PATIENCE
        while not self.arena.witness.saw(mark):
            if self._is_readable():
                self._want(self.client.answer(), 100)
            assert time.monotonic() < end, f"{self}: neither passed nor refused"

    @staticmethod
    def _want(answer, status):
        if answer.status != status:
            raise Refused(answer.reason.split(" ")[-1])


class Arena:
    """One proxy with all that a job can be known by: a listener for each phase, one for all uids, one for tokens."""

    def __init__(self, exeat, make_origin, folder, state, workers=2, **job):
        self.witness, self.ledger = Witness(make_origin), Ledger()
        self.by_uid, self.by_token = free_port(), free_port()
        self.secret = "implicit-" + "s" * 40
        secret_file = folder / "advance.secret"
        secret_file.write_text(self.secret)
        secret_file.chmod(0o600)
        peers = [{"uid": uid, "phase": phase} for phase, uid in UIDS.items()]
        phases = [phases[0] if len(phases) == 1 else {"parallel": phases} for phases in PLAN]
        self.proxy = exeat(self.policy(), {
            "workers": workers,
            "drain_timeout": "200ms",
            "job": {"phases": phases, "state_dir": str(state), "advance_secret_file": str(secret_file), **job},
            "more_listeners": [
                {"address": f"127.0.0.1:{self.by_uid}", "identity": [{"peer": peers}]},
                {"address": f"127.0.0.1:{self.by_token}", "identity": [{"credential": {"jobs": True}}]}]})
        self.controls = Controls(self.proxy)
        self.implicit = Job("", PLAN, secret=self.secret)

    def policy(self, wide=False):
        rules = [{"host": HOST, "ports": [self.witness.port], "tls": "any"}]
        more = [{"host": WIDE, "ports": [self.witness.port], "tls": "any"}] if wide else []
        return policy_of(setup=rules, agent=rules + more, mcp=rules, addresses=[loopback()])

    def connection(self, job, phase, way):
        """A client connection of that phase, and the fields that each request on it needs. `way` chooses among the
        proofs that there are."""
        if not job.id:
            if way:
                return Client(("127.0.0.1", self.by_uid), PATIENCE, UIDS[phase]), []
            return Client(("127.0.0.1", self.proxy.ports[phase]), PATIENCE), []
        if way:
            pair = base64.b64encode(f"{job.id}:{job.tokens[phase]}".encode()).decode()
            credential = f"Basic {pair}"
        else:
            credential = f"Bearer {job.id}.{job.tokens[phase]}"
        return Client(("127.0.0.1", self.by_token), PATIENCE), [f"Proxy-Authorization: {credential}"]

    def leaks(self):
        """What arrived that must not."""
        return [mark for mark in list(self.ledger.marks.values()) if mark.forbidden and self.witness.saw(mark)]
