"""The measurements: interleaved rounds over modes and proxies, idle tunnels, and reloads under load."""
import json
import os
import signal
import subprocess
import threading
import time
import urllib.request

import processes
from modes import BY_NAME, command
from world import HOST, PORTS


def _pinned(cores):
    return {"preexec_fn": lambda: os.sched_setaffinity(0, cores)}


def once(load, mode, proxy, seconds, cores):
    """One run of the load generator: its own answer, with the CPU time and memory of the proxy. None where it failed."""
    root = proxy.process.pid if proxy.process else None
    before = processes.cpu_seconds(root) if root else 0
    line = command(load, mode, proxy, seconds, min(0.2, seconds / 4))
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=seconds + 30, **_pinned(cores), check=False)
    except subprocess.TimeoutExpired:
        return None, "no end"
    if done.returncode != 0:
        return None, done.stderr.strip()
    time.sleep(0.03)  # the proxy closes what the generator has left
    said = json.loads(done.stdout)
    if mode.done(said) <= 0:
        return None, f"nothing done: {said['errors']}"
    said["cpu_seconds"] = processes.cpu_seconds(root) - before if root else None
    said["cpu_each"] = said["cpu_seconds"] / mode.done(said) if root else None
    said["value"] = mode.read(said)
    said["resident"] = processes.resident(root) if root else None
    return said, None


def rounds(load, modes, proxies, seconds, count, cores, until, tell):
    """samples[mode][proxy]: a list with a result for each round. A round that would not end in time is not begun; the first
    one is broken off then."""
    samples = {mode.name: {} for mode in modes}
    lengths = []
    for turn in range(count):
        start = time.monotonic()
        if lengths and start + max(lengths) > until:
            tell(f"no time for round {turn + 1}")
            break
        for mode in modes:
            # Another one begins in each round: no proxy always runs behind the same one.
            order = [proxy for proxy in proxies if mode.name in proxy.modes]
            order = order[turn % len(order):] + order[:turn % len(order)] if order else []
            for proxy in order:
                if time.monotonic() > until:
                    continue
                said, why = once(load, mode, proxy, seconds, cores)
                if said is None:
                    tell(f"  {mode.name} {proxy.name}: {why}")
                    continue
                said["round"] = turn
                samples[mode.name].setdefault(proxy.name, []).append(said)
                wrong = sum(said["errors"].values())
                tell(f"  {turn + 1} {mode.name:12} {proxy.name:14} {said['value']:12.2f} {mode.unit:6}"
                     + (f" cpu {1e6 * said['cpu_each']:10.1f} us" if said["cpu_each"] is not None else "")
                     + (f"  errors {wrong}: {said['errors']}" if wrong else ""))
        lengths.append(time.monotonic() - start)
        if time.monotonic() > until:
            tell(f"out of time in round {turn + 1}: what is missing of it was not measured")
    return samples


def idle(load, proxies, seconds, cores, tell):
    """idle[proxy]: tunnels held, those alive afterwards, and what they made the proxy grow by."""
    found = {}
    for proxy in proxies:
        if not proxy.idle_tunnels:
            continue
        root = proxy.process.pid
        before = processes.resident(root)
        holding = subprocess.Popen(
            [str(load), "idle", "--proxy", f"127.0.0.1:{proxy.port}", "--host", HOST, "--ports", PORTS,
             "--concurrency", str(proxy.idle_tunnels), "--seconds", str(seconds), "--hold"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **_pinned(cores))
        watch = threading.Timer(seconds + 30, holding.kill)
        watch.start()
        try:
            held = holding.stdout.readline().strip() == "held"
            time.sleep(0.5)
            after = processes.resident(root)
            rest = holding.communicate("\n")[0] if held else ""
        finally:
            watch.cancel()
            if holding.poll() is None:
                holding.kill()
            holding.wait()
        if not rest.startswith("{"):
            tell(f"  idle {proxy.name}: failed")
            continue
        said = json.loads(rest)
        found[proxy.name] = {"tunnels": said["tunnels"], "alive": said["alive"], "errors": said["errors"],
                             "before": before, "after": after,
                             "each": (after - before) / said["tunnels"] if said["tunnels"] else None}
        tell(f"  idle {proxy.name:14} {said['tunnels']} tunnels, {said['alive']} alive, "
             f"{found[proxy.name]['each'] or 0:.0f} octets each")
    return found


class Reloader:
    """Swaps the policy each second, for another one of as many rules; counts what the proxy says of it."""

    def __init__(self, proxy):
        self.proxy, self.over = proxy, threading.Event()
        self.texts = [proxy.policy(turn) for turn in (1, 2)]
        self.thread, self.turn = threading.Thread(target=self._run, daemon=True), 0

    def counted(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.proxy.port + 1}/metrics", timeout=30) as answer:
            return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                    for line in answer.read().decode().splitlines() if line.startswith("exeat_reloads_total")}

    def _run(self):
        while not self.over.wait(1 if self.turn else 0.05):
            fresh = self.proxy.folder / "policy.new"
            fresh.write_text(self.texts[self.turn % 2])
            fresh.chmod(0o644)
            os.replace(fresh, self.proxy.folder / "policy.yaml")
            os.kill(self.proxy.process.pid, signal.SIGHUP)
            self.turn += 1

    def __enter__(self):
        self.before = self.counted()
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        for _ in range(50):  # the last one may be under way
            after = self.counted()
            self.reloads = {key: value - self.before.get(key, 0) for key, value in after.items()}
            if sum(self.reloads.values()) >= self.turn:
                break
            time.sleep(0.2)


def reload(load, proxy, seconds, count, cores, tell):
    """Paced connects with and without a reload each second, in turns."""
    found = {"rules": proxy.rules, "still": [], "reloading": [], "reloads": {}}
    for _ in range(count):
        said, why = once(load, BY_NAME["paced"], proxy, seconds, cores)
        if said:
            found["still"].append(said)
        with Reloader(proxy) as reloader:
            under, other = once(load, BY_NAME["paced"], proxy, seconds, cores)
        if under:
            found["reloading"].append(under)
        for key, value in reloader.reloads.items():
            found["reloads"][key] = found["reloads"].get(key, 0) + value
        tell(f"  reload: {why or said['latency_us']} and reloading {other or under['latency_us']}")
    return found
