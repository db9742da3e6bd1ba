"""Bodies of answers: their length, their end, and what stands behind it (RFC 9112 6 to 9)."""
from .notation import ORIGIN, URL, Aborted, BadGateway, ResponseCase, get, head, relayed

OK = "HTTP/1.1 200 OK"
FORGED = head("HTTP/1.1 200 OK", "Content-Length: 6", "X: forged") + "forged"
LAST = "0\r\n\r\n"
HEAD = get(method="HEAD")
OLD = get(version="HTTP/1.0")
CHUNKS = "Transfer-Encoding: chunked"


def gives(name, rfc, answer, outcome, **more):
    return ResponseCase(name, rfc, answer, outcome, **more)


def garbage(name, rfc, *fields, line=OK, body="", **more):
    return ResponseCase(name, rfc, head(line, *fields) + body, BadGateway("origin-not-http"), kept=False, **more)


def chunked(body):
    return head(OK, CHUNKS) + body


def aborted(body="", code="origin-truncated", framing="chunked", length=None):
    """`body`: the most that the client may have of it."""
    return Aborted(relayed(framing=framing, length=length).head, body, code, framing)


def bad_chunk(name, rfc, body):
    """A first chunk that is sound, so that the head has gone to the client, and then this."""
    return gives(name, rfc, chunked("5\r\nhello\r\n"), aborted("hello"), then=body, kept=False, ends=True)


TITLE = "Bodies of responses"
CASES = [
    gives("length", "9112 6.3", head(OK, "Content-Length: 5") + "hello", relayed(framing="length", body="hello"), kept=True),
    gives("length-to-1.0", "9112 6.3", head(OK, "Content-Length: 5") + "hello", relayed(framing="length", body="hello", close=True),
          request=OLD, ends=True, kept=True),
    gives("chunks", "9112 7.1", chunked("5\r\nhello\r\n6\r\n world\r\n" + LAST), relayed(framing="chunked", body="hello world"), kept=True),
    gives("chunks-extension", "9112 7.1.1", chunked('5;a="b"\r\nhello\r\n0;c\r\n\r\n'), relayed(framing="chunked", body="hello"), kept=True),
    gives("chunks-trailers", "9112 7.1.2", chunked("5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
          relayed(framing="chunked", body="hello", trailers="X: y\r\n"), kept=True),
    gives("chunks-trailers-announced", "9110 6.6.2", head(OK, "Trailer: X", CHUNKS) + "0\r\nX: y\r\n\r\n",
          relayed(OK, "Trailer: X", framing="chunked", trailers="X: y\r\n"), kept=True),
    gives("chunks-to-1.0", "9112 7.1", chunked("5\r\nhello\r\n0\r\nX: y\r\n\r\n"), relayed(framing="close", body="hello", close=True),
          request=OLD, ends=True, kept=True),
    gives("to-close", "9112 6.3", head(OK) + "hello", relayed(framing="chunked", body="hello"), after="fin", kept=False),
    gives("to-close-empty", "9112 6.3", head(OK), relayed(framing="chunked"), after="fin", kept=False),
    gives("to-close-1.0", "9112 6.3", head("HTTP/1.0 200 OK") + "hello", relayed(framing="chunked", body="hello", minor=0), after="fin",
          kept=False),
    gives("to-close-to-1.0", "9112 6.3", head(OK) + "hello", relayed(framing="close", body="hello", close=True), after="fin", kept=False,
          request=OLD, ends=True),
    gives("to-close-looks-like-answers", "9112 6.3", head(OK) + FORGED, relayed(framing="chunked", body=FORGED), after="fin", kept=False),
    *(gives(f"chunks-trailer-{line.split(':')[0].lower()}-is-dropped", "9110 6.5.1", chunked(f"0\r\nA: 1\r\n{line}\r\n\r\n"),
            relayed(framing="chunked", trailers="A: 1\r\n"), kept=True)
      for line in ("Content-Length: 5", "Transfer-Encoding: chunked", "Set-Cookie: a=b", "WWW-Authenticate: Basic", "Connection: close",
                   "Proxy-Authenticate: Basic", "Location: /", "Content-Encoding: gzip", "Cache-Control: public", "Vary: *",
                   "Access-Control-Allow-Origin: *", "Strict-Transport-Security: max-age=0", "Exeat-Decision: x", "Retry-After: 1",
                   "Age: 1", "Expires: 0", "Date: x", "Warning: x", "Alt-Svc: clear", "Clear-Site-Data: \"*\"")),
    gives("chunks-trailer-nominated-is-dropped", "9110 7.6.1", head(OK, "Connection: x-hop", CHUNKS) + "0\r\nX-Hop: 1\r\nA: 1\r\n\r\n",
          relayed(framing="chunked", trailers="A: 1\r\n"), kept=True),

    garbage("cl-te-answer", "9112 6.3", "Content-Length: 5", CHUNKS, body="5\r\nhello\r\n0\r\n\r\n"),
    garbage("te-cl-answer", "9112 6.3", CHUNKS, "Content-Length: 5", body="5\r\nhello\r\n0\r\n\r\n"),
    garbage("cl-te-answer-to-head", "9112 6.3", CHUNKS, "Content-Length: 5", request=HEAD),
    garbage("te-in-1.0-answer", "9112 6.1", CHUNKS, line="HTTP/1.0 200 OK", body="5\r\nhello\r\n0\r\n\r\n"),
    *(garbage(f"answer-te-{name}", "9112 6.1", f"Transfer-Encoding:{value}", body="5\r\nhello\r\n0\r\n\r\n")
      for name, value in (("gzip", " gzip"), ("gzip-chunked", " gzip, chunked"), ("chunked-chunked", " chunked, chunked"),
                          ("identity", " identity"), ("xchunked", " xchunked"), ("empty", ""), ("parameter", " chunked;q=1"),
                          ("latin-1", " chunked\xff"), ("comma", " chunked,"), ("quoted", ' "chunked"'))),
    garbage("answer-te-twice", "9112 6.1", CHUNKS, CHUNKS, body=LAST),
    garbage("answer-te-nul", "9110 5.5", "Transfer-Encoding: chunked\0", body=LAST),
    garbage("answer-te-space-before-colon", "9112 5.1", "Transfer-Encoding : chunked", body=LAST),
    *(garbage(f"answer-length-{name}", "9112 6.3", f"Content-Length:{value}", body="hello")
      for name, value in (("plus", " +5"), ("minus", " -5"), ("hex", " 0x5"), ("octal-zero", " 05"), ("list", " 5, 5"),
                          ("list-of-two", " 5, 6"), ("empty", ""), ("letters", " five"), ("20-digits", " 18446744073709551621"),
                          ("float", " 5.0"), ("space-within", " 5 5"), ("comma", " 5,"), ("latin-1", " 5\xa0"))),
    garbage("answer-length-twice-the-same", "9112 6.3", "Content-Length: 5", "Content-Length: 5", body="hello"),
    garbage("answer-length-twice-another", "9112 6.3", "Content-Length: 5", "Content-Length: 6", body="hello!"),

    gives("surplus-behind-length", "9112 9.2", head(OK, "Content-Length: 5") + "hello" + FORGED, relayed(framing="length", body="hello"),
          kept=False),
    gives("surplus-one-octet", "9112 9.2", head(OK, "Content-Length: 5") + "hello!", relayed(framing="length", body="hello"), kept=False),
    gives("surplus-crlf", "9112 9.2", head(OK, "Content-Length: 5") + "hello\r\n", relayed(framing="length", body="hello"), kept=False),
    gives("surplus-behind-length-0", "9112 9.2", head(OK, "Content-Length: 0") + FORGED, relayed(length=0), kept=False),
    gives("surplus-behind-chunks", "9112 9.2", chunked("5\r\nhello\r\n" + LAST + FORGED), relayed(framing="chunked", body="hello"), kept=False),
    gives("surplus-behind-204", "9112 6.3", head("HTTP/1.1 204 No Content") + FORGED, relayed("HTTP/1.1 204 No Content"), kept=False),
    gives("surplus-behind-304", "9112 6.3", head("HTTP/1.1 304 Not Modified", "Content-Length: 6") + "forged",
          relayed("HTTP/1.1 304 Not Modified", length=6), kept=False),
    gives("surplus-behind-304-chunked", "9112 6.3", head("HTTP/1.1 304 Not Modified", CHUNKS) + "5\r\nhello\r\n" + LAST,
          relayed("HTTP/1.1 304 Not Modified"), kept=False),
    gives("surplus-behind-head", "9112 6.3", head(OK, "Content-Length: 6") + "forged", relayed(length=6), request=HEAD, kept=False),
    gives("surplus-behind-head-chunked", "9112 6.3", head(OK, CHUNKS) + "5\r\nhello\r\n" + LAST, relayed(), request=HEAD, kept=False),
    gives("surplus-behind-head-forged-answer", "9112 6.3", head(OK) + FORGED, relayed(), request=HEAD, kept=False),
    gives("204", "9110 15.3.5", head("HTTP/1.1 204 No Content"), relayed("HTTP/1.1 204 No Content"), kept=True),
    gives("204-length-0", "9110 8.6", head("HTTP/1.1 204 No Content", "Content-Length: 0"), relayed("HTTP/1.1 204 No Content"), kept=True),
    garbage("204-length-5", "9110 8.6", "Content-Length: 5", line="HTTP/1.1 204 No Content", body="hello"),
    garbage("204-chunked", "9112 6.1", CHUNKS, line="HTTP/1.1 204 No Content", body=LAST),
    gives("304", "9110 15.4.5", head("HTTP/1.1 304 Not Modified", "ETag: \"x\""), relayed("HTTP/1.1 304 Not Modified", "ETag: \"x\""), kept=True),
    gives("304-length", "9110 8.6", head("HTTP/1.1 304 Not Modified", "Content-Length: 5"),
          relayed("HTTP/1.1 304 Not Modified", length=5), kept=True),
    gives("head-length", "9110 8.6", head(OK, "Content-Length: 5"), relayed(length=5), request=HEAD, kept=True),
    gives("head-without-length", "9110 9.3.2", head(OK), relayed(), request=HEAD, kept=True),
    gives("205-with-body-is-framed", "9110 15.3.6", head("HTTP/1.1 205 Reset", "Content-Length: 1") + "x",
          relayed("HTTP/1.1 205 Reset", framing="length", body="x"), kept=True),

    gives("cut-length-fin", "9112 8", head(OK, "Content-Length: 10") + "hello", aborted("hello", framing="length", length=10), after="fin",
          ends=True, kept=False),
    gives("cut-length-rst", "9112 8", head(OK, "Content-Length: 10") + "hello", aborted("hello", framing="length", length=10), then="", after="rst",
          ends=True, kept=False),
    gives("cut-length-before-the-body", "9112 8", head(OK, "Content-Length: 10"), aborted("", framing="length", length=10), then="", after="fin",
          ends=True, kept=False),
    gives("cut-chunk-fin", "9112 8", chunked("5\r\nhel"), aborted("hel"), after="fin", ends=True, kept=False),
    gives("cut-behind-chunk", "9112 8", chunked("5\r\nhello\r\n"), aborted("hello"), after="fin", ends=True, kept=False),
    gives("cut-behind-last-chunk", "9112 8", chunked("5\r\nhello\r\n0\r\n"), aborted("hello"), after="fin", ends=True, kept=False),
    gives("cut-in-an-answers-trailer", "9112 8", chunked("5\r\nhello\r\n0\r\nX: y"), aborted("hello"), after="fin", ends=True, kept=False),
    gives("cut-to-1.0-chunk", "9112 8", chunked("5\r\nhello\r\n"), Aborted(relayed(close=True).head, "hello", "origin-truncated", "close"),
          request=OLD, after="fin", ends=True, kept=False),
    gives("cut-to-close-rst", "9112 8", head(OK) + "hello", aborted("hello"), then="", after="rst", ends=True, kept=False),
    *(bad_chunk(f"answer-chunk-size-{name}", "9112 7.1", size + "\r\nhello\r\n" + LAST)
      for name, size in (("empty", ""), ("plus", "+5"), ("minus", "-5"), ("hex-prefix", "0x5"), ("g", "g"), ("space-before", " 5"),
                         ("space-behind", "5 "), ("comma", "5,5"), ("nul", "5\0"), ("latin-1", "5\xff"), ("17-digits", "0" * 16 + "5"),
                         ("wraps-at-2-to-64", "10000000000000005"), ("2-to-62", "4000000000000000"), ("cr", "5\r"))),
    bad_chunk("answer-chunk-size-bare-lf", "9112 7.1", "5\nhello\r\n" + LAST),
    bad_chunk("answer-chunk-extension-bare-lf", "9112 7.1.1", "5;a\nhello\r\n" + LAST),
    bad_chunk("answer-chunk-extension-of-256", "9112 7.1.1", f"5;{'a' * 256}\r\nhello\r\n" + LAST),
    bad_chunk("answer-chunk-end-bare-lf", "9112 7.1", "0\r\n\n"),
    bad_chunk("answer-chunk-last-bare-lf", "9112 7.1", "0\n\r\n"),
    bad_chunk("answer-chunk-trailer-fold", "9112 5.2", "0\r\nX: y\r\n z\r\n\r\n"),
    bad_chunk("answer-chunk-trailer-no-colon", "9112 5", "0\r\nX\r\n\r\n"),
    bad_chunk("answer-chunk-trailer-bare-lf", "9112 2.2", "0\r\nX: y\n\r\n"),
    bad_chunk("answer-chunk-trailer-is-an-answer", "9112 7.1", "0\r\n" + FORGED),
    bad_chunk("answer-chunk-trailers-33", "9110 5.4", "0\r\n" + "X: y\r\n" * 33 + "\r\n"),
    gives("answer-chunk-bad-from-the-start", "9112 7.1", chunked("zz\r\nhello\r\n" + LAST), BadGateway("origin-not-http"), kept=False),
    gives("answer-chunk-longer-than-its-size", "9112 7.1", chunked("5\r\nhello!\r\n" + LAST), aborted("hello"), kept=False, ends=True),
]
