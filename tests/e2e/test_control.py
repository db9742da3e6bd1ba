"""Who may order what of a running process, and what stays of it: jobs, phases, reloads, restarts. What a seal does to
traffic is in other files; here it is the control socket, the admin API and the subcommands."""
import base64
import json
import os
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

import pytest

from harness.client import Client, eventually, fs_uid
from harness.origin import echo
from harness.proxy import BINARY, SANITIZER, clean_environment, loopback, policy_of, run_exeat

AGENT, MCP, NOBODY = 61002, 61003, 61004
OPERATOR = "operator-token-0123456789"
SECRET = "advance-secret-0123456789"
IDENTITY = {"identity": ["listener", {"peer": [{"uid": AGENT}]}]}

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs to become other users")


@pytest.fixture
def job(tmp_path):
    """Settings of a process with a job, a state directory, an operator token and an advance secret."""
    made = run_exeat("state", "init", tmp_path / "state")
    assert made.returncode == 0, made.stderr
    for name, text in (("operator", OPERATOR), ("secret", SECRET)):
        (tmp_path / name).write_text(text + "\n")
        (tmp_path / name).chmod(0o600)
    return {
        "job": {"phases": ["setup", {"parallel": ["agent", "mcp"]}], "state_dir": str(tmp_path / "state"),
                "advance_secret_file": str(tmp_path / "secret")},
        "operator_token_file": str(tmp_path / "operator"),
    }


def open_to_group(proxy):
    """Settings under which uids of our group may connect to the control socket: who they are is asked then."""
    return {"control": {"unix": "control.sock", "mode": "0660"}} | proxy


def as_uid(uid, *arguments, **environment):
    """A subcommand as another user of our group."""
    done = subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False,
                          user=uid, group=os.getegid(), extra_groups=[], cwd="/",
                          env=clean_environment(**environment))
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


def status(proxy, *more, **environment):
    done = run_exeat("phase", "status", "--control", proxy.control, "--format", "json", *more, **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["jobs"]


def sealed(job):
    return [phase["phase"] for phase in job["phases"] if phase["sealed"]]


def order(proxy, *arguments, **environment):
    return run_exeat(*arguments, "--control", proxy.control, **environment)


def over_control(proxy, path):
    done = subprocess.run(["curl", "-sS", "--max-time", "30", "--unix-socket", proxy.control, f"http://localhost{path}"],
                          capture_output=True, text=True, check=True)
    return done.stdout


def url_of(proxy):
    return f"http://127.0.0.1:{proxy.ports['admin']}"


def with_job_listener(settings):
    return {"more_listeners": [{"unix": "jobs.sock", "identity": [{"credential": {"jobs": True}}]}]} | settings


def reachable(proxy, uid):
    """Lets another user reach the control socket's path."""
    proxy.folder.chmod(0o755)
    os.chown(proxy.control, os.geteuid(), os.getegid())
    return uid


# The subcommands -----------------------------------------------------------------------------------------------------

def test_a_job_advances_and_never_goes_back(exeat, job):
    proxy = exeat(policy_of(), job)
    assert "setup > agent+mcp, now in setup" in proxy.text()
    [implicit] = status(proxy)
    assert implicit["job"] == "" and sealed(implicit) == []
    text = order(proxy, "phase", "status").stdout
    assert "setup" in text and "current" in text and "to come" in text

    done = order(proxy, "phase", "advance", "--to", "agent", "--grace", "1s")
    assert (done.returncode, done.stdout) == (0, "the job of exeat.yaml: setup is sealed, now in agent+mcp\n"), done.stderr
    assert sealed(status(proxy)[0]) == ["setup"]
    assert proxy.logged(event="process", code="phase-advanced")["text"].endswith("by uid %d; what is left of it has 1s"
                                                                               % os.geteuid())
    assert proxy.metric("exeat_phase_advances_total") == 1
    again = order(proxy, "phase", "advance", "--to", "mcp")
    assert (again.returncode, again.stdout) == (0, "the job of exeat.yaml was in agent+mcp already\n")
    assert proxy.metric("exeat_phase_advances_total") == 1

    for wrong in ("setup", "nothing"):
        refused = order(proxy, "phase", "advance", "--to", wrong)
        assert refused.returncode == 1 and "refused" in refused.stderr, refused
    health = json.loads(proxy.admin("/-/healthy")[1])
    assert sealed(health["job"]["declared"]) == ["setup"] and health["status"] == "ok"

    assert order(proxy, "job", "new").returncode == 0
    assert sealed(status(proxy)[0]) == []
    assert proxy.logged(code="job-new")


def test_what_is_sealed_is_sealed_after_a_kill(exeat, job):
    proxy = exeat(policy_of(), job)
    assert order(proxy, "phase", "advance").returncode == 0
    for number in (signal.SIGKILL, signal.SIGTERM):
        proxy.signal(number)
        proxy.wait()
        proxy.start()
        assert sealed(status(proxy)[0]) == ["setup"]
    assert order(proxy, "phase", "advance", "--to", "setup").returncode == 1


@pytest.mark.parametrize("again", ["by hand", "by itself"])
def test_a_seal_that_cannot_be_kept_holds_all_the_same_and_is_an_error(exeat, job, tmp_path, again):
    proxy = exeat(policy_of(), job)
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    failed = order(proxy, "phase", "advance")
    assert failed.returncode == 2 and "state" in failed.stderr, failed
    assert proxy.logged(code="phase-not-kept", level="error")
    assert order(proxy, "phase", "advance").returncode == 2  # the same seal once more, not the next one
    assert sealed(status(proxy)[0]) == ["setup"]
    (tmp_path / "elsewhere").rename(tmp_path / "state")
    if again == "by hand":
        assert order(proxy, "phase", "advance", "--to", "agent").returncode == 0  # now it is kept
    else:
        assert proxy.logged(code="seal-kept")
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    proxy.start()
    assert sealed(status(proxy)[0]) == ["setup"]


def test_a_second_process_does_not_share_the_state(exeat, job):
    proxy = exeat(policy_of(), job)
    second = run_exeat("serve", "--config", proxy.config_file, "--listen", "agent=127.0.0.1:0", "--admin", "none")
    assert second.returncode == 2 and "in use by another process" in second.stderr, second


def test_without_a_state_directory_nothing_is_advanced_or_opened(exeat):
    proxy = exeat(policy_of(), with_job_listener({"job": {"phases": ["setup", "agent", "mcp"]}}))
    assert "without `job.state_dir` it cannot be advanced" in proxy.text()
    for arguments in (("phase", "advance"), ("job", "open", "--phases", "setup,agent")):
        refused = order(proxy, *arguments)
        assert refused.returncode == 1 and "state" in refused.stderr, refused
    assert sealed(status(proxy)[0]) == []


def test_without_a_job_the_start_says_that_nothing_is_sealed(exeat):
    proxy = exeat(policy_of())
    assert "no phase is ever sealed" in proxy.text()
    assert json.loads(proxy.admin("/-/healthy")[1])["job"] == {"declared": None, "open": 0, "held": 0}
    done = order(proxy, "phase", "status")
    assert done.returncode == 0 and "no job is declared" in done.stdout
    assert order(proxy, "phase", "advance").returncode == 1
    assert order(proxy, "job", "new").returncode == 1


def test_damaged_state_seals_everything_and_says_so(exeat, job, tmp_path):
    (tmp_path / "state" / "exeat-state").unlink()
    proxy = exeat(policy_of(), job)
    [implicit] = status(proxy)
    assert implicit["ended"] == "state-damaged" and sealed(implicit) == ["setup", "agent", "mcp"]
    health = json.loads(proxy.admin("/-/healthy")[1])
    assert health["status"] == "degraded" and "exeat state init" in health["job"]["trouble"]
    assert proxy.logged(code="job-state", level="error") and "warning" in proxy.text()
    assert order(proxy, "job", "new").returncode == 1
    assert run_exeat("state", "init", tmp_path / "state").returncode == 0
    assert order(proxy, "job", "new").returncode == 0
    assert sealed(status(proxy)[0]) == []
    assert json.loads(proxy.admin("/-/healthy")[1])["status"] == "ok"


def test_jobs_open_end_by_order_and_by_time(exeat, job):
    proxy = exeat(policy_of(), with_job_listener(job))
    done = order(proxy, "job", "open", "--phases", "setup,agent+mcp", "--format", "json")
    assert done.returncode == 0, done.stderr
    opened = json.loads(done.stdout)
    assert [phase["phase"] for phase in opened["phases"]] == ["setup", "agent", "mcp"]
    secret, name = opened["advance_secret"], opened["job"]

    done = run_exeat("phase", "advance", "--url", url_of(proxy), EXEAT_ADVANCE_SECRET=secret)
    assert (done.returncode, done.stdout) == (0, f"job {name}: setup is sealed, now in agent+mcp\n"), done.stderr
    [own] = json.loads(run_exeat("phase", "status", "--url", url_of(proxy), "--format", "json",
                                 EXEAT_ADVANCE_SECRET=secret).stdout)["jobs"]
    assert own["job"] == name and sealed(own) == ["setup"]
    assert [one["job"] for one in status(proxy)] == ["", name]
    assert sealed(status(proxy)[0]) == []

    assert order(proxy, "job", "close", name).returncode == 0
    assert [one["job"] for one in status(proxy)] == [""]
    gone = run_exeat("phase", "status", "--url", url_of(proxy), EXEAT_ADVANCE_SECRET=secret)
    assert gone.returncode == 1 and secret not in gone.stderr
    assert order(proxy, "job", "close", name).returncode == 1

    short = json.loads(order(proxy, "job", "open", "--phases", "setup", "--time-limit", "1s", "--format", "json").stdout)
    assert proxy.logged(code="job-expired")["text"].startswith(f"job {short['job']} ")
    assert [one["job"] for one in status(proxy)] == [""]
    everything = proxy.log_file.read_text() + proxy.text()
    for token in (secret, short["advance_secret"], *(phase["token"] for phase in opened["phases"])):
        assert token not in everything


def through(url, target):
    """A connection that has asked for a tunnel by a URL of `job open`, and the status that it got."""
    parts = urlsplit(url)
    client = Client((parts.hostname, parts.port))
    basic = base64.b64encode(f"{parts.username}:{parts.password}".encode()).decode()
    client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic {basic}\r\n\r\n")
    return client, client.answer(head_request=True).status


def test_a_url_of_job_open_leads_into_its_phase_until_that_is_sealed(exeat, job, origin):
    server = origin(echo)
    target = f"origin.corp.example:{server.port}"
    rule = {"host": "origin.corp.example", "ports": [server.port], "tls": "any"}
    settings = {"more_listeners": [{"address": "127.0.0.1:0", "identity": [{"credential": {"jobs": True}}]}]} | job
    proxy = exeat(policy_of(setup=[rule], addresses=[loopback()]), settings)
    one, other = (json.loads(order(proxy, "job", "open", "--phases", "setup,agent", "--format", "json").stdout)
                  for _ in range(2))
    setup, agent = (phase["urls"][0] for phase in one["phases"])
    assert setup.startswith(f"http://{one['job']}:") and setup != agent
    tunnel, code = through(setup, target)
    assert code == 200
    tunnel.send(b"a")
    assert tunnel.read_exactly(1) == b"a"
    assert through(agent, target)[1] == 403
    assert [phase["tunnels"] for phase in status(proxy, "--job", one["job"])[0]["phases"]] == [1, 0]

    assert order(proxy, "phase", "advance", "--job", one["job"]).returncode == 0
    assert tunnel.is_closed()
    assert through(setup, target)[1] == 403
    assert proxy.logged(reason="phase-sealed")
    assert through(other["phases"][0]["urls"][0], target)[1] == 200
    assert order(proxy, "job", "close", other["job"]).returncode == 0
    assert through(other["phases"][0]["urls"][0], target)[1] in (403, 407)


def test_open_prints_a_url_for_each_phase_and_refuses_what_nobody_could_use(exeat, job):
    proxy = exeat(policy_of(), with_job_listener(job))
    assert "has no phase agnet (did you mean agent?)" in order(proxy, "job", "open", "--phases", "setup,agnet").stderr
    assert order(proxy, "job", "open", "--phases", "setup,setup").returncode == 1
    done = order(proxy, "job", "open", "--phases", "setup,agent")
    assert done.returncode == 0 and "advance-secret" in done.stdout and "this once" in done.stderr
    assert "No TCP listener takes these tokens" in done.stderr


def test_open_needs_a_listener_that_can_tell_jobs_apart(exeat, job):
    proxy = exeat(policy_of(), job)
    refused = order(proxy, "job", "open", "--phases", "setup,agent")
    assert refused.returncode == 1 and "credential: {jobs: true}" in refused.stderr


def test_the_process_is_found_by_its_file_or_the_way_out_is_said(exeat, job, tmp_path):
    proxy = exeat(policy_of(), job)
    assert run_exeat("phase", "status", "--config", proxy.config_file).returncode == 0
    nothing = run_exeat("phase", "status", "--control", tmp_path / "nothing.sock")
    assert nothing.returncode == 2 and "no `exeat serve` runs" in nothing.stderr
    unknown = run_exeat("phase", "status", XDG_RUNTIME_DIR="", RUNTIME_DIRECTORY="")
    assert unknown.returncode == 2 and "--control" in unknown.stderr
    assert run_exeat("phase", "status", "--url", "https://127.0.0.1:1").returncode == 2
    refused = run_exeat("phase", "status", "--url", "http://127.0.0.1:1")
    assert refused.returncode == 2 and "is `exeat serve` running" in refused.stderr
    for wrong in (("phase", "status", "--to", "agent"), ("job", "open"), ("job", "close"), ("job", "new", "x"),
                  ("job", "new", "--phases", "a"), ("phase", "go"), ("state", "init"), ("phase", "advance", "--job", "A b")):
        assert order(proxy, *wrong).returncode == 2 if wrong[0] != "state" else run_exeat(*wrong).returncode == 2, wrong
    for wrong in (["--grace", "5"], ["--grace", "25h"]):
        assert order(proxy, "phase", "advance", *wrong).returncode == 1
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    proxy.process = None
    dead = order(proxy, "phase", "status")
    assert dead.returncode == 2 and "not running" in dead.stderr


# Canaries ------------------------------------------------------------------------------------------------------------

TRAPPED = policy_of(phases={"agent": {"canary": {"action": "lockdown", "names": ["state.corp.example"]}}})


def test_a_canary_seals_all_of_the_job_that_proved_itself(exeat, job):
    settings = {"listeners": [{"unix": "agent.sock", "phase": "agent"},
                              {"address": "127.0.0.1:0", "identity": [{"credential": {"jobs": True}}]}]} | job
    proxy = exeat(TRAPPED, settings)
    opened = json.loads(order(proxy, "job", "open", "--phases", "agent", "--format", "json").stdout)
    assert through(opened["phases"][0]["urls"][0], "state.corp.example:443")[1] == 403
    assert proxy.logged(code="job-locked-down", level="error")["text"].startswith(f"job {opened['job']} ")
    assert [(one["job"], one["ended"]) for one in status(proxy)] == [("", None), (opened["job"], "locked-down")]

    with Client(str(proxy.folder / "agent.sock")) as client:
        assert client.connect("state.corp.example:443").status == 403
    assert eventually(lambda: status(proxy)[0]["ended"] == "locked-down")
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    proxy.start()
    assert [one["ended"] for one in status(proxy)] == ["locked-down", "locked-down"]
    assert order(proxy, "job", "new").returncode == 0
    assert [one["ended"] for one in status(proxy)] == [None, "locked-down"]
    assert order(proxy, "job", "close", opened["job"]).returncode == 0


# Who may -------------------------------------------------------------------------------------------------------------

ORDERS = (("job", "open", "--phases", "setup,agent"), ("job", "new"), ("job", "close", "j-x"), ("phase", "advance"),
          ("phase", "status"))


@as_root
def test_a_uid_that_stands_for_a_phase_orders_nothing(exeat, job):
    job = open_to_group(with_job_listener(job))
    job["more_listeners"].append({"unix": "agent.sock", "phase": "agent", **IDENTITY})
    proxy = exeat(policy_of(), job)
    reachable(proxy, AGENT)
    for count, arguments in enumerate(ORDERS, 1):
        refused = as_uid(AGENT, *arguments, "--control", proxy.control)
        assert refused.returncode == 1 and "stands for a phase" in refused.stderr, refused
        assert proxy.metric("exeat_control_denied_total") == count
    line = proxy.logged(code="control-denied")
    assert line["level"] == "warning" and f"by uid {AGENT}:" in line["text"]
    assert sealed(status(proxy)[0]) == [] and len(status(proxy)) == 1
    # Not even with the secret, but for the one thing.
    for arguments in ORDERS[:3]:
        assert as_uid(AGENT, *arguments, "--control", proxy.control, EXEAT_OPERATOR_TOKEN=SECRET).returncode == 1
    advanced = as_uid(AGENT, "phase", "advance", "--control", proxy.control, EXEAT_ADVANCE_SECRET=SECRET)
    assert advanced.returncode == 0, advanced.stderr
    assert f"by the advance secret from uid {AGENT}" in proxy.logged(code="phase-advanced")["text"]
    # With the operator's token it is an operator all the same.
    assert as_uid(AGENT, "job", "new", "--control", proxy.control, EXEAT_OPERATOR_TOKEN=OPERATOR).returncode == 0
    # Another uid that may open the socket is one, too.
    assert as_uid(NOBODY, "phase", "advance", "--control", proxy.control).returncode == 0
    assert SECRET not in proxy.log_file.read_text() and OPERATOR not in proxy.log_file.read_text()


@as_root
def test_reload_on_the_control_socket_is_for_operators(exeat, job):
    proxy = exeat(policy_of(), open_to_group({"more_listeners": [{"unix": "a.sock", "phase": "agent", **IDENTITY}]} | job))
    reachable(proxy, AGENT)

    def curl(uid, *more):
        return subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--unix-socket", proxy.control, "-X",
                               "POST", "http://localhost/-/reload", *more], capture_output=True, text=True, check=False,
                              timeout=60, user=uid, group=os.getegid(), extra_groups=[]).stdout
    assert curl(AGENT) == "403"
    assert curl(AGENT, "-H", f"Authorization: Bearer {SECRET}") == "403"
    assert proxy.metric("exeat_reloads_total") == 0
    assert curl(os.geteuid()) == "200" and curl(NOBODY) == "200"
    assert curl(AGENT, "-H", f"Authorization: Bearer {OPERATOR}") == "200"
    assert proxy.metric("exeat_reloads_total") == 3


@as_root
def test_a_socket_that_may_not_be_opened_says_by_whom(exeat, job):
    proxy = exeat(policy_of(), job)
    reachable(proxy, NOBODY)
    refused = as_uid(NOBODY, "phase", "status", "--control", proxy.control)
    assert refused.returncode == 2 and f"may not be opened by uid {NOBODY}" in refused.stderr, refused


def test_over_tcp_a_credential_decides(exeat, job):
    proxy = exeat(policy_of(), with_job_listener(job))
    other = json.loads(order(proxy, "job", "open", "--phases", "setup,agent", "--format", "json").stdout)
    paths = ("/-/phase/advance", "/-/job/open", "/-/job/new", "/-/job/close", "/-/reload")
    for path in paths:
        assert proxy.admin(path, "POST")[0] in (401, 403)
        assert proxy.admin(path, "POST", {"Authorization": "Bearer wrong-wrong-wrong-wrong"})[0] == 401
    assert proxy.metric("exeat_control_denied_total") == 2 * len(paths)
    for path in paths[1:]:
        assert proxy.admin(path, "POST", {"Authorization": f"Bearer {SECRET}"})[0] == 403

    def advance(secret, job):
        return run_exeat("phase", "advance", "--url", url_of(proxy), "--job", job, EXEAT_ADVANCE_SECRET=secret)
    wrong_job = advance(SECRET, other["job"])
    assert wrong_job.returncode == 1 and "another job" in wrong_job.stderr
    assert all(sealed(one) == [] for one in status(proxy))
    assert advance(other["advance_secret"], other["job"]).returncode == 0
    assert [sealed(one) for one in status(proxy)] == [[], ["setup"]]
    token = {"Authorization": f"Bearer {OPERATOR}"}
    assert proxy.admin("/-/phase/advance", "POST", token)[0] == 200
    assert proxy.admin("/-/reload", "POST", token)[0] == 200
    assert proxy.admin("/-/job/new", "POST", token)[0] == 200
    text = proxy.log_file.read_text()
    assert proxy.logged(code="control-denied") and "wrong-wrong" not in text and SECRET not in text


def test_a_wrong_credential_waits_and_nobody_else_does(exeat, job):
    proxy = exeat(policy_of(), job)
    begin = time.monotonic()
    guess = subprocess.Popen([BINARY, "phase", "advance", "--url", url_of(proxy)], stderr=subprocess.DEVNULL,
                             env=clean_environment(EXEAT_ADVANCE_SECRET="guess-guess-guess-guess"))
    assert eventually(lambda: proxy.metric("exeat_control_denied_total") == 1)
    assert proxy.admin("/-/healthy")[0] == 200
    assert order(proxy, "phase", "status").returncode == 0
    assert guess.wait(60) == 1
    assert time.monotonic() - begin >= 0.9


@as_root
def test_a_phase_that_holds_the_admin_port_full_crowds_out_nobody_but_itself(exeat, job):
    proxy = exeat(policy_of(), {"identity": {"agent": IDENTITY["identity"]}} | job)
    held = []
    with fs_uid(AGENT):
        for _ in range(160):
            one = socket.create_connection(("127.0.0.1", proxy.ports["admin"]))
            one.sendall(b"GET / HTTP/1.1\r\n")
            held.append(one)
    done = run_exeat("phase", "advance", "--url", url_of(proxy), EXEAT_ADVANCE_SECRET=SECRET)
    assert done.returncode == 0, done.stderr
    with fs_uid(AGENT):
        late = socket.create_connection(("127.0.0.1", proxy.ports["admin"]))
    answer = late.recv(4096)
    assert answer == b"" or b" 503 " in answer.split(b"\r\n")[0]
    for one in [*held, late]:
        one.close()


# The policy of a job -------------------------------------------------------------------------------------------------

NARROW = policy_of(agent=[{"host": "a.example"}])
WIDE = policy_of(agent=[{"host": "a.example"}, {"host": "evil.example"}])


def held(proxy):
    return json.loads(proxy.admin("/-/healthy")[1])["job"]["held"]


def test_a_wider_policy_waits_for_the_job_to_end(exeat, job):
    proxy = exeat(NARROW, job)
    assert held(proxy) == 0
    proxy.write_policy(WIDE)
    token = {"Authorization": f"Bearer {OPERATOR}"}
    code, text = proxy.admin("/-/reload", "POST", token)
    [one] = json.loads(text)["held"]
    assert code == 200 and one["job"] == "" and one["findings"] == 1 and "evil.example" in one["first"]
    assert held(proxy) == 1 and "evil.example" in status(proxy)[0]["held"]["first"]
    assert "evil.example" not in proxy.admin("/-/healthy")[1]
    assert "evil.example" in proxy.logged(code="policy-held")["text"]
    assert "held: it keeps its policy" in order(proxy, "phase", "status").stdout

    proxy.signal(signal.SIGKILL)
    proxy.wait()
    proxy.start()
    assert held(proxy) == 1
    assert order(proxy, "job", "new").returncode == 0
    assert held(proxy) == 0 and status(proxy)[0]["held"] is None
    proxy.signal(signal.SIGTERM)
    proxy.wait()
    proxy.start()
    assert held(proxy) == 0


def test_what_is_wrong_with_a_policy_is_told_to_operators_alone(exeat, job):
    proxy = exeat(NARROW, job)
    proxy.write_policy(policy_of(phases={"agent": {"canary": ["vault.example"], "allow": [{"host": "vault.example"}]}}))
    assert order(proxy, "job", "new").returncode == 0
    proxy.signal(signal.SIGHUP)
    assert eventually(lambda: "degraded" in proxy.admin("/-/healthy")[1])
    seen = proxy.admin("/-/healthy")[1]
    assert "vault.example" not in seen and "the log says what is wrong" in seen
    token = {"Authorization": f"Bearer {OPERATOR}"}
    assert "vault.example" not in proxy.admin("/-/healthy", headers=token)[1]  # not asked for, so not looked at
    assert "vault.example" in over_control(proxy, "/-/healthy")


def test_what_is_held_back_is_refused_and_a_restart_changes_nothing(exeat, job, origin):
    server = origin(echo)
    target = f"origin.corp.example:{server.port}"
    rule = {"host": "origin.corp.example", "ports": [server.port], "tls": "any"}
    proxy = exeat(policy_of(addresses=[loopback()]), job)

    def asked():
        with proxy.client() as client:
            return client.connect(target).status
    assert asked() == 403
    proxy.reload(policy_of(agent=[rule], addresses=[loopback()]))
    assert held(proxy) == 1 and asked() == 403
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    proxy.start()
    assert held(proxy) == 1 and asked() == 403
    assert order(proxy, "job", "new").returncode == 0
    assert asked() == 200


def test_a_sealed_listener_stays_closed_over_a_restart(exeat, job, origin):
    server = origin(echo)
    target = f"origin.corp.example:{server.port}"
    rule = {"host": "origin.corp.example", "ports": [server.port], "tls": "any"}
    proxy = exeat(policy_of(setup=[rule], agent=[rule], addresses=[loopback()]), job)

    def asked(phase):
        try:
            with proxy.client(phase) as client:
                return client.connect(target).status
        except (OSError, EOFError):
            return None
    assert asked("setup") == 200
    assert order(proxy, "phase", "advance").returncode == 0
    for _ in range(2):
        assert asked("setup") in (None, 403) and asked("agent") == 200
        proxy.signal(signal.SIGKILL)
        proxy.wait()
        proxy.start()
    assert order(proxy, "job", "new").returncode == 0
    assert eventually(lambda: asked("setup") == 200) and asked("agent") == 200


def test_a_narrower_policy_ends_a_hold_and_a_sealed_phase_may_widen(exeat, job):
    proxy = exeat(NARROW, job)
    proxy.reload(WIDE)
    assert held(proxy) == 1
    proxy.reload(policy_of())
    assert held(proxy) == 0
    proxy.reload(NARROW)  # wider than what it has now
    assert held(proxy) == 1
    assert order(proxy, "job", "new").returncode == 0
    job["job"]["phases"] = ["setup", "agent", "mcp"]
    proxy.signal(signal.SIGTERM)
    proxy.wait()
    proxy.start()
    assert order(proxy, "phase", "advance", "--to", "mcp").returncode == 0
    proxy.reload(WIDE)
    assert held(proxy) == 0


def test_a_trusted_phase_may_widen_and_the_hold_can_be_switched_off(exeat, job):
    proxy = exeat(NARROW, job)
    proxy.reload(policy_of(agent=[{"host": "a.example"}], setup=[{"host": "b.example"}]))
    assert held(proxy) == 0
    proxy.stop()
    job["job"]["hold_policy"] = False
    proxy.start()
    proxy.reload(WIDE)
    assert held(proxy) == 0


def test_an_open_job_keeps_its_policy_while_a_later_one_gets_the_new_one(exeat, job):
    settings = with_job_listener(job)
    del settings["job"]["phases"], settings["job"]["advance_secret_file"]
    proxy = exeat(NARROW, settings)

    def open_job():
        return json.loads(order(proxy, "job", "open", "--phases", "setup,agent", "--format", "json").stdout)["job"]
    first = open_job()
    proxy.reload(WIDE)
    second = open_job()
    assert {one["job"]: one["held"] is not None for one in status(proxy)} == {first: True, second: False}
    proxy.signal(signal.SIGKILL)
    proxy.wait()
    proxy.start()
    assert {one["job"]: one["held"] is not None for one in status(proxy)} == {first: True, second: False}
    assert order(proxy, "job", "close", first).returncode == 0
    assert held(proxy) == 0
