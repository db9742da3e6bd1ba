"""`exeat doctor` with the real tools: through, around and failing, and that nothing of it leaves the fence."""
import ctypes
import errno
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness.client import eventually
from harness.proxy import BINARY, SANITIZER, clean_environment, free_port, policy_of, run_exeat

TOOLS = {"curl": "curl", "wget": "wget", "git": "git", "python urllib": "python3", "pip": "pip3", "npm": "npm",
         "node fetch": "node", "java": "java", "go": "go", "cargo": "cargo", "apt": "apt-get"}


@pytest.fixture
def tools(tmp_path):
    """tools(name, ...): a PATH that has these alone."""
    def make(*names):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in (*names, "sh", "env"):
            path = "/usr/bin/python3" if name == "python3" else shutil.which(name)
            if path and not (folder / name).exists():
                (folder / name).symlink_to(path)
        return str(folder)
    return make


def doctor(*arguments, home, path, timeout=280, preexec_fn=None, **environment):
    started = time.monotonic()
    done = subprocess.run([os.path.abspath(BINARY), "doctor", "--format", "json", *map(str, arguments)],
                          capture_output=True, text=True, timeout=timeout, check=False, cwd=home,
                          preexec_fn=preexec_fn,
                          env=clean_environment(HOME=str(home), PATH=path, **environment))
    assert not SANITIZER.search(done.stderr), done.stderr
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(done.stdout)
    assert report["ok"] == (done.returncode == 0), report
    report["seconds"] = time.monotonic() - started
    report["by_tool"] = {one["tool"]: one for one in report["tools"]}
    return report


def env_of(*arguments):
    """What `exeat env` sets, as sh has it."""
    script = f'eval "$({os.path.abspath(BINARY)} env --shell bash {" ".join(map(str, arguments))})"; exec env -0'
    done = subprocess.run(["sh", "-c", script], capture_output=True, timeout=60, check=True,
                          env=clean_environment(PATH="/usr/bin:/bin"))
    variables = dict(one.split("=", 1) for one in done.stdout.decode().split("\0") if "=" in one)
    return {name: value for name, value in variables.items() if name not in ("PWD", "OLDPWD", "SHLVL", "_", "PATH", "HOME")}


def checks(report, name, result=None):
    return [one for one in report["checks"] if one["name"] == name and result in (None, one["result"])]


@pytest.fixture
def proxy(exeat):
    return exeat(policy_of())


def node_knows_the_variables():
    """By its version: `node --help` of some that do names the flag --use-env-proxy alone."""
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = map(int, version.removeprefix("v").split(".")[:2])
    return major >= 24 or (major == 22 and minor >= 21)


@pytest.mark.parametrize("tool, program", TOOLS.items())
def test_a_tool_goes_around_without_the_variables_and_through_with_them(proxy, tools, tmp_path, tool, program):
    """Each with nothing set (it must be seen going around, and the mend be tried), then on `exeat env`."""
    real = shutil.which(program)
    if not real and tool in ("pip", "go", "cargo"):  # the others are in tools/packages.txt
        pytest.skip(f"no {program} on this machine")
    path = tools(*{"npm": ["npm", "node"], "pip": [], "cargo": [], "go": []}.get(tool, [program]))
    if tool in ("pip", "cargo", "go"):  # they may be scripts and links that look for the rest of themselves
        rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
        script(path, program, f'PATH="{os.environ["PATH"]}" RUSTUP_HOME="{rustup}" exec {real} "$@"\n')
    arguments = ["--phase", "agent", "--config", proxy.config_file, "--timeout", "120s"]
    bare = doctor(*arguments, home=tmp_path, path=path)["by_tool"][tool]
    assert bare["result"] == "around", bare
    assert "tried " in bare["detail"], bare
    mended = "through" if tool != "node fetch" or node_knows_the_variables() else "around"
    assert bare["with_env"] == mended, bare
    assert ("exeat env --phase agent" in bare["fix"]) == (mended == "through")

    report = doctor(*arguments, home=tmp_path, path=path, **env_of("--phase", "agent", "--config", proxy.config_file))
    assert report["by_tool"][tool]["result"] == mended, report
    if list(report["by_tool"]) == [tool]:
        assert report["ok"] == (mended == "through"), report
    # The proxy itself was asked once a run, by us: the tools never reached it.
    records = proxy.log(event="decision")
    assert {record["host"] for record in records} == {"exeat-doctor.invalid"} and len(records) == 2, records


def test_all_through_is_status_0(proxy, tools, tmp_path):
    variables = env_of("--phase", "agent", "--config", proxy.config_file)
    report = doctor("--phase", "agent", "--config", proxy.config_file, home=tmp_path, path=tools("curl", "wget", "git"),
                    **variables)
    assert report["ok"] and [one["result"] for one in report["tools"]] == ["through"] * 3, report
    assert not [one for one in report["checks"] if one["result"] == "bad"]
    assert "decision " in checks(report, "proxy", "ok")[0]["detail"] and "phase agent" in checks(report, "proxy")[0]["detail"]
    assert checks(report, "policy", "ok") and checks(report, "clock", "ok") and checks(report, "open files")
    assert checks(report, "variables", "ok") == checks(report, "variables")
    # Without --phase it takes the proxy from the variables.
    assert doctor(home=tmp_path, path=tools("curl"), **variables)["ok"]
    assert list(tmp_path.glob("exeat-doctor-*")) == []


def test_upper_case_alone_is_not_enough_for_curl(proxy, tools, tmp_path):
    report = doctor(home=tmp_path, path=tools("curl"), HTTP_PROXY=proxy.url(), HTTPS_PROXY=proxy.url())
    curl = report["by_tool"]["curl"]
    assert curl["result"] == "around" and curl["detail"].startswith("http: tried "), curl
    assert "not set: http_proxy, https_proxy" in checks(report, "variables")[0]["detail"]


def test_no_proxy_that_is_too_wide(proxy, tools, tmp_path):
    variables = {**env_of("--phase", "agent", "--config", proxy.config_file), "no_proxy": "*", "NO_PROXY": "*"}
    report = doctor(home=tmp_path, path=tools("curl"), **variables)
    assert report["by_tool"]["curl"]["result"] == "around", report
    assert checks(report, "no_proxy", "bad") and checks(report, "NO_PROXY", "bad")
    assert report["by_tool"]["curl"]["with_env"] == "through"
    variables["no_proxy"] = variables["NO_PROXY"] = "localhost,.corp.example,.com"
    report = doctor(home=tmp_path, path=tools("curl"), **variables)
    assert ".corp.example" in checks(report, "no_proxy", "warning")[0]["detail"]
    assert "top-level" in checks(report, "no_proxy", "bad")[0]["detail"]
    assert not report["ok"]


def test_files_at_odds(proxy, tools, tmp_path):
    """What ~/.npmrc, ~/.gitconfig and pip.conf name is told; `exeat env` goes over the first two."""
    (tmp_path / ".npmrc").write_text("# proxy=http://commented.corp.example:1/\nproxy = http://u:hunter2@127.0.0.9:1/\n"
                                     "https-proxy=http://127.0.0.9:1\nnoproxy=*\n")
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = x\n[http]\n\tproxy = http://127.0.0.9:1\n")
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / ".config/pip/pip.conf").write_text("[global]\nproxy = http://127.0.0.9:1\n")
    (tmp_path / ".curlrc").write_text(f'proxy = "{proxy.url()}"\n')
    plain = {name: proxy.url() for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    report = doctor(home=tmp_path, path=tools("git", "curl"), **plain)
    told = {one["name"]: one["detail"] for one in report["checks"] if "127.0.0.9" in one["detail"]}
    assert set(told) == {"npm", "git", "pip"}, report["checks"]
    assert not any("hunter2" in one["detail"] or "commented" in one["detail"] for one in report["checks"])
    assert [one for one in report["checks"] if one["name"].startswith("noproxy in ") and one["result"] == "bad"]
    git = report["by_tool"]["git"]
    assert git["result"] == "around" and "127.0.0.9:1" in git["detail"] and git["with_env"] == "through", git
    assert report["by_tool"]["curl"]["result"] == "through"


def test_the_proxy_is_not_there(tools, tmp_path):
    url = f"http://127.0.0.1:{free_port()}"
    report = doctor("--proxy", url, home=tmp_path, path=tools("curl"), http_proxy=url, https_proxy=url)
    assert "refused" in checks(report, "proxy", "bad")[0]["detail"] and not report["ok"]
    assert report["by_tool"]["curl"]["result"] == "through", "its requests went where they should"


def test_another_phase_answers(proxy, tools, tmp_path):
    url = proxy.url("setup")
    report = doctor("--phase", "agent", "--proxy", url, home=tmp_path, path=tools())
    assert "phase setup" in checks(report, "proxy", "bad")[0]["detail"]
    assert "not the phase `agent`" in checks(report, "proxy")[0]["fix"]


def test_something_else_listens_there(tools, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            client, _ = server.accept()
            with client:
                client.recv(4096)
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        threading.Thread(target=serve, daemon=True).start()
        report = doctor("--proxy", f"http://127.0.0.1:{server.getsockname()[1]}", home=tmp_path, path=tools())
    assert "is not Exeat" in checks(report, "proxy", "bad")[0]["detail"]


def script(path, name, text):
    file = Path(path) / name
    file.write_text("#!/bin/sh\n" + text)
    file.chmod(0o755)


def test_a_tool_that_does_not_end_is_ended_with_what_it_started(proxy, tools, tmp_path):
    path = tools("sleep", "setsid", "readlink", "sh")
    mark = tmp_path / "pids"
    script(path, "curl", f"echo $$ >>{mark}\nsetsid sh -c 'echo $$ >>{mark}; exec sleep 600' & sleep 600\n")
    report = doctor("--proxy", proxy.url(), "--timeout", "2s", home=tmp_path, path=path)
    assert report["by_tool"]["curl"]["result"] == "fails" and "in time" in report["by_tool"]["curl"]["detail"]
    pids = [int(line) for line in mark.read_text().split()]
    assert len(pids) == 4, "two runs, the second on `exeat env`"
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert report["seconds"] < 60


def test_the_fence_holds(proxy, tools, tmp_path):
    """Whatever a tool tries over IP but the proxy is refused: a listener on loopback sees no connection, and a name server
    that the tool names itself no packet."""
    path = tools("python3")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, \
            socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        udp.bind(("127.0.0.1", 0))
        ports = tcp.getsockname()[1], udp.getsockname()[1], six.getsockname()[1]
        (tmp_path / "try.py").write_text(f"""
import socket
def attempt(what):
    try:
        what()
        print("REACHED")
    except OSError as error:
        print(error.strerror)
tcp, udp, six = {ports}
attempt(lambda: socket.create_connection(("127.0.0.1", tcp), 5))
attempt(lambda: socket.create_connection(("::1", six), 5))
def mapped():
    s = socket.socket(socket.AF_INET6)
    s.connect(("::ffff:127.0.0.1", tcp))
attempt(mapped)
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", udp)))
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b"x"], [], 0, ("127.0.0.1", udp)))
def connected():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect(("127.0.0.1", udp))
    s.send(b"x")
attempt(connected)
attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)))
""")
        script(path, "curl", f"exec {path}/python3 {tmp_path}/try.py >>{tmp_path}/said\n")
        report = doctor("--proxy", proxy.url(), home=tmp_path, path=path)
        for server in (tcp, udp, six):
            server.setblocking(False)
            with pytest.raises(BlockingIOError):
                server.accept() if server is not udp else server.recv(10)
    said = (tmp_path / "said").read_text().splitlines()
    assert said == ["Network is unreachable"] * 14, said
    detail = report["by_tool"]["curl"]["detail"]
    assert report["by_tool"]["curl"]["result"] == "around"
    for place in (f"127.0.0.1:{ports[0]}", f"[::1]:{ports[2]}", "the name server 192.0.2.1:53"):
        assert place in detail, detail


def test_a_token(exeat, tools, tmp_path):
    """A listener that asks for a token: who sends it goes through, who does not fails; and it is nowhere in the output."""
    token = "exeat_t_0123456789abcdefghijABCDEFGHIJ0123456789abc"
    sha256 = json.loads(run_exeat("token", "--hash", "-", "--format", "json", input=token).stdout)["sha256"]
    identity = ["listener", {"credential": {"tokens": [{"sha256": sha256, "phase": "agent"}]}}]
    proxy = exeat(policy_of(), {"identity": {"agent": identity}})
    url = proxy.url().replace("//", f"//agent:{token}@")
    arguments = ["--phase", "agent", "--config", proxy.config_file]
    path = tools("curl", "git", "wget")
    variables = {name: url for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")}
    report = doctor(*arguments, home=tmp_path, path=path, EXEAT_TOKEN=token, **variables)
    assert checks(report, "proxy", "ok"), report
    assert {one["tool"]: one["result"] for one in report["tools"]} == {"curl": "through", "git": "through", "wget": "through"}
    assert token not in json.dumps(report)
    report = doctor(*arguments, home=tmp_path, path=path, EXEAT_TOKEN=token, http_proxy=proxy.url(), https_proxy=proxy.url())
    assert report["by_tool"]["curl"]["result"] == "fails" and "no token" in report["by_tool"]["curl"]["detail"]
    assert report["by_tool"]["curl"]["with_env"] == "through"
    assert token not in json.dumps(report)


def test_behind_connect(exeat, tools, tmp_path):
    """A unix socket is told of, and looked at from behind its bridge."""
    path = tmp_path / "agent.sock"
    proxy = exeat(policy_of(), {"listeners": [{"unix": str(path), "phase": "agent"}]})
    done = run_exeat("doctor", "--phase", "agent", "--config", proxy.config_file)
    assert done.returncode == 2 and f"exeat connect --unix {path} -- exeat doctor" in done.stderr
    done = subprocess.run([BINARY, "connect", "--unix", path, "--", os.path.abspath(BINARY), "doctor", "--format", "json",
                           "--timeout", "120s"],
                          capture_output=True, text=True, timeout=120, check=False,
                          env=clean_environment(HOME=str(tmp_path), PATH=tools("curl", "java", "git"), NO_PROXY="*"))
    report = json.loads(done.stdout)
    assert done.returncode == 0 and [one["result"] for one in report["tools"]] == ["through"] * 3, report


def refuse_calls(*numbers):
    """For preexec_fn: from here on these system calls of x86-64 fail with EPERM, as in a container's profile."""
    def install():
        libc = ctypes.CDLL(None, use_errno=True)
        steps = [(0x20, 0, 0, 0)]  # load the number of the call
        for left, number in zip(range(len(numbers), 0, -1), numbers):
            steps.append((0x15, left, 0, number))  # is it this one?
        steps += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x00050000 | errno.EPERM)]
        text = b"".join(struct.pack("HBBI", *step) for step in steps)
        program = ctypes.create_string_buffer(text, len(text))
        head = struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(program))
        assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
        assert libc.prctl(22, 2, ctypes.c_char_p(head), 0, 0) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    return install


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers of the calls are those of x86-64")
def test_in_a_container_that_forbids_half_of_it(proxy, tools, tmp_path):
    """Without pidfd_getfd connections end at the proxy itself, and count; without seccomp nothing is run at all."""
    variables = env_of("--phase", "agent", "--config", proxy.config_file)
    report = doctor(home=tmp_path, path=tools("curl", "git"), preexec_fn=refuse_calls(438), **variables)
    assert [one["result"] for one in report["tools"]] == ["through"] * 2, report
    hosts = {record["host"] for record in proxy.log(event="decision")}
    assert hosts == {"exeat-doctor.invalid", "plain.exeat-doctor.test", "tls.exeat-doctor.test"}
    report = doctor("--proxy", proxy.url(), home=tmp_path, path=tools("curl", "git"), preexec_fn=refuse_calls(438))
    assert [one["result"] for one in report["tools"]] == ["around"] * 2, report

    script(tools("touch"), "wget", f"touch {tmp_path}/was-run\n")
    report = doctor(home=tmp_path, path=tools("curl"), preexec_fn=refuse_calls(317), **variables)
    assert [one["result"] for one in report["tools"]] == ["untried"] * 3 and not report["ok"], report
    assert "seccomp user notification" in report["tools"][0]["detail"] and not (tmp_path / "was-run").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_the_tool(proxy, tools, tmp_path, number):
    path = tools("sleep")
    mark = tmp_path / "pid"
    script(path, "curl", f"echo $$ >{mark}.new; mv {mark}.new {mark}; exec sleep 600\n")
    (tmp_path / "tmp").mkdir()
    tools("mv")
    process = subprocess.Popen([BINARY, "doctor", "--proxy", proxy.url(), "--timeout", "300s"], stdout=subprocess.PIPE, text=True,
                               env=clean_environment(HOME=str(tmp_path), PATH=path, TMPDIR=str(tmp_path / "tmp")))
    assert eventually(mark.exists, 60)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert not Path(f"/proc/{mark.read_text().strip()}").exists()
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_without_privileges(proxy, tools, tmp_path):
    """An ordinary user gets the same answers."""
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o111)
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", 65534, 65534)
    binary = Path("/tmp") / f"exeat-doctor-test-{os.getpid()}"
    shutil.copy(BINARY, binary)  # the checkout may be closed to others
    try:
        done = subprocess.run([binary, "doctor", "--format", "json", "--proxy", proxy.url()], capture_output=True, text=True,
                              timeout=120, check=False, user=65534, group=65534, extra_groups=[], cwd="/",
                              env=clean_environment(HOME=str(tmp_path / "home"), PATH=tools("curl", "apt-get"), TMPDIR="/tmp",
                                                    http_proxy=proxy.url(), https_proxy=proxy.url()))
    finally:
        binary.unlink()
    report = json.loads(done.stdout)
    assert {one["tool"]: one["result"] for one in report["tools"]} == {"curl": "through", "apt": "through"}, report


def test_docker_configuration(proxy, tools, tmp_path):
    path = tools()
    script(path, "docker", "exit 1\n")
    report = doctor("--proxy", proxy.url(), home=tmp_path, path=path)
    assert "names no proxy" in checks(report, "docker", "warning")[0]["detail"]
    (tmp_path / ".docker").mkdir()
    (tmp_path / ".docker/config.json").write_text(
        run_exeat("env", "--phase", "agent", "--shell", "docker", "--proxy", proxy.url()).stdout)
    report = doctor("--proxy", proxy.url(), home=tmp_path, path=path)
    assert checks(report, "docker", "ok"), report
    (tmp_path / ".docker/config.json").write_text("{")
    assert "is not JSON" in checks(doctor("--proxy", proxy.url(), home=tmp_path, path=path), "docker")[0]["detail"]


def test_text(proxy, tools, tmp_path):
    done = subprocess.run([BINARY, "doctor", "--proxy", proxy.url()], capture_output=True, text=True, timeout=120, check=False,
                          env=clean_environment(HOME=str(tmp_path), PATH=tools("curl")))
    assert done.returncode == 1
    assert f"Looking for {proxy.url()}" in done.stdout and "  curl           around   tried " in done.stdout
    assert "Not installed: wget, git," in done.stdout and done.stdout.endswith("Not everything asks the proxy, or can.\n")


def test_usage(tmp_path):
    def error(*arguments, **environment):
        done = run_exeat("doctor", *arguments, **environment)
        assert done.returncode == 2 and done.stdout == "", done
        return done.stderr
    assert "--phase or --proxy" in error()
    assert "--phase" in error("--config", tmp_path / "exeat.yaml")
    assert "agent, mcp, setup" in error("--phase", "nope")
    assert "--timeout" in error("--proxy", "http://127.0.0.1:1", "--timeout", "x")
    assert "--timeout" in error("--proxy", "http://127.0.0.1:1", "--timeout", "0s")
    assert "https_proxy" in error(https_proxy="socks5://127.0.0.1:1")


@pytest.mark.parametrize("host, at", [("localhost", "127.0.0.1"), ("[::1]", "[::1]")])
def test_a_proxy_by_name_and_by_ipv6(exeat, tools, tmp_path, host, at):
    port = free_port()
    exeat(policy_of(), {"more_listeners": [{"address": f"{at}:{port}", "phase": "agent"}]})
    url = f"http://{host}:{port}"
    variables = env_of("--phase", "agent", "--proxy", f"'{url}'")
    report = doctor("--phase", "agent", "--proxy", url, "--timeout", "120s", home=tmp_path,
                    path=tools("curl", "git", "python3", "java", "npm", "node"), **variables)
    found = {one["tool"]: one["result"] for one in report["tools"] if one["tool"] != "node fetch"}
    assert set(found.values()) == {"through"} and len(found) == 5, report
    assert checks(report, "proxy", "ok") and checks(report, "variables", "ok"), report
