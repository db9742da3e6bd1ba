"""The request line (RFC 9112 3)."""
from .notation import ORIGIN, URL, bad, get, good, head, onward

HOST = f"Host: {ORIGIN}"


def line(text):
    return head(text, HOST)


TITLE = "Request line"
CASES = [
    good("plain-get", "9112 3", get()),
    good("lines-cut-into-octets", "9112 2.2", get("X: y"), onward("GET / HTTP/1.1", "X: y"), cut=1),
    good("empty-line-before", "9112 2.2", "\r\n" + get()),
    bad("two-empty-lines-before", "9112 2.2", "\r\n\r\n" + get(), "bad-request-line"),
    bad("bare-lf-before", "9112 2.2", "\n" + get(), "bad-line-ending"),
    bad("bare-cr-before", "9112 2.2", "\r" + get(), "bad-line-ending"),
    bad("space-before", "9112 2.2", " " + get(), "bad-request-line"),
    bad("byte-order-mark-before", "9112 2.2", "\xef\xbb\xbf" + get(), "bad-character"),
    bad("nothing-but-empty-lines", "9112 2.2", "\r\n" * 8, "bad-request-line"),
    bad("bare-lf-behind", "9112 2.2", f"GET {URL}/ HTTP/1.1\n{HOST}\r\n\r\n", "bad-line-ending"),
    bad("bare-lf-everywhere", "9112 2.2", f"GET {URL}/ HTTP/1.1\n{HOST}\n\n", "bad-line-ending"),
    bad("bare-cr-behind", "9112 2.2", f"GET {URL}/ HTTP/1.1\r{HOST}\r\n\r\n", "bad-line-ending"),
    bad("cr-cr-lf", "9112 2.2", f"GET {URL}/ HTTP/1.1\r\r\n{HOST}\r\n\r\n", "bad-line-ending"),
    bad("lf-cr", "9112 2.2", f"GET {URL}/ HTTP/1.1\n\r{HOST}\n\r\n\r", "bad-line-ending"),
    bad("cr-within-target", "9112 2.2", line(f"GET {URL}/a\rb HTTP/1.1"), "bad-line-ending"),
    bad("lf-within-target", "9112 2.2", line(f"GET {URL}/a\nb HTTP/1.1"), "bad-line-ending"),
    bad("two-spaces-behind-method", "9112 3", line(f"GET  {URL}/ HTTP/1.1"), "bad-request-line"),
    bad("two-spaces-behind-target", "9112 3", line(f"GET {URL}/  HTTP/1.1"), "bad-request-line"),
    bad("space-at-the-end", "9112 3", line(f"GET {URL}/ HTTP/1.1 "), "bad-request-line"),
    bad("space-in-target", "9112 3.2", line(f"GET {URL}/a b HTTP/1.1"), "bad-request-line"),
    bad("second-request-in-target", "9112 3.2", line(f"GET {URL}/ HTTP/1.1 GET {URL}/b HTTP/1.1"), "bad-request-line"),
    *(bad(f"separator-{name}", "9112 3", line(f"GET{octet}{URL}/{octet}HTTP/1.1"), "bad-character")
      for name, octet in (("tab", "\t"), ("vertical-tab", "\v"), ("form-feed", "\f"), ("nbsp", "\xa0"), ("nul", "\0"))),
    *(bad(f"version-separator-{name}", "9112 3", line(f"GET {URL}/{octet}HTTP/1.1"), "bad-character")
      for name, octet in (("tab", "\t"), ("vertical-tab", "\v"), ("form-feed", "\f"), ("nbsp", "\xa0"), ("nul", "\0"))),
    *(bad(f"octet-{ord(octet):02x}-in-line", "9112 3", line(f"GET {URL}/{octet} HTTP/1.1"), "bad-character")
      for octet in "\x01\x08\x0b\x1b\x1f\x7f\x80\xff"),

    bad("no-method", "9112 3.1", line(f" {URL}/ HTTP/1.1"), "bad-request-line"),
    bad("method-only", "9112 3", head("GET", HOST), "bad-request-line"),
    bad("no-target", "9112 3", head("GET HTTP/1.1", HOST), "bad-version", 505),
    bad("lower-case-method", "9110 9.1", line(f"get {URL}/ HTTP/1.1"), "bad-method"),
    bad("mixed-case-method", "9110 9.1", line(f"Get {URL}/ HTTP/1.1"), "bad-method"),
    bad("lower-case-connect", "9110 9.1", head(f"connect {ORIGIN} HTTP/1.1", HOST), "bad-method"),
    *(bad(f"method-with-{name}", "9110 5.6.2", line(f"G{octet}T {URL}/ HTTP/1.1"), "bad-method")
      for name, octet in (("slash", "/"), ("quote", '"'), ("paren", "("), ("comma", ","), ("colon", ":"), ("at", "@"),
                          ("brace", "{"), ("equals", "="), ("backslash", "\\"))),
    bad("method-of-33-octets", "9112 3", line(f"{'A' * 33} {URL}/ HTTP/1.1"), "bad-method"),
    good("method-of-32-octets", "9112 3", line(f"{'A' * 32} {URL}/ HTTP/1.1"), onward(f"{'A' * 32} / HTTP/1.1")),
    good("method-of-webdav", "9110 16.1", line(f"PROPFIND {URL}/ HTTP/1.1"), onward("PROPFIND / HTTP/1.1")),
    good("method-with-hyphen", "9110 5.6.2", line(f"M-SEARCH {URL}/ HTTP/1.1"), onward("M-SEARCH / HTTP/1.1")),
    bad("trace", "9110 9.3.8", line(f"TRACE {URL}/ HTTP/1.1"), "bad-method"),
    bad("trace-max-forwards-0", "9110 7.6.2", get("Max-Forwards: 0", method="TRACE"), "bad-method"),

    bad("http-0.9", "9112 2.3", f"GET {URL}/\r\n", "bad-version", 505),
    bad("http-0.9-path", "9112 2.3", "GET /\r\n", "bad-version", 505),
    bad("http-0.9-smtp-greeting", "9112 2.3", "EHLO evil.example\r\n", "bad-version", 505),
    *(bad(f"version-{version.replace('/', '-').replace(' ', '_').lower()}" + ("-lower" if version.islower() else ""),
          "9112 2.3", line(f"GET {URL}/ {version}"), "bad-version", 505)
      for version in ("HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/2", "HTTP/3.0", "HTTP/0.9", "HTTP/1.10", "HTTP/01.1",
                      "HTTP/1.01", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP/1,1", "HTTP/1.1x", "HTTP/1.1;", "HTTP/",
                      "HTTP/-1.1", "HTTP/+1.1", "HTTP/1.1.1", "http/1.1")),
    *(bad(f"protocol-{protocol.split('/')[0].lower()}", "9112 2.3", line(f"GET {URL}/ {protocol}"), "bad-request-line")
      for protocol in ("HTTPS/1.1", "ICAP/1.0", "RTSP/1.0", "XTTP/1.1", "SHTTP/1.3")),
    bad("version-behind-space", "9112 2.3", line(f"GET {URL}/ HTTP /1.1"), "bad-request-line"),

    bad("http2-preface", "9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", "http2-on-plain"),
    bad("http2-preface-cut", "9113 3.4", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2-on-plain", cut=1),
    bad("tls-hello", "8446 5.1", "\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + "\0" * 32, "tls-on-plain"),
    bad("tls-one-octet", "8446 5.1", "\x16", "tls-on-plain", finish=True),
    bad("sslv2-hello", "8446 D.5", "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", "bad-character"),
    bad("socks5-greeting", "1928 3", "\x05\x01\x00", "bad-character"),
    bad("socks4-connect", "1928", "\x04\x01\x00\x50\x01\x01\x01\x01\0", "bad-character"),
    bad("proxy-v1-header", "PROXY 2.1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n" + get(), "bad-request-line"),
    bad("proxy-v2-header", "PROXY 2.2", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0" + get(), "bad-request-line"),
    bad("ssh-banner", "4253 4.2", "SSH-2.0-OpenSSH_9.2\r\n", "bad-request-line"),
    bad("response-as-request", "9112 2.1", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "bad-method"),
    bad("line-without-end", "9112 3", f"GET {URL}/" + "a" * 40000, "head-too-large", 431, finish=True),
    bad("line-too-long", "9112 3", get(url=URL + "/" + "a" * 40000), "head-too-large", 431),
]
