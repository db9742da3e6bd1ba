"""The proxies: how each is configured and started. All listen on 127.0.0.1, in the namespace of the bench."""
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from world import HOST, PORTS, SECURE, SECURE_PORTS, ports_of

ROOT = Path(__file__).resolve().parent.parent.parent
PEERS = ROOT / "bench/peers"
ALL = {"connect", "tls", "hello", "paced", "deny", "http-1k", "http-64k", "http-close", "pingpong", "pingpong-64",
       "bulk-down", "bulk-up", "bulk-both", "idle"}


class Proxy:
    """A proxy that runs, or (`port` 0) no proxy at all."""

    def __init__(self, name, modes, port, idle_tunnels=0):
        self.name, self.modes, self.port, self.idle_tunnels = name, modes, port, idle_tunnels
        self.process, self.folder = None, None

    def command(self):
        raise NotImplementedError

    def start(self, folder, cores):
        """Returns why it did not start, or None."""
        self.folder = Path(folder) / self.name
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        self.folder.chmod(0o777)
        command = self.command()
        if shutil.which(command[0]) is None:
            return f"{command[0]} is not installed"
        with open(self.folder / "output", "wb") as output:
            self.process = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                preexec_fn=lambda: os.sched_setaffinity(0, cores), env=self.environment())
        for _ in range(300):
            if self.process.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    time.sleep(0.5)  # for those whose workers come one by one
                    return None
            time.sleep(0.1)
        said = (self.folder / "output").read_text(errors="replace")[-600:]
        self.stop()
        return f"does not listen: {said}"

    def environment(self):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

    def stop(self):
        """The whole session, for some of them are several processes."""
        if self.process is None:
            return
        for number, patience in ((signal.SIGTERM, 3), (signal.SIGKILL, 5)):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass
            try:
                self.process.wait(patience)
                break
            except subprocess.TimeoutExpired:
                continue
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process = None


class Direct(Proxy):
    def __init__(self):
        super().__init__("direct", ALL - {"deny", "idle"}, 0)

    def start(self, folder, cores):
        return None


class Relay(Proxy):
    def __init__(self, binaries, port):
        super().__init__("relay", ALL, port, 9500)
        self.binary = binaries / "relay"

    def command(self):
        return [str(self.binary), f"127.0.0.1:{self.port}", "2"]


class Exeat(Proxy):
    """Log, metrics and sandbox on. The limits that would refuse the load are raised, not removed from the path."""

    def __init__(self, binary, port, rules=1000, name="exeat"):
        super().__init__(name, ALL, port, 9500)
        self.binary, self.rules = binary, rules

    def policy(self, turn=0):
        """A policy of `rules` rules; another one for each `turn`. JSON is YAML."""
        allow = [{"host": f"h{i}-{turn}.filler.example", "reason": "filler"} for i in range(self.rules - 2)]
        allow += [{"host": HOST, "ports": [PORTS], "tls": "any"}, {"host": SECURE, "ports": [SECURE_PORTS]}]
        return json.dumps({"version": 1, "phases": {"agent": {"allow": allow}},
                           "addresses": [{"cidr": "127.0.0.1/32", "hosts": [HOST, SECURE], "reason": "bench"}]})

    def settings(self):
        many = 1_000_000
        return {
            "version": 1, "policy": "policy.yaml", "workers": 2,
            "listeners": [{"address": f"127.0.0.1:{self.port}", "phase": "agent"}],
            "admin": {"address": f"127.0.0.1:{self.port + 1}"},
            "control": {"unix": str(self.folder / "control.sock")},
            "log": {"file": "exeat.log", "format": "json"},
            "limits": {"connections": 20000, "connections_per_client": many, "connections_per_phase": many,
                       "connections_per_job": many, "requests_per_client": 10 * many,
                       "requests_per_phase": 10 * many, "requests_per_job": 10 * many}}

    def command(self):
        (self.folder / "policy.yaml").write_text(self.policy())
        (self.folder / "exeat.yaml").write_text(json.dumps(self.settings()))
        for file in ("policy.yaml", "exeat.yaml"):
            (self.folder / file).chmod(0o644)
        self.folder.chmod(0o755)
        return [str(self.binary), "serve", "--config", str(self.folder / "exeat.yaml")]


class Peer(Proxy):
    """One of Debian's, by its files in bench/peers with @NAMES@ filled in."""

    def __init__(self, name, modes, port, user, files, command, idle_tunnels=0):
        super().__init__(name, modes, port, idle_tunnels)
        self.user, self.files, self.line = user, files, command

    def command(self):
        ports = [*ports_of(PORTS), *ports_of(SECURE_PORTS)]
        known = {"PORT": str(self.port), "FOLDER": str(self.folder), "USER": self.user,
                 "PORTS": " ".join(map(str, ports)),
                 "CONNECT_PORTS": "\n".join(f"ConnectPort {port}" for port in ports)}
        try:
            known["GROUP"] = subprocess.run(["id", "-gn", self.user], capture_output=True, text=True,
                                            check=False).stdout.strip()
            pwd.getpwnam(self.user)
        except KeyError:
            return [f"{self.name} (no user {self.user})"]
        for file in self.files:
            text = (PEERS / file).read_text()
            for key, value in known.items():
                text = text.replace(f"@{key}@", value)
            (self.folder / Path(file).name).write_text(text)
        return [part.replace("@FOLDER@", str(self.folder)) for part in self.line]

    def environment(self):
        return {**super().environment(), "TS_RUNROOT": str(self.folder / "runroot.yaml")}


def every(exeat, binaries):
    """All proxies that there are, by name; each with ports of its own."""
    traffic = [f"trafficserver/{file}" for file in
               ("records.config", "logging.yaml", "ip_allow.yaml", "runroot.yaml", "storage.config")]
    return {proxy.name: proxy for proxy in (
        Exeat(exeat, 3100), Relay(binaries, 3110), Direct(),
        Peer("squid", ALL, 3120, "proxy", ["squid.conf"],
             ["squid", "--foreground", "-f", "@FOLDER@/squid.conf"], 9500),
        Peer("trafficserver", ALL, 3130, "trafficserver", traffic, ["traffic_server"], 9000),
        Peer("tinyproxy", ALL, 3140, "tinyproxy", ["tinyproxy.conf", "tinyproxy.filter"],
             ["tinyproxy", "-d", "-c", "@FOLDER@/tinyproxy.conf"], 9500),
        Peer("apache2", ALL, 3150, "www-data", ["apache2.conf"],
             ["apache2", "-DFOREGROUND", "-f", "@FOLDER@/apache2.conf"], 900),
        Peer("privoxy", ALL, 3160, "privoxy", ["privoxy.conf", "privoxy.action"],
             ["privoxy", "--no-daemon", "--user", "privoxy", "@FOLDER@/privoxy.conf"], 9500),
        Peer("haproxy", {"http-1k", "http-64k", "http-close", "deny"}, 3170, "haproxy", ["haproxy.conf"],
             ["haproxy", "-db", "-f", "@FOLDER@/haproxy.conf"]))}
