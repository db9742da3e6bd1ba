"""curl: what most people try first. Allowed, and denied with what curl then shows."""
import subprocess

import pytest

from harness.origin import http_handler, response
from harness.proxy import clean_environment, loopback, policy_of, run_exeat

HELLO = http_handler(lambda request: response(f"{request.method} {request.target}\n"))

H2_ORIGIN = """
const http2 = require('http2'), fs = require('fs');
const pem = fs.readFileSync(process.argv[2]);
const server = http2.createSecureServer({key: pem, cert: pem});
server.on('stream', (stream) => { stream.respond({':status': 200}); stream.end('over h2\\n'); });
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
"""


@pytest.fixture
def h2_origin(ca, tmp_path):
    """The port of an origin that speaks nothing but HTTP/2."""
    script = tmp_path / "h2.js"
    script.write_text(H2_ORIGIN)
    process = subprocess.Popen(["node", script, ca.leaf("origin.corp.example")], stdout=subprocess.PIPE, text=True,
                               env=clean_environment())
    yield int(process.stdout.readline())
    process.kill()
    process.wait()


@pytest.fixture
def tls_origin(origin, ca):
    return origin(HELLO, ca.server_context("origin.corp.example"))


def allow(port):
    return policy_of(agent=[{"host": "origin.corp.example", "ports": [port]}], addresses=[loopback()])


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_https_through_the_proxy(exeat, run, ca, tls_origin, variable):
    proxy = exeat(allow(tls_origin.port))
    url = f"https://origin.corp.example:{tls_origin.port}/path"
    done = run("curl", "-sS", "--cacert", ca.bundle, url, **{variable: proxy.url()})
    assert (done.returncode, done.stdout) == (0, "GET /path\n"), done.stderr
    record = proxy.logged(event="decision", host="origin.corp.example")
    assert record["verdict"] == "allow" and record["method"] == "CONNECT" and record["port"] == tls_origin.port


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
def test_http2_inside_the_tunnel(exeat, run, ca, h2_origin, variable):
    proxy = exeat(allow(h2_origin))
    done = run("curl", "-sS", "--http2", "--cacert", ca.bundle, "-w", "%{http_version}",
               f"https://origin.corp.example:{h2_origin}/", **{variable: proxy.url()})
    assert (done.returncode, done.stdout) == (0, "over h2\n2"), done.stderr
    close = proxy.logged(event="close", host="origin.corp.example")
    assert close["reason"] == "allowed" and "h2" in close["alpn"] and close["sni"] == "origin.corp.example"


def test_what_curl_shows_of_a_denied_https_url(exeat, run, ca, tls_origin):
    proxy = exeat(allow(tls_origin.port))
    done = run("curl", "-sS", "-v", "--cacert", ca.bundle, f"https://denied.corp.example:{tls_origin.port}/",
               HTTPS_PROXY=proxy.url())
    assert done.returncode == 56
    assert "curl: (56)" in done.stderr and "403" in done.stderr
    assert "HTTP/1.1 403 egress-denied no-rule" in done.stderr
    record = proxy.logged(host="denied.corp.example")
    assert f"Exeat-Decision: {record['decision']}" in done.stderr
    assert tls_origin.connections == []


@pytest.mark.parametrize("variable", ["http_proxy", "ALL_PROXY"])
def test_plain_http_allowed_and_denied(exeat, run, origin, variable):
    server = origin(HELLO)
    proxy = exeat(allow(server.port))
    done = run("curl", "-sS", f"http://origin.corp.example:{server.port}/a?b=c", **{variable: proxy.url()})
    assert (done.returncode, done.stdout) == (0, "GET /a?b=c\n"), done.stderr
    done = run("curl", "-sS", "-i", f"http://denied.corp.example:{server.port}/", **{variable: proxy.url()})
    assert done.stdout.startswith("HTTP/1.1 403 egress-denied no-rule")
    assert "reason:   no-rule" in done.stdout and "denied.corp.example" in done.stdout
    assert len(server.connections) == 1


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_upload_and_its_echo(exeat, run, ca, origin, tmp_path, size):
    server = origin(http_handler(lambda request: response(request.body)), ca.server_context("origin.corp.example"))
    proxy = exeat(allow(server.port))
    body = tmp_path / "body"
    body.write_text("x" * size)
    done = run("curl", "-sS", "--cacert", ca.bundle, "--data-binary", f"@{body}",
               f"https://origin.corp.example:{server.port}/", HTTPS_PROXY=proxy.url())
    assert done.returncode == 0 and done.stdout == "x" * size, done.stderr


def test_a_unix_listener_through_exeat_connect(exeat, ca, tls_origin, tmp_path):
    path = str(tmp_path / "agent.sock")
    proxy = exeat(allow(tls_origin.port), {"more_listeners": [{"unix": path, "phase": "agent"}]})
    port = tls_origin.port
    command = ["connect", "--unix", path, "--", "curl", "-sS", "--cacert", str(ca.bundle)]
    done = run_exeat(*command, f"https://origin.corp.example:{port}/unix")
    assert (done.returncode, done.stdout) == (0, "GET /unix\n"), done.stderr
    assert proxy.logged(verdict="allow")["client"].startswith("uid:")
    done = run_exeat(*command, f"https://denied.corp.example:{port}/")
    assert done.returncode == 56 and "403" in done.stderr


def test_exeat_connect_passes_on_the_exit_status(exeat, tmp_path):
    path = str(tmp_path / "agent.sock")
    exeat(policy_of(), {"more_listeners": [{"unix": path, "phase": "agent"}]})
    assert run_exeat("connect", "--unix", path, "--", "sh", "-c", "exit 7").returncode == 7
    missing = run_exeat("connect", "--unix", str(tmp_path / "nothing.sock"), "--", "true")
    assert missing.returncode != 0 and "nothing.sock" in missing.stderr


def test_many_requests_one_after_the_other(exeat, run, ca, tls_origin):
    proxy = exeat(allow(tls_origin.port))
    url = f"https://origin.corp.example:{tls_origin.port}/[1-20]"
    done = run("curl", "-sS", "--no-keepalive", "--cacert", ca.bundle, url, HTTPS_PROXY=proxy.url())
    assert done.stdout == "".join(f"GET /{n}\n" for n in range(1, 21)), done.stderr
