"""A new policy without a restart; a bad one changes nothing but what health and metrics say."""
import json
import os
import shutil
import signal

import pytest

from harness.client import Client, client_hello, eventually
from harness.origin import echo
from harness.proxy import Exeat, free_port, loopback, policy_of, run_exeat

HOST = "origin.corp.example"


def allow(port):
    return policy_of(agent=[{"host": HOST, "ports": [port], "tls": "any"}], addresses=[loopback()])


def status_of(proxy, port):
    with proxy.client() as client:
        return client.connect(f"{HOST}:{port}").status


def test_sighup_puts_the_new_policy_in_force(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of())
    assert status_of(proxy, server.port) == 403
    proxy.reload(allow(server.port))
    assert eventually(lambda: status_of(proxy, server.port) == 200)
    assert proxy.metric("exeat_reloads_total", result="success") == 1
    assert proxy.metric("exeat_last_reload_successful") == 1


@pytest.mark.parametrize("bad, told", [
    ("version: 1\nphases:\n  agent:\n    alow: []\n", "policy.yaml:4"),
    ("version: 1\nphases: {agent: {allow: [{host: '*.com'}]}}\n", "policy.yaml:2"),
    ("{", "policy.yaml:"), ("", "policy.yaml"), ("version: 1\nphases: {setup: {allow: []}}\n", "agent")])
def test_a_bad_file_keeps_the_old_policy(exeat, origin, bad, told):
    server = origin(echo)
    proxy = exeat(allow(server.port))
    proxy.reload(bad)
    assert proxy.metric("exeat_reloads_total", result="failure") == 1
    assert proxy.metric("exeat_last_reload_successful") == 0
    assert status_of(proxy, server.port) == 200
    assert told in proxy.logged(event="process", code="reload-failed")["text"]
    _, health = proxy.admin("/-/healthy")
    assert "reload" in health
    proxy.reload(allow(server.port))
    assert proxy.metric("exeat_last_reload_successful") == 1


def test_all_errors_of_a_file_at_once(exeat):
    proxy = exeat(policy_of())
    proxy.write_policy("version: 1\nphases:\n  agent:\n    allow:\n      - hots: a.example\n      - {host: b.example, "
                       "ports: [0]}\n  Bad: {}\n")
    done = run_exeat("check", "--policy", proxy.policy_file, "--phase", "agent", "https://a.example/")
    assert done.returncode == 2
    assert "policy.yaml:5:" in done.stderr and "policy.yaml:6:" in done.stderr and "policy.yaml:7:" in done.stderr
    assert "`host`" in done.stderr


def test_a_file_that_others_may_write_is_refused(exeat):
    proxy = exeat(policy_of())
    proxy.policy_file.chmod(0o666)
    done = run_exeat("check", "--policy", proxy.policy_file, "--phase", "agent", "https://a.example/")
    assert done.returncode == 2 and "policy-untrusted-file" in done.stderr
    proxy.signal(signal.SIGHUP)
    assert eventually(lambda: proxy.metric("exeat_reloads_total", result="failure") == 1)
    assert "policy-untrusted-file" in proxy.logged(event="process", code="reload-failed")["text"]
    started = run_exeat("serve", "--policy", proxy.policy_file, "--listen", "agent=127.0.0.1:0", "--admin", "none")
    assert started.returncode != 0 and "policy-untrusted-file" in started.stderr


def test_a_directory_that_others_may_write_is_refused(tmp_path):
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "policy.yaml").write_text("version: 1\nphases: {agent: {allow: []}}\n")
    arguments = ["check", "--policy", folder / "policy.yaml", "--phase", "agent", "https://a.example/"]
    done = run_exeat(*arguments)
    assert done.returncode == 2 and "policy-untrusted-file" in done.stderr
    assert run_exeat(*arguments, "--insecure-policy-file").returncode == 1


def test_tunnels_live_on_under_the_decision_that_admitted_them(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        proxy.reload(policy_of())
        assert status_of(proxy, server.port) == 403
        client.send(b"still here")
        assert client.read_exactly(10) == b"still here"


def test_on_tighten_cut_ends_what_the_new_policy_denies(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"on_tighten": "cut"})
    with proxy.client() as client:
        client.connect(f"{HOST}:{server.port}")
        client.send(b"x")
        assert client.read_exactly(1) == b"x"
        proxy.reload(allow(server.port))
        client.send(b"y")
        assert client.read_exactly(1) == b"y"
        proxy.reload(policy_of())
        assert client.is_closed()
    assert proxy.logged(event="close")["reason"] != "allowed"


def test_on_tighten_cut_reaches_a_tunnel_that_waits_for_its_hello(exeat, origin):
    server = origin(echo)
    rule = {"host": HOST, "ports": [server.port]}
    proxy = exeat(policy_of(agent=[rule], addresses=[loopback()]), {"on_tighten": "cut"})
    with proxy.client() as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
        proxy.reload(policy_of())
        client.send(client_hello(HOST))
        assert client.is_closed()
    end = proxy.logged(event="close")
    assert (end["verdict"], end["reason"]) == ("deny", "no-rule")
    assert not any(c.received for c in server.connections)


def control_reload(path):
    with Client(path) as client:
        client.send("POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return client.answer()


def test_reload_by_the_control_socket(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of())
    assert os.stat(proxy.control).st_mode & 0o777 == 0o600
    proxy.write_policy(allow(server.port))
    assert control_reload(proxy.control).status == 200
    assert eventually(lambda: status_of(proxy, server.port) == 200)
    proxy.write_policy("version: 2\n")
    answer = control_reload(proxy.control)
    assert answer.status >= 400 and b"policy.yaml" in answer.body
    assert status_of(proxy, server.port) == 200


def test_reload_by_the_admin_port_needs_the_token(exeat, tmp_path):
    assert exeat(policy_of()).admin("/-/reload", "POST")[0] in (401, 403, 404, 405)
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    token.chmod(0o600)
    port = free_port()
    proxy = exeat(policy_of(), {"admin": {"address": f"127.0.0.1:{port}", "reload_token_file": str(token)}})
    proxy.ports["admin"] = port
    assert proxy.admin("/-/reload", "POST")[0] in (401, 403)
    assert proxy.admin("/-/reload", "POST", {"Authorization": "Bearer wrong-wrong-wrong-wrong-wrong"})[0] in (401, 403)
    assert proxy.metric("exeat_reloads_total") == 0
    good = {"Authorization": "Bearer 0123456789abcdef0123456789abcdef"}
    assert proxy.admin("/-/reload", "POST", good)[0] == 200
    assert proxy.metric("exeat_reloads_total", result="success") == 1


def test_watch_follows_a_replaced_file(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of(), {"watch": True})
    proxy.write_policy(allow(server.port))
    assert eventually(lambda: status_of(proxy, server.port) == 200)


def test_watch_follows_what_the_policy_includes(exeat, origin):
    server = origin(echo)
    proxy = exeat(policy_of(addresses=[loopback()]), {"watch": True})
    folder = proxy.folder / "policy.d"
    folder.mkdir()
    more = {"version": 1, "phases": {"agent": {"allow": [{"host": HOST, "ports": [server.port]}]}}}
    proxy.write_policy({**policy_of(addresses=[loopback()]), "include": ["policy.d/"]})
    assert eventually(lambda: proxy.metric("exeat_reloads_total", result="success") == 1)
    assert status_of(proxy, server.port) == 403
    (folder / "team.yaml").write_text(json.dumps(more))
    assert eventually(lambda: status_of(proxy, server.port) == 200)
    (folder / "team.yaml").write_text(json.dumps({**more, "addresses": []}))
    assert eventually(lambda: proxy.metric("exeat_reloads_total", result="failure") >= 1)
    assert "team.yaml:1:" in proxy.logged(event="process", code="reload-failed")["text"]
    assert status_of(proxy, server.port) == 200
    (folder / "team.yaml").unlink()
    assert eventually(lambda: status_of(proxy, server.port) == 403)


def test_an_included_file_that_others_may_write_is_refused(exeat):
    proxy = exeat(policy_of())
    more = proxy.folder / "more.yaml"
    more.write_text("version: 1\n")
    more.chmod(0o666)
    proxy.write_policy({**policy_of(), "include": "more.yaml"})
    done = run_exeat("check", "--policy", proxy.policy_file, "--phase", "agent", "https://a.example/")
    assert done.returncode == 2 and "policy-untrusted-file" in done.stderr and "more.yaml" in done.stderr


def test_watch_follows_a_symlink_swap_as_a_config_map_does_it(exeat, origin, dns):
    """policy.yaml -> ..data/policy.yaml, ..data -> ..<n>; the update renames a new ..data over the old one."""
    server = origin(echo)
    proxy = Exeat(policy_of(), {"watch": True, "policy": "mounted/policy.yaml"}, dns=dns.address)
    mounted = proxy.folder / "mounted"

    def publish(number, policy):
        version = mounted / f"..{number}"
        version.mkdir(parents=True)
        (version / "policy.yaml").write_text(json.dumps(policy))
        os.symlink(version.name, mounted / "..tmp")
        os.rename(mounted / "..tmp", mounted / "..data")
        if number > 1:
            shutil.rmtree(mounted / f"..{number - 1}")
    publish(1, policy_of())
    os.symlink("..data/policy.yaml", mounted / "policy.yaml")
    proxy.start()
    try:
        for number, policy, status in ((2, allow(server.port), 200), (3, policy_of(), 403), (4, allow(server.port), 200)):
            publish(number, policy)
            assert eventually(lambda wanted=status: status_of(proxy, server.port) == wanted), number
    finally:
        proxy.stop()
        proxy.remove()
