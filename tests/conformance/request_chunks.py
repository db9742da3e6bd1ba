"""Chunked request bodies (RFC 9112 7.1)."""
from .notation import Broken, RequestCase, good, onward, post

LAST = "0\r\n\r\n"


def chunked(body, *fields, **more):
    return post("Transfer-Encoding: chunked", *fields, body=body, **more)


def fine(name, rfc, body, decoded, *fields, trailers="", passing=(), **more):
    return good(name, rfc, chunked(body, *fields),
                onward("POST / HTTP/1.1", *passing, chunked=True, body=decoded, trailers=trailers), **more)


def broken(name, rfc, body, part="", **more):
    """`part`: the most that the origin may have of the body."""
    return RequestCase(name, rfc, chunked(body), [Broken(onward("POST / HTTP/1.1", chunked=True, body=part), "bad-chunk")],
                       ends=True, **more)


def closed(name, rfc, body, part=""):
    return RequestCase(name, rfc, chunked(body),
                       [Broken(onward("POST / HTTP/1.1", chunked=True, body=part), "client-closed", answered=False)], ends=True,
                       finish=True)


DROPPED = ("Transfer-Encoding: chunked", "Content-Length: 7", "Host: evil.example", "Authorization: Basic eA==",
           "Proxy-Authorization: Basic eA==", "Proxy-Connection: close", "Connection: close", "Keep-Alive: 5", "TE: trailers",
           "Trailer: X", "Upgrade: h2c", "Via: 1.1 gate", "Expect: 100-continue", "Content-Type: text/html",
           "Content-Encoding: gzip", "Content-Range: bytes 0-1/2", "Cookie: a=b", "Set-Cookie: a=b", "Cache-Control: no-store",
           "If-None-Match: x", "Range: bytes=0-", "Max-Forwards: 0", "Exeat-Decision: x", "Sec-WebSocket-Key: x",
           "WWW-Authenticate: Basic", "Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Forwarded-Host: evil.example",
           "X-HTTP-Method-Override: DELETE", "Origin: http://evil.example", "Referer: http://evil.example/", "Accept: a/b",
           "User-Agent: x", "Date: x", "Age: 1", "Location: /", "HTTP2-Settings: x", "Proxy: x", "Early-Data: 1",
           "X-Original-URL: /admin", "X-Real-IP: 192.0.2.1", "CDN-Loop: x")

TITLE = "Chunked request bodies"
CASES = [
    fine("one-chunk", "9112 7.1", "5\r\nhello\r\n" + LAST, "hello"),
    fine("two-chunks", "9112 7.1", "2\r\nhe\r\n3\r\nllo\r\n" + LAST, "hello"),
    fine("chunks-in-octets", "9112 7.1", "2\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n", "hello", trailers="X: y\r\n", cut=1),
    fine("no-chunks", "9112 7.1", LAST, ""),
    fine("size-in-capitals", "9112 7.1", "A\r\n0123456789\r\n" + LAST, "0123456789"),
    fine("size-with-zeros", "9112 7.1", "0000000000000005\r\nhello\r\n" + LAST, "hello"),
    fine("last-chunk-of-zeros", "9112 7.1", "5\r\nhello\r\n000\r\n\r\n", "hello"),
    fine("chunk-of-crlf", "9112 7.1", "4\r\n\r\n\r\n\r\n" + LAST, "\r\n\r\n"),
    fine("chunk-that-looks-like-the-end", "9112 7.1", "5\r\n0\r\n\r\n\r\n" + LAST, "0\r\n\r\n"),
    fine("extension", "9112 7.1.1", "5;a=b\r\nhello\r\n0;c\r\n\r\n", "hello"),
    fine("extension-quoted", "9112 7.1.1", '5;a="b;c"\r\nhello\r\n' + LAST, "hello"),
    fine("extension-with-space", "9112 7.1.1", "5; a = b\r\nhello\r\n" + LAST, "hello"),
    fine("extension-of-255", "9112 7.1.1", f"5;{'a' * 255}\r\nhello\r\n" + LAST, "hello"),
    broken("extension-of-256", "9112 7.1.1", f"5;{'a' * 256}\r\nhello\r\n" + LAST),
    broken("extensions-over-16-kib", "9112 7.1.1", f"1;{'a' * 250}\r\nx\r\n" * 70 + LAST, "x" * 69),
    broken("extension-bare-lf", "9112 7.1.1", "5;a=\nhello\r\n" + LAST),
    broken("extension-bare-lf-smuggles", "9112 7.1.1", "5;\nhello\r\n" + LAST),
    broken("extension-bare-cr", "9112 7.1.1", "5;a\rb\r\nhello\r\n" + LAST),
    broken("extension-nul", "9112 7.1.1", "5;a\0\r\nhello\r\n" + LAST),
    broken("extension-latin-1", "9112 7.1.1", "5;a\xff\r\nhello\r\n" + LAST),
    *(broken(f"size-{name}", "9112 7.1", size + "\r\nhello\r\n" + LAST)
      for name, size in (("empty", ""), ("plus", "+5"), ("minus", "-5"), ("hex-prefix", "0x5"), ("h-suffix", "5h"), ("g", "g"),
                         ("space-before", " 5"), ("space-behind", "5 "), ("tab-behind", "5\t"), ("space-extension", "5 ;a"),
                         ("comma", "5,5"), ("underscore", "0_5"), ("quoted", '"5"'), ("float", "5.0"), ("nul", "5\0"),
                         ("vertical-tab", "\x0b5"), ("latin-1", "5\xa0"), ("fullwidth", "\xef\xbc\x95"), ("17-digits", "0" * 16 + "5"),
                         ("wraps-at-2-to-64", "10000000000000005"), ("2-to-63", "8000000000000005"), ("2-to-62", "4000000000000005"),
                         ("16-f", "f" * 16), ("minus-1", "-1"), ("colon", "5:"), ("cr", "5\r"))),
    broken("size-bare-lf", "9112 7.1", "5\nhello\r\n" + LAST),
    broken("size-bare-cr", "9112 7.1", "5\rhello\r\n" + LAST),
    broken("size-crlf-before", "9112 7.1", "\r\n5\r\nhello\r\n" + LAST),
    broken("data-longer", "9112 7.1", "5\r\nhello!\r\n" + LAST, "hello"),
    broken("data-shorter", "9112 7.1", "6\r\nhello\r\n" + LAST, "hello\r"),
    broken("data-without-crlf", "9112 7.1", "5\r\nhello" + LAST, "hello"),
    broken("data-bare-lf", "9112 7.1", "5\r\nhello\n" + LAST, "hello"),
    broken("data-bare-cr", "9112 7.1", "5\r\nhello\r" + LAST, "hello"),
    broken("data-lf-cr", "9112 7.1", "5\r\nhello\n\r" + LAST, "hello"),
    broken("data-two-octets-other", "9112 7.1", "5\r\nhelloXX" + LAST, "hello"),
    broken("last-chunk-bare-lf", "9112 7.1", "5\r\nhello\r\n0\n\r\n", "hello"),
    broken("end-bare-lf", "9112 7.1", "5\r\nhello\r\n0\r\n\n", "hello"),
    broken("end-bare-cr", "9112 7.1", "5\r\nhello\r\n0\r\n\rGET", "hello"),
    broken("end-without-empty-line", "9112 7.1", "5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n", "hello"),
    closed("cut-in-a-size", "9112 8", "5"),
    closed("cut-in-a-chunk", "9112 8", "5\r\nhel", "hel"),
    closed("cut-behind-a-chunk", "9112 8", "5\r\nhello\r\n", "hello"),
    closed("cut-behind-the-last-chunk", "9112 8", "5\r\nhello\r\n0\r\n", "hello"),
    closed("cut-in-a-trailer", "9112 8", "5\r\nhello\r\n0\r\nX: y\r\n", "hello"),

    fine("trailers", "9112 7.1.2", "5\r\nhello\r\n0\r\nX: y\r\nz:w\r\n\r\n", "hello", trailers="X: y\r\nz: w\r\n"),
    fine("trailers-announced", "9110 6.6.2", "0\r\nX: y\r\n\r\n", "", "Trailer: X", passing=("Trailer: X",), trailers="X: y\r\n"),
    *(fine(f"trailer-{line.split(':')[0].lower()}-is-dropped", "9110 6.5.1", f"0\r\nA: 1\r\n{line}\r\nB: 2\r\n\r\n", "",
           trailers="A: 1\r\nB: 2\r\n") for line in DROPPED),
    fine("trailer-nominated-is-dropped", "9110 7.6.1", "0\r\nA: 1\r\nX-Hop: 2\r\n\r\n", "", "Connection: x-hop", trailers="A: 1\r\n"),
    fine("trailer-nominated-second", "9110 7.6.1", "0\r\nA: 1\r\nX-Hop: 2\r\nY-Hop: 3\r\n\r\n", "",
         "Connection: keep-alive", "X-Hop: 0", "Connection: y-hop,X-HOP", trailers="A: 1\r\n"),
    broken("trailer-fold", "9112 5.2", "0\r\nX: a\r\n b\r\n\r\n"),
    broken("trailer-space-first", "9112 5.2", "0\r\n X: a\r\n\r\n"),
    broken("trailer-no-colon", "9112 5", "0\r\nX\r\n\r\n"),
    broken("trailer-empty-name", "9112 5", "0\r\n: a\r\n\r\n"),
    broken("trailer-space-before-colon", "9112 5.1", "0\r\nX : a\r\n\r\n"),
    broken("trailer-bare-lf", "9112 2.2", "0\r\nX: a\n\r\n"),
    broken("trailer-bare-cr", "9112 2.2", "0\r\nX: a\rY: b\r\n\r\n"),
    broken("trailer-nul", "9110 5.5", "0\r\nX: a\0\r\n\r\n"),
    broken("trailers-33", "9110 5.4", "0\r\n" + "X: y\r\n" * 33 + "\r\n"),
    broken("trailers-over-8-kib", "9110 5.4", "0\r\nX: " + "y" * 8200 + "\r\n\r\n"),
]
