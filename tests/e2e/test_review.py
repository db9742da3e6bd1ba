"""The review store: what was decided is in the database, whatever happens to the process, the disk or the lock."""
import json
import os
import shutil
import sqlite3
import threading
import time
from contextlib import closing
from datetime import datetime, timezone

import pytest

from harness.client import eventually
from harness.origin import echo
from harness.proxy import Exeat, loopback, policy_of

HOST = "origin.corp.example"
STORE = {"review": {"database": "review.sqlite"}}


def database(proxy):
    return proxy.folder / "review.sqlite"


def ask(proxy, sql, *values):
    """All rows, of a reader beside the writer."""
    with closing(sqlite3.connect(f"file:{database(proxy)}?mode=ro", uri=True, timeout=10)) as reader:
        return reader.execute(sql, values).fetchall()


def stored(proxy, **fields):
    where = " AND ".join(["1", *(f"{name} = ?" for name in fields)])
    return ask(proxy, f"SELECT coalesce(sum(count), 0) FROM groups WHERE {where}", *fields.values())[0][0]


def refuse(proxy, host, times=1, phase="agent"):
    for _ in range(times):
        with proxy.client(phase) as client:
            assert client.connect(f"{host}:443").status == 403


def health(proxy):
    return json.loads(proxy.admin("/-/healthy")[1])


def test_decisions_are_grouped_and_add_up(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of(agent=[{"host": HOST, "ports": [server.port], "tls": "any"}], addresses=[loopback()]), STORE)
    refuse(proxy, "denied.corp.example", 3)
    refuse(proxy, "denied.corp.example", phase="setup")
    with proxy.client() as client:
        assert client.get("http://plain.corp.example/path?secret").status == 403
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        client.send(b"ping")
        assert client.read_exactly(4) == b"ping"
    assert eventually(lambda: stored(proxy) == 6)
    assert eventually(lambda: ask(proxy, "SELECT bytes_up, bytes_down FROM groups WHERE host = ?", HOST) == [(4, 4)])
    assert ask(proxy, "SELECT phase, job, port, scheme, reason, rule, refused, count FROM groups"
                      " WHERE host = 'denied.corp.example' ORDER BY phase") == [
        ("agent", "", 443, "https", "no-rule", "", 1, 3), ("setup", "", 443, "https", "no-rule", "", 1, 1)]
    assert ask(proxy, "SELECT scheme, port FROM groups WHERE host = 'plain.corp.example'") == [("http", 80)]
    # Of each group its first request and its latest.
    samples = ask(proxy, "SELECT decision, method, process FROM samples JOIN groups ON group_id = id"
                         " WHERE host = 'denied.corp.example' AND phase = 'agent' ORDER BY place")
    logged = [record["decision"] for record in proxy.log(host="denied.corp.example", phase="agent")]
    assert [sample[0] for sample in samples] == [logged[0], logged[-1]]
    assert samples[0][1] == "CONNECT"
    # One count in three places.
    for verdict, number in (("allow", 0), ("deny", 1)):
        assert proxy.metric("exeat_decisions_total", verdict=verdict) == stored(proxy, verdict=number)
    assert proxy.metric("exeat_review_decisions_total") == 6
    assert proxy.metric("exeat_review_detail_lost_total") == 0
    assert "trouble" not in health(proxy)["review"]
    assert os.stat(database(proxy)).st_mode & 0o777 == 0o600
    proxy.stop()
    # (A reader makes one anew.)
    assert not database(proxy).with_name("review.sqlite-wal").exists()
    assert stored(proxy) == 6


def test_the_end_writes_what_is_there_and_the_next_start_adds_to_it(exeat):
    proxy = exeat(policy_of(), STORE)
    refuse(proxy, "denied.corp.example", 2)
    proxy.stop()
    assert stored(proxy) == 2
    proxy.restart()
    refuse(proxy, "denied.corp.example", 1)
    proxy.stop()
    assert ask(proxy, "SELECT count FROM groups") == [(3,)]


def test_a_kill_loses_at_most_the_last_second(exeat):
    """A stream of names of which each is asked for once; SIGKILL in the midst of it. A machine under load, or a
    sanitizer, may hold the thread up for longer than that: one of a few tries counts, and none may leave a damaged
    database."""
    proxy = exeat(policy_of(), STORE)
    number, best = 0, 1e9
    for _ in range(4):
        began = number
        until = time.monotonic() + 2.5
        with proxy.client() as client:
            while time.monotonic() < until:
                number += 1
                assert client.get(f"http://n{number}.corp.example/").status == 403
                time.sleep(0.0005)  # within what a job may ask
        killed = datetime.now(timezone.utc).timestamp()
        proxy.crash()
        assert ask(proxy, "PRAGMA integrity_check") == [("ok",)]
        kept = {host for host, in ask(proxy, "SELECT host FROM groups")}
        lost = [record for record in proxy.log(event="decision") if record["host"] not in kept]
        times = [datetime.fromisoformat(record["time"].replace("Z", "+00:00")).timestamp() for record in lost]
        best = min(best, killed - min(times, default=killed))
        assert f"n{began + 1}.corp.example" in kept
        proxy.log_file.unlink()
        proxy.restart()
        if best <= 1:
            break
    assert best <= (10 if os.environ.get("EXEAT_SANITIZED") == "1" else 1), f"{best} s were lost"


def test_a_locked_database_costs_nothing(exeat):
    proxy = exeat(policy_of(), STORE)
    refuse(proxy, "denied.corp.example")
    assert eventually(lambda: stored(proxy) == 1)
    with closing(sqlite3.connect(database(proxy), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        refuse(proxy, "denied.corp.example", 5)
        refuse(proxy, "other.corp.example", 5)
        assert eventually(lambda: health(proxy)["status"] == "degraded")
        seen = health(proxy)["review"]
        assert seen["waiting"] == 2 and "database is locked" in seen["trouble"]
        assert proxy.metric("exeat_review_errors_total") >= 1
        assert proxy.logged(code="review-unwritten", level="error")
        assert stored(proxy) == 1
        other.execute("ROLLBACK")
    assert eventually(lambda: stored(proxy) == 11)
    assert eventually(lambda: health(proxy)["status"] == "ok")
    assert health(proxy)["review"] == {"waiting": 0, "detail_lost": 0}
    assert proxy.logged(code="review-written")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("mount"), reason="mounts a small file system")
def test_a_full_disk_costs_nothing(exeat, tmp_path):
    import subprocess
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=False).returncode != 0:
        pytest.skip("this container may not mount")
    try:
        proxy = exeat(policy_of(), {"review": {"database": str(small / "review.sqlite")}})
        (small / "ballast").write_bytes(bytes(os.statvfs(small).f_bavail * os.statvfs(small).f_frsize))
        with proxy.client() as client:
            for n in range(300):
                assert client.get(f"http://n{n}.corp.example/").status == 403
        assert eventually(lambda: "full" in health(proxy)["review"].get("trouble", ""))
        (small / "ballast").unlink()
        assert eventually(lambda: health(proxy)["review"] == {"waiting": 0, "detail_lost": 0})
        with closing(sqlite3.connect(small / "review.sqlite")) as reader:
            assert reader.execute("SELECT sum(count), count(*) FROM groups").fetchall() == [(300, 300)]
        proxy.stop()
    finally:
        subprocess.run(["umount", "-l", small], check=False)


def test_a_newer_database_stops_the_start(dns):
    proxy = Exeat(policy_of(), STORE, dns=dns.address)
    try:
        proxy.start()
        proxy.stop()
        with closing(sqlite3.connect(database(proxy))) as other:
            other.execute("PRAGMA user_version = 7")
        with pytest.raises(AssertionError, match="was written by a newer exeat .its schema is 7, this one knows"):
            proxy.start()
        assert proxy.process.returncode == 2
    finally:
        proxy.remove()


def test_by_default_it_is_in_the_state_directory(dns, tmp_path):
    """As under systemd with StateDirectory=; without a state directory there is no store, and nothing is written."""
    for settings, environment, there in (
            ({}, {"STATE_DIRECTORY": str(tmp_path / "a")}, tmp_path / "a" / "review.sqlite"),
            ({}, {"XDG_STATE_HOME": str(tmp_path / "b")}, tmp_path / "b" / "exeat" / "review.sqlite"),
            ({"review": {"database": "none"}}, {"STATE_DIRECTORY": str(tmp_path / "c")}, None), ({}, {}, None)):
        proxy = Exeat(policy_of(), settings, environment=environment, dns=dns.address)
        try:
            proxy.start()
            assert ("review" in health(proxy)) == (there is not None)
            proxy.stop()
            assert there is None or there.exists()
        finally:
            proxy.remove()
    assert not (tmp_path / "c").exists()


def test_many_writers_of_one_name_space(exeat):
    """All workers at once, and a reader all the while: no decision is lost or counted twice."""
    proxy = exeat(policy_of(), {**STORE, "workers": 3})

    def stream(worker):
        with proxy.client() as client:
            for n in range(200):
                assert client.get(f"http://n{n % 20}.w{worker}.corp.example/").status == 403
    threads = [threading.Thread(target=stream, args=(worker,)) for worker in range(6)]
    for thread in threads:
        thread.start()
    seen = []
    while any(thread.is_alive() for thread in threads):
        seen.append(stored(proxy))
    for thread in threads:
        thread.join()
    assert seen == sorted(seen)
    assert eventually(lambda: stored(proxy) == 1200)
    assert ask(proxy, "SELECT count(*) FROM groups") == [(120,)]
    assert proxy.metric("exeat_log_lines_dropped_total", sink="ring") == 0
