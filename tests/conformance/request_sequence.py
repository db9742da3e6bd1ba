"""More than one request on a connection, and octets behind one that was refused (RFC 9112 9.3, RFC 9931)."""
from .notation import ORIGIN, URL, Refused, RequestCase, get, good, head, onward, post

EVIL = {"url": "http://evil.example:10080/", "host": "Host: evil.example:10080"}
SECOND = get(url=URL + "/2")
TWO = onward("GET /2 HTTP/1.1")
NO_RULE = Refused("no-rule", 403)


def ended(name, rfc, send, *outcomes, **more):
    return RequestCase(name, rfc, send, list(outcomes), ends=True, **more)


TITLE = "Several requests on one connection"
CASES = [
    good("two", "9112 9.3.2", get() + SECOND, onward(), TWO),
    good("three-in-octets", "9112 9.3.2", get() + post("Content-Length: 2", body="hi") + SECOND, onward(),
         onward("POST / HTTP/1.1", length=2, body="hi"), TWO, cut=1),
    good("three-in-sevens", "9112 9.3.2", get() + post("Transfer-Encoding: chunked", body="2\r\nhi\r\n0\r\n\r\n") + SECOND, onward(),
         onward("POST / HTTP/1.1", chunked=True, body="hi"), TWO, cut=7),
    good("empty-line-between", "9112 2.2", post("Content-Length: 2", body="hi") + "\r\n" + SECOND,
         onward("POST / HTTP/1.1", length=2, body="hi"), TWO),
    ended("two-empty-lines-between", "9112 2.2", post("Content-Length: 2", body="hi") + "\r\n\r\n" + SECOND,
          onward("POST / HTTP/1.1", length=2, body="hi"), Refused("bad-request-line")),
    good("denied-in-the-middle", "9112 9.3.2", get() + get(**EVIL) + SECOND, onward(), NO_RULE, TWO),
    good("denied-then-allowed", "9112 9.3.2", get(**EVIL) + SECOND, NO_RULE, TWO),
    RequestCase("denied-head-has-no-body", "9110 9.3.2", get(method="HEAD", **EVIL), [NO_RULE]),
    RequestCase("denied-heads", "9110 9.3.2", get(method="HEAD", **EVIL) * 3, [NO_RULE] * 3),
    good("denied-with-length-0", "9112 9.3", post("Content-Length: 0", **EVIL) + SECOND, NO_RULE, TWO),
    ended("denied-with-a-body", "9112 9.3", post(f"Content-Length: {len(SECOND)}", body=SECOND, **EVIL) + SECOND, NO_RULE),
    ended("denied-with-chunks", "9112 9.3", post("Transfer-Encoding: chunked", body="0\r\n\r\n", **EVIL) + SECOND, NO_RULE),
    ended("denied-and-close", "9112 9.6", get("Connection: close", **EVIL) + SECOND, NO_RULE),
    ended("denied-in-1.0", "9112 9.3", get(version="HTTP/1.0", **EVIL) + SECOND, NO_RULE),
    ended("close-and-another-behind", "9112 9.6", get("Connection: close") + SECOND, onward()),
    ended("http-1.0-and-another-behind", "9112 9.3", get(version="HTTP/1.0") + SECOND, onward(minor=0)),
    ended("error-and-another-behind", "9112 9.6", get("X : y") + SECOND, Refused("bad-field")),
    ended("good-then-error-then-good", "9112 9.6", get() + get("X : y") + SECOND, onward(), Refused("bad-field")),
    ended("cl-te-and-another-behind", "9112 6.3", post("Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\n") + SECOND,
          Refused("length-conflict")),
    ended("body-longer-than-its-length", "9112 6.3", post("Content-Length: 4", body="helloX") + SECOND,
          onward("POST / HTTP/1.1", length=4, body="hell"), Refused("bad-method")),
    ended("octets-behind-a-get", "9112 9.3.2", get() + "hello" + SECOND, onward(), Refused("bad-method")),
    good("octet-behind-length-0-is-part-of-the-next-method", "9112 6.3", post("Content-Length: 0") + "X" + SECOND,
         onward("POST / HTTP/1.1", length=0), onward("XGET /2 HTTP/1.1")),
    ended("tls-behind-a-request", "8446 5.1", get() + "\x16\x03\x01\x00\x05", onward(), Refused("tls-on-plain")),
    ended("http2-behind-a-request", "9113 3.4", get() + "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", onward(), Refused("http2-on-plain")),
    ended("connect-refused-and-a-request-behind", "9931",
          head("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443") + SECOND, NO_RULE),
    ended("connect-malformed-and-a-request-behind", "9931",
          head("CONNECT origin.corp.example HTTP/1.1", "Host: origin.corp.example") + SECOND, Refused("bad-port")),
    ended("connect-refused-and-tls-behind", "9931",
          head("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443") + "\x16\x03\x01\x02\x00\x01", NO_RULE),
    ended("connect-refused-keep-alive-asked", "9931",
          head("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443", "Proxy-Connection: keep-alive") + SECOND, NO_RULE),
    ended("connect-refused-behind-a-request", "9931",
          get() + head("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443") + SECOND, onward(), NO_RULE),
    ended("connect-with-length", "9110 9.3.6", head(f"CONNECT {ORIGIN} HTTP/1.1", f"Host: {ORIGIN}", f"Content-Length: {len(SECOND)}") + SECOND,
          Refused("connect-with-body")),
    ended("connect-with-chunks", "9110 9.3.6", head(f"CONNECT {ORIGIN} HTTP/1.1", f"Host: {ORIGIN}", "Transfer-Encoding: chunked")
          + "0\r\n\r\n" + SECOND, Refused("connect-with-body")),
]
