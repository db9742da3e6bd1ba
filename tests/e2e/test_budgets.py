"""What a rule, a phase and a job may use up: octets, names, addresses, methods and paths; by real clients."""
import socket
import threading

import pytest

from harness.client import client_hello, eventually
from harness.origin import echo, http_handler, response
from harness.proxy import loopback, policy_of

HOST = "origin.corp.example"
OTHER = "other.corp.example"
KIB, MIB = 1 << 10, 1 << 20


def rule(port, host=HOST, **terms):
    return {"host": host, "ports": [port], "tls": "any", **terms}


def policy(*rules, **top):
    return {**policy_of(agent=rules, addresses=[loopback()]), **top}


def sink(connection):
    connection.read_all()


def open_tunnel(proxy, port, host=HOST, phase="agent"):
    client = proxy.client(phase)
    assert client.connect(f"{host}:{port}").status == 200
    return client


def status(proxy, port, host=HOST, phase="agent"):
    with proxy.client(phase) as client:
        answer = client.connect(f"{host}:{port}")
        return answer.status, answer.reason


def push(client, octets):
    """Sends until it is through or reset; True if it is through."""
    try:
        client.send(octets)
        return True
    except OSError:
        return False


def was_reset(client):
    try:
        while client.recv():
            pass
    except ConnectionResetError:
        return True
    return False


def closed(proxy, reason):
    return proxy.log(event="close", reason=reason)


# Upload -------------------------------------------------------------------------------------------------------

def test_curl_cannot_upload_more_than_the_limit_through_tls(exeat, origin, run, ca, dns, tmp_path):
    server = origin(http_handler(lambda request: response()), ca.server_context(HOST))
    wide = {"host": "*.corp.example", "ports": [server.port], "upload_limit": "1MiB"}
    proxy = exeat(policy(wide), {"workers": 2})
    (tmp_path / "secret").write_bytes(b"s" * (3 * MIB))
    url = f"https://{HOST}:{server.port}/"
    done = run("curl", "-sS", "--http1.1", "--cacert", ca.bundle, "-T", tmp_path / "secret", url, https_proxy=proxy.url())
    assert done.returncode in (55, 56), done
    end = proxy.logged(event="close", reason="upload-limit")
    assert end["verdict"] == "deny" and end["bytes_up"] == MIB
    assert end["error"] == f"upload_limit 1MiB of agent/*.corp.example:{server.port} is used up"
    assert len(server.received) < MIB
    # Used up: nothing is asked of DNS any more, whoever asks.
    assert status(proxy, server.port, OTHER) == (403, "egress-denied upload-limit")
    assert dns.asked(OTHER) == 0
    told = proxy.logged(event="decision", reason="upload-limit")
    assert "is used up" in told["error"] and "policy.yaml" in told["hint"]


def test_a_small_upload_passes_whole(exeat, origin, run, ca, tmp_path):
    server = origin(http_handler(lambda request: response(str(len(request.body)))), ca.server_context(HOST))
    proxy = exeat(policy({"host": HOST, "ports": [server.port], "upload_limit": "1MiB"}))
    (tmp_path / "report").write_bytes(b"r" * (900 * KIB))
    done = run("curl", "-sS", "--http1.1", "--cacert", ca.bundle, "-T", tmp_path / "report",
               f"https://{HOST}:{server.port}/", https_proxy=proxy.url())
    assert (done.returncode, done.stdout) == (0, str(900 * KIB)), done.stderr


def test_tunnels_of_both_workers_share_the_limit_to_the_octet(exeat, origin):
    server = origin(sink)
    proxy = exeat(policy(rule(server.port, upload_limit="1MiB")), {"workers": 2})
    clients = [open_tunnel(proxy, server.port) for _ in range(8)]
    through = []
    threads = [threading.Thread(target=lambda c=c: through.append(push(c, b"u" * (600 * KIB)))) for c in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        try:
            client.sock.shutdown(socket.SHUT_WR)
            client.is_closed()
        except OSError:
            pass
    ends = eventually(lambda: (found := proxy.log(event="close")) and len(found) == 8 and found)
    assert sum(end["bytes_up"] for end in ends) == MIB
    assert len(server.received) <= MIB
    assert {end["reason"] for end in ends} <= {"upload-limit", "allowed"} and closed(proxy, "upload-limit")
    assert status(proxy, server.port)[0] == 403
    assert proxy.metric("exeat_bytes_total", direction="up") == MIB
    assert proxy.metric("exeat_budget_used_bytes", rule=f"agent/{HOST}:{server.port}", direction="up") == MIB
    assert proxy.metric("exeat_budget_limit_bytes", rule=f"agent/{HOST}:{server.port}", direction="up") == MIB


def test_the_last_octet_passes_and_one_more_ends_the_tunnel(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port, upload_limit=10_000)))
    clients = [open_tunnel(proxy, server.port) for _ in range(4)]
    for client in clients:
        client.send(b"u" * 2500)
    for client in clients:
        assert client.read_exactly(2500) == b"u" * 2500
    assert len(server.received) == 10_000
    clients[0].send(b"x")
    assert was_reset(clients[0])
    assert proxy.logged(event="close")["reason"] == "upload-limit"
    clients[1].sock.shutdown(socket.SHUT_WR)  # an end is not an octet
    assert clients[1].is_closed()
    assert eventually(lambda: len(proxy.log(event="close", reason="allowed")) == 1)
    assert len(server.received) == 10_000


def test_octets_behind_the_connect_head_are_not_free(exeat, origin):
    server = origin(sink)
    proxy = exeat(policy(rule(server.port, upload_limit=1000)))
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}", behind=b"u" * 1001).status == 200
        assert client.is_closed()
    assert proxy.logged(event="close")["reason"] == "upload-limit"
    assert server.received == b""
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}", behind=b"u" * 1000).status == 200
        assert eventually(lambda: len(server.received) == 1000)
    assert status(proxy, server.port)[0] == 403


def test_the_client_hello_counts(exeat, origin):
    server = origin(sink)
    hello = client_hello(HOST)
    proxy = exeat(policy({"host": HOST, "ports": [server.port], "upload_limit": len(hello) - 1}))
    with open_tunnel(proxy, server.port) as client:
        client.send(hello)
        alert = client.read_all()
        assert alert[:1] == b"\x15"
    end = proxy.logged(event="close")
    assert (end["reason"], end["verdict"], end["sni"]) == ("upload-limit", "deny", HOST)
    assert server.received == b""


# Download, phase, job -----------------------------------------------------------------------------------------

def test_a_download_ends_at_its_limit_with_a_reset(exeat, origin):
    def flood(connection):
        connection.read(1)
        connection.write(b"d" * (3 * MIB))
    server = origin(flood)
    proxy = exeat(policy(rule(server.port, download_limit="1MiB")))
    with open_tunnel(proxy, server.port) as client:
        client.send(b"x")
        got = 0
        with pytest.raises(ConnectionResetError):
            while more := client.recv():
                got += len(more)
        assert 0 < got <= MIB
    end = proxy.logged(event="close", reason="download-limit")
    assert end["bytes_down"] == MIB and end["bytes_up"] == 1
    assert end["error"].startswith("download_limit 1MiB of agent/")
    assert status(proxy, server.port) == (403, "egress-denied download-limit")


def test_limits_of_phase_and_job_hold_besides(exeat, origin):
    server = origin(echo)
    both = [rule(server.port), rule(server.port, OTHER, upload_limit=5000)]
    source = policy_of(agent=both, setup=[rule(server.port)], addresses=[loopback()])
    source["phases"]["agent"]["upload_limit"] = 8000
    source["upload_limit"] = 10_000
    proxy = exeat(source)

    def send(size, host=HOST, phase="agent"):
        with open_tunnel(proxy, server.port, host, phase) as client:
            client.send(b"u" * size)
            try:
                return client.read_exactly(size) == b"u" * size
            except (EOFError, ConnectionResetError):
                return False

    assert send(5000, OTHER)
    assert status(proxy, server.port, OTHER)[0] == 403
    assert "5000 of agent/other" in proxy.logged(event="decision", host=OTHER, reason="upload-limit")["error"]
    assert send(2500)
    assert not send(501)
    assert "8000 of phase agent" in proxy.logged(event="close", reason="upload-limit")["error"]
    assert status(proxy, server.port)[0] == 403
    assert send(2000, phase="setup")
    assert status(proxy, server.port, phase="setup")[0] == 403
    assert "10000 of the job" in proxy.logged(event="decision", phase="setup", reason="upload-limit")["error"]
    assert len(server.received) == 10_000
    assert proxy.metric("exeat_budget_used_bytes", direction="up") == 10_000 + 8000 + 5000


# Reload -------------------------------------------------------------------------------------------------------

def test_a_reload_does_not_refill(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port, upload_limit=1000)))
    with open_tunnel(proxy, server.port) as client:
        client.send(b"u" * 1000)
        client.read_exactly(1000)
    assert status(proxy, server.port)[0] == 403
    proxy.reload(policy(rule(server.port, OTHER), rule(server.port, upload_limit=1000)))
    assert status(proxy, server.port)[0] == 403
    proxy.reload(policy(rule(server.port)))
    assert status(proxy, server.port)[0] == 200
    proxy.reload(policy(rule(server.port, upload_limit=1000)))
    assert status(proxy, server.port)[0] == 403
    proxy.reload(policy(rule(server.port, upload_limit=1500)))
    with open_tunnel(proxy, server.port) as client:
        client.send(b"u" * 500)
        client.read_exactly(500)
        assert len(server.received) == 1500
        client.send(b"x")
        assert was_reset(client)
    assert len(server.received) == 1500


def test_a_new_limit_reaches_tunnels_that_live(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port, upload_limit=1000)))
    with open_tunnel(proxy, server.port) as client:
        client.send(b"u" * 1000)
        client.read_exactly(1000)
        proxy.reload(policy(rule(server.port, upload_limit=2000)))
        assert eventually(lambda: status(proxy, server.port)[0] == 200)
        client.send(b"u" * 1000)
        client.read_exactly(1000)
        proxy.reload(policy(rule(server.port)))
        assert eventually(lambda: status(proxy, server.port)[0] == 200)
        client.send(b"u" * 1000)
        client.read_exactly(1000)
        proxy.reload(policy(rule(server.port, upload_limit=2001)))
        # Used: what was sent while there was a limit.
        assert eventually(lambda: status(proxy, server.port)[0] == 200)
        client.send(b"uu")
        assert was_reset(client)
    assert proxy.logged(event="close", reason="upload-limit")["bytes_up"] == 3001
    assert len(server.received) <= 3001  # a reset may overtake what was sent before it


# Plain HTTP ---------------------------------------------------------------------------------------------------

def post(client, url, size, send=None, chunked=False, method="POST"):
    host = url.split("/")[2]
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"
    client.send(f"{method} {url} HTTP/1.1\r\nHost: {host}\r\n{framing}\r\n\r\n")
    body = b"u" * (size if send is None else send)
    if chunked:
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part)
                        for part in (body[i:i + 1000] for i in range(0, len(body), 1000))) + b"0\r\n\r\n"
    return push(client, body)


def test_a_length_over_the_limit_is_refused_before_anything_goes_out(exeat, origin, dns):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(policy(rule(server.port, upload_limit="1MiB")))
    with proxy.client() as client:
        post(client, f"http://{HOST}:{server.port}/", 2 * MIB, send=0)
        answer = client.answer()
        assert (answer.status, answer.reason) == (403, "egress-denied upload-limit")
    assert server.connections == [] and dns.asked(HOST) == 0
    told = proxy.logged(reason="upload-limit")
    assert "upload_limit 1MiB" in told["error"] and "1MiB are left" in told["error"]
    with proxy.client() as client:  # nothing was used
        post(client, f"http://{HOST}:{server.port}/", MIB - 1000)
        assert client.answer().status == 200


def test_a_chunked_body_is_refused_when_it_has_used_the_limit_up(exeat, origin):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(policy(rule(server.port, upload_limit="100KiB")))
    with proxy.client() as client:
        post(client, f"http://{HOST}:{server.port}/", 300 * KIB, chunked=True)
        answer = client.answer()
        assert (answer.status, answer.reason) == (403, "egress-denied upload-limit")
    assert len(server.received) <= 100 * KIB
    end = proxy.logged(reason="upload-limit")
    assert end["verdict"] == "deny" and 0 < end["bytes_up"] <= 100 * KIB


def test_heads_count_and_parallel_posts_never_exceed_the_limit(exeat, origin):
    server = origin(http_handler(lambda request: response(b"")))
    proxy = exeat(policy(rule(server.port, upload_limit="64KiB")), {"workers": 2})
    url = f"http://{HOST}:{server.port}/"
    statuses = []

    def many():
        with proxy.client() as client:
            for _ in range(60):
                post(client, url, 400)
                try:
                    answer = client.answer()
                except (EOFError, OSError):
                    return
                statuses.append(answer.status)
                if answer.fields.get("connection", "") == "close":
                    return
    threads = [threading.Thread(target=many) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 403}
    used = proxy.metric("exeat_budget_used_bytes", direction="up")
    assert used == proxy.metric("exeat_bytes_total", direction="up") == len(server.received)
    assert 64 * KIB - 600 < used <= 64 * KIB


def test_an_answer_over_the_limit_is_not_begun_and_an_endless_one_is_cut(exeat, origin):
    def serve(request):
        if request.target == "/long":
            return response(b"d" * (2 * MIB))
        return (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"d" * 4096 + b"\r\n") + \
            (b"1000\r\n" + b"d" * 4096 + b"\r\n") * 1000
    server = origin(http_handler(serve))
    proxy = exeat(policy(rule(server.port, download_limit="1MiB")))
    url = f"http://{HOST}:{server.port}"
    with proxy.client() as client:
        answer = client.get(f"{url}/long")
        assert (answer.status, answer.reason) == (403, "egress-denied download-limit")
    with proxy.client() as client:
        client.send(f"GET {url}/endless HTTP/1.1\r\nHost: {url[7:]}\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            while client.recv():
                pass
    end = eventually(lambda: [r for r in proxy.log(reason="download-limit") if r.get("bytes_down")])[0]
    assert end["verdict"] == "deny" and MIB - 70 * KIB < end["bytes_down"] <= MIB


# Names --------------------------------------------------------------------------------------------------------

def names(count, start=1):
    return [f"n{i}.corp.example" for i in range(start, start + count)]


def test_the_ninth_name_is_never_looked_up(exeat, origin, dns):
    server = origin(echo)
    for name in names(20):
        dns.records[name] = ["127.0.0.1"]
    wide = rule(server.port, "*.corp.example", max_names=8)
    proxy = exeat(policy(wide), {"workers": 2})
    for name in names(7) + ["missing.corp.example"]:
        status(proxy, server.port, name)
    assert dns.asked("missing.corp.example")  # asking is what gives a name away
    for name in names(5, start=8):
        assert status(proxy, server.port, name) == (403, "egress-denied too-many-names")
        assert dns.asked(name) == 0
    for name in names(7):
        assert status(proxy, server.port, name)[0] == 200
    with proxy.client() as client:
        answer = client.get(f"http://n9.corp.example:{server.port}/")
        assert (answer.status, answer.reason) == (403, "egress-denied too-many-names")
    assert not [name for name, _ in dns.queries if name not in names(7) + ["missing.corp.example"]]
    assert "max_names 8 of agent/*.corp.example" in proxy.logged(reason="too-many-names")["error"]
    assert proxy.metric("exeat_budget_names") == 8

    proxy.reload(policy(rule(server.port, OTHER), wide))  # no refill
    assert status(proxy, server.port, "n10.corp.example")[0] == 403
    proxy.reload(policy({**wide, "max_names": 3}))  # only new names are refused
    assert status(proxy, server.port, "n7.corp.example")[0] == 200
    assert status(proxy, server.port, "n10.corp.example")[0] == 403
    proxy.reload(policy({**wide, "max_names": 9}))
    assert status(proxy, server.port, "n10.corp.example")[0] == 200
    assert status(proxy, server.port, "n11.corp.example")[0] == 403


def test_racing_names_are_charged_exactly(exeat, origin, dns):
    server = origin(echo)
    for name in names(40):
        dns.records[name] = ["127.0.0.1"]
    proxy = exeat(policy(rule(server.port, "*.corp.example", max_names=8)), {"workers": 2})
    answers = {}

    def ask(name):
        answers[name] = status(proxy, server.port, name)[0]
    threads = [threading.Thread(target=ask, args=(name,)) for name in names(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    passed = {name for name, answer in answers.items() if answer == 200}
    assert len(passed) == 8
    assert {name for name, _ in dns.queries} == passed


def test_the_apex_is_a_name_and_a_refused_request_charges_none(exeat, origin, dns):
    server = origin(echo)
    dns.records["corp.example"] = ["127.0.0.1"]
    proxy = exeat({**policy_of(agent=[rule(server.port, "*.corp.example", apex=True, max_names=2)],
                               addresses=[loopback("**.corp.example", "corp.example")],
                               deny=[{"host": "denied.corp.example"}])})
    assert status(proxy, server.port, "denied.corp.example")[0] == 403
    assert status(proxy, server.port + 1, OTHER)[0] == 403
    assert status(proxy, server.port, "corp.example")[0] == 200
    assert status(proxy, server.port, HOST)[0] == 200
    assert status(proxy, server.port, OTHER) == (403, "egress-denied too-many-names")


# Addresses ----------------------------------------------------------------------------------------------------

def test_resolve_in_holds_every_address(exeat, origin, dns):
    server = origin(echo)
    held = rule(server.port, "*.corp.example", resolve_in=["127.0.0.0/30"])
    proxy = exeat({**policy_of(agent=[held], addresses=[loopback(cidr="127.0.0.0/8")])})
    assert status(proxy, server.port)[0] == 200
    dns.records[OTHER] = ["127.0.0.1", "127.0.0.9"]
    assert status(proxy, server.port, OTHER) == (403, "egress-denied outside-resolve-in")
    told = proxy.logged(reason="outside-resolve-in")
    assert told["address"] == "127.0.0.9" and "127.0.0.9" in told["error"]
    with proxy.client() as client:
        assert client.get(f"http://{OTHER}:{server.port}/").reason == "egress-denied outside-resolve-in"


def test_audit_dials_what_no_rule_pins_but_nobody_else_uses_that_connection(exeat, origin):
    server = origin(http_handler(lambda request: response()))
    held = {"host": HOST, "ports": [server.port], "methods": ["GET"], "resolve_in": "127.0.0.9/32"}
    source = policy_of(addresses=[loopback(cidr="127.0.0.0/8")])
    source["phases"]["agent"] = {"mode": "audit", "allow": [held]}
    proxy = exeat(source, {"workers": 1})
    url = f"http://{HOST}:{server.port}/"
    with proxy.client() as client:
        client.send(f"OPTIONS {url} HTTP/1.1\r\nHost: {url[7:-1]}\r\n\r\n")
        assert client.answer().status == 200  # would_deny: no rule governs, the guard alone does
        assert len(server.connections) == 1
        assert client.get(url).reason == "egress-denied outside-resolve-in"
    assert len(server.connections) == 1


def test_on_tighten_cut_sees_resolve_in_and_http_only(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(rule(server.port), rule(server.port, OTHER)), {"on_tighten": "cut"})
    first, second = open_tunnel(proxy, server.port), open_tunnel(proxy, server.port, OTHER)
    proxy.reload(policy(rule(server.port, resolve_in="192.0.2.0/24"), rule(server.port, OTHER)))
    assert was_reset(first)
    assert proxy.logged(event="close", host=HOST)["reason"] == "outside-resolve-in"
    second.send(b"still")
    assert second.read_exactly(5) == b"still"
    proxy.reload(policy({"host": OTHER, "ports": [server.port], "methods": ["GET"]}))
    assert was_reset(second)
    assert proxy.logged(event="close", host=OTHER)["reason"] == "http-only"


# Methods and paths --------------------------------------------------------------------------------------------

def test_every_request_on_a_connection_is_judged_anew(exeat, origin):
    server = origin(http_handler(lambda request: response(request.target)))
    proxy = exeat(policy({"host": HOST, "ports": [server.port], "methods": ["GET", "POST"], "paths": ["/pkg/**", "/up"]}))
    url = f"http://{HOST}:{server.port}"
    with proxy.client() as client:
        assert client.get(f"{url}/pkg/a?x=/secret").body == b"/pkg/a?x=/secret"
        assert client.get(f"{url}/secret").reason == "egress-denied path-not-allowed"
        assert client.get(f"{url}/pkg/../secret").reason == "egress-denied path-not-allowed"
        assert client.get(f"{url}/pkg/%2e%2e/secret").reason == "egress-denied path-not-allowed"
        post(client, f"{url}/up", 5)
        assert client.answer().status == 200
        client.send(f"DELETE {url}/pkg/a HTTP/1.1\r\nHost: {url[7:]}\r\n\r\n")
        assert client.answer().reason == "egress-denied method-not-allowed"
        assert client.get(f"{url}/pkg/b").body == b"/pkg/b"
    assert [line.split()[1] for line in server.received.decode().split("\r\n") if line.endswith("HTTP/1.1")] == [
        "/pkg/a?x=/secret", "/up", "/pkg/b"]
    assert status(proxy, server.port) == (403, "egress-denied http-only")


UPGRADE = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
           "Sec-WebSocket-Version: 13"]


def upgrade(connection):
    connection.read_until(b"\r\n\r\n")
    connection.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
    echo(connection)


def test_a_websocket_is_held_to_its_path_and_its_limit(exeat, origin):
    server = origin(upgrade)
    held = {"host": HOST, "ports": [server.port], "paths": ["/live"], "upload_limit": 2000}
    proxy = exeat(policy(held), {"on_tighten": "cut"})
    url = f"http://{HOST}:{server.port}"
    with proxy.client() as client:
        assert client.get(f"{url}/other", UPGRADE).reason == "egress-denied path-not-allowed"
    with proxy.client() as client, proxy.client() as limited:
        assert client.get(f"{url}/live", UPGRADE).status == 101
        client.send(b"a")
        assert client.read_exactly(1) == b"a"
        assert limited.get(f"{url}/live", UPGRADE).status == 101
        push(limited, b"u" * 2000)
        assert was_reset(limited)
        assert proxy.logged(event="close", reason="upload-limit")["scheme"] == "ws"
        assert len(server.received) <= 2000
        # The same path passes a reload, another one does not.
        proxy.reload(policy({**held, "upload_limit": "1MiB"}))
        client.send(b"b")
        assert client.read_exactly(1) == b"b"
        proxy.reload(policy({**held, "paths": ["/elsewhere"]}))
        assert was_reset(client)
    assert proxy.logged(event="close", reason="path-not-allowed")


# Audit and on_tighten -----------------------------------------------------------------------------------------

def test_audit_lets_pass_and_tells(exeat, origin, dns):
    server = origin(echo)
    source = policy_of(addresses=[loopback()])
    source["phases"]["agent"] = {"mode": "audit", "allow": [
        rule(server.port, upload_limit=1000), rule(server.port, "*.corp.example", max_names=1)]}
    proxy = exeat(source)
    with open_tunnel(proxy, server.port) as client:
        client.send(b"u" * 5000)
        assert client.read_exactly(5000) == b"u" * 5000
    end = proxy.logged(event="close", host=HOST)
    assert (end["verdict"], end["reason"], end["bytes_up"]) == ("would_deny", "upload-limit", 5000)
    assert "upload_limit 1000" in end["error"]
    assert status(proxy, server.port)[0] == 200
    assert "is used up" in proxy.logged(event="decision", verdict="would_deny", reason="upload-limit")["error"]
    dns.records["n1.corp.example"] = ["127.0.0.1"]
    assert status(proxy, server.port, OTHER)[0] == 200
    assert status(proxy, server.port, "n1.corp.example")[0] == 200
    assert proxy.logged(event="decision", host="n1.corp.example")["reason"] == "too-many-names"
    assert proxy.logged(event="decision", host=OTHER)["verdict"] == "allow"
    assert proxy.metric("exeat_budget_names") == 1
    assert proxy.metric("exeat_decisions_total", verdict="would_deny", reason="upload-limit") == 2


def test_on_tighten_cut_ends_a_plain_exchange_in_flight(exeat, origin):
    go_on = threading.Event()

    def serve(connection):
        request = connection.read_until(b"\r\n\r\n")
        if b"/begun" in request:
            connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegun")
        go_on.wait(60)
    server = origin(serve)
    kept = rule(server.port, OTHER)
    proxy = exeat(policy(rule(server.port), kept), {"on_tighten": "cut"})

    def ask(host, path):
        client = proxy.client()
        client.send(f"GET http://{host}:{server.port}{path} HTTP/1.1\r\nHost: {host}:{server.port}\r\n\r\n")
        return client
    begun, waiting, other = ask(HOST, "/begun"), ask(HOST, "/waiting"), ask(OTHER, "/begun")
    begun.read_until(b"begun")
    other.read_until(b"begun")
    assert eventually(lambda: len(server.connections) == 3 and all(c.received for c in server.connections))
    proxy.reload(policy(kept))
    answer = waiting.answer()
    assert (answer.status, answer.reason) == (403, "egress-denied no-rule")
    assert was_reset(begun)
    ends = eventually(lambda: (found := proxy.log(host=HOST, reason="no-rule")) and len(found) == 2 and found)
    assert all("on_tighten" in end["error"] and end["verdict"] == "deny" for end in ends)
    other.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        other.recv()
    go_on.set()
    proxy.logged(host=OTHER, reason="origin-truncated")


def test_keep_lets_a_plain_exchange_finish(exeat, origin):
    go_on = threading.Event()

    def serve(request):
        go_on.wait(60)
        return response(b"whole")
    server = origin(http_handler(serve))
    proxy = exeat(policy(rule(server.port)))
    with proxy.client() as client:
        client.send(f"GET http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n")
        assert eventually(lambda: server.received)
        proxy.reload(policy())
        go_on.set()
        assert client.answer().body == b"whole"
