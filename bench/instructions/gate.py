#!/usr/bin/env python3
"""How many instructions an operation costs Exeat, counted by valgrind: the same on a busy machine as on a quiet one, where
time is not (within one per cent from run to run). Fails where one costs over 15 per cent more than bench/instructions/expected.json says.

    EXEAT_BINARY=... EXEAT_LOAD=... bench/instructions/gate.py [--update]

Counts what runs in the process, not what the kernel does for it. One worker; sandbox off (valgrind makes system calls of
its own) and without the helper that names processes (another process). A connect is a CONNECT, 64 octets there and back
and the close; policy of 1,000 rules, log and metrics on.
"""
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
EXPECTED = Path(__file__).with_name("expected.json")
OPERATIONS, TOLERANCE = 400, 1.15
HOST = "origin.corp.example"
MODES = {"connect": ["connect"], "deny": ["deny", "--denied", "denied.corp.example:443"],
         "http": ["http", "--size", "1024"], "http-close": ["http-close", "--size", "1024"]}


def settings():
    many = 1_000_000
    return {"workers": 1, "sandbox": "off", "log": {"process": False, "blocked": None},
            "limits": {"connections_per_client": many, "connections_per_phase": many, "connections_per_job": many,
                       "requests_per_client": 0}}


def policy(policy_of, loopback):
    fill = [{"host": f"h{i}.filler.example"} for i in range(999)]
    return policy_of(agent=[*fill, {"host": HOST, "ports": "any", "tls": "any"}], addresses=[loopback()])


def load(proxy, arguments, operations):
    done = subprocess.run(
        [os.environ["EXEAT_LOAD"], *arguments, "--proxy", f"127.0.0.1:{proxy.ports['agent']}", "--host", HOST,
         "--operations", str(operations), "--concurrency", "1"],
        capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["errors"] == {} and said["operations_in_all"] == operations, said


def dumped(proxy, folder):
    """Instructions since the last dump."""
    before = set(folder.iterdir())
    done = subprocess.run(["callgrind_control", "--dump", str(proxy.process.pid)], capture_output=True, text=True,
                          timeout=60, check=False)
    fresh = [path for path in folder.iterdir() if path not in before]
    assert done.returncode == 0 and fresh, done.stdout + done.stderr
    return sum(int(re.search(r"^totals: (\d+)", path.read_text(), re.M)[1]) for path in fresh)


def count():
    from harness.dns import DnsServer
    from harness.proxy import Exeat, loopback, policy_of
    dns = DnsServer({HOST: ["127.0.0.1"]})
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        proxy = Exeat(policy(policy_of, loopback), settings(), dns=dns.address,
                      wrapper=["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={folder}/counted"])
        try:
            proxy.start()
            for arguments in MODES.values():
                load(proxy, arguments, 20)  # what is done once is done
            dumped(proxy, folder)
            found = {}
            for mode, arguments in MODES.items():
                load(proxy, arguments, OPERATIONS)
                found[mode] = dumped(proxy, folder) // OPERATIONS
            proxy.stop()
            return found
        finally:
            if proxy.process is not None:
                proxy.process.kill()
            proxy.remove()
            dns.close()


def main():
    found = count()
    if "--update" in sys.argv[1:]:
        EXPECTED.write_text(json.dumps(found, indent=1) + "\n")
    expected = json.loads(EXPECTED.read_text())
    worse = [mode for mode, instructions in found.items() if instructions > TOLERANCE * expected[mode]]
    for mode, instructions in found.items():
        print(f"{mode:12} {instructions:9,} instructions, {instructions / expected[mode]:.2f} of what is expected")
    if worse:
        sys.exit(f"{', '.join(worse)}: more than {TOLERANCE} of what is expected. Where that is what it must cost, run "
                 "bench/instructions/gate.py --update, and say why in the commit.")


if __name__ == "__main__":
    main()
