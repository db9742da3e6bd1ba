"""Request targets: absolute form, its authority, port and path (RFC 9112 3.2, RFC 3986 3)."""
from .notation import ORIGIN, URL, bad, denied, get, good, onward


def at(authority, path="/", host=None):
    """GET of http://AUTHORITY/, with the same in Host."""
    return get(url=f"http://{authority}{path}", host=f"Host: {host or authority}")


def url(target):
    return get(url=target)


def path(text):
    return get(url=URL + text)


AMBIGUOUS = ("0177.0.0.1", "0x7f.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "017700000001", "127.0.0.1.",
             "127.0.0.01", "127.0.0.256", "1.2.3.4.5", "127.0.0.0x1", "0", "00", "0x", "4294967296", "1.2.3.-4x.5")
BRACKETED = (("zone", "[fe80::1%25lo]", "ambiguous-ip-literal"), ("raw-zone", "[fe80::1%lo]", "ambiguous-ip-literal"),
             ("unclosed", "[::1", "bad-host"), ("v4-in-brackets", "[127.0.0.1]", "bad-host"), ("ipvfuture", "[v1.x]", "bad-host"),
             ("empty", "[]", "bad-host"), ("junk-behind", "[::1]x", "bad-host"), ("empty-port", "[::1]:", "bad-port"),
             ("name", "[origin.corp.example]", "bad-host"), ("name-twice", "[[origin.corp.example]]", "bad-host"), ("too-many-groups", "[1:2:3:4:5:6:7:8:9]", "bad-host"),
             ("without-brackets", "::1", "bad-host"), ("two", "[::1][::1]", "bad-host"))

TITLE = "Request target"
CASES = [
    bad("origin-form", "9112 3.2.1", url("/"), "origin-form"),
    bad("origin-form-two-slashes", "9112 3.2.1", url(f"//{ORIGIN}/"), "origin-form"),
    bad("asterisk-form", "9112 3.2.4", get(url="*", method="OPTIONS"), "origin-form"),
    bad("asterisk-form-get", "9112 3.2.4", url("*"), "origin-form"),
    bad("authority-form-get", "9112 3.2.3", url(ORIGIN), "bad-target"),
    bad("name-alone", "9112 3.2.2", url("origin.corp.example"), "bad-target"),
    good("no-path", "9112 3.2.2", url(URL)),
    good("no-path-but-query", "9112 3.2.1", url(URL + "?q=1"), onward("GET /?q=1 HTTP/1.1")),
    good("options-of-the-server", "9112 3.2.4", get(url=URL, method="OPTIONS"), onward("OPTIONS * HTTP/1.1")),
    good("options-of-the-root", "9112 3.2.4", get(method="OPTIONS"), onward("OPTIONS / HTTP/1.1")),
    good("scheme-in-capitals", "3986 3.1", url(f"HTTP://{ORIGIN}/")),
    bad("one-slash", "3986 3", url(f"http:/{ORIGIN}/"), "bad-target"),
    bad("no-slash", "3986 3", url(f"http:{ORIGIN}/"), "bad-target"),
    bad("three-slashes", "3986 3.2.2", url(f"http:///{ORIGIN}/"), "bad-host"),
    bad("four-slashes", "3986 3.2.2", url(f"http:////{ORIGIN}/"), "bad-host"),
    bad("backslashes", "3986 3", url(f"http:\\\\{ORIGIN}/"), "bad-target"),
    bad("slash-backslash", "3986 3", url(f"http:/\\{ORIGIN}/"), "bad-target"),
    bad("nothing-behind-slashes", "3986 3.2.2", url("http://"), "bad-host"),
    bad("query-instead-of-host", "3986 3.2.2", url(f"http://?{ORIGIN}/"), "bad-host"),
    bad("port-instead-of-host", "3986 3.2.2", url("http://:10080/"), "bad-host"),
    bad("scheme-alone", "3986 3", url("http:"), "bad-target"),
    bad("https-absolute", "9112 3.2.2", url(f"https://{ORIGIN}/"), "https-in-absolute-form"),
    bad("https-capitals", "9112 3.2.2", url(f"HTTPS://{ORIGIN}/"), "https-in-absolute-form"),
    *(bad(f"scheme-{scheme}", "3986 3.1", url(f"{scheme}://{ORIGIN}/"), "scheme-unknown")
      for scheme in ("ftp", "ws", "wss", "file", "gopher", "h2c", "coap", "httpx", "unix", "http+unix")),
    bad("scheme-data", "3986 3.1", url("data:text/html,x"), "bad-target"),
    bad("scheme-javascript", "3986 3.1", url("javascript:alert(1)"), "bad-target"),
    bad("scheme-with-space-encoded", "3986 3.1", url(f"http%20://{ORIGIN}/"), "bad-target"),
    bad("scheme-begins-with-digit", "3986 3.1", url(f"1http://{ORIGIN}/"), "bad-target"),
    bad("scheme-empty", "3986 3.1", url(f"://{ORIGIN}/"), "bad-target"),

    bad("userinfo", "9110 4.2.4", url(f"http://user@{ORIGIN}/"), "userinfo-in-target"),
    bad("userinfo-password", "9110 4.2.4", url(f"http://user:pass@{ORIGIN}/"), "userinfo-in-target"),
    bad("userinfo-empty", "9110 4.2.4", url(f"http://@{ORIGIN}/"), "userinfo-in-target"),
    bad("userinfo-looks-like-host", "9110 4.2.4", url(f"http://{ORIGIN}@evil.example/"), "userinfo-in-target"),
    bad("userinfo-backslash", "9110 4.2.4", url(f"http://{ORIGIN}\\@evil.example/"), "bad-host"),
    bad("userinfo-hash", "9110 4.2.4", url(f"http://{ORIGIN}#@evil.example/"), "fragment-in-target"),
    bad("fragment", "9112 3.2", path("/#top"), "fragment-in-target"),
    bad("fragment-empty", "9112 3.2", path("/#"), "fragment-in-target"),
    bad("fragment-behind-host", "9112 3.2", url(f"{URL}#top"), "fragment-in-target"),
    bad("fragment-behind-query", "9112 3.2", path("/?a#b"), "fragment-in-target"),

    good("host-in-capitals", "3986 3.2.2", at("ORIGIN.CORP.EXAMPLE:10080")),
    good("host-with-final-dot", "3986 3.2.2", at("origin.corp.example.:10080")),
    bad("host-with-two-final-dots", "3986 3.2.2", at("origin.corp.example..:10080"), "bad-host"),
    bad("host-with-dot-before", "3986 3.2.2", at(".origin.corp.example:10080"), "bad-host"),
    bad("host-with-empty-label", "3986 3.2.2", at("origin..corp.example:10080"), "bad-host"),
    bad("host-is-a-dot", "3986 3.2.2", at(".:10080"), "bad-host"),
    good("host-with-underscore", "3986 3.2.2", at("_x.origin.corp.example:10080"), onward(host="_x.origin.corp.example:10080")),
    good("host-a-label", "5891 4.4", at("xn--bcher-kva.origin.corp.example:10080"),
         onward(host="xn--bcher-kva.origin.corp.example:10080")),
    bad("host-utf-8", "5891 4.4", at("b\xc3\xbccher.origin.corp.example:10080"), "bad-character"),
    bad("host-latin-1", "5891 4.4", at("b\xfccher.origin.corp.example:10080"), "bad-character"),
    bad("host-fullwidth-dot", "5891 4.4", at("origin\xef\xbc\x8ecorp.example:10080"), "bad-character"),
    bad("host-percent-dot", "3986 3.2.2", at("origin%2Ecorp.example:10080"), "bad-host"),
    bad("host-percent-letter", "3986 3.2.2", at("%6Frigin.corp.example:10080"), "bad-host"),
    bad("host-percent-nul", "3986 3.2.2", at("origin.corp.example%00.evil.example:10080"), "bad-host"),
    bad("host-percent-slash", "3986 3.2.2", at("origin.corp.example%2f.evil.example:10080"), "bad-host"),
    bad("host-label-of-64", "1035 2.3.4", at("a" * 64 + ".origin.corp.example:10080"), "bad-host"),
    good("host-of-253", "1035 2.3.4", at("a." * 117 + "origin.corp.example:10080"), onward(host="a." * 117 + "origin.corp.example:10080")),
    bad("host-of-254", "1035 2.3.4", at("b" + "a." * 117 + "origin.corp.example:10080"), "bad-host"),
    bad("host-hyphen-first", "1123 2.1", at("-a.origin.corp.example:10080"), "bad-host"),
    bad("host-hyphen-last", "1123 2.1", at("a-.origin.corp.example:10080"), "bad-host"),
    *(bad(f"host-with-{name}", "3986 3.2.2", at(f"a{octet}b.origin.corp.example:10080"), code)
      for name, octet, code in (("backslash", "\\", "bad-host"), ("comma", ",", "bad-host"), ("semicolon", ";", "bad-host"),
                                ("star", "*", "bad-host"), ("quote", '"', "bad-host"), ("brace", "{", "bad-host"),
                                ("pipe", "|", "bad-host"), ("caret", "^", "bad-host"), ("tilde", "~", "bad-host"),
                                ("plus", "+", "bad-host"), ("equals", "=", "bad-host"), ("less", "<", "bad-host"))),
    denied("host-of-another-domain", "9110 7.4", at("evil.example:10080"), "no-rule"),
    denied("host-is-the-bare-domain", "9110 7.4", at("corp.example:10080"), "no-rule"),
    denied("host-ends-alike", "9110 7.4", at("xcorp.example:10080"), "no-rule"),
    denied("host-begins-alike", "9110 7.4", at("origin.corp.example.evil.example:10080"), "no-rule"),
    denied("host-localhost", "9110 7.4", at("localhost:10080"), "no-rule"),

    *(bad(f"port-{name}", "3986 3.2.3", at(f"origin.corp.example:{port}"), "bad-port")
      for name, port in (("empty", ""), ("0", "0"), ("65536", "65536"), ("83543-wraps-to-18007", "83543"), ("99999", "99999"),
                         ("leading-zero-to-six-digits", "010080"), ("wraps-at-2-to-32", "4294977376"), ("plus", "+10080"),
                         ("minus", "-1"), ("hex", "0x2760"), ("letters", "http"), ("underscore", "10_080"), ("dot", "10080."),
                         ("20-digits", "10080000000000000000"), ("arab", "80%30"), ("slash-encoded", "10080%2f"))),
    bad("port-twice", "3986 3.2.3", at("origin.corp.example:10080:10080"), "bad-host"),
    denied("port-with-leading-zeros", "3986 3.2.3", at("origin.corp.example:00081"), "port-not-allowed"),
    denied("port-by-default", "9110 4.2.1", at("origin.corp.example"), "port-not-allowed"),
    denied("port-65535", "3986 3.2.3", at("origin.corp.example:65535"), "port-not-allowed"),

    *(bad(f"address-{text}", "3986 7.4", at(text + ":10080"), "ambiguous-ip-literal") for text in AMBIGUOUS[:-1]),
    *(bad(f"ipv6-{name}", "3986 3.2.2" if name != "zone" else "6874 2", at(text), code) for name, text, code in BRACKETED),
    denied("address-loopback", "3986 3.2.2", at("127.0.0.1:10080"), "ip-literal"),
    denied("address-any", "3986 3.2.2", at("0.0.0.0:10080"), "ip-literal"),
    denied("address-metadata", "3927 2", at("169.254.169.254:10080"), "ip-literal"),
    denied("ipv6-loopback", "3986 3.2.2", at("[::1]:10080"), "ip-literal"),
    denied("ipv6-mapped", "4291 2.5.5.2", at("[::ffff:127.0.0.1]:10080"), "ip-literal"),
    denied("ipv6-mapped-hex", "4291 2.5.5.2", at("[::ffff:7f00:1]:10080"), "ip-literal"),
    denied("ipv6-nat64", "6052 2.1", at("[64:ff9b::7f00:1]:10080"), "ip-literal"),

    good("path-dots-go-on-as-they-are", "3986 5.2.4", path("/a/../b/./c"), onward("GET /a/../b/./c HTTP/1.1")),
    good("path-percent-dots-go-on-as-they-are", "3986 6.2.2.2", path("/%2e%2E/%2f"), onward("GET /%2e%2E/%2f HTTP/1.1")),
    good("path-two-slashes", "3986 3.3", path("//evil.example/x"), onward("GET //evil.example/x HTTP/1.1")),
    good("path-with-a-url", "3986 3.3", path("/http://evil.example/"), onward("GET /http://evil.example/ HTTP/1.1")),
    good("path-with-at", "3986 3.3", path("/@evil.example"), onward("GET /@evil.example HTTP/1.1")),
    good("path-percent-nul", "3986 2.1", path("/%00"), onward("GET /%00 HTTP/1.1")),
    good("path-percent-crlf", "3986 2.1", path("/%0d%0aX:%20y"), onward("GET /%0d%0aX:%20y HTTP/1.1")),
    good("path-browsers-octets", "3986 2.2", path("/[]{}|^`"), onward("GET /[]{}|^` HTTP/1.1")),
    bad("path-percent-without-digits", "3986 2.1", path("/%zz"), "bad-target"),
    bad("path-percent-cut", "3986 2.1", path("/%2"), "bad-target"),
    bad("path-percent-last", "3986 2.1", path("/%"), "bad-target"),
    bad("path-backslash", "3986 2", path("/a\\..\\b"), "bad-target"),
    bad("path-quote", "3986 2", path('/"'), "bad-target"),
    bad("path-less", "3986 2", path("/<x"), "bad-target"),
    bad("path-greater", "3986 2", path("/x>"), "bad-target"),
    bad("query-backslash", "3986 2", path("/?\\"), "bad-target"),
    bad("path-utf-8", "3986 2", path("/\xc3\xa9"), "bad-character"),
]
