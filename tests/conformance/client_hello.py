"""The first octets of a tunnel (RFC 8446 4.1.2 and 5.1, RFC 6066 3, RFC 9849)."""
from .hello import SNI, TLS13, alpn, ech, extension, hello, key_share, message, number, records, server_name, sized, versions
from .notation import ORIGIN, Cut, Tunnel, TunnelCase, head

CONNECT = head(f"CONNECT {ORIGIN} HTTP/1.1", f"Host: {ORIGIN}")
ANY = CONNECT.replace(".corp.", ".any.")
ALLOWED = CONNECT.replace(".corp.", ".ech.")
NAME = "origin.corp.example"
# The runner puts the address of the case in the place of this one.
LITERAL = head("CONNECT 127.1.0.0:10080 HTTP/1.1", "Host: 127.1.0.0:10080")
GREASE = extension(0x0a0a, ""), extension(0x1a1a, "\0")


def through(name, rfc, octets, send=CONNECT, sni=NAME, alpn=None, version="1.3", **more):
    return TunnelCase(name, rfc, send, octets, Tunnel(octets, sni, alpn, version), **more)


def cut(name, rfc, octets, code, alert=49, send=CONNECT, **more):
    return TunnelCase(name, rfc, send, octets, Cut(code, alert), **more)


def malformed(name, rfc, octets, **more):
    return cut(name, rfc, octets, "bad-client-hello", **more)


def not_tls(name, rfc, octets, **more):
    return cut(name, rfc, octets, "not-tls", None, **more)


BIG = key_share(0x11ec, 1216)  # X25519MLKEM768
TITLE = "The first octets of a tunnel"
CASES = [
    through("hello", "8446 4.1.2", hello()),
    through("hello-early", "9110 9.3.6", hello(), early=True),
    through("hello-in-octets", "8446 5.1", hello(), cut=1),
    through("hello-in-three-octet-pieces-early", "8446 5.1", hello(), early=True, cut=3),
    through("hello-in-records-of-one", "8446 5.1", message(SNI, TLS13), records=1),
    through("hello-in-records-of-7", "8446 5.1", message(SNI, TLS13), records=7, cut=5),
    through("hello-and-early-data", "8446 4.2.10", hello() + records("e" * 300, kind=0x17)),
    through("hello-1.2", "5246 7.4.1.2", hello(SNI), version="1.2"),
    through("hello-1.0", "2246 7.4.1.2", hello(SNI, version=0x0301), version="1.0"),
    through("hello-alpn", "7301 3.1", hello(SNI, TLS13, alpn("h2", "http/1.1")), alpn="h2,http/1.1"),
    through("hello-alpn-of-binary-names", "7301 3.1", hello(SNI, TLS13, alpn("a\nb", "\x1b[2J")), alpn="a?b,?[2J"),
    through("hello-grease", "8701 3", hello(GREASE[0], SNI, versions(0x2a2a, 0x0304), GREASE[1]), cut=11),
    through("hello-post-quantum", "8446 4.2.8", hello(SNI, TLS13, BIG), cut=1000),
    through("hello-of-15-kib", "8446 5.1", hello(SNI, TLS13, extension(21, "\0" * 15000))),
    through("hello-name-in-capitals", "6066 3", hello(server_name("ORIGIN.CORP.EXAMPLE"), TLS13), sni="ORIGIN.CORP.EXAMPLE"),
    through("hello-psk-last", "8446 4.2.11", hello(SNI, TLS13, extension(41, "x"))),
    through("hello-no-session-id", "8446 4.1.2", hello(SNI, TLS13, session="")),
    through("hello-record-version-3.3", "8446 5.1", records(message(SNI, TLS13), version=0x0303)),
    through("hello-to-an-address", "6066 3", hello(TLS13), send=LITERAL, sni=None),
    cut("hello-name-to-an-address", "6066 3", hello(), "sni-mismatch", 112, send=LITERAL),
    cut("hello-address-as-name-to-an-address", "6066 3", hello(server_name("127.1.0.0"), TLS13), "sni-mismatch", 112, send=LITERAL),
    cut("hello-without-name", "6066 3", hello(TLS13), "sni-missing", 112),
    cut("hello-without-extensions", "8446 4.1.2", records(message(tail="")), "sni-missing", 112),
    *(cut(f"hello-name-{name}", "6066 3", hello(server_name(text), TLS13), "sni-mismatch", 112)
      for name, text in (("another", "evil.example"), ("longer", "x." + NAME), ("shorter", "corp.example"), ("final-dot", NAME + "."),
                         ("prefix", NAME + ".evil.example"), ("nul-behind", NAME + "\0"), ("nul-and-more", NAME + "\0.evil.example"),
                         ("space-behind", NAME + " "), ("port-behind", ORIGIN), ("percent", "origin%2ecorp.example"), ("star", "*.corp.example"),
                         ("utf-8", "b\xc3\xbccher.corp.example"), ("crlf", NAME + "\r\n"), ("address", "127.0.0.1"), ("256-octets", "a." * 127 + "ab"))),
    *(malformed(f"hello-{name}", "6066 3", hello(body, TLS13))
      for name, body in (("name-empty", server_name("")), ("name-extension-empty", extension(0, "")),
                         ("name-of-another-type", server_name(NAME, kind=1)), ("names-none", extension(0, sized("", 2))),
                         ("names-two", extension(0, sized(("\0" + sized(NAME, 2)) + ("\0" + sized("evil.example", 2)), 2))),
                         ("names-twice-the-same", extension(0, sized(("\0" + sized(NAME, 2)) * 2, 2))),
                         ("name-list-longer", extension(0, number(40, 2) + "\0" + sized(NAME, 2))),
                         ("name-list-shorter", extension(0, number(5, 2) + "\0" + sized(NAME, 2))),
                         ("name-length-too-long", extension(0, sized("\0" + number(200, 2) + NAME, 2))),
                         ("name-octets-behind", extension(0, sized("\0" + sized(NAME, 2), 2) + "x")))),
    malformed("hello-name-extension-twice", "8446 4.2", hello(SNI, TLS13, server_name("evil.example"))),
    malformed("hello-extension-twice", "8446 4.2", hello(SNI, TLS13, *GREASE, GREASE[0])),
    malformed("hello-psk-not-last", "8446 4.2.11", hello(SNI, extension(41, "x"), TLS13)),
    malformed("hello-129-extensions", "8446 4.2", hello(SNI, *[extension(1000 + n, "") for n in range(128)])),
    malformed("hello-alpn-empty", "7301 3.1", hello(SNI, extension(16, sized("", 2)))),
    malformed("hello-alpn-empty-name", "7301 3.1", hello(SNI, alpn("h2", ""))),
    malformed("hello-alpn-lengths", "7301 3.1", hello(SNI, extension(16, number(9, 2) + sized("h2", 1)))),
    malformed("hello-versions-odd", "8446 4.2.1", hello(SNI, extension(43, sized("\3\4\3", 1)))),
    malformed("hello-versions-empty", "8446 4.2.1", hello(SNI, extension(43, sized("", 1)))),
    malformed("hello-version-0", "8446 4.1.2", hello(SNI, version=0)),
    malformed("hello-version-2", "8446 4.1.2", hello(SNI, version=0x0200)),
    malformed("hello-session-id-of-33", "8446 4.1.2", hello(SNI, session="s" * 33)),
    malformed("hello-no-ciphers", "8446 4.1.2", hello(SNI, ciphers="")),
    malformed("hello-ciphers-odd", "8446 4.1.2", hello(SNI, ciphers="\x13\x01\xc0")),
    malformed("hello-no-compression", "8446 4.1.2", hello(SNI, compression="")),
    malformed("hello-compression-without-null", "8446 4.1.2", hello(SNI, compression="\1")),
    malformed("hello-octets-behind-extensions", "8446 4.1.2", records(message(tail=sized(SNI, 2) + "x"))),
    malformed("hello-extensions-longer", "8446 4.2", records(message(tail=number(900, 2) + SNI))),
    malformed("hello-cut-within-itself", "8446 4.1.2", records(number(1, 1) + sized("\3\3" + "r" * 20, 3))),
    malformed("hello-second-message-behind", "8446 5.1", records(message(SNI, TLS13) + message(server_name("evil.example"), TLS13))),
    malformed("hello-one-octet-behind", "8446 5.1", records(message(SNI, TLS13) + "x")),
    malformed("hello-is-a-server-hello", "8446 4", records(message(SNI, TLS13, kind=2))),
    malformed("hello-is-a-hello-request", "5246 7.4.1.1", records("\0\0\0\0")),
    malformed("hello-record-empty", "8446 5.1", "\x16\x03\x01\0\0" + hello()),
    malformed("hello-record-empty-between", "8446 5.1", records(message(SNI)[:10]) + "\x16\x03\x01\0\0" + records(message(SNI)[10:])),
    malformed("hello-alert-between", "8446 5.1", records(message(SNI)[:10]) + "\x15\x03\x01\0\2\1\0" + records(message(SNI)[10:])),
    malformed("hello-ccs-between", "8446 5.1", records(message(SNI)[:10]) + "\x14\x03\x01\0\1\1" + records(message(SNI)[10:])),
    malformed("hello-data-between", "8446 5.1", records(message(SNI)[:10]) + "\x17\x03\x01\0\1x" + records(message(SNI)[10:])),
    malformed("hello-record-version-3.5", "8446 5.1", records(message(SNI), version=0x0305)),
    malformed("hello-too-large", "8446 5.1", hello(SNI, extension(21, "\0" * 16300))),
    malformed("hello-too-large-by-its-length", "8446 4", "\x16\x03\x01\x02\0\1\x7f\xff\xff"),
    malformed("hello-record-too-large", "8446 5.1", "\x16\x03\x01\x41\0\1"),
    malformed("hello-too-large-in-records-of-one", "8446 5.1", records(message(SNI, extension(21, "\0" * 3000)), 1)),
    cut("hello-and-end", "8446 5.1", hello()[:60], "bad-client-hello", None, finish=True),
    cut("hello-one-octet-and-end", "8446 5.1", "\x16", "bad-client-hello", None, finish=True),
    cut("hello-ech", "9849 5", hello(SNI, TLS13, ech()), "ech-refused"),
    cut("hello-ech-in-octets", "9849 5", hello(ech(), SNI, TLS13), "ech-refused", cut=1),
    cut("hello-ech-grease", "9849 6.2", hello(SNI, TLS13, extension(0xfe0d, "\0\0\1\0\1\0\0\x20" + "g" * 32 + "\0\x10" + "g" * 16)), "ech-refused"),
    cut("hello-ech-inner", "9849 5", hello(SNI, TLS13, extension(0xfe0d, "\1")), "ech-refused"),
    cut("hello-ech-draft-08", "9849 5", hello(SNI, TLS13, extension(0xfe08, "x")), "ech-refused"),
    cut("hello-esni", "9849 1", hello(SNI, TLS13, extension(0xffce, "x")), "ech-refused"),
    cut("hello-ech-with-another-outer-name", "9849 5", hello(server_name("evil.example"), TLS13, ech()), "sni-mismatch", 112),
    through("hello-ech-where-it-is-allowed", "9849 5", hello(server_name("origin.ech.example"), TLS13, ech()), send=ALLOWED,
            sni="origin.ech.example"),
    cut("hello-ech-allowed-but-another-name", "9849 5", hello(server_name("evil.example"), TLS13, ech()), "sni-mismatch", 112, send=ALLOWED),
    *(not_tls(f"inside-{name}", rfc, octets)
      for name, rfc, octets in (("ssh", "4253 4.2", "SSH-2.0-OpenSSH_9.2\r\n"), ("nul", "8446 5.1", "\0"), ("tls-data", "8446 5.1", records("x", kind=0x17)),
                                ("tls-alert", "8446 5.1", "\x15\x03\x01\0\2\2\x28"), ("tls-ccs", "8446 5.1", "\x14\x03\x01\0\1\1"),
                                ("sslv2", "8446 D.5", "\x80\x2e\x01\0\2\0\x15\0\0\0\x10"), ("dtls", "9147 4", "\x16\xfe\xfd" + "\0" * 20),
                                ("dtls-1.0", "9147 4", "\x16\xfe\xff" + "\0" * 20), ("version-2", "8446 5.1", "\x16\x02\x00\0\5"),
                                ("wireguard", "8446 5.1", "\1\0\0\0" + "w" * 144),
                                ("postgres-ssl-request", "8446 5.1", "\0\0\0\x08\x04\xd2\x16\x2f"), ("socks5", "1928 3", "\5\1\0"),
                                ("bittorrent", "8446 5.1", "\x13BitTorrent protocol"), 
                                ("lower-case-http", "9112 3", "get / http/1.1\r\n\r\n"))),
    *(TunnelCase(f"inside-http-{name}", "9112 3", CONNECT, octets, Cut("not-tls", http=True))
      for name, octets in (("get", f"GET / HTTP/1.1\r\nHost: {ORIGIN}\r\n\r\n"), ("connect", f"CONNECT {ORIGIN} HTTP/1.1\r\n\r\n"),
                           ("h2-preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("absolute", "POST http://x/ HTTP/1.1\r\n\r\n"),
                           ("or-smtp-which-begins-alike", "EHLO x\r\n"))),
    not_tls("inside-http-early", "9112 3", "\r\nGET / HTTP/1.1\r\n\r\n", early=True),
    through("any-ssh", "4253 4.2", "SSH-2.0-OpenSSH_9.2\r\n", send=ANY, sni=None, version=None),
    through("any-server-speaks-first", "4253 4.2", "SSH-2.0-client\r\n", send=ANY, sni=None, version=None, banner="SSH-2.0-server\r\n"),
    through("any-server-speaks-first-early", "5321 3.1", "EHLO x\r\n", send=ANY, sni=None, version=None, banner="220 mail\r\n", early=True),
    through("any-http", "9112 3", "GET / HTTP/1.1\r\n\r\n", send=ANY, sni=None, version=None),
    through("any-tls-of-another-name", "6066 3", hello(server_name("evil.example"), TLS13), send=ANY, sni=None, version=None),
]
