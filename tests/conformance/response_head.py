"""Heads of answers (RFC 9112 4, RFC 9110 15): one unambiguous HTTP/1 response, or a 502."""
from .notation import ORIGIN, URL, BadGateway, ResponseCase, get, head, relayed

GARBAGE = BadGateway("origin-not-http")
LENGTH_0 = "Content-Length: 0"
KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = get("Upgrade: websocket", "Connection: Upgrade", KEY)
SWITCH = ("Upgrade: websocket", "Connection: Upgrade")


def gives(name, rfc, answer, outcome, **more):
    return ResponseCase(name, rfc, answer, outcome, **more)


def garbage(name, rfc, answer, **more):
    """Nothing of this answer reaches the client."""
    return ResponseCase(name, rfc, answer, GARBAGE, kept=False, **more)


def with_field(*fields):
    return head("HTTP/1.1 200 OK", LENGTH_0, *fields)


def passing(name, rfc, *fields, stays=()):
    """Of these fields all but `stays` reach the client."""
    return gives(name, rfc, with_field(*fields), relayed("HTTP/1.1 200 OK", *[f for f in fields if f not in stays], length=0), kept=True)


TITLE = "Heads of responses"
CASES = [
    gives("response-200", "9112 4", with_field("X: y"), relayed("HTTP/1.1 200 OK", "X: y", length=0), kept=True),
    gives("response-phrase-empty", "9112 4", head("HTTP/1.1 200 ", LENGTH_0), relayed("HTTP/1.1 200 ", length=0), kept=True),
    gives("response-phrase-absent", "9112 4", head("HTTP/1.1 200", LENGTH_0), relayed("HTTP/1.1 200 ", length=0), kept=True),
    gives("response-phrase-latin-1", "9112 4", head("HTTP/1.1 200 \xd6K", LENGTH_0), relayed("HTTP/1.1 200 \xd6K", length=0), kept=True),
    *(gives(f"response-status-{status}", "9110 15", head(f"HTTP/1.1 {status} X", LENGTH_0), relayed(f"HTTP/1.1 {status} X", length=0),
            kept=True) for status in (201, 202, 205, 226, 299, 300, 302, 400, 401, 403, 418, 426, 499, 500, 511, 599)),
    *(garbage(f"response-status-{name}", "9112 4", head(f"HTTP/1.1 {status} X", LENGTH_0))
      for name, status in (("099", "099"), ("000", "000"), ("600", "600"), ("999", "999"), ("1000", "1000"), ("20", "20"), ("2", "2"),
                           ("200x", "200x"), ("plus", "+200"), ("minus", "-200"), ("hex", "0xc8"), ("letters", "OKA"),
                           ("two-spaces", " 200"), ("tab", "\t200"), ("200.0", "200.0"), ("2147483848", "2147483848"))),
    *(garbage(f"response-version-{name}", "9112 2.3", head(f"{version} 200 OK", LENGTH_0))
      for name, version in (("2.0", "HTTP/2.0"), ("1.2", "HTTP/1.2"), ("0.9", "HTTP/0.9"), ("2", "HTTP/2"), ("lower", "http/1.1"),
                            ("01.1", "HTTP/01.1"), ("1.10", "HTTP/1.10"), ("11", "HTTP/11"), ("icy", "ICY"), ("https", "HTTPS/1.1"),
                            ("rtsp", "RTSP/1.0"), ("none", ""))),
    garbage("response-line-tab", "9112 4", head("HTTP/1.1\t200 OK", LENGTH_0)),
    garbage("response-empty-line-first", "9112 4", "\r\n" + with_field()),
    garbage("response-space-first", "9112 4", " " + with_field()),
    garbage("response-http-0.9", "9112 2.3", "<html>hello</html>", after="fin"),
    garbage("response-tls-alert", "8446 6", "\x15\x03\x01\x00\x02\x02\x28", after="fin"),
    garbage("response-ssh-banner", "4253 4.2", "SSH-2.0-OpenSSH_9.2\r\n"),
    garbage("response-smtp-greeting", "5321 4.2", "220 mail.corp.example ESMTP\r\n"),
    garbage("response-http2-settings", "9113 3.4", "\0\0\0\x04\0\0\0\0\0"),
    garbage("response-one-octet", "9112 4", "X"),
    garbage("response-is-a-request", "9112 4", f"GET / HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n"),
    gives("response-nothing-fin", "9112 8", "", BadGateway("origin-closed"), after="fin", kept=False),
    gives("response-nothing-rst", "9112 8", "", BadGateway("origin-closed"), after="rst", kept=False),
    gives("response-head-cut", "9112 8", "HTTP/1.1 200 OK\r\nContent-Le", BadGateway("origin-closed"), after="fin", kept=False),
    gives("response-line-cut", "9112 8", "HTTP/1.1 20", BadGateway("origin-closed"), after="fin", kept=False),
    gives("response-head-cut-rst", "9112 8", "HTTP/1.1 200 OK\r\nX: y\r\n", BadGateway("origin-closed"), after="rst", kept=False),

    garbage("response-bare-lf", "9112 2.2", f"HTTP/1.1 200 OK\n{LENGTH_0}\n\n"),
    garbage("response-bare-lf-in-field", "9112 2.2", f"HTTP/1.1 200 OK\r\nX: y\n{LENGTH_0}\r\n\r\n"),
    garbage("response-bare-lf-at-end", "9112 2.2", f"HTTP/1.1 200 OK\r\n{LENGTH_0}\r\n\n"),
    garbage("response-bare-cr", "9112 2.2", f"HTTP/1.1 200 OK\r\nX: a\rb\r\n{LENGTH_0}\r\n\r\n"),
    garbage("response-bare-cr-in-phrase", "9112 2.2", f"HTTP/1.1 200 O\rK\r\n{LENGTH_0}\r\n\r\n"),
    garbage("response-cr-cr-lf", "9112 2.2", f"HTTP/1.1 200 OK\r\r\n{LENGTH_0}\r\n\r\n"),
    garbage("response-fold", "9112 5.2", with_field("X: a", " b")),
    garbage("response-fold-tab", "9112 5.2", with_field("X: a", "\tSet-Cookie: b=c")),
    garbage("response-fold-first", "9112 5.2", f"HTTP/1.1 200 OK\r\n X: a\r\n{LENGTH_0}\r\n\r\n"),
    garbage("response-no-colon", "9112 5", with_field("novalue")),
    garbage("response-empty-name", "9112 5", with_field(": y")),
    garbage("response-space-before-colon", "9112 5.1", with_field("X : y")),
    garbage("response-tab-before-colon", "9112 5.1", with_field("X\t: y")),
    garbage("response-space-in-name", "9110 5.6.2", with_field("X Y: z")),
    garbage("response-name-latin-1", "9110 5.6.2", with_field("X\xe9: z")),
    garbage("response-name-brackets", "9110 5.6.2", with_field("X[0]: z")),
    *(garbage(f"response-value-with-{ord(octet):02x}", "9110 5.5", with_field(f"X: a{octet}b")) for octet in "\0\x01\x08\x0b\x0c\x1b\x7f"),
    garbage("response-name-with-nul", "9110 5.5", with_field("X\0: a")),
    garbage("response-phrase-with-nul", "9110 5.5", head("HTTP/1.1 200 O\0K", LENGTH_0)),
    garbage("response-phrase-with-escape", "9110 5.5", head("HTTP/1.1 200 \x1b[31m", LENGTH_0)),
    garbage("response-101-fields", "9110 5.4", head("HTTP/1.1 200 OK", LENGTH_0, *["X: y"] * 100)),
    garbage("response-head-too-large", "9110 5.4", with_field("X: " + "y" * 40000)),
    garbage("response-line-too-large", "9110 5.4", head("HTTP/1.1 200 " + "y" * 40000, LENGTH_0)),
    gives("response-100-fields", "9110 5.4", head("HTTP/1.1 200 OK", LENGTH_0, *["X: y"] * 99),
          relayed("HTTP/1.1 200 OK", *["X: y"] * 99, length=0), kept=True),

    passing("response-fields-as-they-are", "9110 5.3", "Set-Cookie: a=b", "Set-Cookie: c=d", "Server: x", "Date: y", "ETag: \"z\""),
    passing("response-challenge-of-the-origin", "9110 11.6.1", "WWW-Authenticate: Basic realm=\"x\""),
    passing("response-hop-by-hop", "9110 7.6.1", "X: y", "Connection: keep-alive", "Keep-Alive: 5", "TE: x", "Upgrade: h2c",
            "Proxy-Connection: x", stays=("Connection: keep-alive", "Keep-Alive: 5", "TE: x", "Upgrade: h2c", "Proxy-Connection: x")),
    passing("response-nominated", "9110 7.6.1", "X-Hop: 1", "Connection: x-hop", "X: y", stays=("X-Hop: 1", "Connection: x-hop")),
    passing("response-nominates-what-it-must-not", "9110 7.6.1", "Connection: Set-Cookie, Cache-Control", "Set-Cookie: a=b",
            "Cache-Control: no-store", stays=("Connection: Set-Cookie, Cache-Control",)),
    passing("response-proxy-fields", "9110 11.7.1", "Proxy-Authenticate: Basic realm=\"x\"", "Proxy-Authentication-Info: x", "Proxy-Status: x",
            "X: y", stays=("Proxy-Authenticate: Basic realm=\"x\"", "Proxy-Authentication-Info: x", "Proxy-Status: x")),
    passing("response-exeat-fields-are-ours", "9110 7.6", "Exeat-Decision: forged", "X: y", stays=("Exeat-Decision: forged",)),
    passing("response-via", "9110 7.6.3", "Via: 1.1 other, 1.1 gate"),
    passing("response-trailer-without-chunks", "9110 6.6.2", "Trailer: X", stays=("Trailer: X",)),
    garbage("response-connection-not-a-token", "9110 7.6.1", with_field("Connection: a b")),
    gives("response-close", "9112 9.6", with_field("Connection: close"), relayed(length=0), kept=False),
    gives("response-close-and-another", "9112 9.6", with_field("Connection: x, CLOSE", "X: y"), relayed(length=0), kept=False),
    gives("response-1.0", "9112 9.3", head("HTTP/1.0 200 OK", LENGTH_0), relayed(length=0, minor=0), kept=False),
    gives("response-1.0-keep-alive", "9112 C.2.2", head("HTTP/1.0 200 OK", LENGTH_0, "Connection: keep-alive"),
          relayed(length=0, minor=0), kept=False),

    gives("response-407-is-not-ours", "9110 15.5.8", head("HTTP/1.1 407 Proxy Authentication Required",
                                                          "Proxy-Authenticate: Basic realm=\"give me your password\"", LENGTH_0), GARBAGE, kept=False),
    gives("response-407-without-challenge", "9110 15.5.8", head("HTTP/1.1 407 X", LENGTH_0), GARBAGE, kept=False),
    gives("response-connect-like", "9110 9.3.6", head("HTTP/1.1 200 Connection established"), GARBAGE, kept=False),
    gives("response-connect-like-1.0", "9110 9.3.6", head("HTTP/1.0 200 Connection Established", "Proxy-Agent: x"), GARBAGE, kept=False),
    gives("response-connect-like-with-length", "9110 9.3.6", head("HTTP/1.1 200 Connection established", LENGTH_0),
          relayed("HTTP/1.1 200 Connection established", length=0), kept=True),

    gives("interim-100", "9110 15.2.1", head("HTTP/1.1 100 Continue") + with_field(),
          relayed(length=0, interim=[head("HTTP/1.1 100 Continue", "Via: 1.1 gate")]), kept=True),
    gives("interim-103", "8297 2", head("HTTP/1.1 103 Early Hints", "Link: </x>; rel=preload") + with_field(),
          relayed(length=0, interim=[head("HTTP/1.1 103 Early Hints", "Link: </x>; rel=preload", "Via: 1.1 gate")]), kept=True),
    gives("interim-199", "9110 15.2", head("HTTP/1.1 199 X") + with_field(),
          relayed(length=0, interim=[head("HTTP/1.1 199 X", "Via: 1.1 gate")]), kept=True),
    gives("interim-16", "9110 15.2", head("HTTP/1.1 102 P") * 16 + with_field(),
          relayed(length=0, interim=[head("HTTP/1.1 102 P", "Via: 1.1 gate")] * 16), kept=True),
    gives("interim-17", "9110 15.2", head("HTTP/1.1 102 P") * 17 + with_field(),
          BadGateway("origin-not-http", interim=(head("HTTP/1.1 102 P", "Via: 1.1 gate"),) * 16), kept=False),
    gives("interim-too-large-in-all", "9110 15.2", head("HTTP/1.1 103 E", "X: " + "y" * 12000) * 3 + with_field(),
          BadGateway("origin-not-http", interim=(head("HTTP/1.1 103 E", "X: " + "y" * 12000, "Via: 1.1 gate"),) * 2), kept=False),
    gives("interim-not-to-1.0", "9110 15.2", head("HTTP/1.1 100 Continue") + with_field(), relayed(length=0, close=True),
          request=get(version="HTTP/1.0"), ends=True, kept=True),
    gives("interim-hop-by-hop", "9110 7.6.1", head("HTTP/1.1 100 Continue", "Connection: X-Hop", "X-Hop: 1", "Proxy-X: 2") + with_field(),
          relayed(length=0, interim=[head("HTTP/1.1 100 Continue", "Via: 1.1 gate")]), kept=True),
    gives("interim-and-nothing", "9112 8", head("HTTP/1.1 100 Continue"),
          BadGateway("origin-closed", interim=(head("HTTP/1.1 100 Continue", "Via: 1.1 gate"),)), after="fin", kept=False),
    garbage("interim-with-length", "9110 8.6", head("HTTP/1.1 100 Continue", "Content-Length: 5") + "hello"),
    garbage("interim-with-chunks", "9112 6.1", head("HTTP/1.1 100 Continue", "Transfer-Encoding: chunked") + "0\r\n\r\n"),

    garbage("switch-not-asked-for", "9110 15.2.2", head("HTTP/1.1 101 Switching Protocols", *SWITCH)),
    garbage("switch-bare", "9110 15.2.2", head("HTTP/1.1 101 Switching Protocols")),
    garbage("switch-h2c-not-asked-for", "9113 3.1", head("HTTP/1.1 101 Switching Protocols", "Upgrade: h2c", "Connection: Upgrade")),
    garbage("switch-to-h2c", "9110 15.2.2", head("HTTP/1.1 101 X", "Upgrade: h2c", "Connection: Upgrade"), request=WEBSOCKET, ends=True),
    garbage("switch-in-1.0", "9110 7.8", head("HTTP/1.0 101 X", *SWITCH), request=WEBSOCKET, ends=True),
    garbage("switch-to-two", "9110 15.2.2", head("HTTP/1.1 101 X", "Upgrade: websocket, h2c", "Connection: Upgrade"), request=WEBSOCKET, ends=True),
    garbage("switch-twice", "9110 15.2.2", head("HTTP/1.1 101 X", *SWITCH, "Upgrade: websocket"), request=WEBSOCKET, ends=True),
    garbage("switch-not-nominated", "9110 7.8", head("HTTP/1.1 101 X", "Upgrade: websocket"), request=WEBSOCKET, ends=True),
    garbage("switch-without-upgrade", "9110 15.2.2", head("HTTP/1.1 101 X", "Connection: Upgrade"), request=WEBSOCKET, ends=True),
    garbage("switch-with-length", "9110 8.6", head("HTTP/1.1 101 X", *SWITCH, "Content-Length: 5") + "hello", request=WEBSOCKET, ends=True),
    gives("switch-refused-by-the-origin", "9931", head("HTTP/1.1 403 Forbidden", LENGTH_0),
          relayed("HTTP/1.1 403 Forbidden", length=0, close=True), request=WEBSOCKET, ends=True, kept=True),
    gives("switch-ignored-by-the-origin", "9931", with_field(), relayed(length=0, close=True), request=WEBSOCKET, ends=True, kept=True),
]
