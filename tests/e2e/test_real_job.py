"""A real job from its first package to its last attempt: setup installs by npm as one user, the agent runs as another
and tries every way back to what setup had."""
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.proxy import BINARY, clean_environment, free_port, policy_of, run_exeat
from test_registries import exceptions_for, registry, rule  # noqa: F401

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="plays several users")

SETUP, AGENT = 20001, 20002
PEERS = {"peer": [{"uid": SETUP, "phase": "setup"}, {"uid": AGENT, "phase": "agent"}]}
TOKEN = "exeat_t_" + "s" * 43


def run_as(uid, *command, home, timeout=300, **environment):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=timeout, check=False,
                          cwd=home, user=uid, group=uid, extra_groups=[],
                          env=clean_environment(HOME=str(home), **environment))


@pytest.fixture
def homes():
    """A home for each user, where both can find their way."""
    top = Path(tempfile.mkdtemp(prefix="exeat-homes-"))
    top.chmod(0o755)
    out = {}
    for uid in (SETUP, AGENT):
        out[uid] = top / str(uid)
        out[uid].mkdir(mode=0o700)
        npmrc = Path(os.path.expanduser("~/.npmrc"))
        if npmrc.exists():
            shutil.copy(npmrc, out[uid] / ".npmrc")
            os.chown(out[uid] / ".npmrc", uid, uid)
        os.chown(out[uid], uid, uid)
    yield out
    shutil.rmtree(top)


def install(uid, home, proxy_url, registry):  # noqa: F811
    project = home / "project"
    project.mkdir(exist_ok=True)
    (project / "package.json").write_text(json.dumps({"name": "t", "version": "1.0.0", "private": True}))
    for path in (project, project / "package.json"):
        os.chown(path, uid, uid)
    done = run_as(uid, "npm", "install", "is-number@7.0.0", "--no-audit", "--no-fund", "--fetch-retries=0",
                  f"--registry={registry.geturl()}", home=project, HTTPS_PROXY=proxy_url, HTTP_PROXY=proxy_url)
    return done, (project / "node_modules/is-number/package.json").exists()


def test_a_job(exeat, homes, registry, tmp_path):  # noqa: F811
    if run_as(SETUP, "npm", "config", "get", "registry", home=homes[SETUP]).returncode != 0:
        pytest.skip("another user than root cannot run npm on this machine")
    state = tmp_path / "state"
    assert run_exeat("state", "init", state).returncode == 0
    token_port = free_port()
    port = registry.port or (443 if registry.scheme == "https" else 80)
    target = f"{registry.hostname}:{port}"
    proxy = exeat(
        policy_of(setup=[rule(registry.hostname, port)], agent=[{"host": "model.corp.example"}],
                  addresses=exceptions_for([registry.hostname])),
        {"dns": None,
         "identity": {phase: ["listener", PEERS] for phase in ("setup", "agent")},
         "more_listeners": [{"address": f"127.0.0.1:{token_port}", "identity": [
             {"credential": {"tokens": [{"sha256": hashlib.sha256(TOKEN.encode()).hexdigest(), "phase": "setup"}]}}]}],
         "job": {"phases": ["setup", {"parallel": ["agent", "mcp"]}], "state_dir": str(state)}})
    os.chmod(proxy.folder, 0o755)  # the socket's own mode is what keeps the agent out

    # Setup: a package, and a tunnel that it leaves open for whoever comes.
    done, installed = install(SETUP, homes[SETUP], proxy.url("setup"), registry)
    assert done.returncode == 0 and installed, done.stderr
    left_open = proxy.client("setup", uid=SETUP)
    assert left_open.connect(target).status == 200
    token_url = f"http://setup:{TOKEN}@127.0.0.1:{token_port}"

    def curl(uid, url):
        """How a request for the registry ends, as the log has it."""
        done = run_as(uid, "curl", "-sS", "--max-time", "30", "-o", "/dev/null", "-w", "%{local_port}", "-x", url,
                      registry.geturl(), home=homes[uid])
        return proxy.logged(event="decision", client=f"127.0.0.1:{done.stdout}")["reason"]

    assert curl(AGENT, token_url) == "allowed"  # as long as setup lasts, its token is its phase

    # The agent does not wait for its turn.
    assert curl(AGENT, proxy.url("setup")) == "identity-conflict"
    assert curl(AGENT, proxy.url("agent")) == "no-rule"

    advanced = run_exeat("phase", "advance", "--control", proxy.control)
    assert advanced.returncode == 0, advanced.stderr

    # Setup's port, setup's token, a process that setup left running, the agent's own port.
    assert curl(AGENT, proxy.url("setup")) == "identity-conflict"
    assert curl(AGENT, token_url) == "phase-sealed"
    assert curl(SETUP, proxy.url("setup")) == "phase-sealed"
    assert curl(AGENT, proxy.url("agent")) == "no-rule"
    done, installed = install(AGENT, homes[AGENT], proxy.url("agent"), registry)
    assert done.returncode != 0 and not installed
    # The tunnel that it inherits.
    script = "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.settimeout(10); s.sendall(b'\\x16'); " \
             "print(s.recv(1))"
    heir = subprocess.run([sys.executable, "-c", script, str(left_open.sock.fileno())], capture_output=True, text=True,
                          pass_fds=[left_open.sock.fileno()], user=AGENT, group=AGENT, extra_groups=[], check=False)
    assert heir.returncode != 0 or heir.stdout.strip() == "b''", heir.stdout
    assert proxy.logged(event="close", reason="phase-sealed", phase="setup")
    # The control socket, for the next job, for the last one, for another policy.
    for words in (("job", "new"), ("phase", "advance", "--to", "setup"), ("phase", "status"), ("job", "close", "x")):
        done = run_as(AGENT, BINARY, *words, "--control", proxy.control, home=homes[AGENT])
        assert done.returncode != 0, done.stdout
    # A crash of the proxy (the agent may flood it, or fill the machine).
    proxy.crash()
    proxy.restart()
    assert curl(SETUP, proxy.url("setup")) == "phase-sealed"
    assert curl(AGENT, token_url) == "phase-sealed"
    sealed = proxy.logged(reason="phase-sealed", event="decision")
    assert sealed["phase"] == "setup" and sealed["host"] == registry.hostname
