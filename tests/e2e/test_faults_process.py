"""What is done to the process under load: stopped, killed, short of descriptors, its clock and its policy tampered with."""
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from harness.accounts import assert_accounted
from harness.client import eventually
from harness.load import HOST, Load
from harness.origin import echo
from harness.proxy import BINARY, loopback, policy_of, run_exeat
from test_limits import descriptors, echoes, hits, try_connect


def settled(proxy, load):
    """Served again, and nobody is left."""
    served = load.served
    return eventually(lambda: load.served > served + 20, 60)


def assert_returns(proxy, before, sanitized):
    """Resident memory is near where it was, and no descriptor is lost."""
    rss, fds = before
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    assert eventually(lambda: descriptors(proxy) <= fds + 8), descriptors(proxy)
    if not sanitized:  # ASan's quarantine keeps what is freed
        assert proxy.rss() < rss + (16 << 20), (rss, proxy.rss())


def warm(proxy, load):
    assert eventually(lambda: load.served > 50 and load.refused > 20, 60)
    return proxy.rss(), descriptors(proxy)


def test_a_stopped_proxy_goes_on_where_it_was(exeat, origin, sanitized):
    load = Load(origin)
    proxy = exeat(load.policy())
    load.start(proxy)
    before = warm(proxy, load)
    with proxy.client() as tunnel:
        assert tunnel.connect(f"{HOST}:{load.echo.port}").status == 200
        for _ in range(3):
            proxy.signal(signal.SIGSTOP)
            tunnel.send(b"while it sleeps")
            time.sleep(1.5)
            proxy.signal(signal.SIGCONT)
            assert tunnel.read_exactly(15) == b"while it sleeps"
            assert settled(proxy, load)
    load.end()
    assert not load.lost, load.lost[:3]
    assert_returns(proxy, before, sanitized)
    assert_accounted(proxy)


def garbage(rng, good):
    """What may lie in the policy's place: noise, halves, other languages, and a wide-open one with a fault."""
    text = json.dumps(good, indent=1)
    wide = json.dumps({**good, "phases": {**good["phases"], "agent": {"allow": [{"host": "**.corp.example", "ports": "any",
                                                                                 "tls": "any"}]}}, "surplus": 1})
    return rng.choice([lambda: rng.randbytes(rng.randrange(1, 5000)).decode("latin-1"), lambda: text[:rng.randrange(len(text) - 2)],
                       lambda: "", lambda: wide, lambda: "{" * 5000, lambda: "- " * 5000, lambda: "version: 1\n" + "a: &a [*a]\n",
                       lambda: text.replace('"version": 1', '"version": 2')])()


def test_garbage_in_the_policy_s_place_under_load(exeat, origin, sanitized):
    load = Load(origin)
    proxy = exeat(load.policy())
    load.start(proxy)
    before = warm(proxy, load)
    rng = random.Random(5)
    for n in range(30):
        proxy.reload(garbage(rng, load.policy()))
        if n % 10 == 9:
            proxy.reload(load.policy())
    assert proxy.metric("exeat_reloads_total", result="failure") == 30
    assert settled(proxy, load)
    load.end()
    assert not load.lost, load.lost[:3]
    assert_returns(proxy, before, sanitized)
    assert_accounted(proxy)


def test_killed_and_started_again_under_load(exeat, origin):
    load = Load(origin)
    proxy = exeat(load.policy())
    load.start(proxy, honest=3, thieves=2)
    for _ in range(4):
        warm(proxy, load)
        proxy.crash()
        proxy.restart()
        assert settled(proxy, load)
    load.end()
    assert eventually(lambda: proxy.metric("exeat_active_connections") == 0)
    # Whole lines only, but for the one that each kill may have cut.
    broken = 0
    for line in proxy.log_file.read_text().splitlines():
        try:
            json.loads(line)
        except ValueError:
            broken += 1
    assert broken <= 4


def test_a_name_server_that_dies_and_lies_under_load(exeat, origin, dns, sanitized):
    load = Load(origin)
    load_policy = load.policy()
    load_policy["phases"]["agent"]["allow"].append({"host": "**.named.example", "ports": [load.echo.port], "tls": "any"})
    proxy = exeat(load_policy, {"timeouts": {"dns": "1s"}, "dns": {"servers": [dns.address], "hosts_file": False,
                                                                   "timeout": "200ms", "cache_entries": 0}})
    load.start(proxy)
    before = warm(proxy, load)
    answers = dns.answers

    def lie(packet, over_tcp):
        """Another id, another question, half a packet, a pointer that points at itself, or noise."""
        good = answers(packet, over_tcp)[0]
        return [[bytes([good[0] ^ 1]) + good[1:], good[:12] + b"\x05other\0" + good[12:], good[:len(good) // 2],
                good[:12] + b"\xc0\x0c" * 4, os.urandom(60)][len(dns.queries) % 5]]
    for wrong in (lambda packet, over_tcp: [], lie):
        dns.answers = wrong
        for n in range(6):
            with proxy.client() as client:
                reply = client.connect(f"name-{n}.named.example:{load.echo.port}")
            assert reply.status in (502, 504) and reply.reason.split()[-1].startswith("dns-"), reply.reason
        dns.answers = answers
        assert settled(proxy, load)
    load.end()
    assert set(load.lost) <= {502, 504}, load.lost[:3]
    assert_returns(proxy, before, sanitized)
    assert_accounted(proxy)


# Descriptors ---------------------------------------------------------------------------------------------------------

def limited(count, *arguments, **more):
    return subprocess.run([shutil.which("prlimit"), f"--nofile={count}", BINARY, *arguments], capture_output=True,
                          text=True, check=False, timeout=10, **more)


def test_sixty_four_descriptors_are_enough_to_start(exeat, origin, tmp_path, monkeypatch):
    """It starts, says what it cannot hold, serves what it can, answers the rest, and spins never."""
    from harness import proxy as harness
    wrapper = tmp_path / "exeat-64"
    wrapper.write_text(f'#!/bin/sh\nulimit -n 64\nexec "{Path(BINARY).resolve()}" "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr(harness, "BINARY", str(wrapper))
    server = origin(echo)
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port], "tls": "any"}], addresses=[loopback()]))
    assert "this process may open 64" in proxy.text() + str(proxy.log(event="process"))
    answers = [try_connect(proxy, f"{HOST}:{server.port}") for _ in range(60)]
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {0, 200, 502, 503} and statuses.count(200) >= 3 and statuses.count(503) >= 10, statuses
    assert all(echoes(client) for status, client in answers if status == 200)
    for _, client in answers:
        client.close()

    def served():
        status, client = try_connect(proxy, f"{HOST}:{server.port}")
        client.close()
        return status == 200
    assert eventually(served)
    assert hits(proxy, "out-of-descriptors") >= 10
    assert descriptors(proxy) < 64


def test_too_few_descriptors_to_start_are_named(tmp_path):
    """Never half a start: at every number below the one that is enough a sentence says what is short, and how much
    it takes."""
    config = tmp_path / "exeat.yaml"
    config.write_text(json.dumps({"version": 1, "listeners": [{"address": "127.0.0.1:0", "phase": "agent"}], "admin": "none",
                                  "control": {"unix": str(tmp_path / "control.sock")}, "workers": 2,
                                  "log": {"file": str(tmp_path / "log")}}))
    for count in (16, 24, 39):
        done = limited(count, "serve", "--config", str(config))
        said = done.stdout + done.stderr
        assert done.returncode not in (0, None) and done.returncode > 0, said
        assert f"may open {count} file descriptors" in said and "need 40 to start" in said, said
    with pytest.raises(subprocess.TimeoutExpired) as running:
        limited(40, "serve", "--config", str(config))
    assert b"ready" in (running.value.stdout or b"") + (running.value.stderr or b"")


# Clocks --------------------------------------------------------------------------------------------------------------

FAKETIME = next(iter(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")), None)


@pytest.mark.skipif(FAKETIME is None, reason="no libfaketime")
def test_a_wall_clock_that_jumps(exeat, origin, tmp_path, sanitized):
    """Back and forth by years: tunnels live, deadlines hold, what is sealed stays sealed; only dates follow it."""
    if sanitized:
        pytest.skip("a preloaded library stands before ASan's")
    clock = tmp_path / "clock"
    clock.write_text("+0")
    server = origin(echo)
    rule = {"host": HOST, "ports": [server.port], "tls": "any"}
    policy = policy_of(setup=[rule], agent=[rule, {"host": "other.corp.example", "ports": [server.port], "tls": "any",
                                                   "expires": time.strftime("%Y-12-31", time.gmtime(time.time() + 40000000))}],
                       addresses=[loopback()])
    state = tmp_path / "state"
    assert run_exeat("state", "init", state).returncode == 0
    proxy = exeat(policy, {"job": {"phases": ["setup", {"parallel": ["agent", "mcp"]}], "state_dir": str(state)},
                           "timeouts": {"head": "3s"},
                           "sandbox": "off"},  # which does not let it read the clock's file
                  environment={"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
                               "FAKETIME_DONT_FAKE_MONOTONIC": "1"})

    def connect(phase, host=HOST):
        with proxy.client(phase) as client:
            return client.connect(f"{host}:{server.port}").reason.split()[-1]
    with proxy.client("setup") as old:
        assert old.connect(f"{HOST}:{server.port}").status == 200
        done = run_exeat("phase", "advance", "--control", proxy.control)
        assert done.returncode == 0, done.stderr
    with proxy.client() as tunnel:
        assert tunnel.connect(f"{HOST}:{server.port}").status == 200
        for jump, expired in (("+10y", True), ("-5y", False), ("+0", False), ("+3650d", True), ("-3650d", False)):
            clock.write_text(jump)
            assert connect("setup") == "phase-sealed"
            assert connect("agent") == "established"
            assert connect("agent", "other.corp.example") == ("rule-expired" if expired else "established")
            assert echoes(tunnel)
            with proxy.client() as slow:
                slow.send("GET http://half")
                time.sleep(0.3)
                slow.send(".example/ HTTP/1.1\r\nHost: half.example\r\n\r\n")
                assert slow.answer().status == 403
    years = {record["time"][:4] for record in proxy.log(event="decision")}
    assert len(years) >= 3, years  # the clock did jump
    with proxy.client() as silent:
        silent.send("GET http://half")
        assert silent.answer().status == 408
