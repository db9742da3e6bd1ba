"""Through an upstream proxy: the policy decides as ever, the checked address is what it is asked for."""
import base64
import json
import os
import socket
import ssl
import time

import pytest

from harness.authority import Authority
from harness.client import Client, eventually
from harness.origin import echo, http_handler, response
from harness.proxy import free_port, loopback, policy_of, run_exeat

HOST = "origin.corp.example"
OTHER = "other.corp.example"
SECRET = "job-7:correct horse battery"


def allow(port, *more, host=HOST, tls="any", addresses=None, **rest):
    rule = {"host": host, "ports": [port], "tls": tls, **rest}
    return policy_of(agent=[rule, *more], addresses=[loopback()] if addresses is None else addresses)


def through(server, scheme="http", host="127.0.0.1", hosts=("*",), no_proxy=None, **entry):
    """The `upstream` of exeat.yaml."""
    proxy = {"hosts": list(hosts), "proxy": f"{scheme}://{host}:{getattr(server, 'port', server)}", **entry}
    return {"upstream": {"proxies": [proxy], **({"no_proxy": no_proxy} if no_proxy else {})}}


def connect(proxy, target, phase="agent"):
    with proxy.client(phase) as client:
        return client.connect(target)


def echoes(client, text=b"hello"):
    client.send(text)
    assert client.read_exactly(len(text)) == text


def over(scheme, upstream, ca, **more):
    """An upstream that speaks `scheme`, and the settings that lead through it."""
    if scheme == "http":
        up = upstream(**more)
        return up, through(up)
    up = upstream(ca.server_context("localhost"), **more)
    return up, through(up, "https", "localhost", ca=str(ca.bundle))


def credential(tmp_path, text=SECRET):
    path = tmp_path / "credential"
    path.write_text(text + "\n")
    path.chmod(0o600)
    return str(path)


# The way -------------------------------------------------------------------------------------------------------------


def test_a_tunnel_goes_to_the_checked_address_and_the_log_says_by_whom(exeat, origin, upstream):
    server, up = origin(echo), upstream()
    proxy = exeat(allow(server.port), through(up))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        echoes(client)
    assert up.connects == [f"127.0.0.1:{server.port}"]
    assert HOST.encode() not in up.heads[0]
    assert f"\r\nHost: 127.0.0.1:{server.port}\r\n".encode() in up.heads[0]
    url = f"http://127.0.0.1:{up.port}"
    for record in (proxy.logged(event="decision", host=HOST), proxy.logged(event="close", host=HOST)):
        assert record["upstream"] == url and record["address"] == "127.0.0.1" and "resolve" not in record
    assert proxy.logged(event="close")["bytes_up"] == 5


def test_tls_is_peeked_at_as_without_an_upstream(exeat, origin, upstream, ca):
    server, up = origin(echo, ca.server_context(HOST)), upstream()
    proxy = exeat(allow(server.port, tls="require"), through(up))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.start_tls(ca.client_context(), HOST)
        echoes(client)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        with pytest.raises(ssl.SSLError):
            client.start_tls(ca.client_context(), OTHER)
    assert proxy.logged(reason="sni-mismatch")["upstream"]
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"SSH-2.0-x\r\n")
        assert client.is_closed()
    assert proxy.logged(reason="not-tls")
    assert b"SSH-2.0" not in up.received and b"SSH-2.0" not in server.received


def test_what_the_policy_denies_no_upstream_hears_of(exeat, dns, origin, upstream):
    server, up = origin(echo), upstream()
    for resolve in ("local", "remote"):
        proxy = exeat(allow(server.port), through(up, resolve=resolve))
        for target in (f"secret.corp.example:{server.port}", f"{HOST}:444", "192.0.2.1:443"):
            assert connect(proxy, target).status == 403
        with proxy.client() as client:
            assert client.get("http://secret.corp.example/").status == 403
    assert (up.connections, dns.queries) == ([], [])


@pytest.mark.parametrize("bad", ["10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
def test_the_guard_holds(exeat, dns, upstream, bad):
    up = upstream()
    dns.records[HOST] = ["192.0.2.1", bad]
    proxy = exeat(allow(443), through(up))
    assert connect(proxy, f"{HOST}:443").status == 403
    assert proxy.logged(reason="address-forbidden")
    assert up.connections == []


def test_pins_and_denied_prefixes_hold(exeat, upstream):
    up = upstream()
    proxy = exeat(allow(443, resolve_in=["127.0.0.2/32"]), through(up))
    assert connect(proxy, f"{HOST}:443").status == 403
    assert proxy.logged(reason="outside-resolve-in")
    policy = allow(443)
    policy["deny"] = [{"cidr": "127.0.0.1/32"}]
    proxy = exeat(policy, through(up))
    assert connect(proxy, f"{HOST}:443").status == 403
    assert proxy.logged(reason="address-denied")
    assert up.connections == []


def test_a_name_that_does_not_resolve_here_is_not_sent_there(exeat, dns, upstream):
    up = upstream()
    del dns.records[HOST]
    proxy = exeat(allow(443), through(up))
    answer = connect(proxy, f"{HOST}:443")
    assert (answer.status, answer.reason) == (502, "upstream-failed dns-not-found")
    assert "resolve: remote" in proxy.logged(reason="dns-not-found")["error"]
    assert "resolve" not in proxy.logged(reason="dns-not-found")
    assert up.connections == []


def test_the_next_address_is_tried_where_the_upstream_cannot_reach_one(exeat, dns, origin, upstream):
    server, up = origin(echo), upstream()
    dns.records[HOST] = ["127.0.0.3", "127.0.0.2", "127.0.0.1"]
    proxy = exeat(allow(server.port, addresses=[loopback(cidr="127.0.0.0/30")]), through(up))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        echoes(client)
    assert sorted(up.connects) == [f"127.0.0.{n}:{server.port}" for n in (1, 2, 3)]
    assert proxy.logged(event="decision", verdict="allow")["address"] == "127.0.0.1"


def test_a_slow_upstream_is_not_asked_for_one_address_after_the_other(exeat, dns, upstream):
    """`timeouts.connect` bounds them together: each of the four has most of it to itself."""
    def refuse_slowly(_head):
        time.sleep(0.7)
        return b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"

    up = upstream(answer=refuse_slowly)
    dns.records[HOST] = ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"]
    proxy = exeat(allow(443, addresses=[loopback(cidr="127.0.0.0/24")]),
                  {**through(up), "timeouts": {"connect": "1s"}})
    assert connect(proxy, f"{HOST}:443").status in (502, 504)
    assert 1 <= len(up.connects) <= 2


def test_an_upstream_that_refuses_is_not_asked_again(exeat, dns, upstream):
    up = upstream(answer=lambda _: b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
    dns.records[HOST] = ["127.0.0.2", "127.0.0.1"]
    proxy = exeat(allow(443, addresses=[loopback(cidr="127.0.0.0/30")]), through(up))
    assert connect(proxy, f"{HOST}:443").status == 502
    assert len(up.connects) == 1


def test_hosts_and_no_proxy_choose_the_way(exeat, dns, origin, upstream):
    server, first, second = origin(echo), upstream(), upstream()
    names = ["a.corp.example", "b.a.corp.example", "direct.corp.example", "rest.corp.example"]
    dns.records.update({name: ["127.0.0.1"] for name in names})
    proxy = exeat(allow(server.port, host="**.corp.example"), {"upstream": {
        "proxies": [{"hosts": ["*.a.corp.example"], "proxy": f"http://127.0.0.1:{first.port}"},
                    {"hosts": ["a.corp.example", "direct.corp.example"], "proxy": f"http://127.0.0.1:{second.port}"}],
        "no_proxy": ["direct.corp.example"]}})
    ways = {}
    for name in names:
        with proxy.client() as client:
            assert client.connect(f"{name}:{server.port}").status == 200
            echoes(client)
        ways[name] = proxy.logged(event="decision", host=name).get("upstream", "direct").rsplit(":", 1)[-1]
    assert ways == {"a.corp.example": str(second.port), "b.a.corp.example": str(first.port),
                    "direct.corp.example": "direct", "rest.corp.example": "direct"}
    assert (len(first.connects), len(second.connects), len(server.connections)) == (1, 1, 4)


def test_what_goes_direct_passes_the_full_guard(exeat, dns, origin, upstream):
    server, up = origin(echo), upstream()
    proxy = exeat(allow(server.port, {"host": OTHER, "ports": [server.port], "tls": "any"}),
                  through(up, no_proxy=[HOST, "127.0.0.0/8"]))
    for name in (HOST, OTHER):  # by its name, by its address
        with proxy.client() as client:
            assert client.connect(f"{name}:{server.port}").status == 200
            echoes(client)
    assert up.connections == [] and len(server.connections) == 2
    dns.records["direct.corp.example"] = ["10.1.1.1"]
    proxy = exeat(allow(443, host="direct.corp.example"), through(up, no_proxy=["10.0.0.0/8", "**.corp.example"]))
    assert connect(proxy, "direct.corp.example:443").status == 403
    assert proxy.logged(reason="address-forbidden")
    assert up.connections == []


def test_the_environment_is_no_configuration(exeat, origin, upstream):
    server, up = origin(echo), upstream()
    url = f"http://127.0.0.1:{up.port}"
    proxy = exeat(allow(server.port), environment={name: url for name in (
        "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        echoes(client)
    assert up.connections == []


# The upstream itself -------------------------------------------------------------------------------------------------


def test_an_upstream_is_no_destination(exeat, dns, upstream):
    up = upstream()
    dns.records.update({"proxy.corp.example": ["127.0.0.1"], "alias.corp.example": ["127.0.0.1"],
                        "elsewhere.corp.example": ["127.0.0.9"]})
    policy = allow(up.port, {"cidr": "127.0.0.0/8", "ports": "any", "tls": "any"}, host="**.corp.example",
                   addresses=[loopback(cidr="127.0.0.0/8", literal=True)])
    for settings in (through(up, host="proxy.corp.example"),
                     through(up, host="proxy.corp.example", no_proxy=["**.corp.example", "127.0.0.0/8"]),
                     through(up)):
        proxy = exeat(policy, settings)
        # On this machine it may listen on every address.
        for host in ("proxy.corp.example", "alias.corp.example", "127.0.0.1", "elsewhere.corp.example", "127.0.0.7"):
            answer = connect(proxy, f"{host}:{up.port}")
            assert (answer.status, answer.reason) == (403, "egress-denied own-upstream"), host
            with proxy.client() as client:
                assert client.get(f"http://{host}:{up.port}/").status == 403
        assert eventually(lambda: len(proxy.log(reason="own-upstream")) == 10)
    assert up.connections == []


def test_an_upstream_that_cannot_be_looked_up_is_no_destination_either(exeat, origin, upstream):
    server = origin(echo)
    proxy = exeat(allow(server.port), through(server.port, host="gone.corp.example", no_proxy=[HOST]))
    assert connect(proxy, f"{HOST}:{server.port}").status == 403
    assert "cannot be looked up" in proxy.logged(reason="own-upstream")["error"]


def test_the_upstream_may_not_be_the_proxy_itself(exeat):
    port = free_port()
    proxy = exeat(allow(443), {**through(port), "more_listeners": [{"address": f"127.0.0.1:{port}", "phase": "agent"}]})
    assert connect(proxy, f"{HOST}:443").status == 403
    assert "the upstream is this proxy" in proxy.logged(reason="own-listener")["error"]


def test_the_upstreams_name_goes_through_our_resolver_and_several_addresses_are_tried(exeat, dns, origin, upstream):
    server, up = origin(echo), upstream()
    dns.records["proxy.corp.example"] = ["127.0.0.2", "127.0.0.1"]
    proxy = exeat(allow(server.port), through(up, host="proxy.corp.example"))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        echoes(client)
    assert dns.asked("proxy.corp.example") and up.connects == [f"127.0.0.1:{server.port}"]


def test_an_upstream_that_is_not_there(exeat, dns):
    proxy = exeat(allow(443), through(free_port()))
    answer = connect(proxy, f"{HOST}:443")
    assert (answer.status, answer.reason) == (502, "upstream-failed upstream-unreachable")
    assert b"127.0.0.1" not in answer.body.replace(f"127.0.0.1:{proxy.ports['agent']}".encode(), b"")
    assert "refused" in proxy.logged(reason="upstream-unreachable")["error"]
    proxy = exeat(allow(443), through(3128, host="nowhere.corp.example"))
    assert connect(proxy, f"{HOST}:443").reason == "upstream-failed upstream-unreachable"
    assert "dns-not-found" in proxy.logged(reason="upstream-unreachable")["error"]


GARBAGE = {
    "not HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "HTTP/0.9": b"<html>welcome</html>",
    "bare LF": b"HTTP/1.1 200 OK\nServer: x\n\n",
    "space before the colon": b"HTTP/1.1 200 OK\r\nServer : x\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nServer: x\r\n y\r\n\r\n",
    "status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "HTTP/2": b"HTTP/2 200\r\n\r\n",
    "length and coding": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "101 that nobody asked for": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "too many interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 40,
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 200_000,
    "too many fields": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nServer: x\r\n",
    "half a line": b"HTT",
    "nothing": b"",
}


@pytest.mark.parametrize("what", GARBAGE)
def test_what_is_not_one_answer_is_a_502(exeat, origin, what):
    def misbehave(connection):
        connection.read_until(b"\r\n\r\n")
        try:
            connection.write(GARBAGE[what])
        except OSError:
            pass  # it did not want all of it

    bad = origin(misbehave)
    proxy = exeat(allow(443), through(bad))
    answer = connect(proxy, f"{HOST}:443")
    assert (answer.status, answer.reason) == (502, "upstream-failed upstream-not-http")
    record = proxy.logged(reason="upstream-not-http")
    assert record["upstream"] == f"http://127.0.0.1:{bad.port}" and record["verdict"] == "error"


@pytest.mark.parametrize("scheme, alert, question", [
    ("http", b"\x15\x03\x01\x00\x02\x02\x0a", "an https:// proxy?"),  # TLS, asked in plain text
    ("https", None, "an http:// proxy?"),  # plain text, waiting for a request that never comes
])
def test_a_scheme_that_the_upstream_does_not_speak_is_guessed(exeat, origin, scheme, alert, question, ca):
    def answers(connection):
        if alert:
            connection.read_until(b"\r\n\r\n")
            connection.write(alert)
        else:
            connection.sock.recv(1, socket.MSG_PEEK)
            time.sleep(1)

    up = through(origin(answers), scheme, "localhost", **({"ca": str(ca.bundle)} if scheme == "https" else {}))
    proxy = exeat(allow(443), up | {"timeouts": {"connect": "300ms"}})
    assert connect(proxy, f"{HOST}:443").status == 502
    assert question in proxy.logged(event="decision")["error"]


@pytest.mark.parametrize("status", ["403 Forbidden", "503 Service Unavailable", "302 Found", "400 Bad Request", "304 Not"])
def test_a_refusal_of_the_upstream_is_a_502_and_its_words_stay_here(exeat, upstream, status):
    up = upstream(answer=lambda _: (f"HTTP/1.1 {status}\r\nLocation: http://evil.example/\r\n"
                                    "Set-Cookie: a=b\r\nContent-Length: 6\r\n\r\nPANIC!").encode())
    proxy = exeat(allow(443), through(up))
    answer = connect(proxy, f"{HOST}:443")
    assert (answer.status, answer.reason) == (502, "upstream-failed upstream-refused")
    assert "location" not in answer.fields and "set-cookie" not in answer.fields and b"PANIC" not in answer.body
    assert status in proxy.logged(reason="upstream-refused")["error"]


def test_interim_answers_are_passed_over(exeat, origin, upstream):
    server = origin(echo)
    up = upstream(answer=lambda _: b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n")
    proxy = exeat(allow(server.port), through(up))
    with proxy.client() as client:
        answer = client.connect(f"{HOST}:{server.port}")
        assert answer.status == 200 and "link" not in answer.fields
        echoes(client)


def test_the_length_of_a_200_to_connect_means_nothing(exeat, origin, upstream):
    """RFC 9110 9.3.6."""
    server = origin(echo)
    up = upstream(established=b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Upstream: yes\r\n\r\n")
    proxy = exeat(allow(server.port), through(up))
    with proxy.client() as client:
        answer = client.connect(f"{HOST}:{server.port}")
        assert answer.status == 200 and "x-upstream" not in answer.fields and "content-length" not in answer.fields
        echoes(client, b"ten octets")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_octets_behind_the_200_are_the_origins(exeat, origin, upstream, ca, scheme):
    """All of them, once, in order, and counted against the limits."""
    server, before = origin(echo), os.urandom(70_000)
    up, settings = over(scheme, upstream, ca, before=before)
    proxy = exeat(allow(server.port), settings)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        assert client.read_exactly(len(before)) == before
        echoes(client)
    assert proxy.logged(event="close")["bytes_down"] == len(before) + 5
    proxy = exeat(allow(server.port, download_limit=10_000), settings)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        assert len(client.read_all()) <= 10_000
    assert proxy.logged(event="close", reason="download-limit")["bytes_down"] <= 10_000
    assert up.connects


def test_a_slow_upstream_is_waited_for_so_long_and_no_longer(exeat, origin):
    def drip(connection):
        connection.read_until(b"\r\n\r\n")
        for octet in b"HTTP/1.1 200 OK\r\nServer: " + b"x" * 10_000:
            try:
                connection.write(bytes([octet]))
            except OSError:
                return
            time.sleep(0.05)

    def silent(connection):
        connection.read_all()

    for handler in (drip, silent):
        proxy = exeat(allow(443), {**through(origin(handler)), "timeouts": {"connect": "1s"}})
        answer = connect(proxy, f"{HOST}:443")
        assert (answer.status, answer.reason) == (504, "upstream-failed upstream-timeout")
        assert proxy.logged(reason="upstream-timeout")


# The credential ------------------------------------------------------------------------------------------------------


def everything_said(proxy):
    proxy.admin("/-/healthy")
    return "".join([proxy.text(), proxy.log_file.read_text(), proxy.metrics(), proxy.admin("/-/healthy")[1]])


def test_the_credential_goes_to_the_next_hop_alone_and_nowhere_else(exeat, origin, upstream, tmp_path):
    server, up = origin(http_handler(lambda _: response())), upstream(credential=SECRET)
    encoded = base64.b64encode(SECRET.encode())
    proxy = exeat(allow(server.port, {"host": OTHER, "ports": [server.port], "tls": "any"}),
                  through(up, credential_file=credential(tmp_path), no_proxy=[OTHER]))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.answer().status == 200
    with proxy.client() as client:
        assert client.get(f"http://{HOST}:{server.port}/", ["Proxy-Authorization: Basic bWluZTptaW5l"]).status == 200
        assert client.get(f"http://{OTHER}:{server.port}/").status == 200
    assert all(head.count(encoded) == 1 and b"bWluZTptaW5l" not in head for head in up.heads) and len(up.heads) == 2
    assert encoded not in server.received and b"proxy-auth" not in server.received.lower()
    said = everything_said(proxy)
    assert SECRET not in said and encoded.decode() not in said and "horse" not in said


@pytest.mark.parametrize("given", [None, "job-7:wrong"])
def test_a_407_of_the_upstream_is_never_the_clients(exeat, origin, upstream, tmp_path, given):
    server, up = origin(http_handler(lambda _: response())), upstream(credential=SECRET)
    more = {"credential_file": credential(tmp_path, given)} if given else {}
    proxy = exeat(allow(server.port), through(up, **more))
    with proxy.client() as client:
        tunnel = client.connect(f"{HOST}:{server.port}")
    with proxy.client() as client:
        plain = client.get(f"http://{HOST}:{server.port}/")
    for answer in (tunnel, plain):
        assert (answer.status, answer.reason) == (502, "upstream-failed upstream-credential")
        assert "proxy-authenticate" not in answer.fields
    assert eventually(lambda: len(proxy.log(reason="upstream-credential")) == 2)
    assert server.connections == []


def test_a_reload_reads_the_credential_again_and_keeps_it_where_it_cannot(exeat, origin, upstream, tmp_path):
    server, up = origin(http_handler(lambda _: response())), upstream(credential=SECRET)
    path = credential(tmp_path)
    proxy = exeat(allow(server.port), through(up, credential_file=path))
    target = f"{HOST}:{server.port}"

    def ways():
        with proxy.client() as client:
            yield client.connect(target).reason.split()[-1]
        with proxy.client() as client:
            yield client.get(f"http://{target}/").reason.split()[-1]

    assert list(ways()) == ["established", "OK"]
    up.credential = "job-7:rotated"
    assert list(ways()) == ["upstream-credential"] * 2
    credential(tmp_path, up.credential)
    proxy.reload()
    assert list(ways()) == ["established", "OK"]
    credential(tmp_path, "no colon")
    proxy.reload()
    assert list(ways()) == ["established", "OK"]
    kept = proxy.logged(event="process", code="upstream-kept")
    assert f"the upstream http://127.0.0.1:{up.port}: {path}: " in kept["text"]
    assert "no colon" not in everything_said(proxy) and "rotated" not in everything_said(proxy)


def start_fails(tmp_path, **entry):
    """What `serve` says on its way to exit status 2."""
    config = tmp_path / "exeat.yaml"
    config.write_text(json.dumps({"version": 1, "listeners": [{"address": "127.0.0.1:0", "phase": "agent"}],
                                  "admin": "none", "control": "none", **through(3128, **entry)}))
    done = run_exeat("serve", "--config", config)
    assert done.returncode == 2, done.stderr
    return done.stderr


@pytest.mark.parametrize("mode,text", [(0o644, SECRET), (0o640, SECRET), (0o600, "nocolon"), (0o600, "a:b\nc:d")])
def test_a_credential_that_others_may_read_or_that_is_none_stops_the_start(tmp_path, mode, text):
    path = tmp_path / "credential"
    path.write_text(text)
    path.chmod(mode)
    said = start_fails(tmp_path, credential_file=str(path))
    assert "the upstream http://127.0.0.1:3128" in said and str(path) in said and text not in said


# Plain HTTP ----------------------------------------------------------------------------------------------------------


def test_plain_http_goes_in_absolute_form_to_the_checked_address(exeat, origin, upstream):
    server = origin(http_handler(lambda request: response(f"{request.method} {request.target} {request.body.decode()}")))
    up = upstream()
    proxy = exeat(allow(server.port), through(up))
    with proxy.client() as client:
        answer = client.get(f"http://{HOST}:{server.port}/a/b?c=d", ["Connection: x-hop", "X-Hop: 1", "X-End: 2"])
        assert (answer.status, answer.body) == (200, b"GET /a/b?c=d ")
        client.send(f"POST http://{HOST}:{server.port}/p HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
                    "Content-Length: 4\r\n\r\nbody")
        assert client.answer().body == b"POST /p body"
        client.send(f"POST http://{HOST}:{server.port}/c HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
                    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert client.answer().status == 200
    address = f"http://127.0.0.1:{server.port}"
    assert up.requests == [f"{address}/a/b?c=d", f"{address}/p", f"{address}/c"] and up.connects == []
    head = up.heads[0].lower()
    assert f"\r\nhost: {HOST}:{server.port}\r\n".encode() in head
    assert b"x-hop" not in head and b"\r\nx-end: 2\r\n" in head
    record = proxy.logged(method="GET")
    assert record["upstream"] and record["address"] == "127.0.0.1" and record["bytes_up"] > 0


def test_a_kept_connection_is_for_one_origin_and_one_phase(exeat, origin, upstream):
    one, other = origin(http_handler(lambda _: response("one"))), origin(http_handler(lambda _: response("other")))
    up = upstream()
    rules = [{"host": HOST, "ports": [one.port, other.port]}, {"host": OTHER, "ports": [one.port]}]
    proxy = exeat(policy_of(agent=rules, setup=rules, addresses=[loopback()]), {**through(up), "workers": 1})

    def get(phase, host, port):
        with proxy.client(phase) as client:
            return client.get(f"http://{host}:{port}/").body

    for _ in range(3):
        assert get("agent", HOST, one.port) == b"one"
    assert len(up.connections) == 1
    assert get("agent", HOST, other.port) == b"other"
    assert get("agent", OTHER, one.port) == b"one"
    assert get("setup", HOST, one.port) == b"one"
    assert len(up.connections) == 4
    assert all(b"\r\nHost: " in head for head in up.heads) and len(up.heads) == 6


def test_a_kept_connection_that_the_upstream_has_closed_is_tried_again(exeat, origin, upstream):
    server, calls = origin(http_handler(lambda _: response("fine"))), []
    up = upstream(answer=lambda head: calls.append(head) or (b"" if len(calls) == 2 else None))
    proxy = exeat(allow(server.port), {**through(up), "workers": 1})
    for _ in range(2):
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{server.port}/").body == b"fine"
    assert len(calls) == 3 and len(set(up.requests)) == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_plain_http_by_connect(exeat, origin, upstream, ca, scheme):
    server = origin(http_handler(lambda request: response(request.fields["host"])))
    up, settings = over(scheme, upstream, ca)
    settings["upstream"]["proxies"][0]["http"] = "tunnel"
    proxy = exeat(allow(server.port), {**settings, "workers": 1})
    for _ in range(2):
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{server.port}/x").body == f"{HOST}:{server.port}".encode()
    assert up.connects == [f"127.0.0.1:{server.port}"] and up.requests == []
    assert server.received.startswith(b"GET /x HTTP/1.1\r\n") and server.received.count(b"GET /x") == 2


def test_a_websocket_upgrade_goes_by_connect(exeat, origin, upstream):
    def serve(connection):
        assert b"Upgrade: websocket" in connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        echo(connection)

    server, up = origin(serve), upstream()
    proxy = exeat(allow(server.port), through(up))
    with proxy.client() as client:
        answer = client.get(f"http://{HOST}:{server.port}/ws", [
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
        assert answer.status == 101
        echoes(client)
    assert up.connects == [f"127.0.0.1:{server.port}"] and up.requests == []
    assert proxy.logged(event="close", scheme="ws")["upstream"]


def test_options_of_a_whole_server_keeps_its_meaning(exeat, origin, upstream):
    up = upstream(answer=lambda _: b"HTTP/1.1 204 No Content\r\n\r\n")
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [80]}], addresses=[loopback()]), through(up))
    with proxy.client() as client:
        client.send(f"OPTIONS http://{HOST} HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
        assert client.answer().status == 204
        assert client.get(f"http://{HOST}/x").status == 204
    assert up.requests == ["http://127.0.0.1", "http://127.0.0.1/x"]


# Names that the upstream looks up ------------------------------------------------------------------------------------


def test_with_resolve_remote_the_name_goes_as_it_is_and_the_log_says_so(exeat, dns, origin, upstream):
    server = origin(http_handler(lambda _: response()))
    up = upstream(names={"only-there.corp.example": "127.0.0.1"})
    proxy = exeat(allow(server.port, host="only-there.corp.example", addresses=[]), through(up, resolve="remote"))
    target = f"only-there.corp.example:{server.port}"
    with proxy.client() as client:
        assert client.connect(target).status == 200
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.answer().status == 200
    with proxy.client() as client:
        assert client.get(f"http://{target}/p").status == 200
    assert up.connects == [target] and up.requests == [f"http://{target}/p"] and dns.queries == []
    for record in (proxy.logged(method="CONNECT", event="decision"), proxy.logged(method="GET"),
                   proxy.logged(event="close")):
        assert record["resolve"] == "remote" and record["upstream"] and "address" not in record


def test_with_resolve_remote_a_pin_refuses(exeat, dns, upstream):
    up = upstream(names={HOST: "127.0.0.1"})
    proxy = exeat(allow(443, resolve_in=["127.0.0.0/8"]), through(up, resolve="remote"))
    answer = connect(proxy, f"{HOST}:443")
    assert (answer.status, answer.reason) == (403, "egress-denied guard-delegated")
    assert "resolve_in" in proxy.logged(reason="guard-delegated")["error"]
    assert (up.connections, dns.queries) == ([], [])


def test_with_resolve_remote_an_address_passes_the_guard(exeat, origin, upstream):
    server, up = origin(echo), upstream()
    rule = {"cidr": "127.0.0.1/32", "ports": [server.port], "tls": "any"}
    proxy = exeat(policy_of(agent=[rule]), through(up, resolve="remote"))
    assert connect(proxy, f"127.0.0.1:{server.port}").status == 403
    assert proxy.logged(reason="address-forbidden")
    assert up.connections == []
    proxy = exeat(policy_of(agent=[rule], addresses=[{"cidr": "127.0.0.1/32", "literal": True, "reason": "x"}]),
                  through(up, resolve="remote"))
    with proxy.client() as client:
        assert client.connect(f"127.0.0.1:{server.port}").status == 200
        echoes(client)
    assert "resolve" not in proxy.logged(verdict="allow")


def test_a_reload_that_pins_cuts_what_went_by_name(exeat, origin, upstream):
    server = origin(echo)
    up = upstream(names={HOST: "127.0.0.1"})
    proxy = exeat(allow(server.port), {**through(up, resolve="remote"), "on_tighten": "cut"})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        echoes(client)
        proxy.reload(allow(server.port, resolve_in=["127.0.0.0/8"]))
        client.read_all()
    assert proxy.logged(event="close", reason="guard-delegated")


# TLS to the upstream -------------------------------------------------------------------------------------------------


def test_a_tunnel_through_a_tls_upstream(exeat, origin, upstream, ca, bulk_size):
    server = origin(echo, ca.server_context(HOST))
    up, settings = over("https", upstream, ca)
    proxy = exeat(allow(server.port, tls="require"), settings)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.start_tls(ca.client_context(), HOST)
        echoes(client)
        block = os.urandom(1 << 16)
        for _ in range(min(bulk_size, 16 << 20) // len(block)):
            echoes(client, block)
    assert up.connects == [f"127.0.0.1:{server.port}"]
    assert proxy.logged(event="decision")["upstream"] == f"https://localhost:{up.port}"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_end_of_one_way_leaves_the_other_open(exeat, origin, upstream, ca, scheme):
    def serve(connection):
        got = connection.read_all()
        connection.write(b"got " + got)

    server = origin(serve)
    _, settings = over(scheme, upstream, ca)
    proxy = exeat(allow(server.port), settings)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"all of it")
        client.sock.shutdown(1)
        assert client.read_all() == b"got all of it"
    assert proxy.logged(event="close")["reason"] == "allowed"


def test_an_upstream_whose_certificate_does_not_verify(exeat, upstream, ca, origin, tmp_path):
    good = upstream(ca.server_context("localhost"))
    wrong_name = upstream(ca.server_context("proxy.corp.example"))
    plain = upstream()
    silent = origin(lambda connection: connection.read_all())
    for up, more in ((good, {}), (wrong_name, {"ca": str(ca.bundle)}), (plain, {"ca": str(ca.bundle)}),
                     (silent, {"ca": str(ca.bundle)})):
        proxy = exeat(allow(443), {**through(up, "https", "localhost", **more), "timeouts": {"connect": "2s"}})
        answer = connect(proxy, f"{HOST}:443")
        assert (answer.status, answer.reason) == (502, "upstream-failed upstream-tls")
        assert proxy.logged(reason="upstream-tls")["error"].startswith(f"https://localhost:{up.port}: ")
    assert good.heads == wrong_name.heads == plain.heads == []


def test_an_address_is_verified_as_one(exeat, upstream, ca):
    up = upstream(ca.server_context("localhost"))
    proxy = exeat(allow(443), through(up, "https", "127.0.0.1", ca=str(ca.bundle)))
    assert connect(proxy, f"{HOST}:443").reason == "upstream-failed upstream-tls"
    assert "IP address mismatch" in proxy.logged(reason="upstream-tls")["error"]


def test_a_reload_reads_the_ca_file_again_and_keeps_it_where_it_cannot(exeat, origin, upstream, ca, tmp_path):
    server, up = origin(echo), upstream(ca.server_context("localhost"))
    (tmp_path / "other").mkdir()
    path = tmp_path / "upstream-ca.pem"
    path.write_bytes(Authority(tmp_path / "other").bundle.read_bytes())
    proxy = exeat(allow(server.port), through(up, "https", "localhost", ca=str(path)))
    target = f"{HOST}:{server.port}"
    assert connect(proxy, target).reason == "upstream-failed upstream-tls"
    path.write_bytes(ca.bundle.read_bytes())
    proxy.reload()
    assert connect(proxy, target).status == 200
    path.write_text("nothing")
    proxy.reload()
    assert connect(proxy, target).status == 200
    assert "the file holds no certificate" in proxy.logged(event="process", code="upstream-kept")["text"]


def test_a_ca_file_that_is_none_stops_the_start(tmp_path):
    path = tmp_path / "ca.pem"
    path.write_text("nothing\n")
    said = start_fails(tmp_path, scheme="https", ca=str(path))
    assert f"the upstream https://127.0.0.1:3128: {path}: the file holds no certificate" in said


def test_a_tls_upstream_that_breaks_off_is_no_orderly_end(exeat, origin, upstream, ca):
    """A body to the close that ends without close_notify has been cut."""
    def cut(head):
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it"

    up = upstream(ca.server_context("localhost"), answer=cut)  # closes its socket without close_notify
    proxy = exeat(allow(80), through(up, "https", "localhost", ca=str(ca.bundle)))
    with proxy.client() as client:
        client.send(f"GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
        assert not client.read_all().endswith(b"0\r\n\r\n")
    assert proxy.logged(reason="origin-truncated")


# What holds on every way ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_budgets_hold(exeat, origin, upstream, ca, scheme):
    server = origin(lambda connection: connection.read_all())
    up, settings = over(scheme, upstream, ca)
    proxy = exeat(allow(server.port, upload_limit=100_000), settings)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        try:
            for _ in range(100):
                client.send(b"x" * 10_000)
        except OSError:
            pass
        client.read_all()
    record = proxy.logged(event="close", reason="upload-limit")
    assert record["bytes_up"] == 100_000
    assert len(server.received) <= 100_000
    assert proxy.metric("exeat_bytes_total", phase="agent", direction="up") == 100_000


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_reload_cuts_what_it_denies(exeat, origin, upstream, ca, scheme):
    server = origin(echo)
    _, settings = over(scheme, upstream, ca)
    proxy = exeat(allow(server.port), {**settings, "on_tighten": "cut"})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        echoes(client)
        proxy.reload(policy_of(agent=[]))
        assert client.read_all() == b""
    assert proxy.logged(event="close", reason="no-rule")


@pytest.mark.skipif(os.geteuid() != 0, reason="the advance needs an operator")
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_seal_ends_what_goes_through_an_upstream(exeat, origin, upstream, ca, tmp_path, scheme):
    """Tunnels, and connections that are kept for plain HTTP."""
    assert run_exeat("state", "init", tmp_path / "state").returncode == 0
    server, web = origin(echo), origin(http_handler(lambda _: response()))
    up, settings = over(scheme, upstream, ca)
    rules = [{"host": HOST, "ports": [server.port, web.port], "tls": "any"}]
    peers = {phase: ["listener", {"peer": [{"uid": uid, "phase": phase}]}]
             for phase, uid in (("setup", 20001), ("agent", 20002), ("mcp", 20003))}
    proxy = exeat(policy_of(setup=rules, addresses=[loopback()]), {
        **settings, "identity": peers, "job": {"phases": ["setup", {"parallel": ["agent", "mcp"]}], "state_dir": str(tmp_path / "state")}})
    with proxy.client("setup", uid=20001) as plain:
        assert plain.get(f"http://{HOST}:{web.port}/").status == 200
    with proxy.client("setup", uid=20001) as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        echoes(client)
        done = run_exeat("phase", "advance", "--control", proxy.control)
        assert done.returncode == 0, done.stderr
        assert client.read_all() == b""
    assert proxy.logged(event="close", reason="phase-sealed")["upstream"]
    with proxy.client("setup", uid=20001) as late:
        assert late.connect(f"{HOST}:{server.port}").reason == "egress-denied phase-sealed"
    # The upstream sees the end of all that there was.
    assert eventually(lambda: all(c.sock.fileno() == -1 for c in up.connections))


def test_via_tells_the_upstream_and_a_loop_is_found(exeat, upstream):
    """An upstream whose own way leads back here."""
    port = free_port()
    up = upstream(names={"127.0.0.1": "127.0.0.1"})

    def back(connection):
        head = connection.read_until(b"\r\n\r\n")
        with Client(("127.0.0.1", port)) as inner:
            inner.send(head)
            connection.write(inner.read_until(b"\r\n\r\n"))

    del up
    from harness.origin import Origin  # pylint: disable=import-outside-toplevel
    loop = Origin(back)
    try:
        proxy = exeat(allow(443, {"cidr": "127.0.0.1/32", "tls": "any"}),
                      {**through(loop), "via": "exeat-a",
                       "more_listeners": [{"address": f"127.0.0.1:{port}", "phase": "agent"}]})
        assert connect(proxy, f"{HOST}:443").reason == "upstream-failed upstream-refused"
        assert proxy.logged(reason="proxy-loop")
        assert b"\r\nVia: 1.1 exeat-a\r\n" in loop.received
    finally:
        loop.close()


def test_draining_ends_in_time_with_kept_and_live_connections(exeat, origin, upstream, ca):
    server = origin(http_handler(lambda _: response()))
    _, settings = over("https", upstream, ca)
    settings["upstream"]["proxies"][0]["http"] = "tunnel"
    proxy = exeat(allow(server.port), {**settings, "drain_timeout": "500ms"})
    with proxy.client() as client, proxy.client() as other:
        assert client.get(f"http://{HOST}:{server.port}/").status == 200
        assert other.connect(f"{HOST}:{server.port}").status == 200
        proxy.stop()


def test_many_at_a_time(exeat, origin, upstream, ca):
    server = origin(echo)
    _, settings = over("https", upstream, ca)
    proxy = exeat(allow(server.port), settings)
    clients = [proxy.client() for _ in range(40)]
    for client in clients:
        client.send(f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n")
    for number, client in enumerate(clients):
        assert b" 200 " in client.read_until(b"\r\n\r\n")
        echoes(client, b"number %d" % number)
    for client in clients:
        client.close()
    assert eventually(lambda: len(proxy.log(event="close")) == 40)


# What people are told ------------------------------------------------------------------------------------------------


def test_banner_and_health_show_the_ways(exeat, tmp_path):
    proxy = exeat(allow(443), {"upstream": {
        "proxies": [{"hosts": ["**.corp.example"], "proxy": "http://127.0.0.1:3128", "credential_file": credential(tmp_path)},
                    {"hosts": ["x.example", "*"], "proxy": "http://127.0.0.1:3129", "resolve": "remote"}],
        "no_proxy": ["10.0.0.0/8"]}})
    text = proxy.text()
    assert "upstream  http://127.0.0.1:3128 for **.corp.example\n" in text
    assert "upstream  http://127.0.0.1:3129 for x.example, * (resolve: remote)\n" in text
    warnings = [line for line in text.splitlines() if line.startswith("  warning") and "3129" in line]
    assert len(warnings) == 1 and "address guard" in warnings[0]
    status, health = proxy.admin("/-/healthy")
    assert status == 200 and '"upstreams":[{"proxy":"http://127.0.0.1:3128","hosts":"**.corp.example","resolve":"local"}' in health
    assert '"resolve":"remote"' in health


def test_lint_sees_what_is_delegated(tmp_path):
    (tmp_path / "policy.yaml").write_text("""
version: 1
phases:
  setup: {allow: []}
  agent:
    allow:
      - {host: pinned.corp.example, resolve_in: [10.0.0.0/8], reason: x}
      - {host: pinned.direct.example, resolve_in: [10.0.0.0/8], reason: x}
      - {host: plain.corp.example, reason: x}
  mcp: {allow: []}
deny: [{cidr: 192.0.2.0/24, reason: x}]
""")
    config = tmp_path / "exeat.yaml"
    config.write_text("version: 1\npolicy: policy.yaml\nupstream:\n  proxies:\n"
                      "    - {hosts: ['**.corp.example'], proxy: 'http://p.example:3128', resolve: remote}\n")
    done = run_exeat("lint", "--config", config)
    assert done.returncode == 1, done.stdout
    lines = [line for line in done.stdout.splitlines() if line.endswith("[resolve-remote]")]
    assert len(lines) == 1 and "exeat.yaml:5" in lines[0] and "1 rule under `deny` with a `cidr` has no effect" in lines[0]
    pins = [line for line in done.stdout.splitlines() if line.endswith("[pin-delegated]")]
    assert len(pins) == 1 and "pinned.corp.example" in pins[0] and "policy.yaml:7" in pins[0]
    config.write_text(config.read_text().replace("remote", "local"))
    assert "resolve-remote" not in run_exeat("lint", "--config", config).stdout


def test_lint_reads_the_files_that_serve_would(tmp_path, ca):
    """A CA and a credential of an upstream, the certificate of a listener; and where the policy lies."""
    def write(name, text, mode=0o600):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(mode)
    write("policy.yaml", json.dumps(policy_of(agent=[{"host": "a.example", "reason": "x"}])))
    write("user", "name:word\n")
    write("word", "word\n")
    (tmp_path / "log").mkdir()
    config = tmp_path / "exeat.yaml"

    def found(log="log/exeat.log", credential="user", authority=None, certificate=None):
        settings = {"version": 1, "policy": "policy.yaml", "log": {"file": log}, "upstream": {"proxies": [
            {"hosts": ["a.example"], "proxy": "https://p.example:3128", "ca": str(authority or ca.bundle),
             "credential_file": credential}]}}
        if certificate:
            settings["listeners"] = [{"address": "127.0.0.1:3128", "phase": "agent", "tls": {
                "certificate": certificate, "key": "no.key"}}]
        config.write_text(json.dumps(settings))
        done = run_exeat("lint", "--config", config, "--format", "json")
        return [line["text"] for line in map(json.loads, done.stdout.splitlines())
                if line["code"] in ("file-unusable", "policy-within-reach")], done.stdout + done.stderr
    assert found()[0] == [], found()
    for wrong in ({"credential": "nobody"}, {"credential": "word"}, {"authority": "none.pem"},
                  {"authority": "policy.yaml"}, {"certificate": "none.pem"}):
        texts, said = found(**wrong)
        assert len(texts) == 1 and next(iter(wrong.values())) in texts[0], said
    write("user", "name:word\n", 0o666)
    assert "user" in found()[0][0]
    write("user", "name:word\n")
    texts, said = found(log="exeat.log")
    assert texts == [f"{tmp_path}/policy.yaml lies within {tmp_path}, where the proxy writes its log or state"], said


@pytest.mark.parametrize("rule, hosts, no_proxy, found", [
    ("**.corp.example", "*.a.corp.example", None, True), ("*.corp.example", "b.corp.example", None, True),
    ("**.corp.example", "a.corp.example", None, True), ("a.corp.example", "*", None, True),
    ("*.corp.example", "*.a.corp.example", None, False), ("corp.example", "*.corp.example", None, False),
    ("**.corp.example", "*.a.corp.example", "**.a.corp.example", False),
])
def test_lint_sees_a_pin_of_which_a_part_is_delegated(tmp_path, rule, hosts, no_proxy, found):
    (tmp_path / "policy.yaml").write_text(json.dumps(policy_of(agent=[
        {"host": rule, "resolve_in": ["10.0.0.0/8"], "reason": "x"}])))
    config = tmp_path / "exeat.yaml"
    config.write_text(json.dumps({"version": 1, "policy": "policy.yaml", **through(
        3128, host="p.example", hosts=[hosts], resolve="remote", no_proxy=no_proxy and [no_proxy])}))
    done = run_exeat("lint", "--config", config)
    assert "[resolve-remote]" in done.stdout, done.stderr
    assert ("[pin-delegated]" in done.stdout) == found
