"""What goes on to the origin and what stays here: connection options, Proxy-*, Via, TE, Upgrade, Expect, Max-Forwards
(RFC 9110 7.6, 7.8, 10.1)."""
from .notation import ORIGIN, URL, VIA, Own, RequestCase, Refused, bad, denied, get, good, head, onward, post

KEY = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = ("Upgrade: websocket", "Connection: Upgrade", KEY, "Sec-WebSocket-Version: 13")


def stays(name, rfc, *fields, passing=(), **more):
    """These fields stay here, all but `passing`."""
    return good(name, rfc, get(*fields), onward("GET / HTTP/1.1", *passing), **more)


def passes(name, rfc, *fields, **more):
    return stays(name, rfc, *fields, passing=fields, **more)


TITLE = "What goes on, and what stays"
CASES = [
    stays("connection-keep-alive", "9110 7.6.1", "Connection: keep-alive", "Keep-Alive: timeout=5"),
    stays("connection-close", "9112 9.6", "Connection: close", ends=True),
    stays("connection-close-in-capitals", "9110 7.6.1", "Connection: CLOSE", ends=True),
    stays("connection-close-and-another", "9110 7.6.1", "Connection: close, x", "X: y", ends=True),
    stays("connection-another-and-close", "9110 7.6.1", "Connection: x,close", "X: y", ends=True),
    stays("connection-in-two-fields", "9110 5.3", "Connection: x", "X: y", "Connection: close", ends=True),
    stays("connection-close-and-keep-alive", "9112 9.3", "Connection: keep-alive, close", ends=True),
    stays("connection-empty-elements", "9110 5.6.1", "Connection: ,, x ,", "X: y"),
    stays("connection-empty", "9110 5.6.1", "Connection:"),
    stays("nominated-field", "9110 7.6.1", "Connection: X-Hop", "X-Hop: 1"),
    stays("nominated-field-before", "9110 7.6.1", "X-Hop: 1", "Connection: x-HOP"),
    stays("nominated-twice-there", "9110 7.6.1", "X-Hop: 1", "Connection: x-hop", "X-Hop: 2", "X-Other: 3", passing=("X-Other: 3",)),
    stays("nominated-and-absent", "9110 7.6.1", "Connection: x-absent"),
    stays("nominated-transfer-encoding", "9110 7.6.1", "Connection: transfer-encoding"),
    stays("nominated-te", "9110 10.1.4", "Connection: TE", "TE: trailers"),
    stays("nominated-keep-alive-proxy", "9110 7.6.1", "Connection: proxy-connection", "Proxy-Connection: x"),
    good("nominated-transfer-encoding-with-body", "9110 7.6.1",
         post("Connection: Transfer-Encoding", "Transfer-Encoding: chunked", body="1\r\na\r\n0\r\n\r\n"),
         onward("POST / HTTP/1.1", chunked=True, body="a")),
    *(bad(f"nominated-{name.lower()}", "9110 7.6.1", get(f"Connection: {name}", f"{name}: x"), "bad-field")
      for name in ("Authorization", "Cookie", "Cache-Control", "Pragma", "Range", "If-None-Match", "Origin", "Referer", "Via",
                   "Content-Type", "Content-Encoding", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "Accept",
                   "Max-Forwards", "Sec-Fetch-Site", "Trailer", "Date")),
    bad("nominated-host", "9110 7.6.1", get("Connection: host"), "bad-field"),
    bad("nominated-content-length", "9110 7.6.1", post("Connection: Content-Length", "Content-Length: 5", body="hello"), "bad-field"),
    bad("nominated-expect", "9110 7.6.1", get("Connection: expect"), "bad-field"),
    bad("nominated-not-a-token", "9110 7.6.1", get("Connection: x y"), "bad-field"),
    bad("nominated-quoted", "9110 7.6.1", get('Connection: "x"'), "bad-field"),
    bad("nominated-latin-1", "9110 7.6.1", get("Connection: \xff"), "bad-field"),
    bad("nominated-33", "9110 7.6.1", get("Connection: " + ",".join(f"x{n}" for n in range(33))), "bad-field"),
    good("http-1.0-closes", "9112 9.3", get(version="HTTP/1.0"), onward(minor=0), ends=True),
    good("http-1.0-keep-alive-closes-too", "9112 C.2.2", get("Connection: keep-alive", version="HTTP/1.0"), onward(minor=0), ends=True),
    good("http-1.0-proxy-connection", "9112 C.2.2", get("Proxy-Connection: keep-alive", version="HTTP/1.0"), onward(minor=0), ends=True),

    stays("proxy-connection", "9112 C.2.2", "Proxy-Connection: keep-alive"),
    stays("proxy-connection-close-does-not-end", "9112 C.2.2", "Proxy-Connection: close"),
    stays("proxy-authorization", "9110 11.7.2", "Proxy-Authorization: Basic dXNlcjpwYXNz"),
    stays("proxy-authorization-case", "9110 11.7.2", "pROXY-aUTHORIZATION: Basic dXNlcjpwYXNz"),
    bad("proxy-authorization-twice", "9110 11.7.2", get("Proxy-Authorization: Basic eA==", "Proxy-Authorization: Basic eQ=="), "bad-field"),
    stays("proxy-anything", "9110 7.6.1", "Proxy-Foo: 1", "Proxy-Status: x", "Proxy-Features: y", "Proxy-Instruction: z"),
    stays("proxy-httpoxy", "3875 4.1.18", "Proxy: http://evil.example"),
    stays("exeat-fields-are-ours", "9110 7.6", "Exeat-Decision: forged", "exeat-x: 1", "Exeat-: 2"),
    passes("proxy-without-hyphen-is-another", "9110 5.1", "Proxied: 1", "X-Proxy-Authorization: 2"),
    passes("authorization", "9110 11.6.2", "Authorization: Bearer x", "Cookie: a=b", "X-Api-Key: z"),
    passes("forwarded", "7239 4", "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1"),

    stays("te-trailers", "9110 10.1.4", "TE: trailers", "Connection: TE"),
    stays("te-without-nomination", "9110 10.1.4", "TE: trailers, gzip;q=0.5"),
    stays("te-chunked", "9110 10.1.4", "TE: chunked"),
    stays("trailer-without-chunks", "9110 6.6.2", "Trailer: X"),
    stays("keep-alive-alone", "9112 C.2.2", "Keep-Alive: 300"),

    passes("via-of-others", "9110 7.6.3", "Via: 1.0 fred, 1.1 p.example.net"),
    passes("via-comment-names-us", "9110 7.6.3", "Via: 1.1 other (gate)"),
    passes("via-begins-like-us", "9110 7.6.3", "Via: 1.1 gateway, 1.1 gate.example"),
    *(denied(f"via-{name}", "9110 7.6.3", get(*fields), "proxy-loop")
      for name, fields in (("us", [VIA]), ("us-in-capitals", ["Via: 1.1 GATE"]), ("us-among-others", ["Via: 1.0 a, 1.1 gate (x), 1.1 b"]),
                           ("us-in-the-second-field", ["Via: 1.1 a", "Via: HTTP/1.1 gate"]), ("us-by-tabs", ["Via: 1.1\tgate\t(x)"]),
                           ("us-behind-empty-elements", ["Via: , ,1.1   gate"]))),
    denied("via-us-post", "9110 7.6.3", post(VIA), "proxy-loop"),

    stays("upgrade-h2c", "9113 3.1", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    stays("upgrade-h2c-without-nomination", "9113 3.1", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
    stays("upgrade-tls", "2817 3", "Upgrade: TLS/1.0", "Connection: Upgrade"),
    stays("upgrade-http-3", "9110 7.8", "Upgrade: HTTP/3.0", "Connection: upgrade"),
    stays("upgrade-connect-udp", "9298 3", "Upgrade: connect-udp", "Connection: upgrade", "Capsule-Protocol: ?1",
          passing=("Capsule-Protocol: ?1",)),
    good("upgrade-with-body", "9110 7.8", post("Upgrade: h2c", "Connection: Upgrade", "Content-Length: 1", body="a"),
         onward("POST / HTTP/1.1", length=1, body="a")),
    RequestCase("upgrade-websocket-refused-ends", "9931", get(*WEBSOCKET),
                [onward("GET / HTTP/1.1", *WEBSOCKET[2:], more=("Connection: Upgrade", "Upgrade: websocket"))], ends=True),
    RequestCase("upgrade-websocket-among-others", "9110 7.8", get("Upgrade: h2c, websocket", *WEBSOCKET[1:]),
                [onward("GET / HTTP/1.1", *WEBSOCKET[2:], more=("Connection: Upgrade", "Upgrade: websocket"))], ends=True),
    bad("upgrade-websocket-not-nominated", "9110 7.8", get("Upgrade: websocket", KEY), "bad-upgrade"),
    bad("upgrade-websocket-by-post", "6455 4.1", post(*WEBSOCKET), "bad-upgrade"),
    bad("upgrade-websocket-with-body", "6455 4.1", get(*WEBSOCKET, "Content-Length: 1") + "a", "bad-upgrade"),
    bad("upgrade-websocket-in-1.0", "9110 7.8", get(*WEBSOCKET, version="HTTP/1.0"), "bad-upgrade"),
    bad("upgrade-twice", "9110 7.8", get(*WEBSOCKET, "Upgrade: h2c"), "bad-upgrade"),
    RequestCase("upgrade-websocket-denied-ends", "9931",
                get(*WEBSOCKET, url="http://evil.example:10080/", host="Host: evil.example:10080"), [Refused("no-rule", 403)], ends=True),

    good("expect-goes-on", "9110 10.1.1", post("Expect: 100-continue", "Content-Length: 5", body="hello"),
         onward("POST / HTTP/1.1", length=5, body="hello", more=("Expect: 100-continue",))),
    good("expect-with-chunks", "9110 10.1.1", post("expect: 100-Continue", "Transfer-Encoding: chunked", body="1\r\na\r\n0\r\n\r\n"),
         onward("POST / HTTP/1.1", chunked=True, body="a", more=("Expect: 100-continue",))),
    good("expect-without-body", "9110 10.1.1", get("Expect: 100-continue")),
    good("expect-in-1.0", "9110 10.1.1", post("Expect: 100-continue", "Content-Length: 1", body="a", version="HTTP/1.0"),
         onward("POST / HTTP/1.1", length=1, body="a", minor=0), ends=True),
    bad("expect-another", "9110 10.1.1", get("Expect: 200-ok"), "bad-expect", 417),
    bad("expect-list", "9110 10.1.1", get("Expect: 100-continue, x"), "bad-expect", 417),
    bad("expect-empty", "9110 10.1.1", get("Expect:"), "bad-expect", 417),
    bad("expect-second-is-another", "9110 10.1.1", get("Expect: 100-continue", "Expect: x"), "bad-expect", 417),

    good("max-forwards-options-counts-down", "9110 7.6.2", get("Max-Forwards: 10", method="OPTIONS"),
         onward("OPTIONS / HTTP/1.1", "Max-Forwards: 9")),
    good("max-forwards-options-1", "9110 7.6.2", get("Max-Forwards: 1", method="OPTIONS", url=URL),
         onward("OPTIONS * HTTP/1.1", "Max-Forwards: 0")),
    good("max-forwards-options-0", "9110 7.6.2", get("Max-Forwards: 0", method="OPTIONS"), Own(204)),
    good("max-forwards-options-000", "9110 7.6.2", get("Max-Forwards: 000", method="OPTIONS"), Own(204)),
    denied("max-forwards-options-0-denied", "9110 7.6.2", get("Max-Forwards: 0", method="OPTIONS", url="http://evil.example:10080/",
                                                              host="Host: evil.example:10080"), "no-rule"),
    bad("max-forwards-options-not-a-number", "9110 7.6.2", get("Max-Forwards: -1", method="OPTIONS"), "bad-field"),
    bad("max-forwards-options-empty", "9110 7.6.2", get("Max-Forwards:", method="OPTIONS"), "bad-field"),
    bad("max-forwards-options-twice", "9110 7.6.2", get("Max-Forwards: 5", "Max-Forwards: 6", method="OPTIONS"), "bad-field"),
    good("max-forwards-options-huge", "9110 7.6.2", get("Max-Forwards: 99999999999999999999999", method="OPTIONS"),
         onward("OPTIONS / HTTP/1.1", "Max-Forwards: 999999999")),
    passes("max-forwards-get-is-not-ours", "9110 7.6.2", "Max-Forwards: 0"),
    good("options-with-body", "9110 9.3.7", get("Content-Length: 2", method="OPTIONS") + "{}",
         onward("OPTIONS / HTTP/1.1", length=2, body="{}")),
    good("host-is-written-first", "9110 7.2", head(f"GET {URL}/ HTTP/1.1", "A: 1", "Cookie: c", f"Host: {ORIGIN}", "B: 2"),
         onward("GET / HTTP/1.1", "A: 1", "Cookie: c", "B: 2")),
]
