"""The bench: Exeat beside other proxies, the bare relay and no proxy, in one interleaved run.

    python3 bench/run [--quick] [--modes connect,deny] [--peers squid,apache2] [--seconds 1.5] [--rounds 5] ...

`make bench` builds what it needs and calls it. Writes bench.json, bench.md and bench.svg into --out.
"""
import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import chart  # noqa: E402
import machine  # noqa: E402
import report  # noqa: E402
import rounds  # noqa: E402
import world  # noqa: E402
from modes import TIMED  # noqa: E402
from proxies import ROOT, Exeat, every  # noqa: E402

ALWAYS = ["exeat", "relay", "direct"]


def options():
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__.split("\n", 1)[0])
    parser.add_argument("--quick", action="store_true", help="under four minutes: short, two rounds, few idle tunnels")
    parser.add_argument("--modes", default="", help="of: " + ", ".join(m.name for m in TIMED) + ", idle, reload")
    parser.add_argument("--peers", help="of: squid, trafficserver, tinyproxy, apache2, privoxy, haproxy, or none")
    parser.add_argument("--seconds", type=float, help="each measurement (1.2; --quick: 0.4)")
    parser.add_argument("--rounds", type=int, help="at most (5; --quick: 2)")
    parser.add_argument("--minutes", type=float, help="no round is begun that would end later (22; --quick: 3.5)")
    parser.add_argument("--exeat", default=str(ROOT / "build/bench/exeat"), help="the binary to measure")
    parser.add_argument("--binaries", default=str(ROOT / "build/bench/bench"), help="where `load` and `relay` are")
    parser.add_argument("--out", help="docs/performance; --quick, or not all of it: build/bench-results")
    parser.add_argument("--note", default="", help="a sentence that goes into the report")
    wanted = parser.parse_args()
    whole = not wanted.quick and not wanted.modes and wanted.peers is None
    wanted.out = Path(wanted.out) if wanted.out else ROOT / ("docs/performance" if whole else "build/bench-results")
    wanted.seconds = wanted.seconds or (0.4 if wanted.quick else 1.2)
    wanted.rounds = wanted.rounds or (2 if wanted.quick else 5)
    wanted.minutes = wanted.minutes or (3.5 if wanted.quick else 22)
    known = {mode.name for mode in TIMED} | {"idle", "reload"}
    wanted.modes = wanted.modes.split(",") if wanted.modes else sorted(known)
    if unknown := set(wanted.modes) - known:
        parser.error(f"no such mode: {', '.join(sorted(unknown))}")
    return parser, wanted


def tell(line):
    print(line, flush=True)


def choose(parser, wanted):
    found = every(Path(wanted.exeat).resolve(), Path(wanted.binaries).resolve())
    if wanted.peers is None:
        return list(found.values())
    peers = [] if wanted.peers == "none" else wanted.peers.split(",")
    if unknown := set(peers) - set(found):
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    return [proxy for name, proxy in found.items() if name in ALWAYS or name in peers]


def measure(wanted, proxies, folder, began):
    proxy_cores, load_cores = world.cores()
    os.sched_setaffinity(0, load_cores)
    load = Path(wanted.binaries).resolve() / "load"
    until = began + 60 * wanted.minutes
    result = {"machine": machine.describe(proxy_cores, load_cores), "note": wanted.note, "seconds": wanted.seconds,
              "absent": {}, "samples": {}, "idle": {}, "reload": None, "at_rest": {}}
    running = []
    try:
        for proxy in proxies:
            why = proxy.start(folder, proxy_cores)
            if why:
                result["absent"][proxy.name] = why
                tell(f"without {proxy.name}: {why}")
                if proxy.name in ALWAYS:
                    sys.exit(f"bench: {proxy.name} is needed")
            else:
                running.append(proxy)
        result["versions"] = {proxy.name: machine.version(proxy) for proxy in running}
        for proxy in running:
            if proxy.process:
                result["at_rest"][proxy.name] = rounds.processes.resident(proxy.process.pid)
        if "idle" in wanted.modes:
            # First of all: memory that was once used for something else would hide what a tunnel needs.
            if wanted.quick:
                for proxy in running:
                    proxy.idle_tunnels = min(proxy.idle_tunnels, 1000)
            result["idle"] = rounds.idle(load, running, 8 if wanted.quick else 20, load_cores, tell)
        if "reload" in wanted.modes:
            large = Exeat(Path(wanted.exeat).resolve(), 3180, rules=100_000, name="exeat-100000")
            why = large.start(folder, proxy_cores)
            if why:
                sys.exit(f"bench: {large.name}: {why}")
            running.append(large)
            result["reload"] = rounds.reload(load, large, 3 if wanted.quick else 6, 1 if wanted.quick else 4, load_cores, tell)
            running.remove(large)
            large.stop()
        timed = [mode for mode in TIMED if mode.name in wanted.modes]
        result["samples"] = rounds.rounds(load, timed, running, wanted.seconds, wanted.rounds, load_cores, until, tell)
    finally:
        for proxy in running:
            proxy.stop()
    return result


def main():
    parser, wanted = options()
    proxies = choose(parser, wanted)
    for binary in (wanted.exeat, wanted.binaries + "/load", wanted.binaries + "/relay"):
        if not os.access(binary, os.X_OK):
            sys.exit(f"bench: no {binary}: make bench builds it")
    world.enter()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # for all that start here
    began = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="exeat-bench-"))
    folder.chmod(0o755)
    try:
        world.furnish(folder)
        result = measure(wanted, proxies, folder, began)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    result["minutes"] = round((time.monotonic() - began) / 60, 1)
    wanted.out.mkdir(parents=True, exist_ok=True)
    summary = report.summarise(result)
    (wanted.out / "bench.json").write_text(json.dumps(summary, indent=1) + "\n")
    (wanted.out / "bench.md").write_text(report.markdown(summary))
    if picture := chart.draw(summary):
        (wanted.out / "bench.svg").write_text(picture)
    tell(f"{wanted.out}: bench.md, bench.json, bench.svg after {result['minutes']} minutes")


if __name__ == "__main__":
    main()
