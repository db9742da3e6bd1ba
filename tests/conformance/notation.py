"""How the table is written. Text stands for octets, one each (latin-1).

`origin.corp.example` and the port 10080 stand for the name and port that the runner gives a case. The names keep their length, so
every Content-Length in the table is right. Other domains of the same kind: `origin.any.example` (its rule says `tls: any`)
and `origin.ech.example` (`ech: allow`).
"""
from dataclasses import dataclass, field

ORIGIN = "origin.corp.example:10080"
URL = f"http://{ORIGIN}"
VIA = "Via: 1.1 gate"  # what the proxy adds: `via: gate`


@dataclass
class Refused:
    """The proxy answers itself with this reason code; the origin hears nothing of this request. Status None: nobody is left to
    be answered, and the code stands in the log alone."""
    code: str
    status: int | None = 400


@dataclass
class Own:
    """The proxy itself is the last recipient, and answers with this status; the origin hears nothing."""
    status: int


@dataclass
class Onward:
    """The origin gets exactly this head, and after the framing is taken off this body and these trailers."""
    head: str
    body: str = ""
    trailers: str = ""


@dataclass
class Broken:
    """The head went to the origin before the body turned out bad: the origin gets a part of it and a reset, never its end.
    The client gets the refusal, or nothing where it is gone itself (`answered` False)."""
    onward: Onward
    code: str
    status: int = 400
    answered: bool = True


@dataclass
class Relayed:
    """The client gets exactly this head, and after the framing is taken off this body and these trailers."""
    head: str
    body: str = ""
    trailers: str = ""
    interim: tuple = ()   # heads of 1xx that come before it
    framing: str = "none"  # none, length, chunked, close


@dataclass
class BadGateway:
    """The client gets a 502 of the proxy's own with this reason code; the origin's connection is reset."""
    code: str
    status: int = 502
    interim: tuple = ()


@dataclass
class Aborted:
    """The client has had this head and at most this of the body, and then a reset; `code` stands in the log."""
    head: str
    body: str
    code: str
    framing: str = "chunked"


@dataclass
class Tunnel:
    """200, and the origin gets exactly these octets; its answer comes back. The rest is what the log says."""
    octets: str
    sni: str = None
    alpn: str = None
    version: str = None


@dataclass
class Cut:
    """200, and then the tunnel ends: with a TLS alert of this number (None: without), the origin having got no octet."""
    code: str
    alert: int = None
    http: bool = False   # an HTTP answer instead of an alert


@dataclass
class RequestCase:
    """`send` goes to the proxy; its outcomes come in this order. `ends`: the connection ends then; otherwise a request that
    stands behind all of it is served as well. What stands behind a connection that ends is never served."""
    name: str
    rfc: str
    send: str
    outcomes: list
    ends: bool = False
    finish: bool = False  # the client sends nothing more, and says so (FIN), instead of the request behind
    cut: int = 0          # sent in pieces of so many octets
    group: str = ""


@dataclass
class ResponseCase:
    """`request` is answered with `answer`, in one piece, and, where `then` is given, with that as soon as the client has
    the head. After it the origin waits (`open`), ends (`fin`) or resets (`rst`) the connection."""
    name: str
    rfc: str
    answer: str
    outcome: object
    request: str = f"GET {URL}/ HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n"
    then: str = None
    after: str = "open"
    kept: bool = None     # the origin's connection serves another request (None: not looked at)
    ends: bool = False    # the client's connection ends
    group: str = ""


@dataclass
class TunnelCase:
    """`send` is the CONNECT head; `inside` follows as soon as the 200 is there (`early`: at once)."""
    name: str
    rfc: str
    send: str
    inside: str
    outcome: object
    early: bool = False
    finish: bool = False  # the client ends its side behind `inside`
    cut: int = 0
    banner: str = ""      # the origin speaks first; the client waits for it
    records: int = 0      # `inside` is a handshake message, and goes in TLS records of so many octets
    group: str = ""


def head(*lines):
    return "\r\n".join(lines) + "\r\n\r\n"


def get(*fields, url=URL + "/", method="GET", version="HTTP/1.1", host=f"Host: {ORIGIN}"):
    return head(f"{method} {url} {version}", *([host] if host else []), *fields)


def post(*fields, body="", **more):
    return get(*fields, method="POST", **more) + body


def onward(line="GET / HTTP/1.1", *fields, host=ORIGIN, minor=1, body="", length=None, chunked=False, trailers="", more=()):
    """The head as the proxy writes it anew: Host first, Via behind the fields, then the framing."""
    framing = ["Transfer-Encoding: chunked"] if chunked else [] if length is None else [f"Content-Length: {length}"]
    return Onward(head(line, f"Host: {host}", *fields, f"Via: 1.{minor} gate", *framing, *more), body, trailers)


def relayed(line="HTTP/1.1 200 OK", *fields, body="", framing="none", length=None, trailers="", interim=(), close=False,
            minor=1):
    """As the proxy writes an answer: fields, Via, framing, `Connection: close`."""
    shown = ["Transfer-Encoding: chunked"] if framing == "chunked" else [] if length is None else [f"Content-Length: {length}"]
    if framing == "length" and length is None:
        shown = [f"Content-Length: {len(body)}"]
    lines = [line, *fields, f"Via: 1.{minor} gate", *shown, *(["Connection: close"] if close else [])]
    return Relayed(head(*lines), body, trailers, tuple(interim), framing)


def refused(code, status=400):
    return Refused(code, status)


def bad(name, rfc, send, code, status=400, **more):
    """One request that is refused, and the connection ends."""
    return RequestCase(name, rfc, send, [Refused(code, status)], ends=True, **more)


def denied(name, rfc, send, code, status=403, **more):
    """One sound request that the policy refuses; the connection goes on."""
    return RequestCase(name, rfc, send, [Refused(code, status)], **more)


def good(name, rfc, send, *outcomes, **more):
    return RequestCase(name, rfc, send, list(outcomes) or [onward()], **more)
