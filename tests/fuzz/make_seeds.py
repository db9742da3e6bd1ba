#!/usr/bin/env python3
"""Writes the seed corpora of the targets. Run once when a format changes; the seeds are committed."""
import pathlib
import struct

HERE = pathlib.Path(__file__).parent / "corpus"


def write(target, seeds):
    folder = HERE / target
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


def sized(body, octets):
    return len(body).to_bytes(octets, "big") + body


def extension(kind, body):
    return struct.pack(">H", kind) + sized(body, 2)


def hello(*extensions, chunk=16384):
    body = b"\x03\x03" + bytes(32) + sized(bytes(32), 1) + sized(b"\x0a\x0a\x13\x01", 2) + sized(b"\0", 1)
    body += sized(b"".join(extensions), 2)
    message = b"\x01" + sized(body, 3)
    parts = [message[i : i + chunk] for i in range(0, len(message), chunk)]
    return b"".join(b"\x16\x03\x01" + sized(part, 2) for part in parts)


SNI = extension(0, sized(b"\0" + sized(b"a.example", 2), 2))
ALPN = extension(16, sized(b"\x02h2\x08http/1.1", 2))
VERSIONS = extension(43, sized(b"\x2a\x2a\x03\x04\x03\x03", 1))
ECH = extension(0xFE0D, bytes(20))

write("client_hello", {
    "typical": b"\x05" + hello(SNI, ALPN, VERSIONS),
    "split": b"\x02" + hello(SNI, ALPN, VERSIONS, chunk=30),
    "ech": b"\x09" + hello(extension(0x1A1A, b""), SNI, ECH, extension(51, bytes(1200))),
    "address": b"\x01" + hello(extension(0, sized(b"\0" + sized(b"1.2.3.4", 2), 2))),
    "two_names": b"\x01" + hello(extension(0, sized(2 * (b"\0" + sized(b"a.example", 2)), 2))),
    "psk": b"\x01" + hello(SNI, extension(41, bytes(40))),
    "http": b"\x01GET / HTTP/1.1\r\n\r\n",
})
V2 = b"\r\n\r\n\0\r\nQUIT\n"
ENDS4 = bytes([10, 0, 0, 1, 192, 0, 2, 7]) + struct.pack(">HH", 12345, 443)
write("proxy_protocol", {
    "v1_tcp4": b"\x03PROXY TCP4 10.0.0.1 192.0.2.7 12345 443\r\nGET / HTTP/1.1\r\n",
    "v1_tcp6": b"\x05PROXY TCP6 2001:db8::1 ::1 0 65535\r\n",
    "v1_unknown": b"\x07PROXY UNKNOWN ffff::1 x 1 2\r\n",
    "v2_tcp4": b"\x01" + V2 + b"\x21\x11" + sized(ENDS4, 2) + b"\x16\x03\x01",
    "v2_tcp6": b"\x02" + V2 + b"\x21\x21" + sized(bytes(36), 2),
    "v2_tlvs": b"\x04" + V2 + b"\x21\x11" + sized(ENDS4 + b"\x02" + sized(b"a.example", 2) + b"\x04\x00\x00", 2),
    "v2_sum": b"\x06" + V2 + b"\x21\x11" + sized(ENDS4 + b"\x03" + sized(bytes.fromhex("9c9f43fe"), 2), 2),
    "v2_unix": b"\x08" + V2 + b"\x21\x31" + sized(bytes(216), 2),
    "v2_local": b"\x09" + V2 + b"\x20\x00\x00\x00",
    "v2_unspec": b"\x0a" + V2 + b"\x21\x00" + sized(b"anything", 2),
})
write("request_head", {
    "connect": b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nProxy-Authorization: Basic eA==\r\n\r\n",
    "get": b"GET http://a.example/x?y HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n",
    "post": b"POST http://h:81/ HTTP/1.1\r\nHost: h:81\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "chunked": b"PUT http://h HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\nTE: trailers\r\n\r\n",
    "websocket": b"GET http://h/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: k\r\n\r\n",
    "old": b"\r\nOPTIONS http://[::1]?q HTTP/1.0\r\nVia: 1.1 a\r\nKeep-Alive: 5\r\n\r\n",
    "preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "origin": b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "conflict": b"POST http://h/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
})
write("response_head", {
    "length": b"\x10HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    "chunked": b"\x28HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n",
    "close": b"\x00HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n",
    "switch": b"\x02HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "head": b"\x01HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    "tunnel": b"\x04HTTP/1.1 200 Connection established\r\n\r\n",
    "interim": b"\x00HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
    "unchanged": b"\x00HTTP/1.1 304 X\r\nContent-Length: 5\r\nProxy-Authenticate: NTLM\r\n\r\n",
})
write("chunked", {
    "plain": b"\x015\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    "trailers": b"\x020\r\nX: 1\r\nContent-Length: 5\r\n\r\nrest",
    "long": b"\x03" + b"ff\r\n" + bytes(255) + b"\r\n0\r\n\r\n",
    "overflow": b"\x04ffffffffffffffff\r\nx",
})
write("authority", {
    "connect": b"a.example:443",
    "v6": b"[2001:db8::1]:443",
    "v4": b"1.2.3.4:80",
    "odd": b"0x7f.1:80",
    "url": b"http://a.example:8080/x?y=%20",
    "user": b"http://u:p@a.example/#x",
    "zone": b"[fe80::1%25eth0]:443",
})
write("host_name", {
    "name": b"a-b._c.example.",
    "v4": b"10.0.0.0/8",
    "v6": b"2001:db8::/32",
    "mapped": b"::ffff:1.2.3.4",
    "hex": b"0x7f000001",
})
write("import", {
    "smokescreen": b"\x00version: v1\nservices:\n  - name: a\n    action: report\n    allowed_domains: [a.example, '*.b.example']\n"
                   b"global_deny_list: ['*.c.example']\ndefault: {action: enforce}\n",
    "squid": b"\x01acl p port 80 1025-65535\nacl d dstdomain .a.example b.example\nacl n src 10.0.0.0/8\nacl i dst 192.0.2.0/24\n"
             b"http_access deny !p\nhttp_access deny CONNECT !p\nhttp_access allow n d\nhttp_access allow i\nhttp_access deny all\n",
    "gh_aw": b"\x02---\nnetwork:\n  allowed: [defaults, node, a.example, '*.b.example', https://c.example]\n  blocked: [d.example]\n---\n",
    "copilot": b"\x03a.example, b.example\nhttps://c.example/p/\nhttp://d.example:8080/\n",
    "harden_runner": b"\x04jobs:\n  a:\n    steps:\n      - uses: step-security/harden-runner@v2\n        with:\n"
                     b"          egress-policy: block\n          allowed-endpoints: a.example:443 *.b.example:80\n",
    "srt": b'\x05{"network": {"allowedDomains": ["a.example", "*.b.example"], "deniedDomains": ["c.example"]}}',
})
write("policy", {
    "language": b"version: 1\nupload_limit: 1GiB\nphases:\n  agent:\n    download_limit: 5MB\n    final: true\n    allow:\n"
                b"      - {use: anthropic, accept_risk: model, expires: 2099-01-01}\n"
                b"      - {host: '*.a.example', max_names: 3, max_name_entropy: 40, resolve_in: [192.0.2.0/24], upload_limit: 7}\n"
                b"      - {host: b.example, ports: 80, methods: [GET], paths: [/x/**, '/y/*']}\n"
                b"deny: [{host: '**.c.example', final: true}]\n"
                b"tests: [{phase: agent, url: 'http://b.example/x/y', method: GET, expect: allow}]\n",
    "budgets": b"version: 1\nrequest_limit: 1000\nphases:\n  setup: {canary: [vault-1.example], time_limit: 5m, request_limit: 9}\n"
               b"  agent:\n    canary: {names: [a_b.example, \"null\"], action: lockdown}\n    time_limit: 90s\n    allow:\n"
               b"      - {host: '*.c.example', request_limit: 2}\n      - {use: node, request_limit: 3}\n"
               b"tests: [{phase: agent, url: a_b.example, expect: deny, reason: canary}]\n",
})
write("credential", {
    "phase": b"Basic c2V0dXA6dA==",
    "job": b"Basic ai0xOnU=",
    "closed": b"Basic ai0yOnU=",
    "bearer": b"Bearer t",
    "bearer_job": b"bearer j-1.u",
    "colons": b"BASIC  YTpiOmM6ZA==",
    "unpadded": b"Basic YTpiYw",
})


def domain(name):
    return b"".join(sized(label.encode(), 1) for label in name.split(".")) + b"\0"


def record(kind, data, ttl=60, owner=b"\xc0\x0c"):
    return owner + struct.pack(">HHI", kind, 1, ttl) + sized(data, 2)


def dns(kind, *records, name="a.example", flags=0x8180):
    return struct.pack(">HHHHHH", 7, flags, 1, len(records), 0, 0) + domain(name) + struct.pack(">HH", kind, 1) + b"".join(records)


def answers(a, aaaa):
    return sized(a, 2) + aaaa


V4 = record(1, bytes([192, 0, 2, 1]))
V6 = record(28, bytes(16))
write("dns_answer", {
    "both": answers(dns(1, V4, record(1, bytes([192, 0, 2, 2]), 0)), dns(28, V6)),
    "none": answers(dns(1), dns(28)),
    "alias": answers(dns(1, record(5, domain("b.example")), record(1, bytes(4), owner=domain("b.example"))), dns(28)),
    "loop": answers(dns(1, record(5, b"\xc0\x0c")), dns(28, record(5, b"\xc0\x0c"))),
    "wrong_family": answers(dns(1, V6), dns(28, V4)),
    "many": answers(dns(1, *(record(1, bytes([10, 0, 0, i])) for i in range(40))), dns(28, *40 * [V6])),
    "ttl": answers(dns(1, record(1, bytes(4), 0xFFFFFFFF)), dns(28)),
})
write("dns_files", {
    "hosts": b"127.0.0.1 localhost a.example # x\n::1\tlocalhost ip6-localhost\n192.0.2.1 b.example b\n",
    "resolv": b"# x\nnameserver 192.0.2.53\nnameserver [2001:db8::53]:5353\nnameserver fe80::1%eth0\noptions edns0\n",
    "server": b"[2001:db8::53]:53",
})
write("job_record", {
    "implicit": b"exeat-job 1\nstore s\nid -\nplan -\nstep 0\nended -\nexpires -\nsecret -\npolicy -\n",
    "opened": b"exeat-job 1\nstore s\nid j-abcdefghij23\nplan setup > agent+mcp\nstep 1\nended closed\nexpires 1800000000\n"
              b"secret " + 64 * b"a" + b"\npolicy " + 64 * b"0" + b"\ntoken agent " + 64 * b"1" + b"\n",
})
write("json_body", {
    "flat": b'{"job":"j-abcdefghij23", "to":"agent","grace":"5s"}',
    "twice": b'{"job":"a","job":"b"}',
    "escapes": b'{"to":"\\u0061\\ud83d\\ude00\\n"}',
    "deep": b'{"job":{"to":["a",1,null,true]}}',
    "empty": b"{}",
})
write("path", {
    "exact": b"/a/b\n/a/b",
    "one": b"/a/*/c\n/a/b/c",
    "rest": b"/a/**\n/a/b/c;d=%20",
    "dots": b"/a/**\n/a/../b",
    "escapes": b"/%E2%82%AC/*\n/%e2%82%ac/x",
})
write("line", {
    "control": b"\x40\x03\x00GET\r\n\x1b[2J\x00a.example\"\\",
    "utf8": b"\x80\x20\x01\xf0\x9f\x98\x80\xff\xc3\x28application/json;q=0.5, text/*",
    "accept": b"\x00\x05\x02application/problem+json, */*;q=0.1",
})

# The session target: one octet of flags (1 cuts, 2 other listeners, 4 idle limit, 8 Via, 16 and 32 the policy, 64 another
# octet of upstream proxies: session/ways.hpp; 128 one of TLS listeners, limits and time), then acts in the order of `enum class act` in session_fuzz.cpp. NOW: the proxy has no turn behind that act.
ACTS = ("connect client_word client_octets client_much client_fin client_reset client_close client_reading origin_word "
        "origin_octets origin_much origin_fin origin_reset origin_close origin_reading answering release_answers load seal "
        "enforce end_job opened_job pass drain stop cut_out_of_time forget_names turn client_tls").split()
NOW = 0x80
SETUP, AGENT, AGENT_TCP, WATCH, TOKEN, HEADER = range(6)
(TRUTH, NOTHING, NO_NAME, FAILURE, SILENCE, LATER, LIE, METADATA, MIXED, ALIAS, TRUNCATED, GARBAGE, OTHER, MANY) = range(14)
SECOND, TEN, TWENTY, MINUTE = 3, 5, 6, 7


def session(*acts, flags=0, ways=None, more=None):
    """Each act is a name, or a tuple of it, numbers and octets; "+" in front: at once."""
    out = bytes([flags | (ways is not None) << 6 | (more is not None) << 7])
    out += bytes(octet for octet in (ways, more) if octet is not None)
    for act in acts:
        name, *rest = (act,) if isinstance(act, str) else act
        code = ACTS.index(name.removeprefix("+")) | (NOW if name.startswith("+") else 0)
        out += bytes([code])
        for value in rest:
            out += bytes([len(value)]) + value if isinstance(value, bytes) else bytes([value])
    return out


GET, DENIED, OF_SETUP, POST, REST, CHUNKED, CHUNK, LAST, TRAILER, WEBSOCKET = range(10)
TO_TLS, TO_RAW, TO_BUDGET, TO_NO, TO_METADATA, HELLO, OTHER_HELLO, CUT_HELLO, HALF_HELLO, HALF_HELLO_2 = range(10, 20)
OK, OK_CHUNKED, A_CHUNK, LAST_CHUNK, UNTIL_CLOSE, SWITCH, CONTINUE, HINTS, NO_CONTENT = range(9)


def word(which, who=0):
    return ("client_word", who, which)


def reply(which, who=0):
    return ("origin_word", who, which)


AGENT_CLIENT = ("connect", AGENT)
TLS, REMOTE, TUNNELS, NO_PROXY, BY_NAME, CREDENTIAL, SECOND_HOP, IMPOSTOR = (1 << i for i in range(8))
TO_HOP, TO_SLY, TO_HOP_2, GET_HOP, GET_ELSEWHERE, LAST_FORWARD, TO_OTHER_PORT, TO_DEAD = range(52, 60)
OPENED, BAD_GATEWAY, OPENED_ODDLY, OPENED_AND_OK, OPENED_AND_RAW, FORBIDDEN = range(23, 29)
A_TUNNEL = (AGENT_CLIENT, word(TO_TLS), reply(OPENED), word(HELLO), reply(21), ("client_much", 0, 3), ("origin_much", 0, 3))
A_FORWARD = (AGENT_CLIENT, word(GET), reply(OK), word(POST), word(REST), ("origin_word", 1, NO_CONTENT), word(GET), reply(OK))
SPEAKS_TLS, PROVES, FEW_REQUESTS, FEW_DIALS, FEW_LOOKUPS, FEW_SEATS, FEW_BUFFERS, TIMED = (1 << i for i in range(8))
LISTENER_TLS = 3  # behind setup and twice agent; the one with certificates behind that
A_TLS_CLIENT = (("connect", LISTENER_TLS), ("client_tls", 0, 0))
CERTIFIED = (("connect", LISTENER_TLS), ("client_tls", 0, 1))
OF_TLS = {
    "tls_get": session(*A_TLS_CLIENT, word(GET), reply(OK), word(GET), reply(OK_CHUNKED), reply(A_CHUNK), reply(LAST_CHUNK), ("client_fin", 0), flags=8, more=SPEAKS_TLS),
    "tls_denied": session(*A_TLS_CLIENT, word(DENIED), word(OF_SETUP), word(TO_NO), more=SPEAKS_TLS),
    "tls_in_tls": session(*A_TLS_CLIENT, word(TO_TLS), word(HELLO), reply(21), ("client_much", 0, 8), ("origin_much", 0, 8), ("origin_fin", 0), ("client_fin", 0), more=SPEAKS_TLS),
    "tls_raw": session(*A_TLS_CLIENT, word(TO_RAW), reply(15), word(44), ("origin_much", 0, 8), ("client_much", 0, 8), ("client_fin", 0), ("origin_fin", 0), more=SPEAKS_TLS),
    "tls_reset": session(*A_TLS_CLIENT, word(TO_RAW), ("client_much", 0, 8), ("client_reset", 0), ("origin_much", 0, 8), more=SPEAKS_TLS),
    "tls_closed": session(*A_TLS_CLIENT, word(POST), ("client_close", 0), more=SPEAKS_TLS),
    "tls_slow_client": session(*A_TLS_CLIENT, ("client_reading", 0, 0), word(TO_RAW), ("origin_much", 0, 8), ("origin_much", 0, 8), ("pass", SECOND), ("client_reading", 0, 1), more=SPEAKS_TLS),
    "tls_stalled": session(*A_TLS_CLIENT, ("client_reading", 0, 0), word(TO_RAW), *(("origin_much", 0, 8) for _ in range(10)), *(("pass", MINUTE) for _ in range(12)), more=SPEAKS_TLS),
    "tls_budget": session(*A_TLS_CLIENT, word(TO_BUDGET), ("client_much", 0, 1), ("client_much", 0, 2), more=SPEAKS_TLS),
    "tls_plain_http": session(("connect", LISTENER_TLS), word(GET), ("connect", LISTENER_TLS), ("client_word", 1, TO_TLS), more=SPEAKS_TLS),
    "tls_garbage": session(("connect", LISTENER_TLS), ("client_octets", 0, bytes(range(200))), ("connect", LISTENER_TLS), ("client_word", 1, HELLO), ("connect", LISTENER_TLS), ("client_word", 2, CUT_HELLO), ("pass", TEN), more=SPEAKS_TLS),
    "tls_late": session(("connect", LISTENER_TLS), ("pass", TEN), ("connect", LISTENER_TLS), ("client_word", 1, HALF_HELLO), ("pass", TEN), more=SPEAKS_TLS),
    "tls_broken_later": session(("connect", LISTENER_TLS), ("client_tls", 0, 0), word(TO_RAW), ("client_fin", 0), ("client_much", 0, 1), more=SPEAKS_TLS),
    "tls_half_shaken": session(("connect", LISTENER_TLS), ("+client_tls", 0, 0), ("turn", 2), ("client_reset", 0), ("connect", LISTENER_TLS), ("+client_tls", 1, 0), "stop", ("pass", 0), more=SPEAKS_TLS),
    "tls_seal": session(*A_TLS_CLIENT, word(TO_RAW), ("client_much", 0, 2), "seal", "seal", ("enforce", 0), ("client_much", 0, 2), word(GET), more=SPEAKS_TLS),
    "tls_reload_cut": session(*A_TLS_CLIENT, word(TO_TLS), word(HELLO), ("load", 1), ("client_much", 0, 3), flags=1, more=SPEAKS_TLS),
    "tls_drain": session(*A_TLS_CLIENT, word(GET), reply(OK), ("connect", LISTENER_TLS), "drain", ("connect", LISTENER_TLS), ("client_tls", 1, 0), more=SPEAKS_TLS),
    "tls_certificate": session(*CERTIFIED, word(GET), reply(OK), word(OF_SETUP), word(TO_RAW), ("client_much", 0, 2), more=PROVES),
    "tls_no_certificate": session(*A_TLS_CLIENT, word(GET), ("pass", TEN), more=PROVES),
    "tls_both": session(("connect", LISTENER_TLS), ("client_tls", 0, 1), word(GET), reply(OK), ("connect", LISTENER_TLS + 1), ("client_tls", 1, 1), ("client_word", 1, GET), reply(OK), more=SPEAKS_TLS | PROVES),
    "tls_both_ways": session(*A_TLS_CLIENT, word(TO_RAW), reply(OPENED), ("client_much", 0, 8), ("origin_much", 0, 8), ("client_reset", 0), ways=TLS | CREDENTIAL, more=SPEAKS_TLS),
    "tls_forward": session(*A_TLS_CLIENT, word(CHUNKED), word(CHUNK), word(LAST), reply(OK), word(GET), reply(OK), ways=TLS | CREDENTIAL, more=SPEAKS_TLS),
    "tls_others": session(("connect", 6), ("client_tls", 0, 0), word(GET), reply(OK), ("connect", HEADER), ("client_word", 1, 39), ("client_word", 1, GET), flags=2, more=SPEAKS_TLS),
}
LIMITS = {
    "limit_requests": session(AGENT_CLIENT, *(one for _ in range(5) for one in (word(GET), reply(OK))), ("pass", SECOND), ("connect", AGENT), ("client_word", 1, GET), reply(OK), ("connect", AGENT_TCP), ("client_word", 2, GET), more=FEW_REQUESTS),
    "limit_bad_requests": session(*(one for i in range(5) for one in (AGENT_CLIENT, ("client_word", i, 42))), more=FEW_REQUESTS),
    "limit_dials": session(AGENT_CLIENT, word(30), ("connect", AGENT), ("client_word", 1, 30), ("connect", AGENT), ("client_word", 2, 30), ("pass", TEN), ("pass", TEN), ("pass", TWENTY), more=FEW_DIALS),
    "limit_dials_gone": session(AGENT_CLIENT, word(30), ("connect", AGENT), ("client_word", 1, 30), ("client_reset", 0), ("pass", TEN), "stop", ("pass", 0), more=FEW_DIALS),
    "limit_dials_hop": session(AGENT_CLIENT, word(TO_RAW), ("connect", AGENT), ("client_word", 1, TO_RAW), ("pass", TEN), reply(OPENED), ("origin_word", 1, OPENED), ways=CREDENTIAL, more=FEW_DIALS),
    "limit_lookups": session(("answering", LATER), AGENT_CLIENT, word(GET), ("connect", AGENT), ("client_word", 1, TO_RAW), ("connect", SETUP), ("client_word", 2, OF_SETUP), "release_answers", more=FEW_LOOKUPS),
    "limit_seats": session(*4 * [AGENT_CLIENT], word(TO_RAW), ("client_word", 1, TO_RAW), ("client_word", 2, TO_RAW), ("client_close", 0), ("pass", SECOND), ("client_word", 3, TO_RAW), more=FEW_SEATS),
    "limit_seats_job": session(*2 * [AGENT_CLIENT], *2 * [("connect", SETUP)], word(TO_RAW), ("client_word", 1, GET), ("client_word", 2, OF_SETUP), ("client_word", 3, OF_SETUP), more=FEW_SEATS),
    "limit_buffers": session(*6 * [AGENT_CLIENT], *(("client_word", i, POST) for i in range(6)), *(("client_much", i, 5) for i in range(6)), more=FEW_BUFFERS),
    "limit_buffers_tls": session(*3 * [("connect", LISTENER_TLS)], *(one for i in range(3) for one in (("client_tls", i, 0), ("client_word", i, TO_RAW), ("client_much", i, 8))), more=FEW_BUFFERS | SPEAKS_TLS),
    "limit_buffers_hop": session(*4 * [AGENT_CLIENT], *(("client_word", i, TO_RAW) for i in range(4)), *(("origin_word", i, OPENED) for i in range(4)), *(("origin_reading", i, 0) for i in range(4)), *(("client_much", i, 8) for i in range(4)), ways=TLS, more=FEW_BUFFERS),
    "time": session(AGENT_CLIENT, word(TO_RAW), ("client_much", 0, 1), ("pass", TWENTY), ("client_much", 0, 1), ("pass", TEN), "cut_out_of_time", ("client_much", 0, 1), ("connect", AGENT), ("client_word", 1, GET), ("origin_word", 1, OK), more=TIMED),
    "time_exchange": session(AGENT_CLIENT, word(CHUNKED), ("client_octets", 0, b"2000\r\n"), *(one for _ in range(3) for one in (("pass", TEN), ("client_much", 0, 0))), "cut_out_of_time", ("client_much", 0, 0), more=TIMED),
    "time_answer": session(AGENT_CLIENT, word(GET), reply(UNTIL_CLOSE), *(one for _ in range(3) for one in (("pass", TEN), ("origin_much", 0, 1))), "cut_out_of_time", ("origin_much", 0, 1), more=TIMED),
    "time_dial": session(AGENT_CLIENT, word(GET), reply(OK), ("pass", TWENTY), *3 * [("pass", 4)], ("answering", LATER), "forget_names", ("connect", AGENT), ("client_word", 1, TO_TLS), ("pass", 4), "cut_out_of_time", "release_answers", ("client_word", 1, HELLO), ("client_much", 1, 1), "cut_out_of_time", ("client_much", 1, 1), more=TIMED),
    "time_peek": session(AGENT_CLIENT, word(GET), reply(OK), ("pass", TWENTY), *3 * [("pass", 4)], ("connect", AGENT), ("client_word", 1, TO_TLS), ("pass", 4), ("client_word", 1, HELLO), "cut_out_of_time", ("client_much", 1, 1), more=TIMED),
    "time_hop": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED), ("client_much", 0, 1), ("pass", TWENTY), ("pass", TEN), "cut_out_of_time", ("client_much", 0, 1), ways=TLS, more=TIMED),
    "time_reload": session(AGENT_CLIENT, word(TO_RAW), ("client_much", 0, 1), ("pass", TWENTY), ("load", 1), ("pass", TEN), ("load", 3), "cut_out_of_time", ("client_much", 0, 1), word(GET), flags=1, more=TIMED),
}
HOPS = {
    # The hop's answers are the fuzzer's; these are what an honest one says.
    **{f"hop_tunnel_{name}": session(*A_TUNNEL, flags=flags, ways=ways) for name, flags, ways in (
        ("plain", 0, CREDENTIAL), ("remote", 8, REMOTE | CREDENTIAL), ("name", 0, BY_NAME | CREDENTIAL), ("tls", 0, TLS | CREDENTIAL),
        ("tls_name", 8, TLS | BY_NAME | REMOTE), ("second", 0, SECOND_HOP | CREDENTIAL), ("no_proxy", 0, NO_PROXY),
        ("no_proxy_remote", 0, NO_PROXY | REMOTE), ("impostor", 0, TLS | IMPOSTOR | CREDENTIAL), ("impostor_name", 0, TLS | IMPOSTOR | BY_NAME))},
    **{f"hop_forward_{name}": session(*A_FORWARD, flags=flags, ways=ways) for name, flags, ways in (
        ("plain", 0, CREDENTIAL), ("remote", 8, REMOTE | CREDENTIAL), ("name", 0, BY_NAME), ("tls", 8, TLS | CREDENTIAL),
        ("tls_remote", 0, TLS | REMOTE | BY_NAME), ("second", 0, SECOND_HOP | CREDENTIAL), ("impostor", 0, TLS | IMPOSTOR))},
    "hop_http_tunnel": session(AGENT_CLIENT, word(GET), reply(OPENED_AND_OK), word(GET), reply(OK), ways=TUNNELS | CREDENTIAL),
    "hop_http_tunnel_remote": session(AGENT_CLIENT, word(GET), reply(OPENED), reply(OK), word(GET), reply(OK), ways=TUNNELS | REMOTE),
    "hop_http_tunnel_tls": session(AGENT_CLIENT, word(CHUNKED), reply(OPENED), word(CHUNK), word(LAST), reply(OK), ways=TUNNELS | TLS | CREDENTIAL),
    "hop_websocket": session(AGENT_CLIENT, word(WEBSOCKET), reply(OPENED), reply(SWITCH), ("client_octets", 0, b"\x81\x02hi"), reply(2), ("origin_fin", 0), ("client_fin", 0), ways=CREDENTIAL),
    "hop_raw": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED_AND_RAW), word(44), ("origin_much", 0, 8), ("client_much", 0, 8), ("client_fin", 0), ("origin_fin", 0), ways=CREDENTIAL),
    "hop_raw_tls": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED_AND_RAW), word(44), ("origin_much", 0, 8), ("client_much", 0, 8), ("client_fin", 0), ("origin_fin", 0), ways=TLS | CREDENTIAL),
    "hop_zeros": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED), ("client_octets", 0, b"\0"), ("client_octets", 0, b"\0"), ("origin_reset", 0), ways=TLS),
    "hop_reset_tls": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED), ("client_much", 0, 8), ("client_reset", 0), ways=TLS | REMOTE),
    "hop_slow_tls": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED), ("origin_reading", 0, 0), ("client_much", 0, 8), ("client_much", 0, 8), ("pass", MINUTE), ("origin_reading", 0, 1), ("client_fin", 0), ways=TLS),
    "hop_budget": session(AGENT_CLIENT, word(TO_BUDGET), reply(OPENED), ("client_much", 0, 1), ("client_much", 0, 2), ways=CREDENTIAL),
    "hop_budget_tls": session(AGENT_CLIENT, word(TO_BUDGET), reply(OPENED), ("origin_much", 0, 2), ("origin_much", 0, 4), ways=TLS | REMOTE),
    "hop_budget_forward": session(AGENT_CLIENT, *(one for _ in range(6) for one in (word(35), reply(OK))), ways=CREDENTIAL | REMOTE),
    "hop_budget_direct": session(AGENT_CLIENT, word(TO_BUDGET), ("client_much", 0, 2), ways=NO_PROXY | REMOTE),
    **{f"hop_refused_{i}": session(AGENT_CLIENT, word(TO_RAW), reply(answer), ("connect", AGENT), ("client_word", 1, TO_TLS), ("pass", TWENTY), ways=ways)
       for i, (answer, ways) in enumerate(((BAD_GATEWAY, CREDENTIAL), (10, CREDENTIAL), (10, 0), (FORBIDDEN, REMOTE), (OPENED_ODDLY, 0), (CONTINUE, 0), (15, REMOTE), (13, TLS), (BAD_GATEWAY, TLS)))},
    "hop_interim": session(AGENT_CLIENT, word(TO_RAW), *(reply(HINTS) for _ in range(12)), reply(OPENED), ways=0),
    "hop_interim_opened": session(AGENT_CLIENT, word(TO_RAW), reply(CONTINUE), reply(13), ("origin_octets", 0, b"K\r\n\r\nrest"), word(44), ways=0),
    "hop_gone": session(AGENT_CLIENT, word(TO_RAW), ("origin_close", 0), ("connect", AGENT), ("client_word", 1, GET), ("origin_reset", 1), ways=0),
    "hop_challenge_forward": session(AGENT_CLIENT, word(GET), reply(10), word(GET), reply(BAD_GATEWAY), ways=CREDENTIAL),
    "hop_itself": session(AGENT_CLIENT, word(TO_HOP), ("connect", AGENT), ("client_word", 1, TO_SLY), ("connect", AGENT), ("client_word", 2, GET_HOP), ("connect", AGENT), ("client_word", 3, TO_HOP_2), ways=CREDENTIAL),
    "hop_itself_name": session(AGENT_CLIENT, word(TO_HOP), ("connect", AGENT), ("client_word", 1, TO_SLY), ("connect", AGENT), ("client_word", 2, GET_HOP), ways=BY_NAME | SECOND_HOP),
    "hop_itself_remote": session(AGENT_CLIENT, word(TO_HOP), reply(OPENED), ("connect", AGENT), ("client_word", 1, TO_SLY), ("origin_word", 1, OPENED), ways=REMOTE),
    "hop_itself_unknown": session(("answering", FAILURE), AGENT_CLIENT, word(GET), ("answering", TRUTH), ("connect", AGENT), ("client_word", 1, TO_SLY), ways=BY_NAME),
    "hop_as_origin": session(AGENT_CLIENT, word(TO_HOP), reply(15), ("connect", AGENT), ("client_word", 1, TO_SLY), ("client_much", 1, 1)),
    "hop_names": session(AGENT_CLIENT, word(23), reply(OK), word(24), ("origin_word", 1, OK), word(25), word(23), ways=REMOTE | CREDENTIAL),
    "hop_ntlm": session(AGENT_CLIENT, word(31), reply(11), word(31), reply(OK), word(GET), reply(OK), ways=CREDENTIAL),
    "hop_pool_closed": session(AGENT_CLIENT, word(GET), reply(OK), ("+origin_close", 0), word(GET), ("origin_word", 1, OK), ways=CREDENTIAL),
    "hop_retry": session(AGENT_CLIENT, word(GET), reply(OK), ("+client_word", 0, GET), ("turn", 1), ("origin_close", 0), ("origin_word", 1, OK), ways=TLS | CREDENTIAL),
    "hop_two_origins": session(AGENT_CLIENT, word(GET), reply(OK), word(26), ("origin_word", 1, OK), word(GET), reply(OK), word(26), ("origin_word", 1, OK), ways=CREDENTIAL),
    "hop_reload_cut": session(AGENT_CLIENT, word(TO_TLS), reply(OPENED), word(HELLO), ("load", 1), ("client_much", 0, 3), flags=1, ways=0),
    "hop_reload_cut_answer": session(AGENT_CLIENT, word(TO_TLS), ("load", 1), reply(OPENED), word(HELLO), flags=1, ways=TLS),
    "hop_reload_cut_forward": session(AGENT_CLIENT, word(POST), ("load", 1), word(REST), flags=1, ways=TLS | CREDENTIAL),
    "hop_seal": session(("connect", SETUP), word(OF_SETUP), "+seal", ("enforce", 0), reply(OK), word(OF_SETUP), ways=CREDENTIAL),
    "hop_seal_answer": session(AGENT_CLIENT, word(TO_RAW), "seal", "seal", ("enforce", 0), reply(OPENED), word(44), ways=TLS),
    "hop_seal_tunnel": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED), ("client_much", 0, 2), "seal", "seal", ("enforce", 0), ("client_much", 0, 2), ways=TLS),
    "hop_stop": session(AGENT_CLIENT, word(TO_RAW), reply(OPENED), ("connect", AGENT), ("client_word", 1, GET), ("connect", AGENT), ("client_word", 2, TO_TLS), "stop", ("pass", 0), ("pass", 0), ways=TLS),
    "hop_drain": session(AGENT_CLIENT, word(TO_RAW), ("connect", AGENT), ("client_word", 1, GET), "drain", reply(OPENED), ("origin_word", 1, OK), ways=CREDENTIAL),
    "hop_slow": session(AGENT_CLIENT, word(TO_RAW), ("pass", TEN), reply(13), ("pass", TEN), ways=0),
    "hop_slow_shake": session(AGENT_CLIENT, ("origin_reading", 0, 0), word(TO_RAW), ("client_close", 0), ("pass", TWENTY), ways=TLS),
    "hop_audit": session(("connect", WATCH), word(GET_ELSEWHERE), reply(OK), ("connect", WATCH), ("client_word", 1, TO_OTHER_PORT), ("origin_word", 1, OPENED), flags=2, ways=REMOTE | CREDENTIAL),
    "hop_audit_denied": session(("connect", WATCH), word(DENIED), reply(OK), word(TO_NO), ("origin_word", 1, OPENED), word(TO_METADATA), flags=2, ways=REMOTE | TUNNELS),
    "hop_token": session(("connect", TOKEN), word(36), reply(OPENED), word(HELLO), ("connect", TOKEN), ("client_word", 1, 37), ("origin_word", 1, OK), flags=2, ways=CREDENTIAL),
    **{f"hop_dns_{i}": session(("answering", i), AGENT_CLIENT, word(GET), reply(OK), ("pass", SECOND), ("pass", TEN), word(TO_TLS), reply(OPENED), ways=ways)
       for i, ways in ((FAILURE, BY_NAME | REMOTE), (LATER, BY_NAME), (LIE, CREDENTIAL), (METADATA, BY_NAME), (MIXED, 0), (ALIAS, CREDENTIAL), (MANY, BY_NAME))},
    "hop_last_forward": session(AGENT_CLIENT, word(LAST_FORWARD), word(34), reply(NO_CONTENT), ways=CREDENTIAL),
    "hop_dead": session(AGENT_CLIENT, word(TO_DEAD), reply(BAD_GATEWAY), ("connect", AGENT), ("client_word", 1, 29), ("origin_word", 1, BAD_GATEWAY), ways=0),
}
write("session", {
    "get": session(AGENT_CLIENT, word(GET), reply(OK), word(GET), reply(OK), flags=8),
    "get_tcp": session(("connect", AGENT_TCP), word(GET), reply(OK_CHUNKED), reply(A_CHUNK), reply(LAST_CHUNK), ("client_fin", 0)),
    "denied": session(AGENT_CLIENT, word(DENIED), word(OF_SETUP), word(TO_NO)),
    "setup": session(("connect", SETUP), word(OF_SETUP), reply(UNTIL_CLOSE), ("origin_much", 0, 5), ("origin_fin", 0)),
    "post": session(AGENT_CLIENT, word(POST), word(REST), reply(NO_CONTENT), word(CHUNKED), word(CHUNK), word(TRAILER), reply(18)),
    "half_post": session(AGENT_CLIENT, word(POST), ("client_close", 0)),
    "early_answer": session(AGENT_CLIENT, word(CHUNKED), reply(OK), word(CHUNK), word(LAST), word(GET)),
    "websocket": session(AGENT_CLIENT, word(WEBSOCKET), reply(SWITCH), ("client_octets", 0, b"\x81\x02hi"), reply(2), ("origin_fin", 0), ("client_fin", 0)),
    "tls": session(AGENT_CLIENT, word(TO_TLS), word(HELLO), reply(21), ("client_much", 0, 8), ("origin_much", 0, 8), ("origin_fin", 0)),
    "tls_at_once": session(AGENT_CLIENT, word(45), ("origin_reset", 0)),
    "tls_cut": session(("connect", AGENT_TCP), word(TO_TLS), word(HALF_HELLO), word(HALF_HELLO_2), ("client_fin", 0), ("origin_fin", 0)),
    "tls_records": session(AGENT_CLIENT, word(TO_TLS), word(CUT_HELLO), ("client_reset", 0)),
    "sni": session(AGENT_CLIENT, word(TO_TLS), word(OTHER_HELLO)),
    "ech": session(AGENT_CLIENT, word(TO_TLS), word(20)),
    "not_tls": session(AGENT_CLIENT, word(TO_TLS), word(44), ("connect", AGENT), ("client_word", 1, TO_TLS), ("client_word", 1, 42)),
    "no_hello": session(AGENT_CLIENT, word(TO_TLS), ("pass", TEN), ("connect", AGENT), ("client_word", 1, TO_TLS), ("client_fin", 1)),
    "raw": session(AGENT_CLIENT, word(TO_RAW), reply(15), word(44), ("origin_much", 0, 8), ("client_much", 0, 8), ("client_fin", 0), ("origin_fin", 0)),
    "slow_client": session(AGENT_CLIENT, ("client_reading", 0, 0), word(TO_RAW), ("origin_much", 0, 8), ("origin_much", 0, 8), ("pass", SECOND), ("client_reading", 0, 1)),
    "slow_origin": session(("connect", AGENT_TCP), word(TO_RAW), ("origin_reading", 0, 0), ("client_much", 0, 8), ("client_much", 0, 8), ("client_fin", 0), ("origin_reading", 0, 1)),
    "idle_tunnel": session(AGENT_CLIENT, word(TO_RAW), reply(15), ("pass", TEN), word(44), ("pass", TWENTY), ("pass", TEN), flags=4),
    "up_limit": session(AGENT_CLIENT, word(TO_BUDGET), ("client_much", 0, 1), ("client_much", 0, 2)),
    "down_limit": session(AGENT_CLIENT, word(TO_BUDGET), ("origin_much", 0, 2), ("origin_much", 0, 4)),
    "http_limit": session(AGENT_CLIENT, word(22), reply(CONTINUE), ("client_much", 0, 1), ("client_octets", 0, bytes(200)), ("client_much", 0, 1)),
    "http_down_limit": session(AGENT_CLIENT, word(35), reply(19), ("origin_much", 0, 2), word(35), reply(19), ("origin_much", 0, 2)),
    "request_limit": session(AGENT_CLIENT, *(one for _ in range(6) for one in (word(35), reply(OK)))),
    "names": session(AGENT_CLIENT, word(23), reply(OK), word(24), ("origin_word", 1, OK), word(25), word(23)),
    "methods": session(AGENT_CLIENT, word(26), reply(NO_CONTENT), word(27), ("connect", AGENT), ("client_word", 1, 28)),
    "refused": session(AGENT_CLIENT, word(29), ("pass", SECOND), word(29)),
    "hole": session(AGENT_CLIENT, word(30), ("pass", TWENTY)),
    "head": session(AGENT_CLIENT, word(21), reply(OK), word(34), reply(NO_CONTENT)),
    "ntlm": session(AGENT_CLIENT, word(31), reply(11), word(31), reply(OK), word(GET), reply(OK)),
    "old": session(AGENT_CLIENT, word(32), reply(OK_CHUNKED), reply(A_CHUNK), reply(LAST_CHUNK)),
    "hops": session(AGENT_CLIENT, word(33), reply(20), reply(LAST_CHUNK)),
    "surplus": session(AGENT_CLIENT, word(46), reply(12), ("origin_word", 1, OK)),
    "late_origin": session(AGENT_CLIENT, word(GET), ("pass", SECOND), ("pass", TWENTY), ("pass", TEN)),
    "cut_answer": session(AGENT_CLIENT, word(GET), reply(13), reply(14), ("origin_much", 0, 3), ("origin_reset", 0)),
    "closed_pool": session(AGENT_CLIENT, word(GET), reply(OK), ("+origin_close", 0), word(GET), ("origin_word", 1, OK)),
    "retry": session(AGENT_CLIENT, word(GET), reply(OK), ("+client_word", 0, GET), ("turn", 1), ("origin_close", 0), ("origin_word", 1, OK)),
    "switch_unasked": session(AGENT_CLIENT, word(GET), reply(SWITCH)),
    "hints": session(AGENT_CLIENT, word(GET), reply(HINTS), reply(CONTINUE), reply(9)),
    "challenge": session(AGENT_CLIENT, word(GET), reply(10)),
    "lengths": session(AGENT_CLIENT, word(GET), reply(17), ("connect", AGENT), ("client_word", 1, 40), ("connect", AGENT), ("client_word", 2, 41)),
    "origin_form": session(AGENT_CLIENT, word(42), ("connect", AGENT), ("client_word", 1, 49), ("connect", AGENT), ("client_word", 2, 47)),
    "literal": session(AGENT_CLIENT, word(TO_METADATA), ("connect", AGENT), ("client_word", 1, 51)),
    **{f"dns_{i}": session(("answering", i), AGENT_CLIENT, word(GET), reply(OK), ("pass", SECOND), ("pass", TEN), word(TO_TLS)) for i in range(14)},
    "dns_late": session(("answering", LATER), AGENT_CLIENT, word(GET), ("connect", AGENT), ("client_word", 1, GET), ("pass", SECOND), "release_answers", reply(OK), ("origin_word", 1, OK)),
    "dns_gone": session(("answering", LATER), AGENT_CLIENT, word(GET), ("client_reset", 0), "stop", ("pass", 0), ("pass", 0)),
    "rebind": session(AGENT_CLIENT, word(GET), reply(OK), ("answering", LIE), "forget_names", ("origin_close", 0), word(GET)),
    "reload_keep": session(AGENT_CLIENT, word(TO_TLS), word(HELLO), ("load", 1), ("client_much", 0, 3), ("load", 0), word(TO_TLS)),
    "reload_cut": session(AGENT_CLIENT, word(TO_TLS), word(HELLO), ("load", 1), ("client_much", 0, 3), flags=1),
    "reload_cut_http": session(AGENT_CLIENT, word(POST), ("load", 1), word(REST), flags=1),
    "reload_cut_dial": session(("answering", LATER), AGENT_CLIENT, word(GET), ("connect", AGENT), ("client_word", 1, TO_RAW), ("load", 2), "release_answers", flags=1),
    "reload_cut_write": session(("connect", AGENT_TCP), word(CHUNKED), ("origin_reading", 0, 0), ("client_octets", 0, b"100000\r\n"), ("client_much", 0, 8), ("client_much", 0, 8), ("client_much", 0, 8), ("client_much", 0, 8), ("+origin_reading", 0, 1), ("+load", 1), flags=1),
    "reload_limits": session(AGENT_CLIENT, word(TO_BUDGET), ("client_much", 0, 0), ("load", 3), ("client_much", 0, 0), ("client_much", 0, 0)),
    "seal": session(("connect", SETUP), word(OF_SETUP), "+seal", ("enforce", 0), reply(OK), word(OF_SETUP), ("connect", SETUP), ("client_word", 1, OF_SETUP)),
    "seal_grace": session(("connect", SETUP), word(OF_SETUP), reply(UNTIL_CLOSE), "seal", ("enforce", 2), ("origin_much", 0, 2), ("pass", TEN), ("origin_much", 0, 2)),
    "seal_tunnel": session(AGENT_CLIENT, word(TO_RAW), ("client_much", 0, 2), "seal", "seal", ("enforce", 0), ("client_much", 0, 2)),
    "seal_peek": session(AGENT_CLIENT, word(TO_TLS), word(HALF_HELLO), "end_job", ("enforce", 0), word(HALF_HELLO_2)),
    "seal_look_up": session(("answering", LATER), ("connect", SETUP), word(OF_SETUP), "seal", ("enforce", 0), "release_answers"),
    "seal_write": session(("connect", SETUP), word(OF_SETUP), ("client_reading", 0, 0), reply(UNTIL_CLOSE), ("origin_much", 0, 8), ("origin_much", 0, 8), ("+client_reading", 0, 1), "+seal", ("enforce", 0)),
    "drain": session(AGENT_CLIENT, word(GET), reply(OK), ("connect", AGENT), ("client_word", 1, TO_RAW), "drain", ("connect", AGENT), ("client_much", 1, 1), ("client_fin", 1)),
    "stop": session(AGENT_CLIENT, word(GET), ("connect", AGENT), ("client_word", 1, TO_RAW), ("connect", AGENT), ("client_word", 2, POST), "stop", ("pass", 0), ("pass", 0)),
    "crowd": session(*7 * [AGENT_CLIENT], word(GET)),
    "crowd_tcp": session(*6 * [("connect", AGENT_TCP)], *2 * [("connect", SETUP)], ("client_word", 7, OF_SETUP)),
    "slow_head": session(AGENT_CLIENT, ("client_octets", 0, b"GET http://web"), ("pass", TEN), ("connect", AGENT), ("pass", TEN)),
    "long_head": session(AGENT_CLIENT, ("client_octets", 0, b"GET http://web.test:18080/ HTTP/1.1\r\nX: "), ("client_much", 0, 2)),
    "audit": session(("connect", WATCH), word(GET), reply(OK), word(OF_SETUP), ("origin_word", 1, OK), word(TO_RAW), ("client_much", 0, 1), flags=2),
    "audit_tunnel": session(("connect", WATCH), word(50), word(44), ("origin_much", 0, 1), ("client_fin", 0), ("origin_fin", 0), flags=2),
    "audit_guard": session(("connect", WATCH), word(DENIED), word(TO_METADATA), flags=2),
    "token": session(("connect", TOKEN), word(36), word(HELLO), ("client_close", 0), ("connect", TOKEN), ("client_word", 1, 37), ("origin_word", 1, OK), ("client_word", 1, 38), ("pass", SECOND), flags=2),
    "token_job_ends": session(("connect", TOKEN), word(37), reply(OK), "opened_job", word(37), flags=2),
    "token_missing": session(("connect", TOKEN), word(GET), word(36), flags=2),
    "header": session(("connect", HEADER), word(39), word(GET), reply(OK), ("connect", HEADER), ("client_word", 1, GET), ("connect", HEADER), ("pass", TEN), flags=2),
    **HOPS,
    **OF_TLS,
    **LIMITS,
    "cut_at_time": session(AGENT_CLIENT, word(TO_RAW), "cut_out_of_time"),
})
