"""The sandbox of the release binary: what is in force in every thread, that all of the work goes on within it, and what
is said where the kernel lacks it. (What is refused from inside is tried by sandbox/confine_test.cpp.)"""
import ctypes
import json
import os
import platform
import pwd
import re
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from harness.client import Client, eventually
from harness.mutual import Mutual
from harness.origin import echo
from harness.proxy import BINARY, Exeat, free_port, loopback, policy_of, run_exeat

HOST = "origin.corp.example"
NOBODY = pwd.getpwnam("nobody")

pytestmark = pytest.mark.skipif(os.environ.get("EXEAT_SANITIZED") == "1",
                                reason="the sanitizers' libraries make calls that the sandbox refuses")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="starts the proxy as root")


def allow(port):
    return policy_of(agent=[{"host": HOST, "ports": [port], "tls": "any"}], addresses=[loopback()])


def tunnel_works(proxy, port):
    with proxy.client() as client:
        if client.connect(f"{HOST}:{port}").status != 200:
            return False
        client.send(b"ping")
        return client.read_exactly(4) == b"ping"


def status_fields(path):
    return dict(line.split(":\t", 1) for line in Path(path).read_text().splitlines() if ":\t" in line)


def banner_line(proxy, word):
    return next(line for line in proxy.output if line.startswith(f"  {word}"))


def landlock_version():
    return ctypes.CDLL(None, use_errno=True).syscall(444, None, 0, 1)


class Started(Exeat):
    """Behind a command that ends in an exec of what follows it, or with a function that the child calls first."""

    def __init__(self, *arguments, prefix=(), first=None, **more):
        super().__init__(*arguments, **more)
        self._prefix, self._first = list(map(str, prefix)), first

    def _spawn(self):
        before, run = subprocess.Popen, self
        prefix, first = self._prefix, self._first

        def popen(command, **more):
            return before(prefix + command, preexec_fn=first, **more)
        subprocess.Popen = popen
        try:
            return super()._spawn()
        finally:
            subprocess.Popen = before


@pytest.fixture
def started(dns):
    running = []

    def make(policy, settings=None, **more):
        proxy = Started(policy, settings, dns=more.pop("dns", dns.address), **more)
        running.append(proxy)
        return proxy
    yield make
    for proxy in running:
        proxy.stop()
        proxy.remove()


# What is in force ----------------------------------------------------------------------------------------------------

def test_every_thread_is_confined(exeat, origin):
    server = origin(echo)
    proxy = exeat(allow(server.port), {"workers": 3, "review": {"database": "review.sqlite"}})
    assert tunnel_works(proxy, server.port)
    threads = list(Path(f"/proc/{proxy.process.pid}/task").iterdir())
    names = sorted((thread / "comm").read_text().strip() for thread in threads)
    assert names == ["admin", "exeat", "log", "review", "worker", "worker", "worker"]
    for thread in threads:
        fields = status_fields(thread / "status")
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2"), thread
        for which in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(fields[which], 16) == 0, which
        if os.geteuid() == 0:
            assert int(fields["CapBnd"], 16) == 0
    said = banner_line(proxy, "sandbox")
    assert "no capabilities" in said and "seccomp" in said
    if landlock_version() > 0:
        assert f"Landlock {landlock_version()}" in said
    health = json.loads(proxy.admin("/-/healthy")[1])
    assert health["sandbox"] == said.removeprefix("  sandbox   ").strip() and health["sandbox_lacks"] == []
    assert not proxy.log(code="sandbox")


def test_the_helper_is_confined_too(exeat):
    proxy = exeat(policy_of())
    children = Path(f"/proc/{proxy.process.pid}/task/{proxy.process.pid}/children").read_text().split()
    assert len(children) == 1 and Path(f"/proc/{children[0]}/comm").read_text() == "exeat-finder\n"
    fields = status_fields(f"/proc/{children[0]}/status")
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
    assert int(fields["CapEff"], 16) & ~(1 << 19 | 1 << 2) == 0  # CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH
    with proxy.client() as client:
        assert client.connect("denied.corp.example:443").status == 403
    record = proxy.logged(host="denied.corp.example")
    if os.geteuid() == 0:
        assert "python" in record["process"] and "pytest" in record["command"], record
    # It ends with the proxy, which may not signal it.
    proxy.stop()
    assert eventually(lambda: not Path(f"/proc/{children[0]}").exists())


def test_off_is_off(exeat):
    proxy = exeat(policy_of(), {"sandbox": "off"})
    fields = status_fields(f"/proc/{proxy.process.pid}/status")
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("0", "0")
    assert banner_line(proxy, "sandbox") == "  sandbox   off\n"
    assert json.loads(proxy.admin("/-/healthy")[1])["sandbox"] == "off"


@pytest.mark.skipif(landlock_version() <= 0, reason="this kernel has no Landlock")
def test_files_of_others_are_out_of_reach(exeat, origin, tmp_path):
    """A reload of a policy that names a file elsewhere: readable for the user, but not for this process."""
    server = origin(echo)
    proxy = exeat(allow(server.port))
    (tmp_path / "more.yaml").write_text("version: 1\nphases: {agent: {allow: [{host: more.corp.example}]}}\n")
    elsewhere = {**allow(server.port), "include": [str(tmp_path / "more.yaml")]}
    proxy.reload(elsewhere)
    record = proxy.logged(code="reload-failed")
    assert "Permission denied" in record["text"] and "the sandbox lets it read" in record["text"]
    assert tunnel_works(proxy, server.port)
    proxy.stop()
    proxy.restart()  # and after a start, it is among those that count
    proxy.reload({**elsewhere, "deny": [{"host": "x.corp.example"}]})
    assert proxy.metric("exeat_reloads_total", result="success") == 1


# The work goes on ----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("watch", [True, False])
def test_a_swapped_symlink_as_kubernetes_does_it(started, origin, tmp_path, watch):
    server = origin(echo)
    volume = tmp_path / "volume"
    for name, policy in (("..1", policy_of()), ("..2", allow(server.port))):
        (volume / name).mkdir(parents=True)
        (volume / name / "policy.yaml").write_text(json.dumps(policy))
    (volume / "..data").symlink_to("..1")
    (volume / "policy.yaml").symlink_to("..data/policy.yaml")
    proxy = started(policy_of(), {"policy": str(volume / "policy.yaml"), "watch": watch}).start()
    assert not tunnel_works(proxy, server.port)
    (volume / "..new").symlink_to("..2")
    os.replace(volume / "..new", volume / "..data")
    shutil.rmtree(volume / "..1")
    if not watch:
        proxy.signal(signal.SIGHUP)
    assert eventually(lambda: tunnel_works(proxy, server.port)), proxy.text()


def test_logs_rotate_and_are_reopened(exeat):
    proxy = exeat(policy_of(), {"log": {"file": "exeat.log", "blocked": "blocked.log", "rotate_size": "64KiB",
                                        "rotate_keep": 2, "format": "json"}})
    with proxy.client() as client:
        for _ in range(400):
            assert client.get("http://refused.corp.example/").status == 403
    assert eventually(lambda: (proxy.folder / "blocked.log.2").exists())
    assert eventually(lambda: (proxy.folder / "exeat.log.2").exists())
    moved = proxy.folder / "moved.log"
    os.replace(proxy.log_file, moved)
    proxy.signal(signal.SIGHUP)
    assert eventually(lambda: proxy.log_file.exists())
    with proxy.client() as client:
        assert client.get("http://after.corp.example/").status == 403
    assert proxy.logged(host="after.corp.example")
    assert not proxy.log(code="log-reopen-failed")


def test_a_log_on_a_redirected_standard_output_is_reopened(started, tmp_path):
    """/dev/stdout leads to a file that no directory of the configuration holds."""
    target = tmp_path / "elsewhere" / "out.log"
    target.parent.mkdir()
    proxy = started(policy_of(), {"log": {"file": "/dev/stdout", "format": "json"}},
                    prefix=["sh", "-c", f'exec "$@" >>{target}', "sh"]).start()
    proxy.signal(signal.SIGHUP)
    with proxy.client() as client:
        assert client.get("http://after.corp.example/").status == 403
    assert eventually(lambda: "after.corp.example" in target.read_text())
    assert "log-reopen-failed" not in target.read_text()


def test_certificates_are_read_again(exeat, ca, tmp_path):
    port = free_port()
    mutual = Mutual(ca, tmp_path)
    proxy = exeat(policy_of(), {"more_listeners": [
        {"address": f"127.0.0.1:{port}", "phase": "agent", "tls": mutual.settings(False)}]})

    def is_presented(name):
        with Client(("127.0.0.1", port)) as client:
            try:
                return client.start_tls(mutual.context(), name) is client
            except ssl.SSLCertVerificationError:
                return False
    assert is_presented("proxy.corp.example")
    mutual.present("second.corp.example")  # by a rename
    proxy.signal(signal.SIGHUP)
    assert eventually(lambda: is_presented("second.corp.example"))


def test_a_seal_is_kept_and_the_sockets_go(exeat, tmp_path):
    state = tmp_path / "state"
    assert run_exeat("state", "init", state).returncode == 0
    proxy = exeat(policy_of(), {"job": {"phases": ["setup", "agent", "mcp"], "state_dir": str(state)},
                                "more_listeners": [{"unix": str(tmp_path / "agent.sock"), "phase": "agent"}]})
    done = run_exeat("phase", "advance", "--control", proxy.control)
    assert done.returncode == 0, done.stderr
    proxy.stop()
    assert not Path(proxy.control).exists() and not (tmp_path / "agent.sock").exists()
    proxy.restart()
    assert json.loads(run_exeat("phase", "status", "--control", proxy.control, "--format", "json").stdout)
    with proxy.client("setup") as client:
        assert client.get("http://x.corp.example/").reason.endswith("phase-sealed")


def test_a_state_directory_made_while_it_runs(exeat, tmp_path):
    state = tmp_path / "jobs" / "state"
    state.parent.mkdir(mode=0o700)
    proxy = exeat(policy_of(), {"job": {"phases": ["setup", "agent", "mcp"], "state_dir": str(state)}})
    assert run_exeat("state", "init", state).returncode == 0
    done = run_exeat("job", "new", "--control", proxy.control)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_exeat("phase", "advance", "--control", proxy.control).returncode == 0


@pytest.fixture
def own_etc(tmp_path):
    """A folder to stand in for /etc, and what starts a command that sees it there."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        pytest.skip("needs a mount namespace")
    etc = tmp_path / "etc"
    etc.mkdir()
    for name in ("passwd", "group", "nsswitch.conf", "localtime"):
        if Path(f"/etc/{name}").exists():
            shutil.copy(f"/etc/{name}", etc / name)
    (etc / "hosts").write_text("127.0.0.1 localhost\n")
    return etc, ["unshare", "-m", "sh", "-c", f'mount --bind {etc} /etc && exec "$@"', "sh"]


def replace(path, text):
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    os.replace(fresh, path)


@pytest.fixture
def name_server(dns):
    """What `dns` answers, on the port that resolv.conf means."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        address = f"127.9.{os.getpid() % 250}.9"
        server.bind((address, 53))

        def serve():
            while True:
                packet, peer = server.recvfrom(4096)
                if not packet:
                    return
                for message in dns.answers(packet, False, peer):
                    server.sendto(message, peer)
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
            last.sendto(b"", (address, 53))
        thread.join()


def test_resolv_conf_and_hosts_are_read_again(started, own_etc, name_server, origin):
    etc, prefix = own_etc
    server = origin(echo)
    nobody = name_server.removesuffix(".9") + ".8"
    replace(etc / "resolv.conf", f"nameserver {nobody}\n")
    proxy = started(allow(server.port), {"timeouts": {"dns": "2s"}}, prefix=prefix)
    with_defaults(proxy, {"negative_ttl": 0})
    proxy.start()
    assert not tunnel_works(proxy, server.port)
    replace(etc / "resolv.conf", f"nameserver {name_server}\n")
    assert eventually(lambda: tunnel_works(proxy, server.port), 40), proxy.text()
    replace(etc / "hosts", "127.0.0.1 localhost\n127.0.0.9 " + HOST + "\n")  # no exception to the guard: refused
    assert eventually(lambda: not tunnel_works(proxy, server.port), 40), proxy.text()


def with_defaults(proxy, dns):
    """`dns` alone, without the harness's server."""
    write = proxy._write_settings

    def rewrite():
        write()
        settings = json.loads(proxy.config_file.read_text())
        settings["dns"] = {"cache_entries": 0, **dns}
        proxy.config_file.write_text(json.dumps(settings))
    proxy._write_settings = rewrite


def test_the_system_resolver(started, own_etc, origin):
    etc, prefix = own_etc
    server = origin(echo)
    replace(etc / "nsswitch.conf", "hosts: files\n")
    proxy = started(allow(server.port), {"sandbox": "required"}, prefix=prefix)
    with_defaults(proxy, {"resolver": "system", "negative_ttl": 0})
    proxy.start()
    assert not tunnel_works(proxy, server.port)
    replace(etc / "hosts", f"127.0.0.1 localhost {HOST}\n")
    assert eventually(lambda: tunnel_works(proxy, server.port), 40), proxy.text()


def test_names_that_never_answer_hold_up_their_own_phase_alone(started, own_etc, origin):
    etc, prefix = own_etc
    server = origin(echo)
    replace(etc / "nsswitch.conf", "hosts: files dns\n")
    replace(etc / "hosts", f"127.0.0.1 localhost {HOST}\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((f"127.9.{os.getpid() % 250}.7", 53))
        replace(etc / "resolv.conf", f"nameserver {silent.getsockname()[0]}\n")
        proxy = started(policy_of(setup=[{"host": HOST, "ports": "any", "tls": "any"}], agent=[{"host": "**.dead.example"}],
                                  addresses=[loopback()]), {"timeouts": {"dns": "4s"}}, prefix=prefix)
        with_defaults(proxy, {"resolver": "system", "negative_ttl": 0})
        proxy.start()
        clients = [proxy.client() for _ in range(24)]
        for number, client in enumerate(clients):
            name = f"n{number}.dead.example:443"
            client.send(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
        assert silent.recv(512)  # some thread is held
        with proxy.client("setup") as client:
            assert client.connect(f"{HOST}:{server.port}").status == 200
        for client in clients:
            # Those that had a thread may hear from getaddrinfo that it gives up.
            assert client.answer().reason in ("upstream-failed dns-timeout", "upstream-failed dns-failure")
            client.close()
        assert proxy.metric("exeat_decisions_total", reason="dns-timeout") >= 20
        assert proxy.metric("exeat_decisions_total", verdict="error") == 24


def test_a_log_beside_the_policy_is_warned_of(started):
    """Then the sandbox lets the process write where its policy is."""
    proxy = started(policy_of()).start()
    told = f"{proxy.policy_file} lies within {proxy.folder}, where the sandbox lets this process write"
    assert any(line.startswith("  warning") and told in line for line in proxy.output), proxy.text()
    assert told in proxy.logged(code="policy-within-reach", level="warning")["text"]
    apart = started(policy_of(), {"log": {"file": "log/exeat.log", "blocked": None, "format": "json"}})
    (apart.folder / "log").mkdir()
    apart.start()
    assert not any("lies within" in line for line in apart.output)


# Where the kernel lacks it -------------------------------------------------------------------------------------------

def without(*numbers):
    """As a kernel, or a container, that does not know these system calls: for the child before its exec."""
    program = b"".join([
        struct.pack("HBBI", 0x20, 0, 0, 0),  # load the number
        *(struct.pack("HBBI", 0x15, 0, 1, number) + struct.pack("HBBI", 0x06, 0, 0, 0x00050000 | 38)
          for number in numbers),
        struct.pack("HBBI", 0x06, 0, 0, 0x7fff0000)])
    buffer = ctypes.create_string_buffer(program)
    libc = ctypes.CDLL(None, use_errno=True)

    def call():
        wanted = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
        assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.create_string_buffer(wanted), 0, 0) == 0
    return call


LANDLOCK = (444, 445, 446)
SECCOMP = {"x86_64": 317, "aarch64": 277}[platform.machine()]


@pytest.mark.parametrize("numbers, told, left", [
    (LANDLOCK, "this kernel has no Landlock", "seccomp"),
    ((SECCOMP,), "the system call filter cannot be loaded", "Landlock")])
def test_what_is_lacking_is_said(started, origin, numbers, told, left):
    server = origin(echo)
    proxy = started(allow(server.port), first=without(*numbers)).start()
    assert told in banner_line(proxy, "warning") and left in banner_line(proxy, "sandbox")
    assert told in proxy.logged(code="sandbox", level="warning")["text"]
    assert told in json.loads(proxy.admin("/-/healthy")[1])["sandbox_lacks"][0]
    assert tunnel_works(proxy, server.port)


@pytest.mark.parametrize("numbers, told", [(LANDLOCK, "this kernel has no Landlock"), ((SECCOMP,), "filter")])
def test_required_does_not_start_without(started, numbers, told):
    proxy = started(policy_of(), {"sandbox": "required"}, first=without(*numbers))
    with pytest.raises(AssertionError, match=f"(?s)ended with 2.*`sandbox: required`: .*{told}"):
        proxy.start()
    proxy.process = None


# Another user --------------------------------------------------------------------------------------------------------

def for_nobody(proxy, **more):
    """Policy and configuration are root's; what is written lies in a folder of the user's."""
    own = proxy.folder / "own"
    proxy.folder.chmod(0o755)
    own.mkdir()
    os.chown(own, NOBODY.pw_uid, NOBODY.pw_gid)
    proxy.log_file, proxy.control = own / "exeat.log", str(own / "control.sock")
    proxy._wanted = {"user": "nobody", "control": {"unix": proxy.control},
                     "log": {"file": "own/exeat.log", "blocked": "own/blocked.log"}, **proxy._wanted}
    return proxy


@as_root
def test_root_becomes_the_user_and_keeps_the_low_port(started, origin):
    server = origin(echo)
    low = next(port for port in range(1023, 600, -1) if is_free(port))
    proxy = for_nobody(started(allow(server.port), {
        "more_listeners": [{"address": f"127.0.0.1:{low}", "phase": "agent"}]}))
    proxy.start()
    fields = status_fields(f"/proc/{proxy.process.pid}/status")
    assert fields["Uid"].split() == [str(NOBODY.pw_uid)] * 4 and fields["Gid"].split() == [str(NOBODY.pw_gid)] * 4
    assert fields["Groups"].strip() == "" and int(fields["CapPrm"], 16) == 0 and fields["Seccomp"] == "2"
    with Client(("127.0.0.1", low)) as client:
        assert client.connect(f"{HOST}:{server.port}").status == 200
    assert proxy.log_file.stat().st_uid == Path(proxy.control).stat().st_uid == NOBODY.pw_uid
    assert not any("root's" in line for line in proxy.output)
    proxy.reload()
    assert proxy.metric("exeat_reloads_total", result="success") == 1
    proxy.stop()
    assert not Path(proxy.control).exists()


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
            return True
        except OSError:
            return False


@as_root
@pytest.mark.parametrize("spoil, told", [
    (lambda p: p.policy_file.chmod(0o600), "policy.yaml.*Permission denied"),
    (lambda p: (p.log_file.write_text(""), p.log_file.chmod(0o600)), "cannot open the log file .*exeat.log: Permission"),
    (lambda p: os.chown(p.folder / "own", 0, 0), "cannot open the log file .*exeat.log: Permission")])
def test_what_the_user_may_not_use_is_named(started, spoil, told):
    proxy = for_nobody(started(policy_of()))
    spoil(proxy)
    with pytest.raises(AssertionError, match=f"(?s)ended with 2.*{told}.*`user: nobody`, uid {NOBODY.pw_uid}"):
        proxy.start()
    proxy.process = None


@as_root
def test_a_user_that_cannot_be(started):
    proxy = started(policy_of(), {"user": "no-such-user"})
    with pytest.raises(AssertionError, match="ended with 2:\nexeat: `user: no-such-user`: there is no such user"):
        proxy.start()
    proxy.process = None
    proxy = for_nobody(started(policy_of(), {"user": "root"}, prefix=[
        "setpriv", f"--reuid={NOBODY.pw_uid}", f"--regid={NOBODY.pw_gid}", "--clear-groups"]))
    with pytest.raises(AssertionError, match="(?s)ended with 2.*`user: root`: this process cannot become that user"):
        proxy.start()
    proxy.process = None


@as_root
def test_root_is_warned_and_without_capabilities(exeat):
    proxy = exeat(policy_of())
    assert any("this process is root's" in line for line in proxy.output)
    assert banner_line(exeat(policy_of(), {"user": "root"}), "sandbox")
    assert not any("root's" in line for line in exeat(policy_of(), {"user": "root"}).output)


# The binary ----------------------------------------------------------------------------------------------------------

def readelf(*arguments):
    return subprocess.run(["readelf", "--wide", *arguments, BINARY], capture_output=True, text=True, check=True).stdout


@pytest.mark.skipif(not shutil.which("readelf"), reason="needs binutils")
def test_how_the_binary_is_hardened():
    assert re.search(r"Type:\s+DYN \(Position-Independent Executable", readelf("-h"))
    segments = readelf("-l")
    assert "GNU_RELRO" in segments
    stack = next(line for line in segments.splitlines() if "GNU_STACK" in line)
    assert stack.split()[-2] == "RW"
    assert not any(line.split()[0] == "LOAD" and "RWE" in line for line in segments.splitlines() if line.strip())
    dynamic = readelf("-d")
    assert "BIND_NOW" in dynamic and "PIE" in dynamic and "TEXTREL" not in dynamic
    assert "RPATH" not in dynamic and "RUNPATH" not in dynamic
    symbols = readelf("--dyn-syms")
    assert "__stack_chk_fail" in symbols
    assert len(set(re.findall(r"\b__\w+_chk\b", symbols))) >= 3, "_FORTIFY_SOURCE has replaced nothing"
    if platform.machine() == "x86_64":
        # The compiler's marks where code may be entered indirectly: endbr64.
        assert Path(BINARY).read_bytes().count(b"\xf3\x0f\x1e\xfa") > 1000
