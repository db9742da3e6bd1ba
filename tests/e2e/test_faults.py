"""What breaks around a running process, and what an operator does to it in a hurry."""
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from harness.client import Client, eventually
from harness.dns import SILENT
from harness.origin import echo, http_handler, response
from harness.proxy import SANITIZER, Exeat, free_port, loopback, policy_of
from test_limits import black_hole, descriptors, echoes

HOST = "origin.corp.example"


def allow(port):
    return policy_of(agent=[{"host": "*.corp.example", "ports": [port], "tls": "any"}], addresses=[loopback()])


def start_again(proxy):
    """The same files and ports once more."""
    proxy.output = []
    proxy.process = proxy._spawn()
    assert eventually(lambda: proxy.is_up() or proxy.process.poll() is not None, 60)
    assert proxy.process.poll() is None, proxy.text()


def status_of(proxy, port, host=HOST):
    with proxy.client() as client:
        return client.connect(f"{host}:{port}").status


def over_socket(path, request):
    with Client(str(path)) as client:
        client.send(request)
        return client.answer()


RELOAD = "POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


# Reload --------------------------------------------------------------------------------------------------------------

def test_a_storm_of_reloads_loses_no_request_and_leaks_nothing(exeat, origin):
    web, echoing = origin(http_handler(lambda request: response())), origin(echo)
    policy = policy_of(agent=[{"host": HOST, "ports": [web.port, echoing.port], "tls": "any"}], addresses=[loopback()])
    proxy = exeat(policy)
    tunnel = proxy.client()
    assert tunnel.connect(f"{HOST}:{echoing.port}").status == 200
    ended, served, lost = threading.Event(), [], []

    def traffic():
        while not ended.is_set():
            try:
                with proxy.client() as client:
                    for _ in range(5):
                        served.append(client.get(f"http://{HOST}:{web.port}/").status)
            except (OSError, EOFError) as error:
                lost.append(error)
    threads = [threading.Thread(target=traffic) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert eventually(lambda: len(served) > 50)
    before = descriptors(proxy)
    for n in range(100):
        proxy.write_policy({**policy, "deny": [{"host": f"name-{n}.example"}]})
        reloads = proxy.metric("exeat_reloads_total")
        for _ in range(3):
            proxy.signal(signal.SIGHUP)
        assert eventually(lambda known=reloads: proxy.metric("exeat_reloads_total") > known)
        assert echoes(tunnel) and proxy.admin("/-/ready")[0] == 200
    ended.set()
    for thread in threads:
        thread.join()
    assert not lost and set(served) == {200}
    assert proxy.metric("exeat_reloads_total", result="failure") == 0
    tunnel.close()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert descriptors(proxy) <= before + 8


@pytest.mark.parametrize("spoil, told", [
    (lambda path: path.unlink(), "policy.yaml"),
    (lambda path: path.chmod(0o666), "policy-untrusted-file"),
    (lambda path: (path.unlink(), path.mkdir()), "policy.yaml"),
    (lambda path: path.write_bytes(b"\xff\x00\xfe" * 1000), "policy.yaml"),
    (lambda path: (path.unlink(), os.mkfifo(path)), "policy.yaml")], ids=["missing", "untrusted", "folder", "binary", "fifo"])
def test_a_policy_file_that_cannot_be_used_keeps_the_old_one(exeat, origin, spoil, told):
    server = origin(echo)
    proxy = exeat(allow(server.port))
    spoil(proxy.policy_file)
    proxy.reload()
    assert proxy.metric("exeat_reloads_total", result="failure") == 1
    assert told in proxy.logged(event="process", code="reload-failed")["text"]
    assert json.loads(proxy.admin("/-/healthy")[1])["status"] == "degraded"
    assert status_of(proxy, server.port) == 200


def test_a_stop_amid_reloads_does_not_hang(exeat, origin):
    """Whoever asks for a reload waits for the main thread, which at its end waits for whoever asks."""
    server = origin(echo)
    proxy = exeat(allow(server.port), {"drain_timeout": "1s"})
    with contextlib.ExitStack() as clients:
        tunnel = clients.enter_context(proxy.client())
        assert tunnel.connect(f"{HOST}:{server.port}").status == 200
        ended = threading.Event()

        def flood():
            while not ended.is_set():
                with contextlib.suppress(OSError, EOFError):
                    over_socket(proxy.control, RELOAD)
        threads = [threading.Thread(target=flood) for _ in range(6)]
        for thread in threads:
            thread.start()
        assert eventually(lambda: proxy.metric("exeat_reloads_total") > 10)
        started = time.monotonic()
        proxy.signal(signal.SIGTERM)
        try:
            assert proxy.wait() == 0
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        assert time.monotonic() - started < 15


# Logs ----------------------------------------------------------------------------------------------------------------

@pytest.fixture
def small_disk(tmp_path):
    """A file system of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder],
                                           capture_output=True, check=False).returncode != 0:
        pytest.skip("may not mount")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_costs_lines_and_nothing_else(exeat, small_disk):
    proxy = exeat(policy_of(), {"log": {"file": str(small_disk / "exeat.log"), "blocked": str(small_disk / "blocked.log")}})
    fill = small_disk / "fill"
    with contextlib.suppress(OSError), open(fill, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
    for n in range(400):
        with proxy.client() as client:
            assert client.connect(f"name-{n}.example:443").status == 403
    assert eventually(lambda: proxy.metric("exeat_log_errors_total") > 0), proxy.metrics()
    assert proxy.metric("exeat_decisions_total", verdict="deny") == 400
    fill.unlink()
    with proxy.client() as client:
        assert client.connect("after.example:443").status == 403

    def lines():
        return (small_disk / "exeat.log").read_text().splitlines()
    assert eventually(lambda: any("after.example" in line for line in lines()))
    for line in lines():
        json.loads(line)


def test_what_a_full_disk_loses_is_counted_and_told(exeat, origin, small_disk):
    """Longer than the log can wait: the proxy serves and refuses as before, and once there is room, both files say how
    many lines they lack, though nobody asks for anything more."""
    server = origin(echo)
    files = {"file": small_disk / "exeat.log", "blocked": small_disk / "blocked.log"}
    proxy = exeat(allow(server.port), {"log": {**{name: str(path) for name, path in files.items()},
                                               "format": "json", "process": False}})
    tunnel = proxy.client()
    assert tunnel.connect(f"{HOST}:{server.port}").status == 200
    fill = small_disk / "fill"
    with contextlib.suppress(OSError), open(fill, "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
    count, name = 3000, "x" * 60 + ".elsewhere.example"
    for n in range(0, count, 100):
        with proxy.client() as client:
            client.send(f"GET http://{name}:{server.port}/ HTTP/1.1\r\nHost: {name}:{server.port}\r\n\r\n" * 100)
            assert {client.answer().status for _ in range(100)} == {403}
        if n % 1000 == 0:
            assert echoes(tunnel) and status_of(proxy, server.port) == 200

    def dropped(sink):
        return int(proxy.metric("exeat_log_lines_dropped_total", sink=sink))
    assert eventually(lambda: dropped("file") > 0 and dropped("blocked") > 0), proxy.metrics()
    assert dropped("ring") == 0
    assert all(proxy.metric("exeat_log_errors_total", sink=sink) > 0 for sink in files)
    assert proxy.metric("exeat_decisions_total", verdict="deny") == count
    assert len(server.connections) == 4  # of the denied ones none
    tunnel.close()
    # Nothing more is asked for: what is in hand gets room, and then the loss is told.
    fill.unlink()

    def records(sink):
        text = files[sink].read_text()
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def told(sink):
        return sum(r["count"] for r in records(sink) if r["event"] == "dropped" and r["sink"] == sink)
    for sink in files:
        assert eventually(lambda sink=sink: told(sink) == dropped(sink)), (sink, told(sink), dropped(sink))
    refusals = {sink: sum(r.get("verdict") == "deny" for r in records(sink)) for sink in files}
    assert refusals["blocked"] + dropped("blocked") == count and refusals["blocked"] > 100
    decisions = [r for r in records("file") if r["event"] == "decision"]
    assert len(decisions) < proxy.metric("exeat_decisions_total") <= len(decisions) + dropped("file")
    assert status_of(proxy, server.port) == 200 and status_of(proxy, server.port, "after.elsewhere.example") == 403
    assert eventually(lambda: any(r.get("host") == "after.elsewhere.example" for r in records("blocked")))


def test_dev_full_as_the_log(exeat):
    proxy = exeat(policy_of(), {"log": {"file": "/dev/full"}})
    for n in range(20):
        with proxy.client() as client:
            assert client.connect(f"name-{n}.example:443").status == 403
    started = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0 and time.monotonic() - started < 15


def test_a_removed_log_comes_back_on_sighup(exeat):
    proxy = exeat(policy_of())
    proxy.log_file.unlink()
    proxy.blocked_file.unlink()
    proxy.reload()
    assert eventually(lambda: proxy.log_file.exists() and proxy.blocked_file.exists())
    with proxy.client() as client:
        client.connect("after.example:443")
    assert proxy.logged(host="after.example")


def test_refusals_into_a_pipe_that_nobody_reads(exeat, tmp_path):
    """A stuck reader of blocked.log holds up neither the proxy, nor the other log, nor the end."""
    pipe = tmp_path / "blocked"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        proxy = exeat(policy_of(), {"log": {"blocked": str(pipe)}})
        for n in range(2500):
            if n % 50 == 0:
                client = proxy.client()
            client.send(f"GET http://name-{n}.example/{'x' * 300} HTTP/1.1\r\nHost: name-{n}.example\r\n\r\n")
            assert client.answer().status == 403
        assert eventually(lambda: proxy.metric("exeat_log_lines_dropped_total", sink="blocked") > 0), proxy.metrics()
        assert eventually(lambda: len(proxy.log(verdict="deny")) == 2500)
        started = time.monotonic()
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0 and time.monotonic() - started < 15
    finally:
        os.close(reader)


# The end -------------------------------------------------------------------------------------------------------------

def test_a_second_sigterm_ends_it_now(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"drain_timeout": "600s"})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        proxy.signal(signal.SIGTERM)
        assert eventually(lambda: "a second signal" in proxy.text())
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(60) == 0
        assert client.is_closed()
    assert proxy.log(event="close")[0]["reason"] == "draining"


@pytest.mark.parametrize("way", ["dial", "look-up", "plain", "hello", "head"])
def test_the_end_does_not_wait_for_what_hangs(exeat, origin, dns, way):
    dns.records["slow.corp.example"] = SILENT
    server = origin(lambda connection: connection.read_all())
    with black_hole() as hole:
        policy = policy_of(agent=[{"host": "*.corp.example", "ports": [hole]},
                                  {"host": HOST, "ports": [server.port]}], addresses=[loopback()])
        proxy = exeat(policy, {"drain_timeout": "1s", "timeouts": {"connect": "300s", "dns": "300s", "head": "300s",
                                                                   "client_hello": "300s"}})
        request = {
            "dial": f"CONNECT {HOST}:{hole} HTTP/1.1\r\nHost: {HOST}:{hole}\r\n\r\n",
            "look-up": f"CONNECT slow.corp.example:{hole} HTTP/1.1\r\nHost: slow.corp.example:{hole}\r\n\r\n",
            "plain": f"POST http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\nContent-Length: 9\r\n\r\nhalf",
            "hello": f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n",
            "head": "GET http://half",
        }[way]
        clients = [proxy.client() for _ in range(8)]
        for client in clients:
            client.send(request)
        assert eventually(lambda: proxy.metric("exeat_active_connections") == 8)
        time.sleep(0.3)
        started = time.monotonic()
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(60) == 0
        assert time.monotonic() - started < 1 + 3
        assert not SANITIZER.search(proxy.text())
        for client in clients:
            client.close()


def test_killed_and_started_again_at_once(exeat, origin):
    """Sockets of the dead one in TIME_WAIT and its socket files are in nobody's way."""
    server = origin(echo)
    proxy = exeat(allow(server.port), {"more_listeners": [{"unix": "agent.sock", "phase": "agent"}]})
    for _ in range(3):
        clients = [proxy.client() for _ in range(20)]
        for client in clients:
            assert client.connect(f"{HOST}:{server.port}").status == 200
        proxy.process.kill()
        proxy.wait()
        start_again(proxy)
        for client in clients:
            client.close()
        assert status_of(proxy, server.port) == 200
        assert over_socket(proxy.folder / "agent.sock", "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 400


# Two at once ---------------------------------------------------------------------------------------------------------

def race(proxy, count):
    """Starts `count` instances on the same files at once: those that came up, and those that did not."""
    started = []
    for _ in range(count):
        proxy.output = []
        started.append((proxy._spawn(), proxy.output))
    assert eventually(lambda: all(p.poll() is not None or "ready\n" in out for p, out in started), 60)
    time.sleep(0.2)
    return ([s for s in started if s[0].poll() is None], [s for s in started if s[0].poll() is not None])


@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "stale-file"])
@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_of_several_started_at_once_one_survives(tmp_path, dns, kind, stale):
    settings = {"control": None, "admin": "none", "log": None}
    if kind == "unix":
        settings["listeners"] = [{"unix": "agent.sock", "phase": "agent"}]
    proxy = Exeat(policy_of(), settings, dns=dns.address)
    for _ in range(6):
        proxy._write_settings()
        if stale and kind == "unix":
            with socket.socket(socket.AF_UNIX) as dead, contextlib.suppress(FileNotFoundError):
                (proxy.folder / "agent.sock").unlink()
                dead.bind(str(proxy.folder / "agent.sock"))
        up, down = race(proxy, 3)
        said = ["".join(out) for _, out in down]
        assert len(up) == 1, (len(up), said)
        assert all("already" in text for text in said), said
        proxy.process, proxy.output = up[0]
        if kind == "unix":
            assert over_socket(proxy.folder / "agent.sock", "GET / HTTP/1.1\r\nHost: a\r\n\r\n").status == 400
        proxy.stop()
    proxy.remove()


def test_a_successor_keeps_its_socket_when_the_old_one_ends(exeat, origin):
    """A rolling restart: the old process drains while the new one listens at the same path."""
    server = origin(echo)
    old = exeat(allow(server.port), {"more_listeners": [{"unix": "agent.sock", "phase": "agent"}],
                                     "drain_timeout": "600s"})
    path = old.folder / "agent.sock"
    tunnel = Client(str(path))
    assert tunnel.connect(f"{HOST}:{server.port}").status == 200
    old.signal(signal.SIGTERM)
    assert eventually(lambda: "a second signal" in old.text())

    def refused():
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(path)) != 0
    assert eventually(refused)
    new = exeat(allow(server.port), {"more_listeners": [{"unix": str(path), "phase": "agent"}]})
    assert echoes(tunnel)
    tunnel.close()
    assert old.wait() == 0
    with Client(str(path)) as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
    new.stop()
    assert not path.exists()


# Unix sockets --------------------------------------------------------------------------------------------------------

def fails_to_start(settings, before):
    proxy = Exeat(policy_of(), settings)
    before(proxy.folder)
    with pytest.raises(AssertionError) as failed:
        proxy.start()
    proxy.process = None
    text = str(failed.value)
    left = sorted(path.name for path in proxy.folder.iterdir())
    proxy.remove()
    return text, left


def test_a_file_in_the_way_of_a_socket_is_left_alone():
    listener = {"more_listeners": [{"unix": "agent.sock", "phase": "agent"}]}
    for settings, name in ((listener, "agent.sock"), ({}, "control.sock")):
        text, left = fails_to_start(settings, lambda folder, name=name: (folder / name).write_text("precious"))
        assert "no socket" in text and name in left and not SANITIZER.search(text)


def test_a_live_socket_and_one_that_may_not_be_asked_are_left_alone(tmp_path):
    path = tmp_path / "agent.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen(0)
        text, _ = fails_to_start({"more_listeners": [{"unix": str(path), "phase": "agent"}]}, lambda folder: None)
        assert "already" in text and path.exists()
        with contextlib.ExitStack() as full:  # its queue is full: it lives all the same
            for _ in range(3):
                waiting = full.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect_ex(str(path))
            text, _ = fails_to_start({"more_listeners": [{"unix": str(path), "phase": "agent"}]}, lambda folder: None)
            assert "already" in text and path.exists()
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
        other.bind(str(path))
        text, _ = fails_to_start({"more_listeners": [{"unix": str(path), "phase": "agent"}]}, lambda folder: None)
        assert path.exists() and str(path) in text


def test_the_mode_of_a_socket_decides_who_connects(exeat):
    if os.geteuid() != 0 or not shutil.which("setpriv"):
        pytest.skip("needs root and setpriv")
    proxy = exeat(policy_of(), {"more_listeners": [{"unix": "closed.sock", "phase": "agent", "mode": "0600"},
                                                   {"unix": "open.sock", "phase": "agent", "mode": "0666"}]})
    proxy.folder.chmod(0o755)
    ask = ("import socket, sys\ns = socket.socket(socket.AF_UNIX)\ns.connect(sys.argv[1])\n"
           "s.sendall(b'CONNECT a.example:443 HTTP/1.1\\r\\nHost: a.example:443\\r\\n\\r\\n')\nprint(s.recv(4096))")

    def as_nobody(name):
        return subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", sys.executable, "-c", ask,
                               str(proxy.folder / name)], capture_output=True, text=True, check=False)
    refused = as_nobody("closed.sock")
    assert refused.returncode != 0 and "PermissionError" in refused.stderr
    assert "403" in as_nobody("open.sock").stdout
    assert proxy.logged(host="a.example")["client"] == "uid 65534" or "65534" in json.dumps(proxy.logged(host="a.example"))
    assert "PermissionError" in as_nobody("control.sock").stderr


# Admin ---------------------------------------------------------------------------------------------------------------

def test_admin_over_a_unix_socket(exeat):
    proxy = Exeat(policy_of(), {"admin": None}, ["--admin", "unix:admin.sock"])
    proxy.start()
    try:
        path = proxy.folder / "admin.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        done = subprocess.run(["curl", "-sS", "--unix-socket", path, "http://any.name.example/metrics"],
                              capture_output=True, text=True, check=False)
        assert "exeat_build_info" in done.stdout, done.stderr
        assert over_socket(path, RELOAD).status in (401, 403)
        done = subprocess.run(["curl", "-sS", "-X", "POST", "--unix-socket", proxy.control, "http://localhost/-/reload"],
                              capture_output=True, text=True, check=False)
        assert json.loads(done.stdout)["ok"] is True
    finally:
        proxy.stop()
        proxy.remove()


def test_host_rebinding_meets_a_wall_but_for_allowed_names(exeat):
    proxy = exeat(policy_of())
    assert proxy.admin("/metrics", headers={"Host": "evil.example"})[0] == 421
    assert proxy.admin("/-/reload", "POST", {"Host": "evil.example"})[0] == 421
    port = free_port()
    proxy = exeat(policy_of(), {"admin": {"address": f"127.0.0.1:{port}", "allowed_hosts": ["metrics.corp.example"]}})
    proxy.ports["admin"] = port
    assert proxy.admin("/metrics", headers={"Host": f"Metrics.corp.example:{port}"})[0] == 200
    assert proxy.admin("/metrics", headers={"Host": "x.metrics.corp.example"})[0] == 421


# The world outside ---------------------------------------------------------------------------------------------------

def test_a_stopped_origin(exeat, tmp_path):
    """SIGSTOP: the kernel still takes connections and octets, and nobody answers."""
    (tmp_path / "a").write_text("hello")
    server = subprocess.Popen([sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"], cwd=tmp_path,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        port = int(server.stdout.readline().split(" port ")[1].split()[0])
        proxy = exeat(allow(port), {"timeouts": {"response": "500ms"}})
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{port}/a").body == b"hello"
        server.send_signal(signal.SIGSTOP)
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{port}/a").status == 504
        with proxy.client() as client:
            assert client.connect("denied.elsewhere.example:443").status == 403
        server.send_signal(signal.SIGCONT)
        with proxy.client() as client:
            assert client.get(f"http://{HOST}:{port}/a").body == b"hello"
    finally:
        server.send_signal(signal.SIGCONT)
        server.kill()
        server.wait()


def test_the_folder_of_the_control_socket_is_named_where_it_is_missing():
    text, _ = fails_to_start({"control": {"unix": "nowhere/control.sock"}}, lambda folder: None)
    assert "nowhere/control.sock" in text and "directory" in text
