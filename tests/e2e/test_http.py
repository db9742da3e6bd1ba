"""Plain HTTP in absolute form: what apt and HTTP_PROXY use."""
import re

import pytest

from harness.client import Client, eventually
from harness.origin import http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"


def allow(port, *hosts):
    return policy_of(agent=[{"host": host, "ports": [port]} for host in (HOST, *hosts)], addresses=[loopback()])


@pytest.fixture
def served(exeat, origin):
    """served(respond, ...): (proxy, origin, base URL) around an HTTP origin."""
    def make(respond, *hosts, settings=None):
        server = origin(http_handler(respond))
        return exeat(allow(server.port, *hosts), settings), server, f"http://{HOST}:{server.port}"
    return make


def test_keep_alive_on_both_sides(served):
    proxy, server, url = served(lambda request: response(request.target), settings={"workers": 1})
    with proxy.client() as client:
        for n in range(5):
            assert client.get(f"{url}/{n}").body == f"/{n}".encode()
    assert len(server.connections) == 1
    assert eventually(lambda: len(proxy.log(event="decision", verdict="allow")) == 5)


def test_pipelined_requests_are_decided_one_by_one(served):
    proxy, server, url = served(lambda request: response(request.target))
    port = server.port
    requests = "".join(f"GET http://{host}:{port}/{n} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n"
                       for n, host in enumerate([HOST, "denied.corp.example", HOST]))
    with proxy.client() as client:
        client.send(requests)
        answers = [client.answer() for _ in range(3)]
    assert [a.status for a in answers] == [200, 403, 200]
    assert (answers[0].body, answers[2].body) == (b"/0", b"/2")
    assert b"denied" not in server.received
    assert eventually(lambda: len(proxy.log(event="decision")) == 3)
    assert [r["verdict"] for r in proxy.log(event="decision")] == ["allow", "deny", "allow"]


def test_the_head_is_written_anew(served):
    seen = []
    proxy, _, url = served(lambda request: (seen.append(request), response())[1])
    with proxy.client() as client:
        client.get(f"{url}/a?b", ["Connection: X-Mine, keep-alive", "X-Mine: 1", "X-Theirs: 2", "Keep-Alive: 5",
                                  "TE: gzip", "Proxy-Thing: 3", "Upgrade: h2c", "HTTP2-Settings: AAA"])
    request, = seen
    assert request.target == "/a?b" and request.fields["host"] == url[7:]
    assert request.fields["x-theirs"] == "2"
    for gone in ("x-mine", "keep-alive", "te", "proxy-thing", "upgrade", "http2-settings", "forwarded"):
        assert gone not in request.fields, gone


def test_via_has_a_name_of_its_own_by_default_and_may_be_left_out(served):
    seen = []
    for settings in (None, None, {"via": "none"}):
        proxy, _, url = served(lambda request: (seen.append(request), response())[1], settings=settings)
        with proxy.client() as client:
            answer = client.get(url + "/")
            assert answer.fields.get("via") == seen[-1].fields.get("via")
    names = [request.fields.get("via", "") for request in seen]
    assert all(re.fullmatch("1.1 exeat-[0-9a-f]{16}", name) for name in names[:2])
    assert names[0] != names[1] and names[2] == ""


def test_a_loop_through_another_proxy_is_found(exeat, origin, dns):
    """A proxy in the middle sends on to us what we sent to it, as a request to a proxy."""
    turns = []

    def back(connection):
        turns.append(connection)
        head = connection.read_until(b"\r\n\r\n").decode()
        line, rest = head.split("\r\n", 1)
        method, target, version = line.split(" ")
        with Client(("127.0.0.1", proxy.ports["agent"])) as client:
            client.send(f"{method} http://{HOST}:{server.port}{target} {version}\r\n{rest}")
            answer = client.answer()
        connection.write(response(answer.body, f"{answer.status} {answer.reason}"))
    server = origin(back)
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback()]))
    with proxy.client() as client:
        answer = client.get(f"http://{HOST}:{server.port}/")
    assert (answer.status, answer.reason) == (403, "egress-denied proxy-loop")
    assert len(turns) == 1
    assert proxy.logged(reason="proxy-loop", verdict="deny")


def test_two_in_a_row_are_no_loop(exeat, origin):
    """A chain of two, each with its own name: the second one is reached by the first one as an origin is."""
    seen = []
    last = origin(http_handler(lambda request: (seen.append(request), response("last"))[1]))
    second = exeat(policy_of(agent=[{"host": HOST, "ports": [last.port]}], addresses=[loopback()]))

    def middle(connection):
        head = connection.read_until(b"\r\n\r\n").decode()
        line, rest = head.split("\r\n", 1)
        with second.client() as client:
            client.send(f"GET http://{HOST}:{last.port}/ HTTP/1.1\r\nHost: {HOST}:{last.port}\r\n"
                        + "".join(f"{field}\r\n" for field in rest.split("\r\n") if field.startswith("Via:")) + "\r\n")
            connection.write(response(client.answer().body))
    bridge = origin(middle)
    first = exeat(policy_of(agent=[{"host": HOST, "ports": [bridge.port]}], addresses=[loopback()]))
    with first.client() as client:
        assert client.get(f"http://{HOST}:{bridge.port}/").body == b"last"
    names = [value for name, value in seen[0].raw_fields if name.lower() == "via"]
    assert len(names) == 2 and names[0] != names[1]


def test_via_is_added_where_it_is_set(served):
    seen = []
    proxy, _, url = served(lambda request: (seen.append(request), response())[1], settings={"via": "gate"})
    with proxy.client() as client:
        client.get(url + "/", ["Via: 1.0 before"])
    assert [value for name, value in seen[0].raw_fields if name.lower() == "via"][-1].endswith("1.1 gate")


@pytest.mark.parametrize("size", [0, 1, 1000, 3_000_000])
def test_fixed_length_body_up_and_down(served, size):
    proxy, _, url = served(lambda request: response(request.body))
    body = b"u" * size
    with proxy.client() as client:
        client.send(f"POST {url}/ HTTP/1.1\r\nHost: {url[7:]}\r\nContent-Length: {size}\r\n\r\n".encode() + body)
        assert client.answer().body == body
        assert client.get(f"{url}/").status == 200


def test_chunked_body_up_and_down_with_trailers(served):
    seen = []

    def respond(request):
        seen.append(request)
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                b"6\r\nanswer\r\n0\r\nX-Sum: 42\r\n\r\n")
    proxy, _, url = served(respond)
    with proxy.client() as client:
        client.send(f"POST {url}/ HTTP/1.1\r\nHost: {url[7:]}\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5;ext=1\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Trailer: yes\r\n\r\n")
        answer = client.answer()
        assert answer.body == b"answer" and answer.trailers == ["X-Sum: 42"]
        assert client.get(f"{url}/again").status == 200
    assert seen[0].body == b"hello0123456789" and seen[0].trailers == ["X-Trailer: yes"]


def test_body_to_the_end_of_the_connection(exeat, origin):
    def old(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 200 OK\r\n\r\n" + b"o" * 100_000)
    server = origin(old)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        assert client.get(f"http://{HOST}:{server.port}/").body == b"o" * 100_000
        # A length that is not known is either framed anew or ended by the close.


def test_100_continue(served):
    proxy, _, url = served(lambda request: response(request.body))
    with proxy.client() as client:
        client.send(f"PUT {url}/ HTTP/1.1\r\nHost: {url[7:]}\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer(interim=True).status == 100
        client.send("body")
        answer = client.answer()
    assert (answer.status, answer.body) == (200, b"body")


def test_100_continue_denied_needs_no_body(served):
    proxy, server, _ = served(lambda request: response())
    host = f"denied.corp.example:{server.port}"
    with proxy.client() as client:
        client.send(f"PUT http://{host}/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n"
                    "Expect: 100-continue\r\n\r\n")
        assert client.answer(interim=True).status == 403
    assert server.connections == []


def test_head_204_and_304_have_no_body(served):
    answers = {"/head": response(b"", "200 OK", ["X-A: 1"]).replace(b"Content-Length: 0", b"Content-Length: 999"),
               "/204": b"HTTP/1.1 204 No Content\r\n\r\n",
               "/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 55\r\n\r\n"}
    proxy, _, url = served(lambda request: answers.get(request.target, response(b"plain")))
    with proxy.client() as client:
        client.send(f"HEAD {url}/head HTTP/1.1\r\nHost: {url[7:]}\r\n\r\n")
        answer = client.answer(head_request=True)
        assert answer.status == 200 and answer.fields["content-length"] == "999"
        assert client.get(f"{url}/204").status == 204
        assert client.get(f"{url}/304").status == 304
        assert client.get(f"{url}/after").body == b"plain"


def test_surplus_octets_of_the_origin_never_become_a_response(exeat, origin):
    def surplus(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        connection.read_all()
    server = origin(surplus)
    proxy = exeat(allow(server.port), {"workers": 1})
    with proxy.client() as client:
        assert client.get(f"http://{HOST}:{server.port}/1").status == 204
        assert client.get(f"http://{HOST}:{server.port}/2").status == 204
    assert len(server.connections) == 2


def test_interim_responses_pass(served):
    proxy, _, url = served(lambda request: b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + response(b"end"))
    with proxy.client() as client:
        assert client.get(f"{url}/").body == b"end"


def test_other_upgrades_are_stripped(served):
    seen = []
    proxy, _, url = served(lambda request: (seen.append(request), response())[1])
    with proxy.client() as client:
        assert client.get(f"{url}/", ["Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings",
                                      "HTTP2-Settings: AAMAAABkAAQAAP__"]).status == 200
    assert "upgrade" not in seen[0].fields


def test_a_101_that_was_not_asked_for_opens_no_tunnel(served):
    proxy, _, url = served(lambda request: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: "
                                           b"Upgrade\r\n\r\nraw")
    with proxy.client() as client:
        assert client.get(f"{url}/").status == 502


@pytest.mark.parametrize("head, reason", [
    ("GET {u}/ HTTP/1.1\r\nHost: {h}\r\nHost: {h}\r\n\r\n", "host-repeated"),
    ("GET {u}/ HTTP/1.1\r\n\r\n", "host-missing"),
    ("GET {u}/ HTTP/1.1\r\nHost: other.corp.example\r\n\r\n", "host-mismatch"),
    ("GET {u}/ HTTP/1.1\r\nHost: {h}\r\nA: b\r\n c\r\n\r\n", "obs-fold"),
    ("GET {u}/ HTTP/1.1\nHost: {h}\n\n", "bad-line-ending"),
    ("POST {u}/ HTTP/1.1\r\nHost: {h}\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "length-conflict"),
    ("POST {u}/ HTTP/1.1\r\nHost: {h}\r\nTransfer-Encoding: xchunked\r\n\r\n", "bad-transfer-encoding"),
    ("POST {u}/ HTTP/1.1\r\nHost: {h}\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", "bad-content-length"),
    ("GET {u}/ HTTP/2.0\r\nHost: {h}\r\n\r\n", "bad-version"),
    ("GET /path HTTP/1.1\r\nHost: {h}\r\n\r\n", "origin-form"),
    ("GET https://{h}/ HTTP/1.1\r\nHost: {h}\r\n\r\n", "https-in-absolute-form"),
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "http2-on-plain"),
])
def test_a_request_that_is_not_one_unambiguous_request(served, head, reason):
    proxy, server, url = served(lambda request: response())
    with proxy.client() as client:
        client.send(head.format(u=url, h=url[7:]))
        assert client.answer().status in (400, 505)
        assert client.is_closed()
    assert proxy.logged(reason=reason)
    assert server.connections == []


def test_a_browser_that_opens_the_proxys_address_is_told_what_this_is(exeat):
    proxy = exeat(policy_of())
    with proxy.client() as client:
        client.send(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{proxy.ports['agent']}\r\n\r\n")
        answer = client.answer()
    assert answer.status == 400
    assert b"egress proxy" in answer.body and b"HTTPS_PROXY" in answer.body


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"-1\r\n", b"5\r\nhelloXX0\r\n\r\n", b"FFFFFFFFFFFFFFFFF\r\n"])
def test_malformed_chunks_end_the_exchange(served, chunks):
    proxy, server, url = served(lambda request: response(request.body))
    with proxy.client() as client:
        client.send(f"POST {url}/ HTTP/1.1\r\nHost: {url[7:]}\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunks)
        rest = client.read_all()
    assert rest == b"" or rest.startswith(b"HTTP/1.1 4")
    assert proxy.logged(reason="bad-chunk")
    assert b"zz" not in server.received and b"XX" not in server.received


def test_pool_is_not_shared_across_phases(exeat, origin):
    server = origin(http_handler(lambda request: response()))
    rules = [{"host": HOST, "ports": [server.port]}]
    proxy = exeat(policy_of(agent=rules, setup=rules, addresses=[loopback()]), {"workers": 1})
    for phase in ("agent", "setup", "agent"):
        with proxy.client(phase) as client:
            assert client.get(f"http://{HOST}:{server.port}/").status == 200
    assert len(server.connections) == 2
    assert proxy.metric("exeat_http_upstream_connections_total", source="pool") == 1


def test_a_connection_that_carried_negotiate_is_not_pooled(served):
    proxy, server, url = served(lambda request: response(), settings={"workers": 1})
    for _ in range(2):
        with proxy.client() as client:
            client.get(f"{url}/", ["Authorization: Negotiate YII="])
    assert len(server.connections) == 2


def test_a_truncated_answer_is_never_a_whole_one(exeat, origin):
    def short(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    server = origin(short)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.send(f"GET http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200")
        assert client.read_all() == b"only this"
    assert proxy.logged(reason="origin-truncated")


def test_an_origin_that_is_not_http_is_a_502(exeat, origin):
    server = origin(lambda connection: (connection.read_until(b"\r\n\r\n"), connection.write(b"SSH-2.0-x\r\n\r\n")))
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        answer = client.get(f"http://{HOST}:{server.port}/")
    assert answer.status == 502 and "http_protocol_error" in answer.fields["proxy-status"]
