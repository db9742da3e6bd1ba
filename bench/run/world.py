"""The world in which is measured: a network and a mount namespace of our own."""
import os
import subprocess
import sys
from pathlib import Path

HOST, SECURE, DENIED = "origin.bench.example", "secure.bench.example", "denied.bench.example:443"
# Below the range of local ports, so that no connection of the proxies takes one of them.
PORTS, SECURE_PORTS = "10000-10015", "11000-11015"
INSIDE = "EXEAT_BENCH_INSIDE"


def ports_of(span):
    first, last = map(int, span.split("-"))
    return range(first, last + 1)


def enter():
    """Starts this program again in namespaces of its own, unless it is there already. As an ordinary user it needs user
    namespaces; peers that change their uid then do not start."""
    if os.environ.get(INSIDE):
        return
    wanted = ["--net", "--mount"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net", "--mount"]
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", *wanted, "--", sys.executable, *sys.orig_argv[1:]])


def furnish(folder):
    """Loopback up; reno, for bbr (the default of some) paces bulk on loopback; /etc/hosts with the origin's names."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for name, value in (("tcp_congestion_control", "reno"), ("ip_local_port_range", "16384 65000")):
        Path("/proc/sys/net/ipv4", name).write_text(value)
    hosts = Path(folder, "hosts")
    hosts.write_text(f"127.0.0.1 localhost\n127.0.0.1 {HOST} {SECURE}\n127.0.0.99 {DENIED.split(':')[0]}\n")
    hosts.chmod(0o644)
    subprocess.run(["mount", "--bind", hosts, "/etc/hosts"], check=True)


def cores():
    """Cores for the proxy, and for the load: apart, for that has the smallest spread. The proxies have two workers, and
    two cores where there are four."""
    have = sorted(os.sched_getaffinity(0))
    if len(have) == 1:
        return have, have
    return (have[:2], have[2:3]) if len(have) >= 4 else (have[:1], have[1:2])
