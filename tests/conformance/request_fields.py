"""Host, field lines and the size of a head (RFC 9112 3.2, 5; RFC 9110 5, 7.2)."""
from .notation import ORIGIN, URL, bad, get, good, head, onward

HOST = f"Host: {ORIGIN}"
LINE = f"GET {URL}/ HTTP/1.1"


def field(text):
    return get(text)


def host(*lines, version="HTTP/1.1"):
    return head(f"GET {URL}/ {version}", *lines)


TITLE = "Host and other fields"
CASES = [
    bad("host-absent", "9112 3.2", host(), "host-missing"),
    bad("host-absent-others-there", "9112 3.2", host("X-Host: " + ORIGIN), "host-missing"),
    bad("host-empty", "9110 7.2", host("Host:"), "host-missing"),
    bad("host-only-space", "9110 7.2", host("Host: \t "), "host-missing"),
    bad("host-twice-the-same", "9112 3.2", host(HOST, HOST), "host-repeated"),
    bad("host-twice-another", "9112 3.2", host(HOST, "Host: evil.example"), "host-repeated"),
    bad("host-twice-other-case", "9112 3.2", host(HOST, "hOST: " + ORIGIN), "host-repeated"),
    bad("host-list", "9112 3.2", host(f"Host: {ORIGIN}, {ORIGIN}"), "bad-host"),
    bad("host-list-of-two", "9112 3.2", host("Host: origin.corp.example, evil.example"), "bad-host"),
    bad("host-at-odds", "9112 3.2.2", host("Host: evil.example"), "host-mismatch"),
    bad("host-at-odds-by-a-label", "9112 3.2.2", host("Host: x." + ORIGIN), "host-mismatch"),
    bad("host-at-odds-by-port", "9112 3.2.2", host("Host: origin.corp.example:10081"), "host-mismatch"),
    bad("host-without-the-port", "9112 3.2.2", host("Host: origin.corp.example"), "host-mismatch"),
    bad("host-is-an-address", "9112 3.2.2", host("Host: 127.0.0.1:10080"), "host-mismatch"),
    bad("host-with-userinfo", "9110 7.2", host(f"Host: user@{ORIGIN}"), "bad-host"),
    bad("host-with-scheme", "9110 7.2", host(f"Host: http://{ORIGIN}"), "bad-host"),
    bad("host-with-path", "9110 7.2", host("Host: origin.corp.example/"), "bad-host"),
    bad("host-with-query", "9110 7.2", host("Host: origin.corp.example?x"), "bad-host"),
    bad("host-with-fragment", "9110 7.2", host("Host: origin.corp.example#x"), "bad-host"),
    bad("host-with-space", "9110 7.2", host("Host: origin.corp.example evil.example"), "bad-host"),
    bad("host-with-empty-port", "9110 7.2", host("Host: origin.corp.example:"), "bad-port"),
    bad("host-with-huge-port", "9110 7.2", host("Host: origin.corp.example:75616"), "bad-port"),
    bad("host-field-utf-8", "9110 7.2", host("Host: b\xc3\xbccher.origin.corp.example:10080"), "bad-character"),
    bad("host-field-nul", "9110 5.5", host(f"Host: {ORIGIN}\0"), "bad-character"),
    bad("host-space-before-colon", "9112 5.1", host(f"Host : {ORIGIN}"), "bad-field"),
    bad("host-space-before-name", "9112 2.2", host(f" Host: {ORIGIN}"), "obs-fold"),
    bad("host-folded", "9112 5.2", host("Host:", f" {ORIGIN}"), "obs-fold"),
    bad("host-behind-a-fold", "9112 5.2", host(HOST, " Host: evil.example"), "obs-fold"),
    good("host-field-in-capitals", "9110 4.2.3", host("HOST: ORIGIN.CORP.EXAMPLE:10080")),
    good("host-with-final-dot-in-field", "9110 4.2.3", host("Host: origin.corp.example.:10080")),
    good("host-without-space", "9112 5", host("Host:" + ORIGIN)),
    good("host-with-tabs", "9112 5", host(f"Host:\t {ORIGIN} \t")),
    good("host-behind-other-fields", "9110 7.2", host("X: y", HOST), onward("GET / HTTP/1.1", "X: y")),
    good("host-absent-in-1.0", "9112 3.2", host(version="HTTP/1.0"), onward(minor=0), ends=True),
    bad("host-twice-in-1.0", "9112 3.2", host(HOST, HOST, version="HTTP/1.0"), "host-repeated"),
    bad("host-empty-in-1.0", "9112 3.2", host("Host:", version="HTTP/1.0"), "host-missing"),
    good("host-likes-go-on", "9110 7.2", get("X-Forwarded-Host: evil.example", "X-Host: evil.example"),
         onward("GET / HTTP/1.1", "X-Forwarded-Host: evil.example", "X-Host: evil.example")),

    bad("no-colon", "9112 5", field("novalue"), "bad-field"),
    bad("empty-name", "9112 5", field(": y"), "bad-field"),
    bad("space-before-colon", "9112 5.1", field("X : y"), "bad-field"),
    bad("tab-before-colon", "9112 5.1", field("X\t: y"), "bad-field"),
    bad("space-in-name", "9110 5.6.2", field("X Y: z"), "bad-field"),
    bad("name-only-space", "9112 5.1", field(" : y"), "obs-fold"),
    *(bad(f"name-with-{ord(octet):02x}", "9110 5.6.2", field(f"X{octet}Y: z"), "bad-field")
      for octet in '"(),/;<=>?@[\\]{}\x80\xe9\xff'),
    good("name-with-token-octets", "9110 5.6.2", field("X!#$%&'*+-.^_`|~0: y"), onward("GET / HTTP/1.1", "X!#$%&'*+-.^_`|~0: y")),
    good("name-with-underscore-is-another", "9110 5.1", field("Content_Length: 5"), onward("GET / HTTP/1.1", "Content_Length: 5")),
    *(bad(f"name-with-control-{ord(octet):02x}", "9110 5.5", field(f"X{octet}Y: z"), "bad-character")
      for octet in "\0\x01\x0b\x0c\x1b\x7f"),
    *(bad(f"value-with-{ord(octet):02x}", "9110 5.5", field(f"X: a{octet}b"), "bad-character")
      for octet in "\0\x01\x02\x07\x08\x0b\x0c\x0e\x1b\x1f\x7f"),
    *(good(f"value-with-{ord(octet):02x}", "9110 5.5", field(f"X: a{octet}b"), onward("GET / HTTP/1.1", f"X: a{octet}b"))
      for octet in "\t\x80\x85\xa0\xff"),
    good("value-empty", "9110 5.5", field("X:"), onward("GET / HTTP/1.1", "X: ")),
    good("value-loses-outer-space", "9112 5", field("X:  \t y z \t "), onward("GET / HTTP/1.1", "X: y z")),
    good("value-with-colons", "9112 5", field("X: :a: b:"), onward("GET / HTTP/1.1", "X: :a: b:")),
    good("fields-keep-their-order", "9110 5.3", get("B: 1", "A: 2", "b: 3"), onward("GET / HTTP/1.1", "B: 1", "A: 2", "b: 3")),
    bad("lf-in-value", "9112 2.2", field("X: a\nHost: evil.example"), "bad-line-ending"),
    bad("cr-in-value", "9112 2.2", field("X: a\rHost: evil.example"), "bad-line-ending"),
    bad("cr-cr-lf-in-field", "9112 2.2", field("X: a\r"), "bad-line-ending"),
    bad("lf-ends-the-head", "9112 2.2", f"{LINE}\r\n{HOST}\r\n\n", "bad-line-ending"),
    bad("cr-ends-the-head", "9112 2.2", f"{LINE}\r\n{HOST}\r\n\rX", "bad-line-ending"),
    bad("nul-ends-the-head", "9112 2.2", f"{LINE}\r\n{HOST}\r\n\0\r\n\r\n", "bad-character"),
    bad("fold-with-space", "9112 5.2", get("X: a", " b"), "obs-fold"),
    bad("fold-with-tab", "9112 5.2", get("X: a", "\tb"), "obs-fold"),
    bad("fold-empty", "9112 5.2", get("X: a", " "), "obs-fold"),
    bad("fold-hides-a-field", "9112 5.2", get("X: a", " Transfer-Encoding: chunked"), "obs-fold"),
    bad("space-before-first-field", "9112 2.2", head(LINE, " " + HOST, HOST), "obs-fold"),
    good("fields-exactly-100", "9110 5.4", get(*[f"X-{n}: y" for n in range(99)]),
         onward("GET / HTTP/1.1", *[f"X-{n}: y" for n in range(99)])),
    bad("fields-101", "9110 5.4", get(*[f"X-{n}: y" for n in range(100)]), "too-many-fields", 431),
    bad("fields-without-end", "9110 5.4", f"{LINE}\r\n{HOST}\r\n" + "X: y\r\n" * 5000, "too-many-fields", 431),
    bad("head-too-large", "9110 5.4", get("X: " + "y" * 33000), "head-too-large", 431),
    bad("name-too-large", "9110 5.4", get("y" * 33000 + ": x"), "head-too-large", 431),
    bad("head-cut-short", "9112 8", f"{LINE}\r\n{HOST}\r\nX: y", "client-closed", None, finish=True),
    bad("line-cut-short", "9112 8", f"GET {URL}/ HT", "client-closed", None, finish=True),
    bad("response-fields-only", "9112 3", "X: y\r\n" + get(), "bad-method"),
]
