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
