"""Start, health, metrics, limits, stop: what the operator lives with."""
import json
import shutil
import signal
import socket
import subprocess
import time

import pytest

from harness.client import Client, eventually
from harness.origin import echo, http_handler, response
from harness.proxy import BINARY, SANITIZER, clean_environment, free_port, loopback, policy_of, run_exeat

HOST = "origin.corp.example"


def allow(port):
    return policy_of(agent=[{"host": HOST, "ports": [port], "tls": "any"}], addresses=[loopback()])


# Start ---------------------------------------------------------------------------------------------------------------

def test_start_says_what_a_person_needs_next(exeat):
    proxy = exeat(policy_of(), {"log": None})
    text = proxy.text()
    for port in (proxy.ports["setup"], proxy.ports["agent"], proxy.ports["mcp"]):
        assert f"127.0.0.1:{port}" in text
    assert "HTTPS_PROXY" in text and "/metrics" in text and "/-/ready" in text and "policy.yaml" in text
    assert "any local process" in text


def test_a_second_instance_on_the_same_port_fails_with_an_explanation(exeat):
    proxy = exeat(policy_of())
    done = run_exeat("serve", "--policy", proxy.policy_file, "--listen", f"agent=127.0.0.1:{proxy.ports['agent']}",
                     "--admin", "none")
    assert done.returncode != 0
    assert str(proxy.ports["agent"]) in done.stderr and "already" in done.stderr


@pytest.mark.parametrize("settings, told", [
    ({"listeners": [{"address": "0.0.0.0:3128", "phase": "agent"}]}, "loopback"),
    ({"listeners": [{"address": "127.0.0.1:3128", "phase": "agnet"}]}, "agent"),
    ({"listners": []}, "listeners"), ({"timeouts": {"haed": "1s"}}, "head"), ({"workers": -1}, "workers"),
    ({"limits": {"head_bytes": "12 parsecs"}}, "head_bytes")])
def test_a_configuration_that_is_not_understood_stops_the_start(tmp_path, settings, told):
    (tmp_path / "policy.yaml").write_text(json.dumps(policy_of()))
    (tmp_path / "exeat.yaml").write_text(json.dumps({"version": 1, "policy": "policy.yaml", **settings}))
    done = run_exeat("serve", "--config", tmp_path / "exeat.yaml")
    assert done.returncode != 0 and told in done.stderr and "exeat.yaml" in done.stderr, done.stderr


def test_workers_share_the_ports(exeat, origin):
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback()]), {"workers": 4})
    for _ in range(40):
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{server.port}/").status == 200
    assert proxy.metric("exeat_workers") == 4
    assert proxy.metric("exeat_connections_total") >= 40


# Health and metrics --------------------------------------------------------------------------------------------------

def test_health_endpoints(exeat):
    proxy = exeat(policy_of())
    assert proxy.admin("/-/healthy")[0] == 200
    assert eventually(lambda: proxy.admin("/-/ready")[0] == 200)
    assert proxy.admin("/nothing")[0] == 404
    assert proxy.admin("/metrics", "DELETE")[0] in (404, 405)
    assert "identity" in proxy.admin("/-/healthy")[1]


def test_promtool_finds_nothing_to_say(exeat, origin):
    if not shutil.which("promtool"):
        pytest.skip("no promtool on this machine")
    server = origin(http_handler(lambda request: response()))
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port]}], addresses=[loopback()]))
    with proxy.client() as client:
        client.get(f"http://{HOST}:{server.port}/")
    with proxy.client() as client:
        client.connect("denied.corp.example:443")
    done = subprocess.run(["promtool", "check", "metrics"], input=proxy.metrics(), capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_no_host_in_the_metrics(exeat):
    proxy = exeat(policy_of())
    for n in range(50):
        with proxy.client() as client:
            client.connect(f"name-{n}.corp.example:443")
    assert eventually(lambda: proxy.metric("exeat_decisions_total", verdict="deny") == 50)
    assert "corp.example" not in proxy.metrics()


def test_counts_of_a_tunnel(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        client.send(b"x" * 1000)
        client.read_exactly(1000)
        assert proxy.metric("exeat_active_tunnels", phase="agent") == 1
    assert eventually(lambda: proxy.metric("exeat_active_tunnels") == 0)
    assert proxy.metric("exeat_bytes_total", phase="agent", direction="up") == 1000
    assert proxy.metric("exeat_bytes_total", phase="agent", direction="down") == 1000
    assert proxy.metric("exeat_connect_duration_seconds_count") == 1
    assert proxy.metric("exeat_policy_rules") >= 1


# Limits --------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("head, limits, status, reason", [
    ("X-A: " + "a" * 20_000, {"head_bytes": "8KiB"}, 431, "head-too-large"),
    ("\r\n".join(f"X-{n}: a" for n in range(60)), {"head_fields": 50}, 431, "too-many-fields")])
def test_heads_have_limits(exeat, head, limits, status, reason):
    proxy = exeat(policy_of(), {"limits": limits})
    with proxy.client() as client:
        client.send(f"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n{head}\r\n\r\n")
        assert client.answer().status == status
    assert proxy.logged(reason=reason)
    assert eventually(lambda: proxy.metric("exeat_limit_hits_total", reason=reason) == 1)


def test_a_slow_head_is_ended(exeat):
    proxy = exeat(policy_of(), {"timeouts": {"head": "1s"}})
    with proxy.client() as client:
        client.send("CONNECT a.exam")
        assert client.answer().status == 408
    assert proxy.logged(reason="head-timeout")


def test_connections_per_client_are_limited(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"limits": {"connections_per_client": 4}, "workers": 1})
    clients = [proxy.client() for _ in range(4)]
    for client in clients:
        assert client.connect(f"{HOST}:{server.port}").status == 200
    with proxy.client() as client:
        client.send("CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        rest = client.read_all()
        assert rest == b"" or b" 503 " in rest.split(b"\r\n")[0]
    with socket.socket() as other:  # the same client by another of its addresses
        other.bind(("127.0.0.9", 0))
        other.settimeout(30)
        other.connect(("127.0.0.1", proxy.ports["agent"]))
        other.sendall(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
        rest = other.recv(4096)
        assert rest == b"" or b" 503 " in rest.split(b"\r\n")[0]
    assert eventually(lambda: proxy.metric("exeat_limit_hits_total", reason="too-many-of-client") >= 1)
    for client in clients:
        client.close()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200


def test_an_idle_tunnel_is_ended_where_that_is_asked_for(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"timeouts": {"tunnel_idle": "1s"}})
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        assert client.is_closed()
    assert proxy.logged(event="close", reason="idle-timeout")


# Logs ----------------------------------------------------------------------------------------------------------------

def test_the_log_is_reopened_on_sighup(exeat):
    proxy = exeat(policy_of())
    moved = proxy.folder / "exeat.log.moved"
    with proxy.client() as client:
        client.connect("one.example:443")
    assert proxy.logged(host="one.example")
    proxy.log_file.rename(moved)
    proxy.reload()
    assert eventually(proxy.log_file.exists)
    with proxy.client() as client:
        client.connect("two.example:443")
    assert proxy.logged(host="two.example")
    assert "two.example" not in moved.read_text() and "one.example" not in proxy.log_file.read_text()


def test_the_log_is_rotated_by_size(exeat):
    proxy = exeat(policy_of(), {"log": {"rotate_size": "64KiB", "rotate_keep": 2}})
    for n in range(600):
        with proxy.client() as client:
            client.connect(f"name-{n}.example:443")
    assert eventually(lambda: proxy.metric("exeat_log_lines_total", sink="file") >= 600)
    files = sorted(path.name for path in proxy.folder.glob("exeat.log*"))
    assert "exeat.log.1" in files and "exeat.log.3" not in files
    assert all(path.stat().st_size <= 70_000 for path in proxy.folder.glob("exeat.log*"))


def test_json_on_standard_output_where_it_is_no_terminal(exeat):
    proxy = exeat(policy_of(), {"log": None})
    with proxy.client() as client:
        client.connect("one.example:443")
    assert eventually(lambda: any('"host":"one.example"' in line for line in proxy.output))


# Stop ----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_process_stops_at_once(exeat, number):
    proxy = exeat(policy_of(), {"drain_timeout": "60s"})
    started = time.monotonic()
    proxy.signal(number)
    assert proxy.wait() == 0
    assert time.monotonic() - started < 30


def test_drain_lets_a_tunnel_finish(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"drain_timeout": "60s"})
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        client.send(b"a")
        client.read_exactly(1)
        proxy.signal(signal.SIGTERM)
        assert eventually(lambda: proxy.admin("/-/ready")[0] == 503)

        def refused():
            try:
                Client(("127.0.0.1", proxy.ports["agent"]), 5).close()
                return False
            except OSError:
                return True
        assert eventually(refused)
        client.send(b"b" * 1000)
        assert client.read_exactly(1000) == b"b" * 1000
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read_all() == b""
    assert proxy.wait() == 0
    assert proxy.log(event="close")[0]["reason"] == "allowed"


def test_what_outlives_the_drain_is_cut_and_logged(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"drain_timeout": "1s"})
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        client.send(b"a")
        client.read_exactly(1)
        proxy.signal(signal.SIGTERM)
        assert client.is_closed()
    assert proxy.wait() == 0
    assert proxy.log(event="close")[0]["reason"] == "draining"


def test_systemd_is_notified(exeat, tmp_path):
    path = str(tmp_path / "notify.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(60)
        proxy = exeat(policy_of(), environment={"NOTIFY_SOCKET": path})
        assert "READY=1" in notify.recv(4096).decode()
        proxy.signal(signal.SIGTERM)
        said = ""
        while "STOPPING=1" not in said:
            said = notify.recv(4096).decode()
    assert proxy.wait() == 0


def test_the_built_in_policy_serves_without_a_file(tmp_path):
    """`exeat serve` with nothing but other ports."""
    port = free_port()
    process = subprocess.Popen([BINARY, "serve", "--listen", f"mcp=127.0.0.1:{port}", "--admin", "none"], cwd=tmp_path,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=clean_environment())
    said = ""
    while "ready\n" not in said and process.poll() is None:
        said += process.stdout.readline()
    with Client(("127.0.0.1", port)) as client:
        assert client.connect("example.com:443").status == 403
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and not SANITIZER.search(said + rest)
