"""git, Node, Python and a WebSocket: each once allowed, once denied with what the developer sees."""
import base64
import hashlib
import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from harness.origin import http_handler, response
from harness.proxy import loopback, policy_of

HELLO = http_handler(lambda request: response("hello\n"))


@pytest.fixture
def tls_origin(origin, ca):
    return origin(HELLO, ca.server_context("origin.corp.example"))


def allow(port):
    return policy_of(agent=[{"host": "origin.corp.example", "ports": [port]}], addresses=[loopback()])


# git -----------------------------------------------------------------------------------------------------------------

def git_backend(root):
    """git http-backend as a CGI program behind one of our origins."""
    backend = Path(subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())

    def respond(request):
        path, _, query = request.target.partition("?")
        body = request.body
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(root), "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            "REQUEST_METHOD": request.method, "PATH_INFO": path, "QUERY_STRING": query,
            "CONTENT_TYPE": request.fields.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.fields.get("content-encoding", ""),
            "GIT_PROTOCOL": request.fields.get("git-protocol", "")}
        done = subprocess.run([backend / "git-http-backend"], input=body, env=environment, capture_output=True,
                              check=True)
        head, _, answer = done.stdout.partition(b"\r\n\r\n")
        fields = head.decode().split("\r\n")
        status = next((f.split(": ", 1)[1] for f in fields if f.startswith("Status: ")), "200 OK")
        return response(answer, status, [f for f in fields if not f.startswith("Status: ")])
    return http_handler(respond)


def test_git_clone(exeat, run, ca, origin, tmp_path):
    work = tmp_path / "work"
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    run(*git, "init", "-q", work)
    (work / "file").write_bytes(os.urandom(300_000))
    run(*git, "-C", work, "add", "file")
    run(*git, "-C", work, "commit", "-q", "-m", "one")
    run("git", "clone", "-q", "--bare", work, tmp_path / "served" / "repo.git")
    server = origin(git_backend(tmp_path / "served"), ca.server_context("origin.corp.example"))
    proxy = exeat(allow(server.port))
    environment = {"HTTPS_PROXY": proxy.url(), "GIT_SSL_CAINFO": str(ca.bundle), "GIT_TERMINAL_PROMPT": "0"}

    url = f"https://origin.corp.example:{server.port}/repo.git"
    done = run("git", "clone", url, tmp_path / "clone", **environment)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "clone" / "file").read_bytes() == (work / "file").read_bytes()

    done = run("git", "clone", f"https://denied.corp.example:{server.port}/repo.git", tmp_path / "no", **environment)
    assert done.returncode == 128
    assert "403" in done.stderr and "denied.corp.example" in done.stderr
    assert proxy.logged(host="denied.corp.example")["reason"] == "no-rule"


# Node ----------------------------------------------------------------------------------------------------------------

NODE_FETCH = """
const target = process.argv[2];
fetch(target).then(async (r) => console.log(r.status, (await r.text()).trim()))
  .catch((e) => { let m = []; for (let c = e; c; c = c.cause) m.push(c.message); console.log('failed:', m.join(' | ')); process.exit(3); });
"""


def node_knows_use_env_proxy(run):
    """By its version: `node --help` of some that do names the flag --use-env-proxy alone."""
    major, minor = map(int, run("node", "--version").stdout.removeprefix("v").split(".")[:2])
    return major >= 24 or (major == 22 and minor >= 21)


def test_node_fetch_with_env_proxy(exeat, run, ca, tls_origin, tmp_path):
    if not node_knows_use_env_proxy(run):
        pytest.skip("this Node has no NODE_USE_ENV_PROXY")
    proxy = exeat(allow(tls_origin.port))
    script = tmp_path / "fetch.js"
    script.write_text(NODE_FETCH)
    environment = {"HTTPS_PROXY": proxy.url(), "NODE_USE_ENV_PROXY": "1", "NODE_EXTRA_CA_CERTS": str(ca.bundle)}
    done = run("node", script, f"https://origin.corp.example:{tls_origin.port}/", **environment)
    assert done.stdout == "200 hello\n", done.stderr
    done = run("node", script, f"https://denied.corp.example:{tls_origin.port}/", **environment)
    assert done.returncode == 3 and "403" in done.stdout


def test_node_fetch_without_it_goes_around_and_finds_nothing(exeat, run, tls_origin, tmp_path):
    """undici ignores HTTPS_PROXY: the request must not appear in our log, and the name does not resolve."""
    proxy = exeat(allow(tls_origin.port))
    script = tmp_path / "fetch.js"
    script.write_text(NODE_FETCH)
    done = run("node", script, f"https://origin.corp.example:{tls_origin.port}/", HTTPS_PROXY=proxy.url())
    assert done.returncode == 3 and re.search(r"ENOTFOUND|EAI_AGAIN", done.stdout), done.stdout
    proxy.stop()  # what was logged is in the file then
    assert proxy.log(event="decision") == []


# Python --------------------------------------------------------------------------------------------------------------

URLLIB = """
import sys, urllib.request, ssl
context = ssl.create_default_context(cafile=sys.argv[2])
try:
    print(urllib.request.urlopen(sys.argv[1], context=context, timeout=60).read().decode(), end="")
except OSError as error:
    print("failed:", error)
"""


def test_python_urllib(exeat, run, ca, tls_origin):
    proxy = exeat(allow(tls_origin.port))
    environment = {"https_proxy": proxy.url()}
    url = f"https://origin.corp.example:{tls_origin.port}/"
    done = run("/usr/bin/python3", "-c", URLLIB, url, ca.bundle, **environment)
    assert done.stdout == "hello\n", done.stderr
    done = run("/usr/bin/python3", "-c", URLLIB, url.replace("origin", "denied"), ca.bundle, **environment)
    assert "Tunnel connection failed: 403 egress-denied no-rule" in done.stdout, done.stdout


# WebSocket -----------------------------------------------------------------------------------------------------------

KEY = base64.b64encode(b"0123456789abcdef").decode()
ACCEPT = base64.b64encode(hashlib.sha1((KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()


def websocket_echo(connection):
    head = connection.read_until(b"\r\n\r\n").decode().lower()
    assert "upgrade: websocket" in head and f"sec-websocket-key: {KEY}".lower() in head
    connection.write(textwrap.dedent(f"""\
        HTTP/1.1 101 Switching Protocols
        Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Accept: {ACCEPT}

        """).replace("\n", "\r\n").encode())
    while True:
        first, second = connection.read_exactly(2) or (0x88, 0)
        if first == 0x88:
            return
        mask = connection.read_exactly(4)
        text = bytes(b ^ mask[i % 4] for i, b in enumerate(connection.read_exactly(second & 0x7F)))
        connection.write(bytes([0x81, len(text)]) + text)


def websocket_request(port, host="origin.corp.example"):
    return (f"GET http://{host}:{port}/chat HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n")


def masked(text):
    mask = b"\x01\x02\x03\x04"
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text))


def test_websocket_over_plain_http(exeat, origin):
    server = origin(websocket_echo)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.send(websocket_request(server.port))
        answer = client.answer()
        assert answer.status == 101 and answer.fields["upgrade"].lower() == "websocket"
        assert answer.fields["sec-websocket-accept"] == ACCEPT
        for text in (b"one", b"two" * 30):
            client.send(masked(text))
            assert client.read_exactly(2 + len(text)) == bytes([0x81, len(text)]) + text
        client.send(b"\x88\x80\x01\x02\x03\x04")
        assert client.is_closed()
    assert proxy.logged(event="close", host="origin.corp.example")["scheme"] == "ws"


def test_websocket_denied(exeat, origin):
    server = origin(websocket_echo)
    proxy = exeat(allow(server.port))
    with proxy.client() as client:
        client.send(websocket_request(server.port, "denied.corp.example"))
        answer = client.answer()
    assert answer.status == 403 and answer.reason == "egress-denied no-rule"
    assert server.connections == []
