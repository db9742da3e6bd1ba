"""The container image: it runs as nobody in particular, lets through what the policy allows and refuses the rest.

Run by `make image`, after tools/build-image; EXEAT_IMAGE names the image.
"""
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from harness.authority import Authority
from harness.client import Client, eventually
from harness.dns import DnsServer
from harness.origin import Origin, http_handler, response
from harness.proxy import clean_environment, free_port, loopback, policy_of

IMAGE = os.environ.get("EXEAT_IMAGE")
HOST = "origin.corp.example"
ROOT = [] if os.geteuid() == 0 else ["sudo", "-n"]

pytestmark = pytest.mark.skipif(not IMAGE or not shutil.which("buildah"),
                                reason="EXEAT_IMAGE names no image, or there is no buildah")


def buildah(*arguments, **more):
    environment = clean_environment(STORAGE_DRIVER=os.environ.get("STORAGE_DRIVER", "vfs"), BUILDAH_ISOLATION="chroot")
    command = [*ROOT, *(["env", "STORAGE_DRIVER=vfs", "BUILDAH_ISOLATION=chroot"] if ROOT else []), "buildah"]
    return subprocess.Popen([*command, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, env=environment, **more)


def output_of(*arguments):
    process = buildah(*arguments)
    text = process.communicate(timeout=300)[0]
    assert process.returncode == 0, text
    return text.strip()


def descendants(pid):
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            yield int(child)
            yield from descendants(int(child))


def exeat_below(pid):
    """The process of the image's binary, once it runs."""
    for child in descendants(pid):
        try:
            if Path(f"/proc/{child}/comm").read_text().strip() == "exeat":
                return child
        except FileNotFoundError:
            pass
    return None


@pytest.fixture(scope="module")
def container():
    name = output_of("from", "--pull-never", IMAGE)
    yield name
    output_of("rm", name)


def test_the_image_says_who_it_runs_as_and_what(container):
    config = json.loads(output_of("inspect", "--type", "image", IMAGE))["OCIv1"]["config"]
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["/usr/local/bin/exeat"] and config["Cmd"] == ["serve"]


def test_one_allowed_and_one_denied_request(container, tmp_path):
    ca = Authority(tmp_path)
    dns = DnsServer({HOST: ["127.0.0.1"]})
    origin = Origin(http_handler(lambda request: response("hello\n")), ca.server_context(HOST))
    port = free_port()
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "policy.yaml").write_text(json.dumps(
        policy_of(agent=[{"host": HOST, "ports": [origin.port]}], addresses=[loopback()])))
    (folder / "exeat.yaml").write_text(json.dumps({
        "version": 1, "policy": "policy.yaml", "listeners": [{"address": f"127.0.0.1:{port}", "phase": "agent"}],
        "admin": "none", "dns": {"servers": [dns.address], "hosts_file": False}}))
    process = buildah("run", "--volume", f"{folder}:/etc/exeat:ro", container, "--", "exeat", "serve", "--config",
                      "/etc/exeat/exeat.yaml")
    said = []
    try:
        for line in process.stdout:
            said.append(line)
            if line == "ready\n":
                break
        assert process.poll() is None, "".join(said)
        inside = exeat_below(process.pid)
        assert inside, "".join(said)
        uids = [line for line in Path(f"/proc/{inside}/status").read_text().splitlines() if line.startswith("Uid:")]
        assert uids[0].split()[1:] == ["10001"] * 4
        assert "Seccomp:\t2\n" in Path(f"/proc/{inside}/status").read_text()
        assert any(line.startswith("  sandbox   no capabilities") and "seccomp" in line for line in said), "".join(said)

        with Client(("127.0.0.1", port)) as client:
            assert client.connect(f"{HOST}:{origin.port}").status == 200
            client.start_tls(ca.client_context(), HOST).send(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")
            assert client.answer().body == b"hello\n"
        with Client(("127.0.0.1", port)) as client:
            answer = client.connect("denied.corp.example:443")
            assert (answer.status, answer.reason) == (403, "egress-denied no-rule")
        subprocess.run([*ROOT, "kill", f"-{signal.SIGTERM.value}", str(inside)], check=True)
        rest = process.communicate(timeout=60)[0]
        assert process.returncode == 0, "".join(said) + rest
        assert eventually(lambda: exeat_below(process.pid) is None if Path(f"/proc/{process.pid}").exists() else True)
    finally:
        inside = exeat_below(process.pid) if process.poll() is None else None
        if inside:
            subprocess.run([*ROOT, "kill", "-9", str(inside)], check=False)
        origin.close()
        dns.close()
