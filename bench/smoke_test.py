"""The load generator against Exeat and the bare relay, a moment for each mode: what it counts has really happened, for the
origin counts too. No figure of time decides anything here."""
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(os.environ.get("EXEAT_ROOT", Path(__file__).resolve().parent.parent))
LOAD, RELAY = os.environ.get("EXEAT_LOAD", ""), os.environ.get("EXEAT_RELAY", "")
sys.path.insert(0, str(ROOT / "tests/e2e"))

from harness.client import eventually  # noqa: E402
from harness.dns import DnsServer  # noqa: E402
from harness.proxy import Exeat, clean_environment, free_port, loopback, policy_of  # noqa: E402

HOST, SECURE = "origin.corp.example", "secure.corp.example"
DENIED = "denied.corp.example:443"


def load(mode, *arguments, host=HOST, proxy=None, expect=0):
    where = ["--proxy", proxy] if proxy else ["--direct"]
    done = subprocess.run([LOAD, mode, *where, "--host", host, "--seconds", "0.1", "--warm-up", "0.02", *arguments],
                          capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
    assert done.returncode == expect, done.stderr
    return json.loads(done.stdout) if expect == 0 else done.stderr


@pytest.fixture(scope="module", params=["exeat", "relay", "direct"])
def proxy(request):
    """ADDRESS:PORT of a proxy; None: no proxy."""
    if request.param == "direct":
        yield None
        return
    if request.param == "relay":
        at = f"127.0.0.1:{free_port()}"
        process = subprocess.Popen([RELAY, at, "2"])
        try:
            assert eventually(lambda: reachable(at))
            yield at
            assert process.poll() is None, "the relay has ended"
        finally:
            process.kill()
            process.wait()
        return
    dns = DnsServer({HOST: ["127.0.0.1"], SECURE: ["127.0.0.1"]})
    running = Exeat(policy_of(agent=[{"host": HOST, "ports": "any", "tls": "any"}, {"host": SECURE, "ports": "any"}],
                              addresses=[loopback()]),
                    {"limits": {"requests_per_client": 0, "requests_per_phase": 0}}, dns=dns.address)
    try:
        running.start()
        yield f"127.0.0.1:{running.ports['agent']}"
        running.stop()
    finally:
        dns.close()
        running.remove()


def reachable(at):
    host, port = at.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


@pytest.mark.parametrize("mode, octets", [("connect", 64), ("paced", 64), ("tls", 64), ("hello", None)])
def test_tunnels_are_real(proxy, mode, octets):
    said = load(mode, "--concurrency", "4", *(["--rate", "200"] if mode == "paced" else []),
                host=SECURE if mode in ("tls", "hello") else HOST, proxy=proxy)
    assert said["errors"] == {}
    # Whether one falls into the measured tenth of a second is the machine's business.
    assert 0 < said["operations_in_all"] <= said["origin"]["connections"]
    assert said["operations"] <= said["operations_in_all"]
    latency = said["latency_us"]
    assert 0 <= latency["p50"] <= latency["p99"] <= latency["max"] and (latency["max"] > 0) == (said["operations"] > 0)
    if octets:
        assert said["origin"]["octets"] >= octets * said["operations_in_all"]


@pytest.mark.parametrize("mode, size", [("http", 1024), ("http", 65536), ("http-close", 1024)])
def test_requests_are_real(proxy, mode, size):
    said = load(mode, "--concurrency", "4", "--size", str(size), proxy=proxy)
    assert said["errors"] == {} and said["redials"] == 0
    # One that is under way at the end is the origin's alone.
    assert 0 < said["operations_in_all"] <= said["origin"]["requests"] <= said["operations_in_all"] + 4
    if mode == "http":
        assert said["origin"]["connections"] <= said["operations_in_all"]


@pytest.mark.parametrize("tunnels", [1, 16])
def test_round_trips_are_real(proxy, tunnels):
    said = load("pingpong", "--concurrency", str(tunnels), proxy=proxy)
    assert said["errors"] == {} and said["origin"]["connections"] == tunnels
    assert 0 < 64 * said["operations_in_all"] <= said["origin"]["octets"]


@pytest.mark.parametrize("mode", ["bulk-down", "bulk-up", "bulk-both"])
def test_octets_are_real(proxy, mode):
    said = load(mode, "--concurrency", "2", proxy=proxy)
    assert said["bits_per_second"] > 0 and said["octets_in_all"] > 1 << 20
    assert said["origin"]["connections"] == 2
    up = said["origin"]["octets"]
    assert up == {"bulk-down": 0, "bulk-up": said["octets_in_all"]}.get(mode, up)
    if mode == "bulk-both":
        assert 0 < up < said["octets_in_all"]


def test_refusals_are_real(proxy):
    if proxy is None:
        load("deny", "--denied", DENIED, expect=1)
        return
    said = load("deny", "--denied", DENIED, "--concurrency", "4", proxy=proxy)
    assert said["errors"] == {} and said["operations_in_all"] > 0
    assert said["origin"]["connections"] == 0


def test_a_refusal_is_no_tunnel(proxy):
    """What the proxy lets through is an error of `deny`, and what it refuses one of `connect`."""
    if proxy is None:
        return
    said = load("connect", "--concurrency", "1", "--ports", "80-80", host="denied.corp.example", proxy=proxy)
    assert said["operations_in_all"] == 0 and set(said["errors"]) == {"status 403"}
    assert said["origin"]["connections"] == 0


def test_idle_tunnels_are_real(proxy):
    said = load("idle", "--concurrency", "100", "--seconds", "20", proxy=proxy)
    assert said["errors"] == {} and said["tunnels"] == said["alive"] == said["origin"]["connections"] == 100
    assert said["origin"]["octets"] == 6400


def test_the_runner_writes_page_figures_and_chart(tmp_path):
    probe = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    if os.geteuid() != 0 or probe.returncode != 0:
        pytest.skip("needs namespaces")
    binaries = tmp_path / "binaries"
    binaries.mkdir()
    for path in (LOAD, RELAY):
        (binaries / Path(path).name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-B", ROOT / "bench/run", "--quick", "--peers", "none", "--modes", "connect,deny,bulk-up,direct"],
        capture_output=True, text=True, timeout=60, env=clean_environment(), check=False)
    assert done.returncode == 2 and "no such mode: direct" in done.stderr
    done = subprocess.run(
        [sys.executable, "-B", ROOT / "bench/run", "--peers", "none", "--modes", "connect,deny,bulk-up", "--rounds", "1",
         "--seconds", "0.1", "--exeat", os.environ["EXEAT_BINARY"], "--binaries", binaries, "--out", tmp_path / "out"],
        capture_output=True, text=True, timeout=100, env=clean_environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "out/bench.json").read_text())
    assert set(found["modes"]) == {"connect", "deny", "bulk-up"} and found["absent"] == {}
    for mode, rows in found["modes"].items():
        assert {"exeat", "relay"} <= set(rows), mode
        assert ("direct" in rows) == (mode != "deny")
        assert all(row["errors"] == 0 for row in rows.values())
        assert rows["exeat"]["resident"] > 1 << 20
    page = (tmp_path / "out/bench.md").read_text()
    assert "## Against the bare relay (= 1)" in page and "`bulk-up`" in page
    drawn = ElementTree.parse(tmp_path / "out/bench.svg").getroot()
    assert drawn.tag.endswith("svg") and len(drawn.findall(".//{*}rect")) >= 2
