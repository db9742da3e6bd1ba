"""CONNECT: its target, its head, and what may stand behind it (RFC 9110 9.3.6, RFC 9112 3.2.3)."""
from .hello import hello
from .notation import ORIGIN, VIA, Tunnel, TunnelCase, bad, denied, head


def connect(target, *fields, host=None, version="HTTP/1.1"):
    return head(f"CONNECT {target} {version}", f"Host: {host or target}", *fields)


def refused(name, rfc, target, code, status=400, host="origin.corp.example"):
    return bad(name, rfc, connect(target, host=host), code, status)


def closed(name, rfc, send, code, status=403):
    case = denied(name, rfc, send, code, status)
    case.ends = True
    return case


def opens(name, rfc, send, sni="origin.corp.example"):
    octets = hello()
    return TunnelCase(name, rfc, send, octets, Tunnel(octets, sni=sni, version="1.3"))


TITLE = "CONNECT"
CASES = [
    opens("connect", "9110 9.3.6", connect(ORIGIN)),
    opens("connect-host-without-port", "9112 3.2.3", connect(ORIGIN, host="origin.corp.example")),
    opens("connect-host-in-capitals", "9110 4.2.3", connect("ORIGIN.CORP.EXAMPLE:10080")),
    opens("connect-host-with-final-dot", "9110 4.2.3", connect("origin.corp.example.:10080")),
    opens("connect-1.0", "9112 2.3", connect(ORIGIN, version="HTTP/1.0")),
    opens("connect-1.0-without-host", "9112 3.2", head(f"CONNECT {ORIGIN} HTTP/1.0")),
    opens("connect-length-0", "9110 9.3.6", connect(ORIGIN, "Content-Length: 0")),
    opens("connect-proxy-connection", "9112 C.2.2", connect(ORIGIN, "Proxy-Connection: keep-alive", "User-Agent: x")),
    opens("connect-upgrade-is-not-for-us", "9110 7.8", connect(ORIGIN, "Upgrade: h2c", "Connection: upgrade")),
    refused("connect-without-port", "9112 3.2.3", "origin.corp.example", "bad-port"),
    refused("connect-port-empty", "9112 3.2.3", "origin.corp.example:", "bad-port"),
    *(refused(f"connect-port-{name}", "3986 3.2.3", f"origin.corp.example:{port}", "bad-port")
      for name, port in (("0", "0"), ("65536", "65536"), ("83543-wraps-to-18007", "83543"), ("plus", "+443"), ("minus", "-443"),
                         ("hex", "0x1bb"), ("six-digits", "000443"), ("wraps-at-2-to-32", "4294967739"), ("https", "https"),
                         ("20-digits", "18446744073709552059"), ("dot", "443."), ("comma", "443,80"), ("semicolon", "443;80"))),
    refused("connect-port-twice", "9112 3.2.3", "origin.corp.example:443:443", "bad-host"),
    refused("connect-with-path", "9112 3.2.3", ORIGIN + "/", "bad-target"),
    refused("connect-with-query", "9112 3.2.3", ORIGIN + "?x", "bad-target"),
    refused("connect-with-fragment", "9112 3.2.3", ORIGIN + "#x", "fragment-in-target"),
    refused("connect-absolute-form", "9112 3.2.3", f"http://{ORIGIN}/", "bad-target"),
    refused("connect-https-url", "9112 3.2.3", f"https://{ORIGIN}", "bad-target"),
    refused("connect-origin-form", "9112 3.2.3", "/", "bad-target"),
    refused("connect-asterisk", "9112 3.2.3", "*", "bad-host"),
    refused("connect-userinfo", "9110 4.2.4", "user@" + ORIGIN, "userinfo-in-target"),
    refused("connect-userinfo-is-a-host", "9110 4.2.4", ORIGIN + "@evil.example:443", "userinfo-in-target"),
    refused("connect-backslash", "3986 3.2.2", "origin.corp.example\\.evil.example:443", "bad-host"),
    refused("connect-percent", "3986 3.2.2", "origin.corp.example%2eevil.example:443", "bad-host"),
    refused("connect-percent-nul", "3986 3.2.2", "origin.corp.example%00:443", "bad-host"),
    refused("connect-utf-8", "5891 4.4", "b\xc3\xbccher.corp.example:443", "bad-character"),
    refused("connect-empty-host", "3986 3.2.2", ":443", "bad-host"),
    refused("connect-dot", "3986 3.2.2", ".:443", "bad-host"),
    refused("connect-two-final-dots", "3986 3.2.2", "origin.corp.example..:443", "bad-host"),
    refused("connect-comma", "3986 3.2.2", "origin.corp.example,evil.example:443", "bad-host"),
    refused("connect-octal", "3986 7.4", "0177.0.0.1:443", "ambiguous-ip-literal"),
    refused("connect-decimal", "3986 7.4", "2130706433:443", "ambiguous-ip-literal"),
    refused("connect-hex", "3986 7.4", "0x7f000001:443", "ambiguous-ip-literal"),
    refused("connect-short", "3986 7.4", "127.1:443", "ambiguous-ip-literal"),
    refused("connect-ipv6-zone", "6874 2", "[fe80::1%25eth0]:443", "ambiguous-ip-literal"),
    refused("connect-ipv6-bare", "3986 3.2.2", "::1:443", "bad-host"),
    bad("connect-host-absent", "9112 3.2", head(f"CONNECT {ORIGIN} HTTP/1.1"), "host-missing"),
    bad("connect-host-twice", "9112 3.2", connect(ORIGIN, f"Host: {ORIGIN}"), "host-repeated"),
    bad("connect-host-at-odds", "9112 3.2.2", connect(ORIGIN, host="evil.example:10080"), "host-mismatch"),
    bad("connect-host-at-odds-by-port", "9112 3.2.2", connect(ORIGIN, host="origin.corp.example:443"), "host-mismatch"),
    bad("connect-host-empty", "9110 7.2", head(f"CONNECT {ORIGIN} HTTP/1.1", "Host:"), "host-missing"),
    bad("connect-0.9", "9112 2.3", f"CONNECT {ORIGIN}\r\n", "bad-version", 505),
    bad("connect-2.0", "9112 2.3", connect(ORIGIN, version="HTTP/2.0"), "bad-version", 505),
    bad("connect-bare-lf", "9112 2.2", f"CONNECT {ORIGIN} HTTP/1.1\nHost: {ORIGIN}\n\n", "bad-line-ending"),
    bad("connect-te-and-length-0", "9112 6.3", connect(ORIGIN, "Transfer-Encoding: chunked", "Content-Length: 0"), "length-conflict"),
    bad("connect-expect", "9110 10.1.1", connect(ORIGIN, "Expect: x"), "bad-expect", 417),
    closed("connect-of-another-domain", "9110 9.3.6", connect("evil.example:443"), "no-rule"),
    closed("connect-another-port", "9110 9.3.6", connect("origin.corp.example:22"), "port-not-allowed"),
    closed("connect-port-with-zeros", "9110 9.3.6", connect("origin.corp.example:00022"), "port-not-allowed"),
    closed("connect-address", "9110 9.3.6", connect("127.0.0.1:443"), "ip-literal"),
    closed("connect-ipv6-mapped", "4291 2.5.5.2", connect("[::ffff:127.0.0.1]:443"), "ip-literal"),
    closed("connect-via-us", "9110 7.6.3", connect(ORIGIN, VIA), "proxy-loop"),
]
