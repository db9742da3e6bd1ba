"""Limits that keep one client, phase, job or destination from using up what the others need."""
import contextlib
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from harness.client import Client, eventually
from harness.dns import SILENT
from harness.mutual import Mutual
from harness.origin import echo, http_handler, response
from harness.proxy import free_port, loopback, policy_of
from test_limits import allow, black_hole, echoes, hits, try_connect

HOST = "origin.corp.example"


def allow_all(port, *more):
    rules = [{"host": "**.corp.example", "ports": [port, *more], "tls": "any"}]
    return policy_of(agent=rules, setup=rules, mcp=rules, addresses=[loopback()])


def tunnel(proxy, port, phase="agent", host=HOST):
    client = proxy.client(phase)
    return client.connect(f"{host}:{port}"), client


def connect_head(target):
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n"


# Requests in a second ------------------------------------------------------------------------------------------------

def test_requests_of_one_client_in_a_second(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow_all(server.port), {"limits": {"requests_per_client": 1}})
    with proxy.client() as client:
        client.send("GET http://denied.elsewhere.example/ HTTP/1.1\r\nHost: denied.elsewhere.example\r\n\r\n" * 30)
        answers = []
        while not answers or answers[-1].status == 403:
            answers.append(client.answer())
        last = answers[-1]
        assert last.status == 429 and last.reason == "limit-reached too-many-requests"
        assert last.fields["retry-after"] == "1" and last.fields["connection"] == "close"
        assert "too-many-requests" in last.fields["proxy-status"] and 1 <= len(answers) < 30
        assert client.is_closed()
    assert proxy.logged(reason="too-many-requests", phase="agent", status=429)

    def status(phase):
        with proxy.client(phase) as one:
            return one.connect(f"{HOST}:{server.port}").status
    # CONNECTs count, each on a connection of its own; the phases beside this one have requests of their own.
    assert eventually(lambda: status("agent") == 429)
    assert eventually(lambda: status("setup") == 200)
    # What is not even a request counts as well.
    def malformed():
        with proxy.client() as one:
            one.send("GET\r\n\r\n")
            return one.answer().status
    assert eventually(lambda: malformed() == 429)
    assert eventually(lambda: status("agent") == 200)
    assert hits(proxy, "too-many-requests") == proxy.metric("exeat_decisions_total", reason="too-many-requests") > 1
    # Health looks through the listener all the same.
    assert proxy.admin("/-/healthy")[0] == 200


def test_no_limit_on_requests(exeat, origin):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(allow_all(server.port), {"limits": {"requests_per_client": 0}})
    with proxy.client() as client:
        for _ in range(50):
            assert client.get(f"http://{HOST}:{server.port}/").status == 200


def flood(proxy, phase, reason):
    """Sends until it is too much, and says how many answers it took."""
    with proxy.client(phase) as client:
        client.send("GET http://denied.elsewhere.example/ HTTP/1.1\r\nHost: denied.elsewhere.example\r\n\r\n" * 60)
        answers = []
        while not answers or answers[-1].status == 403:
            answers.append(client.answer())
        last = answers[-1]
        assert last.status == 429 and last.reason == f"limit-reached {reason}"
        assert last.fields["retry-after"] == "1" and reason in last.fields["proxy-status"]
        assert len(answers) < 60 and client.is_closed()
    assert proxy.logged(reason=reason, phase=phase, status=429)
    return len(answers)


def status_of(proxy, port, phase):
    answer, client = tunnel(proxy, port, phase)
    client.close()
    return answer.status


def test_requests_of_one_phase_in_a_second(exeat, origin):
    """From whomever they come: here no client has a limit of its own."""
    server = origin(echo)
    proxy = exeat(allow_all(server.port), {"limits": {"requests_per_client": 0, "requests_per_phase": 1}})
    flood(proxy, "agent", "too-many-requests-of-phase")
    assert status_of(proxy, server.port, "agent") in (200, 429)
    # The phases beside it have requests of their own.
    assert status_of(proxy, server.port, "setup") == 200
    assert status_of(proxy, server.port, "mcp") == 200

    def malformed():
        with proxy.client() as client:
            client.send("GET\r\n\r\n")
            return client.answer().reason
    assert eventually(lambda: malformed() == "limit-reached too-many-requests-of-phase")
    assert eventually(lambda: status_of(proxy, server.port, "agent") == 200)
    reason = "too-many-requests-of-phase"
    assert eventually(lambda: len(proxy.log(reason=reason)) == hits(proxy, reason))
    assert hits(proxy, reason) == proxy.metric("exeat_decisions_total", reason=reason) > 1
    assert hits(proxy, "too-many-requests") == 0
    # Health looks through the listeners, and is nobody's.
    assert proxy.admin("/-/healthy")[0] == 200


def test_requests_of_one_job_in_a_second(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow_all(server.port), {
        "limits": {"requests_per_client": 0, "requests_per_phase": 0, "requests_per_job": 1},
        "job": {"phases": [{"parallel": ["setup", "agent", "mcp"]}]}})
    flood(proxy, "agent", "too-many-requests-of-job")
    # They are the job's: what one phase has used, another one has not.
    assert eventually(lambda: 429 in [status_of(proxy, server.port, phase) for phase in ("setup", "mcp", "setup")])
    assert eventually(lambda: status_of(proxy, server.port, "mcp") == 200)
    reason = "too-many-requests-of-job"
    assert eventually(lambda: len(proxy.log(reason=reason)) == hits(proxy, reason) > 1)
    # Without a job there is none that could have sent too many.
    other = exeat(allow_all(server.port), {"limits": {"requests_per_job": 1}})
    assert all(status_of(other, server.port, "agent") == 200 for _ in range(5))


# Connections of a phase and of a job -----------------------------------------------------------------------------------

def refused(proxy, port, phase, reason):
    answer, client = tunnel(proxy, port, phase)
    client.close()
    return answer.status == 503 and answer.reason == f"limit-reached {reason}"


def test_one_phase_leaves_the_others_their_connections(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow_all(server.port), {"limits": {"connections_per_phase": 4}})
    held = [tunnel(proxy, server.port) for _ in range(4)]
    assert all(answer.status == 200 for answer, _ in held)
    for _ in range(8):
        assert refused(proxy, server.port, "agent", "too-many-of-phase")
    # A connection that asks for something that is denied has a place, too: it is the phase's.
    with proxy.client() as client:
        assert client.get("http://denied.elsewhere.example/").status == 503
        assert client.is_closed()
    for phase in ("setup", "mcp"):
        answer, client = tunnel(proxy, server.port, phase)
        assert answer.status == 200 and echoes(client)
        client.close()
    record = proxy.logged(reason="too-many-of-phase")
    assert record["phase"] == "agent" and record["verdict"] == "error"
    assert hits(proxy, "too-many-of-phase") == 9
    held.pop()[1].close()
    assert eventually(lambda: try_connect(proxy, f"{HOST}:{server.port}")[0] == 200)
    assert all(echoes(client) for _, client in held)
    for _, client in held:
        client.close()


def test_a_job_has_no_more_connections_than_its_own(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow_all(server.port), {"limits": {"connections_per_job": 5},
                                           "job": {"phases": [{"parallel": ["setup", "agent", "mcp"]}]}})
    held = [tunnel(proxy, server.port, phase) for phase in ("setup", "agent", "mcp", "setup", "agent")]
    assert all(answer.status == 200 for answer, _ in held)
    for phase in ("setup", "agent", "mcp"):
        assert refused(proxy, server.port, phase, "too-many-of-job")
    assert hits(proxy, "too-many-of-job") == 3
    for _, client in held:
        client.close()
    assert eventually(lambda: try_connect(proxy, f"{HOST}:{server.port}")[0] == 200)


# Dials ---------------------------------------------------------------------------------------------------------------

def dialling(proxy, port):
    """How many connections to the port wait for an answer."""
    lines = Path(f"/proc/{proxy.process.pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return sum(1 for row in rows if row[2].endswith(f":{port:04X}") and row[3] == "02")


def test_a_destination_that_does_not_answer_holds_few_dials(exeat, origin):
    server = origin(echo)
    with black_hole() as hole:
        before = 4  # those of the hole itself
        proxy = exeat(allow_all(hole, server.port), {"limits": {"dials_per_destination": 3}, "workers": 1,
                                                     "timeouts": {"connect": "4s"}})
        clients = [proxy.client() for _ in range(40)]
        for client in clients:
            client.send(connect_head(f"{HOST}:{hole}"))
        assert eventually(lambda: proxy.metric("exeat_active_connections") == 40)
        most = 0
        for _ in range(20):
            most = max(most, dialling(proxy, hole))
            time.sleep(0.05)
        assert 1 <= most <= before + 3
        # Other destinations, and the same one in another phase, do not stand behind it.
        answer, client = tunnel(proxy, server.port)
        assert answer.status == 200 and echoes(client)
        client.close()
        answers = [client.answer() for client in clients]
        reasons = [answer.reason.split()[-1] for answer in answers]
        assert set(reasons) == {"connect-timeout", "too-many-dials"} and reasons.count("connect-timeout") >= 3
        shed = [answer for answer in answers if answer.reason.endswith("too-many-dials")]
        assert all(answer.status == 503 and "connection_limit_reached" in answer.fields["proxy-status"]
                   for answer in shed)
        assert hits(proxy, "too-many-dials") == len(shed)
        # The log's thread may still be at it.
        assert eventually(lambda: len(proxy.log(reason="too-many-dials")) == len(shed))
        for client in clients:
            client.close()


def test_a_burst_to_a_destination_that_answers_only_waits(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow_all(server.port), {"limits": {"dials_per_destination": 1}, "workers": 1})
    clients = [proxy.client() for _ in range(60)]
    for client in clients:
        client.send(connect_head(f"{HOST}:{server.port}"))
    for client in clients:
        assert client.answer(head_request=True).status == 200
        client.close()
    assert hits(proxy, "too-many-dials") == 0


# Look-ups ------------------------------------------------------------------------------------------------------------

def test_slow_names_of_one_phase_leave_the_others_theirs(exeat, origin, dns):
    server = origin(echo)
    for n in range(9):
        dns.records[f"slow-{n}.corp.example"] = SILENT
    proxy = exeat(allow_all(server.port), {"limits": {"lookups": 4, "lookups_per_phase": 3}, "workers": 1,
                                           "timeouts": {"dns": "20s"}})
    with contextlib.ExitStack() as open_clients:
        def ask(n, phase="agent"):
            client = open_clients.enter_context(proxy.client(phase))
            client.send(connect_head(f"slow-{n}.corp.example:{server.port}"))
            return client
        for n in range(3):
            ask(n)
        ask(1)  # joins one that is under way
        assert eventually(lambda: all(dns.asked(f"slow-{n}.corp.example") for n in range(3)))
        assert eventually(lambda: proxy.metric("exeat_active_connections") == 4)
        answer = ask(3).answer()
        assert answer.status == 503 and answer.reason == "limit-reached too-many-lookups"
        assert dns.asked("slow-3.corp.example") == 0
        answer, client = tunnel(proxy, server.port, "setup")
        assert answer.status == 200 and echoes(client)
        client.close()
        ask(4, "setup")
        assert eventually(lambda: dns.asked("slow-4.corp.example"))
        # Now all are taken, and whoever comes is told.
        assert ask(5, "mcp").answer().reason == "limit-reached too-many-lookups"
        # What is known already is not looked up.
        answer, client = tunnel(proxy, server.port, "mcp")
        assert answer.status == 200 and echoes(client)
        client.close()
    assert hits(proxy, "too-many-lookups") == 2
    assert "of this phase" in proxy.logged(reason="too-many-lookups", phase="agent")["error"]


# Buffers -------------------------------------------------------------------------------------------------------------

def test_buffers_are_used_up_and_what_runs_goes_on(exeat, origin):
    """Half-open heads hold a block each; a tunnel holds none, and gets by without."""
    size = 6 << 20

    def both_ways(connection):
        threading.Thread(target=lambda: connection.write(b"d" * size), daemon=True).start()
        total = 0
        while total < size and (data := connection.read()):
            total += len(data)
        connection.finish_writing()
    server, web = origin(both_ways), origin(http_handler(lambda request: response()))
    proxy = exeat(allow_all(server.port, web.port), {"limits": {"buffers": "4MiB"}, "workers": 2})
    answer, running = tunnel(proxy, server.port)
    assert answer.status == 200
    clients = [proxy.client() for _ in range(200)]
    for client in clients:
        client.send("GET http://half")
    most = (4 << 20) // (32 << 10)  # blocks
    assert eventually(lambda: hits(proxy, "out-of-buffers") >= len(clients) - most)

    def answered():
        return select.select([client.sock for client in clients], [], [], 0)[0]
    assert eventually(lambda: len(answered()) == hits(proxy, "out-of-buffers"))
    shed = [client for client in clients if client.sock in answered()]
    assert len(clients) - most <= len(shed) < len(clients) - 32
    for client in shed:
        answer = client.answer()
        assert answer.status == 503 and answer.reason == "limit-reached out-of-buffers"
    # The tunnel moves its octets, both ways at once, none lost.
    got = []
    reader = threading.Thread(target=lambda: got.append(running.read_exactly(size)))
    reader.start()
    running.send(b"u" * size)
    reader.join(60)
    assert got == [b"d" * size]
    running.close()
    assert eventually(lambda: bytes(server.connections[0].received) == b"u" * size)
    assert proxy.logged(reason="out-of-buffers", status=503)
    for client in clients:
        client.close()

    def served():
        with proxy.client() as client:
            try:
                return client.get(f"http://{HOST}:{web.port}/").status == 200
            except (EOFError, OSError):
                return False
    assert eventually(served)


# Time ----------------------------------------------------------------------------------------------------------------

def test_a_tunnel_has_a_time_in_all_where_that_is_set(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"timeouts": {"tunnel": "1s"}})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        with pytest.raises((OSError, EOFError)):
            for _ in range(2000):
                assert echoes(client)
                time.sleep(0.02)
    assert proxy.logged(event="close", reason="tunnel-timeout", verdict="error")
    assert hits(proxy, "tunnel-timeout") == 1


def slow_client(proxy, octets=4096, port=None):
    client = Client.__new__(Client)
    client.sock, client.buffer = socket.socket(), b""
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)
    client.sock.settimeout(60)
    client.sock.connect(("127.0.0.1", port or proxy.ports["agent"]))
    return client


@pytest.mark.parametrize("size", [400 << 10, 64 << 20], ids=["in-the-kernel", "beyond"])
def test_a_client_that_shuts_its_window_for_ever(exeat, origin, size):
    def pour(connection):
        connection.read_until(b"go")
        with contextlib.suppress(OSError):
            connection.write(b"x" * size)
            connection.read()
    server = origin(pour)
    proxy = exeat(allow(server.port), {"timeouts": {"tunnel_stall": "2s"}})
    with slow_client(proxy) as client, proxy.client() as silent:
        assert silent.connect(f"{HOST}:{server.port}").status == 200
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"go")
        record = proxy.logged(event="close", reason="tunnel-stalled")
        assert record["error"].startswith("the client takes nothing")
        assert hits(proxy, "tunnel-stalled") == 1
        # A silent tunnel, in which nothing waits, is none of its business.
        time.sleep(3)
        assert proxy.metric("exeat_active_tunnels") == 1


def test_an_origin_that_shuts_its_window_for_ever(exeat, origin):
    held = threading.Event()

    def deaf(connection):
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        held.wait(60)
    server = origin(deaf)
    proxy = exeat(allow(server.port), {"timeouts": {"tunnel_stall": "1s"}})
    try:
        with proxy.client() as client:
            assert client.connect(f"{HOST}:{server.port}").status == 200
            with contextlib.suppress(OSError):
                client.send(b"u" * (64 << 20))
        assert proxy.logged(event="close", reason="tunnel-stalled")["error"].startswith("the origin takes nothing")
    finally:
        held.set()


def test_a_reader_that_takes_a_little_is_not_stalled(exeat, origin):
    size = 3 << 20

    def pour(connection):
        connection.write(b"x" * size)
    server = origin(pour)
    proxy = exeat(allow(server.port), {"timeouts": {"tunnel_stall": "2s"}})
    with slow_client(proxy) as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        got = 0
        for _ in range(20):
            got += len(client.recv(8192))
            time.sleep(0.2)
        assert len(client.read_all()) == size - got
    assert proxy.logged(event="close", reason="allowed")


# The rate of a body --------------------------------------------------------------------------------------------------

def drip(client, octets, pause, seconds):
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < end:
            client.send(octets)
            time.sleep(pause)


@pytest.mark.parametrize("head, octets", [
    ("Content-Length: 100000", b"x"), ("Transfer-Encoding: chunked", b"1\r\nx\r\n"), ("Transfer-Encoding: chunked", b"0")],
    ids=["length", "tiny-chunks", "chunk-size"])
def test_a_body_that_drips_is_one_that_stands_still(exeat, origin, head, octets):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(allow(server.port), {"timeouts": {"idle": "1s"}, "limits": {"body_rate": 1000}})
    with proxy.client() as client:
        client.send(f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n{head}\r\n\r\n")
        dripping = threading.Thread(target=drip, args=(client, octets, 0.3, 20), daemon=True)
        dripping.start()
        assert client.answer().status == 408
        dripping.join()
    assert proxy.logged(reason="body-timeout")
    assert hits(proxy, "body-timeout") == 1


def test_a_body_that_keeps_its_rate_may_take_its_time(exeat, origin):
    server = origin(http_handler(lambda request: response(str(len(request.body)))))
    proxy = exeat(allow(server.port), {"timeouts": {"idle": "1s"}, "limits": {"body_rate": 100}})
    with proxy.client() as client:
        client.send(f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
                    "Content-Length: 40000\r\n\r\n")
        for _ in range(40):
            client.send(b"x" * 1000)
            time.sleep(0.1)
        assert client.answer().body == b"40000"


def test_a_body_may_drip_where_no_rate_is_set(exeat, origin):
    server = origin(http_handler(lambda request: response(str(len(request.body)))))
    proxy = exeat(allow(server.port), {"timeouts": {"idle": "2s"}, "limits": {"body_rate": 0}})
    with proxy.client() as client:
        client.send(f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n"
                    "Content-Length: 15\r\n\r\n")
        for _ in range(15):
            client.send(b"x")
            time.sleep(0.25)
        assert client.answer().body == b"15"


# The same behind TLS -------------------------------------------------------------------------------------------------

@pytest.fixture
def secure(exeat, ca, tmp_path):
    """secure(policy, settings): a proxy, and a function that connects to its TLS listener with a small window."""
    mutual = Mutual(ca, tmp_path)

    def make(policy, settings):
        port = free_port()
        proxy = exeat(policy, {**settings, "more_listeners": [{"address": f"127.0.0.1:{port}", "phase": "agent",
                                                               "tls": mutual.settings(False)}]})

        def connect():
            client = slow_client(proxy, port=port)
            client.sock = mutual.context().wrap_socket(client.sock, server_hostname="proxy.corp.example")
            return client
        return proxy, connect
    return make


@pytest.mark.parametrize("size", [100 << 10, 64 << 20], ids=["in-the-front", "beyond"])
def test_a_tls_client_that_shuts_its_window_for_ever(secure, origin, size):
    def pour(connection):
        connection.read_until(b"go")
        with contextlib.suppress(OSError):
            connection.write(b"x" * size)
            connection.read()
    server = origin(pour)
    proxy, connect = secure(allow(server.port), {"timeouts": {"tunnel_stall": "2s"}})
    with connect() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"go")
        record = proxy.logged(event="close", host=HOST)
        assert record["reason"] == "tunnel-stalled" or "client" in record["error"], record
        if size > 1 << 20:
            assert record["reason"] == "tunnel-stalled"
        assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)


def test_tls_is_charged_to_the_same_total(secure, origin):
    web = origin(http_handler(lambda request: response()))
    proxy, connect = secure(allow_all(web.port), {"limits": {"buffers": "4MiB"}, "workers": 1})
    clients = []
    with pytest.raises((OSError, EOFError)):
        for _ in range(200):
            clients.append(connect())
    assert 20 < len(clients) <= (4 << 20) // (80 << 10)
    assert hits(proxy, "out-of-buffers") >= 1 and proxy.logged(reason="out-of-buffers")
    for client in clients:
        client.close()

    def served():
        try:
            with connect() as client:
                return client.get(f"http://{HOST}:{web.port}/").status == 200
        except (OSError, EOFError):
            return False
    assert eventually(served)
