"""The dashboard and its API, against a real process with real traffic. A browser (Debian's chromium, driven by
playwright-core) goes through every page, wide and phone-sized; whatever the browser complains of, the content security
policy above all, fails the test, and so does whatever axe-core finds."""
import json
import os
import pty
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import jsonschema
import pytest

from harness.client import Client, eventually
from harness.origin import echo
from harness.proxy import BINARY, SANITIZER, clean_environment, loopback, policy_of, run_exeat

ROOT = Path(os.environ.get("EXEAT_ROOT", Path(__file__).parents[2]))
DASHBOARD = ROOT / "dashboard"
CHROMIUM = shutil.which("chromium")
OPERATOR = "operator-token-0123456789"

LONG = "data-" + "a" * 50 + "." + ".".join(["b" * 60] * 3) + ".x.example"  # 253 octets or nearly
LOOKALIKE = "xn--80ak6aa92e.com"  # reads as another one does
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202egnp.\u2066exe"


@pytest.fixture(scope="session")
def node():
    """node_modules of dashboard/, by the lock file."""
    if not (DASHBOARD / "node_modules" / "playwright-core").is_dir():
        done = subprocess.run(["npm", "ci", "--ignore-scripts"], cwd=DASHBOARD, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def run(*arguments, input=None, timeout=240):
        return subprocess.run(["node", *arguments], cwd=DASHBOARD, capture_output=True, text=True, input=input,
                              timeout=timeout, check=False, env=clean_environment())
    return run


def policy():
    return {
        **policy_of(
            agent=[{"host": "origin.corp.example", "ports": "any", "tls": "any", "reason": HOSTILE, "owner": "platform"},
                   {"host": "*.blob.corp.example", "max_names": 8, "upload_limit": "20MiB", "reason": "build caches"},
                   {"host": "api.model.example", "reason": "model API", "owner": "platform", "ticket": "SEC-142",
                    "expires": "2031-03-31"},
                   {"host": "old.corp.example", "reason": "until the move", "expires": "2024-01-31"},
                   {"host": "münchen.example", "reason": "partner"}],
            setup=[{"use": "node"}, {"use": "python"}],
            deny=[{"host": "**.webhook.site", "reason": "a sink"}],
            addresses=[loopback("origin.corp.example")]),
    }


@pytest.fixture
def stage(exeat, origin, tmp_path):
    """A process with a job, and people: what most tests here look at."""
    assert run_exeat("state", "init", tmp_path / "state").returncode == 0
    (tmp_path / "operator").write_text(OPERATOR)
    (tmp_path / "operator").chmod(0o600)
    tokens, lines = {}, []
    for role in ("viewer", "developer", "reviewer", "admin"):
        made = json.loads(run_exeat("token", "--role", role, "--name", f"{role}@corp", "--format", "json").stdout)
        tokens[role] = made["token"]
        lines.append(made["line"])
    people = tmp_path / "people"
    people.write_text("# who may look\n" + "\n".join(lines) + "\n")
    server = origin(echo)

    def make(settings=None, **more):
        proxy = exeat(policy(), {"job": {"phases": ["setup", {"parallel": ["agent", "mcp"]}], "state_dir": str(tmp_path / "state")},
                                 "operator_token_file": str(tmp_path / "operator"), **(settings or {})}, **more)
        proxy.tokens, proxy.people, proxy.origin_port = tokens, people, server.port
        return proxy

    def with_people(settings=None):
        return make(settings, arguments=["--admin-tokens", str(people)])
    make.with_people = with_people
    return make


def ask(proxy, target):
    with proxy.client() as client:
        return client.connect(target).status


def traffic(proxy):
    """Something of everything that the pages show."""
    for target in ("evil.example:443", f"{LOOKALIKE}:443", f"{LONG}:443", "hooks.webhook.site:443", "api.model.example:22",
                   "old.corp.example:443", "10.0.0.1:443"):
        assert ask(proxy, target) == 403, target
    with proxy.client("setup") as client:
        assert client.get("http://plain.example/a").status == 403
    with proxy.client() as client:
        assert client.connect(f"origin.corp.example:{proxy.origin_port}").status == 200
        client.send(b"hello")
        assert client.recv() == b"hello"


def call(proxy, path, role="admin", method="GET", **headers):
    status, text = proxy.admin(path, method, {"Authorization": f"Bearer {proxy.tokens[role]}",
                                              **({"Content-Type": "application/json"} if method == "POST" else {}), **headers})
    return status, json.loads(text)


def drive(node, proxy, steps, name, phone=False, scheme="light", shots=None, token=None, **more):
    want = {
        "url": f"http://127.0.0.1:{proxy.ports['admin']}", "token": token or proxy.tokens["admin"], "chromium": CHROMIUM,
        "viewport": {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}, "phone": phone,
        "scheme": scheme, "name": name, "steps": steps, "shots": str(shots) if shots else None, "denied": "evil.example",
        "tried": "blob.corp.example", **more}
    done = node("test/pages.mjs", input=json.dumps(want))
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert "failed" not in seen, (seen["failed"], seen["texts"].get("failed"), seen["complaints"])
    return seen


# The pages -----------------------------------------------------------------------------------------------------------

PAGES = ["login", "overview", "live", "policy", "jobs"]


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
@pytest.mark.parametrize("name, phone, scheme", [("wide", False, "light"), ("dark", False, "dark"), ("phone", True, "light")])
def test_every_page(stage, node, tmp_path, name, phone, scheme):
    proxy = stage.with_people()
    shots = ROOT / "docs" / "screenshots" if os.environ.get("EXEAT_SCREENSHOTS") else tmp_path
    traffic(proxy)
    order = run_exeat("phase", "advance", "--to", "agent", "--control", proxy.control)
    assert order.returncode == 0, order.stderr
    stop = threading.Event()

    def go_on():
        while not stop.wait(0.3):
            ask(proxy, f"{LOOKALIKE}:443")
            ask(proxy, "evil.example:443")
            ask(proxy, f"origin.corp.example:{proxy.origin_port}")
    more = threading.Thread(target=go_on)
    more.start()
    try:
        time.sleep(11 if os.environ.get("EXEAT_SCREENSHOTS") else 0)  # a chart with something on it
        seen = drive(node, proxy, PAGES + ([] if phone else ["keys", "reload"]) + ["logout"], name, phone, scheme, shots)
    finally:
        stop.set()
        more.join()
    assert seen["complaints"] == []
    assert {page: found for page, found in seen["axe"].items() if found} == {}
    assert {key: value for key, value in seen["facts"].items() if key.endswith(" overflows") and value} == {}
    assert {key: value for key, value in seen["facts"].items() if key.endswith(" markup") and value} == {}
    own = f"http://127.0.0.1:{proxy.ports['admin']}/"
    assert {url for url in seen["requests"] if not url.startswith(own)} == set()
    for links in (value for key, value in seen["facts"].items() if key.endswith(" links")):
        assert all(link.startswith("#") for link in links), links

    facts, texts = seen["facts"], seen["texts"]
    assert "token is not good" in facts["wrong token"]
    assert facts["address after login"].endswith("/#/overview")  # no token left in it
    [cookie] = facts["cookies"]
    assert cookie == {"name": f"exeat_session_{proxy.ports['admin']}", "httpOnly": True, "sameSite": "Strict", "path": "/v1/"}
    assert facts["cookie of script"] == "" and facts["key after logout"] is None
    assert "no-rule" in texts[f"{name}-overview"] and "deny-rule" in texts[f"{name}-overview"]
    assert "paused" in facts["paused"]
    live = texts[f"{name}-live"]
    assert LOOKALIKE in live and "reads" in live and "a" * 40 not in live  # long labels are cut
    told = texts[f"{name}-policy"]
    assert "needs-apex" in told and "xn--mnchen-3ya.example" in told and "münchen.example" in told
    assert "<script>alert(2)</script>" in told and "\u202e" not in told and "U+202E" in told
    assert "Clear the filter" in texts["policy-empty"]
    assert "sealed" in texts[f"{name}-jobs"] and "current" in texts[f"{name}-jobs"]
    if not phone:
        assert facts["filtered"] >= 1 and facts["first tab"] == "To the page"
        assert proxy.metric("exeat_reloads_total", result="success") == 1
    assert "dashboard-login" in {record.get("code") for record in proxy.log()}
    written = proxy.log_file.read_text() + proxy.text()
    assert not any(token in written for token in proxy.tokens.values())


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_who_may_see_less_is_shown_less_and_a_link_is_good_once(stage, node, tmp_path):
    proxy = stage()
    link = tmp_path / "link"
    made = run_exeat("dashboard", "--role", "viewer", "--control", proxy.control)
    assert made.returncode == 2 and "terminal" in made.stderr and made.stdout == ""  # a pipe: the job may read it
    made = run_exeat("dashboard", "--role", "viewer", "--control", proxy.control, "--file", link)
    assert made.returncode == 0 and link.stat().st_mode & 0o777 == 0o600, made.stderr
    token = link.read_text().strip().rsplit("/", 1)[1]
    assert token not in made.stdout
    again = run_exeat("dashboard", "--control", proxy.control, "--file", link)
    assert again.returncode == 2 and "exist" in again.stderr.lower()
    seen = drive(node, proxy, ["login", "overview"], "viewer", token=token)
    assert seen["complaints"] == []
    assert "Live" not in seen["texts"]["viewer-overview"].splitlines() and "Reload policy" not in seen["texts"]["viewer-overview"]
    assert proxy.admin("/v1/login", "POST", {"Content-Type": "application/json"})[0] == 400
    assert token not in proxy.log_file.read_text() + proxy.text()


def test_what_is_embedded_is_what_the_sources_give(node):
    done = node("build.mjs", "--check")
    assert done.returncode == 0, done.stderr
    done = node("node_modules/typescript/bin/tsc", "--noEmit")
    assert done.returncode == 0, done.stdout
    lock = (DASHBOARD / "package-lock.json").read_text()
    assert '"resolved"' not in lock


# The API -------------------------------------------------------------------------------------------------------------

def test_the_document_is_openapi_and_every_answer_has_its_shape(stage, node):
    proxy = stage.with_people()
    traffic(proxy)
    proxy.logged(host="hooks.webhook.site")
    status, document = call(proxy, "/v1/openapi.json")
    assert status == 200
    printed = run_exeat("docs", "openapi").stdout
    assert json.loads(printed) == document
    done = node("test/openapi.mjs", input=printed)
    assert done.returncode == 0, done.stderr
    assert json.loads((ROOT / "docs" / "schema" / "openapi.json").read_text()) == document, "exeat docs openapi > docs/schema/openapi.json"

    def shape(name):
        return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": document["components"]})
    asked = {
        "/v1/try": ["?destination=evil.example", "?destination=http://origin.corp.example:80/x&method=POST",
                    "?destination=10.0.0.1:443", "?destination=%s" % LOOKALIKE],
        "/v1/policy/rules": ["", "?phase=deny", "?phase=setup&limit=3&offset=2", "?use=used", "?q=SEC-142"],
    }
    for path, methods in document["paths"].items():
        if path == "/v1/live":
            continue
        [(method, operation)] = methods.items()
        name = operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[1]
        if path == "/v1/login":
            continue
        for query in asked.get(path, [""]):
            status, answer = call(proxy, path + query, method=method.upper())
            assert status == 200, (path, answer)
            faults = [fault.message for fault in shape(name).iter_errors(answer)]
            assert faults == [], (path + query, faults)
        status, answer = proxy.admin(path, method.upper(), {"Content-Type": "application/json"})
        assert status == 401 and not list(shape("Error").iter_errors(json.loads(answer))), path


def test_the_numbers_are_those_of_the_metrics_and_of_explain(stage):
    proxy = stage.with_people()
    traffic(proxy)
    proxy.logged(host="hooks.webhook.site")
    overview = call(proxy, "/v1/overview", "viewer")[1]
    assert overview["totals"]["deny"] == proxy.metric("exeat_decisions_total", verdict="deny") == 8
    assert {(one["reason"], one["count"]) for one in overview["reasons"] if one["phase"] == "agent"} >= {("deny-rule", 1), ("ip-literal", 1)}
    assert overview["health"]["policy"]["digest"] == json.loads(proxy.admin("/-/healthy")[1])["policy"]["digest"]
    [used] = [rule for rule in call(proxy, "/v1/policy/rules?phase=agent&use=used", "viewer")[1]["rules"]]
    assert used["what"] == "origin.corp.example" and used["hits"] == 1 and used["reason"] == HOSTILE
    [deny] = call(proxy, "/v1/policy/rules?phase=deny", "viewer")[1]["rules"]
    assert deny["hits"] == 1
    told = call(proxy, "/v1/try?destination=blob.corp.example", "viewer")[1]
    assert told == json.loads(run_exeat("explain", "--policy", proxy.policy_file, "--format", "json", "blob.corp.example").stdout) | {
        "policy": told["policy"]}
    assert told["phases"][1]["rules"][0]["relation"] == "needs-apex"
    codes = {finding["code"] for finding in call(proxy, "/v1/policy/findings", "reviewer")[1]["findings"]}
    assert codes and call(proxy, "/v1/policy/findings", "developer")[0] == 403
    [agent] = [one for one in call(proxy, "/v1/jobs", "viewer")[1]["activity"] if one["phase"] == "agent"]
    assert (agent["allow"], agent["deny"]) == (1, 7)


class Stream:
    """/v1/live, event by event."""

    def __init__(self, proxy, query="", role="developer"):
        self.sock = socket.create_connection(("127.0.0.1", proxy.ports["admin"]), 30)
        self.sock.sendall(f"GET /v1/live{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {proxy.tokens[role]}\r\n\r\n".encode())
        self.data = b""
        self.head = self.until(b"\r\n\r\n").decode()

    def until(self, mark):
        while mark not in self.data:
            more = self.sock.recv(65536)
            if not more:
                raise EOFError(self.data)
            self.data += more
        out, self.data = self.data.split(mark, 1)
        return out

    def next(self):
        while True:
            fields = dict(line.split(": ", 1) for line in self.until(b"\n\n").decode().splitlines() if not line.startswith(":"))
            if "event" in fields:
                return fields["event"], json.loads(fields["data"]), int(fields.get("id", 0))

    def close(self):
        self.sock.close()


def test_live_shows_what_is_decided_filtered_and_from_where_it_was_left(stage):
    proxy = stage.with_people()
    assert ask(proxy, "before.example:443") == 403
    proxy.logged(host="before.example")
    stream = Stream(proxy)
    assert " 200 " in stream.head and "text/event-stream" in stream.head and "Content-Length" not in stream.head
    assert stream.next()[1]["host"] == "before.example"  # the latest refusals, for the first look
    only = Stream(proxy, "?phase=setup&show=refused&q=PLAIN")
    assert ask(proxy, f"origin.corp.example:{proxy.origin_port}") == 200
    name, line, number = stream.next()
    assert name == "decision" and line["host"] == "origin.corp.example" and line["verdict"] == "allow"
    with proxy.client("setup") as client:
        assert client.get("http://plain.example/").status == 403
    assert only.next()[1]["host"] == "plain.example"
    only.close()
    stream.close()
    later = Stream(proxy, f"?after={number}")
    hosts = [later.next()[1].get("host")]
    while hosts[-1] != "plain.example":
        hosts.append(later.next()[1].get("host"))
    assert "before.example" not in hosts
    later.close()
    assert Stream(proxy, role="viewer").head.startswith("HTTP/1.1 403")


def test_who_reads_slowly_is_told_what_he_missed_and_holds_up_nobody(stage):
    proxy = stage.with_people()
    slow = Stream(proxy)
    quick = Stream(proxy)
    for index in range(60):  # of the log's length, each
        with proxy.client() as client:
            client.send(b"".join(b"GET http://%s.example/ HTTP/1.1\r\nHost: %s.example\r\n\r\n" % (name, name)
                                 for name in (b"n%d-%d" % (index, inner) for inner in range(50))))
            for _ in range(50):
                assert client.answer().status == 403
    assert proxy.metric("exeat_decisions_total", verdict="deny") == 3000
    seen, missed = 0, 0
    while seen + missed < 3000:
        name, data, _ = quick.next()
        seen, missed = seen + (name == "decision"), missed + (data["missed"] if name == "gap" else 0)
    assert seen + missed == 3000
    seen, missed = 0, 0
    while seen + missed < 3000:  # whatever the socket's buffers took, none is lost without a word
        name, data, _ = slow.next()
        seen, missed = seen + (name == "decision"), missed + (data["missed"] if name == "gap" else 0)
    assert seen + missed == 3000
    slow.close()
    quick.close()


# Access --------------------------------------------------------------------------------------------------------------

def test_over_tcp_only_metrics_health_and_the_empty_page_are_open(stage):
    proxy = stage.with_people()
    for path in ("/metrics", "/-/healthy", "/-/ready"):
        assert proxy.admin(path)[0] == 200
    page = proxy.admin("/", "HEAD", {"Accept": "text/html"})[0]
    assert page == 200
    for path in ("/v1/overview", "/v1/policy", "/v1/policy/rules", "/v1/jobs", "/v1/live", "/v1/openapi.json", "/v1/session"):
        assert proxy.admin(path)[0] == 401, path
        assert proxy.admin(path, headers={"Host": "evil.example"})[0] == 421


def test_a_job_reaches_the_dashboard_by_no_way_through_the_proxy(exeat, dns):
    dns.records["admin.corp.example"] = ["127.0.0.1"]
    hosts = ["localhost", "admin.corp.example"]
    rules = [{"host": host, "ports": "any", "tls": "any"} for host in hosts] + [{"cidr": "127.0.0.0/8", "ports": "any", "tls": "any"}]
    proxy = exeat(policy_of(agent=rules, setup=rules, addresses=[
        {**loopback(*hosts), "literal": True}]))
    port = proxy.ports["admin"]
    for phase in ("agent", "setup"):
        for host in ("127.0.0.1", "admin.corp.example"):
            with proxy.client(phase) as client:
                assert client.connect(f"{host}:{port}").status == 403
            with proxy.client(phase) as client:
                for path in ("/v1/overview", "/metrics", "/"):
                    answer = client.get(f"http://{host}:{port}{path}")
                    assert answer.status == 403 and b"exeat_decisions" not in answer.body
        assert eventually(lambda: len(list(proxy.log(event="decision", phase=phase))) == 8)
        reasons = {record["reason"] for record in proxy.log(event="decision", phase=phase)}
        assert reasons == {"own-listener"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become other users")
def test_a_uid_that_stands_for_a_phase_does_not_reach_it_directly_either(stage):
    uid = 61002
    proxy = stage.with_people({"identity": {"agent": ["listener", {"peer": [{"uid": uid}]}]}})
    for who, status in ((uid, 403), (61004, 200)):
        with Client(("127.0.0.1", proxy.ports["admin"]), uid=who) as client:
            client.send(f"GET /v1/overview HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {proxy.tokens['admin']}\r\n\r\n")
            assert client.answer().status == status
    with Client(("127.0.0.1", proxy.ports["admin"]), uid=uid) as client:
        client.send("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.answer().status == 200


def test_taken_out_of_the_file_means_out_at_the_next_reload(stage):
    proxy = stage.with_people()
    assert call(proxy, "/v1/session", "viewer")[1] == {"name": "viewer@corp", "role": "viewer", "version": call(proxy, "/v1/session")[1]["version"]}
    proxy.people.write_text("\n".join(line for line in proxy.people.read_text().splitlines() if not line.startswith("viewer")) + "\n")
    proxy.reload()
    assert call(proxy, "/v1/session", "viewer")[0] == 401 and call(proxy, "/v1/session", "admin")[0] == 200
    proxy.people.write_text("nonsense\n")
    proxy.reload()
    assert proxy.logged(code="tokens-kept")["level"] == "error"
    assert call(proxy, "/v1/session", "admin")[0] == 200


def test_a_tokens_file_that_others_may_write_stops_the_start(stage):
    proxy = stage.with_people()
    proxy.people.chmod(0o666)
    done = subprocess.run([os.path.abspath(BINARY), "serve", "--config", proxy.config_file, "--admin-tokens", proxy.people],
                          capture_output=True, text=True, timeout=60, env=clean_environment(), cwd=proxy.folder, check=False)
    assert done.returncode == 2 and not SANITIZER.search(done.stderr)
    proxy.people.chmod(0o600)


def test_the_start_shows_a_link_on_a_terminal_and_nowhere_else(stage, tmp_path):
    proxy = stage()
    assert "/#/login/" not in proxy.text() and "exeat_o_" not in proxy.log_file.read_text()
    policy_file = tmp_path / "p.yaml"
    policy_file.write_text(json.dumps(policy_of()))
    binary = os.path.abspath(BINARY)
    parent, child = pty.openpty()
    process = subprocess.Popen([binary, "serve", "--policy", str(policy_file), "--listen", "agent=127.0.0.1:0", "--admin", "127.0.0.1:0"],
                               cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=child, env=clean_environment())
    os.close(child)
    shown = b""
    try:
        while b"\nready" not in shown.replace(b"\r", b""):
            shown += os.read(parent, 65536)
        assert b"/#/login/exeat_o_" in shown
    finally:
        process.terminate()
        process.wait(30)
        os.close(parent)
