"""A real job: its phases by uid, the ratchet, and every way in which the agent tries to get back what setup had."""
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from harness.client import Client, client_hello, eventually, fs_uid
from harness.origin import echo, http_handler, response
from harness.proxy import BINARY, clean_environment, loopback, policy_of, run_exeat

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="plays several users")

HOST = "origin.corp.example"
OTHER = "other.corp.example"
SETUP, AGENT, MCP, STRANGER = 20001, 20002, 20003, 20004
PEERS = [{"uid": SETUP, "phase": "setup"}, {"uid": AGENT, "phase": "agent"}, {"uid": MCP, "phase": "mcp"}]
BY_UID = {phase: ["listener", {"peer": PEERS}] for phase in ("setup", "agent", "mcp")}
PHASES = ["setup", {"parallel": ["agent", "mcp"]}]


def policy(port, agent_port=None):
    return policy_of(setup=[{"host": HOST, "ports": [port], "tls": "any"}],
                     agent=[{"host": OTHER, "ports": [agent_port or port], "tls": "any"}],
                     mcp=[{"host": OTHER, "ports": [agent_port or port], "tls": "any"}],
                     addresses=[loopback()])


@pytest.fixture
def state(tmp_path):
    done = run_exeat("state", "init", tmp_path / "state")
    assert done.returncode == 0, done.stderr
    return tmp_path / "state"


@pytest.fixture
def job(exeat, state):
    """job(policy, settings=None): a proxy that knows phases by uid and serves one declared job."""
    def make(rules, **settings):
        return exeat(rules, {"identity": BY_UID, "job": {"phases": PHASES, "state_dir": str(state)}, **settings})
    return make


def tunnel(proxy, phase, uid, port, host=HOST):
    client = proxy.client(phase, uid=uid)
    answer = client.connect(f"{host}:{port}")
    return client, answer


def status(proxy, phase, uid, port, host=HOST):
    client, answer = tunnel(proxy, phase, uid, port, host)
    client.close()
    return answer.status, answer.reason.removeprefix("egress-denied ")


def advance(proxy, *more, user=None):
    return run_exeat("phase", "advance", "--control", proxy.control, *more)


def was_cut(client):
    try:
        while client.recv():
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


def test_each_uid_has_its_phase_and_no_other(job, origin):
    server = origin(echo)
    proxy = job(policy(server.port))
    assert status(proxy, "setup", SETUP, server.port)[0] == 200
    assert status(proxy, "agent", AGENT, server.port, OTHER)[0] == 200
    # Another phase's listener does not make it that phase.
    assert status(proxy, "setup", AGENT, server.port) == (403, "identity-conflict")
    assert status(proxy, "agent", SETUP, server.port, OTHER) == (403, "identity-conflict")
    # A uid that nobody has mapped, and the proxy's own.
    assert status(proxy, "setup", STRANGER, server.port) == (403, "identity-silent")
    assert status(proxy, "setup", 0, server.port) == (403, "own-uid")
    record = proxy.logged(reason="identity-conflict")
    assert record["uid"] in (SETUP, AGENT) and record["host"] in (HOST, OTHER)
    assert "phase" not in record  # nobody knows which
    assert proxy.metric("exeat_decisions_total", phase="(none)", reason="identity-conflict") == 2


def test_a_refused_identity_says_nothing_of_any_phase(job, origin):
    server = origin(echo)
    proxy = job(policy(server.port))
    client, answer = tunnel(proxy, "setup", STRANGER, server.port)
    with client:
        text = answer.body.decode()
        assert "identity-silent" in text
        assert "setup" not in text and "agent" not in text and "allow:" not in text


def test_a_request_that_is_sent_and_left_behind_is_nobodys(job, origin):
    """The kernel gives the socket of a client that has gone as uid 0: never a verdict for root."""
    server = origin(echo)
    proxy = job(policy(server.port), identity={phase: ["listener", {"peer": [*PEERS, {"uid": 0, "phase": "setup"}],
                                                                    }] for phase in ("setup", "agent", "mcp")})
    request = f"CONNECT {HOST}:{server.port} HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n".encode()
    count = 10_000
    address = ("127.0.0.1", proxy.ports["agent"])

    def leave(times):
        for _ in range(times):
            with fs_uid(AGENT):
                sock = socket.socket()
            try:
                sock.connect(address)
                sock.sendall(request)
            except OSError:
                pass
            sock.close()

    threads = [threading.Thread(target=leave, args=(count // 4,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert eventually(lambda: proxy.metric("exeat_connections_total") >= count * 0.99, 60)
    assert eventually(lambda: proxy.metric("exeat_active_connections") <= 1, 60)
    assert proxy.log(uid=0) == []
    assert proxy.log(phase="setup") == []
    assert proxy.metric("exeat_decisions_total", reason="own-uid") == 0
    assert proxy.metric("exeat_decisions_total", phase="setup", verdict="allow") == 0


def test_advance_seals_what_is_behind(job, origin):
    server = origin(echo)
    proxy = job(policy(server.port))
    live, answer = tunnel(proxy, "setup", SETUP, server.port)
    assert answer.status == 200
    live.send(b"hello")
    assert live.read_exactly(5) == b"hello"
    beside, answer = tunnel(proxy, "agent", AGENT, server.port, OTHER)
    assert answer.status == 200

    done = advance(proxy)
    assert done.returncode == 0, done.stderr
    # When it returns, the tunnel is gone.
    live.sock.settimeout(2)
    assert was_cut(live)
    record = proxy.logged(event="close", reason="phase-sealed")
    assert record["phase"] == "setup" and record["bytes_up"] == 5
    assert status(proxy, "setup", SETUP, server.port) == (403, "phase-sealed")
    # The next phase has kept its tunnel, and goes on.
    beside.send(b"still")
    assert beside.read_exactly(5) == b"still"
    assert status(proxy, "agent", AGENT, server.port, OTHER)[0] == 200
    assert status(proxy, "mcp", MCP, server.port, OTHER)[0] == 200


def test_a_grace_lets_live_tunnels_end_and_admits_no_new_ones(job, origin):
    server = origin(echo)
    proxy = job(policy(server.port))
    live, _ = tunnel(proxy, "setup", SETUP, server.port)
    assert advance(proxy, "--grace", "2s").returncode == 0
    live.send(b"more")
    assert live.read_exactly(4) == b"more"
    assert status(proxy, "setup", SETUP, server.port) == (403, "phase-sealed")
    live.sock.settimeout(10)
    assert was_cut(live)


def test_a_tunnel_that_waits_for_its_hello_is_cut(job, origin):
    server = origin(echo)
    rules = policy(server.port)
    rules["phases"]["setup"]["allow"] = [{"host": HOST, "ports": [server.port]}]
    proxy = job(rules)
    waiting, answer = tunnel(proxy, "setup", SETUP, server.port)
    assert answer.status == 200
    half, answer = tunnel(proxy, "setup", SETUP, server.port)
    half.send(client_hello(HOST)[:20])
    time.sleep(0.2)
    assert advance(proxy).returncode == 0
    for client in (waiting, half):
        client.sock.settimeout(5)
        assert was_cut(client)
    assert eventually(lambda: len(proxy.log(event="close", reason="phase-sealed")) == 2)


def test_a_plain_request_under_way_is_cut_and_the_next_refused(job, origin):
    release = threading.Event()

    def slow(connection):
        connection.read_until(b"\r\n\r\n")
        connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1000)
        release.wait(20)

    server = origin(slow)
    proxy = job(policy(server.port))
    with proxy.client("setup", uid=SETUP) as client:
        client.send(f"GET http://{HOST}:{server.port}/ HTTP/1.1\r\nHost: {HOST}:{server.port}\r\n\r\n")
        client.read_until(b"\r\n\r\n")
        client.read_exactly(1000)
        assert advance(proxy).returncode == 0
        client.sock.settimeout(5)
        assert was_cut(client)
    release.set()
    assert proxy.logged(reason="phase-sealed", method="GET")
    with proxy.client("setup", uid=SETUP) as client:
        assert client.get(f"http://{HOST}:{server.port}/").reason == "egress-denied phase-sealed"


def test_an_idle_connection_of_a_sealed_phase_gets_nothing(job, origin):
    """A keep-alive connection, its pooled upstream with it: the next request on it is refused."""
    requests = []

    def handler(request):
        requests.append(request.target)
        return response(b"ok")

    server = origin(http_handler(handler))
    proxy = job(policy(server.port))
    with proxy.client("setup", uid=SETUP) as client:
        assert client.get(f"http://{HOST}:{server.port}/one").body == b"ok"
        assert advance(proxy).returncode == 0
        assert client.get(f"http://{HOST}:{server.port}/two").reason == "egress-denied phase-sealed"
    assert requests == ["/one"]


def test_nothing_goes_back(job, origin):
    server = origin(echo)
    proxy = job(policy(server.port))
    assert advance(proxy).returncode == 0
    back = advance(proxy, "--to", "setup")
    assert back.returncode == 1 and "setup" in back.stderr
    beyond = advance(proxy)
    assert beyond.returncode == 1, beyond.stdout
    assert status(proxy, "setup", SETUP, server.port) == (403, "phase-sealed")
    assert status(proxy, "agent", AGENT, server.port, OTHER)[0] == 200


@pytest.mark.parametrize("how", ["kill", "term"])
def test_a_restart_reopens_nothing(job, origin, how):
    server = origin(echo)
    proxy = job(policy(server.port))
    assert advance(proxy).returncode == 0
    if how == "kill":
        proxy.crash()
    else:
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0
    proxy.restart()
    assert status(proxy, "setup", SETUP, server.port) == (403, "phase-sealed")
    assert status(proxy, "agent", AGENT, server.port, OTHER)[0] == 200
    # The operator begins the next job.
    assert run_exeat("job", "new", "--control", proxy.control).returncode == 0
    assert status(proxy, "setup", SETUP, server.port)[0] == 200


@pytest.mark.parametrize("damage", ["truncate", "flip", "remove", "marker", "directory"])
def test_damaged_state_seals_everything(job, origin, state, damage):
    server = origin(echo)
    proxy = job(policy(server.port))
    proxy.crash()
    marker = state / "exeat-state"
    files = [f for f in state.iterdir() if f != marker and f.is_file() and "job" in f.name]
    assert marker.exists() and files
    if damage == "truncate":
        files[0].write_bytes(files[0].read_bytes()[:-3])
    elif damage == "flip":
        octets = bytearray(files[0].read_bytes())
        octets[len(octets) // 2] ^= 1
        files[0].write_bytes(octets)
    elif damage == "remove":
        files[0].unlink()
    elif damage == "marker":
        marker.unlink()
    else:
        state.rename(state.with_name("gone"))
    proxy.restart()
    assert "sealed" in proxy.text()
    for phase, uid, host in (("setup", SETUP, HOST), ("agent", AGENT, OTHER), ("mcp", MCP, OTHER)):
        assert status(proxy, phase, uid, server.port, host) == (403, "phase-sealed")
    new = run_exeat("job", "new", "--control", proxy.control)
    if damage in ("marker", "directory"):
        assert new.returncode == 1 and "state init" in new.stderr
    else:
        assert new.returncode == 0, new.stderr
        assert status(proxy, "setup", SETUP, server.port)[0] == 200


def test_without_a_state_directory_nothing_advances(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy(server.port), {"identity": BY_UID, "job": {"phases": PHASES}})
    done = advance(proxy)
    assert done.returncode == 1 and "state" in done.stderr
    assert status(proxy, "setup", SETUP, server.port)[0] == 200


def test_a_phase_that_the_job_does_not_have(tmp_path, state):
    (tmp_path / "policy.yaml").write_text(json.dumps(policy(443)))
    (tmp_path / "exeat.yaml").write_text(json.dumps({
        "version": 1, "policy": "policy.yaml", "admin": "none",
        "listeners": [{"address": "127.0.0.1:0", "phase": phase} for phase in ("setup", "agent", "mcp")],
        "job": {"phases": ["setup", "agent"], "state_dir": str(state)}}))
    done = run_exeat("serve", "--config", tmp_path / "exeat.yaml")
    assert done.returncode == 2 and "`mcp`" in done.stderr and "job.phases" in done.stderr


def run_as(uid, *command, **environment):
    """A program of another user; what it prints and how it ends."""
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False,
                          user=uid, group=uid, extra_groups=[], env=clean_environment(**environment))


def test_the_agent_cannot_reach_the_controls(job, origin):
    server = origin(echo)
    proxy = job(policy(server.port))
    os.chmod(proxy.folder, 0o755)
    os.chmod(BINARY, 0o755)
    for words in (("job", "new"), ("phase", "advance"), ("phase", "status")):
        done = run_as(AGENT, BINARY, *words, "--control", proxy.control)
        assert done.returncode != 0, done.stdout
    assert advance(proxy).returncode == 0
    done = run_as(AGENT, BINARY, "job", "new", "--control", proxy.control)
    assert done.returncode != 0
    # Nor by the admin port, without or with a wrong token.
    for path in ("/-/job/new", "/-/phase/advance", "/-/job/open"):
        assert proxy.admin(path, "POST")[0] in (401, 403)
        assert proxy.admin(path, "POST", {"Authorization": "Bearer guessed-guessed-guessed"})[0] in (401, 403)
    assert status(proxy, "setup", SETUP, server.port) == (403, "phase-sealed")


def test_an_inherited_tunnel_is_worth_nothing(job, origin):
    """setup hands its open tunnel to the agent's process by inheritance; the seal cuts it all the same."""
    server = origin(echo)
    proxy = job(policy(server.port))
    live, answer = tunnel(proxy, "setup", SETUP, server.port)
    assert answer.status == 200
    script = ("import os, socket, sys, time\n"
              "s = socket.socket(fileno=int(sys.argv[1]))\n"
              "s.settimeout(10)\n"
              "s.sendall(b'before'); got = s.recv(6)\n"
              "print(got.decode(), flush=True); sys.stdin.readline()\n"
              "try:\n"
              "    s.sendall(b'secret'); print('got', s.recv(6))\n"
              "except OSError as error:\n"
              "    print('cut', error)\n")
    live.sock.set_inheritable(True)
    agent = subprocess.Popen([sys.executable, "-c", script, str(live.sock.fileno())], pass_fds=[live.sock.fileno()],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, user=AGENT, group=AGENT,
                             extra_groups=[])
    assert agent.stdout.readline() == "before\n"
    assert advance(proxy).returncode == 0
    out, _ = agent.communicate("go\n", timeout=30)
    assert "secret" not in out, out
    assert "cut" in out or "b''" in out, out


def test_status_tells_what_is_sealed(job, origin):
    server = origin(echo)
    proxy = job(policy(server.port))
    live, _ = tunnel(proxy, "agent", AGENT, server.port, OTHER)
    live.send(b"x" * 100)
    live.read_exactly(100)
    assert advance(proxy).returncode == 0
    text = run_exeat("phase", "status", "--control", proxy.control)
    assert text.returncode == 0, text.stderr
    assert "setup" in text.stdout and "sealed" in text.stdout
    report = json.loads(run_exeat("phase", "status", "--control", proxy.control, "--format", "json").stdout)
    phases = {p["phase"]: p for j in (report["jobs"] if "jobs" in report else [report]) for p in j["phases"]}
    assert phases["setup"]["sealed"] is True and phases["agent"]["sealed"] is False
    assert phases["agent"]["tunnels"] == 1 and phases["agent"]["bytes_up"] == 100


CANARY = "vault-3fa9c27be01d5748.corp.example"


def with_canary(port, action):
    rules = policy(port)
    rules["phases"]["agent"]["canary"] = {"names": [CANARY], "action": action}
    return rules


def test_a_canary_locks_the_job_down(job, origin):
    server = origin(echo)
    proxy = job(with_canary(server.port, "lockdown"))
    live, _ = tunnel(proxy, "agent", AGENT, server.port, OTHER)
    assert status(proxy, "agent", AGENT, 443, CANARY) == (403, "no-rule")
    live.sock.settimeout(5)
    assert was_cut(live)
    for phase, uid, host in (("setup", SETUP, HOST), ("agent", AGENT, OTHER), ("mcp", MCP, OTHER)):
        assert status(proxy, phase, uid, server.port, host) == (403, "phase-sealed")
    assert proxy.logged(code="job-locked-down")
    proxy.crash()
    proxy.restart()
    assert status(proxy, "agent", AGENT, server.port, OTHER) == (403, "phase-sealed")
    assert run_exeat("job", "new", "--control", proxy.control).returncode == 0
    assert status(proxy, "agent", AGENT, server.port, OTHER)[0] == 200


def test_a_canary_that_alerts_seals_nothing(job, origin):
    server = origin(echo)
    proxy = job(with_canary(server.port, "alert"))
    assert status(proxy, "agent", AGENT, 443, CANARY) == (403, "no-rule")
    assert proxy.logged(reason="canary")["level"] == "error"
    assert status(proxy, "agent", AGENT, server.port, OTHER)[0] == 200


def test_lockdown_wants_an_identity(tmp_path, state):
    (tmp_path / "policy.yaml").write_text(json.dumps(with_canary(443, "lockdown")))
    (tmp_path / "exeat.yaml").write_text(json.dumps({
        "version": 1, "policy": "policy.yaml", "admin": "none",
        "listeners": [{"address": "127.0.0.1:0", "phase": phase} for phase in ("setup", "agent", "mcp")],
        "job": {"phases": PHASES, "state_dir": str(state)}}))
    done = run_exeat("serve", "--config", tmp_path / "exeat.yaml")
    assert done.returncode == 2 and "identity" in done.stderr and "lock" in done.stderr


def test_the_process_behind_a_refusal_is_named(job, origin, run):
    server = origin(echo)
    proxy = job(policy(server.port))

    def named():  # on a busy machine the look-up may take longer than a refusal waits for it
        done = run_as(AGENT, "curl", "-sS", "--max-time", "20", "-x", proxy.url("agent"), "https://refused.example/")
        assert done.returncode != 0
        proxy.logged(reason="no-rule", host="refused.example")
        return [r for r in proxy.log(reason="no-rule", host="refused.example") if r.get("pid")]
    record = (eventually(named, 60) or proxy.log(host="refused.example"))[0]
    assert record["uid"] == AGENT
    assert record["process"].endswith("/curl") and record["pid"] > 0
    assert "https://refused.example/" in record["command"]


def test_who_has_hundreds_refused_has_not_all_of_them_looked_up(exeat):
    """Else a job that floods would make us spend its runner's processor on /proc. Counted, said in the log, and over
    when the flood is."""
    proxy = exeat(policy(443), {"log": {"process": True}})
    looked_up = lambda result: proxy.metric("exeat_process_lookups_total", result=result)
    refused = 0
    until = time.monotonic() + 60
    while looked_up("skipped") == 0:
        assert time.monotonic() < until
        clients = [proxy.client() for _ in range(100)]
        for client in clients:
            client.send("CONNECT flood.example:443 HTTP/1.1\r\nHost: flood.example:443\r\n\r\n")
        for client in clients:
            assert client.answer().status == 403
            client.close()
        refused += len(clients)
    counted = {result: looked_up(result) for result in ("found", "unavailable", "skipped")}
    assert sum(counted.values()) == refused == proxy.metric("exeat_decisions_total", reason="no-rule")
    assert counted["skipped"] < refused, counted
    assert eventually(lambda: len(proxy.log(host="flood.example", event="decision")) == refused)
    lines = proxy.log(host="flood.example", event="decision")
    assert len([line for line in lines if line["process"] == "not looked up"]) == counted["skipped"]
    named = [line for line in lines if "pid" in line]
    assert len(named) == counted["found"] and all(line["pid"] == os.getpid() for line in named)

    def is_named_again():
        done = run_as(AGENT, "curl", "-sS", "--max-time", "20", "-x", proxy.url("agent"), "https://refused.example/")
        assert done.returncode != 0
        return proxy.logged(host="refused.example") and any(
            line["process"].endswith("/curl") for line in proxy.log(host="refused.example"))
    assert eventually(is_named_again, 60)


def test_it_can_be_switched_off(exeat, run):
    proxy = exeat(policy(443), {"log": {"process": False}})
    done = run_as(AGENT, "curl", "-sS", "--max-time", "20", "-x", proxy.url("agent"), "https://refused.example/")
    assert done.returncode != 0
    assert "process" not in proxy.logged(reason="no-rule", host="refused.example")


def test_jobs_that_are_opened_have_their_own_tokens(exeat, origin, state):
    """A shared proxy: the token is the phase of one job; another job's, and a closed one's, are worth nothing."""
    server = origin(echo)
    proxy = exeat(policy(server.port), {
        "identity": {phase: ["listener", {"credential": {"jobs": True}}] for phase in ("setup", "agent", "mcp")},
        "job": {"phases": PHASES, "state_dir": str(state)}})

    def opened():
        done = run_exeat("job", "open", "--phases", "setup,agent", "--format", "json", "--control", proxy.control)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ask(phase, user, token, host=HOST):
        proof = base64.b64encode(f"{user}:{token}".encode()).decode()
        with proxy.client(phase) as client:
            answer = client.connect(f"{host}:{server.port}", [f"Proxy-Authorization: Basic {proof}"])
            return answer.status, answer.reason.removeprefix("egress-denied ")

    one, two = opened(), opened()
    token = {j["job"]: {t["phase"]: t["token"] for t in j["phases"]} for j in (one, two)}
    a, b = one["job"], two["job"]
    assert ask("setup", a, token[a]["setup"]) == (200, "Connection established")
    assert ask("agent", a, token[a]["agent"], OTHER)[0] == 200
    # A token is one phase of one job.
    assert ask("agent", a, token[a]["setup"], OTHER) == (403, "identity-conflict")
    assert ask("setup", a, token[b]["setup"]) == (407, "credential-wrong")
    done = advance(proxy, "--job", a)
    assert done.returncode == 0, done.stderr
    assert ask("setup", a, token[a]["setup"]) == (403, "phase-sealed")
    assert ask("setup", b, token[b]["setup"])[0] == 200
    # The advance secret of one job is worth nothing with another, and opens none.
    secret = {"EXEAT_ADVANCE_SECRET": one["advance_secret"]}
    url = f"http://127.0.0.1:{proxy.ports['admin']}"
    assert run_exeat("phase", "advance", "--url", url, "--job", b, **secret).returncode == 1
    assert run_exeat("job", "open", "--url", url, "--phases", "setup", **secret).returncode == 1
    assert run_exeat("job", "close", "--url", url, b, **secret).returncode == 1
    assert ask("setup", b, token[b]["setup"])[0] == 200
    assert run_exeat("job", "close", "--control", proxy.control, b).returncode == 0
    assert ask("setup", b, token[b]["setup"])[1] in ("job-unknown", "credential-wrong")
