#!/usr/bin/env python3
"""How long `exeat phase advance` takes to cut the live tunnels of a phase: a figure, no verdict.

    bench/seal/seal.py BINARY [TUNNELS]        default 9,500, what 20,000 descriptors allow

Opens the tunnels to an origin on loopback, advances, and waits until the last one is seen to be closed. Ends by itself.
"""
import os
import resource
import select
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))


def accept_all(listening, kept):
    while True:
        try:
            kept.append(listening.accept()[0])
        except OSError:
            return


def main():
    binary = os.path.abspath(sys.argv[1])
    wanted = int(sys.argv[2]) if len(sys.argv) > 2 else 9500
    os.environ["EXEAT_BINARY"] = binary
    from harness.dns import DnsServer
    from harness.proxy import Exeat, loopback, policy_of, run_exeat

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 2 * wanted + 200:
        sys.exit(f"needs {2 * wanted + 200} descriptors, may open {hard}")

    # The kernel's ports run out towards one address: several origins.
    origins, kept = [], []
    for _ in range(4):
        listening = socket.create_server(("127.0.0.1", 0), backlog=4096)
        origins.append(listening)
        threading.Thread(target=accept_all, args=(listening, kept), daemon=True).start()
    ports = [o.getsockname()[1] for o in origins]
    rule = {"host": "origin.corp.example", "ports": ports, "tls": "any"}
    dns = DnsServer({"origin.corp.example": ["127.0.0.1"]})
    with tempfile.TemporaryDirectory() as folder:
        state = Path(folder) / "state"
        assert run_exeat("state", "init", state).returncode == 0
        proxy = Exeat(policy_of(setup=[rule], agent=[], addresses=[loopback()]),
                      {"job": {"phases": ["setup", {"parallel": ["agent", "mcp"]}], "state_dir": str(state)},
                       "limits": {"connections": 10000, "connections_per_client": 0,
                                  "connections_per_phase": 0, "connections_per_job": 0, "requests_per_client": 0,
                                  "requests_per_phase": 0, "requests_per_job": 0},
                       "workers": 2}, dns=dns.address)
        proxy.start()
        try:
            clients = []
            start = time.monotonic()
            for i in range(wanted):
                target = f"origin.corp.example:{ports[i % len(ports)]}"
                client = socket.create_connection(("127.0.0.1", proxy.ports["setup"]))
                client.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
                assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
                clients.append(client)
            opened = time.monotonic() - start
            poll = select.epoll()
            for client in clients:
                poll.register(client, select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR)
            start = time.monotonic()
            said = []

            def advance():
                done = run_exeat("phase", "advance", "--control", proxy.control)
                said.append((time.monotonic() - start, done))

            caller = threading.Thread(target=advance)
            caller.start()
            left = {client.fileno() for client in clients}
            until = start + 60
            while left and time.monotonic() < until:
                for fd, _ in poll.poll(1):
                    poll.unregister(fd)
                    left.discard(fd)
            cut = time.monotonic() - start
            caller.join()
            took, done = said[0]
            assert done.returncode == 0, done.stderr
            print(f"tunnels {wanted}  opened in {opened:.1f} s  last one closed after {cut * 1000:.0f} ms  "
                  f"`exeat phase advance` back after {took * 1000:.0f} ms  left {len(left)}  "
                  f"lines lost {proxy.metric('exeat_log_lines_dropped_total'):.0f}")
            # A process that does nothing, for comparison: what starting the command costs.
            start = time.monotonic()
            run_exeat("version")
            print(f"starting a command takes {(time.monotonic() - start) * 1000:.0f} ms of it")
        finally:
            for client in clients:
                client.close()
            proxy.stop()
            proxy.remove()
            dns.close()


if __name__ == "__main__":
    main()
