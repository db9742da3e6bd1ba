"""No sequence of orders, reloads, crashes and restarts makes a sealed phase pass traffic: random sequences against a
model, and against traffic that goes on meanwhile; and what an advance secret is not good for."""
import collections
import concurrent.futures
import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness.client import eventually
from harness.proxy import BINARY, clean_environment, loopback, policy_of, run_exeat
from harness.ratchet import HOST, KINDS, PATIENCE, PLAN, UIDS, WIDE, Arena, Job, Refused, Stream

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="plays several users")

PLANS = ([["setup"], ["agent"]], [["setup"], ["agent", "mcp"]], [["setup"], ["agent"], ["mcp"]], [["mcp"], ["setup"]],
         [["agent"]])
# A request of a sealed phase; one on a connection that belongs to the job before this one; one of a closed job.
SEALED = {"phase-sealed", "identity-changed", "job-unknown"}


@pytest.fixture
def arena(exeat, origin, tmp_path):
    def make(**job):
        done = run_exeat("state", "init", tmp_path / "state")
        assert done.returncode == 0, done.stderr
        return Arena(exeat, origin, tmp_path, tmp_path / "state", **job)
    return make


def finish(arena):
    """Ends the proxy, waits until nothing can arrive any more, and looks at what has."""
    arena.proxy.stop()
    assert eventually(arena.witness.is_quiet, PATIENCE)
    assert not arena.leaks()


class Orders:
    """The orders of a sequence, each drawn at random, and their effect on the model."""

    def __init__(self, arena, rng):
        self.arena, self.rng, self.controls = arena, rng, arena.controls
        self.jobs = [arena.implicit]  # those that go on; the first is that of exeat.yaml
        self.closed = []
        self.wide = False  # the policy on disk
        self.trace = []

    def note(self, text):
        self.trace.append(text)

    def live(self):
        return self.rng.choice(self.jobs)

    def any_job(self):
        return self.rng.choice(self.jobs + self.closed[-2:])

    # Each is one step; `in_flight` says that the process is killed while the order is under way.

    def advance(self, in_flight=False):
        job = self.live() if in_flight else self.any_job()
        to = self.rng.choice([None, None, *job.phases(), "nowhere"])
        grace = self.rng.choice([None, None, 20, 200])
        secret, whose = self.rng.choice([(None, "the operator"), (job.secret, "its holder")])
        target = job.target_of(to)
        self.note(f"advance {job} to {to}, grace {grace}, by {whose}: {'refused' if target is None else target}")
        if in_flight:
            done = self.crash_during(lambda: self.controls.advance(job, to, grace, secret))
            if done == 200:
                job.advance(target, None)
            elif target is not None:
                self.either(job, target)
            return
        status, text = self.controls.advance(job, to, grace, secret)
        if target is None:
            assert status in (401, 404, 409), (status, text)
        else:
            assert status == 200, text
            job.advance(target, grace)

    def either(self, job, target):
        """The order was not confirmed: it has been carried out, or not."""
        now = self.controls.status()[job.id]
        self.note(f"  {job}: {job.current} or {target}, and it is {now}")
        assert now in (job.current, target)
        job.advance(now, None)

    def seal(self):
        """What an advance with a grace has left alive ends with one without."""
        for job in [job for job in self.jobs if job.cut < job.current]:
            self.note(f"seal {job} without grace")
            status, text = self.controls.advance(job, job.plan[job.current][0])
            assert status == 200, text
            job.cut = job.current

    def advance_of_another(self):
        job, other = self.live(), self.live()
        if job is other:
            return
        self.note(f"advance {job} by the secret of {other}")
        status, text = self.arena.controls.holder(other.secret, "/-/phase/advance", {"job": job.id})
        assert status == 403, (status, text)

    def open(self):
        if len(self.jobs) > 4:
            return
        job = self.controls.open(self.rng.choice(PLANS))
        job.wide = self.wide
        self.note(f"open {job}: {job.plan}")
        self.jobs.append(job)

    def close(self, in_flight=False):
        job = self.live()
        if not job.id:
            return
        self.note(f"close {job}")
        if in_flight:
            done = self.crash_during(lambda: self.controls.close(job))
            if done != 200 and job.id in self.controls.status():
                return
        else:
            status, text = self.controls.close(job)
            assert status == 200, text
        job.end()
        self.jobs.remove(job)
        self.closed.append(job)

    def new(self, in_flight=False):
        self.note("new")
        old = self.jobs[0]
        if in_flight:
            done = self.crash_during(self.controls.new)
            if done != 200 and (old.current == 0 or self.controls.status()[""] == old.current):
                # Whether the old one goes on with nothing sealed or the new one begins, nobody can tell.
                old.wide = old.wide or self.wide
                return
        else:
            status, text = self.controls.new()
            assert status == 200, text
        self.jobs[0] = Job("", PLAN, secret=old.secret, wide=self.wide)
        old.end()

    def load(self, wide):
        """The policy on disk is in force from now on, but for the jobs in which that makes an untrusted phase wider."""
        self.wide = wide
        for job in self.jobs:
            held = wide and not job.wide and "agent" in job.phases() and not job.is_sealed("agent")
            job.wide = job.wide if held else wide

    def reload(self):
        wide = self.rng.choice([True, False, self.wide])
        self.note(f"reload, {'wide' if wide else 'narrow'}")
        self.arena.proxy.write_policy(self.arena.policy(wide))
        if self.rng.random() < 0.5:
            self.arena.proxy.reload()
        else:
            status, text = self.controls.operator("/-/reload")
            assert status == 200, text
        self.load(wide)

    # Ends of the process ------------------------------------------------------------------------------------------

    def down(self):
        """The process is gone, and every connection with it."""
        for job in self.jobs:
            job.cut = job.current

    def crash(self):
        self.rng.choice([self.plain_crash, self.restart, lambda: self.advance(True), lambda: self.advance(True),
                         lambda: self.close(True), lambda: self.new(True)])()

    def plain_crash(self):
        self.note("crash")
        self.arena.proxy.crash()
        self.up()

    def restart(self):
        self.note("restart")
        self.arena.proxy.signal(signal.SIGTERM)
        assert self.arena.proxy.wait() == 0, self.arena.proxy.text()
        self.up()

    def up(self):
        self.down()
        self.arena.proxy.restart()
        self.load(self.wide)

    def crash_during(self, order):
        """Its status, or None where the process died too early to give one."""
        done = []

        def run():
            try:
                done.append(order()[0])
            except (OSError, EOFError):
                pass

        thread = threading.Thread(target=run)
        thread.start()
        time.sleep(self.rng.choice([0, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02]))
        self.arena.proxy.crash()
        thread.join()
        self.note(f"  crash, answer {done}")
        self.up()
        return done[0] if done else None

    def compare(self):
        assert self.controls.status() == {job.id: job.current for job in self.jobs}


class Sequence(Orders):
    """One thread: every outcome is known beforehand, but for connections within a grace."""

    def __init__(self, arena, rng):
        super().__init__(arena, rng)
        self.streams = []
        self.passed = collections.Counter()

    def down(self):
        super().down()
        for stream in self.streams:
            stream.close()
        self.streams = []

    def drop(self, stream):
        stream.close()
        self.streams.remove(stream)

    def begin(self):
        """A new connection, of any phase of any job."""
        job = self.any_job()
        phases = [phase for phase in job.phases() if job.is_sealed(phase)]
        phase = self.rng.choice(phases if phases and self.rng.random() < 0.4 else job.phases())
        kind, way = self.rng.choice(KINDS), self.rng.random() < 0.5
        sealed = job.is_sealed(phase)
        self.note(f"{kind} of {job}/{phase}: {'refused' if sealed else 'passes'}")
        mark, dials = self.arena.ledger.issue(self.trace[-1], sealed), self.arena.witness.dials()
        try:
            stream = Stream(self.arena, job, phase, kind, mark, way)
        except Refused as refused:
            assert sealed, refused
            assert str(refused) == ("job-unknown" if job.over else "phase-sealed")
            assert self.arena.witness.dials() == dials  # nor does a name that it asks for go anywhere
            self.passed["refused"] += 1
            return
        self.streams.append(stream)
        assert not sealed, "it passes"
        self.passed[kind] += 1

    def send(self):
        """The next octets, or the next request, on an old connection."""
        if not self.streams:
            return
        stream = self.rng.choice(self.streams)
        job, phase = stream.job, stream.phase
        sealed, cut = job.is_sealed(phase), job.is_cut(phase)
        lawful = "refused" if (sealed if stream.is_http else cut) else "either" if sealed else "passes"
        self.note(f"send on {stream}: {lawful}")
        mark = self.arena.ledger.issue(self.trace[-1], lawful == "refused")
        if lawful == "refused" and not stream.is_http:
            stream.push(mark)
            assert stream.ends(), "it is alive"
            self.drop(stream)
            self.passed["cut"] += 1
            return
        try:
            stream.send(mark)
        except (Refused, OSError, EOFError) as why:
            assert lawful != "passes", repr(why)
            assert not isinstance(why, Refused) or str(why) in SEALED, why
            self.passed["refused on an old connection" if stream.is_http else "cut"] += 1
            self.drop(stream)
        else:
            assert lawful != "refused", "it passes"
            self.passed["sent"] += 1

    def settle(self):
        """Of what had a grace, that passes."""
        for stream in [s for s in self.streams if not s.is_http and s.job.is_sealed(s.phase)]:
            self.note(f"settle {stream}")
            assert stream.ends(), "its grace never ends"
            self.drop(stream)
        for job in self.jobs:
            job.cut = job.current

    def wider(self):
        """What only a policy lets through that may be held back."""
        job = self.live()
        if "agent" not in job.phases():
            return
        lawful = job.wide and not job.is_sealed("agent")
        self.note(f"{WIDE} for {job}/agent: {'passes' if lawful else 'refused'}")
        mark = self.arena.ledger.issue(self.trace[-1], not lawful)
        client, fields = self.arena.connection(job, "agent", True)
        with client:
            answer = client.connect(f"{WIDE}:{self.arena.witness.port}", fields)
            assert (answer.status == 200) == lawful, answer.reason
            if lawful:
                client.send(b"RAW " + mark.octets + b"\r\n\r\n")
                assert eventually(lambda: self.arena.witness.saw(mark), PATIENCE)
                self.passed["wide"] += 1

    def run(self, steps, crashes):
        often = [self.begin] * 12 + [self.send] * 14 + [self.advance] * 6 + [self.open] * 3 + \
            [self.close, self.new, self.reload, self.wider, self.settle, self.seal, self.advance_of_another]
        ends = set(self.rng.sample(range(10, steps), crashes))
        for step in range(steps):
            (self.crash if step in ends else self.rng.choice(often))()
            leaks = self.arena.leaks()
            assert not leaks, leaks
            if step % 8 == 0 or step in ends:
                self.compare()
        # What is left is tried once more.
        self.settle()
        while self.streams:
            before = len(self.streams)
            self.send()
            if len(self.streams) == before:
                self.drop(self.rng.choice(self.streams))


def played(sequence, seed, *arguments):
    try:
        sequence.run(*arguments)
        finish(sequence.arena)
    except BaseException:
        print(f"seed {seed}, after\n" + "\n".join(sequence.trace))
        raise


@pytest.mark.parametrize("seed", range(1, 7))
def test_random_sequences(arena, seed):
    sequence = Sequence(arena(), random.Random(seed))
    played(sequence, seed, 130, 4)
    # Something was tried.
    assert sequence.passed["sent"] > 10 and sequence.passed["refused"] > 3, sequence.passed


# Traffic that goes on meanwhile --------------------------------------------------------------------------------------

class Turns:
    """Says which job of exeat.yaml a connection belongs to, while jobs follow one another: an odd count means that the
    order is under way."""

    def __init__(self, first):
        self.count, self.job = 0, first


class Traffic(threading.Thread):
    """Opens connections of any phase of any job and sends on them, now on one and now on another, for as long as they
    live; knows before each mark whether an order that seals its phase has returned."""

    def __init__(self, race, seed):
        super().__init__(daemon=True)
        self.race, self.arena, self.rng = race, race.arena, random.Random(seed)
        self.streams = []
        self.passed, self.wrong = collections.Counter(), []

    def run(self):
        while not self.race.over.is_set():
            try:
                if len(self.streams) < 3 or self.rng.random() < 0.1:
                    self.begin()
                else:
                    self.more(self.rng.choice(self.streams))
            except OSError:
                self.passed["down"] += 1
                time.sleep(0.002)
            except Exception as why:  # pylint: disable=broad-except
                self.wrong.append(repr(why))
        for stream in self.streams:
            stream.close()

    def refused(self, what, why):
        self.passed["refused"] += 1
        if str(why) not in SEALED | {"draining"}:
            self.wrong.append(f"{what}: {why}")

    def begin(self):
        turn = self.race.turns.count
        job = self.race.draw(self.rng)
        phase, kind, way = self.rng.choice(job.phases()), self.rng.choice(KINDS), self.rng.random() < 0.5
        sealed = job.is_sealed(phase)
        mark = self.arena.ledger.issue(f"{kind} of {job}/{phase}")
        try:
            stream = Stream(self.arena, job, phase, kind, mark, way)
        except Refused as why:
            return self.refused(mark.what, why)
        except EOFError:
            self.passed["cut"] += 1
            return None
        if not job.id and (turn % 2 or self.race.turns.count != turn):
            return stream.close()  # of this job or of the next one
        if sealed:
            mark.forbidden = True
            self.wrong.append(f"{mark.what} passes")
        self.passed[kind] += 1
        self.streams.append(stream)
        if len(self.streams) > 8:
            self.drop(self.streams[0])
        return None

    def drop(self, stream):
        stream.close()
        self.streams.remove(stream)

    def more(self, stream):
        if not stream.is_http and stream.job.is_cut(stream.phase):
            self.passed["forbidden"] += 1
            stream.push(self.arena.ledger.issue(f"push on {stream}", True))
            if not stream.ends():
                self.wrong.append(f"{stream} is alive")
            return self.drop(stream)
        try:
            # A burst: the order may return in the middle of it.
            for _ in range(self.rng.choice([1, 1, 30])):
                refused = stream.is_http and stream.job.is_sealed(stream.phase)
                mark = self.arena.ledger.issue(f"send on {stream}", refused)
                stream.send(mark)
                if refused:
                    self.wrong.append(f"{mark.what} passes")
                self.passed["sent"] += 1
                while not stream.is_http and self.rng.random() < 0.5:
                    stream.push(self.arena.ledger.issue(f"push on {stream}", stream.job.is_cut(stream.phase)))
        except Refused as why:
            self.refused(mark.what, why)
        except (OSError, EOFError):
            self.passed["cut"] += 1
        else:
            return None
        return self.drop(stream)


class Race(Orders):
    """The orders are given while threads send."""

    def __init__(self, arena, rng, seed, threads=4):
        super().__init__(arena, rng)
        self.turns = Turns(arena.implicit)
        self.shown = [arena.implicit]  # what the threads draw from; replaced, never changed
        self.over = threading.Event()
        self.threads = [Traffic(self, seed * 100 + i) for i in range(threads)]

    def draw(self, rng):
        return rng.choice(self.shown)

    def new(self, in_flight=False):
        self.turns.count += 1
        super().new(in_flight)
        self.show()
        self.turns.count += 1

    def show(self):
        self.shown = self.jobs + self.closed[-1:]

    def run(self, steps, crashes):
        often = [self.advance] * 6 + [self.open] * 3 + [self.close] + [self.new] * 2 + [self.reload, self.seal]
        ends = set(self.rng.sample(range(3, steps), crashes))
        for thread in self.threads:
            thread.start()
        try:
            for step in range(steps):
                (self.crash if step in ends else self.rng.choice(often))()
                self.show()
                self.compare()
                self.let_pass(25)
        finally:
            self.over.set()
            for thread in self.threads:
                thread.join()
        wrong = [text for thread in self.threads for text in thread.wrong]
        assert not wrong, "\n".join(wrong[:20])

    def moved(self):
        return sum(sum(thread.passed.values()) for thread in self.threads)

    def let_pass(self, count):
        """Until the threads have done that much more."""
        until = self.moved() + count
        assert eventually(lambda: self.moved() >= until, PATIENCE), "no traffic any more"


@pytest.mark.parametrize("seed", range(1, 4))
def test_orders_while_traffic_goes_on(arena, seed):
    race = Race(arena(), random.Random(1000 + seed), seed)
    played(race, seed, 100, 5)
    passed = sum((thread.passed for thread in race.threads), collections.Counter())
    assert passed["sent"] > 100 and passed["refused"] > 20 and passed["forbidden"] > 10, passed


# What an advance secret is not good for -----------------------------------------------------------------------------

def denied(proxy):
    return proxy.metric("exeat_control_denied_total")


def test_an_advance_secret_only_advances_its_own_job(arena):
    """The agent has come by the secret of its job, and tries everything else with it."""
    arena = arena()
    controls, proxy = arena.controls, arena.proxy
    first, second = controls.open([["setup"], ["agent"]]), controls.open([["setup"], ["agent"]])
    attempts = []
    for job in (first, arena.implicit):
        status, text = controls.holder(job.secret, "/-/phase/advance")
        assert status == 200, text
        others = [other.id for other in (first, second, arena.implicit) if other is not job]
        attempts += [(job.secret, path, body, 403) for path, body in (
            ("/-/job/open", {"phases": "setup,agent"}), ("/-/job/new", None), ("/-/reload", None),
            ("/-/job/close", {"job": job.id or "j-aaaaaaaaaaaa"}), ("/-/job/close", {"job": second.id}),
            *(("/-/phase/advance", {"job": other}) for other in others))]
    # Nobody, and what only looks like a secret.
    attempts += [(secret, "/-/phase/advance", {"job": second.id}, 401) for secret in (
        None, "guessed", first.secret[:-1], first.secret + "x", first.tokens["agent"], first.id)]
    before, count = controls.status(), denied(proxy)

    def attempt(secret, path, body, wanted):
        status, text = controls.holder(secret, path, body)
        assert status == wanted, (path, body, status, text)
        assert wanted == 401 or "advance secret" in text.lower(), text

    # At once: each of them is slowed.
    with concurrent.futures.ThreadPoolExecutor(len(attempts)) as pool:
        for done in [pool.submit(attempt, *one) for one in attempts]:
            done.result()
    assert denied(proxy) == count + len(attempts)
    assert controls.status() == before
    for job in (first, arena.implicit):
        # Back, in place of on; a phase that there is not.
        for to in ("setup", "nowhere"):
            status, text = controls.holder(job.secret, "/-/phase/advance", {"to": to})
            assert status == 409, (status, text)
        # Its own job's state is no secret from it, and no other job's is in it.
        status, text = controls.holder(job.secret, "/-/phase/status", method="GET")
        assert status == 200 and [told["job"] for told in json.loads(text)["jobs"]] == [job.id]
    assert controls.holder(first.secret, f"/-/phase/status?job={second.id}", method="GET")[0] == 403
    assert controls.status() == before
    # The secret ends with its job.
    assert controls.close(first)[0] == 200
    assert controls.holder(first.secret, "/-/phase/advance")[0] == 401
    for secret in (arena.secret, first.secret, second.secret):
        assert secret not in proxy.text() and not any(secret in str(record) for record in proxy.log())


def as_user(uid, groups, *command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False,
                          user=uid, group=uid, extra_groups=groups, env=clean_environment())


def test_a_uid_of_a_phase_is_no_operator(exeat, tmp_path, origin):
    """A control socket that its group may open: whoever stands for a phase by its uid gets nothing there."""
    done = run_exeat("state", "init", tmp_path / "state")
    assert done.returncode == 0, done.stderr
    peers = [{"uid": uid, "phase": phase} for phase, uid in UIDS.items()]
    sources = [{"peer": peers}, {"source": [{"cidr": "10.0.0.0/8", "phase": "mcp"}]}]
    settings = {"identity": {phase: ["listener", {"any_of": sources}] for phase in UIDS},
                "job": {"phases": ["setup", {"parallel": ["agent", "mcp"]}], "state_dir": str(tmp_path / "state")}}
    server = origin(lambda connection: connection.read_all())
    rules = [{"host": HOST, "ports": [server.port], "tls": "any"}]
    policy = policy_of(setup=rules, agent=rules, mcp=rules, addresses=[loopback()])
    proxy = exeat(policy, {**settings, "control": {"mode": "0660"}})
    os.chmod(proxy.folder, 0o755)
    assert os.stat(proxy.control).st_mode & 0o777 == 0o660
    group = os.stat(proxy.control).st_gid
    orders = [("job", "new"), ("job", "open", "--phases", "setup,agent"), ("job", "close", "j-aaaaaaaaaaaa"),
              ("phase", "advance"), ("phase", "status")]

    def attempt(uid, words):
        done = as_user(uid, [group], BINARY, *words, "--control", proxy.control)
        assert done.returncode == 1 and "uid" in done.stderr, (words, done.stdout, done.stderr)

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(attempt, uid, words) for uid in UIDS.values() for words in orders]:
            done.result()
    assert denied(proxy) == len(UIDS) * len(orders)
    # Not even near it without the group.
    assert as_user(UIDS["agent"], [], BINARY, "phase", "advance", "--control", proxy.control).returncode != 0
    told = proxy.logged(event="process", code="control-denied")["text"]
    assert str(UIDS["setup"]) in told
    assert run_exeat("phase", "status", "--control", proxy.control).returncode == 0
    # Open to all, it does not start.
    config = json.loads(proxy.config_file.read_text())
    config["control"]["mode"] = "0666"
    open_to_all = proxy.config_file.with_name("open.yaml")
    open_to_all.write_text(json.dumps(config))
    refused = run_exeat("serve", "--config", open_to_all)
    assert refused.returncode == 2 and "control socket must not be open to others" in refused.stderr, refused.stderr
    # Somebody in the group who stands for no phase is an operator.
    done = as_user(20099, [group], BINARY, "phase", "advance", "--control", proxy.control)
    assert done.returncode == 0, done.stderr


def test_a_crowd_at_the_admin_port_keeps_no_operator_out(arena):
    """Whatever runs in setup can connect to the admin port, as often as it likes; the seal must not wait for it."""
    arena = arena()
    live = Stream(arena, arena.implicit, "setup", "connect", arena.ledger.issue("before"), True)
    with contextlib.ExitStack() as crowd:
        for _ in range(400):
            sock = crowd.enter_context(socket.create_connection(("127.0.0.1", arena.proxy.ports["admin"])))
            sock.send(b"POST /-/phase/advance HTTP/1.1\r\nHost: localhost\r\n")
        status, text = arena.controls.advance(arena.implicit)
        assert status == 200, text
        assert live.ends()


def test_who_holds_every_descriptor_keeps_no_operator_out(arena):
    """setup opens tunnels until the process has no descriptor left; it is sealed all the same, also on disk."""
    arena = arena()
    pid = arena.proxy.process.pid

    def used():
        return len(os.listdir(f"/proc/{pid}/fd"))

    limit = used() + 40
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    streams = []
    with contextlib.ExitStack() as idle:
        with pytest.raises(Refused, match="out-of-descriptors"):
            while len(streams) < 100:
                streams.append(Stream(arena, arena.implicit, "setup", "connect", arena.ledger.issue("before"), True))
        while used() < limit:
            idle.enter_context(arena.proxy.client("setup"))
            eventually(lambda: used() == limit, 0.2)
        for _ in range(2):  # the second finds everything as the first left it
            status, text = arena.controls.advance(arena.implicit, "agent")
            assert status == 200, text
        assert all(stream.ends() for stream in streams)
    arena.proxy.crash()
    arena.proxy.restart()
    assert arena.controls.status() == {"": 1}


def test_a_connection_that_outlives_its_job_is_closed(arena):
    """A client that keeps its connections alive goes on in the next job with another one."""
    arena = arena()
    old = Stream(arena, arena.implicit, "setup", "http", arena.ledger.issue("the first job"), True)
    assert arena.controls.new()[0] == 200
    with pytest.raises(Refused, match="identity-changed"):
        old.send(arena.ledger.issue("on the old connection", True))
    assert old.ends()
    job = Job("", PLAN)
    Stream(arena, job, "setup", "http", arena.ledger.issue("the second job"), True).close()
    finish(arena)


# A grace is for what is under way, and for its own job ---------------------------------------------------------------

LONG = 3_600_000  # milliseconds: no test waits for it


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "http"])
def test_a_grace_leaves_what_is_under_way_alive(arena, kind):
    arena = arena()
    controls, mark = arena.controls, arena.ledger.issue
    other = controls.open(PLAN)
    under_way = Stream(arena, arena.implicit, "setup", kind, mark("before"), True)
    assert controls.advance(arena.implicit, grace=LONG)[0] == 200
    under_way.send(mark("within"))
    # Neither a reload nor another job's orders end it, nor the job's next step.
    arena.proxy.reload()
    assert controls.advance(other, secret=other.secret)[0] == 200
    assert controls.close(other)[0] == 200
    under_way.send(mark("still within"))
    # The same order without a grace does.
    assert controls.advance(arena.implicit, "agent")[0] == 200
    under_way.push(mark("too late", True))
    assert under_way.ends()
    finish(arena)


def test_each_step_has_its_own_grace(arena):
    arena = arena()
    controls, mark = arena.controls, arena.ledger.issue
    job = controls.open([["setup"], ["agent"], ["mcp"]])
    first, second = (Stream(arena, job, phase, "connect", mark(phase), True) for phase in ("setup", "agent"))
    assert controls.advance(job, grace=500)[0] == 200
    assert controls.advance(job, grace=LONG)[0] == 200
    assert first.ends()
    second.send(mark("within its grace"))
    assert controls.close(job)[0] == 200
    assert second.ends()
