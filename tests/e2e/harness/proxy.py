"""Starts the real binary, and asserts that it ended well."""
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import urllib.request
from pathlib import Path

from . import schema
from .client import Client, eventually

BINARY = os.environ.get("EXEAT_BINARY", "build/release/exeat")
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer: detected")
PROXY_VARIABLES = re.compile(r"^(https?|all|no|ftp|npm_config_(https_)?)_?proxy$", re.I)


def clean_environment(**more):
    """The environment without any proxy that the machine may have set, and without its place for a review store."""
    kept = {name: value for name, value in os.environ.items()
            if not PROXY_VARIABLES.match(name) and name not in ("STATE_DIRECTORY", "XDG_STATE_HOME")}
    return {**kept, **more}


def free_port():
    """A port below the kernel's ephemeral range, so that no outgoing connection takes it meanwhile."""
    while True:
        port = random.randint(10000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def policy_of(agent=(), setup=(), deny=(), addresses=(), phases=None, mcp=()):
    """A policy as a value; JSON is YAML."""
    return {
        "version": 1,
        "phases": {"setup": {"untrusted": False, "allow": list(setup)}, "agent": {"allow": list(agent)},
                   "mcp": {"allow": list(mcp)}, **(phases or {})},
        **({"deny": list(deny)} if deny else {}),
        **({"addresses": list(addresses)} if addresses else {}),
    }


def loopback(*hosts, cidr="127.0.0.1/32", **more):
    """The `addresses` entry that lets test origins on loopback pass."""
    return {"cidr": cidr, "hosts": list(hosts) or ["**.corp.example"], "reason": "test origin", **more}


class Exeat:
    """One running `exeat serve`. `settings` is merged over the test's defaults, key by key of the top level;
    `wrapper` is a command that runs the one behind it."""

    def __init__(self, policy, settings=None, arguments=(), environment=None, dns=None, wrapper=()):
        self.folder = Path(tempfile.mkdtemp(prefix="exeat-"))
        self.policy_file = self.folder / "policy.yaml"
        self.config_file = self.folder / "exeat.yaml"
        self.log_file = self.folder / "exeat.log"
        self.blocked_file = self.folder / "blocked.log"
        self.control = str(self.folder / "control.sock")
        self.write_policy(policy)
        self._wanted, self._arguments = settings or {}, list(arguments)
        self._environment, self._dns, self._wrapper = environment or {}, dns, list(wrapper)
        self.process, self.output, self.ports = None, [], {}

    def write_policy(self, policy):
        text = policy if isinstance(policy, str) else json.dumps(policy, indent=1)
        fresh = self.policy_file.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.policy_file)

    def _write_settings(self):
        wanted = set()
        while len(wanted) < 4:
            wanted.add(free_port())
        self.ports = dict(zip(("setup", "agent", "mcp", "admin"), wanted))
        settings = {
            "version": 1,
            "policy": "policy.yaml",
            "listeners": [{"address": f"127.0.0.1:{self.ports[p]}", "phase": p} for p in ("setup", "agent", "mcp")],
            "admin": {"address": f"127.0.0.1:{self.ports['admin']}"},
            "control": {"unix": self.control},
            "log": {"file": "exeat.log", "blocked": "blocked.log", "format": "json"},
            "dns": {"servers": [self._dns or "127.0.0.1:1"], "hosts_file": False},
            "workers": 2,
            "drain_timeout": "5s",
        }
        for key, value in self._wanted.items():
            if value is None:
                settings.pop(key, None)
            elif isinstance(value, dict) and isinstance(settings.get(key), dict):
                settings[key] = {k: v for k, v in {**settings[key], **value}.items() if v is not None}
            else:
                settings[key] = value
        settings["listeners"] += self._wanted.get("more_listeners", [])
        settings.pop("more_listeners", None)
        # Sources of identity by the phase of the listener.
        for listener in settings["listeners"]:
            if sources := settings.get("identity", {}).get(listener.get("phase")):
                listener["identity"] = sources
        settings.pop("identity", None)
        self.config_file.write_text(json.dumps(settings, indent=1))

    def start(self):
        for _ in range(5):  # a port that was free may be taken by now
            self._write_settings()
            self.output = []
            self.process = self._spawn()
            if eventually(lambda: self.process.poll() is not None or self.is_up(), 60) and self.process.poll() is None:
                self._check_schemas()
                return self
            if self.process.poll() is None:
                self.process.kill()
                raise AssertionError("no ready line:\n" + self.text())
            self._reader.join()
            if "already" not in self.text() and "taken twice" not in self.text():
                break
        raise AssertionError(f"ended with {self.process.returncode}:\n{self.text()}")

    def _check_schemas(self):
        """What the loader has just accepted, the schemas accept."""
        for name, path in (("policy", self.policy_file), ("exeat", self.config_file)):
            if path.stat().st_size < 50_000:  # more takes PyYAML seconds
                assert schema.faults(name, path.read_text()) == [], path.read_text()

    def _spawn(self):
        process = subprocess.Popen(
            [*self._wrapper, os.path.abspath(BINARY), "serve", "--config", str(self.config_file), *self._arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            env=clean_environment(**self._environment))
        self._reader = threading.Thread(target=self._read, args=(process.stdout, self.output), daemon=True)
        self._reader.start()
        return process

    @staticmethod
    def _read(pipe, lines):
        for line in pipe:
            lines.append(line)

    def text(self):
        return "".join(self.output)

    def is_up(self):
        return "ready\n" in self.output

    # Talking to it ---------------------------------------------------------------------------------------------

    def client(self, phase="agent", timeout=60, uid=None):
        return Client(("127.0.0.1", self.ports[phase]), timeout, uid)

    def url(self, phase="agent"):
        return f"http://127.0.0.1:{self.ports[phase]}"

    def admin(self, path, method="GET", headers=None):
        """Status and text of a request to the admin listener."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['admin']}{path}", method=method,
                                         headers=headers or {})
        try:
            with opener.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metrics(self):
        status, text = self.admin("/metrics")
        assert status == 200
        return text

    def metric(self, name, **labels):
        """The sum of a metric's samples that carry the labels."""
        total = 0.0
        for line in self.metrics().splitlines():
            match = re.fullmatch(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if match and match[1] == name:
                have = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
                if all(have.get(key) == value for key, value in labels.items()):
                    total += float(match[3])
        return total

    # What it said ----------------------------------------------------------------------------------------------

    def log(self, **fields):
        """The log's records that carry these fields."""
        if not self.log_file.exists():
            return []
        text = self.log_file.read_text()
        records = [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]
        return [r for r in records if all(r.get(key) == value for key, value in fields.items())]

    def logged(self, **fields):
        """Waits for a record with these fields; the first such."""
        found = eventually(lambda: self.log(**fields))
        assert found, f"no log record with {fields} among:\n" + "\n".join(map(str, self.log()[-20:]))
        return found[0]

    def rss(self):
        """Resident octets now."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        return 0

    # Signals and the end ---------------------------------------------------------------------------------------

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, policy=None):
        """SIGHUP with a new policy; returns once the reload is counted, whatever its outcome."""
        if policy is not None:
            self.write_policy(policy)
        before = self.metric("exeat_reloads_total")
        self.signal(signal.SIGHUP)
        assert eventually(lambda: self.metric("exeat_reloads_total") > before), "the reload was not counted"

    def crash(self):
        """SIGKILL, as it comes; restart() brings the process back with the same files and ports."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert not SANITIZER.search(self.text()), self.text()

    def restart(self):
        self.output = []
        self.process = self._spawn()
        assert eventually(lambda: self.process.poll() is not None or self.is_up(), 60)
        assert self.process.poll() is None, self.text()

    def wait(self, seconds=90):
        code = self.process.wait(seconds)
        self._reader.join()
        return code

    def stop(self):
        """SIGTERM; asserts exit status 0 and that no sanitizer spoke."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError("does not end on SIGTERM:\n" + self.text()) from None
        text = self.text()
        self.process = None
        assert not SANITIZER.search(text), text
        assert code == 0, f"exit status {code}:\n{text}"

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def run_exeat(*arguments, timeout=60, input=None, **environment):
    """One of the other subcommands, to its end."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=timeout, input=input,
                          env=clean_environment(**environment), check=False)
    assert not SANITIZER.search(done.stderr), done.stderr
    return done
